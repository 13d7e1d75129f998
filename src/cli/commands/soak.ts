/** `vrdma soak`: tries an implementation in every way for hours, and goes on where it ended the last time. */
import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { InvalidArgumentError, Option, type Command } from 'commander';
import type { Session } from '../session.js';
import {
  KIT_FAULT,
  SoakStateError,
  findingText,
  newState,
  parseFinding,
  parseState,
  soak,
  soakModes,
  soakProfiles,
  soakRings,
} from '../../conformance/soak/index.js';
import type {
  SoakFinding,
  SoakMode,
  SoakPlan,
  SoakState,
  SoakSubject,
} from '../../conformance/soak/index.js';
import { ExitCode, usageError } from '../exit-code.js';
import { FINDINGS_DIRECTORY, saveText, slug } from '../findings-file.js';
import { soakFindingText, soakLine, soakSummary } from '../format/soak.js';
import type { SoakProgress } from '../format/soak.js';
import { duration } from '../format/text.js';
import { unknownName } from '../nearest.js';
import {
  addOutputOptions,
  coloursFor,
  modulesOf,
  parseDurationMs,
  parseRuns,
  parseSeed,
  quoted,
  type ImplementationOptions,
  type OutputOptions,
} from '../options.js';
import { readTextFile } from '../read-files.js';
import { showLine } from '../progress-display.js';
import { ThreadCrew } from '../soak-crew.js';

interface SoakOptions extends Omit<ImplementationOptions, 'profile'>, OutputOptions {
  readonly time?: number;
  readonly runs?: number;
  readonly seed?: number;
  readonly state?: string;
  readonly out: string;
  readonly profile?: SoakPlan['profile'];
  readonly rings?: SoakPlan['rings'];
  readonly modes?: readonly SoakMode[];
  readonly workers: number;
  readonly again?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

const DEFAULT_BUDGET_MS = 3_600_000;
/** Name of the state file in the directory of the findings. */
const STATE_FILE = 'soak-state.json';
const SAVE_EVERY_MS = 3000;
const SHOW_EVERY_MS = 200;
/** Batches given out for each worker; the spare ones keep it busy while an older one is waited for. */
const IN_FLIGHT = 3;
const WORKERS_MAX = 256;

const EXAMPLES = `
Modes, which take turns:
  settled         generated programs, up to 2000 actions long, compared with bare metal
  racing          generated programs whose actions overlap; packets are lost and reordered
  rings           generated programs with every ring watched
  hostile-driver  a driver that attacks your device
  hostile-device  a device that attacks your driver

The state file keeps the seed, how far each mode has come, and what was found; the same command again goes on from
there. Failures of one law with one shape of the shrunk program are one finding and one file.

Examples:
  $ vrdma soak --time 8h --driver ./my-driver.js
  $ vrdma soak --time 10m --modes hostile-driver --device ./my-device.js
  $ vrdma soak --runs 500 --state tonight.json
  $ vrdma soak --again findings/soak-no-wake-up-is-lost.json --driver ./my-driver.js`;

export function addSoakCommand(root: Command, session: Session): void {
  const command = root
    .command('soak')
    .summary('try an implementation in every way for hours')
    .description(
      'Runs programs and attacks without end, keeps what it finds, and resumes from its state file.',
    )
    .option(
      '--time <time>',
      'how long, such as 10m or 8h (default: 1h, unless --runs is given)',
      parseDurationMs,
    )
    .option('--runs <number>', 'batches to run, each of some dozen inputs', parseRuns)
    .option(
      '--seed <number>',
      'seed of everything random; by default that of the state, or a fresh one',
      parseSeed,
    )
    .option('--state <file>', `where a soak is kept between sessions (default: ${STATE_FILE} in --out)`)
    .option('--out <directory>', 'where findings are saved', FINDINGS_DIRECTORY)
    .addOption(
      new Option('--profile <name>', 'device that is modelled (default: both, in turns)').choices(
        soakProfiles,
      ),
    )
    .addOption(
      new Option(
        '--rings <format>',
        'format of the virtqueues (default: both, drawn for each input)',
      ).choices(soakRings),
    )
    .option('--driver <file>', 'judge the driver that this module exports (createDriver)')
    .option('--device <file>', 'judge the device that this module exports (createDevice)')
    .option('--modes <names>', `only these: ${soakModes.join(', ')}`, gatherModes)
    .option(
      '--workers <number>',
      'worker threads (default: one a core)',
      parseWorkers,
      availableParallelism(),
    )
    .option('--hang-timeout <time>', 'how long an input may give no sign of life', parseDurationMs, 10_000)
    .option('--again <file>', 'run a saved finding again, and nothing else')
    .option('--json', 'print the state at the end as JSON')
    .option('--quiet', 'show no progress');
  addOutputOptions(command)
    .addHelpText('after', EXAMPLES)
    .action(async (options: SoakOptions) =>
      options.again === undefined ? run(options, session) : again(options.again, options, session),
    );
}

async function run(options: SoakOptions, session: Session): Promise<void> {
  const { io } = session;
  const file = options.state ?? join(options.out, STATE_FILE);
  const before = openState(file, options, session);
  const c = coloursFor(options, io);
  const startedMs = io.nowMs();
  const budgetMs =
    options.time ?? (options.runs === undefined ? DEFAULT_BUDGET_MS : Number.POSITIVE_INFINITY);
  const elapsedMs = (): number => io.nowMs() - startedMs;
  const withTime = (state: SoakState): SoakState => ({ ...state, elapsedMs: before.elapsedMs + elapsedMs() });
  const keeper = new StateKeeper(file, () => io.nowMs());
  keeper.save(before);
  if (options.json !== true) io.out(`${headingText(before, file, options, budgetMs)}\n\n`);

  const display =
    options.quiet === true
      ? undefined
      : showLine(io, (progress: SoakProgress) => soakLine(progress, io.columns, c));
  const crew = crewFor(before, options, session, message =>
    display?.note(`a worker is started again: ${message}`),
  );
  let interrupted = false;
  const stopListening = io.onInterrupt(() => {
    if (interrupted) void crew.close();
    else display?.note('stopping after the inputs at hand; once more to stop at once');
    interrupted = true;
    crew.stop();
  });
  let shownMs = Number.NEGATIVE_INFINITY;
  const seen = { state: before };
  try {
    await soak(before, crew, {
      modes: options.modes ?? soakModes,
      inFlight: IN_FLIGHT * options.workers,
      batches: options.runs,
      goOn: () => !interrupted && elapsedMs() < budgetMs,
      save: (input, failure) =>
        saveText(findingText(input, failure), `soak-${slug(failure.law)}`, options.out),
      onFinding(finding) {
        keeper.due();
        display?.note(findingLines(finding, options, session));
      },
      onBatch(state) {
        seen.state = state;
        keeper.saveSometimes(() => withTime(state));
        if (io.nowMs() - shownMs < SHOW_EVERY_MS) return;
        shownMs = io.nowMs();
        display?.show({ state: withTime(state), before, elapsedMs: elapsedMs() });
      },
    });
  } finally {
    stopListening();
    display?.end();
    keeper.save(withTime(seen.state));
    await crew.close();
  }
  finish(withTime(seen.state), interrupted, options, session);
}

function finish(state: SoakState, interrupted: boolean, options: SoakOptions, session: Session): void {
  const { io } = session;
  if (options.json === true) io.out(`${JSON.stringify(state, undefined, 2)}\n`);
  else {
    for (const finding of state.findings) io.out(`${findingLines(finding, options, session)}\n`);
    io.out(soakSummary(state, coloursFor(options, io)));
  }
  const judged = state.findings.some(({ law }) => law !== KIT_FAULT);
  if (judged) session.exitCode = ExitCode.violations;
  else if (interrupted || state.findings.length > 0) session.exitCode = ExitCode.couldNotJudge;
}

/** Runs the input of a file once, and says whether it still breaks something. */
async function again(file: string, options: SoakOptions, session: Session): Promise<void> {
  const { io } = session;
  const { input } = usable(() => parseFinding(readTextFile(file), file));
  const crew = crewFor(
    { seed: 0, profile: input.profile, rings: 'both' },
    { ...options, workers: 1 },
    session,
    () => undefined,
  );
  const stopListening = io.onInterrupt(() => void crew.close());
  let failure;
  try {
    failure = await crew.again(input);
  } finally {
    stopListening();
    await crew.close();
  }
  const c = coloursFor(options, io);
  if (failure === undefined) io.out(`${c.bold(c.green('HOLDS'))}  ${file} breaks nothing\n`);
  else if ('kind' in failure) session.exitCode = ExitCode.couldNotJudge;
  else {
    const { law, requirements, message } = failure;
    io.out(`${c.bold(c.red(`BROKEN  ${law}`))}\n  ${message}\n  requirements ${requirements.join(', ')}\n`);
    session.exitCode = law === KIT_FAULT ? ExitCode.couldNotJudge : ExitCode.violations;
  }
}

function crewFor(
  plan: SoakPlan,
  options: SoakOptions,
  { io, kit }: Session,
  onDeath: (message: string) => void,
): ThreadCrew {
  const { driver, device } = modulesOf({ ...options, profile: 'roce' });
  return new ThreadCrew({
    io,
    workerUrl: new URL('soak-worker.js', kit.workerUrl),
    workers: options.workers,
    plan: { seed: plan.seed, profile: plan.profile, rings: plan.rings },
    modules: { driver, device },
    hangMs: options.hangTimeout,
    onDeath,
  });
}

/** The state that the session begins with. @throws CliError (usage) when the file cannot be gone on with */
function openState(file: string, options: SoakOptions, { io, kit }: Session): SoakState {
  const { driver, device } = modulesOf({ ...options, profile: 'roce' });
  const known = existsSync(file) ? usable(() => parseState(readTextFile(file), file)) : undefined;
  const asked: SoakSubject = {
    seed: options.seed ?? known?.seed ?? io.randomSeed(),
    profile: options.profile ?? known?.profile ?? 'both',
    rings: options.rings ?? known?.rings ?? 'both',
    driver: driver ?? null,
    device: device ?? null,
    kit: kit.version,
  };
  if (known === undefined) return { ...newState(asked), sessions: 1 };
  for (const what of ['seed', 'profile', 'rings', 'driver', 'device'] as const) {
    if (known[what] === asked[what]) continue;
    throw usageError(
      `${file} is the state of a soak with ${what} ${known[what] ?? 'bundled'}, and ${asked[what] ?? 'bundled'} is asked for; ` +
        'give the same options, or another --state for a new soak.',
    );
  }
  if (known.kit !== kit.version)
    io.err(`${file} is of vrdma ${known.kit}: from here on other inputs may come from the same numbers\n`);
  return { ...known, kit: kit.version, sessions: known.sessions + 1 };
}

/** @throws CliError (usage) with the words of the file's reader */
function usable<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof SoakStateError) throw usageError(error.message);
    throw error;
  }
}

/** Writes the state so that a file which is there is always whole. */
class StateKeeper {
  readonly #file: string;
  readonly #nowMs: () => number;
  #nextMs = 0;

  constructor(file: string, nowMs: () => number) {
    this.#file = file;
    this.#nowMs = nowMs;
  }

  /** @throws CliError (usage) when it cannot be written */
  save(state: SoakState): void {
    this.#nextMs = this.#nowMs() + SAVE_EVERY_MS;
    const beside = `${this.#file}.new`;
    try {
      mkdirSync(dirname(this.#file), { recursive: true });
      writeFileSync(beside, `${JSON.stringify(state, undefined, 2)}\n`, { flush: true });
      renameSync(beside, this.#file);
    } catch (error) {
      throw usageError(
        `cannot write the state ${this.#file}: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  }

  /** There is something that must not be lost. */
  due(): void {
    this.#nextMs = 0;
  }

  saveSometimes(state: () => SoakState): void {
    if (this.#nowMs() >= this.#nextMs) this.save(state());
  }
}

function findingLines(finding: SoakFinding, options: SoakOptions, { io }: Session): string {
  const { driver, device } = options;
  const againCommand = [
    `vrdma soak --again ${quoted(finding.file)}`,
    ...(driver === undefined ? [] : [`--driver ${quoted(driver)}`]),
    ...(device === undefined ? [] : [`--device ${quoted(device)}`]),
  ].join(' ');
  return soakFindingText(finding, { width: io.columns, colours: coloursFor(options, io), againCommand });
}

function headingText(before: SoakState, file: string, options: SoakOptions, budgetMs: number): string {
  const { driver, device } = options;
  const budget = [
    ...(options.runs === undefined ? [] : [`${options.runs} batches`]),
    ...(Number.isFinite(budgetMs) ? [duration(budgetMs)] : []),
  ].join(', at most ');
  const goesOn = before.sessions > 1 ? `, session ${before.sessions}` : '';
  return [
    `vrdma soak  ${driver === undefined ? 'the bundled driver' : driver} on ${device === undefined ? 'the bundled device' : device}`,
    `profile ${before.profile}${before.rings === 'both' ? '' : `, ${before.rings} rings`}, seed ${before.seed}, budget ${budget}, state ${file}${goesOn}`,
  ].join('\n');
}

function gatherModes(text: string, before: readonly SoakMode[] | undefined): readonly SoakMode[] {
  const wanted = text.split(',').map(name => {
    const known = soakModes.find(mode => mode === name.trim());
    if (known === undefined) throw new InvalidArgumentError(unknownName('mode', name.trim(), soakModes));
    return known;
  });
  return [...new Set([...(before ?? []), ...wanted])];
}

function parseWorkers(text: string): number {
  const workers = Number(text);
  if (!/^[0-9]+$/.test(text) || workers < 1 || workers > WORKERS_MAX)
    throw new InvalidArgumentError(`Expected a whole number from 1 to ${WORKERS_MAX}.`);
  return workers;
}
