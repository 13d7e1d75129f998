/** Simpler versions of a program in which two things become one: two machines, or two objects of a kind. */
import { actionSchema } from '../program.js';
import type { Action, Program } from '../program.js';

const NAME = /^([a-z]+)([0-9]+)$/;
/** Added to the numbers of the names of a machine that becomes part of another. */
const APART = 1000;

export function* merged(program: Program): IterableIterator<Program> {
  const plain = sameNumbers(program);
  if (plain !== undefined) yield plain;
  const last = program.hosts.length - 1;
  if (last > 0) {
    yield sameMachine(program, last);
    yield withoutMachine(program, last);
  }
  yield* oneObjectLess(program);
}

/** Every queue pair begins at sequence number 0, so that two can become one that talks to itself. */
function sameNumbers(program: Program): Program | undefined {
  let changed = false;
  const actions = program.actions.map((action): Action => {
    if (action.op !== 'modifyQp') return action;
    const { sqPsn, rqPsn } = action.set;
    if (!sqPsn && !rqPsn) return action;
    changed = true;
    const numbers = { ...(sqPsn && { sqPsn: 0 }), ...(rqPsn && { rqPsn: 0 }) };
    return { ...action, set: { ...action.set, ...numbers } };
  });
  return changed ? { ...program, actions } : undefined;
}

/** What machine `vm` did, the machine before it does too. */
function withoutMachine(program: Program, vm: number): Program {
  const into = vm - 1;
  const rename = (name: string): string =>
    name.replace(NAME, (_all, kind, n) => `${kind}${Number(n) + APART}`);
  const actions = program.actions.map(action =>
    rewrite(
      action,
      where => (where === vm ? into : where),
      (where, name) => (where === vm ? rename(name) : name),
    ),
  );
  return { ...program, hosts: program.hosts.slice(0, vm), actions };
}

/** Machine `vm` becomes the one before it, and objects of the same name become one. */
function sameMachine(program: Program, vm: number): Program {
  const into = vm - 1;
  const ours = new Set<string>();
  for (const action of program.actions) if (action.vm === into && 'as' in action) ours.add(action.as);
  const kept = program.actions.filter(action => action.vm !== vm || !('as' in action && ours.has(action.as)));
  const actions = kept.map(action =>
    rewrite(
      action,
      where => (where === vm ? into : where),
      (_where, name) => name,
    ),
  );
  return { ...program, hosts: program.hosts.slice(0, vm), actions };
}

/** Each object is tried in the place of the next one of its kind. */
function* oneObjectLess(program: Program): IterableIterator<Program> {
  const earlier = new Map<string, string>();
  for (const [index, action] of program.actions.entries()) {
    if (!('as' in action)) continue;
    const { vm, as } = action;
    const kind = `${vm} ${as.replace(/[0-9]+$/, '')}`;
    const other = earlier.get(kind);
    earlier.set(kind, as);
    if (other === undefined) continue;
    const kept = program.actions.toSpliced(index, 1);
    const actions = kept.map(each =>
      rewrite(
        each,
        where => where,
        (where, name) => (where === vm && name === as ? other : name),
      ),
    );
    yield { ...program, actions };
  }
}

/** The action with other machines and names. A name belongs to the machine that is named beside it or around it. */
function rewrite(
  action: Action,
  machineOf: (vm: number) => number,
  nameOf: (vm: number, name: string) => string,
): Action {
  const walk = (value: unknown, vm: number): unknown => {
    if (typeof value === 'string') return NAME.test(value) ? nameOf(vm, value) : value;
    if (Array.isArray(value)) return value.map(each => walk(each, vm));
    if (typeof value !== 'object' || value === null) return value;
    const own = 'vm' in value && typeof value.vm === 'number' ? value.vm : vm;
    return Object.fromEntries(
      Object.entries(value).map(([key, part]) => [
        key,
        key === 'vm' ? machineOf(own) : key === 'fill' ? part : walk(part, own),
      ]),
    );
  };
  return actionSchema.parse(walk(action, action.vm));
}
