/** The event that broke a machine, in words: with the guard that it did not pass, when the state alone would have allowed it. */
import { match } from 'ts-pattern';
import { qpAttrMasks } from '../../abi/index.js';
import type { TransitionDefinition, Violation } from '../../statemachines/index.js';
import { tablesOf } from '../monitors/book.js';

export function metText({ machine, states, event, arg }: Violation): string {
  const guards = tablesOf(machine).transitions.filter(
    each => each.event === event && states.includes(each.from) && each.guard !== undefined,
  );
  if (guards.length === 0) return event;
  return `${event} (${[...new Set(guards.map(({ guard }) => guardText(guard, arg)))].join('; or ')})`;
}

function guardText(guard: TransitionDefinition['guard'], arg: number): string {
  return match(guard)
    .with({ kind: 'mask' }, ({ required, optional }) => {
      const lacks = maskText(required & ~arg);
      const excess = maskText(arg & ~(required | optional));
      return [
        `mask ${maskText(arg) || 'empty'}`,
        ...(lacks === '' ? [] : [`lacks ${lacks}`]),
        ...(excess === '' ? [] : [`may not have ${excess}`]),
      ].join(', ');
    })
    .with({ kind: 'zero' }, () => 'only when none is left')
    .with({ kind: 'positive' }, () => 'only when there is one')
    .with({ kind: 'below-limit' }, () => 'only when there is room')
    .with({ kind: 'at-limit' }, () => 'only when there is no room')
    .with(undefined, () => '')
    .exhaustive();
}

function maskText(mask: number): string {
  const names = qpAttrMasks.names.filter(name => (mask & qpAttrMasks.values[name]) !== 0);
  const known = names.reduce((sum, name) => sum | qpAttrMasks.values[name], 0);
  const rest = (mask & ~known) >>> 0;
  return [...names, ...(rest === 0 ? [] : [`0x${rest.toString(16)}`])].join('|');
}
