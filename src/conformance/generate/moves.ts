/** The moves that a generated program is made of, each with the weight it has when its kind was drawn for the program. */
import type { AttributesSpec } from '../program.js';
import type { ModelCq, ModelPd, ModelQp, ModelVm } from './model.js';
import { legalStates } from './writer.js';
import type { Writer } from './writer.js';

export interface Move {
  readonly kind: string;
  readonly weight: number;
  make(writer: Writer, vms: readonly ModelVm[]): void;
}

function anyQp(
  writer: Writer,
  vms: readonly ModelVm[],
  wanted?: (qp: ModelQp) => boolean,
): ModelQp | undefined {
  const all = vms.flatMap(vm => vm.qps);
  const fit = wanted === undefined ? all : all.filter(wanted);
  return fit.length === 0 ? undefined : writer.random.of(fit);
}

function vmOf(writer: Writer, vms: readonly ModelVm[]): ModelVm {
  return writer.random.of(vms);
}

function pdOf(writer: Writer, vm: ModelVm): ModelPd {
  return vm.pds.length === 0 ? writer.createPd(vm) : writer.random.of(vm.pds);
}

function cqOf(writer: Writer, vm: ModelVm): ModelCq {
  return vm.cqs.length === 0 ? writer.createCq(vm, 32) : writer.random.of(vm.cqs);
}

/** Two queue pairs of one type, connected and ready to send, with regions to use. */
export function connect(writer: Writer, vms: readonly ModelVm[]): void {
  const { random } = writer;
  const type = random.of(['RC', 'RC', 'RC', 'UC', 'UD', 'GSI'] as const);
  const a = vmOf(writer, vms);
  const b = vmOf(writer, vms);
  const ends = [a, b].map(vm => {
    const pd = pdOf(writer, vm);
    if (!vm.mrs.some(mr => mr.pd === pd) || random.chance(4)) writer.someMr(vm, pd);
    if (type === 'UD' || type === 'GSI') writer.createAh(vm, pd, vm === a ? b : a);
    return writer.createQp(vm, pd, cqOf(writer, vm), cqOf(writer, vm), type);
  });
  ends[0].peer = ends[1];
  ends[1].peer = ends[0];
  for (const qp of ends) writer.raise(qp);
  writer.postRecv(ends[1]);
}

function restart(writer: Writer, qp: ModelQp): void {
  writer.modify(qp, { state: 'RESET' });
  writer.raise(qp);
}

/** Attributes drawn without regard to what the transition needs. */
function wildAttributes(writer: Writer, qp: ModelQp): AttributesSpec {
  const { random } = writer;
  const set: AttributesSpec = {};
  if (!random.chance(6)) set.state = random.of(legalStates);
  if (random.chance(4)) set.curState = random.of(legalStates);
  if (random.chance(3)) set.access = random.below(16);
  if (random.chance(4)) set.qkey = random.bits();
  if (random.chance(4)) set.pathMtu = random.below(8);
  if (random.chance(5)) set.timeout = random.below(40);
  if (random.chance(5)) set.retryCnt = random.below(10);
  if (random.chance(5)) set.rnrRetry = random.below(10);
  if (random.chance(5)) set.maxRdAtomic = random.below(20);
  if (random.chance(5)) set.maxDestRdAtomic = random.below(20);
  if (random.chance(5)) set.minRnrTimer = random.below(40);
  if (random.chance(5)) set.sqPsn = random.bits();
  if (random.chance(5)) set.rqPsn = random.bits();
  if (random.chance(5)) set.dest = random.below(0x1000000);
  if (random.chance(8)) set.cap = true;
  if (random.chance(12)) set.rateLimit = random.bits();
  if (random.chance(4)) set.to = { vm: qp.vm.vm, gid: random.below(3), sgidIndex: random.below(10) };
  return set;
}

export const moves: readonly Move[] = [
  { kind: 'connect', weight: 2, make: connect },
  {
    kind: 'traffic',
    weight: 14,
    make(writer, vms) {
      const qp = anyQp(
        writer,
        vms,
        each =>
          (each.state === 'RTS' || each.state === 'SQD') && (each.peer?.state === 'RTS' || writer.wrong(4)),
      );
      if (qp === undefined) return connect(writer, vms);
      const { peer } = qp;
      if (peer !== undefined && peer.receives < 4 && !writer.wrong(6)) writer.postRecv(peer);
      writer.postSend(qp);
      if (writer.random.chance(2)) writer.poll(qp.sendCq, qp.vm);
      if (peer !== undefined && writer.random.chance(2)) writer.poll(peer.recvCq, peer.vm);
    },
  },
  {
    kind: 'recv',
    weight: 3,
    make(writer, vms) {
      const qp = anyQp(writer, vms, each => each.state !== 'RESET' || writer.random.chance(4));
      if (qp !== undefined) writer.postRecv(qp);
    },
  },
  {
    kind: 'poll',
    weight: 6,
    make(writer, vms) {
      const vm = vmOf(writer, vms);
      if (vm.cqs.length > 0) writer.poll(writer.random.of(vm.cqs), vm);
    },
  },
  {
    kind: 'wait',
    weight: 4,
    make(writer, vms) {
      const vm = vmOf(writer, vms);
      if (vm.cqs.length > 0) writer.wait(writer.random.of(vm.cqs), vm);
    },
  },
  {
    kind: 'query',
    weight: 2,
    make(writer, vms) {
      const qp = anyQp(writer, vms);
      if (qp === undefined)
        writer.put({ op: writer.random.of(['queryDevice', 'queryPort'] as const), vm: vmOf(writer, vms).vm });
      else writer.put({ op: 'queryQp', vm: qp.vm.vm, qp: qp.name });
    },
  },
  {
    kind: 'drain',
    weight: 2,
    make(writer, vms) {
      const qp = anyQp(writer, vms, each => each.state === 'RTS' || each.state === 'SQD');
      if (qp === undefined) return;
      writer.modify(qp, { state: qp.state === 'RTS' ? 'SQD' : 'RTS' });
    },
  },
  {
    kind: 'error',
    weight: 2,
    make(writer, vms) {
      const qp = anyQp(writer, vms, each => each.state !== 'RESET');
      if (qp !== undefined) writer.modify(qp, { state: 'ERR' });
    },
  },
  {
    kind: 'restart',
    weight: 4,
    make(writer, vms) {
      const wanted = writer.random.chance(4) ? undefined : (each: ModelQp) => each.state === 'ERR';
      const qp = anyQp(writer, vms, each => each.peer !== undefined && wanted?.(each) !== false);
      if (qp === undefined) return;
      restart(writer, qp);
      if (qp.peer !== undefined && qp.peer !== qp && !writer.wrong(3)) restart(writer, qp.peer);
    },
  },
  {
    kind: 'recover',
    weight: 1,
    make(writer, vms) {
      const qp = anyQp(writer, vms, each => each.type === 'UC' || each.type === 'UD');
      if (qp !== undefined) writer.modify(qp, { state: 'RTS' });
    },
  },
  {
    kind: 'wild',
    weight: 3,
    make(writer, vms) {
      const qp = anyQp(writer, vms);
      if (qp === undefined) return;
      const before = qp.state;
      writer.modify(qp, wildAttributes(writer, qp));
      qp.state = before;
    },
  },
  {
    kind: 'objects',
    weight: 3,
    make(writer, vms) {
      const vm = vmOf(writer, vms);
      const { random } = writer;
      const kind = random.below(6);
      if (kind === 0) writer.createPd(vm);
      else if (kind === 1) writer.createCq(vm, random.of([1, 2, 8, 32, 64, 0, 65, 100_000]));
      else if (kind === 2) writer.someMr(vm, pdOf(writer, vm));
      else if (kind === 3) writer.createAh(vm, pdOf(writer, vm), vmOf(writer, vms));
      else if (kind === 4) writer.getDmaMr(vm, pdOf(writer, vm));
      else
        writer.createQp(
          vm,
          pdOf(writer, vm),
          cqOf(writer, vm),
          cqOf(writer, vm),
          random.of(['RC', 'UC', 'UD', 'GSI'] as const),
        );
    },
  },
  {
    kind: 'badRegion',
    weight: 1,
    make(writer, vms) {
      const vm = vmOf(writer, vms);
      const { random, arenaBytes } = writer;
      const at = random.of([0, 1, -4096, arenaBytes - 1, arenaBytes]);
      const length = random.of([0, 1, 4096, 4097, arenaBytes, arenaBytes + 1]);
      writer.regMr(vm, pdOf(writer, vm), at, length, random.below(16));
    },
  },
  { kind: 'destroy', weight: 3, make: destroySomething },
  {
    kind: 'misuse',
    weight: 1,
    make(writer, vms) {
      const vm = vmOf(writer, vms);
      if (vm.gone.length === 0) return;
      const name = writer.random.of(vm.gone);
      if (name.startsWith('qp')) {
        const requests = [{ opcode: 'SEND' as const, sges: [] }];
        writer.put(
          writer.random.chance(2)
            ? { op: 'postSend', vm: vm.vm, qp: name, requests }
            : { op: 'modifyQp', vm: vm.vm, qp: name, set: { state: 'RESET' } },
        );
      } else if (name.startsWith('cq')) writer.put({ op: 'reqNotifyCq', vm: vm.vm, cq: name });
      else if (name.startsWith('mr')) writer.put({ op: 'deregMr', vm: vm.vm, mr: name });
      else if (name.startsWith('ah')) writer.put({ op: 'destroyAh', vm: vm.vm, ah: name });
      else writer.put({ op: 'destroyPd', vm: vm.vm, pd: name });
    },
  },
  {
    kind: 'gids',
    weight: 1,
    make(writer, vms) {
      const vm = vmOf(writer, vms);
      const { random } = writer;
      const index = random.of([1, 2, 3, 7, 8, 300]);
      if (random.chance(2)) writer.put({ op: 'delGid', vm: vm.vm, index });
      else if (random.chance(6))
        writer.put({ op: 'addGid', vm: vm.vm, index, gid: 0, of: random.of(vms).vm });
      else writer.put({ op: 'addGid', vm: vm.vm, index, gid: random.between(1, 4) });
    },
  },
  {
    kind: 'memory',
    weight: 1,
    make(writer, vms) {
      const { random } = writer;
      const length = random.between(1, 200);
      writer.put({
        op: 'writeMemory',
        vm: vmOf(writer, vms).vm,
        at: random.below(writer.arenaBytes - length),
        length,
        fill: random.below(256),
      });
    },
  },
];

/** Destroys an object, used or not; a queue pair mostly with work in it. */
function destroySomething(writer: Writer, vms: readonly ModelVm[]): void {
  const vm = vmOf(writer, vms);
  const { random } = writer;
  const kind = random.below(8);
  const take = <T extends { readonly name: string }>(list: T[], keep: boolean): T | undefined => {
    if (list.length === 0) return undefined;
    const index = random.below(list.length);
    const item = list[index];
    if (keep) return item;
    list.splice(index, 1);
    vm.gone.push(item.name);
    return item;
  };
  if (kind < 3) {
    const qp = take(vm.qps, false);
    if (qp !== undefined) writer.put({ op: 'destroyQp', vm: vm.vm, qp: qp.name });
  } else if (kind === 3) {
    const used = (cq: ModelCq): boolean => vm.qps.some(qp => qp.sendCq === cq || qp.recvCq === cq);
    const cq = vm.cqs.find(each => !used(each)) ?? vm.cqs[0];
    if (cq === undefined) return;
    writer.put({ op: 'destroyCq', vm: vm.vm, cq: cq.name });
    if (used(cq)) return;
    vm.cqs.splice(vm.cqs.indexOf(cq), 1);
    vm.gone.push(cq.name);
  } else if (kind < 6) {
    const mr = take(vm.mrs, false);
    if (mr !== undefined) writer.put({ op: 'deregMr', vm: vm.vm, mr: mr.name });
  } else if (kind === 6) {
    const ah = take(vm.ahs, false);
    if (ah !== undefined) writer.put({ op: 'destroyAh', vm: vm.vm, ah: ah.name });
  } else {
    const free = vm.pds.find(
      pd => ![...vm.mrs, ...vm.ahs, ...vm.qps].some((child: { readonly pd: ModelPd }) => child.pd === pd),
    );
    const pd = free ?? vm.pds[0];
    if (pd === undefined) return;
    writer.put({ op: 'destroyPd', vm: vm.vm, pd: pd.name });
    if (free === undefined) return;
    vm.pds.splice(vm.pds.indexOf(free), 1);
    vm.gone.push(free.name);
  }
}
