/** `vrdma check`: judges an implementation with random and fixed programs, within a budget. */
import type { Command } from 'commander';
import type { Session } from '../app.js';
import { suiteNames } from '../../conformance/report.js';
import type { CheckReport, Finding, SuiteName } from '../../conformance/report.js';
import { runCheck } from '../check-run.js';
import { exitCodeOf } from '../exit-code.js';
import { FINDINGS_DIRECTORY, saveFinding } from '../findings-file.js';
import { finishReport, implementationName } from '../finish-report.js';
import { findingText } from '../format/finding.js';
import { headingText, summaryText, type Setup } from '../format/summary.js';
import { duration, plural } from '../format/text.js';
import type { CheckJob } from '../job.js';
import { readKnownFailures } from '../known-failures.js';
import {
  addImplementationOptions,
  addOutputOptions,
  chosenCases,
  coloursFor,
  gather,
  gatherSuites,
  implementationArguments,
  modulesOf,
  parseDurationMs,
  parseRuns,
  parseSeed,
  quoted,
  type ImplementationOptions,
  type OutputOptions,
} from '../options.js';
import { showProgress, silentProgress, type ProgressDisplay } from '../progress-display.js';
import { supervise } from '../supervise.js';

interface CheckOptions extends ImplementationOptions, OutputOptions {
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
  readonly out: string;
  readonly quiet?: boolean;
}

const DEFAULT_BUDGET_MS = 30_000;

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
      'time budget, such as 30s or 5m (default: 30s, unless --runs is given)',
      parseDurationMs,
    )
    .option('--suite <names>', `only these suites: ${suiteNames.join(', ')}`, gatherSuites)
    .option('--only <cases>', 'only these cases', gather)
    .option('--skip <cases>', 'all but these cases', gather)
    .option('--strict', 'accept no lenient reading: what is non-strict fails')
    .option('--known-failures <file>', 'cases that are known to fail, with reasons, as JSON')
    .option('--name <name>', 'what the report calls the implementation')
    .option('--json', 'print the report as JSON on standard output')
    .option('--out <directory>', 'where failing programs are saved', FINDINGS_DIRECTORY)
    .option('--quiet', 'show no progress');
  addOutputOptions(addImplementationOptions(command));
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
  const c = coloursFor(options, io);
  if (options.json !== true) io.out(`${headingText(setupOf(options, job), c)}\n`);
  else if (options.quiet !== true) io.err(`seed ${job.seed}\n`);

  const display = options.quiet === true ? silentProgress : showProgress(io, c);
  const seen = await judge(job, options, session, display);
  const { report } = finishReport(seen, {
    spec: kit.spec(),
    kitVersion: kit.version,
    implementation: implementationName(options),
    strict: options.strict === true,
    known,
    today: new Date().toISOString().slice(0, 10),
  });
  session.exitCode = exitCodeOf(report);

  if (options.json === true) {
    for (const finding of report.findings) saveFinding(finding, report.seed, options.out);
    io.out(`${JSON.stringify(report, undefined, 2)}\n`);
    return;
  }
  for (const finding of report.findings) io.out(`${await explained(finding, report, options, session)}\n`);
  io.out(summaryText(report, { width: io.columns, colours: c, againCommand: againCommand(job, options) }));
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
  const modules = modulesOf(options);
  return runCheck({
    job,
    run: (segment, listeners) =>
      supervise(segment, {
        io,
        workerUrl: kit.workerUrl,
        engineUrl: kit.engineUrl,
        modules,
        hangMs: options.hangTimeout,
        onInterrupt: () => display.note('stopping after the program at hand; once more to stop at once'),
        ...listeners,
      }),
    engine: () => kit.engine(),
    onProgress: progress => display.show(progress),
    onRestart: message => display.note(`${message}\nstarting the implementation again for the rest`),
    nowMs: () => io.nowMs(),
  }).finally(() => display.end());
}

async function explained(
  finding: Finding,
  report: CheckReport,
  options: CheckOptions,
  { io, kit }: Session,
): Promise<string> {
  const savedAs = saveFinding(finding, report.seed, options.out);
  return findingText(finding, {
    width: io.columns,
    colours: coloursFor(options, io),
    requirementText: id => kit.spec().text(id),
    savedAs,
    replayCommand: ['vrdma replay', quoted(savedAs), ...implementationArguments(options)].join(' '),
  });
}

function setupOf({ driver, device }: CheckOptions, job: CheckJob): Setup {
  return { profile: job.profile, seed: job.seed, driver, device, budget: budgetText(job) };
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
