/** `vrdma wire FILE`: judges a capture of RoCE v2 frames. */
import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import type { Command } from 'commander';
import type { Session } from '../session.js';
import { LineError } from '../../conformance/elsewhere/index.js';
import { CaptureJudge, PcapError } from '../../conformance/wire/index.js';
import { ExitCode, usageError } from '../exit-code.js';
import { captureText } from '../format/wire.js';
import type { TraceFormat } from '../format/trace.js';
import type { CaptureRun } from '../format/wire.js';
import { addOutputOptions, coloursFor, type OutputOptions } from '../options.js';
import { expectReadable } from '../read-files.js';
import { unpacked } from '../unpack.js';

interface WireOptions extends OutputOptions {
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly complete?: boolean;
}

/** Of the JSON that --json prints. */
const VERDICT_VERSION = 1;
const READ_BYTES = 1 << 20;

const EXAMPLES = `
A capture is a classic pcap file with Ethernet frames, as tcpdump -w writes it (editcap -F pcap makes one of a pcapng
file); one that is compressed with gzip is unpacked. It must hold whole frames in the order in which they left, taken
where none is lost: a frame that the capture missed looks like one that was skipped. It may begin at any time.

Exit code 1 when a law was broken, 2 when the file cannot be understood, 3 when nothing was judged.

Examples:
  $ tcpdump -i eth0 -w roce.pcap udp port 4791
  $ vrdma wire roce.pcap
  $ tcpdump -i eth0 -w - udp port 4791 | vrdma wire -`;

export function addWireCommand(root: Command, session: Session): void {
  const command = root
    .command('wire')
    .summary('judge a capture of RoCE v2 frames')
    .description('Holds captured RoCE v2 frames against the state machines of the wire.')
    .argument('<file>', 'a pcap file, or - for standard input')
    .option('--complete', 'every datagram that left is in the capture, whatever way it took')
    .option('--json', 'print the verdict as JSON')
    .option('--quiet', 'print the verdict alone');
  addOutputOptions(command)
    .addHelpText('after', EXAMPLES)
    .action((file: string, options: WireOptions) => wire(file, options, session));
}

async function wire(file: string, options: WireOptions, session: Session): Promise<void> {
  const { io, kit } = session;
  if (file !== '-') expectReadable(file);
  const startedMs = io.nowMs();
  const judge = new CaptureJudge({ complete: options.complete === true });
  const format = {
    width: io.columns,
    colours: coloursFor(options, io),
    requirementText: (id: string) => kit.spec().text(id),
  };
  const run = (): CaptureRun => ({ ...judge.report(), elapsedMs: io.nowMs() - startedMs });
  const source = file === '-' ? io.input() : createReadStream(file, { highWaterMark: READ_BYTES });
  let interrupted = false;
  // A live capture is ended by the keyboard; what came until then counts.
  const forget = io.onInterrupt(() => {
    interrupted = true;
    close(source);
  });
  try {
    for await (const chunk of unpacked(source)) judge.push(chunk);
    judge.end();
  } catch (error) {
    if (interrupted) return finish(run(), file, options, session, format);
    const message = messageOf(error);
    if (message === undefined) throw error;
    // What was broken before that is not lost.
    if (judge.report().findings.length > 0 && options.json !== true)
      io.out(captureText(run(), false, format));
    throw usageError(`${file === '-' ? 'standard input' : file}: ${message}`);
  } finally {
    forget();
    close(source);
  }
  finish(run(), file, options, session, format);
}

function finish(
  run: CaptureRun,
  file: string,
  options: WireOptions,
  session: Session,
  format: TraceFormat,
): void {
  session.exitCode = exitCodeOf(run);
  if (options.json === true)
    session.io.out(`${JSON.stringify({ version: VERDICT_VERSION, file, ...run }, undefined, 2)}\n`);
  else session.io.out(captureText(run, options.quiet === true, format));
}

/** Of an error that the file is to blame for. */
function messageOf(error: unknown): string | undefined {
  if (error instanceof PcapError || error instanceof LineError) return error.message;
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return `cannot be read to its end: ${error.message}`;
}

function exitCodeOf({ findings, packets }: CaptureRun): ExitCode {
  if (findings.length > 0) return ExitCode.violations;
  return packets === 0 ? ExitCode.couldNotJudge : ExitCode.conformant;
}

/** A source that is left open keeps the process alive. */
function close(source: AsyncIterable<Uint8Array>): void {
  if (source instanceof Readable) source.destroy();
}
