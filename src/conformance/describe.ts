/** An action as one line that a person can read: the script form of a program. */
import type { Action, AttributesSpec, KeySpec, SendRequestSpec, SgeSpec } from './program.js';

/** `0: qp1 = createQp(pd0, RC, cq0, cq0)`: the machine, then what it does. */
export function describeAction(action: Action): string {
  return `${action.vm}: ${body(action)}`;
}

function body(action: Action): string {
  switch (action.op) {
    case 'queryDevice':
    case 'queryPort':
      return `${action.op}()`;
    case 'createPd':
      return `${action.as} = createPd()`;
    case 'destroyPd':
      return `destroyPd(${action.pd})`;
    case 'createCq':
      return `${action.as} = createCq(${action.cqe})`;
    case 'destroyCq':
      return `destroyCq(${action.cq})`;
    case 'regMr':
      return `${action.as} = regMr(${action.pd}, bytes ${action.at}..${action.at + action.length - 1}, access ${action.access})`;
    case 'getDmaMr':
      return `${action.as} = getDmaMr(${action.pd}, access ${action.access})`;
    case 'deregMr':
      return `deregMr(${action.mr})`;
    case 'createQp':
      return `${action.as} = createQp(${action.pd}, ${action.type}, ${action.sendCq}, ${action.recvCq}${action.sigAll === true ? ', all signaled' : ''})`;
    case 'modifyQp':
      return `modifyQp(${action.qp}, ${describeAttributes(action.set)})`;
    case 'queryQp':
      return `queryQp(${action.qp})`;
    case 'destroyQp':
      return `destroyQp(${action.qp})`;
    case 'createAh':
      return `${action.as} = createAh(${action.pd}, to machine ${action.to.vm} gid ${action.to.gid})`;
    case 'destroyAh':
      return `destroyAh(${action.ah})`;
    case 'addGid':
      return `addGid(${action.index}, gid ${action.gid}${action.of === undefined ? '' : ` of machine ${action.of}`})`;
    case 'delGid':
      return `delGid(${action.index})`;
    case 'reqNotifyCq':
    case 'waitCq':
      return `${action.op}(${action.cq}${action.solicitedOnly === true ? ', solicited only' : ''})`;
    case 'postSend':
      return `postSend(${action.qp}, ${action.requests.map(describeSend).join('; ')})`;
    case 'postRecv':
      return `postRecv(${action.qp}, ${action.requests.map(request => describeSges(request.sges)).join('; ')})`;
    case 'pollCq':
      return `pollCq(${action.cq}, up to ${action.max ?? 16})`;
    case 'writeMemory':
    case 'expectMemory':
      return `${action.op}(bytes ${action.at}..${action.at + action.length - 1}, pattern ${action.fill})`;
  }
}

function describeSend(request: SendRequestSpec): string {
  const parts: string[] = [request.opcode];
  parts.push(request.inline === undefined ? describeSges(request.sges) : `${request.inline} bytes inline`);
  if (request.imm !== undefined) parts.push(`imm ${request.imm}`);
  if (request.remote !== undefined) {
    parts.push(
      `at ${request.remote.at} of machine ${request.remote.vm} with ${describeKey(request.remote.mr)}`,
    );
  }
  if (request.ah !== undefined) parts.push(`via ${request.ah}`);
  if (request.dest !== undefined) {
    parts.push(
      typeof request.dest === 'number'
        ? `to qp number ${request.dest}`
        : `to ${request.dest.qp} of machine ${request.dest.vm}`,
    );
  }
  if (request.qkey !== undefined) parts.push(`qkey 0x${request.qkey.toString(16)}`);
  if (request.signaled === false) parts.push('unsignaled');
  if (request.solicited === true) parts.push('solicited');
  if (request.fence === true) parts.push('fence');
  return parts.join(' ');
}

function describeSges(sges: readonly SgeSpec[]): string {
  return `[${sges.map(sge => `${sge.length} bytes at ${sge.at} of ${describeKey(sge.mr)}`).join(', ')}]`;
}

function describeKey(key: KeySpec): string {
  if (typeof key === 'string') return key;
  return 'raw' in key ? `key 0x${key.raw.toString(16)}` : `${key.of}${key.delta < 0 ? '' : '+'}${key.delta}`;
}

function describeAttributes(set: AttributesSpec): string {
  return Object.entries(set)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name} ${typeof value === 'object' ? JSON.stringify(value) : String(value)}`)
    .join(', ');
}
