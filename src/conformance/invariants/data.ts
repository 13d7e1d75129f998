/**
 * Law: what arrives is what was sent. A received message has the length, the immediate data and the bytes of some message
 * that was posted; a write that is done has put its bytes, and a read has fetched those of its peer. Only bytes count that
 * nothing else can have changed meanwhile.
 */
import { QpState, QpType, WcFlag, WcOpcode, WcStatus, WrOpcode } from '../../abi/index.js';
import type { WorkCompletion } from '../../verbs/index.js';
import { LawBroken, laws } from '../laws.js';
import { RunObserver } from '../observer.js';
import type { RequestSpec } from '../observer.js';
import { machineOfGid, patternByte } from '../patterns.js';
import type { Action, Program, SendRequestSpec } from '../program.js';
import type { CqRecord, ObjectRecord, QpRecord, WrRecord } from '../records.js';
import type { World } from '../world.js';

/** Bytes of the global route in front of a datagram. */
const GRH_BYTES = 40;
const PAGE = 4096;

interface Span {
  readonly vm: number;
  readonly at: number;
  readonly length: number;
}

/** A request that has not completed, with where its bytes are. */
interface Posted {
  readonly request: WrRecord;
  readonly local: readonly Span[];
  readonly remote: Span | undefined;
  /** First byte of the pattern of inline data; undefined when the bytes are in memory. */
  readonly fill: number | undefined;
  readonly imm: number | undefined;
  readonly length: number;
  /** When it was posted. */
  readonly time: number;
}

/** Who may be writing where: per byte, how many requests may write it now, and when that number changed last. */
class Writers {
  readonly count: Uint16Array;
  readonly changed: Uint32Array;

  constructor(bytes: number) {
    this.count = new Uint16Array(bytes);
    this.changed = new Uint32Array(bytes);
  }

  change({ at, length }: Span, by: number, time: number): void {
    const end = Math.min(this.count.length, at + length);
    for (let i = Math.max(0, at); i < end; i++) {
      this.count[i] += by;
      this.changed[i] = time;
    }
  }

  /** Only what was posted at `time` can have written this byte since. */
  one(at: number, time: number): boolean {
    return this.count[at] === 1 && this.changed[at] === time;
  }

  /** Nobody can have written this byte since `time`. */
  none(at: number, time: number): boolean {
    return this.count[at] === 0 && this.changed[at] <= time;
  }
}

export class DataArrives extends RunObserver {
  readonly #world: World;
  readonly #writers: readonly Writers[];
  readonly #posted = new Map<WrRecord, Posted>();
  /** Messages by service, kind and length. */
  readonly #messages = new Map<string, Posted[]>();
  readonly #dma = new Set<string>();
  /** Queue pairs, by machine and number, that have been in RESET again or were destroyed. */
  readonly #restarted = new Set<string>();
  /** Bytes of the receive that is looked at, and 1 where only that receive can have written. */
  #received = new Uint8Array(0);
  #known = new Uint8Array(0);
  #time = 1;
  /** A region over all memory was used across pages: who writes where is not known any more. */
  #blind = false;
  /** Bytes that were compared; 0 says that the law was not tested. */
  compared = 0;

  constructor(program: Program, world: World) {
    super();
    this.#world = world;
    this.#writers = program.hosts.map(() => new Writers(program.arenaBytes));
  }

  override created(object: ObjectRecord): void {
    if (object.kind === 'mr' && object.dma) this.#dma.add(`${object.vm}.${object.name}`);
  }

  override actionStarted(_index: number, action: Action): void {
    this.#time++;
    if (action.op === 'writeMemory') this.#writers[action.vm]?.change(action, 0, this.#time);
  }

  override posted(request: WrRecord, spec: RequestSpec): void {
    const { vm } = request.qp;
    const posted = this.#describe(request, spec);
    const read = request.opcode === WrOpcode.RDMA_READ;
    if (!request.send || read) {
      this.#posted.set(request, posted);
      for (const span of posted.local) this.#writers[vm].change(span, 1, posted.time);
      return;
    }
    const { remote } = posted;
    if (remote !== undefined) {
      this.#posted.set(request, posted);
      this.#writers[remote.vm]?.change(remote, 1, posted.time);
    }
    if (isSend(request.opcode) || posted.imm !== undefined) this.#addMessage(posted);
  }

  #describe(request: WrRecord, spec: RequestSpec): Posted {
    const { vm } = request.qp;
    const sent: Partial<SendRequestSpec> = 'opcode' in spec ? spec : {};
    const local: Span[] = [];
    let length = 0;
    for (const { at, length: bytes, mr } of spec.sges) {
      if (bytes === 0) continue;
      if (typeof mr === 'string') this.#lookAcross(vm, mr, at, bytes);
      local.push({ vm, at, length: bytes });
      length += bytes;
    }
    if (sent.inline !== undefined) length = sent.inline;
    const { opcode } = request;
    const write = opcode === WrOpcode.RDMA_WRITE || opcode === WrOpcode.RDMA_WRITE_WITH_IMM;
    const named = request.send && (write || opcode === WrOpcode.RDMA_READ) ? sent.remote : undefined;
    const far = named && { ...named, vm: peerMachine(request.qp, named.vm) };
    if (far !== undefined && typeof far.mr === 'string') this.#lookAcross(far.vm, far.mr, far.at, length);
    const withImm = opcode === WrOpcode.SEND_WITH_IMM || opcode === WrOpcode.RDMA_WRITE_WITH_IMM;
    return {
      request,
      local,
      remote: far && { vm: far.vm, at: far.at, length },
      fill: sent.inline === undefined ? undefined : request.wrId & 0xff,
      imm: request.send && withImm ? (sent.imm ?? 0) : undefined,
      length,
      time: ++this.#time,
    };
  }

  #lookAcross(vm: number, mr: string, at: number, length: number): void {
    if (this.#dma.has(`${vm}.${mr}`) && (at % PAGE) + length > PAGE) this.#blind = true;
  }

  #addMessage(posted: Posted): void {
    const key = messageKey(posted.request.qp.type, !isSend(posted.request.opcode), posted.imm, posted.length);
    const list = this.#messages.get(key);
    if (list === undefined) this.#messages.set(key, [posted]);
    else list.push(posted);
  }

  override completed(_cq: CqRecord, completion: WorkCompletion, request: WrRecord | undefined): void {
    this.#time++;
    const posted = request && this.#posted.get(request);
    if (request === undefined) return;
    if (posted !== undefined && completion.status === WcStatus.SUCCESS) {
      if (!request.send) this.#checkReceive(posted, completion);
      else if (request.opcode === WrOpcode.RDMA_READ) this.#checkTransfer(posted, true);
      else if (request.qp.type === QpType.RC && this.#isFresh(request.qp)) this.#checkTransfer(posted, false);
    }
    if (posted !== undefined) this.#finish(posted, completion.status === WcStatus.SUCCESS);
  }

  /** What is done writes no more; a write that failed or was not acknowledged may still be on its way. */
  #finish(posted: Posted, success: boolean): void {
    const { request, local, remote } = posted;
    this.#posted.delete(request);
    if (!request.send || request.opcode === WrOpcode.RDMA_READ) {
      for (const span of local) this.#writers[request.qp.vm].change(span, -1, this.#time);
    } else if (remote !== undefined && success && request.qp.type === QpType.RC)
      this.#writers[remote.vm]?.change(remote, -1, this.#time);
  }

  /**
   * Both ends of the connection are in their first life. If one end begins anew alone, with sequence numbers that the other
   * has seen, its writes count as repeated ones: acknowledged and not carried out again.
   */
  #isFresh(qp: QpRecord): boolean {
    const { destQpNum } = qp.attributes;
    const peer = `${peerMachine(qp, qp.vm)}.${destQpNum ?? 0}`;
    return !this.#restarted.has(`${qp.vm}.${qp.handle.qpNum}`) && !this.#restarted.has(peer);
  }

  override modified(qp: QpRecord, to: number | undefined): void {
    if (to === QpState.RESET) this.#restarted.add(`${qp.vm}.${qp.handle.qpNum}`);
  }

  override destroyed(object: ObjectRecord): void {
    if (object.kind === 'qp') this.#restarted.add(`${object.vm}.${object.handle.qpNum}`);
  }

  #checkTransfer(posted: Posted, read: boolean): void {
    const { request, remote, local, fill, time } = posted;
    if (remote === undefined || this.#blind || this.#writers[remote.vm] === undefined) return;
    const far = this.#bytes(remote);
    let i = 0;
    for (const span of fill === undefined ? local : [remote]) {
      const near = this.#bytes(span);
      const there = { vm: remote.vm, at: remote.at + i };
      const [to, from] = read ? [span, there] : [there, span];
      const target = this.#writers[to.vm];
      const source = this.#writers[from.vm];
      for (let k = 0; k < span.length; k++, i++) {
        if (!target.one(to.at + k, time)) continue;
        if (fill === undefined && !source.none(from.at + k, time)) continue;
        this.compared++;
        const wanted = fill === undefined ? near[k] : patternByte(fill, i);
        if (far[i] === wanted) continue;
        throw new LawBroken(
          laws.dataArrives,
          `request ${request.wrId} of ${request.qp.name}, machine ${request.qp.vm}, is done, and its byte ${i} is ${near[k]} here and ${far[i]} on machine ${remote.vm}`,
        );
      }
    }
  }

  #checkReceive(posted: Posted, completion: WorkCompletion): void {
    const { qp, wrId } = posted.request;
    const datagram = qp.type === QpType.UD || qp.type === QpType.GSI;
    const header = datagram ? GRH_BYTES : 0;
    const write = completion.opcode === WcOpcode.RECV_RDMA_WITH_IMM;
    const imm = (completion.wcFlags & WcFlag.WITH_IMM) === 0 ? undefined : completion.immData;
    const list = this.#messages.get(messageKey(qp.type, write, imm, completion.byteLen - header)) ?? [];
    const length = write || this.#blind ? 0 : this.#gather(posted, completion.byteLen);
    if (list.findLast(message => length === 0 || this.#matches(message, header)) !== undefined) return;
    const what = imm === undefined ? '' : ` and immediate data ${imm}`;
    throw new LawBroken(
      laws.dataArrives,
      `receive ${wrId} of ${qp.name}, machine ${qp.vm}, got ${completion.byteLen} bytes${what}: no message of that length and content was posted`,
    );
  }

  /** Fills `#received` and `#known` with the first bytes of a receive, at most `byteLen`. Returns how many there are. */
  #gather({ local, time }: Posted, byteLen: number): number {
    if (this.#received.length < byteLen) {
      this.#received = new Uint8Array(byteLen);
      this.#known = new Uint8Array(byteLen);
    }
    let i = 0;
    for (const span of local) {
      const content = this.#bytes(span);
      const writers = this.#writers[span.vm];
      for (let k = 0; k < span.length && i < byteLen; k++, i++) {
        this.#received[i] = content[k];
        this.#known[i] = writers.one(span.at + k, time) ? 1 : 0;
      }
    }
    this.#known.fill(0, i);
    return i;
  }

  #matches(message: Posted, header: number): boolean {
    const bytes = this.#received;
    const known = this.#known;
    const { fill, length, local, time } = message;
    if (fill !== undefined) {
      for (let i = 0; i < length; i++) {
        if (known[header + i] !== 1) continue;
        this.compared++;
        if (bytes[header + i] !== patternByte(fill, i)) return false;
      }
      return true;
    }
    let i = header;
    for (const span of local) {
      const content = this.#bytes(span);
      const writers = this.#writers[span.vm];
      for (let k = 0; k < span.length; k++, i++) {
        if (known[i] !== 1 || !writers.none(span.at + k, time)) continue;
        this.compared++;
        if (bytes[i] !== content[k]) return false;
      }
    }
    return true;
  }

  /** Bytes of a span; all of it lies in the arena, or its request could not have succeeded. */
  #bytes({ vm, at, length }: Span): Uint8Array {
    const { guest } = this.#world.machines[vm];
    const start = Math.min(Math.max(0, at), guest.arenaBytes);
    return guest.readArena(start, Math.min(length, guest.arenaBytes - start));
  }
}

/** The machine that a queue pair is connected to; addresses and keys mean the same there as on the one that was thought of. */
export function peerMachine(qp: QpRecord, otherwise: number): number {
  const { ahAttr } = qp.attributes;
  return ahAttr === undefined ? otherwise : machineOfGid(ahAttr.dgid);
}

function isSend(opcode: number): boolean {
  return opcode === WrOpcode.SEND || opcode === WrOpcode.SEND_WITH_IMM;
}

function messageKey(type: number, write: boolean, imm: number | undefined, length: number): string {
  // The GSI queue pair and others talk to each other.
  const service = type === QpType.GSI ? QpType.UD : type;
  return `${service} ${write ? 'write' : 'send'} ${imm ?? '-'} ${length}`;
}
