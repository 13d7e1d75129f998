/** Simpler versions of a program, the boldest first: fewer actions, a plainer world, plainer actions. */
import type { Action, Program } from '../program.js';

export function* simpler(program: Program): IterableIterator<Program> {
  yield* fewerActions(program);
  yield* plainerWorld(program);
  yield* plainerActions(program);
}

function* fewerActions(program: Program): IterableIterator<Program> {
  const { actions } = program;
  for (let size = Math.ceil(actions.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let end = actions.length; end > 0; end -= size) {
      const start = Math.max(0, end - size);
      yield { ...program, actions: [...actions.slice(0, start), ...actions.slice(end)] };
    }
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

function* plainerActions(program: Program): IterableIterator<Program> {
  const { actions } = program;
  for (let index = actions.length - 1; index >= 0; index--) {
    for (const plainer of plainerAction(actions[index])) {
      yield { ...program, actions: actions.with(index, plainer) };
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
