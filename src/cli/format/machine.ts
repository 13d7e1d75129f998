/** State machines as text. */
import type { Guard, MachineDefinition, TransitionDefinition } from '../../statemachines/index.js';
import { match } from 'ts-pattern';
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
    ...table(machine.transitions.map(transitionRow)),
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

function transitionRow({
  from,
  event,
  to,
  guard,
  effect,
  internal,
  requirement,
}: TransitionDefinition): string[] {
  const notes = [
    guard === undefined ? '' : `if ${guardText(guard)}`,
    effect === undefined ? '' : `counter ${effect}`,
    internal ? 'internal' : '',
  ].filter(note => note !== '');
  return [`  ${from}`, event, `-> ${to}`, notes.join(', '), `[${requirement}]`];
}

function guardText(guard: Guard): string {
  return match(guard)
    .with(
      { kind: 'mask' },
      ({ required, optional }) => `mask needs ${hex(required)}, may have ${hex(optional)}`,
    )
    .with({ kind: 'zero' }, () => 'counter is 0')
    .with({ kind: 'positive' }, () => 'counter is above 0')
    .with({ kind: 'below-limit' }, () => 'counter is below the limit')
    .with({ kind: 'at-limit' }, () => 'counter is at the limit')
    .exhaustive();
}

function hex(value: number): string {
  return `0x${(value >>> 0).toString(16)}`;
}
