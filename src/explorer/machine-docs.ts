/** The generated pages on the machines. */
import { qpAttrMasks } from '../abi/index.js';
import { machines } from '../statemachines/index.js';
import type { MachineDefinition, TransitionDefinition } from '../statemachines/index.js';
import { toMermaid } from './exporters.js';
import { conditionOf, pictureOf } from './picture.js';

/** A file to write; the path is relative to `docs/machines`. */
export interface GeneratedFile {
  readonly path: string;
  readonly text: string;
}

/** One page for each machine, and an index. */
export function renderMachineDocs(): GeneratedFile[] {
  return [
    { path: 'README.md', text: indexPage() },
    ...machines.map(machine => ({ path: fileName(machine), text: machinePage(machine) })),
  ];
}

const chapters: Readonly<Record<string, string>> = {
  FEAT: '02-features',
  CONF: '03-configuration',
  VQ: '04-virtqueues',
  CTRL: '05-control-commands',
  QP: '06-queue-pairs',
  DATA: '07-data-path',
  CQ: '08-completions',
  MEM: '09-memory',
  ERR: '10-errors',
  ORD: '11-ordering',
  RST: '12-reset-and-destroy',
  ISO: '13-isolation',
  HOST: '14-hostile-peers',
  PERF: '15-performance',
};

function cite(requirement: string): string {
  const chapter = chapters[requirement.split('-')[0]];
  return chapter === undefined ? requirement : `[${requirement}](../../spec/${chapter}.md)`;
}

function fileName(machine: MachineDefinition): string {
  return `${machine.name.toLowerCase().replaceAll(/[._]/g, '-')}.md`;
}

const generatedNote = '<!-- Generated from src/statemachines by `npm run generate`; do not edit. -->';

function indexPage(): string {
  const rows = machines.map(machine => [
    `[${machine.name}](${fileName(machine)})`,
    machine.instance,
    String(machine.states.length),
    String(machine.transitions.length),
  ]);
  return `# State machines

${generatedNote}

Every machine of the protocol, one instance each for one thing. Monitors run them on what is seen of a driver and a device;
an event that a machine does not allow is a violation of the obligation that stands beside it.

${table(['machine', 'one instance', 'states', 'transitions'], rows)}
`;
}

function machinePage(machine: MachineDefinition): string {
  const counter =
    machine.counter === undefined
      ? ''
      : `\nIt counts **${machine.counter.name}**: ${machine.counter.doc}.${machine.counter.limit === undefined ? '' : ` Its limit is the ${machine.counter.limit}.`}\n`;
  const hidden = machine.transitions.some(transition => transition.internal)
    ? ' Events in parentheses happen inside the device and are not seen; a monitor reckons with them at any time.'
    : '';
  const groups =
    pictureOf(machine).groups.length === 0
      ? ''
      : ' A dashed box stands for several states; "any other state" leaves out those that are never left.';
  return `# ${machine.name}

${generatedNote}

${machine.purpose}

One instance: ${machine.instance}.
${counter}
\`\`\`mermaid
${toMermaid(machine)}\`\`\`

Events that leave the state as it is stand in the table only.${groups}${hidden}

## States

${stateTable(machine)}

## Events

${eventTable(machine)}

## Transitions

${transitionTable(machine)}

## Forbidden

An event that is not in the table above for a state is not allowed there. These break an obligation of their own:

${forbiddenTable(machine)}
${machine.endRequirement === undefined ? '' : `\nA trace that ends in a state where it may not breaks ${cite(machine.endRequirement)}.\n`}`;
}

/** One row for all states in which the same event breaks the same obligation. */
function forbiddenTable({ forbidden }: MachineDefinition): string {
  const merged = new Map<string, { states: string[]; cells: string[] }>();
  for (const { from, event, requirement } of forbidden) {
    const cells = [event, cite(requirement)];
    const row = merged.get(cells.join('|')) ?? { states: [], cells };
    row.states.push(from);
    merged.set(cells.join('|'), row);
  }
  return table(
    ['state', 'event', 'breaks'],
    [...merged.values()].map(({ states, cells }) => [states.join(', '), ...cells]),
  );
}

function stateTable(machine: MachineDefinition): string {
  const rows = machine.states.map(({ name, doc, end, shadeOf }) => [
    name === machine.initial ? `${name} (initial)` : name,
    shadeOf === undefined ? doc : `${doc}; drawn as ${shadeOf}`,
    end ? 'yes' : 'no',
  ]);
  return table(['state', 'meaning', 'trace may end'], rows);
}

function eventTable(machine: MachineDefinition): string {
  return table(
    ['event', 'meaning', 'argument'],
    machine.events.map(({ name, doc, argument }) => [name, doc, argument ?? '']),
  );
}

/** One row for all states that do the same on an event. */
function transitionTable(machine: MachineDefinition): string {
  const merged = new Map<string, { sources: string[]; cells: string[] }>();
  for (const event of machine.events) {
    for (const transition of machine.transitions.filter(candidate => candidate.event === event.name)) {
      const to = transition.to === transition.from ? 'the same' : transition.to;
      const name = transition.internal ? `(${event.name})` : event.name;
      const cells = [name, to, condition(transition, machine), cite(transition.requirement)];
      const row = merged.get(cells.join('|')) ?? { sources: [], cells };
      row.sources.push(transition.from);
      merged.set(cells.join('|'), row);
    }
  }
  const rows = [...merged.values()].map(({ sources, cells: [event, to, when, requirement] }) => [
    event,
    sources.join(', '),
    to,
    when,
    requirement,
  ]);
  return table(['event', 'from', 'to', 'if; then', 'obligation'], rows);
}

function condition({ guard, effect }: TransitionDefinition, machine: MachineDefinition): string {
  const counter = machine.counter?.name ?? 'counter';
  const effects = { inc: `${counter} + 1`, dec: `${counter} - 1`, add: `${counter} + argument` };
  const when = guard === undefined ? '' : (conditionOf(guard, machine) ?? maskText(guard));
  return [when, effect === undefined ? '' : effects[effect]].filter(text => text !== '').join('; ');
}

function maskText(guard: TransitionDefinition['guard']): string {
  if (guard?.kind !== 'mask') return '';
  const required = attributeNames(guard.required);
  const optional = attributeNames(guard.optional);
  const needs = required === '' ? '' : `needs ${required}`;
  if (optional === '') return needs === '' ? 'mask empty' : `${needs}; nothing else`;
  return `${needs}${needs === '' ? 'at most' : '; may have'} ${optional}`;
}

function attributeNames(mask: number): string {
  return qpAttrMasks.names.filter(name => (mask & qpAttrMasks.values[name]) !== 0).join(', ');
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
