/** `vrdma check`: judges an implementation with random and fixed programs, within a budget. */
import { Option, type Command } from 'commander';
import { match } from 'ts-pattern';
import type { Session } from '../session.js';
import { suiteNames } from '../../conformance/report.js';
import type { CaseResult } from '../../conformance/cases/index.js';
import type { CheckReport, Finding, SuiteName } from '../../conformance/report.js';
import { findingsBesideCases, githubAnnotations, htmlReport, junitXml } from '../../report/index.js';
import { addAgentOptions, agentOf, workerHangMs, type AgentOptions } from '../agent-options.js';
import { runCheck } from '../check-run.js';
import { exitCodeOf } from '../exit-code.js';
import { FINDINGS_DIRECTORY, saveFinding } from '../findings-file.js';
import { finishReport, implementationName, type FinishedReport } from '../finish-report.js';
import { caseSummary } from '../format/case-summary.js';
import { findingText, hasProgram } from '../format/finding.js';
import { headingText, summaryText, type Setup } from '../format/summary.js';
import { duration, plural } from '../format/text.js';
import type { CheckJob, Modules } from '../job.js';
import { readKnownFailures } from '../known-failures.js';
import {
  addImplementationOptions,
  addOutputOptions,
  chosenCases,
  coloursFor,
  gather,
  gatherSuites,
  implementationArguments,
  parseDurationMs,
  parseRuns,
  parseSeed,
  quoted,
  withModules,
  type ImplementationOptions,
  type OutputOptions,
} from '../options.js';
import { writeReportFile } from '../report-files.js';
import { showProgress, silentProgress, type ProgressDisplay } from '../progress-display.js';
import { supervise } from '../supervise.js';

interface CheckOptions extends ImplementationOptions, AgentOptions, OutputOptions {
  readonly seed?: number;
  readonly runs?: number;
  readonly time?: number;
  readonly suite?: readonly SuiteName[];
  readonly only?: readonly string[];
  readonly skip?: readonly string[];
  readonly strict?: boolean;
  readonly knownFailures?: string;
  readonly name?: string;
  readonly json?: boolean;
  readonly format?: OutputFormat;
  readonly junit?: string;
  readonly html?: string;
  readonly report?: string;
  readonly out: string;
  readonly quiet?: boolean;
}

const outputFormats = ['console', 'json', 'github'] as const;
type OutputFormat = (typeof outputFormats)[number];

const DEFAULT_BUDGET_MS = 30_000;
/** Findings that are told at full length. */
const FINDINGS_SHOWN = 3;

const EXAMPLES = `
Cases are named by an id (CTRL/create-cq/zero-depth), a pattern ('CTRL/*'), a chapter (CTRL) or a
requirement (CTRL-07); vrdma list shows them, vrdma explain tells about one.

Suites, in which cases are asked:
  probes     a hand-written peer opposite your driver or device
  scenarios  the fixed programs of examples/programs
  rings      what the rings in guest memory show while programs run
  hostile    a peer that breaks the rules on purpose
  bounds     the promised costs: notifications, copies, descriptors
  leaks      everything is given back at the end
  settled    generated programs, each action run until quiet; compared with bare metal
  racing     generated programs whose actions overlap; packets are lost and reordered

Examples:
  $ vrdma check
  $ vrdma check --driver ./my-driver.js --time 5m
  $ vrdma check --driver-cmd 'python3 examples/python-agent/agent.py'
  $ vrdma check --only 'CTRL/*' --skip CTRL/create-cq/zero-depth
  $ vrdma check --known-failures known.json --strict
  $ vrdma check --suite settled,racing --seed 7 --runs 1000
  $ vrdma check --quiet --json > report.json`;

export function addCheckCommand(root: Command, session: Session): void {
  const command = root
    .command('check')
    .summary('judge an implementation, by default the bundled one')
    .description('Runs random and fixed verbs programs and judges the driver and the device that serve them.')
    .option(
      '--seed <number>',
      'seed of everything random; by default a fresh one, which is printed',
      parseSeed,
    )
    .option('--runs <number>', 'programs to run in each random suite', parseRuns)
    .option(
      '--time <time>',
      'how long to generate programs, such as 30s or 5m (default: 30s, unless --runs is given)',
      parseDurationMs,
    )
    .option('--suite <names>', `only these suites: ${suiteNames.join(', ')}`, gatherSuites)
    .option('--only <cases>', 'only these cases', gather)
    .option('--skip <cases>', 'all but these cases', gather)
    .option('--strict', 'accept no lenient reading: what is non-strict fails')
    .option('--known-failures <file>', 'cases that are known to fail, with reasons, as JSON')
    .option('--name <name>', 'what the report calls the implementation')
    .option('--json', 'print the report as JSON on standard output')
    .addOption(
      new Option(
        '--format <name>',
        'what is printed: for people, as JSON, or annotations for GitHub Actions',
      ).choices(outputFormats),
    )
    .option('--junit <file>', 'write the cases as JUnit XML')
    .option('--html <file>', 'write the report as one page')
    .option('--report <file>', 'write the report as JSON, whatever is printed')
    .option('--out <directory>', 'where failing programs are saved', FINDINGS_DIRECTORY)
    .option('--quiet', 'show no progress');
  addOutputOptions(addAgentOptions(addImplementationOptions(command)));
  command.addHelpText('after', EXAMPLES).action((options: CheckOptions) => check(options, session));
}

async function check(options: CheckOptions, session: Session): Promise<void> {
  const { io, kit } = session;
  const job = await jobOf(options, session);
  const { catalogue } = await kit.engine();
  const known =
    options.knownFailures === undefined
      ? []
      : readKnownFailures(
          options.knownFailures,
          catalogue.map(({ id }) => id),
        );
  const format = options.json === true ? 'json' : (options.format ?? 'console');
  const c = coloursFor(options, io);
  if (format === 'console') io.out(`${headingText(setupOf(options, job), c)}\n`);
  else if (options.quiet !== true) io.err(`seed ${job.seed}\n`);

  const display = options.quiet === true ? silentProgress : showProgress(io, c);
  const seen = await judge(job, options, session, display);
  const finished = finishReport(seen, {
    spec: kit.spec(),
    kitVersion: kit.version,
    implementation: implementationName(options),
    strict: options.strict === true,
    known,
    today: new Date().toISOString().slice(0, 10),
  });
  const { report } = finished;
  session.exitCode = exitCodeOf(report);
  if (options.junit !== undefined) writeReportFile('--junit', options.junit, junitXml(report));
  if (options.html !== undefined) writeReportFile('--html', options.html, htmlReport([report]));
  if (options.report !== undefined)
    writeReportFile('--report', options.report, `${JSON.stringify(report, undefined, 2)}\n`);
  const saved = saveAll(report, options);
  match(format)
    .with('json', () => io.out(`${JSON.stringify(report, undefined, 2)}\n`))
    .with('github', () => io.out(githubAnnotations(report, finished)))
    .with('console', () => printReport(finished, saved, job, options, session))
    .exhaustive();
}

/** Failures first, each with the command that shows it again; then what was reached, and the verdict. */
function printReport(
  { report, ...news }: FinishedReport,
  saved: ReadonlyMap<Finding, string>,
  job: CheckJob,
  options: CheckOptions,
  { io, kit }: Session,
): void {
  const c = coloursFor(options, io);
  const width = io.columns;
  const replay = (path: string | undefined): string | undefined =>
    path === undefined
      ? undefined
      : ['vrdma replay', quoted(path), ...implementationArguments(options)].join(' ');
  // A failure is told once at full length: the case's line points to the same program.
  const shown = [...report.findings.slice(0, FINDINGS_SHOWN), ...findingsBesideCases(report)];
  for (const finding of new Set(shown)) {
    const savedAs = saved.get(finding);
    io.out(
      `${findingText(finding, { width, colours: c, requirementText: id => kit.spec().text(id), savedAs, replayCommand: replay(savedAs) })}\n`,
    );
  }
  const pathOf = new Map([...saved].map(([finding, path]) => [finding.message, path]));
  const replayCommand = ({ message }: CaseResult) => replay(pathOf.get(message ?? ''));
  const summary = caseSummary(report, { width, colours: c, replayCommand, ...news });
  if (summary !== '') io.out(`${summary}\n`);
  io.out(summaryText(report, { width, colours: c, againCommand: againCommand(job, options) }));
}

function saveAll(report: CheckReport, options: CheckOptions): ReadonlyMap<Finding, string> {
  return new Map(
    report.findings
      .filter(hasProgram)
      .map(finding => [finding, saveFinding(finding, report.seed, options.out)] as const),
  );
}

async function jobOf(options: CheckOptions, { io, kit }: Session): Promise<CheckJob> {
  const { profile, runs, time, only, skip } = options;
  return {
    task: 'check',
    profile,
    seed: options.seed ?? io.randomSeed(),
    suites: options.suite ?? suiteNames,
    cases: chosenCases(await kit.engine(), only, skip),
    done: [],
    runs,
    timeMs: time ?? (runs === undefined ? DEFAULT_BUDGET_MS : undefined),
  };
}

function judge(
  job: CheckJob,
  options: CheckOptions,
  { io, kit }: Session,
  display: ProgressDisplay,
): Promise<CheckReport> {
  const agent = agentOf(options, kit.version);
  const check = (modules: Modules, restartDevice: (hung: boolean) => void): Promise<CheckReport> =>
    runCheck({
      job,
      run: (segment, listeners) =>
        supervise(segment, {
          io,
          workerUrl: kit.workerUrl,
          engineUrl: kit.engineUrl,
          modules: { ...modules, agent },
          hangMs: workerHangMs(options.hangTimeout, agent),
          onInterrupt: () => display.note('stopping after the program at hand; once more to stop at once'),
          restartDevice,
          ...listeners,
        }),
      engine: () => kit.engine(),
      onProgress: progress => display.show(progress),
      onRestart: message => display.note(`${message}\nstarting the implementation again for the rest`),
      nowMs: () => io.nowMs(),
    });
  return withModules(options, check).finally(() => display.end());
}

function setupOf({ driver, device, driverCmd }: CheckOptions, job: CheckJob): Setup {
  return { profile: job.profile, seed: job.seed, driver, device, agent: driverCmd, budget: budgetText(job) };
}

function budgetText({ runs, timeMs }: CheckJob): string {
  const parts = [
    runs === undefined ? undefined : `${plural(runs, 'program')} a suite`,
    timeMs === undefined ? undefined : duration(timeMs),
  ];
  return parts.filter(part => part !== undefined).join(', at most ');
}

function againCommand(job: CheckJob, options: CheckOptions): string {
  return [
    `vrdma check --seed ${job.seed}`,
    ...(job.runs === undefined ? [] : [`--runs ${job.runs}`]),
    ...(job.timeMs === undefined || job.timeMs === DEFAULT_BUDGET_MS
      ? []
      : [`--time ${job.timeMs % 1000 === 0 ? `${job.timeMs / 1000}s` : `${job.timeMs}ms`}`]),
    ...(options.suite === undefined ? [] : [`--suite ${options.suite.join(',')}`]),
    ...(options.only ?? []).map(pattern => `--only ${quoted(pattern)}`),
    ...(options.skip ?? []).map(pattern => `--skip ${quoted(pattern)}`),
    ...(options.strict === true ? ['--strict'] : []),
    ...(options.knownFailures === undefined ? [] : [`--known-failures ${quoted(options.knownFailures)}`]),
    ...implementationArguments(options),
  ].join(' ');
}
