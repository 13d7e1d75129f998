/** `vrdma serve --socket PATH`: a device for drivers in other processes, over vhost-user. */
import { Option, type Command } from 'commander';
import type { Session } from '../app.js';
import type { DeviceKindName } from '../../conformance/serve/index.js';
import { ExitCode, usageError } from '../exit-code.js';
import type { ProfileName } from '../job.js';

interface ServeCommandOptions {
  readonly socket: string;
  readonly device: DeviceKindName;
  readonly profile: ProfileName;
  readonly poll?: boolean;
  readonly once?: boolean;
}

const EXAMPLES = `
The device speaks vhost-user: QEMU, DPDK's virtio-user and vrdma check --device vhost-user:PATH are front-ends. Each
connection is a virtual machine with a device of its own; all devices of one process are joined.

Examples:
  $ vrdma serve --socket /tmp/rdma.sock`;

export function addServeCommand(root: Command, session: Session): void {
  root
    .command('serve')
    .summary('offer a device to drivers in other processes')
    .description('Serves the model device over vhost-user until it is interrupted.')
    .requiredOption('--socket <path>', 'unix socket to listen at')
    .addOption(
      new Option('--device <kind>', 'what is served').choices(['roce', 'net', 'loop']).default('roce'),
    )
    .addOption(
      new Option('--profile <name>', 'device that is modelled').choices(['roce', 'rdma']).default('roce'),
    )
    .option('--poll', 'look at every queue all the time instead of waiting for kicks')
    .option('--once', 'end with the first connection')
    .addHelpText('after', EXAMPLES)
    .action((options: ServeCommandOptions) => serveDevices(options, session));
}

async function serveDevices(options: ServeCommandOptions, session: Session): Promise<void> {
  const { io } = session;
  const { deviceKinds, serve } = await import('../../conformance/serve/index.js');
  const host = deviceKinds[options.device].host({
    profile: options.profile,
    ringFeatures: { indirect: true, eventIdx: true, packed: true, inOrder: true },
    polling: options.poll === true,
  });
  await new Promise<void>((resolve, reject) => {
    const end = (): void => {
      forget();
      server.close();
      resolve();
    };
    const server = start();
    const forget = io.onInterrupt(end);
    io.err(`vrdma: serving a ${options.device} device at ${options.socket}\n`);

    function start() {
      try {
        return serve({
          path: options.socket,
          host,
          polling: options.poll === true,
          listener: {
            connected: vm => io.err(`vrdma: connection ${vm}\n`),
            complaint: (vm, message) => io.err(`vrdma: connection ${vm}: ${message}\n`),
            disconnected: (vm, why) => {
              io.err(`vrdma: connection ${vm} ended: ${why.message}\n`);
              if (options.once === true) setImmediate(end);
            },
          },
        });
      } catch (error) {
        if (!(error instanceof Error) || !('code' in error)) throw error;
        reject(usageError(error.message));
        throw error;
      }
    }
  });
  session.exitCode = ExitCode.conformant;
}
