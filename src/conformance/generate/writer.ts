/**
 * Writes a program action by action. Each method is one thing a program does, right in most cases and wrong on purpose in
 * some; the model keeps track so that later actions find live objects in known states.
 */
import { AccessFlag } from '../../abi/index.js';
import type { Action, AttributesSpec, KeySpec, SendRequestSpec, SgeSpec } from '../program.js';
import type { ModelAh, ModelCq, ModelMr, ModelPd, ModelQp, ModelState, ModelVm } from './model.js';
import type { Random } from './random.js';

const ALL_ACCESS = AccessFlag.LOCAL_WRITE | AccessFlag.REMOTE_WRITE | AccessFlag.REMOTE_READ;
const PAGE = 4096;

export class Writer {
  readonly actions: Action[] = [];
  readonly random: Random;
  readonly arenaBytes: number;
  /** How rare mistakes are: 1 is often, more is less. */
  readonly care: number;

  constructor(random: Random, arenaBytes: number) {
    this.random = random;
    this.arenaBytes = arenaBytes;
    this.care = random.of([1, 4, 20]);
  }

  /** True once in `oneIn` times, and less often in a careful program. */
  wrong(oneIn: number): boolean {
    return this.random.chance(oneIn * this.care);
  }

  name(vm: ModelVm, kind: string): string {
    return `${kind}${vm.next++}`;
  }

  put(action: Action): void {
    this.actions.push(action);
  }

  // ---------------------------------------------------------------- objects

  createPd(vm: ModelVm): ModelPd {
    const pd = { name: this.name(vm, 'pd') };
    vm.pds.push(pd);
    this.put({ op: 'createPd', vm: vm.vm, as: pd.name });
    return pd;
  }

  createCq(vm: ModelVm, cqe: number): ModelCq {
    const cq = { name: this.name(vm, 'cq'), cqe };
    vm.cqs.push(cq);
    this.put({ op: 'createCq', vm: vm.vm, as: cq.name, cqe });
    return cq;
  }

  regMr(vm: ModelVm, pd: ModelPd, at: number, length: number, access: number): ModelMr {
    const mr = { name: this.name(vm, 'mr'), pd, at, length, access, dma: false };
    vm.mrs.push(mr);
    this.put({ op: 'regMr', vm: vm.vm, as: mr.name, pd: pd.name, at, length, access });
    return mr;
  }

  /** A region that mostly covers the whole arena with all rights, else a smaller one or one with fewer. */
  someMr(vm: ModelVm, pd: ModelPd): ModelMr {
    const { random, arenaBytes } = this;
    if (random.chance(3)) {
      const at = random.below(arenaBytes - 64);
      const length = random.between(1, arenaBytes - at);
      return this.regMr(vm, pd, at, length, random.chance(2) ? ALL_ACCESS : random.below(8));
    }
    return this.regMr(vm, pd, 0, arenaBytes, random.chance(4) ? AccessFlag.LOCAL_WRITE : ALL_ACCESS);
  }

  getDmaMr(vm: ModelVm, pd: ModelPd): ModelMr {
    const mr = { name: this.name(vm, 'mr'), pd, at: 0, length: PAGE, access: ALL_ACCESS, dma: true };
    vm.mrs.push(mr);
    this.put({ op: 'getDmaMr', vm: vm.vm, as: mr.name, pd: pd.name, access: ALL_ACCESS });
    return mr;
  }

  createQp(vm: ModelVm, pd: ModelPd, sendCq: ModelCq, recvCq: ModelCq, type: ModelQp['type']): ModelQp {
    const { random } = this;
    const qp: ModelQp = {
      name: this.name(vm, 'qp'),
      vm,
      type,
      pd,
      sendCq,
      recvCq,
      sendSge: random.between(1, 3),
      recvSge: random.between(1, 3),
      inline: random.chance(2) ? 64 : 0,
      recvWr: random.of([2, 4, 16]),
      state: 'RESET',
      peer: undefined,
      receives: 0,
      mtu: 256,
      reads: 1,
    };
    vm.qps.push(qp);
    this.put({
      op: 'createQp',
      vm: vm.vm,
      as: qp.name,
      pd: pd.name,
      type,
      sendCq: sendCq.name,
      recvCq: recvCq.name,
      sigAll: random.chance(3) ? true : undefined,
      cap: {
        sendWr: random.of([2, 4, 16]),
        recvWr: qp.recvWr,
        sendSge: qp.sendSge,
        recvSge: qp.recvSge,
        inline: qp.inline,
      },
    });
    return qp;
  }

  createAh(vm: ModelVm, pd: ModelPd, to: ModelVm): ModelAh {
    const ah = { name: this.name(vm, 'ah'), pd, to: to.vm };
    vm.ahs.push(ah);
    this.put({ op: 'createAh', vm: vm.vm, as: ah.name, pd: pd.name, to: { vm: to.vm, gid: 0 } });
    return ah;
  }

  // ---------------------------------------------------------------- states

  modify(qp: ModelQp, set: AttributesSpec): void {
    this.put({ op: 'modifyQp', vm: qp.vm.vm, qp: qp.name, set });
    if (set.state === undefined) return;
    qp.state = set.state;
    if (set.state === 'RESET') qp.receives = 0;
  }

  toInit(qp: ModelQp): void {
    const connected = qp.type === 'RC' || qp.type === 'UC';
    const access = this.wrong(6) ? this.random.below(8) : ALL_ACCESS;
    this.modify(qp, connected ? { state: 'INIT', access } : { state: 'INIT', qkey: qkeyOf(qp) });
  }

  toRtr(qp: ModelQp): void {
    const { random } = this;
    const { peer } = qp;
    if (qp.type !== 'RC' && qp.type !== 'UC') return this.modify(qp, { state: 'RTR' });
    const set: AttributesSpec = {
      state: 'RTR',
      pathMtu: random.between(1, 3),
      dest: peer === undefined ? 0x123456 : { vm: peer.vm.vm, qp: peer.name },
      rqPsn: psnOf(peer ?? qp),
      to: { vm: peer === undefined ? qp.vm.vm : peer.vm.vm, gid: 0 },
    };
    if (peer !== undefined) qp.mtu = 256;
    if (qp.type === 'UC') return this.modify(qp, { ...set, pathMtu: 1 });
    this.modify(qp, {
      ...set,
      pathMtu: 1,
      maxDestRdAtomic: random.chance(8) ? 0 : random.between(1, 4),
      minRnrTimer: random.between(1, 8),
    });
  }

  toRts(qp: ModelQp): void {
    const { random } = this;
    if (qp.type !== 'RC') return this.modify(qp, { state: 'RTS', sqPsn: psnOf(qp) });
    qp.reads = random.between(0, 3);
    this.modify(qp, {
      state: 'RTS',
      sqPsn: psnOf(qp),
      timeout: random.chance(12) ? 0 : random.between(4, 9),
      retryCnt: random.between(0, 3),
      rnrRetry: random.chance(3) ? 7 : random.between(0, 3),
      maxRdAtomic: qp.reads,
    });
  }

  /** From RESET to RTS, receives posted on the way. */
  raise(qp: ModelQp): void {
    this.toInit(qp);
    if (this.random.chance(2)) this.postRecv(qp);
    this.toRtr(qp);
    this.toRts(qp);
  }

  // ---------------------------------------------------------------- work

  postRecv(qp: ModelQp): void {
    const { random } = this;
    if (!this.wrong(2)) return this.roomyRecv(qp, random.between(1, 3));
    const count = random.between(1, 3);
    const requests = Array.from({ length: count }, () => ({
      sges: this.sges(qp, random.between(0, qp.recvSge), 128),
    }));
    qp.receives = Math.min(qp.recvWr, qp.receives + count);
    this.put({ op: 'postRecv', vm: qp.vm.vm, qp: qp.name, requests });
  }

  /** Receives with room for what sound sends bring. */
  roomyRecv(qp: ModelQp, count: number): void {
    const requests = Array.from({ length: count }, () => ({ sges: this.plainSges(qp, 1, 440, 512) }));
    qp.receives = Math.min(qp.recvWr, qp.receives + count);
    this.put({ op: 'postRecv', vm: qp.vm.vm, qp: qp.name, requests });
  }

  /** A send without a mistake, as far as the model knows. */
  plainSend(qp: ModelQp, opcode: SendRequestSpec['opcode']): SendRequestSpec {
    const { random } = this;
    const request: SendRequestSpec = {
      opcode,
      sges: this.plainSges(qp, random.between(1, qp.sendSge), 1, 120),
    };
    if (random.chance(4)) request.signaled = false;
    if (opcode.endsWith('IMM')) request.imm = random.bits();
    const { peer } = qp;
    if (qp.type === 'UD' || qp.type === 'GSI') {
      const ah = qp.vm.ahs.find(each => peer === undefined || each.to === peer.vm.vm);
      if (ah !== undefined) request.ah = ah.name;
      if (peer !== undefined) request.dest = { vm: peer.vm.vm, qp: peer.name };
      request.qkey = qkeyOf(peer ?? qp);
    } else if (opcode.startsWith('RDMA')) {
      const owner = peer ?? qp;
      const mr = owner.vm.mrs.find(each => each.pd === owner.pd && isWhole(each, this.arenaBytes));
      if (mr !== undefined)
        request.remote = { vm: owner.vm.vm, at: random.below(this.arenaBytes - 400), mr: mr.name };
    }
    return request;
  }

  /** Elements in a region over the whole arena, if there is one. */
  plainSges(qp: ModelQp, count: number, least: number, most: number): SgeSpec[] {
    const { random } = this;
    const mr = qp.vm.mrs.find(each => each.pd === qp.pd && isWhole(each, this.arenaBytes));
    if (mr === undefined) return [];
    return Array.from({ length: count }, () => {
      const length = random.between(least, most);
      return { at: random.below(this.arenaBytes - length + 1), length, mr: mr.name };
    });
  }

  postSend(qp: ModelQp): void {
    const { random } = this;
    const count = random.chance(3) ? random.between(2, 4) : 1;
    const requests = Array.from({ length: count }, () => this.send(qp));
    this.putSends(qp, requests);
  }

  /** Posts sends, and counts the receives that they will use. */
  putSends(qp: ModelQp, requests: SendRequestSpec[]): void {
    this.put({ op: 'postSend', vm: qp.vm.vm, qp: qp.name, requests });
    const { peer } = qp;
    if (peer === undefined) return;
    for (const { opcode } of requests)
      if (opcode !== 'RDMA_WRITE' && opcode !== 'RDMA_READ') peer.receives = Math.max(0, peer.receives - 1);
  }

  /** What was just done fails, and on RC it takes the queue pair along. */
  spoil(qp: ModelQp | undefined): void {
    if (qp?.type === 'RC') qp.state = 'ERR';
  }

  send(qp: ModelQp): SendRequestSpec {
    const { random } = this;
    const datagram = qp.type === 'UD' || qp.type === 'GSI';
    const opcode = datagram
      ? random.of(['SEND', 'SEND', 'SEND_WITH_IMM'] as const)
      : random.of([
          'SEND',
          'SEND',
          'SEND_WITH_IMM',
          'RDMA_WRITE',
          'RDMA_WRITE_WITH_IMM',
          'RDMA_READ',
        ] as const);
    const request: SendRequestSpec = {
      opcode,
      sges: this.sges(qp, random.between(0, qp.sendSge), datagram ? 80 : this.wrong(2) ? 400 : 120),
    };
    if (opcode === 'RDMA_READ' && qp.type === 'UC' && !random.chance(8)) request.opcode = 'RDMA_WRITE';
    if (random.chance(3)) request.signaled = false;
    if (random.chance(4)) request.solicited = true;
    if (random.chance(6)) request.fence = true;
    if (request.opcode !== 'RDMA_READ' && qp.inline > 0 && random.chance(4)) {
      request.inline = random.between(0, random.chance(10) ? 600 : qp.inline);
      request.sges = [];
    }
    if (request.opcode === 'SEND_WITH_IMM' || request.opcode === 'RDMA_WRITE_WITH_IMM')
      request.imm = random.bits();
    if (datagram) this.#aimDatagram(qp, request);
    else if (request.opcode.startsWith('RDMA')) this.#aimRemote(qp, request);
    if (this.wrong(40)) request.opcode = random.of(['SEND', 'RDMA_WRITE', 'RDMA_READ'] as const);
    return request;
  }

  #aimDatagram(qp: ModelQp, request: SendRequestSpec): void {
    const { random } = this;
    const { ahs } = qp.vm;
    if (ahs.length > 0) request.ah = random.of(ahs).name;
    const { peer } = qp;
    request.dest =
      peer === undefined || this.wrong(12) ? random.below(12) : { vm: peer.vm.vm, qp: peer.name };
    request.qkey = this.wrong(10) ? 7 : qkeyOf(peer ?? qp);
  }

  #aimRemote(qp: ModelQp, request: SendRequestSpec): void {
    const { random, arenaBytes } = this;
    const peer = qp.peer ?? qp;
    const regions = peer.vm.mrs.filter(mr => !mr.dma);
    const wanted = regions.filter(mr => mr.pd === peer.pd);
    const list = wanted.length > 0 && !this.wrong(10) ? wanted : regions;
    if (list.length === 0) {
      request.remote = { vm: peer.vm.vm, at: 0, mr: { raw: random.bits() } };
      return;
    }
    const mr = random.of(list);
    const at = this.wrong(8) ? random.below(arenaBytes) : mr.at + random.below(Math.max(1, mr.length - 64));
    request.remote = { vm: peer.vm.vm, at, mr: this.key(mr.name) };
  }

  /** The region's own key in most cases, else one that is a little or wholly wrong. */
  key(name: string): KeySpec {
    const { random } = this;
    if (!this.wrong(25)) return name;
    return random.chance(2) ? { of: name, delta: random.of([1, -1, 255]) } : { raw: random.bits() };
  }

  sges(qp: ModelQp, count: number, lengthMax: number): SgeSpec[] {
    const { random, arenaBytes } = this;
    const own = qp.vm.mrs.filter(mr => mr.pd === qp.pd);
    const list = own.length > 0 && !this.wrong(20) ? own : qp.vm.mrs;
    if (list.length === 0) return [];
    const result: SgeSpec[] = [];
    for (let i = 0; i < count; i++) {
      const mr = random.of(list);
      const length = random.chance(8) ? 0 : random.between(1, lengthMax);
      if (mr.dma) {
        const page = PAGE * random.below(arenaBytes / PAGE);
        result.push({ at: page + random.below(PAGE - length + 1), length, mr: mr.name });
      } else if (this.wrong(15))
        result.push({ at: random.between(-64, arenaBytes), length, mr: this.key(mr.name) });
      else
        result.push({
          at: mr.at + random.below(Math.max(1, mr.length - length + 1)),
          length,
          mr: this.key(mr.name),
        });
    }
    return result;
  }

  poll(cq: ModelCq, vm: ModelVm): void {
    this.put({ op: 'pollCq', vm: vm.vm, cq: cq.name, max: this.random.of([1, 4, 16, 16]) });
  }

  wait(cq: ModelCq, vm: ModelVm): void {
    const solicitedOnly = this.random.chance(3);
    this.put({ op: this.random.chance(4) ? 'reqNotifyCq' : 'waitCq', vm: vm.vm, cq: cq.name, solicitedOnly });
  }
}

function isWhole(mr: ModelMr, arenaBytes: number): boolean {
  return mr.at === 0 && mr.length === arenaBytes && mr.access === ALL_ACCESS && !mr.dma;
}

/** A queue key that both ends of a datagram pair agree on. */
function qkeyOf(qp: ModelQp): number {
  return qp.type === 'GSI' ? 0x80010000 : 0x11111111;
}

/** First sequence number of a queue pair: near the 24-bit wrap for every other one. */
function psnOf(qp: ModelQp): number {
  const number = Number(qp.name.slice(2));
  return number % 2 === 0 ? 0xfffffd - number : number * 1000;
}

export const legalStates: readonly ModelState[] = ['RESET', 'INIT', 'RTR', 'RTS', 'SQD', 'SQE', 'ERR'];
