/** `vrdma machines` lists or shows the state machines; `vrdma export` prints one in the notation of another tool. */
import { writeFileSync } from 'node:fs';
import { Option, type Command } from 'commander';
import type { Session } from '../session.js';
import { exportFormats, exportMachine, type ExportFormat } from '../../explorer/index.js';
import { machines, type MachineDefinition } from '../../statemachines/index.js';
import { usageError } from '../exit-code.js';
import { machineList, machineText } from '../format/machine.js';
import { unknownName } from '../nearest.js';
import { addOutputOptions, coloursFor, type OutputOptions } from '../options.js';

interface MachinesOptions extends OutputOptions {
  readonly json?: boolean;
}

interface ExportOptions {
  readonly format: ExportFormat;
  readonly out?: string;
}

const MACHINES_EXAMPLES = `
Examples:
  $ vrdma machines
  $ vrdma machines QP.RC
  $ vrdma machines --json`;

const EXPORT_EXAMPLES = `
Examples:
  $ vrdma export QP.RC                          a Mermaid diagram
  $ vrdma export QP.RC --format dot | dot -Tsvg -o qp.svg
  $ vrdma export QP.RC --format stately         XState code, for the editor at stately.ai`;

export function addMachinesCommand(root: Command, session: Session): void {
  const command = root
    .command('machines')
    .summary('list or show the state machines')
    .description(
      'Lists the state machines of the protocol, or shows one: states, events, transitions, requirements.',
    )
    .argument('[name]', 'a machine')
    .option('--json', 'print as JSON');
  addOutputOptions(command)
    .addHelpText('after', MACHINES_EXAMPLES)
    .action((name: string | undefined, options: MachinesOptions) => showMachines(name, options, session));
}

export function addExportCommand(root: Command, session: Session): void {
  root
    .command('export')
    .summary('print a state machine in the notation of another tool')
    .description('Prints a state machine for a diagram, an editor or a program.')
    .argument('<name>', 'a machine')
    .addOption(new Option('--format <name>', 'notation').choices(exportFormats).default('mermaid'))
    .option('--out <file>', 'write to a file')
    .addHelpText('after', EXPORT_EXAMPLES)
    .action((name: string, options: ExportOptions) => printMachine(name, options, session));
}

function showMachines(name: string | undefined, options: MachinesOptions, { io }: Session): void {
  const c = coloursFor(options, io);
  if (name === undefined) {
    io.out(options.json === true ? json(machines) : machineList(machines, io.columns, c));
    return;
  }
  const machine = machineNamed(name);
  io.out(options.json === true ? json(machine) : machineText(machine, io.columns, c));
}

function printMachine(name: string, options: ExportOptions, { io }: Session): void {
  const text = exportMachine(machineNamed(name), options.format);
  if (options.out === undefined) io.out(text);
  else write(options.out, text);
}

function machineNamed(wanted: string): MachineDefinition {
  const machine = machines.find(({ name }) => name.toLowerCase() === wanted.toLowerCase());
  if (machine !== undefined) return machine;
  const names = machines.map(({ name }) => name);
  throw usageError(unknownName('machine', wanted, names));
}

function write(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (error) {
    throw usageError(`cannot write --out ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function json(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}
