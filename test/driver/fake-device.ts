/**
 * A scripted device for driver tests: real rings and registers, no HCA. It answers commands as a sound device would, unless
 * a test holds the answers back or makes them up. Completions come when the test says so.
 */
import { Ack, Command, WcStatus, commandHeader, cqReq, profiles, writeLe64 } from '../../src/abi/index.js';
import type { Profile, ProfileName } from '../../src/abi/index.js';
import { SimulatedGuest } from '../../src/conformance/simulated-guest.js';
import { RdmaDriver } from '../../src/driver/index.js';
import type { DriverOptions } from '../../src/driver/index.js';
import { Scheduler, firstChoice } from '../../src/fabric/index.js';
import type { Choices } from '../../src/fabric/index.js';
import { connectInProcess } from '../../src/transports/in-process.js';
import type { InProcessTransport } from '../../src/transports/in-process.js';
import { FeatureBit, VirtioDeviceModel, featureSet } from '../../src/virtio/index.js';
import type {
  DescriptorChain,
  DeviceQueue,
  GuestMemory,
  QueueAddresses,
  RingFeatures,
} from '../../src/virtio/index.js';

export const MAX_QPS = 6;
export const MAX_CQS = 4;

/** A command that the device has taken; answered by `FakeDevice.answer`. */
export interface TakenCommand {
  readonly code: number;
  /** Command data, header left out. */
  readonly data: DataView;
  readonly chain: DescriptorChain;
  answered: boolean;
}

export interface FakeOptions {
  readonly profile?: ProfileName;
  readonly queueSizeMax?: number;
  readonly ringFeatures?: RingFeatures;
  readonly choices?: Choices;
  readonly driver?: Partial<DriverOptions>;
  readonly maxQps?: number;
  readonly maxCqs?: number;
  readonly missingFeature?: number;
  readonly dmaBytes?: number;
}

const limits = {
  max_qp_wr: 64,
  max_send_sge: 4,
  max_recv_sge: 4,
  max_cqe: 32,
  max_mr: 3,
  max_pd: 3,
  max_ah: 3,
  max_mr_size: 1 << 20,
};

export class FakeDevice extends VirtioDeviceModel {
  /** Taken and not answered yet, oldest first. */
  readonly pending: TakenCommand[] = [];
  /** Every command code that came, in order. */
  readonly log: number[] = [];
  /** When set, commands wait in `pending` until the test answers them. */
  hold = false;
  /** Makes the result of an OK answer up; undefined leaves the sound one. */
  forge: ((command: TakenCommand, sound: Uint8Array) => Uint8Array) | undefined;
  /** Codes that are refused. */
  readonly refused = new Set<number>();
  readonly profile: Profile;
  readonly maxQps: number;
  readonly maxCqs: number;
  #pds = 0;
  #mrs = 0;
  #ahs = 0;
  readonly #cqs = new Set<number>();
  readonly #qps = new Set<number>();
  /** Requests taken off each send or receive queue, by queue index. */
  readonly taken = new Map<number, DescriptorChain[]>();
  readonly #usedRings = new Map<number, { readonly size: number; readonly address: number }>();

  constructor(memory: GuestMemory, options: FakeOptions) {
    const profile = profiles[options.profile ?? 'roce'];
    const maxQps = options.maxQps ?? MAX_QPS;
    const maxCqs = options.maxCqs ?? MAX_CQS;
    const map = profile.queues(Math.max(1, maxQps), Math.max(1, maxCqs));
    const bits: number[] = profile.features
      .map(feature => feature.bit)
      .filter(bit => bit !== options.missingFeature);
    if (options.ringFeatures?.indirect) bits.push(FeatureBit.INDIRECT_DESC);
    if (options.ringFeatures?.eventIdx) bits.push(FeatureBit.EVENT_IDX);
    super({
      deviceId: profile.deviceId,
      features: featureSet(...bits),
      queueCount: map.count,
      queueSizeMax: () => options.queueSizeMax ?? 64,
      config: configBytes(profile, maxQps, maxCqs),
      memory,
    });
    this.profile = profile;
    this.maxQps = maxQps;
    this.maxCqs = maxCqs;
  }

  override enableQueue(index: number, size: number, addresses: QueueAddresses): void {
    super.enableQueue(index, size, addresses);
    this.#usedRings.set(index, { size, address: addresses.device });
  }

  /** Writes a used element that no honest device half would write, and raises the index. */
  forgeUsed(index: number, id: number, length: number): void {
    const ring = this.#usedRings.get(index);
    if (ring === undefined) throw new Error(`fake device: queue ${index} is not enabled`);
    const window = this.memory.window(ring.address, 4 + 8 * ring.size);
    if (window === undefined) throw new Error(`fake device: queue ${index} is not in memory`);
    const idx = window.get16(2);
    window.set32(4 + 8 * (idx % ring.size), id);
    window.set32(8 + 8 * (idx % ring.size), length);
    window.store16(2, (idx + 1) & 0xffff);
  }

  protected override onDriverOk(): void {}
  protected override onQueueReset(): void {}
  protected override onReset(): void {
    this.pending.length = 0;
    this.#cqs.clear();
    this.#qps.clear();
    this.taken.clear();
  }

  protected override onNotify(index: number): void {
    if (index === this.#map.control) this.takeCommands();
  }

  get #map() {
    return this.profile.queues(this.maxQps, this.maxCqs);
  }

  /** The device half of a queue, whether or not the device would look at it. */
  ring(index: number): DeviceQueue {
    const queue = this.queue(index);
    if (queue === undefined) throw new Error(`fake device: queue ${index} is not enabled`);
    return queue;
  }
  get control(): DeviceQueue {
    return this.ring(this.#map.control);
  }
  cqRing(cqn: number): DeviceQueue {
    return this.ring(this.#map.cq(cqn));
  }

  takeCommands(): void {
    const queue = this.control;
    for (;;) {
      const chain = queue.newChain();
      if (queue.take(chain) !== 'chain') {
        if (queue.broken === undefined && queue.enableNotifications()) continue;
        return;
      }
      const bytes = new Uint8Array(chain.readableBytes);
      chain.copyReadable(0, bytes, 0, bytes.length);
      const command = {
        code: bytes[1],
        data: new DataView(bytes.buffer, commandHeader.size),
        chain,
        answered: false,
      };
      this.log.push(command.code);
      this.pending.push(command);
      if (!this.hold) this.answerSoundly(command);
    }
  }

  /** Answers as a device that does its work. */
  answerSoundly(command: TakenCommand): void {
    if (this.refused.has(command.code)) {
      this.answer(command, Ack.ERR);
      return;
    }
    const sound = this.#carryOut(command);
    const result = this.forge === undefined ? sound : this.forge(command, sound);
    this.answer(command, Ack.OK, result);
  }

  answerAll(): void {
    while (this.pending.length > 0) this.answerSoundly(this.pending[0]);
  }

  /** Answers anything at all, and interrupts if that is wanted. `written` defaults to the bytes written. */
  answer(
    command: TakenCommand,
    ack: number,
    result: Uint8Array = new Uint8Array(0),
    written = 1 + result.length,
  ): void {
    command.answered = true;
    const at = this.pending.indexOf(command);
    if (at >= 0) this.pending.splice(at, 1);
    command.chain.writeWritable(0, Uint8Array.of(ack, ...result), 0, 1 + result.length);
    this.control.putUsed(command.chain.head, written);
    this.interruptIfWanted(this.control);
  }

  interruptIfWanted(queue: DeviceQueue): void {
    if (queue.interruptWanted()) this.interruptQueue(queue.index);
  }
  interrupt(index: number): void {
    this.interruptQueue(index);
  }
  fail(why: string): void {
    this.needsReset(why);
  }

  /** Puts a completion into a buffer of the queue; false when there is none. */
  complete(cqn: number, fields: Partial<typeof emptyCqe>, written: number = cqReq.size): boolean {
    const queue = this.cqRing(cqn);
    const chain = queue.newChain();
    if (queue.take(chain) !== 'chain') return false;
    const bytes = new Uint8Array(cqReq.size);
    cqReq.encode(new DataView(bytes.buffer), 0, { ...emptyCqe, ...fields });
    chain.writeWritable(0, bytes, 0, bytes.length);
    queue.putUsed(chain.head, written);
    return true;
  }

  /** Takes the requests that stand in a send or receive queue; returns each one's bytes. */
  takeRequests(index: number): Uint8Array[] {
    const queue = this.ring(index);
    const held = this.taken.get(index) ?? [];
    this.taken.set(index, held);
    const requests: Uint8Array[] = [];
    for (;;) {
      const chain = queue.newChain();
      if (queue.take(chain) !== 'chain') return requests;
      const bytes = new Uint8Array(chain.readableBytes);
      chain.copyReadable(0, bytes, 0, bytes.length);
      held.push(chain);
      requests.push(bytes);
    }
  }

  /** Returns the oldest `count` requests that were taken, or the youngest first. */
  returnRequests(index: number, count: number, youngestFirst = false): void {
    const held = this.taken.get(index) ?? [];
    for (let i = 0; i < count; i++) {
      const chain = youngestFirst ? held.pop() : held.shift();
      if (chain === undefined) throw new Error('fake device: no request is taken');
      this.ring(index).putUsed(chain.head, 0);
    }
  }

  sq(qpn: number): number {
    return this.#map.sq(qpn);
  }
  rq(qpn: number): number {
    return this.#map.rq(qpn);
  }
  cq(cqn: number): number {
    return this.#map.cq(cqn);
  }

  #carryOut({ code, data }: TakenCommand): Uint8Array {
    switch (code) {
      case Command.QUERY_DEVICE:
        return queryDeviceBytes();
      case Command.QUERY_PORT:
        return le32s(8, 64 * 1024, 0, 0, 0, 0, 0, 0);
      case Command.CREATE_PD:
        return le32s(100 + this.#pds++);
      case Command.CREATE_AH:
        return le32s(300 + this.#ahs++);
      case Command.REG_USER_MR:
      case Command.GET_DMA_MR: {
        const number = this.#mrs++;
        const key = (number + 1) << 8;
        return le32s(200 + number, key, (data.getUint32(4, true) & 6) === 0 ? 0 : key);
      }
      case Command.CREATE_CQ:
        return le32s(lowestFree(this.#cqs, 0));
      case Command.CREATE_QP:
        return le32s(lowestFree(this.#qps, data.getUint8(4) === 1 ? 1 : 2));
      case Command.DESTROY_CQ: {
        const cqn = data.getUint32(0, true);
        this.#cqs.delete(cqn);
        this.returnAll(this.cq(cqn));
        return new Uint8Array(0);
      }
      case Command.DESTROY_QP: {
        const qpn = data.getUint32(0, true);
        this.#qps.delete(qpn);
        this.returnAll(this.sq(qpn));
        this.returnAll(this.rq(qpn));
        return new Uint8Array(0);
      }
      case Command.MODIFY_QP: {
        const toReset = (data.getUint32(4, true) & 1) !== 0 && data.getUint8(8) === 0;
        if (toReset) {
          this.returnAll(this.sq(data.getUint32(0, true)));
          this.returnAll(this.rq(data.getUint32(0, true)));
        }
        return new Uint8Array(0);
      }
      case Command.QUERY_QP:
        return new Uint8Array(120);
      default:
        return new Uint8Array(0);
    }
  }

  /** Returns whatever is in a ring, taken or not. */
  returnAll(index: number): void {
    const queue = this.ring(index);
    for (const chain of this.taken.get(index) ?? []) queue.putUsed(chain.head, 0);
    this.taken.delete(index);
    for (;;) {
      const chain = queue.newChain();
      if (queue.take(chain) !== 'chain') return;
      queue.putUsed(chain.head, 0);
    }
  }
}

export const emptyCqe = {
  wr_id: 0,
  status: WcStatus.SUCCESS as number,
  opcode: 0,
  vendor_err: 0,
  byte_len: 0,
  imm_data: 0,
  qp_num: 0,
  src_qp: 0,
  wc_flags: 0,
};

function lowestFree(taken: Set<number>, from: number): number {
  let number = from;
  while (taken.has(number)) number++;
  taken.add(number);
  return number;
}

export function le32s(...values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(4 * values.length);
  const view = new DataView(bytes.buffer);
  for (const [i, value] of values.entries()) view.setUint32(4 * i, value, true);
  return bytes;
}

function configBytes(profile: Profile, maxQps: number, maxCqs: number): Uint8Array {
  const bytes = new Uint8Array(profile.config.size);
  const view = new DataView(bytes.buffer);
  const { offsets } = profile.config;
  if ('mtu' in offsets) view.setUint16(offsets.mtu, 1500, true);
  view.setUint32(offsets.max_rdma_qps, maxQps, true);
  view.setUint32(offsets.max_rdma_cqs, maxCqs, true);
  return bytes;
}

function queryDeviceBytes(): Uint8Array {
  const bytes = new Uint8Array(128);
  const view = new DataView(bytes.buffer);
  writeLe64(view, 8, limits.max_mr_size);
  view.setUint32(28, limits.max_qp_wr, true);
  view.setUint32(32, limits.max_send_sge, true);
  view.setUint32(36, limits.max_recv_sge, true);
  view.setUint32(44, limits.max_cqe, true);
  view.setUint32(48, limits.max_mr, true);
  view.setUint32(52, limits.max_pd, true);
  view.setUint32(64, limits.max_ah, true);
  return bytes;
}

/** A guest with a driver and a fake device, not started. */
export class FakeWorld {
  readonly scheduler: Scheduler;
  readonly guest: SimulatedGuest;
  readonly device: FakeDevice;
  readonly transport: InProcessTransport;
  readonly driver: RdmaDriver;

  constructor(options: FakeOptions = {}) {
    this.scheduler = new Scheduler(options.choices ?? firstChoice);
    this.guest = new SimulatedGuest({
      scheduler: this.scheduler,
      memoryBytes: (options.dmaBytes ?? 1 << 20) + (1 << 16),
      arenaBytes: 1 << 16,
      scatterSeed: 7,
    });
    this.device = new FakeDevice(this.guest.memory, options);
    this.transport = connectInProcess(this.device);
    this.driver = new RdmaDriver({
      profile: this.device.profile,
      transport: this.transport,
      os: this.guest,
      memory: this.guest.memory,
      ringFeatures: options.ringFeatures ?? { indirect: false, eventIdx: false },
      ...options.driver,
    });
  }

  /** Runs the world and the promises until a promise settles. Throws when nothing is left to happen before that. */
  async settle<T>(promise: Promise<T>): Promise<T> {
    let settled = false;
    const done = (): void => {
      settled = true;
    };
    promise.then(done, done);
    for (let idle = 0; idle < 32 && !settled; idle++) {
      while (this.scheduler.step()) idle = 0;
      await Promise.resolve();
    }
    if (!settled) throw new Error('the promise never settled, and nothing is left to happen');
    return promise;
  }

  /** Runs what is deferred and lets promises move. */
  async turn(): Promise<void> {
    while (this.scheduler.step());
    for (let i = 0; i < 16; i++) await Promise.resolve();
  }

  async start(): Promise<this> {
    await this.settle(this.driver.start());
    return this;
  }
}

export async function startedWorld(options: FakeOptions = {}): Promise<FakeWorld> {
  return new FakeWorld(options).start();
}
