/** A verbs program as a short script: one line an action, with the names of the program. */
import { match } from 'ts-pattern';
import { accessFlags } from '../abi/index.js';
import type { Action, AttributesSpec, KeySpec, Program, SendRequestSpec, SgeSpec } from './program.js';

/** Lines without colours: what the world is like, then the numbered actions. */
export function programScript(program: Program): string[] {
  const digits = String(Math.max(0, program.actions.length - 1)).length;
  return [
    worldLine(program),
    ...program.actions.map((action, index) => `${String(index).padStart(digits)}  ${actionLine(action)}`),
  ];
}

/** `settled, vm0 on host 0, vm1 on host 1, indirect, loss 10/1024, seed 7` */
function worldLine(program: Program): string {
  const { drop, duplicate, reorder } = program.faults;
  const parts = [
    program.mode,
    ...program.hosts.map((host, vm) => `vm${vm} on host ${host}`),
    ...(program.indirect ? ['indirect descriptors'] : []),
    ...(program.eventIdx ? ['event index'] : []),
    ...(program.packed === true ? ['packed rings'] : []),
    ...(program.inOrder === true ? ['in order'] : []),
    ...(drop > 0 ? [`loss ${drop}/1024`] : []),
    ...(duplicate > 0 ? [`duplicates ${duplicate}/1024`] : []),
    ...(reorder > 0 ? [`reordering ${reorder}/1024`] : []),
    ...(program.wide === true ? ['wide limits'] : []),
    ...(program.choices.list.length > 0 ? [`choices ${program.choices.list.join(' ')}`] : []),
    ...(program.choices.only ? [] : [`seed ${program.seed}`]),
  ];
  return `world: ${parts.join(', ')}`;
}

/** `vm0  qp0 = createQp(pd0, RC, send cq0, recv cq0)` */
export function actionLine(action: Action): string {
  const expected = 'expect' in action && action.expect !== undefined ? `  must be ${action.expect}` : '';
  return `vm${action.vm}  ${call(action)}${expected}`;
}

function call(action: Action): string {
  return match(action)
    .with({ op: 'queryDevice' }, { op: 'queryPort' }, a => `${a.op}()`)
    .with({ op: 'createPd' }, a => `${a.as} = createPd()`)
    .with({ op: 'destroyPd' }, a => `destroyPd(${a.pd})`)
    .with({ op: 'createCq' }, a => `${a.as} = createCq(${a.cqe})`)
    .with({ op: 'destroyCq' }, a => `destroyCq(${a.cq})`)
    .with(
      { op: 'regMr' },
      a => `${a.as} = regMr(${a.pd}, ${a.length} bytes at ${address(a.at)}, ${access(a.access)})`,
    )
    .with({ op: 'getDmaMr' }, a => `${a.as} = getDmaMr(${a.pd}, ${access(a.access)})`)
    .with({ op: 'deregMr' }, a => `deregMr(${a.mr})`)
    .with({ op: 'createQp' }, createQp)
    .with({ op: 'modifyQp' }, a => `modifyQp(${[a.qp, ...attributes(a.set)].join(', ')})`)
    .with({ op: 'queryQp' }, queryQp)
    .with({ op: 'destroyQp' }, a => `destroyQp(${a.qp})`)
    .with({ op: 'createAh' }, a => `${a.as} = createAh(${a.pd}, to ${peer(a.to)})`)
    .with({ op: 'destroyAh' }, a => `destroyAh(${a.ah})`)
    .with({ op: 'addGid' }, a => `addGid(${a.index}, ${a.of === undefined ? '' : `vm${a.of} `}gid ${a.gid})`)
    .with({ op: 'delGid' }, a => `delGid(${a.index})`)
    .with(
      { op: 'reqNotifyCq' },
      { op: 'waitCq' },
      a => `${a.op}(${a.cq}${a.solicitedOnly === true ? ', solicited only' : ''})`,
    )
    .with({ op: 'postSend' }, a => `postSend(${a.qp}, ${several(a.requests.map(sendRequest))})`)
    .with(
      { op: 'postRecv' },
      a => `postRecv(${a.qp}, ${several(a.requests.map(r => repeated(sges(r.sges), r.times)))})`,
    )
    .with({ op: 'pollCq' }, pollCq)
    .with(
      { op: 'writeMemory' },
      { op: 'expectMemory' },
      a =>
        `${a.op}(${a.length} bytes at ${address(a.at)}, ${typeof a.fill === 'string' ? `bytes ${a.fill}` : `pattern ${a.fill}`})`,
    )
    .exhaustive();
}

function createQp(a: Extract<Action, { op: 'createQp' }>): string {
  const parts = [a.pd, a.type, `send ${a.sendCq}`, `recv ${a.recvCq}`];
  if (a.cap !== undefined) {
    const { sendWr, recvWr, sendSge, recvSge, inline } = a.cap;
    parts.push(`cap ${sendWr}/${recvWr} requests ${sendSge}/${recvSge} sges ${inline} inline`);
  }
  if (a.sigAll === true) parts.push('all signaled');
  return `${a.as} = createQp(${parts.join(', ')})`;
}

function queryQp(a: Extract<Action, { op: 'queryQp' }>): string {
  const wanted = [
    ...(a.expectState === undefined ? [] : [`state ${a.expectState}`]),
    ...Object.entries(a.expectSet ?? {}).map(([name, value]) => `${name} ${value}`),
  ];
  return `queryQp(${a.qp})${wanted.length === 0 ? '' : `  must show ${wanted.join(', ')}`}`;
}

function pollCq(a: Extract<Action, { op: 'pollCq' }>): string {
  const wanted = a.expectWc?.map(completion);
  const must = [
    ...(wanted === undefined ? [] : [wanted.length === 0 ? 'nothing' : several(wanted)]),
    ...(a.expectEvents === undefined ? [] : [`${a.expectEvents} events so far`]),
  ];
  const call = `pollCq(${a.cq}${a.max === undefined ? '' : `, up to ${a.max}`})`;
  return must.length === 0 ? call : `${call}  must give ${must.join(' and ')}`;
}

type ExpectedCompletion = NonNullable<Extract<Action, { op: 'pollCq' }>['expectWc']>[number];

function completion(wc: ExpectedCompletion): string {
  const parts = [
    wc.status,
    wc.opcode,
    wc.byteLen === undefined ? undefined : `${wc.byteLen} bytes`,
    wc.imm === undefined ? undefined : `imm ${hex(wc.imm)}`,
    wc.flags === undefined ? undefined : `flags ${hex(wc.flags)}`,
    wc.from === undefined ? undefined : `from vm${wc.from.vm}.${wc.from.qp}`,
    wc.wr === undefined ? undefined : `of request ${wc.wr}${wc.times === undefined ? '' : ' on'}`,
  ];
  return repeated(parts.filter(part => part !== undefined).join(' '), wc.times);
}

function attributes(set: AttributesSpec): string[] {
  return Object.entries(set).flatMap(([key, value]): string[] => {
    if (value === undefined) return [];
    return [attribute(key as keyof AttributesSpec, set) ?? `${key} ${JSON.stringify(value)}`];
  });
}

/** The attributes that do not read well as plain numbers. */
function attribute(key: keyof AttributesSpec, set: AttributesSpec): string | undefined {
  if (key === 'state') return `to ${set.state}`;
  if (key === 'curState') return `from ${set.curState}`;
  if (key === 'access' && set.access !== undefined) return `access ${access(set.access)}`;
  if (key === 'dest' && set.dest !== undefined) return `dest ${destination(set.dest)}`;
  if (key === 'to' && set.to !== undefined) return `path to ${peer(set.to)}`;
  if (key === 'cap') return 'with cap';
  return undefined;
}

function sendRequest(request: SendRequestSpec): string {
  const inline = request.inline === undefined ? undefined : `${request.inline} inline bytes`;
  const remote = request.remote;
  const parts = [
    `${request.opcode} ${inline ?? sges(request.sges)}`,
    remote === undefined
      ? undefined
      : `${request.opcode === 'RDMA_READ' ? 'from' : 'to'} vm${remote.vm} ${address(remote.at)} ${key(remote.mr)}`,
    request.imm === undefined ? undefined : `imm ${hex(request.imm)}`,
    request.ah === undefined ? undefined : `via ${request.ah}`,
    request.dest === undefined ? undefined : `dest ${destination(request.dest)}`,
    request.qkey === undefined ? undefined : `qkey ${hex(request.qkey)}`,
    request.signaled === false ? 'unsignaled' : undefined,
    request.solicited === true ? 'solicited' : undefined,
    request.fence === true ? 'fenced' : undefined,
  ];
  return repeated(parts.filter(part => part !== undefined).join(' '), request.times);
}

/** `64 bytes at 0x1000 mr0 + 32 bytes at 0x2000 mr0` */
function sges(list: readonly SgeSpec[]): string {
  if (list.length === 0) return '0 bytes';
  return runs(list.map(sge => `${sge.length} bytes at ${address(sge.at)} ${key(sge.mr)}`)).join(' + ');
}

function key(spec: KeySpec): string {
  if (typeof spec === 'string') return spec;
  if ('raw' in spec) return `key ${hex(spec.raw)}`;
  return `${spec.of} key${spec.delta < 0 ? '' : '+'}${spec.delta}`;
}

function destination(dest: { vm: number; qp: string } | number): string {
  return typeof dest === 'number' ? `qpn ${dest}` : `vm${dest.vm}.${dest.qp}`;
}

function peer(to: { vm: number; gid: number; sgidIndex?: number | undefined }): string {
  return `vm${to.vm} gid ${to.gid}${to.sgidIndex === undefined ? '' : ` from sgid ${to.sgidIndex}`}`;
}

function access(flags: number): string {
  const names = accessFlags.names.filter(name => (flags & accessFlags.values[name]) !== 0);
  const known = accessFlags.names.reduce((all, name) => all | accessFlags.values[name], 0);
  const unknown = flags & ~known;
  const all = [...names, ...(unknown === 0 ? [] : [hex(unknown >>> 0)])];
  return all.length === 0 ? 'no access' : all.join('|');
}

const SHOWN = 4;

/** Equal neighbours once, with their number; the file holds every one. */
function several(items: readonly string[]): string {
  const shown = runs(items);
  if (shown.length === 1) return shown[0];
  const rest = shown.length - SHOWN;
  return `[${shown.slice(0, SHOWN).join('; ')}${rest > 0 ? `; and ${rest} more` : ''}]`;
}

function runs(items: readonly string[]): string[] {
  const result: { text: string; times: number }[] = [];
  for (const text of items) {
    const last = result.at(-1);
    if (last?.text === text) last.times++;
    else result.push({ text, times: 1 });
  }
  return result.map(({ text, times }) => repeated(text, times));
}

function repeated(text: string, times: number | undefined): string {
  return times === undefined || times === 1 ? text : `${times} x ${text}`;
}

function address(at: number): string {
  return at < 0 ? `-${hex(-at)}` : hex(at);
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
