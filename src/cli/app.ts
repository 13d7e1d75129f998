/** The command line: which commands there are, and how each way of ending becomes a message and an exit code. */
import { Command, CommanderError } from 'commander';
import { addExplainCommand, addListCommand } from './commands/cases.js';
import { addCheckCommand } from './commands/check.js';
import { addDiffCommand } from './commands/diff.js';
import { addExportCommand, addMachinesCommand } from './commands/machines.js';
import { addMergeCommand } from './commands/merge.js';
import { addMutantsCommand } from './commands/mutants.js';
import { addReplayCommand } from './commands/replay.js';
import { addServeCommand } from './commands/serve.js';
import { addSoakCommand } from './commands/soak.js';
import { addSpecCommand } from './commands/spec.js';
import { addTraceCommand } from './commands/trace.js';
import { addWireCommand } from './commands/wire.js';
import { CliError, ExitCode } from './exit-code.js';
import type { Io } from './io.js';
import type { Kit } from './kit.js';
import { unknownName } from './nearest.js';
import type { Session } from './session.js';

/** Runs one command. Never throws. @param argv without node and script */
export async function main(argv: readonly string[], io: Io, kit: Kit): Promise<ExitCode> {
  const session: Session = { io, kit, exitCode: ExitCode.conformant };
  try {
    await program(session).parseAsync(argv, { from: 'user' });
    return session.exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.conformant : ExitCode.usage;
    if (error instanceof CliError) {
      io.err(`vrdma: ${error.message}\n`);
      return error.exitCode;
    }
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    io.err(
      `vrdma: this is a fault of vrdma itself; please report it with the command that you ran.\n${stack}\n`,
    );
    return ExitCode.couldNotJudge;
  }
}

const EXAMPLES = `
Examples:
  $ vrdma check                                judge the bundled driver and device
  $ vrdma check --driver ./my-driver.js        judge your own driver
  $ vrdma check --seed 7 --runs 1000 --json    the same programs every time, as JSON
  $ vrdma replay findings/no-lost-wakeup-7.json
  $ vrdma export qp --format mermaid

Exit codes: 0 conformant, 1 a law was broken (a crash or a hang of the implementation too), 2 usage,
3 no verdict (the implementation could not be loaded, the kit is at fault, or the run was stopped).`;

function program(session: Session): Command {
  const { io } = session;
  const root = new Command('vrdma')
    .description('An executable model of virtio-rdma and a conformance kit for its drivers and devices')
    .version(session.kit.version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .addHelpText('after', EXAMPLES)
    .configureOutput({ writeOut: text => io.out(text), writeErr: text => io.err(text) })
    .configureHelp({ helpWidth: io.columns })
    .exitOverride()
    .showHelpAfterError('(vrdma --help lists commands and options)');
  addCheckCommand(root, session);
  addListCommand(root, session);
  addExplainCommand(root, session);
  addReplayCommand(root, session);
  addSoakCommand(root, session);
  addServeCommand(root, session);
  addTraceCommand(root, session);
  addWireCommand(root, session);
  addMergeCommand(root, session);
  addDiffCommand(root, session);
  addMachinesCommand(root, session);
  addExportCommand(root, session);
  addSpecCommand(root, session);
  addMutantsCommand(root, session);
  const names = root.commands.map(command => command.name());
  root.argument('[command]').action((wanted: string | undefined) => {
    if (wanted === undefined) return root.help({ error: true });
    throw new CliError(ExitCode.usage, unknownName('command', wanted, names));
  });
  return root;
}
