/**
 * One virtual machine of a bench: the judged device, memory that watches it, and a driver played by hand. What a sound driver
 * does has a verb; everything else can be done with the rings and registers themselves.
 */
import { Ack, commandHeader, cqReq } from '../../../abi/index.js';
import type { CommandShape, Profile, QueueMap, StructValue } from '../../../abi/index.js';
import { connectInProcess } from '../../../transports/in-process.js';
import type { InProcessTransport } from '../../../transports/in-process.js';
import {
  DeviceStatus,
  FeatureBit,
  availRingBytes,
  descriptorTableBytes,
  featureMask,
  featureSet,
  hasFeature,
  usedRingBytes,
} from '../../../virtio/index.js';
import type { FeatureSet, VirtioDevice } from '../../../virtio/index.js';
import { CaseUnsupported } from '../../cases/case.js';
import { GUEST_BASE } from '../../simulated-guest.js';
import { bytesOf, recvRequest, sendRequest, viewOf } from './messages.js';
import type { SendFields, SgeValue } from './messages.js';
import { UNWRITTEN, answerText, ends, fieldsText, makes, pieces, seen } from './answers.js';
import type { Answer, ObjectKind } from './answers.js';
import type { StepKind } from '../steps.js';
import { ProbeRing } from './ring.js';
import type { Accuse, Chain, Part, UsedElement } from './ring.js';
import type { WatchedMemory } from './watched-memory.js';

/** Largest queue that a probe sets up. */
export const QUEUE_SIZE = 32;

/** What the machines of one bench share. */
export interface Surroundings {
  readonly profile: Profile;
  readonly accuse: Accuse;
  /** Runs until nothing is left to do. */
  run(): void;
  /** Takes a step of the exchange down, an action of the probe when nothing else is said. */
  note(from: string, to: string, text: string, kind?: StepKind): void;
  /** Does what only sets the scene: one step of the exchange when it went well. */
  scene<T>(who: string, text: string, work: () => T): T;
}

export interface StartOptions {
  readonly indirect?: boolean;
  readonly eventIdx?: boolean;
  readonly ringReset?: boolean;
  /** Size of each queue, undefined to leave it disabled; {@link QUEUE_SIZE} or the largest allowed when absent. */
  readonly queueSize?: (index: number, queues: QueueMap) => number | undefined;
}

/** How the bytes of a command are laid into its chain. */
export interface CommandHow {
  /** In place of the profile's class. */
  readonly class?: number;
  /** Writable bytes; room for ack and result when absent. */
  readonly writable?: number;
  /** Places at which the readable and the writable string are cut into descriptors. */
  readonly cuts?: readonly number[];
  readonly writableCuts?: readonly number[];
  /** Puts the descriptors from this one on into an indirect table. */
  readonly indirectFrom?: number;
}

/** A command whose answer is still to come. */
export interface Pending {
  readonly what: string;
  readonly chain: Chain;
  readonly address: number;
  readonly writable: number;
}

/** A completion as found in a buffer, its bytes and the place of the buffer. */
export interface Polled extends StructValue<typeof cqReq> {
  readonly bytes: Uint8Array;
  readonly buffer: number;
}

const SLOT_BYTES = 2048;
const SLOTS = 8;

export class ProbeMachine {
  readonly name: string;
  readonly vm: number;
  readonly memory: WatchedMemory;
  readonly device: VirtioDevice;
  readonly transport: InProcessTransport;
  readonly queues: QueueMap;
  readonly profile: Profile;
  readonly maxQps: number;
  readonly maxCqs: number;
  features: FeatureSet = 0n;
  /** Numbers of the objects that the device has acknowledged. */
  readonly living: Readonly<Record<ObjectKind, Set<number>>> = {
    pd: new Set(),
    mr: new Set(),
    ah: new Set(),
    cq: new Set(),
    qp: new Set(),
  };
  /** Set-up queues by index. */
  readonly rings = new Map<number, ProbeRing>();
  readonly #around: Surroundings;
  readonly #kickedAt = new Map<number, number>();
  readonly #slots: number;
  #slot = 0;
  #next = GUEST_BASE;

  readonly #showsStatus: boolean;

  constructor(
    vm: number,
    device: VirtioDevice,
    memory: WatchedMemory,
    around: Surroundings,
    showsStatus = true,
  ) {
    this.vm = vm;
    this.#showsStatus = showsStatus;
    this.name = vm === 0 ? 'guest' : `guest ${vm}`;
    this.memory = memory;
    this.device = device;
    this.profile = around.profile;
    this.transport = connectInProcess(device);
    this.#around = around;
    const limits = this.profile.config.decode(device.readConfig(), 0);
    this.maxQps = limits.max_rdma_qps;
    this.maxCqs = limits.max_rdma_cqs;
    this.queues = this.profile.queues(this.maxQps, this.maxCqs);
    this.#slots = this.alloc(SLOT_BYTES * SLOTS, 4096);
  }

  // --- initialisation ---

  /** Features that a driver of this profile must accept, and those that the options ask for. Throws CaseUnsupported. */
  wanted(options: StartOptions = {}): FeatureSet {
    const bits = [FeatureBit.VERSION_1, ...this.profile.features.map(({ bit }) => bit)];
    if (options.indirect === true) bits.push(FeatureBit.INDIRECT_DESC);
    if (options.eventIdx === true) bits.push(FeatureBit.EVENT_IDX);
    if (options.ringReset === true) bits.push(FeatureBit.RING_RESET);
    for (const bit of bits) {
      if (!hasFeature(this.device.deviceFeatures, bit))
        throw new CaseUnsupported(`feature ${bit} is not offered`);
    }
    return featureSet(...bits);
  }

  /** Reset to DRIVER_OK. */
  start(options: StartOptions = {}): void {
    this.negotiate(this.wanted(options));
    this.enableAll(options);
    this.goLive();
  }

  /** Reset to FEATURES_OK; an accusation when the device does not keep it. */
  negotiate(features: FeatureSet): void {
    const { device } = this;
    device.writeStatus(0);
    this.rings.clear();
    this.memory.forbidAll();
    for (const numbers of Object.values(this.living)) numbers.clear();
    device.writeStatus(DeviceStatus.ACKNOWLEDGE);
    device.writeStatus(DeviceStatus.ACKNOWLEDGE | DeviceStatus.DRIVER);
    device.setDriverFeatures(features);
    device.writeStatus(FEATURES_AGREED);
    this.features = features;
    if (device.readStatus() !== FEATURES_AGREED) {
      this.accuse(
        ['FEAT-11', 'RST-36'],
        `features 0x${features.toString(16)}, all offered and none missing: the status is ${device.readStatus()}, expected ${FEATURES_AGREED}`,
      );
    }
  }

  enableAll(options: StartOptions = {}): void {
    for (let index = 0; index < this.queues.count; index++) {
      const size =
        options.queueSize === undefined ? this.usualSize(index) : options.queueSize(index, this.queues);
      if (size !== undefined && size > 0) this.enable(index, size);
    }
  }

  usualSize(index: number): number {
    return Math.min(QUEUE_SIZE, this.device.queueSizeMax(index));
  }

  /** Sets a queue up with areas of its own, all zero. */
  enable(index: number, size = this.usualSize(index)): ProbeRing {
    const descriptors = this.alloc(descriptorTableBytes(size), 16);
    const driver = this.alloc(availRingBytes(size), 2);
    const device = this.alloc(usedRingBytes(size), 4);
    const addresses = { descriptors, driver, device };
    this.memory.bytes.fill(0, this.memory.at(descriptors), this.memory.at(this.#next));
    const ring = new ProbeRing({ index, size, addresses, memory: this.memory, accuse: this.#around.accuse });
    this.rings.set(index, ring);
    this.#kickedAt.set(index, 0);
    this.device.enableQueue(index, size, addresses);
    return ring;
  }

  goLive(): void {
    this.device.writeStatus(LIVE);
    this.#around.run();
    const status = this.device.readStatus();
    if (status !== LIVE) {
      this.accuse(['FEAT-27'], `status ${LIVE} was written after a sound set-up and reads ${status}`);
    }
  }

  get status(): number {
    return this.device.readStatus();
  }
  /** Throws CaseUnsupported where the status of the device cannot be read. */
  get needsReset(): boolean {
    if (!this.#showsStatus) throw new CaseUnsupported('the status of the device cannot be read');
    return (this.status & DeviceStatus.DEVICE_NEEDS_RESET) !== 0;
  }
  has(bit: number): boolean {
    return (this.features & featureMask(bit)) !== 0n;
  }

  // --- memory ---

  alloc(bytes: number, align = 8): number {
    const at = Math.ceil(this.#next / align) * align;
    this.#next = at + bytes;
    if (this.#next > this.memory.end) throw new Error('the probe is out of guest memory');
    return at;
  }

  /** Address up to which memory is in use; what lies behind one of before can be given back with `rewind`. */
  get allocated(): number {
    return this.#next;
  }
  rewind(allocated: number): void {
    this.#next = allocated;
  }

  /** Puts bytes into fresh memory and says where. */
  place(bytes: Uint8Array): number {
    const at = this.alloc(Math.max(1, bytes.length));
    this.memory.put(at, bytes);
    return at;
  }

  // --- rings ---

  ring(index: number): ProbeRing {
    const ring = this.rings.get(index);
    if (ring === undefined) throw new Error(`queue ${index} is not set up`);
    return ring;
  }

  get control(): ProbeRing {
    return this.ring(this.queues.control);
  }

  /** Publishes what was added to a ring, and notifies the device if it asks for that. */
  publish(index: number): void {
    const ring = this.ring(index);
    ring.publish();
    if (this.kickWanted(ring)) this.kick(index);
  }

  kick(index: number): void {
    this.note(this.name, 'device', `kick queue ${index}`, 'notification');
    this.transport.notify(index);
  }

  /** Whether the device asks to be told of what was published since the last time this was asked. */
  kickWanted(ring: ProbeRing): boolean {
    const old = this.#kickedAt.get(ring.index) ?? 0;
    this.#kickedAt.set(ring.index, ring.nextAvail);
    if (!this.has(FeatureBit.EVENT_IDX)) return (ring.usedFlags & 1) === 0;
    return ((ring.nextAvail - ring.availEvent - 1) & 0xffff) < ((ring.nextAvail - old) & 0xffff);
  }

  interruptsOf(index: number): number {
    return this.transport.interruptsByQueue[index];
  }

  /** What came back on a queue since the last look. */
  returned(index: number): UsedElement[] {
    return this.ring(index).harvest();
  }

  // --- commands ---

  /** Lays a command into the control ring without publishing it. `data` is what follows the header. */
  prepare(code: number, data: Uint8Array, how: CommandHow = {}, what = `command ${code}`): Pending {
    const readable = new Uint8Array(commandHeader.size + data.length);
    readable[0] = how.class ?? this.profile.controlClass;
    readable[1] = code;
    readable.set(data, commandHeader.size);
    return this.prepareBytes(readable, how.writable ?? 1, how, what);
  }

  /** The same for any readable bytes, a header or none. */
  prepareBytes(readable: Uint8Array, writable: number, how: CommandHow, what: string): Pending {
    const fits = readable.length + writable <= SLOT_BYTES;
    const at = fits ? this.#slots + SLOT_BYTES * this.#slot : this.alloc(readable.length + writable);
    this.#slot = (this.#slot + 1) % SLOTS;
    const address = at + readable.length;
    this.memory.put(at, readable);
    this.memory.put(address, new Uint8Array(writable).fill(UNWRITTEN));
    const parts = [
      ...pieces(at, readable.length, how.cuts ?? [], false),
      ...pieces(address, writable, how.writableCuts ?? [], true),
    ];
    const table = how.indirectFrom === undefined ? undefined : this.alloc(16 * parts.length, 16);
    const chain = this.control.add(parts, table, how.indirectFrom);
    this.note(this.name, 'device', what);
    return { what, chain, address, writable };
  }

  /** Sends what was prepared, runs, and gives each its answer. */
  answers(pending: readonly Pending[]): Answer[] {
    this.publish(this.queues.control);
    this.#around.run();
    const used = this.returned(this.queues.control);
    return pending.map(({ what, chain, address, writable }) => {
      const element = used.find(({ id }) => id === chain.head);
      const bytes = this.memory.copy(address, writable);
      const text = element === undefined ? 'no answer' : answerText(bytes, element.length);
      this.note('device', this.name, text, 'answer');
      return { what, used: element?.length, bytes };
    });
  }

  /** Sends one command of any bytes and runs until it is answered, or nothing is left to do. */
  command(code: number, data: Uint8Array, how: CommandHow = {}, what = `command ${code}`): Answer {
    const [answer] = this.answers([this.prepare(code, data, how, what)]);
    return answer;
  }

  /** Sends a command whose answer must be well-formed: its result when it was accepted, undefined when it was refused. */
  ask<Q, A>(
    { name, code, request, result }: CommandShape<Q, A>,
    fields: Partial<Q> | Uint8Array = {},
    how: CommandHow = {},
  ): A | undefined {
    const data = fields instanceof Uint8Array ? fields : bytesOf(request, fields);
    const what = `${name} ${fieldsText(fields)}`;
    const answer = this.command(code, data, { writable: 1 + result.size, ...how }, what);
    const { used, bytes } = answer;
    if (bytes[0] === Ack.OK && used === 1 + result.size) {
      this.#keepBook(what, code, data, bytes.subarray(1));
      return result.decode(viewOf(bytes), 1);
    }
    const clean = bytes.subarray(1).every(byte => byte === UNWRITTEN);
    if (bytes[0] === Ack.ERR && used === 1 && clean) return undefined;
    return this.accuse(
      used === undefined ? ['HOST-01', 'CTRL-16'] : ['CTRL-01', 'CTRL-02', 'CTRL-03', 'CTRL-04'],
      `${what}: ${seen(answer)}, expected ack 0 and used length ${1 + result.size}, or ack 1 alone and used length 1`,
    );
  }

  /** Sends a command that the device must accept. */
  must<Q, A>(
    shape: CommandShape<Q, A>,
    fields: Partial<Q> | Uint8Array = {},
    owed: string[] = ['RST-22'],
  ): A {
    const result = this.ask(shape, fields);
    if (result !== undefined) return result;
    return this.accuse(owed, `${shape.name} ${fieldsText(fields)}: refused, expected OK`);
  }

  /** Writes down which objects there are, by what the device has acknowledged. */
  #keepBook(what: string, code: number, request: Uint8Array, result: Uint8Array): void {
    const made = makes.get(code);
    if (made !== undefined) {
      const number = viewOf(result).getUint32(0, true);
      const kind = this.living[made];
      if (kind.has(number))
        this.accuse(['CTRL-20'], `${what}: number ${number}, which a living object of the kind has`);
      kind.add(number);
    }
    const ended = ends.get(code);
    if (ended !== undefined) this.living[ended.kind].delete(viewOf(request).getUint32(ended.at, true));
  }

  // --- requests and completions ---

  /** Makes one chain available on a queue, and notifies if the device asks for it. */
  offer(index: number, parts: readonly Part[]): Chain {
    const ring = this.ring(index);
    if (ring.freeDescriptors < parts.length) ring.harvest();
    const chain = ring.add(parts);
    this.publish(index);
    return chain;
  }

  postSend(qpn: number, request: SendFields | Uint8Array): Chain {
    const bytes = request instanceof Uint8Array ? request : sendRequest(request);
    this.note(this.name, 'device', `send request on queue pair ${qpn}`);
    return this.offer(this.queues.sq(qpn), [{ address: this.place(bytes), length: bytes.length }]);
  }

  postRecv(qpn: number, wrId: number, sges: readonly SgeValue[] = []): Chain {
    const bytes = recvRequest(wrId, sges);
    this.note(this.name, 'device', `receive ${wrId} on queue pair ${qpn}`);
    return this.offer(this.queues.rq(qpn), [{ address: this.place(bytes), length: bytes.length }]);
  }

  /** Makes buffers available on a completion virtqueue, whether or not its completion queue exists. */
  addBuffers(cqn: number, count: number, length = cqReq.size): void {
    const ring = this.ring(this.queues.cq(cqn));
    this.note(this.name, 'device', `${count} buffer(s) for completion queue ${cqn}`);
    for (let i = 0; i < count; i++) {
      const address = this.place(new Uint8Array(length).fill(UNWRITTEN));
      ring.add([{ address, length, writable: true }]);
    }
    this.publish(ring.index);
  }

  /** Takes the completions that have come; their buffers are given back unless `keep`. */
  poll(cqn: number, keep = false): Polled[] {
    const index = this.queues.cq(cqn);
    const polled = this.returned(index).map(({ length, chain }) => {
      const buffer = chain.parts[0].address;
      if (length !== cqReq.size) {
        this.accuse(
          ['CQ-12'],
          `completion queue ${cqn}: a buffer came back with used length ${length}, expected 48`,
        );
      }
      const bytes = this.memory.copy(buffer, cqReq.size);
      const completion = cqReq.decode(viewOf(bytes), 0);
      const text = `cq ${cqn}: wr_id ${completion.wr_id} status ${completion.status}`;
      this.note('device', this.name, text, 'answer');
      if (!keep) {
        this.memory.put(buffer, new Uint8Array(cqReq.size).fill(UNWRITTEN));
        this.ring(index).add(chain.parts);
      }
      return { ...completion, bytes, buffer };
    });
    if (!keep && polled.length > 0) this.publish(index);
    return polled;
  }

  note(from: string, to: string, text: string, kind?: StepKind): void {
    this.#around.note(from, to, text, kind);
  }
  /** Does what only sets the scene: one step of the exchange when it went well. */
  scene<T>(text: string, work: () => T): T {
    return this.#around.scene(this.name, text, work);
  }
  accuse(requirements: readonly string[], message: string): never {
    return this.#around.accuse(requirements, message);
  }
}

const FEATURES_AGREED = DeviceStatus.ACKNOWLEDGE | DeviceStatus.DRIVER | DeviceStatus.FEATURES_OK;
const LIVE = FEATURES_AGREED | DeviceStatus.DRIVER_OK;
