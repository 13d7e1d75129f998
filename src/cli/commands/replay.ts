/** `vrdma replay FILE`: runs one saved program again, step by step, with a sequence chart of each. */
import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { match } from 'ts-pattern';
import type { Session } from '../session.js';
import type { Program } from '../../conformance/program.js';
import type { ProgramIssue } from '../../conformance/replay.js';
import { addAgentOptions, agentOf, workerHangMs, type AgentOptions } from '../agent-options.js';
import type { Engine, ReplayReport } from '../engine.js';
import { CliError, ExitCode, exitCodeOf, usageError } from '../exit-code.js';
import { findingText } from '../format/finding.js';
import { replayVerdict, stepsText } from '../format/replay.js';
import { plural } from '../format/text.js';
import {
  addImplementationOptions,
  addOutputOptions,
  coloursFor,
  withModules,
  type ImplementationOptions,
  type OutputOptions,
} from '../options.js';
import { readTextFile } from '../read-files.js';
import { describe, threwInKit } from '../outcome-report.js';
import { supervise, type Outcome } from '../supervise.js';

/** What is printed of a report. */
type Shown = Omit<ReplayReport, 'capture'>;

interface ReplayOptions extends ImplementationOptions, AgentOptions, OutputOptions {
  readonly json?: boolean;
  readonly out?: string;
  readonly pcap?: string;
  readonly quiet?: boolean;
}

const EXAMPLES = `
A program holds its own seed and choices, so it runs the same way every time.

Examples:
  $ vrdma replay findings/no-lost-wakeup-7.json
  $ vrdma replay findings/no-lost-wakeup-7.json --driver ./my-driver.js
  $ vrdma replay examples/programs/data-message-rc-send.json --out trace.jsonl
  $ vrdma replay examples/programs/data-message-rc-send.json --pcap roce.pcap && tshark -r roce.pcap`;

export function addReplayCommand(root: Command, session: Session): void {
  const command = root
    .command('replay')
    .summary('run one saved program again, step by step')
    .description('Runs a counterexample or a scenario file again and shows what each action causes.')
    .argument('<file>', 'a verbs program as JSON')
    .option('--json', 'print the steps and the verdict as JSON')
    .option('--out <file>', 'write the trace as JSON Lines')
    .option('--pcap <file>', 'write what leaves on the network as RoCE v2 frames, in virtual time')
    .option('--quiet', 'print the verdict without the steps');
  addOutputOptions(addAgentOptions(addImplementationOptions(command)));
  command
    .addHelpText('after', EXAMPLES)
    .action((file: string, options: ReplayOptions) => replay(file, options, session));
}

async function replay(file: string, options: ReplayOptions, session: Session): Promise<void> {
  const { io, kit } = session;
  const program = parseProgramFile(await kit.engine(), file);
  const agent = agentOf(options, kit.version);
  const outcome = await withModules(options, (modules, restartDevice) =>
    supervise(
      { task: 'replay', profile: options.profile, program, capture: options.pcap !== undefined },
      {
        io,
        workerUrl: kit.workerUrl,
        engineUrl: kit.engineUrl,
        modules: { ...modules, agent },
        hangMs: workerHangMs(options.hangTimeout, agent),
        onCase() {},
        onFinding() {},
        onProgress() {},
        onInterrupt() {},
        restartDevice,
      },
    ),
  );
  const { capture, ...report } = reportOf(outcome);
  if (options.out !== undefined) write('--out', options.out, report.trace);
  if (options.pcap !== undefined && capture !== undefined) {
    write('--pcap', options.pcap, capture.file);
    if (capture.leftOut > 0)
      io.err(
        `vrdma: --pcap: ${plural(capture.leftOut, 'packet')} without a frame left out: not from IPv4 to IPv4 or IPv6 to IPv6\n`,
      );
  }
  session.exitCode = exitCodeOf({ verdict: report.verdict, interrupted: false });
  io.out(
    options.json === true
      ? `${JSON.stringify(report, undefined, 2)}\n`
      : text(program, report, options, session),
  );
}

function parseProgramFile(engine: Engine, file: string): Program {
  const source = readTextFile(file);
  try {
    return engine.parseProgram(source, file);
  } catch (error) {
    if (error instanceof Error && error.name === 'ProgramError') throw usageError(explained(error));
    throw error;
  }
}

const ISSUES_SHOWN = 5;

/** The kit's message, and the further places when there is more than one. */
function explained(error: Error): string {
  const issues = 'issues' in error && Array.isArray(error.issues) ? (error.issues as ProgramIssue[]) : [];
  if (issues.length < 2) return error.message;
  const more = issues.length - ISSUES_SHOWN;
  return [
    error.message,
    ...issues.slice(1, ISSUES_SHOWN).map(({ path, message }) => `  ${path}: ${message}`),
    ...(more > 0 ? [`  and ${more} more`] : []),
  ].join('\n');
}

/** @throws CliError when there is nothing to show: the implementation hung or died, or it could not be judged */
function reportOf(outcome: Outcome): ReplayReport {
  const broken = (message: string) =>
    new CliError(ExitCode.violations, `the implementation failed: ${message}`);
  const unknown = (message: string) => new CliError(ExitCode.couldNotJudge, message);
  return match(outcome)
    .with({ kind: 'replayed' }, ({ report }) => report)
    .with({ kind: 'hung' }, { kind: 'crashed' }, { kind: 'vanished' }, ended => {
      if (!ended.judging) throw unknown(`the implementation could not be loaded: ${describe(ended)}`);
      if (ended.kind === 'crashed' && threwInKit(ended.stack))
        throw unknown(`a fault of the kit, not of the implementation: ${describe(ended)}`);
      throw broken(describe(ended));
    })
    .with({ kind: 'not-loaded' }, ({ reason }) => {
      throw unknown(reason);
    })
    .with({ kind: 'failed' }, ({ stack }) => {
      throw unknown(`a fault of the kit, not of the implementation: ${stack}`);
    })
    .with({ kind: 'stopped' }, () => {
      throw unknown('interrupted');
    })
    .with({ kind: 'checked' }, () => {
      throw unknown('a fault of the kit: a replay came back as a check');
    })
    .exhaustive();
}

function write(option: string, file: string, contents: string | Uint8Array): void {
  try {
    writeFileSync(file, contents);
  } catch (error) {
    throw usageError(
      `cannot write ${option} ${file}: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

function text(program: Program, report: Shown, options: ReplayOptions, { io, kit }: Session): string {
  const c = coloursFor(options, io);
  const steps = options.quiet === true ? '' : `${stepsText(program, report, io.columns, c)}\n`;
  const finding =
    report.finding === undefined
      ? ''
      : `${findingText(report.finding, {
          width: io.columns,
          colours: c,
          requirementText: id => kit.spec().text(id),
          savedAs: undefined,
          replayCommand: undefined,
        })}\n`;
  return steps + finding + replayVerdict(report, c);
}
