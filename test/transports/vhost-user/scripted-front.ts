/** A front-end for tests, in the same process as the back-end: it waits by the event loop and never blocks. */
import { Connection, ConnectionEnded } from '../../../src/transports/vhost-user/connection.js';
import type { Message } from '../../../src/transports/vhost-user/connection.js';
import {
  closeFd,
  newEvent,
  drainEvent,
  signalEvent,
} from '../../../src/transports/vhost-user/descriptors.js';
import { encodePayload } from '../../../src/transports/vhost-user/messages.js';
import type { Payload } from '../../../src/transports/vhost-user/messages.js';
import { Request } from '../../../src/transports/vhost-user/protocol.js';
import type { RequestName } from '../../../src/transports/vhost-user/protocol.js';
import { MemoryFile } from '../../../src/transports/vhost-user/shared-memory.js';
import { connectTo } from '../../../src/transports/vhost-user/socket-path.js';
import { GuestMemory, SplitDriverQueue, layOutSplitRing } from '../../../src/virtio/index.js';

const GUEST = 0x10_0000;
const BYTES = 64 * 1024;
const SIZE = 64;
const NEED_REPLY = 8;
const FEATURES = (1n << 32n) | (1n << 30n) | (1n << 17n) | (1n << 55n);
const PROTOCOL = (1n << 3n) | (1n << 9n) | (1n << 15n);

const u64 = (value: bigint): Payload => ({ kind: 'u64', value });
const state = (index: number, num: number): Payload => ({ kind: 'vring-state', state: { index, num } });

export class ScriptedFront {
  readonly #connection: Connection;
  readonly #waiting: ((message: Message | undefined) => void)[] = [];
  #file: MemoryFile | undefined;
  readonly #kick = newEvent();
  readonly #call = newEvent();
  readonly #memory = new GuestMemory();
  #queue: SplitDriverQueue | undefined;

  constructor(fd: number) {
    this.#connection = new Connection(fd);
    this.#connection.listen({
      message: message => this.#waiting.shift()?.(message),
      ended: () => {
        for (const tell of this.#waiting.splice(0)) tell(undefined);
      },
    });
  }

  static connect(path: string): ScriptedFront {
    return new ScriptedFront(connectTo(path));
  }

  close(): void {
    this.#connection.close();
    for (const fd of [this.#kick, this.#call]) closeFd(fd);
    this.#file?.close();
  }

  /** Sends; nothing happens when the back-end is gone. */
  sendRaw(request: number, flags: number, payload: Uint8Array, fds: number): void {
    try {
      this.#connection.send(
        request,
        flags,
        payload,
        Array.from({ length: fds }, () => this.#kick),
      );
    } catch (error) {
      if (!(error instanceof ConnectionEnded)) throw error;
    }
  }

  ask(name: RequestName, payload: Uint8Array = new Uint8Array(0)): Promise<Message | undefined> {
    const answer = new Promise<Message | undefined>(resolve => this.#waiting.push(resolve));
    this.#connection.send(Request.values[name], 0, payload);
    return answer;
  }

  async askNumber(name: RequestName): Promise<bigint> {
    const answer = await this.ask(name);
    if (answer === undefined) throw new Error(`${name} was not answered`);
    return new DataView(answer.payload.buffer).getBigUint64(0, true);
  }

  /** A request that is acknowledged: 0 when it was carried out. */
  async acknowledged(name: RequestName, payload: Payload, fds: readonly number[] = []): Promise<bigint> {
    const answer = new Promise<Message | undefined>(resolve => this.#waiting.push(resolve));
    this.#connection.send(Request.values[name], NEED_REPLY, encodePayload(payload), fds);
    const message = await answer;
    if (message === undefined) throw new Error(`${name} was not acknowledged`);
    return new DataView(message.payload.buffer).getBigUint64(0, true);
  }

  async #must(name: RequestName, payload: Payload, fds: readonly number[] = []): Promise<void> {
    const answer = await this.acknowledged(name, payload, fds);
    if (answer !== 0n) throw new Error(`${name} was refused`);
  }

  #region(file: MemoryFile, bytes = BYTES) {
    return { guestAddress: GUEST, bytes, userAddress: file.address, offset: 0 };
  }

  /** Negotiates without a status, shares memory and starts one queue. */
  async setUp({ queue }: { readonly queue: number }): Promise<void> {
    const file = (this.#file = new MemoryFile('vrdma-front', BYTES));
    this.#connection.send(Request.values.SET_PROTOCOL_FEATURES, 0, encodePayload(u64(PROTOCOL)));
    await this.#must('SET_FEATURES', u64(FEATURES));
    await this.#must('SET_MEM_TABLE', { kind: 'regions', regions: [this.#region(file)] }, [file.fd]);
    this.#memory.addRegion(GUEST, file.bytes);
    const places = layOutSplitRing(GUEST, SIZE);
    this.#queue = new SplitDriverQueue(
      this.#memory,
      { index: queue, size: SIZE, ...places },
      { indirect: false, eventIdx: false },
    );
    await this.start(queue, 0);
  }

  async start(queue: number, base: number): Promise<void> {
    const places = layOutSplitRing(this.#file?.address ?? 0, SIZE);
    await this.#must('SET_VRING_NUM', state(queue, SIZE));
    await this.#must('SET_VRING_BASE', state(queue, base));
    await this.#must('SET_VRING_ADDR', {
      kind: 'vring-address',
      address: {
        index: queue,
        flags: 0,
        descriptors: places.descriptors,
        used: places.device,
        available: places.driver,
        log: 0,
      },
    });
    await this.#must('SET_VRING_CALL', u64(BigInt(queue)), [this.#call]);
    await this.#must('SET_VRING_KICK', u64(BigInt(queue)), [this.#kick]);
    await this.#must('SET_VRING_ENABLE', state(queue, 1));
  }

  /** Stops a queue and returns its index. */
  async stop(queue: number): Promise<number> {
    const answer = await this.ask('GET_VRING_BASE', encodePayload(state(queue, 0)));
    if (answer === undefined) throw new Error('GET_VRING_BASE was not answered');
    return new DataView(answer.payload.buffer).getUint32(4, true);
  }

  /** Puts a chain into the ring, kicks, and waits for the call. */
  async command(bytes: Uint8Array): Promise<{ readonly written: number; readonly bytes: Uint8Array }> {
    const answer = await this.tryCommand(bytes, Infinity);
    if (answer === undefined) throw new Error('called, and nothing came back');
    return answer;
  }

  /** The same with a device that may be wrong: undefined when no call came within so many turns of the event loop, or nothing. */
  async tryCommand(
    bytes: Uint8Array,
    turns: number,
  ): Promise<{ readonly written: number; readonly bytes: Uint8Array } | undefined> {
    const queue = this.#queue;
    const file = this.#file;
    if (queue === undefined || file === undefined) throw new Error('no queue was set up');
    const at = 32 * 1024;
    file.bytes.set(bytes, at);
    queue.begin();
    queue.addReadable(GUEST + at, bytes.length);
    queue.addWritable(GUEST + at + 64, 512);
    queue.commit(1, false);
    queue.publish();
    signalEvent(this.#kick);
    const element = { token: 0, written: 0 };
    for (let turn = 0; !drainEvent(this.#call); turn++) {
      if (turn >= turns) return undefined;
      await new Promise(resolve => setImmediate(resolve));
    }
    if (!queue.takeUsed(element)) return undefined;
    return { written: element.written, bytes: file.bytes.slice(at + 64, at + 64 + element.written) };
  }

  /** Breaks the ring: the available index goes 1000 ahead. Waits until the device has seen it. */
  async jump(): Promise<void> {
    const file = this.#file;
    if (file === undefined) throw new Error('nothing is set up');
    new DataView(file.bytes.buffer, file.bytes.byteOffset).setUint16(
      layOutSplitRing(0, SIZE).driver + 2,
      1001,
      true,
    );
    signalEvent(this.#kick);
    for (let i = 0; i < 3; i++) await this.askNumber('GET_QUEUE_NUM');
  }

  /** Whether something wrong was refused. */
  async refused(what: string): Promise<boolean> {
    const file = this.#file;
    if (file === undefined) throw new Error('nothing is set up');
    const region = this.#region(file);
    const regions = (...list: (typeof region)[]): Promise<bigint> =>
      this.acknowledged(
        'SET_MEM_TABLE',
        { kind: 'regions', regions: list },
        list.map(() => file.fd),
      );
    const address = { index: 3, flags: 0, descriptors: 16, used: 64, available: 32, log: 0 };
    const attempts: Readonly<Record<string, () => Promise<bigint>>> = {
      'regions overlap': () => regions(region, { ...region, userAddress: 0x1000 }),
      'beyond the file': () => regions({ ...region, bytes: BYTES + 8 }),
      'addresses outside memory': async () => {
        await this.#must('SET_VRING_NUM', state(3, SIZE));
        await this.#must('SET_VRING_KICK', u64(3n), [this.#kick]);
        await this.#must('SET_VRING_ENABLE', state(3, 1));
        return this.acknowledged('SET_VRING_ADDR', { kind: 'vring-address', address });
      },
      'size too large': () => this.acknowledged('SET_VRING_NUM', state(2, 4096)),
      'no such queue': () => this.acknowledged('SET_VRING_NUM', state(99, 64)),
      'read-only': () =>
        this.acknowledged('SET_CONFIG', {
          kind: 'config',
          access: { offset: 0, flags: 0, data: new Uint8Array(4) },
        }),
      'features that are not offered': () => this.acknowledged('SET_FEATURES', u64(1n << 50n)),
      'a log': () =>
        this.acknowledged('SET_LOG_BASE', { kind: 'log', log: { bytes: 8, offset: 0 } }, [this.#kick]),
    };
    return (await attempts[what]()) !== 0n;
  }

  /** Shares memory without waiting for anything. */
  shareQuickly(fd: number): void {
    const region = { guestAddress: 0, bytes: 4096, userAddress: 0x1000, offset: 0 };
    this.#connection.send(
      Request.values.SET_MEM_TABLE,
      0,
      encodePayload({ kind: 'regions', regions: [region] }),
      [fd],
    );
  }
}
