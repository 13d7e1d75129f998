/**
 * The front-end's side of one vhost-user connection: requests and their answers, by waiting for them. It speaks of queues and
 * memory and knows nothing of what the device does with them. What a back-end answers is checked; one that hangs, hangs up
 * or answers something else ends the connection.
 */
import { Connection, ConnectionEnded } from './connection.js';
import type { Message } from './connection.js';
import { closeFd } from './descriptors.js';
import { MessageFault, decodePayload, encodePayload } from './messages.js';
import type { InflightDescription, MemoryRegion, Payload } from './messages.js';
import {
  CONFIG_BYTES_MAX,
  F_PROTOCOL_FEATURES,
  MessageFlag,
  NO_FD,
  ProtocolFeature,
  Request,
  requestName,
  requestShapes,
} from './protocol.js';
import type { RequestName } from './protocol.js';
import { connectUnix } from './sockets.js';

/** A request that the back-end understood and did not carry out. */
export class RequestRefused extends Error {
  readonly code = 'ERR_VHOST_USER_REFUSED';
}

export interface FrontEndOptions {
  /** Milliseconds that an answer may take, its second half, and the reading of a request. */
  readonly answerMs: number;
  /** Microseconds of looking again and again before the thread sleeps. */
  readonly spinUs: number;
  /** Protocol features that are not used, though offered. */
  readonly withoutProtocolFeatures: readonly string[];
  /** The device may be gone and come back, and what is in flight is to outlive that where the back-end can have it so. */
  readonly resumable?: boolean;
  /** What is thrown in place of an error that has ended the connection. */
  fault?(why: Error): Error;
}

/** User addresses of a queue: where its parts are in this process. */
export interface UserAddresses {
  readonly descriptors: number;
  readonly available: number;
  readonly used: number;
}

export interface QueueSetUp {
  readonly index: number;
  readonly size: number;
  /** Where the device begins. */
  readonly base: number;
  readonly addresses: UserAddresses;
  /** Undefined: the device polls. */
  readonly kick: number | undefined;
  readonly call: number;
  readonly error: number | undefined;
}

/** Those of the protocol that this front-end makes use of; BACKEND_REQ is not among them: a back-end has nothing to ask. */
const used = [
  'MQ',
  'REPLY_ACK',
  'CONFIG',
  'RESET_DEVICE',
  'CONFIGURE_MEM_SLOTS',
  'STATUS',
  'INFLIGHT_SHMFD',
] as const;
type Used = (typeof used)[number];

/** Memory in which a back-end notes what is in flight, for the one that comes after it. */
export interface Inflight {
  readonly description: InflightDescription;
  /** The file; whoever has it closes it. */
  readonly fd: number;
}

export class FrontEnd {
  readonly #connection: Connection;
  readonly #options: FrontEndOptions;
  #offered = 0n;
  #protocol = new Set<Used>();
  #queueCount: number | undefined;
  #slots: number | undefined;
  #why: Error | undefined;
  /** Queues whose places are not acknowledged yet. */
  readonly #described: number[] = [];

  /** Connects and negotiates the protocol. Throws SystemError or RangeError when nobody listens there, ConnectionEnded, MessageFault. */
  static connect(path: string, options: FrontEndOptions): FrontEnd {
    return new FrontEnd(new Connection(connectUnix(path), { patienceMs: options.answerMs }), options);
  }

  private constructor(connection: Connection, options: FrontEndOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#offered = this.askNumber('GET_FEATURES');
    if ((this.#offered & PROTOCOL_FEATURES) !== 0n) this.#negotiateProtocol();
    this.tell('SET_OWNER');
    if (this.has('MQ')) this.#queueCount = Number(this.askNumber('GET_QUEUE_NUM'));
    if (this.has('CONFIGURE_MEM_SLOTS')) this.#slots = Number(this.askNumber('GET_MAX_MEM_SLOTS'));
  }

  #negotiateProtocol(): void {
    const offered = this.askNumber('GET_PROTOCOL_FEATURES');
    const { resumable, withoutProtocolFeatures } = this.#options;
    let accepted = 0n;
    for (const name of used) {
      const bit = 1n << BigInt(ProtocolFeature.values[name]);
      if ((offered & bit) === 0n || withoutProtocolFeatures.includes(name)) continue;
      if (name === 'INFLIGHT_SHMFD' && resumable !== true) continue;
      accepted |= bit;
      this.#protocol.add(name);
    }
    this.tell('SET_PROTOCOL_FEATURES', u64(accepted));
  }

  /** Device features that are offered, without the bit that is the protocol's own. */
  get features(): bigint {
    return this.#offered & ~PROTOCOL_FEATURES;
  }
  /** Whether a protocol feature is in force. */
  has(feature: Used): boolean {
    return this.#protocol.has(feature);
  }
  /** Queues that the back-end can have; undefined when it does not say. */
  get queueCount(): number | undefined {
    return this.#queueCount;
  }
  /** Regions that the back-end takes one by one. */
  get slots(): number | undefined {
    return this.#slots;
  }
  get fd(): number | undefined {
    return this.#connection.fd;
  }
  /** Why the connection is over; undefined while it is not. */
  get failure(): Error | undefined {
    return this.#why;
  }

  /** Throws RequestRefused for features that the device cannot work with, where the back-end can say so. */
  setFeatures(features: bigint): void {
    this.do('SET_FEATURES', u64(features | (this.#offered & PROTOCOL_FEATURES)), [], true);
  }

  /** Shares memory, all of it at once. Throws RequestRefused where the back-end can say so. */
  setMemory(regions: readonly { readonly region: MemoryRegion; readonly fd: number }[]): void {
    const table = regions.map(({ region }) => region);
    const fds = regions.map(({ fd }) => fd);
    this.do('SET_MEM_TABLE', { kind: 'regions', regions: table }, fds);
  }
  /** Shares one more region. Needs CONFIGURE_MEM_SLOTS. */
  addMemory(region: MemoryRegion, fd: number): void {
    this.do('ADD_MEM_REG', { kind: 'region', region }, [fd]);
  }
  removeMemory(region: MemoryRegion): void {
    this.do('REM_MEM_REG', { kind: 'region', region });
  }

  /** Asks for memory that keeps what is in flight. Needs INFLIGHT_SHMFD. Throws MessageFault when there is none. */
  newInflight(queues: number, queueSize: number): Inflight {
    const wanted = { bytes: 0, offset: 0, queues, queueSize };
    this.tell('GET_INFLIGHT_FD', { kind: 'inflight', inflight: wanted });
    const fds: number[] = [];
    const answer = this.#awaitAnswer('GET_INFLIGHT_FD', 'inflight', fds);
    const [fd] = fds;
    if (answer.kind === 'inflight' && answer.inflight.bytes > 0 && fds.length === 1)
      return { description: answer.inflight, fd };
    for (const each of fds) closeFd(each);
    throw this.#end(new MessageFault(`GET_INFLIGHT_FD: ${fds.length} descriptors came, expected one`));
  }
  /** Gives that memory to the back-end, a new one or the same again. */
  setInflight({ description, fd }: Inflight): void {
    this.do('SET_INFLIGHT_FD', { kind: 'inflight', inflight: description }, [fd]);
  }

  /** Describes a queue. It is not enabled yet; `refusedQueues` says whether it can be. */
  setUpQueue({ index, size, base, addresses, kick, call, error }: QueueSetUp): void {
    const { descriptors, available, used: usedRing } = addresses;
    this.tell('SET_VRING_NUM', vringState(index, size));
    this.tell('SET_VRING_BASE', vringState(index, base));
    const address = { index, flags: 0, descriptors, used: usedRing, available, log: 0 };
    // The only one of these that a sound front-end may get wrong: the driver says where its queue is.
    const flags = this.has('REPLY_ACK') ? MessageFlag.values.NEED_REPLY : 0;
    this.tell('SET_VRING_ADDR', { kind: 'vring-address', address }, [], flags);
    if (flags !== 0) this.#described.push(index);
    this.#setEvent('SET_VRING_CALL', index, call);
    if (error !== undefined) this.#setEvent('SET_VRING_ERR', index, error);
    this.#setEvent('SET_VRING_KICK', index, kick);
  }

  /** Those of the queues described since the last call whose places the back-end has refused. */
  refusedQueues(): number[] {
    return this.#described.splice(0).filter(() => {
      const answer = this.#awaitAnswer('SET_VRING_ADDR', 'u64');
      return answer.kind === 'u64' && answer.value !== 0n;
    });
  }

  #setEvent(name: RequestName, index: number, fd: number | undefined): void {
    if (fd === undefined) this.tell(name, u64(BigInt(index | NO_FD)));
    else this.tell(name, u64(BigInt(index)), [fd]);
  }

  /** Only rings of a back-end with protocol features have to be enabled. */
  enableQueue(index: number, enabled: boolean): void {
    if ((this.#offered & PROTOCOL_FEATURES) !== 0n)
      this.tell('SET_VRING_ENABLE', vringState(index, enabled ? 1 : 0));
  }

  /** Stops a queue. Returns the index at which it would go on. */
  stopQueue(index: number): number {
    const answer = this.ask('GET_VRING_BASE', vringState(index, 0));
    if (answer.kind !== 'vring-state' || answer.state.index !== index)
      throw this.#end(new MessageFault(`GET_VRING_BASE of queue ${index}: the answer is of another queue`));
    return answer.state.num;
  }

  /** Needs STATUS. */
  readStatus(): number {
    return Number(this.askNumber('GET_STATUS')) & 0xff;
  }
  /** Needs STATUS. */
  writeStatus(status: number): void {
    try {
      this.do('SET_STATUS', u64(BigInt(status)), [], true);
    } catch (error) {
      // A device that does not take a bit shows it in the status.
      if (!(error instanceof RequestRefused)) throw error;
    }
  }

  /** Reads configuration space from its start. Needs CONFIG. Throws MessageFault when the back-end cannot. */
  readConfig(bytes: number): Uint8Array {
    const data = new Uint8Array(Math.min(bytes, CONFIG_BYTES_MAX));
    const answer = this.ask('GET_CONFIG', { kind: 'config', access: { offset: 0, flags: 0, data } });
    if (answer.kind === 'config' && answer.access.data.length === data.length) return answer.access.data;
    throw this.#end(
      new MessageFault(`GET_CONFIG of ${data.length} bytes: another number of them was answered`),
    );
  }

  /** Needs RESET_DEVICE. */
  resetDevice(): void {
    this.do('RESET_DEVICE');
  }

  /** Something that is answered in any case, to be sure that what came before it has been read. */
  barrier(): void {
    this.tell(this.#barrier);
  }
  /** The answer to that, when it is GET_STATUS; undefined when it is another. */
  awaitBarrier(): number | undefined {
    const answer = this.#awaitAnswer(this.#barrier);
    return this.has('STATUS') && answer.kind === 'u64' ? Number(answer.value) & 0xff : undefined;
  }
  get #barrier(): RequestName {
    return this.has('STATUS') ? 'GET_STATUS' : 'GET_FEATURES';
  }

  // ---------------------------------------------------------------- messages

  /** Sends a request and does not wait. Throws ConnectionEnded. */
  tell(name: RequestName, payload: Payload = { kind: 'none' }, fds: readonly number[] = [], flags = 0): void {
    try {
      this.#connection.send(Request.values[name], flags, encodePayload(payload), fds);
    } catch (error) {
      throw this.#end(error);
    }
  }

  /**
   * Sends a request, and waits until it has been carried out where the back-end can say so. One that is refused ends the
   * connection, unless it `mayBeRefused`: RequestRefused is thrown then.
   */
  do(
    name: RequestName,
    payload: Payload = { kind: 'none' },
    fds: readonly number[] = [],
    mayBeRefused = false,
  ): void {
    if (!this.has('REPLY_ACK')) {
      this.tell(name, payload, fds);
      return;
    }
    this.tell(name, payload, fds, MessageFlag.values.NEED_REPLY);
    const answer = this.#awaitAnswer(name, 'u64');
    if (answer.kind !== 'u64' || answer.value === 0n) return;
    const refused = new RequestRefused(`the back-end refused ${name}: it answered ${answer.value}`);
    throw mayBeRefused ? refused : this.#end(refused);
  }

  /** Sends a request and waits for its answer. Throws ConnectionEnded, MessageFault. */
  ask(name: RequestName, payload: Payload = { kind: 'none' }): Payload {
    this.tell(name, payload);
    return this.#awaitAnswer(name);
  }

  askNumber(name: RequestName): bigint {
    const answer = this.ask(name);
    return answer.kind === 'u64' ? answer.value : 0n;
  }

  /** `keep` gets the descriptors that come along; without it there must be none. */
  #awaitAnswer(name: RequestName, kind = requestShapes[name]?.reply ?? 'u64', keep?: number[]): Payload {
    try {
      const message = this.#receive(name);
      const { request, flags, payload, fds } = message;
      if (keep === undefined) for (const fd of fds) closeFd(fd);
      else keep.push(...fds);
      const wanted = Request.values[name];
      if (request !== wanted || (flags & MessageFlag.values.REPLY) === 0) {
        const what = (flags & MessageFlag.values.REPLY) === 0 ? 'a request' : 'an answer';
        throw new MessageFault(`${name} was asked, and ${what} came to ${requestName(request)}`);
      }
      if (keep === undefined && fds.length > 0)
        throw new MessageFault(`${name}: ${fds.length} descriptors came with the answer`);
      return decodeAnswer(name, kind, payload);
    } catch (error) {
      throw this.#end(error);
    }
  }

  #receive(name: RequestName): Message {
    const { answerMs, spinUs } = this.#options;
    const spinEndMs = performance.now() + spinUs / 1000;
    do {
      const message = this.#connection.receive(0);
      if (message !== undefined) return message;
    } while (performance.now() < spinEndMs);
    const message = this.#connection.receive(answerMs);
    if (message !== undefined) return message;
    throw new ConnectionEnded('timeout', `no answer to ${name} within ${answerMs} ms`);
  }

  /** The socket can be read though nothing was asked. Throws: the back-end has hung up, or says what nobody wants to know. */
  unasked(): void {
    try {
      const message = this.#connection.receive(0);
      if (message === undefined) return;
      for (const fd of message.fds) closeFd(fd);
      throw new MessageFault(`${requestName(message.request)} was answered, and nobody asked`);
    } catch (error) {
      throw this.#end(error);
    }
  }

  /** Ends the connection for a reason that its messages do not show. Returns what is to be thrown. */
  fail(why: Error): Error {
    return this.#end(why);
  }

  #end(error: unknown): Error {
    if (this.#why !== undefined) return this.#why;
    this.close();
    const why = error instanceof Error ? error : new Error(String(error));
    return (this.#why = this.#options.fault?.(why) ?? why);
  }

  close(): void {
    this.#connection.close();
  }
}

const PROTOCOL_FEATURES = 1n << BigInt(F_PROTOCOL_FEATURES);

function u64(value: bigint): Payload {
  return { kind: 'u64', value };
}
function vringState(index: number, num: number): Payload {
  return { kind: 'vring-state', state: { index, num } };
}

function decodeAnswer(name: RequestName, kind: Payload['kind'], payload: Uint8Array): Payload {
  try {
    return decodePayload(kind, payload);
  } catch (error) {
    if (error instanceof MessageFault) throw new MessageFault(`answer to ${name}: ${error.message}`);
    throw error;
  }
}
