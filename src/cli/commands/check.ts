/** `vrdma check`: judges an implementation with random and fixed programs, within a budget. */
import type { Command } from 'commander';
import type { Session } from '../app.js';
import type { CheckReport, Finding, Progress, SuiteName } from '../../conformance/report.js';
import { exitCodeOf } from '../exit-code.js';
import { FINDINGS_DIRECTORY, saveFinding } from '../findings-file.js';
import { findingText } from '../format/finding.js';
import { headingText, summaryText } from '../format/summary.js';
import { duration, plural } from '../format/text.js';
import type { CheckJob, Modules } from '../job.js';
import {
  addImplementationOptions,
  addOutputOptions,
  coloursFor,
  gatherSuites,
  implementationArguments,
  modulesOf,
  parseDurationMs,
  parseRuns,
  parseSeed,
  quoted,
  suiteNames,
  type ImplementationOptions,
  type OutputOptions,
} from '../options.js';
import { programUnderWay, reportOf } from '../outcome-report.js';
import { showProgress, silentProgress, type ProgressDisplay } from '../progress-display.js';
import { supervise } from '../supervise.js';

interface CheckOptions extends ImplementationOptions, OutputOptions {
  readonly seed?: number;
  readonly runs?: number;
  readonly time?: number;
  readonly suite?: readonly SuiteName[];
  readonly json?: boolean;
  readonly out: string;
  readonly quiet?: boolean;
}

const DEFAULT_BUDGET_MS = 30_000;

const EXAMPLES = `
Suites:
  settled    each action runs until quiet; compared with bare metal, observation by observation
  racing     actions overlap, packets are lost and reordered; machines and invariants judge
  scenarios  the fixed programs of examples/programs
  bounds     the promised costs: notifications, copies, descriptors
  leaks      everything is given back at the end

Examples:
  $ vrdma check
  $ vrdma check --driver ./my-driver.js --time 5m
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
    .option('--json', 'print the report as JSON on standard output')
    .option('--out <directory>', 'where failing programs are saved', FINDINGS_DIRECTORY)
    .option('--quiet', 'show no progress');
  addOutputOptions(addImplementationOptions(command));
  command.addHelpText('after', EXAMPLES).action((options: CheckOptions) => check(options, session));
}

async function check(options: CheckOptions, session: Session): Promise<void> {
  const { io } = session;
  const modules = modulesOf(options);
  const job = jobOf(options, options.seed ?? io.randomSeed());
  const c = coloursFor(options, io);
  const heading = headingText(
    {
      profile: job.profile,
      seed: job.seed,
      driver: options.driver,
      device: options.device,
      budget: budgetText(job),
    },
    c,
  );
  if (options.json !== true) io.out(`${heading}\n`);
  else if (options.quiet !== true) io.err(`seed ${job.seed}\n`);

  const display = options.quiet === true ? silentProgress : showProgress(io, c);
  const report = await judge(job, modules, options, session, display);
  session.exitCode = exitCodeOf(report);

  if (options.json === true) {
    for (const finding of report.findings) saveFinding(finding, report.seed, options.out);
    io.out(`${JSON.stringify(report, undefined, 2)}\n`);
    return;
  }
  for (const finding of report.findings) io.out(`${await explained(finding, report, options, session)}\n`);
  io.out(summaryText(report, { width: io.columns, colours: c, againCommand: againCommand(job, options) }));
}

function jobOf(options: CheckOptions, seed: number): CheckJob {
  return {
    task: 'check',
    profile: options.profile,
    seed,
    suites: options.suite ?? suiteNames,
    runs: options.runs,
    timeMs: options.time ?? (options.runs === undefined ? DEFAULT_BUDGET_MS : undefined),
  };
}

async function judge(
  job: CheckJob,
  modules: Modules,
  options: CheckOptions,
  { io, kit }: Session,
  display: ProgressDisplay,
): Promise<CheckReport> {
  const startMs = io.nowMs();
  let progress: Progress | undefined;
  const outcome = await supervise(job, {
    io,
    workerUrl: kit.workerUrl,
    engineUrl: kit.engineUrl,
    modules,
    hangMs: options.hangTimeout,
    onProgress(latest) {
      progress = latest;
      display.show(latest);
    },
    onInterrupt: () => display.note('stopping after the program at hand; once more to stop at once'),
  });
  display.end();
  return reportOf(outcome, {
    ...job,
    progress,
    elapsedMs: io.nowMs() - startMs,
    programOf: outcome.kind === 'checked' ? () => undefined : programUnderWay(await kit.engine()),
  });
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
    ...implementationArguments(options),
  ].join(' ');
}
