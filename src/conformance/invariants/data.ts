/**
 * Law: what arrives is what was sent. A received message has the length, the immediate data and the bytes of some message
 * that was posted; a write that is done has put its bytes, and a read has fetched those of its peer. Only bytes count that
 * nothing else can have changed meanwhile.
 */
import { QpState, QpType, WcFlag, WcOpcode, WcStatus, WrOpcode } from '../../abi/index.js';
import type { WorkCompletion } from '../../verbs/index.js';
import type { Arena } from '../arena.js';
import { LawBroken, laws } from '../laws.js';
import { RunObserver } from '../observer.js';
import type { RequestSpec } from '../observer.js';
import { machineOfGid, patternByte, patternBytes } from '../patterns.js';
import type { Action, Program, SendRequestSpec } from '../program.js';
import type { CqRecord, ObjectRecord, QpRecord, WrRecord } from '../records.js';
import type { VerbsWorld } from '../verbs-world.js';
import { Writers } from './writers.js';

/** Bytes of the global route in front of a datagram. */
const GRH_BYTES = 40;
const PAGE = 4096;
const nowhere: readonly Span[] = [];

/** Bytes of a machine's arena. */
export interface Span {
  readonly vm: number;
  readonly at: number;
  readonly length: number;
}

/** A request that has not completed, with where its bytes are. */
interface Posted {
  readonly request: WrRecord;
  readonly local: readonly Span[];
  /** One span, or none where the peer's memory is not named. */
  readonly remote: readonly Span[];
  /** First byte of the pattern of inline data; undefined when the bytes are in memory. */
  readonly fill: number | undefined;
  readonly imm: number | undefined;
  readonly length: number;
  /** When it was posted. */
  readonly time: number;
}

export class DataArrives extends RunObserver {
  readonly #world: VerbsWorld;
  readonly #writers: readonly Writers[];
  readonly #posted = new Map<WrRecord, Posted>();
  /** Messages by service, kind and length; see {@link messageKey}. */
  readonly #messages = new Map<number, Posted[]>();
  readonly #dma = new Set<string>();
  /** Queue pairs, by {@link pairKey}, that have been in RESET again or were destroyed. */
  readonly #restarted = new Set<number>();
  readonly #to = new SpanWalk();
  readonly #from = new SpanWalk();
  #time = 1;
  /** What requests that failed may have written. */
  readonly #failed: Span[] = [];
  /** A region over all memory was used across pages: who writes where is not known any more. */
  #blind = false;
  /** Bytes that were compared; 0 says that the law was not tested. */
  compared = 0;

  constructor(program: Program, world: VerbsWorld) {
    super();
    this.#world = world;
    this.#writers = program.hosts.map(() => new Writers(program.arenaBytes));
  }

  override created(object: ObjectRecord): void {
    if (object.kind === 'mr' && object.dma) this.#dma.add(`${object.vm}.${object.name}`);
  }

  override actionStarted(_index: number, action: Action): void {
    this.#time++;
    if (action.op === 'writeMemory')
      this.#writers[action.vm]?.change(action.at, action.length, 0, this.#time);
  }

  override posted(request: WrRecord, spec: RequestSpec): void {
    const posted = this.#describe(request, spec);
    if (writesHere(request)) {
      this.#posted.set(request, posted);
      this.#change(posted.local, 1, posted.time);
      return;
    }
    const { remote } = posted;
    if (remote.length > 0) {
      this.#posted.set(request, posted);
      this.#change(remote, 1, posted.time);
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
      remote: far === undefined ? nowhere : [{ vm: far.vm, at: far.at, length }],
      fill: sent.inline === undefined ? undefined : request.wrId & 0xff,
      imm: request.send && withImm ? (sent.imm ?? 0) : undefined,
      length,
      time: ++this.#time,
    };
  }

  #lookAcross(vm: number, mr: string, at: number, length: number): void {
    if ((at % PAGE) + length > PAGE && this.#dma.has(`${vm}.${mr}`)) this.#blind = true;
  }

  #addMessage(posted: Posted): void {
    const key = messageKey(posted.request.qp.type, !isSend(posted.request.opcode), posted.length);
    const list = this.#messages.get(key);
    if (list === undefined) this.#messages.set(key, [posted]);
    else list.push(posted);
  }

  /**
   * Bytes of which nothing is promised: where a message was going that failed, and buffers of receives and reads that are still
   * with the device, which a message that was dropped may have used.
   */
  unpromised(): readonly Span[] {
    const held = [...this.#posted.values()].filter(({ request }) => writesHere(request));
    return [...this.#failed, ...held.flatMap(({ local }) => local)];
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
    if (!success) this.#failed.push(...(writesHere(request) ? local : remote));
    if (writesHere(request)) this.#change(local, -1, this.#time);
    else if (success && request.qp.type === QpType.RC) this.#change(remote, -1, this.#time);
  }

  #change(spans: readonly Span[], by: number, time: number): void {
    for (const { vm, at, length } of spans) this.#writers[vm]?.change(at, length, by, time);
  }

  /**
   * Both ends of the connection are in their first life. If one end begins anew alone, with sequence numbers that the other
   * has seen, its writes count as repeated ones: acknowledged and not carried out again.
   */
  #isFresh(qp: QpRecord): boolean {
    const peer = pairKey(peerMachine(qp, qp.vm), qp.attributes.destQpNum ?? 0);
    return !this.#restarted.has(pairKey(qp.vm, qp.handle.qpNum)) && !this.#restarted.has(peer);
  }

  override modified(qp: QpRecord, to: number | undefined): void {
    if (to === QpState.RESET) this.#restarted.add(pairKey(qp.vm, qp.handle.qpNum));
  }

  override destroyed(object: ObjectRecord): void {
    if (object.kind === 'qp') this.#restarted.add(pairKey(object.vm, object.handle.qpNum));
  }

  /** A read that is done has its peer's bytes, a write has put its own. */
  #checkTransfer(posted: Posted, read: boolean): void {
    const { request, remote, local, fill, length, time } = posted;
    if (this.#blind) return;
    const [to, from] = read ? [local, remote] : [remote, local];
    this.#to.start(to, 0);
    const at =
      fill === undefined
        ? this.#firstDifference(from, length, time, time)
        : this.#firstUnlike(fill, length, time);
    if (at < 0) return;
    const wanted = fill === undefined ? this.#byte(from, at) : patternByte(fill, at);
    throw new LawBroken(
      laws.dataArrives,
      `request ${request.wrId} of ${request.qp.name}, machine ${request.qp.vm}, is done, and its byte ${at} is ${this.#byte(to, at)} and not ${wanted}`,
    );
  }

  #byte(spans: readonly Span[], at: number): number {
    const walk = this.#from;
    walk.start(spans, at);
    return this.#guest(walk.vm).readArena(walk.at, 1)[0];
  }

  #checkReceive(posted: Posted, completion: WorkCompletion): void {
    const { qp, wrId } = posted.request;
    const datagram = qp.type === QpType.UD || qp.type === QpType.GSI;
    const header = datagram ? GRH_BYTES : 0;
    const write = completion.opcode === WcOpcode.RECV_RDMA_WITH_IMM;
    const imm = (completion.wcFlags & WcFlag.WITH_IMM) === 0 ? undefined : completion.immData;
    const length = completion.byteLen - header;
    const list = this.#messages.get(messageKey(qp.type, write, length)) ?? [];
    const anyBytes = write || this.#blind;
    const sent = list.findLast(
      message => message.imm === imm && (anyBytes || this.#arrived(message, posted, header)),
    );
    if (sent !== undefined) return;
    const what = imm === undefined ? '' : ` and immediate data ${imm}`;
    throw new LawBroken(
      laws.dataArrives,
      `receive ${wrId} of ${qp.name}, machine ${qp.vm}, got ${completion.byteLen} bytes${what}: no message of that length and content was posted`,
    );
  }

  /** Whether a receive may hold this message, behind the header. */
  #arrived({ fill, local, length, time }: Posted, receive: Posted, header: number): boolean {
    this.#to.start(receive.local, header);
    if (fill !== undefined) return this.#firstUnlike(fill, length, receive.time) < 0;
    return this.#firstDifference(local, length, receive.time, time) < 0;
  }

  /**
   * The first of `length` bytes at which the target that `#to` stands on differs from the source, -1 when there is none. A byte
   * counts that only what was posted at `toTime` can have written there, and that nobody can have changed here since `fromTime`.
   */
  #firstDifference(source: readonly Span[], length: number, toTime: number, fromTime: number): number {
    const to = this.#to;
    const from = this.#from;
    from.start(source, 0);
    for (let done = 0; done < length && to.left > 0 && from.left > 0;) {
      const target = this.#writers[to.vm];
      const origin = this.#writers[from.vm];
      if (target === undefined || origin === undefined) return -1;
      const run = Math.min(length - done, to.left, from.left, target.alike(to.at), origin.alike(from.at));
      if (target.one(to.at, toTime) && origin.none(from.at, fromTime)) {
        this.compared += run;
        const at = this.#guest(to.vm).differenceFromGuest(to.at, this.#guest(from.vm), from.at, run);
        if (at >= 0) return done + at;
      }
      to.advance(run);
      from.advance(run);
      done += run;
    }
    return -1;
  }

  /** The same against the pattern `fill`. */
  #firstUnlike(fill: number, length: number, toTime: number): number {
    const to = this.#to;
    const pattern = patternBytes(fill, length);
    for (let done = 0; done < length && to.left > 0;) {
      const target = this.#writers[to.vm];
      if (target === undefined) return -1;
      const run = Math.min(length - done, to.left, target.alike(to.at));
      if (target.one(to.at, toTime)) {
        this.compared += run;
        const at = this.#guest(to.vm).differenceFrom(to.at, pattern, done, run);
        if (at >= 0) return done + at;
      }
      to.advance(run);
      done += run;
    }
    return -1;
  }

  #guest(vm: number): Arena {
    return this.#world.machines[vm].guest;
  }
}

/** Walks through the bytes of several spans as if they were one. */
class SpanWalk {
  #spans: readonly Span[] = [];
  #next = 0;
  vm = 0;
  at = 0;
  /** Bytes left of the span at hand; 0 at the end. */
  left = 0;

  start(spans: readonly Span[], skip: number): void {
    this.#spans = spans;
    this.#next = 0;
    this.#enter();
    for (let rest = skip; rest > 0 && this.left > 0;) {
      const step = Math.min(rest, this.left);
      this.advance(step);
      rest -= step;
    }
  }

  /** Goes on by at most what is left of the span. */
  advance(bytes: number): void {
    this.at += bytes;
    this.left -= bytes;
    if (this.left === 0) this.#enter();
  }

  #enter(): void {
    if (this.#next === this.#spans.length) {
      this.left = 0;
      return;
    }
    const { vm, at, length } = this.#spans[this.#next++];
    this.vm = vm;
    this.at = at;
    this.left = length;
  }
}

/** The machine that a queue pair is connected to; addresses and keys mean the same there as on the one that was thought of. */
export function peerMachine(qp: QpRecord, otherwise: number): number {
  const { ahAttr } = qp.attributes;
  return ahAttr === undefined ? otherwise : machineOfGid(ahAttr.dgid);
}

/** What it brings goes into memory of its own machine. */
function writesHere({ send, opcode }: WrRecord): boolean {
  return !send || opcode === WrOpcode.RDMA_READ;
}

function isSend(opcode: number): boolean {
  return opcode === WrOpcode.SEND || opcode === WrOpcode.SEND_WITH_IMM;
}

/** A number for each service, kind of message and length. */
function messageKey(type: number, write: boolean, length: number): number {
  // The GSI queue pair and others talk to each other.
  const service = type === QpType.GSI ? QpType.UD : type;
  return length * 16 + service * 2 + (write ? 1 : 0);
}

function pairKey(vm: number, qpNum: number): number {
  return vm * 2 ** 24 + qpNum;
}
