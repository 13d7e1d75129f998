/** What an agent does not offer: which programs need it, and what is left of a program without it. */
import type { Action, Program, SendRequestSpec } from '../program.js';
import type { Lackable } from './protocol.js';

/** What a program needs that is not there, in words; undefined when it needs nothing of the kind. */
export function missingFor(program: Program, lacks: ReadonlySet<Lackable>): string | undefined {
  const { drop, duplicate, reorder } = program.faults;
  if (drop + duplicate + reorder > 0) return "faults of the network, and the network is the agent's";
  for (const action of program.actions) {
    const found = lackedBy(action, lacks);
    if (found !== undefined) return `${found}, which the agent does not offer`;
  }
  return undefined;
}

/** The program without what is not there. What it then names in vain is skipped wherever it runs. */
export function without(program: Program, lacks: ReadonlySet<Lackable>): Program {
  const faults = { drop: 0, duplicate: 0, reorder: 0 };
  if (lacks.size === 0) return { ...program, faults };
  return { ...program, faults, actions: program.actions.flatMap(action => reduced(action, lacks)) };
}

function reduced(action: Action, lacks: ReadonlySet<Lackable>): Action[] {
  if (action.op !== 'postSend') return lackedBy(action, lacks) === undefined ? [action] : [];
  const requests = action.requests.filter(request => lackedByRequest(request, lacks) === undefined);
  return requests.length === 0 ? [] : [{ ...action, requests }];
}

function lackedBy(action: Action, lacks: ReadonlySet<Lackable>): Lackable | undefined {
  switch (action.op) {
    case 'createQp':
      return action.type === 'SMI' ? undefined : lacked(action.type, lacks);
    case 'modifyQp':
      return action.set.state === 'SQD' || action.set.curState === 'SQD' ? lacked('SQD', lacks) : undefined;
    case 'waitCq':
    case 'reqNotifyCq':
      return lacked('reqNotifyCq', lacks);
    case 'getDmaMr':
    case 'queryQp':
    case 'createAh':
    case 'delGid':
      return lacked(action.op, lacks);
    case 'postSend': {
      const found = action.requests.map(request => lackedByRequest(request, lacks));
      return found.find(name => name !== undefined);
    }
    default:
      return undefined;
  }
}

function lackedByRequest(
  { opcode, inline, fence }: SendRequestSpec,
  lacks: ReadonlySet<Lackable>,
): Lackable | undefined {
  if (opcode !== 'SEND' && lacks.has(opcode)) return opcode;
  if (inline !== undefined && lacks.has('inline')) return 'inline';
  return fence === true ? lacked('fence', lacks) : undefined;
}

function lacked<N extends Lackable>(name: N, lacks: ReadonlySet<Lackable>): N | undefined {
  return lacks.has(name) ? name : undefined;
}
