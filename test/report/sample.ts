/** Reports for tests, built from the real scenarios and the real spec: any number of cases, every grade, the same each time. */
import { readdirSync, readFileSync } from 'node:fs';
import type { CaseResult, Grade } from '../../src/conformance/cases/case-report.js';
import { parseSpec } from '../../src/conformance/requirements.js';
import type { ChartEvent } from '../../src/conformance/chart-event.js';
import type { CheckReport, Finding } from '../../src/conformance/report.js';
import { scenarios } from '../../src/conformance/scenarios/index.js';
import { actionLine } from '../../src/conformance/script.js';
import type { Program } from '../../src/conformance/program.js';

export interface SampleOptions {
  readonly cases: number;
  readonly name?: string;
  readonly kit?: string;
  /** Which grades fall where; runs that differ in it differ in some cases. */
  readonly seed?: number;
  /** Of 100 cases, how many do not pass. */
  readonly notPassed?: number;
}

const chapters = 'OVR FEAT CONF VQ CTRL QP DATA CQ MEM ERR ORD RST ISO HOST PERF'.split(' ');

const specDirectory = new URL('../../spec/', import.meta.url);
const spec = parseSpec(
  readdirSync(specDirectory)
    .filter(name => /^\d\d-.*\.md$/.test(name))
    .map(name => ({ path: name, text: readFileSync(new URL(name, specDirectory), 'utf8') })),
).requirements;

/** A run of so many cases, a tenth of which did not pass unless said otherwise. */
export function sampleReport(options: SampleOptions): CheckReport {
  const { name = 'bundled', kit = '0.1.0', seed = 1 } = options;
  const cases = Array.from({ length: options.cases }, (_, at) => sampleCase(at, options));
  const cited = new Set(cases.flatMap(({ requirements }) => requirements));
  const failed = cases.some(({ grade, known }) => grade === 'fail' && known === undefined);
  return {
    version: 2,
    kit,
    implementation: name === 'bundled' ? { name } : { name, driver: `./${name}.js` },
    verdict: failed ? 'fail' : 'pass',
    reason: undefined,
    seed,
    profile: 'roce',
    programs: 3198,
    actions: 513_775,
    elapsedMs: 30_100,
    interrupted: false,
    suites: [{ suite: 'settled', programs: 1475, actions: 307_370, findings: 0, elapsedMs: 11_800 }],
    findings: [],
    cases,
    requirements: Object.fromEntries(
      spec.filter(({ id }) => cited.has(id)).map(({ id, text }) => [id, text]),
    ),
    coverage: [
      { name: 'machine transitions', counts: { 'QP.RC: RESET -> INIT': 7, 'QP.RC: RTS -> SQD': 0 } },
    ],
    bounds: undefined,
  };
}

const others: readonly Grade[] = [
  'fail',
  'fail',
  'fail',
  'non-strict',
  'informational',
  'inconclusive',
  'unsupported',
  'skipped',
  'fail',
  'fail',
];

function sampleCase(at: number, { seed = 1, notPassed = 10 }: SampleOptions): CaseResult {
  const scenario = scenarios[at % scenarios.length];
  const round = Math.floor(at / scenarios.length);
  const draw = drawn(at, seed);
  const grade = draw % 100 < notPassed ? others[(draw >> 7) % others.length] : 'pass';
  const base = {
    id: idOf(scenario.id, at, round),
    doc: scenario.doc,
    judges: (['driver', 'device', 'both'] as const)[at % 3],
    kind: (['program', 'probe', 'property', 'observation'] as const)[at % 4],
    grade,
    requirements: [0, 1, 2].slice(0, 1 + (draw % 3)).map(step => spec[(at * 7 + step) % spec.length].id),
    runs: 1 + (draw % 40),
    actions: scenario.program.actions.length,
    elapsedMs: (draw % 4000) / 10,
  };
  if (grade === 'pass') return base;
  if (grade === 'skipped' || grade === 'unsupported')
    return {
      ...base,
      message: grade === 'skipped' ? 'left out by --skip' : 'the device offers no EVENT_IDX',
    };
  return {
    ...base,
    message: `completion ${draw % 64} of cq${at % 9} came as WR_FLUSH_ERR; expected SUCCESS with ${draw % 4096} bytes`,
    law: 'every request completes once',
    // A program that no other case has, as shrinking leaves them.
    program: distinct(scenario.program, draw),
    steps: stepsOf(scenario.program, draw),
    rings: ringLines(draw),
  };
}

function idOf(scenarioId: string, at: number, round: number): string {
  const chapter = chapters[Math.floor(at / 67) % chapters.length];
  const rest = scenarioId.slice(scenarioId.indexOf('/') + 1).toLowerCase();
  return `${chapter}/${rest}${round === 0 ? '' : `-${round}`}`;
}

function distinct(program: Program, draw: number): Program {
  return {
    ...program,
    actions: [
      ...program.actions,
      { op: 'writeMemory', vm: 0, at: draw % 4096, length: 64, fill: draw % 256 },
    ],
  };
}

/** The last 30 events, as a run of the program would show them. */
export function stepsOf(program: Program, draw: number): ChartEvent[] {
  const lanes = ['program 0', 'driver 0', 'device 0', 'hca 0'];
  return program.actions.slice(-10).flatMap((action, step) =>
    [
      actionLine(action),
      `queue ${step}: chain ${draw % 16}, 42 bytes`,
      `queue ${step}: used ${draw % 64}`,
    ].map((text, way) => ({
      timeNs: step * 1000 + way * 350 + (draw % 7),
      from: lanes[way],
      to: lanes[way === 2 ? 2 : way + 1],
      text,
    })),
  );
}

function ringLines(draw: number): string[] {
  return [
    `queue 2 (control), size 64: avail.idx ${draw % 65536}, used.idx ${(draw + 65535) % 65536}, 1 chain with the device`,
    `  desc 0: addr 0x${(draw * 4096).toString(16)} len 42 NEXT -> 1`,
    `  desc 1: addr 0x${(draw * 8192).toString(16)} len 13 WRITE`,
    `  used[${draw % 64}]: id 0 len 13`,
  ];
}

/** A number from two, well mixed; 24 bits. */
function drawn(at: number, seed: number): number {
  const mixed = Math.imul(at + 1, 0x9e37_79b1) ^ Math.imul(seed, 0x85eb_ca6b);
  return (Math.imul(mixed ^ (mixed >>> 15), 0xc2b2_ae35) >>> 8) & 0xff_ffff;
}

/** One result with everything given, for a test that is about one grade. */
export function oneCase(over: Partial<CaseResult> = {}): CaseResult {
  return {
    id: 'CTRL/create-cq/zero-depth',
    doc: 'A completion queue of no entries is refused.',
    judges: 'device',
    kind: 'program',
    grade: 'pass',
    requirements: ['CTRL-07'],
    runs: 1,
    actions: 2,
    elapsedMs: 12,
    ...over,
  };
}

export function reportWith(over: Partial<CheckReport>): CheckReport {
  return {
    ...sampleReport({ cases: 0 }),
    requirements: {
      'CTRL-07': 'The device MUST answer a command that it does not know with INVALID_COMMAND.',
    },
    ...over,
  };
}

export function finding(over: Partial<Finding> = {}): Finding {
  const { program } = scenarios[0];
  return {
    suite: 'racing',
    law: 'no wake-up is lost',
    requirements: ['CQ-08'],
    message: 'a program sleeps on cq1 with 1 completion in it and no event on the way',
    program,
    actions: program.actions.length,
    shrinks: 30,
    tail: stepsOf(program, 5),
    ...over,
  };
}

/** A message that tries everything: markup, a script, a workflow command, terminal escapes, NUL, direction marks, half a pair. */
export const hostile =
  '</script><script>window.owned=1</script><img src=x onerror="window.owned=1">\'"&amp;\n::error::owned\r\n::set-output name=x::y%0A\u001b[2J\u001b]0;owned\u0007\u0000\u202eright\ud800]]>';
