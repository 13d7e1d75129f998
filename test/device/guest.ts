/**
 * A guest driven by hand: it builds rings, commands and requests byte by byte, so that a test can also build wrong ones.
 * `World` holds what several guests share: virtual time, the network and the host's HCA.
 */
import {
  Ack,
  AccessFlag,
  Command,
  PathMtu,
  QpAttrMask,
  QpState,
  QpType,
  SendFlag,
  WrOpcode,
  addGidCommand,
  commandHeader,
  cqReq,
  createAhAck,
  createAhCommand,
  createCqAck,
  createCqCommand,
  createPdAck,
  createQpAck,
  createQpCommand,
  modifyQpCommand,
  profiles,
  queryQpAck,
  queryQpCommand,
  regUserMrAck,
  regUserMrCommand,
  reqNotifyCommand,
  rqReq,
  sge,
  sqReq,
  writeLe64,
  wrRdma,
  wrUd,
} from '../../src/abi/index.js';
import type { ProfileName, QueueMap, Struct, StructValue } from '../../src/abi/index.js';
import { RdmaDevice } from '../../src/device/index.js';
import { Fabric, Scheduler, firstChoice, noFaults } from '../../src/fabric/index.js';
import type { Choices, FaultRates } from '../../src/fabric/index.js';
import { ReferenceHca } from '../../src/reference/index.js';
import type { Hca, HcaFunction } from '../../src/reference/index.js';
import {
  DeviceStatus,
  GuestMemory,
  SplitDriverQueue,
  featureMask,
  negotiate,
  startDriver,
} from '../../src/virtio/index.js';
import type { ControlObserver, FeatureSet, RingObserver, VirtioTransport } from '../../src/virtio/index.js';

export const limits = {
  attributes: {
    maxMrSizeBytes: 256 * 1024,
    pageSizeCap: 4096,
    maxQp: 6,
    maxQpWr: 16,
    maxSendSge: 4,
    maxRecvSge: 3,
    maxSgeRd: 3,
    maxCq: 4,
    maxCqe: 16,
    maxMr: 4,
    maxPd: 3,
    maxAh: 3,
    maxQpRdAtom: 4,
    maxQpInitRdAtom: 4,
  },
  port: { gidTableLength: 4, maxMsgSizeBytes: 64 * 1024, activeMtu: PathMtu.MTU_1024 },
  device: { maxQps: 6, maxCqs: 4, queueSizeMax: 16 },
};

/** Guest-physical address and bytes of the guest's only region unless a test asks for more. */
export const MEMORY_START = 0x1_0000;
export const MEMORY_BYTES = 1024 * 1024;
/** What the writable part of every chain holds before the device writes. */
export const UNWRITTEN = 0xee;

const STEPS_MAX = 1_000_000;

export class World {
  readonly scheduler: Scheduler;
  readonly fabric: Fabric;
  readonly hca: Hca;
  #gids = 0;

  constructor(choices: Choices = firstChoice, faults: FaultRates = noFaults, faultSeed = 1) {
    this.scheduler = new Scheduler(choices);
    this.fabric = new Fabric(this.scheduler, {
      latencyNs: 1000,
      bandwidthBitsPerSecond: 100e9,
      faults,
      faultSeed,
    });
    this.hca = new ReferenceHca(this.scheduler, this.fabric, limits);
  }

  /** A GID that nobody has. */
  newGid(): Uint8Array {
    return gidOf(++this.#gids);
  }

  /** Runs until nothing is left to do. */
  settle(): void {
    for (let steps = 0; !this.scheduler.quiet; steps++) {
      if (steps > STEPS_MAX) throw new Error(`not quiet after ${STEPS_MAX} steps`);
      this.scheduler.step();
    }
  }
}

export interface GuestOptions {
  readonly profile?: ProfileName;
  readonly indirect?: boolean;
  readonly eventIdx?: boolean;
  /** Also negotiate this feature. */
  readonly extraFeature?: number;
  /** Size of a queue; undefined leaves it disabled. */
  readonly queueSize?: (index: number) => number | undefined;
  readonly memory?: GuestMemory;
  readonly vm?: number;
  readonly maxMrPages?: number;
  readonly control?: ControlObserver;
  /** Watches what the device does to its queues. */
  readonly ring?: RingObserver;
  /** Puts something between the device and the HCA's function. */
  readonly wrap?: (hcaFunction: HcaFunction) => HcaFunction;
}

/** What came back for a chain: the used length and the whole writable part. */
export interface Answer {
  readonly written: number;
  readonly bytes: Uint8Array;
}

type Fields = Record<string, unknown>;

export class Guest {
  readonly world: World;
  readonly memory: GuestMemory;
  readonly device: RdmaDevice;
  readonly queues: QueueMap;
  features: FeatureSet = 0n;
  /** Used-buffer notifications by queue. */
  readonly interrupts = new Map<number, number>();
  configInterrupts = 0;
  /** Called at each used-buffer notification. */
  onInterrupt: (index: number) => void = () => undefined;
  readonly #controlClass: number;
  readonly #driverQueues = new Map<number, SplitDriverQueue>();
  readonly #options: GuestOptions;
  #free = MEMORY_START;

  constructor(world: World, options: GuestOptions = {}) {
    const profile = profiles[options.profile ?? 'rdma'];
    this.world = world;
    this.memory = options.memory ?? new GuestMemory();
    if (options.memory === undefined) this.memory.addRegion(MEMORY_START, new Uint8Array(MEMORY_BYTES));
    this.queues = profile.queues(limits.device.maxQps, limits.device.maxCqs);
    this.#controlClass = profile.controlClass;
    this.#options = options;
    const hcaFunction = world.hca.openFunction();
    const { maxMrPages } = options;
    this.device = new RdmaDevice({
      profile,
      memory: this.memory,
      function: options.wrap?.(hcaFunction) ?? hcaFunction,
      scheduler: world.scheduler,
      limits: maxMrPages === undefined ? limits.device : { ...limits.device, maxMrPages },
      ringFeatures: { indirect: true, eventIdx: true },
      vm: options.vm ?? 0,
      controlObserver: options.control,
      ringObserver: options.ring,
    });
    this.device.attach({
      interruptQueue: index => {
        this.interrupts.set(index, this.interruptsOf(index) + 1);
        this.onInterrupt(index);
      },
      interruptConfig: () => this.configInterrupts++,
    });
    this.start();
  }

  /** Goes through the initialisation, with all queues set up anew. */
  start(): void {
    const options = this.#options;
    const { features } = profiles[options.profile ?? 'rdma'];
    const required = features.reduce((set, { bit }) => set | featureMask(bit), featureMask(32));
    const wanted =
      (options.indirect ? featureMask(28) : 0n) |
      (options.eventIdx ? featureMask(29) : 0n) |
      (options.extraFeature === undefined ? 0n : featureMask(options.extraFeature));
    this.features = negotiate(this.#transport(), { wanted, required, requirements: features });
    for (let index = 0; index < this.device.queueCount; index++) this.enable(index);
    startDriver(this.#transport());
    this.world.settle();
  }

  get needsReset(): boolean {
    return (this.device.readStatus() & DeviceStatus.DEVICE_NEEDS_RESET) !== 0;
  }

  interruptsOf(index: number): number {
    return this.interrupts.get(index) ?? 0;
  }

  /** Sets a queue up anew, with size 16 unless the options say otherwise. */
  enable(index: number): void {
    const size = this.#options.queueSize === undefined ? 16 : this.#options.queueSize(index);
    if (size === undefined) return;
    const descriptors = this.alloc(16 * size, 16);
    const driver = this.alloc(6 + 2 * size, 2);
    const device = this.alloc(6 + 8 * size, 4);
    const ringFeatures = {
      indirect: (this.features & featureMask(28)) !== 0n,
      eventIdx: (this.features & featureMask(29)) !== 0n,
    };
    const config = { index, size, descriptors, driver, device };
    const indirect = ringFeatures.indirect
      ? { address: this.alloc(size * 8 * 16, 16), entriesPerTable: 8 }
      : undefined;
    this.#driverQueues.set(
      index,
      new SplitDriverQueue(this.memory, config, ringFeatures, undefined, indirect),
    );
    this.addresses.set(index, { descriptors, driver, device });
    this.device.enableQueue(index, size, { descriptors, driver, device });
  }

  /** Where the areas of each queue lie. */
  readonly addresses = new Map<number, { descriptors: number; driver: number; device: number }>();

  queue(index: number): SplitDriverQueue {
    const queue = this.#driverQueues.get(index);
    if (queue === undefined) throw new Error(`queue ${index} is not enabled`);
    return queue;
  }

  alloc(bytes: number, align = 8): number {
    const at = Math.ceil(this.#free / align) * align;
    this.#free = at + bytes;
    if (!this.memory.contains(at, bytes)) throw new Error('the test guest is out of memory');
    return at;
  }

  /** Puts bytes into guest memory and says where. */
  place(bytes: Uint8Array): number {
    const at = this.alloc(Math.max(1, bytes.length));
    this.memory.write(at, bytes, 0, bytes.length);
    return at;
  }

  peek(address: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    if (!this.memory.read(address, bytes, 0, length)) throw new Error(`no guest memory at ${address}`);
    return bytes;
  }

  /** All bytes of guest memory. */
  everything(): Buffer {
    return Buffer.concat(this.memory.regions.map(({ address, length }) => this.peek(address, length)));
  }

  // --- chains ---

  /** Makes one chain available. `cuts` are the places at which the readable string is cut into descriptors. */
  makeAvailable(
    index: number,
    readable: Uint8Array,
    writable: { address: number; length: number } = { address: 0, length: 0 },
    cuts: readonly number[] = [],
    writableCuts: readonly number[] = [],
    indirect = false,
  ): void {
    const queue = this.queue(index);
    const address = this.place(readable);
    queue.begin();
    for (const [from, to] of pieces(readable.length, cuts)) queue.addReadable(address + from, to - from);
    for (const [from, to] of pieces(writable.length, writableCuts)) {
      queue.addWritable(writable.address + from, to - from);
    }
    if (!queue.commit(writable.address, indirect)) throw new Error(`no room in queue ${index}`);
    if (queue.publish()) this.device.notified(index);
  }

  /** Used elements that have come back: what was given as token, and the used length. */
  returned(index: number): { token: number; written: number }[] {
    const list: { token: number; written: number }[] = [];
    const element = { token: 0, written: 0 };
    while (this.queue(index).takeUsed(element)) list.push({ ...element });
    return list;
  }

  // --- commands ---

  /** Sends the bytes of a command and runs until it is answered. */
  raw(
    readable: Uint8Array,
    writableBytes: number,
    cuts: readonly number[] = [],
    writableCuts: readonly number[] = [],
    indirect = false,
  ): Answer | undefined {
    const address = this.place(new Uint8Array(writableBytes).fill(UNWRITTEN));
    const writable = { address, length: writableBytes };
    this.makeAvailable(this.queues.control, readable, writable, cuts, writableCuts, indirect);
    this.world.settle();
    const [used] = this.returned(this.queues.control);
    return used === undefined
      ? undefined
      : { written: used.written, bytes: this.peek(address, writableBytes) };
  }

  /** The bytes of a command of this device's class. */
  commandBytes(code: number, data: Uint8Array = new Uint8Array(0)): Uint8Array {
    const bytes = new Uint8Array(commandHeader.size + data.length);
    commandHeader.encode(viewOf(bytes), 0, { class: this.#controlClass, command: code });
    bytes.set(data, commandHeader.size);
    return bytes;
  }

  /** Sends a command. The result when it is accepted, undefined when it is refused; checks the used length. */
  call(code: number, data: Uint8Array, resultBytes = 0): DataView | undefined {
    const answer = this.raw(this.commandBytes(code, data), 1 + resultBytes);
    if (answer === undefined) throw new Error('the command was not answered');
    const { written, bytes } = answer;
    if (bytes[0] === Ack.OK && written === 1 + resultBytes) return viewOf(bytes.subarray(1));
    if (bytes[0] === Ack.ERR && written === 1 && bytes.subarray(1).every(byte => byte === UNWRITTEN)) {
      return undefined;
    }
    throw new Error(`ack ${bytes[0]} with ${written} of ${bytes.length} bytes written`);
  }

  /** The same with structs. */
  request<Q extends Fields>(code: number, struct: Struct<Q>, value: Q): boolean {
    return this.call(code, bytesOf(struct, value)) !== undefined;
  }
  ask<Q extends Fields, A extends Fields>(
    code: number,
    struct: Struct<Q>,
    value: Q,
    result: Struct<A>,
  ): A | undefined {
    const view = this.call(code, bytesOf(struct, value), result.size);
    return view === undefined ? undefined : result.decode(view, 0);
  }

  createPd(): number | undefined {
    const view = this.call(Command.CREATE_PD, new Uint8Array(0), createPdAck.size);
    return view === undefined ? undefined : createPdAck.decode(view, 0).pdn;
  }
  createCq(cqe: number): number | undefined {
    return this.ask(Command.CREATE_CQ, createCqCommand, { cqe }, createCqAck)?.cqn;
  }
  arm(cqn: number, flags: number): boolean {
    return this.request(Command.REQ_NOTIFY_CQ, reqNotifyCommand, { cqn, flags });
  }
  registerMr(
    fields: Partial<StructValue<typeof regUserMrCommand>>,
    pages: readonly number[],
  ): StructValue<typeof regUserMrAck> | undefined {
    const value = { ...regUserMrCommand.zero(), npages: pages.length, ...fields };
    const data = new Uint8Array(regUserMrCommand.size + 8 * pages.length);
    regUserMrCommand.encode(viewOf(data), 0, value);
    pages.forEach((page, i) => writeLe64(viewOf(data), regUserMrCommand.size + 8 * i, page));
    const view = this.call(Command.REG_USER_MR, data, regUserMrAck.size);
    return view === undefined ? undefined : regUserMrAck.decode(view, 0);
  }
  /** Registers `length` bytes of guest memory at their own address, with all rights. */
  registerAt(pdn: number, address: number, length: number): StructValue<typeof regUserMrAck> {
    const access = AccessFlag.LOCAL_WRITE | AccessFlag.REMOTE_WRITE | AccessFlag.REMOTE_READ;
    const fields = { pdn, access_flags: access, virt_addr: address, length };
    return defined(this.registerMr(fields, pagesOf(address, length)));
  }
  createQp(fields: Partial<StructValue<typeof createQpCommand>>): number | undefined {
    const value = { ...createQpCommand.zero(), qp_type: QpType.RC, cap: smallCap, ...fields };
    return this.ask(Command.CREATE_QP, createQpCommand, value, createQpAck)?.qpn;
  }
  modifyQp(fields: Partial<StructValue<typeof modifyQpCommand>>): boolean {
    return this.request(Command.MODIFY_QP, modifyQpCommand, { ...modifyQpCommand.zero(), ...fields });
  }
  queryQp(qpn: number): StructValue<typeof queryQpAck> | undefined {
    return this.ask(Command.QUERY_QP, queryQpCommand, { qpn, attr_mask: 0 }, queryQpAck);
  }
  createAh(pdn: number, dgid: Uint8Array, sgidIndex = 0): number | undefined {
    const ah_attr = addressVector(dgid, sgidIndex);
    return this.ask(Command.CREATE_AH, createAhCommand, { pdn, ah_attr }, createAhAck)?.ah;
  }
  addGid(index: number, gid: Uint8Array): boolean {
    return this.request(Command.ADD_GID, addGidCommand, { index, gid });
  }

  // --- queue pairs ---

  /** Moves an RC queue pair from RESET to RTS, or to the state before which `until` asks to stop. */
  connectRc(qpn: number, peerGid: Uint8Array, peerQpn: number, until: number = QpState.RTS): void {
    const access = AccessFlag.REMOTE_WRITE | AccessFlag.REMOTE_READ;
    const { STATE, ACCESS_FLAGS, AV, PATH_MTU, DEST_QPN, RQ_PSN, MAX_DEST_RD_ATOMIC, MIN_RNR_TIMER } =
      QpAttrMask;
    const { TIMEOUT, RETRY_CNT, RNR_RETRY, SQ_PSN, MAX_QP_RD_ATOMIC } = QpAttrMask;
    const steps = [
      { qp_state: QpState.INIT, attr_mask: STATE | ACCESS_FLAGS, qp_access_flags: access },
      {
        qp_state: QpState.RTR,
        attr_mask: STATE | AV | PATH_MTU | DEST_QPN | RQ_PSN | MAX_DEST_RD_ATOMIC | MIN_RNR_TIMER,
        ah_attr: addressVector(peerGid),
        path_mtu: PathMtu.MTU_1024,
        dest_qp_num: peerQpn,
        max_dest_rd_atomic: 4,
        min_rnr_timer: 1,
      },
      {
        qp_state: QpState.RTS,
        attr_mask: STATE | TIMEOUT | RETRY_CNT | RNR_RETRY | SQ_PSN | MAX_QP_RD_ATOMIC,
        timeout: 10,
        retry_cnt: 3,
        rnr_retry: 3,
        max_rd_atomic: 4,
      },
    ];
    for (const step of steps) {
      if (step.qp_state > until) return;
      if (!this.modifyQp({ qpn, ...step })) throw new Error(`state ${step.qp_state} was refused`);
    }
  }

  /** Moves a UD queue pair from RESET to RTS. */
  startUd(qpn: number, qkey: number): void {
    const { STATE, QKEY, SQ_PSN } = QpAttrMask;
    const steps = [
      { qp_state: QpState.INIT, attr_mask: STATE | QKEY, qkey },
      { qp_state: QpState.RTR, attr_mask: STATE },
      { qp_state: QpState.RTS, attr_mask: STATE | SQ_PSN },
    ];
    for (const step of steps) {
      if (!this.modifyQp({ qpn, ...step })) throw new Error(`state ${step.qp_state} was refused`);
    }
  }

  postSend(qpn: number, request: Uint8Array): void {
    this.#post(this.queues.sq(qpn), request);
  }
  postRecv(qpn: number, request: Uint8Array): void {
    this.#post(this.queues.rq(qpn), request);
  }
  /** Takes back what was returned only when there is no room, so that a test can look at it. */
  #post(index: number, request: Uint8Array): void {
    if (this.queue(index).freeDescriptors === 0) this.returned(index);
    this.makeAvailable(index, request);
  }

  // --- completion queues ---

  /** Makes buffers available; their places are the tokens. */
  addBuffers(cqn: number, count: number, length = cqReq.size): void {
    for (let i = 0; i < count; i++) {
      const address = this.place(new Uint8Array(length).fill(UNWRITTEN));
      this.makeAvailable(this.queues.cq(cqn), new Uint8Array(0), { address, length });
    }
  }
  /** Takes the completions that have come, without giving their buffers back. */
  poll(cqn: number): StructValue<typeof cqReq>[] {
    return this.returned(this.queues.cq(cqn)).map(({ token, written }) => {
      if (written !== cqReq.size) throw new Error(`completion of ${written} bytes`);
      return cqReq.decode(viewOf(this.peek(token, cqReq.size)), 0);
    });
  }

  #transport(): VirtioTransport {
    const { device } = this;
    return {
      deviceId: device.deviceId,
      deviceFeatures: device.deviceFeatures,
      setDriverFeatures: features => device.setDriverFeatures(features),
      readStatus: () => device.readStatus(),
      writeStatus: status => device.writeStatus(status),
      configGeneration: device.configGeneration,
      readConfig: () => device.readConfig(),
      queueCount: device.queueCount,
      queueSizeMax: index => device.queueSizeMax(index),
      enableQueue: (index, size, addresses) => device.enableQueue(index, size, addresses),
      queueEnabled: index => device.queueEnabled(index),
      resetQueue: index => device.resetQueue(index),
      notify: index => device.notified(index),
      onInterrupt: () => undefined,
    };
  }
}

export const smallCap = {
  max_send_wr: 4,
  max_recv_wr: 4,
  max_send_sge: 2,
  max_recv_sge: 2,
  max_inline_data: 64,
};

export function defined<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('refused');
  return value;
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function bytesOf<V extends Fields>(struct: Struct<V>, value: V): Uint8Array {
  const bytes = new Uint8Array(struct.size);
  struct.encode(viewOf(bytes), 0, value);
  return bytes;
}

/** A GID of this test's own: fd00:: and a number. */
export function gidOf(number: number): Uint8Array {
  const gid = new Uint8Array(16);
  gid[0] = 0xfd;
  viewOf(gid).setUint32(12, number);
  return gid;
}

export function addressVector(dgid: Uint8Array, sgidIndex = 0) {
  const grh = { dgid, flow_label: 0, sgid_index: sgidIndex, hop_limit: 64, traffic_class: 0 };
  return { grh, dmac: new Uint8Array(6) };
}

/** Addresses of the pages that hold [address, address+length). */
export function pagesOf(address: number, length: number): number[] {
  const pages: number[] = [];
  for (let page = address - (address % 4096); page < address + length; page += 4096) pages.push(page);
  return pages;
}

export interface SgeValue {
  readonly addr: number;
  readonly length: number;
  readonly lkey: number;
}

export interface SendFields {
  readonly wrId?: number;
  readonly opcode?: number;
  readonly flags?: number;
  readonly imm?: number;
  readonly sges?: readonly SgeValue[];
  /** Overrides the count of `sges` in the request. */
  readonly numSge?: number;
  readonly inline?: Uint8Array;
  readonly rdma?: { readonly remote_addr: number; readonly rkey: number };
  readonly ud?: { readonly remote_qpn: number; readonly remote_qkey: number; readonly ah: number };
}

/** The bytes of a send request: a signaled SEND unless the fields say otherwise. */
export function sendRequest(fields: SendFields = {}): Uint8Array {
  const sges = fields.sges ?? [];
  const bytes = new Uint8Array(sqReq.size + sge.size * sges.length);
  const view = viewOf(bytes);
  const inlineFlag = fields.inline === undefined ? 0 : SendFlag.INLINE;
  sqReq.encode(view, 0, {
    ...sqReq.zero(),
    wr_id: fields.wrId ?? 0,
    opcode: fields.opcode ?? WrOpcode.SEND,
    send_flags: (fields.flags ?? SendFlag.SIGNALED) | inlineFlag,
    num_sge: fields.numSge ?? fields.inline?.length ?? sges.length,
  });
  view.setUint32(sqReq.offsets.imm_data, fields.imm ?? 0);
  if (fields.rdma !== undefined) wrRdma.encode(view, sqReq.offsets.wr, fields.rdma);
  if (fields.ud !== undefined) wrUd.encode(view, sqReq.offsets.wr, fields.ud);
  if (fields.inline !== undefined) bytes.set(fields.inline.subarray(0, 512), sqReq.offsets.inline_data);
  sges.forEach((element, i) => sge.encode(view, sqReq.size + sge.size * i, { ...element }));
  return bytes;
}

export function recvRequest(wrId: number, sges: readonly SgeValue[] = [], numSge = sges.length): Uint8Array {
  const bytes = new Uint8Array(rqReq.size + sge.size * sges.length);
  const view = viewOf(bytes);
  rqReq.encode(view, 0, { wr_id: wrId, num_sge: numSge });
  sges.forEach((element, i) => sge.encode(view, rqReq.size + sge.size * i, { ...element }));
  return bytes;
}

/** Makes a head available that does not exist. */
export function breakRing(guest: Guest, index: number): void {
  const addresses = defined(guest.addresses.get(index));
  const { availIdx, size } = guest.queue(index).state();
  const slot = addresses.driver + 4 + 2 * (availIdx % size);
  guest.memory.write(slot, Uint8Array.of(0xff, 0xff), 0, 2);
  const next = availIdx + 1;
  guest.memory.write(addresses.driver + 2, Uint8Array.of(next & 0xff, next >>> 8), 0, 2);
  guest.device.notified(index);
}

/** The stretches into which cuts at these places divide 0 .. length. */
function pieces(length: number, cuts: readonly number[]): [number, number][] {
  const places = [0, ...cuts.filter(cut => cut > 0 && cut < length).toSorted((a, b) => a - b), length];
  const list: [number, number][] = [];
  for (let i = 0; i + 1 < places.length; i++) list.push([places[i], places[i + 1]]);
  return list;
}
