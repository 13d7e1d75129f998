/** `vrdma serve --socket PATH`: a device for drivers in other processes, over vhost-user. */
import { appendFileSync, writeFileSync } from 'node:fs';
import { Option, type Command } from 'commander';
import type { Session } from '../session.js';
import type { Implementation } from '../../conformance/implementation.js';
import type { DeviceHost, DeviceKindName, LiveJudge } from '../../conformance/serve/index.js';
import type { TraceRecorder } from '../../conformance/trace.js';
import { leaveWithGuard } from '../bus-guard.js';
import { CliError, ExitCode, usageError } from '../exit-code.js';
import { serveText, serveVerdict } from '../format/serve.js';
import type { ProfileName } from '../job.js';
import { unknownName } from '../nearest.js';
import { addOutputOptions, coloursFor, type OutputOptions } from '../options.js';

interface ServeCommandOptions extends OutputOptions {
  readonly socket: string;
  readonly device: DeviceKindName;
  readonly profile: ProfileName;
  readonly poll?: boolean;
  readonly once?: boolean;
  readonly judge?: boolean;
  readonly trace?: string;
  readonly fault?: string;
  readonly json?: boolean;
}

const EXAMPLES = `
The device speaks vhost-user: QEMU, DPDK's virtio-user and vrdma check --device vhost-user:PATH are front-ends. Each
connection is a virtual machine with a device of its own; all devices of one process are joined. docs/peers.md says more.

Exit code 1 when --judge saw an obligation broken, 2 when the socket cannot be had, 3 when there was nothing to judge.

Examples:
  $ vrdma serve --socket /tmp/rdma.sock
  $ vrdma serve --socket /tmp/rdma.sock --judge --once
  $ vrdma serve --socket /tmp/rdma.sock --fault device/access-flags-ignored`;

const kinds: readonly DeviceKindName[] = ['roce', 'net', 'loop'];

export function addServeCommand(root: Command, session: Session): void {
  const command = root
    .command('serve')
    .summary('offer a device to drivers in other processes')
    .description('Serves the model device over vhost-user until it is interrupted.')
    .requiredOption('--socket <path>', 'unix socket to listen at')
    .addOption(new Option('--device <kind>', 'what is served').choices(kinds).default('roce'))
    .addOption(
      new Option('--profile <name>', 'device that is modelled').choices(['roce', 'rdma']).default('roce'),
    )
    .option('--poll', 'look at every queue all the time instead of waiting for kicks')
    .option('--once', 'end with the first connection')
    .option('--judge', 'look on at the rings, and report at the end')
    .option('--json', 'print the report of --judge as JSON')
    .option('--trace <file>', 'record what the devices do as a trace, for vrdma trace')
    .option('--fault <mutant>', 'serve a device that is wrong on purpose; docs/mutants.md lists them');
  addOutputOptions(command)
    .addHelpText('after', EXAMPLES)
    .action((options: ServeCommandOptions) => serveDevices(options, session));
}

async function serveDevices(options: ServeCommandOptions, session: Session): Promise<void> {
  const { io } = session;
  const { deviceKinds, LiveJudge: Judge, serve } = await import('../../conformance/serve/index.js');
  const faulty = options.fault === undefined ? undefined : await faultOf(options.fault, options.device);
  const host: DeviceHost = asUsageError(() =>
    deviceKinds[options.device].host({
      profile: options.profile,
      ringFeatures: { indirect: true, eventIdx: true, packed: true, inOrder: true },
      polling: options.poll === true,
      faulty,
    }),
  );
  let machines = 0;
  const judge =
    options.judge === true
      ? new Judge(host.rdma, ({ id, doc }, { message }) => {
          io.err(`vrdma: ${id}: ${message} (${doc})\n`);
          leave();
        })
      : undefined;
  const leave = (): void => {
    if (judge !== undefined)
      leaveWithGuard(() => reportText(judge, { machines, cut: true }, options, session));
  };
  const trace = options.trace === undefined ? undefined : await TraceFile.open(options.trace, host, options);
  const leaving = judge && setInterval(leave, LEAVE_MS);
  await new Promise<void>((resolve, reject) => {
    const end = (): void => {
      forget();
      server.close();
      resolve();
    };
    let forget = (): void => undefined;
    const listener = {
      connected: (vm: number) => {
        machines++;
        io.err(`vrdma: connection ${vm}\n`);
      },
      complaint: (vm: number, message: string) => io.err(`vrdma: connection ${vm}: ${message}\n`),
      disconnected: (vm: number, why: Error) => {
        leave();
        io.err(`vrdma: connection ${vm} ended: ${why.message}\n`);
        if (options.once === true) setImmediate(end);
      },
    };
    const polling = options.poll === true;
    const server = rejecting(reject, () =>
      serve({ path: options.socket, host, polling, listener, judge, recorder: trace?.recorder }),
    );
    forget = io.onInterrupt(end);
    io.err(`vrdma: serving a ${options.device} device at ${options.socket}\n`);
  }).finally(() => clearInterval(leaving));
  trace?.end();
  if (judge === undefined) return;
  io.out(reportText(judge, { machines, cut: false }, options, session));
  session.exitCode = exitCodes[serveVerdict(judge.outcomes)];
}

/** Turns what `act` throws into the end of a promise, and goes on throwing. */
function rejecting<T>(reject: (error: unknown) => void, act: () => T): T {
  try {
    return asUsageError(act);
  } catch (error) {
    reject(error);
    throw error;
  }
}

/** A fault that names itself is one of the command line's: a socket in use, no native calls, a device that cannot be served. */
function asUsageError<T>(act: () => T): T {
  try {
    return act();
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    if (!(error instanceof Error) || !/^ERR_(NATIVE|VHOST_USER|NOT_SERVABLE)/.test(code)) throw error;
    if (code === 'ERR_NATIVE_MISSING') throw new CliError(ExitCode.couldNotJudge, error.message);
    throw usageError(error.message);
  }
}

async function faultOf(id: string, device: DeviceKindName): Promise<Implementation> {
  const { mutants } = await import('../../conformance/mutants/index.js');
  const known = mutants.filter(({ implementation }) => implementation.driver === undefined);
  const found = known.find(mutant => mutant.id === id);
  if (device !== 'roce') throw usageError('--fault goes with --device roce: no other device has any.');
  if (found !== undefined) return found.implementation;
  const ids = known.map(mutant => mutant.id);
  throw usageError(
    `${unknownName('fault', id, ids)} docs/mutants.md lists those of devices, rings and adapters.`,
  );
}

function reportText(
  { outcomes, notJudged }: LiveJudge,
  run: { readonly machines: number; readonly cut: boolean },
  options: ServeCommandOptions,
  { io, kit }: Session,
): string {
  if (options.json === true) {
    const { machines, cut } = run;
    const verdict = serveVerdict(outcomes, cut);
    return `${JSON.stringify({ version: 1, verdict, machines, cut, outcomes, notJudged }, undefined, 2)}\n`;
  }
  const requirementText = (id: string): string | undefined => kit.spec().text(id);
  const format = { width: io.columns, colours: coloursFor(options, io), requirementText };
  return serveText(outcomes, { ...run, notJudged }, format);
}

const exitCodes = {
  pass: ExitCode.conformant,
  fail: ExitCode.violations,
  inconclusive: ExitCode.couldNotJudge,
} as const;

const FLUSH_MS = 200;
/** Between two reports that are left with the guard, besides those at a breach and at the end of a connection. */
const LEAVE_MS = 200;

/** A trace that grows while devices are served. */
class TraceFile {
  readonly recorder: TraceRecorder;
  readonly #file: string;
  readonly #timer: NodeJS.Timeout;

  constructor(file: string, recorder: TraceRecorder) {
    this.#file = file;
    this.recorder = recorder;
    this.#timer = setInterval(() => this.#flush(), FLUSH_MS);
  }

  static async open(file: string, host: DeviceHost, { profile }: ServeCommandOptions): Promise<TraceFile> {
    const { TraceRecorder: Recorder, traceHeader } = await import('../../conformance/trace.js');
    const { smallLimits } = await import('../../conformance/limits.js');
    const rdma = host.rdma !== undefined;
    const header = {
      ...traceHeader(profile, smallLimits),
      source: 'vrdma serve',
      points: rdma ? ['control', 'ring', 'wire'] : ['ring'],
      sides: ['device'],
      ...(rdma ? {} : { queues: 64, queueSizeMax: 1024, completionQueues: [64, 0] }),
    };
    try {
      writeFileSync(file, `${JSON.stringify(header)}\n`);
    } catch (error) {
      throw usageError(`cannot write ${file}: ${error instanceof Error ? error.message : String(error)}`);
    }
    return new TraceFile(file, new Recorder());
  }

  #flush(): void {
    const events = this.recorder.events.splice(0);
    if (events.length > 0)
      appendFileSync(this.#file, events.map(event => `${JSON.stringify(event)}\n`).join(''));
  }

  end(): void {
    clearInterval(this.#timer);
    this.#flush();
  }
}
