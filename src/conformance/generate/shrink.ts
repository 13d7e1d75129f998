/** Simpler versions of a program, the boldest first: fewer actions, a plainer world, plainer actions. */
import { merged } from './merge.js';
import type { Action, Program } from '../program.js';

/** How far the simplification of a program has come: what was tried before and failed is not tried again at once. */
export interface ShrinkPlace {
  readonly phase: 'actions' | 'world' | 'plain' | 'again';
  /** Actions left out at a time. */
  readonly size: number;
  /** Actions from here on have been tried. */
  readonly at: number;
  /** Something was left out in this pass, so that another one may find more. */
  readonly found: boolean;
}

export interface SimplerProgram {
  readonly program: Program;
  /** Where to go on when this one still shows what is sought. */
  readonly place: ShrinkPlace;
}

export function* simpler(
  program: Program,
  place: ShrinkPlace = {
    phase: 'actions',
    size: Math.ceil(program.actions.length / 2),
    at: program.actions.length,
    found: false,
  },
): IterableIterator<SimplerProgram> {
  const { phase } = place;
  if (phase === 'actions') yield* fewerActions(program, place);
  if (phase === 'actions' || phase === 'world') {
    for (const plainer of [...merged(program), ...plainerWorld(program)])
      yield { program: plainer, place: { ...place, phase: 'world' } };
  }
  const end = program.actions.length;
  if (phase !== 'again') yield* plainerActions(program, phase === 'plain' ? place.at : end);
  const again = { phase: 'again', size: 2, at: end, found: false } as const;
  if (phase === 'again') yield* fewerActions(program, place);
  if (phase !== 'again' || place.found) yield* fewerActions(program, again);
}

function* fewerActions(program: Program, place: ShrinkPlace): IterableIterator<SimplerProgram> {
  const { actions } = program;
  let end = Math.min(place.at, actions.length);
  for (let { size } = place; size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (; end > 0; end -= size) {
      const start = Math.max(0, end - size);
      const rest = [...actions.slice(0, start), ...actions.slice(end)];
      yield { program: { ...program, actions: rest }, place: { ...place, size, at: start, found: true } };
    }
    end = actions.length;
  }
}

function* plainerWorld(program: Program): IterableIterator<Program> {
  const { faults, hosts } = program;
  if (program.mode === 'racing') {
    if (!program.choices.only) yield { ...program, choices: { list: [], only: true } };
  }
  if (faults.drop + faults.duplicate + faults.reorder > 0) {
    yield { ...program, faults: { drop: 0, duplicate: 0, reorder: 0 } };
    for (const kind of ['drop', 'duplicate', 'reorder'] as const) {
      if (faults[kind] > 0) yield { ...program, faults: { ...faults, [kind]: 0 } };
    }
  }
  if (program.packed === true) yield { ...program, packed: undefined };
  if (program.inOrder === true) yield { ...program, inOrder: undefined };
  if (program.indirect) yield { ...program, indirect: false };
  if (program.eventIdx) yield { ...program, eventIdx: false };
  if (hosts.some(host => host !== 0)) yield { ...program, hosts: hosts.map(() => 0) };
  const used = 1 + Math.max(0, ...program.actions.map(highestVm));
  if (used < hosts.length) yield { ...program, hosts: hosts.slice(0, used) };
}

function highestVm(action: Action): number {
  let highest = action.vm;
  JSON.stringify(action, (key, value: unknown) => {
    if (key === 'vm' && typeof value === 'number') highest = Math.max(highest, value);
    return value;
  });
  return highest;
}

/** From the action before `end` down to the first. */
function* plainerActions(program: Program, end: number): IterableIterator<SimplerProgram> {
  const { actions } = program;
  for (let index = Math.min(end, actions.length) - 1; index >= 0; index--) {
    for (const plainer of plainerAction(actions[index])) {
      const place = { phase: 'plain', size: 1, at: index + 1, found: false } as const;
      yield { program: { ...program, actions: actions.with(index, plainer) }, place };
    }
  }
}

function* plainerAction(action: Action): IterableIterator<Action> {
  if (action.op === 'postRecv') {
    for (const requests of shorter(action.requests)) yield { ...action, requests };
    if (action.requests.length === 1) {
      for (const sges of shorter(action.requests[0].sges, 0)) yield { ...action, requests: [{ sges }] };
    }
  } else if (action.op === 'postSend') {
    for (const requests of shorter(action.requests)) yield { ...action, requests };
    if (action.requests.length !== 1) return;
    const [request] = action.requests;
    for (const flag of ['solicited', 'fence', 'inline', 'imm'] as const) {
      if (request[flag] !== undefined) {
        const { [flag]: _dropped, ...rest } = request;
        yield { ...action, requests: [rest] };
      }
    }
    if (request.signaled === false) yield { ...action, requests: [{ ...request, signaled: true }] };
    for (const sges of shorter(request.sges, 0)) yield { ...action, requests: [{ ...request, sges }] };
    for (const [i, sge] of request.sges.entries()) {
      if (sge.length > 1) {
        const sges = request.sges.with(i, { ...sge, length: sge.length >> 1 });
        yield { ...action, requests: [{ ...request, sges }] };
      }
    }
  } else if (action.op === 'createQp' && (action.cap !== undefined || action.sigAll !== undefined)) {
    const { cap: _cap, sigAll: _sigAll, ...rest } = action;
    yield rest;
  } else if (action.op === 'waitCq') yield { op: 'pollCq', vm: action.vm, cq: action.cq };
}

function* shorter<T>(list: readonly T[], least = 1): IterableIterator<T[]> {
  if (list.length <= least) return;
  if (list.length > 2) {
    yield list.slice(0, list.length >> 1);
    yield list.slice(list.length >> 1);
  }
  for (let i = 0; i < list.length; i++) yield list.toSpliced(i, 1);
}
