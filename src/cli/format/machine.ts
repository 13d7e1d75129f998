/** State machines as text. */
import { conditionOf } from '../../explorer/index.js';
import type { MachineDefinition, TransitionDefinition } from '../../statemachines/index.js';
import { plural, table, wrap, type Colours } from './text.js';

export function machineList(machines: readonly MachineDefinition[], width: number, c: Colours): string {
  return machines
    .flatMap(machine => [
      `${c.bold(machine.name)}  ${c.dim(`${plural(machine.states.length, 'state')}, ${plural(machine.transitions.length, 'transition')}`)}`,
      ...wrap(machine.purpose, width, '  '),
      '',
    ])
    .join('\n');
}

export function machineText(machine: MachineDefinition, width: number, c: Colours): string {
  const { counter } = machine;
  const states = machine.states.map(({ name, doc, end }) => [
    `  ${name}`,
    `${doc}${name === machine.initial ? ' (initial)' : ''}${end ? ' (a trace may end here)' : ''}`,
  ]);
  const events = machine.events.map(({ name, doc, argument }) => [
    `  ${name}${argument === undefined ? '' : `(${argument})`}`,
    doc,
  ]);
  return [
    c.bold(machine.name),
    ...wrap(machine.purpose, width, '  '),
    ...wrap(`One instance: ${machine.instance}`, width, '  '),
    ...(counter === undefined ? [] : wrap(`Counter ${counter.name}: ${counter.doc}`, width, '  ')),
    '',
    c.underline('states'),
    ...table(states),
    '',
    c.underline('events'),
    ...table(events),
    '',
    c.underline('transitions'),
    ...table(machine.transitions.map(transition => transitionRow(transition, machine))),
    '',
    ...(machine.forbidden.length === 0
      ? []
      : [
          c.underline('forbidden'),
          ...table(
            machine.forbidden.map(({ from, event, requirement }) => [`  ${from}`, event, `[${requirement}]`]),
          ),
          '',
        ]),
  ].join('\n');
}

function transitionRow(transition: TransitionDefinition, machine: MachineDefinition): string[] {
  const { from, event, to, guard, effect, internal, requirement } = transition;
  const condition = guard === undefined ? undefined : conditionOf(guard, machine);
  const notes = [
    ...(condition === undefined ? [] : [condition]),
    ...(effect === undefined ? [] : [`counter ${effect}`]),
    ...(internal ? ['internal'] : []),
  ];
  return [`  ${from}`, event, `-> ${to}`, notes.join(', '), `[${requirement}]`];
}
