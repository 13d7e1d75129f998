/** `vrdma trace FILE`: judges a trace that somebody else's system has recorded. */
import { createReadStream, statSync } from 'node:fs';
import { Readable } from 'node:stream';
import type { Command } from 'commander';
import type { Session } from '../session.js';
import { LineError, Lines, TraceError, TraceJudge } from '../../conformance/elsewhere/index.js';
import type { TraceVerdict } from '../../conformance/elsewhere/index.js';
import { CliError, ExitCode, usageError } from '../exit-code.js';
import { findingsText, traceProgressLine, traceText, type TraceRun } from '../format/trace.js';
import type { Io } from '../io.js';
import { addOutputOptions, coloursFor, type OutputOptions } from '../options.js';
import { expectReadable } from '../read-files.js';
import { unpacked } from '../unpack.js';

interface TraceOptions extends OutputOptions {
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/** Of the JSON that --json prints. */
const VERDICT_VERSION = 1;
const READ_BYTES = 1 << 20;
const PROGRESS_MS = 1000;

const EXAMPLES = `
A trace is JSON Lines: a header, then what was seen, one event a line. docs/traces.md has every event, and
docs/trace.schema.json the schema. It may hold some points of observation only (verbs, control, ring), and it may
begin in the middle. A file that is compressed with gzip is unpacked.

Exit code 1 when a law was broken, 2 when a line cannot be understood, 3 when the trace was not read to its end or
nothing of it was judged.

Examples:
  $ vrdma trace recorded.jsonl
  $ zstd -dc recorded.jsonl.zst | vrdma trace -
  $ vrdma replay examples/programs/data-message-rc-send.json --out trace.jsonl && vrdma trace trace.jsonl`;

export function addTraceCommand(root: Command, session: Session): void {
  const command = root
    .command('trace')
    .summary("judge a trace of somebody else's system")
    .description('Holds a recorded trace against the state machines and the laws of completions.')
    .argument('<file>', 'a trace as JSON Lines, or - for standard input')
    .option('--json', 'print the verdict as JSON')
    .option('--quiet', 'print the verdict alone');
  addOutputOptions(command)
    .addHelpText('after', EXAMPLES)
    .action((file: string, options: TraceOptions) => trace(file, options, session));
}

async function trace(file: string, options: TraceOptions, session: Session): Promise<void> {
  const { io, kit } = session;
  if (file !== '-') expectReadable(file);
  const judge = new TraceJudge();
  const startedMs = io.nowMs();
  const format = {
    width: io.columns,
    colours: coloursFor(options, io),
    requirementText: (id: string) => kit.spec().text(id),
  };
  let verdict: TraceVerdict;
  try {
    const end = await read(file, judge, options, io);
    verdict = judge.finish(end === 'whole');
  } catch (error) {
    const known = error instanceof TraceError || error instanceof LineError;
    if (!known) throw error;
    // What was broken before that is not lost.
    if (judge.findings > 0 && options.json !== true)
      io.out(findingsText(judge.found, judge.findings, format));
    const where = error instanceof LineError ? `line ${judge.lines + 1}: ` : '';
    throw usageError(`${file === '-' ? 'standard input' : file}: ${where}${error.message}`);
  }
  const run: TraceRun = { ...verdict, elapsedMs: io.nowMs() - startedMs };
  session.exitCode = exitCodes[verdict.verdict];
  if (options.json === true)
    io.out(`${JSON.stringify({ version: VERDICT_VERSION, file, ...run }, undefined, 2)}\n`);
  else io.out(traceText(run, options.quiet === true, format));
}

const exitCodes = {
  pass: ExitCode.conformant,
  fail: ExitCode.violations,
  inconclusive: ExitCode.couldNotJudge,
} as const;

/** Gives the judge every line. Returns why it ended. */
async function read(
  file: string,
  judge: TraceJudge,
  options: TraceOptions,
  io: Io,
): Promise<'whole' | 'interrupted' | 'enough'> {
  const lines = new Lines((line, ended) => judge.line(line, ended));
  const source = file === '-' ? io.input() : createReadStream(file, { highWaterMark: READ_BYTES });
  const shown = options.quiet !== true && io.errIsTty;
  const progress = new ProgressLine(file, judge, io, shown, coloursFor(options, io));
  let interrupted = false;
  const forget = io.onInterrupt(() => {
    interrupted = true;
    // It may be waiting for more, which may never come.
    close(source);
  });
  try {
    for await (const chunk of unpacked(source)) {
      if (interrupted) return 'interrupted';
      lines.push(chunk);
      progress.read(chunk.length);
      if (judge.enough) return 'enough';
    }
    if (interrupted) return 'interrupted';
    lines.end();
    return 'whole';
  } catch (error) {
    // The end of a source that was closed under the reader.
    if (interrupted && !(error instanceof TraceError)) return 'interrupted';
    throw readable(error, file);
  } finally {
    forget();
    progress.end();
    close(source);
  }
}

/** A source that is left open keeps the process alive. */
function close(source: AsyncIterable<Uint8Array>): void {
  if (source instanceof Readable) source.destroy();
}

/** What the system says of a source that could not be read on. */
function readable(error: unknown, file: string): unknown {
  if (!(error instanceof Error) || !('code' in error) || error instanceof CliError) return error;
  return usageError(`cannot read ${file} to its end: ${error.message} (${String(error.code)})`);
}

/** On a terminal, how far it has come, once a second. */
class ProgressLine {
  readonly #judge: TraceJudge;
  readonly #io: Io;
  readonly #shown: boolean;
  readonly #colours: ReturnType<typeof coloursFor>;
  readonly #bytesTotal: number | undefined;
  readonly #startedMs: number;
  #nextMs: number;
  #bytes = 0;

  constructor(
    file: string,
    judge: TraceJudge,
    io: Io,
    shown: boolean,
    colours: ReturnType<typeof coloursFor>,
  ) {
    this.#judge = judge;
    this.#io = io;
    this.#shown = shown;
    this.#colours = colours;
    const size = file === '-' || file.endsWith('.gz') ? 0 : statSync(file).size;
    this.#bytesTotal = size > 0 ? size : undefined;
    this.#startedMs = io.nowMs();
    this.#nextMs = this.#startedMs + PROGRESS_MS;
  }

  read(bytes: number): void {
    this.#bytes += bytes;
    const nowMs = this.#io.nowMs();
    if (!this.#shown || nowMs < this.#nextMs) return;
    this.#nextMs = nowMs + PROGRESS_MS;
    const { lines, findings } = this.#judge;
    const done = this.#bytesTotal === undefined ? undefined : this.#bytes / this.#bytesTotal;
    const figures = { lines, findings, bytes: this.#bytes, done, elapsedMs: nowMs - this.#startedMs };
    this.#io.err(`\r\u001b[K${traceProgressLine(figures, this.#io.columns, this.#colours)}`);
  }

  end(): void {
    if (this.#shown) this.#io.err('\r\u001b[K');
  }
}
