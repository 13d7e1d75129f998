/** One end of a connection in a script: a queue pair with all it needs, its outstanding requests and what must become of them. */
import type { ActionOf, AttributesSpec, ExpectedAttributes, SendRequestSpec, SgeSpec } from '../program.js';
import { ALL_ACCESS, DEFAULT_CQE, IN, OUT } from './guest.js';
import type { Expect, Guest, WantedCompletion } from './guest.js';

export type EndpointType = 'RC' | 'UC' | 'UD' | 'GSI';
type Status = WantedCompletion['status'];
type StateName = NonNullable<AttributesSpec['state']>;
type Stage = 'RESET' | 'INIT' | 'RTR' | 'RTS';
const stages: readonly Stage[] = ['RESET', 'INIT', 'RTR', 'RTS'];

export const QKEY = 0x11111111;
/** Well-known key of the general services. */
export const GSI_QKEY = 0x80010000;
const GRH_BYTES = 40;
const GRH_FLAG = 1;
const IMM_FLAG = 2;

export interface EndpointOptions {
  /** Rights on the queue pair and on the region; default: all. */
  readonly access?: number;
  readonly mrAccess?: number;
  readonly cap?: Partial<NonNullable<ActionOf<'createQp'>['cap']>>;
  readonly sigAll?: boolean;
  readonly cqe?: number;
  /** One completion queue for sends and receives. */
  readonly oneCq?: boolean;
  /** How far both ends are taken; default: RTS. */
  readonly upTo?: Stage;
  /** Attributes other than the standard ones, of the step that sets them. */
  readonly init?: AttributesSpec;
  readonly rtr?: AttributesSpec;
  readonly rts?: AttributesSpec;
}

/** A send in short: a gather list of one element at OUT unless something else is given. */
export interface SendSpec extends Partial<Omit<SendRequestSpec, 'opcode' | 'remote'>> {
  /** Bytes of the message; default 1024. */
  readonly bytes?: number;
  readonly at?: number;
  readonly mr?: SgeSpec['mr'];
  /** Members of the remote place that differ from IN (OUT for a read) in the peer's region. */
  readonly remote?: Partial<NonNullable<SendRequestSpec['remote']>>;
}

export interface RecvSpec {
  /** Bytes of the message that fits; a datagram's header comes on top. Default 1024. */
  readonly bytes?: number;
  readonly at?: number;
  readonly mr?: SgeSpec['mr'];
  readonly sges?: SgeSpec[];
  readonly times?: number;
}

/** What becomes of a receive: a status, or the bytes of the message. */
export type ReceiveOutcome =
  Status | number | { readonly bytes: number; readonly imm?: number; readonly write?: boolean };

interface Posted {
  readonly wr: number;
  readonly opcode: SendRequestSpec['opcode'] | 'RECV';
  readonly signaled: boolean;
  readonly bytes: number;
}

const STEP = 0x1234;
const FIRST_PSN = 0x3a7d19;

export class Endpoint {
  readonly guest: Guest;
  readonly type: EndpointType;
  readonly pd: string;
  readonly sendCq: string;
  readonly recvCq: string;
  readonly mr: string;
  readonly qp: string;
  readonly psn: number;
  peer: Endpoint = this;
  readonly #options: EndpointOptions;
  readonly #handles = new Map<Endpoint, string>();
  #sends: Posted[] = [];
  #receives: Posted[] = [];

  constructor(guest: Guest, type: EndpointType, options: EndpointOptions = {}, shared?: Endpoint) {
    this.guest = guest;
    this.type = type;
    this.#options = options;
    const { cqe = DEFAULT_CQE, mrAccess = ALL_ACCESS, oneCq = false } = options;
    guest.address();
    this.pd = shared?.pd ?? guest.pd();
    this.sendCq = shared?.sendCq ?? guest.cq(cqe);
    this.recvCq = shared?.recvCq ?? (oneCq ? this.sendCq : guest.cq(cqe));
    this.mr = shared?.mr ?? guest.mr(this.pd, { access: mrAccess });
    this.qp = guest.qp(type, this);
    this.psn = options.rts?.sqPsn ?? (FIRST_PSN + STEP * guest.script.endpoints++) & 0xffffff;
  }

  get cap() {
    return this.#options.cap;
  }

  get sigAll() {
    return this.#options.sigAll;
  }

  get qkey(): number {
    return this.type === 'GSI' ? GSI_QKEY : QKEY;
  }

  get #connected(): boolean {
    return this.type === 'RC' || this.type === 'UC';
  }

  // ---------------------------------------------------------------- states

  /** The attributes of a step of the standard way up, with those of the options. */
  step(to: Stage): AttributesSpec {
    const { access = ALL_ACCESS, init, rtr, rts } = this.#options;
    const reliable = this.type === 'RC';
    if (to === 'INIT') return { state: to, ...(this.#connected ? { access } : { qkey: this.qkey }), ...init };
    if (to === 'RTR') return { state: to, ...(this.#connected ? this.#route(reliable) : {}), ...rtr };
    if (to === 'RTS') {
      const retries = { timeout: 14, retryCnt: 7, rnrRetry: 7, maxRdAtomic: 1 };
      return { state: to, sqPsn: this.psn, ...(reliable ? retries : {}), ...rts };
    }
    return { state: to };
  }

  #route(reliable: boolean): AttributesSpec {
    const { peer } = this;
    return {
      pathMtu: 3,
      dest: { vm: peer.guest.vm, qp: peer.qp },
      rqPsn: peer.psn,
      to: { vm: peer.guest.vm, gid: 0 },
      ...(reliable ? { maxDestRdAtomic: 1, minRnrTimer: 12 } : {}),
    };
  }

  /** Takes the queue pair from RESET, or from `from`, up to a state. */
  raise(to: Stage = this.#options.upTo ?? 'RTS', from: Stage = 'RESET'): void {
    for (const stage of stages.slice(stages.indexOf(from) + 1, stages.indexOf(to) + 1)) {
      this.modify(this.step(stage));
    }
  }

  modify(set: AttributesSpec, expect: Expect = 'ok'): void {
    this.guest.do({ op: 'modifyQp', qp: this.qp, set, expect });
    if (expect !== 'ok' || set.state !== 'RESET') return;
    this.#sends = [];
    this.#receives = [];
  }

  /** The queue pair must be in this state and show these attributes. */
  is(expectState: StateName, expectSet?: ExpectedAttributes): void {
    this.guest.do({ op: 'queryQp', qp: this.qp, expectState, expectSet });
  }

  destroy(): void {
    this.guest.do({ op: 'destroyQp', qp: this.qp });
    this.#sends = [];
    this.#receives = [];
  }

  // ---------------------------------------------------------------- requests

  send(spec: SendSpec = {}, expect: Expect = 'ok'): number {
    return this.post([this.sendOf(spec)], expect);
  }

  write(spec: SendSpec = {}, expect: Expect = 'ok'): number {
    return this.post([this.writeOf(spec)], expect);
  }

  read(spec: SendSpec = {}, expect: Expect = 'ok'): number {
    return this.post([this.readOf(spec)], expect);
  }

  sendOf(spec: SendSpec = {}): SendRequestSpec {
    const opcode = spec.imm === undefined ? 'SEND' : 'SEND_WITH_IMM';
    return { opcode, ...this.#content(spec, OUT), ...(this.#connected ? {} : this.#datagram(spec)) };
  }

  writeOf(spec: SendSpec = {}): SendRequestSpec {
    const opcode = spec.imm === undefined ? 'RDMA_WRITE' : 'RDMA_WRITE_WITH_IMM';
    return { opcode, ...this.#content(spec, OUT), remote: this.#remote(spec, IN) };
  }

  readOf(spec: SendSpec = {}): SendRequestSpec {
    return { opcode: 'RDMA_READ', ...this.#content(spec, IN), remote: this.#remote(spec, OUT) };
  }

  #content(spec: SendSpec, usual: number) {
    const { bytes = 1024, at = usual, mr = this.mr, inline, signaled, solicited, fence, imm, times } = spec;
    const whole = bytes === 0 || inline !== undefined ? [] : [{ at, length: bytes, mr }];
    return { sges: spec.sges ?? whole, ...given({ inline, signaled, solicited, fence, imm, times }) };
  }

  #remote(spec: SendSpec, at: number): NonNullable<SendRequestSpec['remote']> {
    const { guest, mr } = this.peer;
    return { vm: guest.vm, at, mr, ...spec.remote };
  }

  #datagram(spec: SendSpec): Partial<SendRequestSpec> {
    return {
      ah: spec.ah ?? this.handleTo(this.peer),
      dest: spec.dest ?? { vm: this.peer.guest.vm, qp: this.peer.qp },
      qkey: spec.qkey ?? this.qkey,
    };
  }

  /** The address handle to a peer, made when it is first asked for. */
  handleTo(peer: Endpoint): string {
    const known = this.#handles.get(peer);
    if (known !== undefined) return known;
    const made = this.guest.ah(this.pd, { vm: peer.guest.vm });
    this.#handles.set(peer, made);
    return made;
  }

  /** Posts a list in one call. With an outcome other than ok the last request is the one refused. Returns the first number. */
  post(requests: SendRequestSpec[], expect: Expect = 'ok'): number {
    const first = this.guest.requests;
    for (const { opcode, signaled = true, sges, times = 1, inline } of requests) {
      const bytes = inline ?? sges.reduce((sum, sge) => sum + sge.length, 0);
      for (let i = 0; i < times; i++) {
        const wr = this.guest.requests++;
        this.#sends.push({ wr, opcode, signaled: signaled || this.sigAll === true, bytes });
      }
    }
    if (expect !== 'ok') this.#sends.pop();
    this.guest.do({ op: 'postSend', qp: this.qp, requests, expect });
    return first;
  }

  recv(spec: RecvSpec = {}, expect: Expect = 'ok'): number {
    return this.postRecvs([this.recvOf(spec)], expect);
  }

  recvOf({ bytes = 1024, at = IN, mr = this.mr, sges, times }: RecvSpec) {
    const length = bytes + (this.#connected ? 0 : GRH_BYTES);
    const elements = sges ?? (length === 0 ? [] : [{ at, length, mr }]);
    return { sges: elements, ...(times === undefined ? {} : { times }) };
  }

  postRecvs(requests: ReturnType<Endpoint['recvOf']>[], expect: Expect = 'ok'): number {
    const first = this.guest.requests;
    for (const { times = 1 } of requests) {
      for (let i = 0; i < times; i++)
        this.#receives.push({ wr: this.guest.requests++, opcode: 'RECV', signaled: true, bytes: 0 });
    }
    if (expect !== 'ok') this.#receives.pop();
    this.guest.do({ op: 'postRecv', qp: this.qp, requests, expect });
    return first;
  }

  // ---------------------------------------------------------------- completions

  /** The send completions that must be there, for the oldest outstanding sends; unsignaled ones succeed in silence. */
  sends(...outcomes: readonly Status[]): void {
    this.guest.poll(
      this.sendCq,
      outcomes.map(status => this.sendOutcome(status)),
    );
  }

  /** So many more sends must have succeeded. */
  sent(count = 1): void {
    this.sends(...Array.from({ length: count }, () => 'SUCCESS' as const));
  }

  sendOutcome(status: Status): WantedCompletion {
    if (status === 'SUCCESS') while (this.#sends.length > 0 && !this.#sends[0].signaled) this.#sends.shift();
    const send = taken(this.#sends, 'send');
    if (status !== 'SUCCESS') return { status, wr: send.wr };
    const { wr, bytes } = send;
    if (send.opcode === 'RDMA_READ') return { status, opcode: 'RDMA_READ', byteLen: bytes, wr };
    const opcode = send.opcode.startsWith('SEND') ? 'SEND' : 'RDMA_WRITE';
    return { status, opcode, wr };
  }

  /** The receive completions that must be there, for the oldest outstanding receives. */
  receives(...outcomes: readonly ReceiveOutcome[]): void {
    this.guest.poll(
      this.recvCq,
      outcomes.map(outcome => this.receiveOutcome(outcome)),
    );
  }

  /** So many messages of this length must have come. */
  received(bytes = 1024, count = 1): void {
    this.receives(...Array.from({ length: count }, () => bytes));
  }

  receiveOutcome(outcome: ReceiveOutcome): WantedCompletion {
    const { wr } = taken(this.#receives, 'receive');
    if (typeof outcome === 'string') return { status: outcome, wr };
    const { bytes, imm, write = false } = typeof outcome === 'number' ? { bytes: outcome } : outcome;
    const common = {
      status: 'SUCCESS',
      opcode: write ? 'RECV_RDMA_WITH_IMM' : 'RECV',
      ...(imm === undefined ? {} : { imm }),
    } as const;
    const immFlag = imm === undefined ? 0 : IMM_FLAG;
    if (this.#connected) return { ...common, byteLen: bytes, flags: immFlag, wr };
    const from = { vm: this.peer.guest.vm, qp: this.peer.qp };
    return { ...common, byteLen: bytes + GRH_BYTES, flags: GRH_FLAG | immFlag, from, wr };
  }
}

/** The members that have a value. */
function given<T extends object>(members: T): Partial<T> {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as Partial<T>;
}

function taken(list: Posted[], what: string): Posted {
  const posted = list.shift();
  if (posted === undefined)
    throw new Error(`a scenario expects the completion of a ${what} that it never posts`);
  return posted;
}
