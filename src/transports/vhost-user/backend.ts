/**
 * A vhost-user back-end: one front-end's requests on one side, a virtio device on the other. The protocol knows rings that
 * start and stop, but until lately no device status; where the front-end does not tell it, it follows from what it does:
 * features that are set are negotiated, and the driver is ready when its first ring starts.
 *
 * A request that cannot be carried out is answered so, if the front-end waits for an answer, and ends the connection if not:
 * it would believe something that is not so.
 */
import { DeviceStatus, FeatureBit, Used, featureMask, hasFeature } from '../../virtio/index.js';
import type { FeatureSet, QueuePosition } from '../../virtio/index.js';
import { BackendRing } from './backend-ring.js';
import { Connection, ConnectionEnded } from './connection.js';
import type { Message } from './connection.js';
import { closeFd } from './descriptors.js';
import { MessageFault, decodeRequest, encodePayload } from './messages.js';
import type { ConfigAccess, MemoryRegion, Payload, VringAddress, VringState } from './messages.js';
import { SystemError } from './native.js';
import {
  CONFIG_BYTES_MAX,
  F_PROTOCOL_FEATURES,
  MessageFlag,
  ProtocolFeature,
  QUEUE_MASK,
  requestName,
} from './protocol.js';
import type { RequestName } from './protocol.js';
import type { ServedDevice } from './served-device.js';
import { REGIONS_MAX, RegionFault, SharedMemory } from './shared-memory.js';
import type { RetiredMemory } from './shared-memory.js';

export interface BackendInit {
  readonly fd: number;
  readonly served: ServedDevice;
  /** Nobody waits for kicks; whoever drives the device looks at every queue again and again. */
  readonly polling: boolean;
  /** The device was notified, or may have something to do. */
  work(): void;
  /** One line for a person about what the front-end did. */
  complain(message: string): void;
  /** The connection is over, and all that it held is free. */
  ended(why: ConnectionEnded): void;
}

/** A request that is not carried out. */
class Refused extends Error {}

/** What is answered besides an acknowledgement. */
interface Answer {
  readonly payload: Payload;
}

type Handler = (payload: Payload, fds: number[]) => Answer | undefined;

const { ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK } = DeviceStatus;
const BACKEND_CONFIG_CHANGE = 2;
const PACKED_START = 0x8000_8000;
const U64 = (1n << 64n) - 1n;

const offeredProtocolFeatures = featureBitsOf(
  'MQ',
  'REPLY_ACK',
  'BACKEND_REQ',
  'CONFIG',
  'RESET_DEVICE',
  'CONFIGURE_MEM_SLOTS',
  'STATUS',
);

function featureBitsOf(...names: readonly (keyof typeof ProtocolFeature.values)[]): bigint {
  return names.reduce((set, name) => set | (1n << BigInt(ProtocolFeature.values[name])), 0n);
}

export class Backend {
  readonly #init: BackendInit;
  readonly #served: ServedDevice;
  readonly #connection: Connection;
  readonly #memory: SharedMemory;
  readonly #rings: readonly BackendRing[];
  readonly #handlers: Partial<Record<RequestName, Handler>>;
  /** Memory that is gone and that rings may still look at. */
  #retired: RetiredMemory[] = [];
  #protocolFeatures = 0n;
  /** As SET_FEATURES gave them, with the bit for protocol features. */
  #features: FeatureSet | undefined;
  /** For requests of this side's. */
  #requests: Connection | undefined;
  #open = true;

  constructor(init: BackendInit) {
    this.#init = init;
    this.#served = init.served;
    const { device, memories } = init.served;
    this.#memory = new SharedMemory(memories);
    this.#rings = Array.from({ length: device.queueCount }, (_, index) => new BackendRing(index));
    this.#handlers = this.#allHandlers();
    device.attach({
      interruptQueue: index => this.#call(index),
      interruptConfig: () => this.#configChanged(),
    });
    this.#connection = new Connection(init.fd);
    this.#connection.listen({
      message: message => this.#message(message),
      ended: why => this.close(why),
    });
  }

  /** Some ring has to be polled. */
  get polled(): boolean {
    return this.#init.polling || this.#rings.some(({ running, polled }) => running && polled);
  }

  /** The device threw: its own fault, whatever the driver did. */
  crashed(error: unknown): void {
    const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.close(new ConnectionEnded('crashed', `the device failed: ${what}`));
  }

  /** Ends the connection and resets the device; all that they held is free then. */
  close(why: ConnectionEnded): void {
    if (!this.#open) return;
    this.#open = false;
    this.#connection.close();
    this.#requests?.close();
    for (const ring of this.#rings) ring.close();
    this.#served.device.writeStatus(0);
    this.#served.close();
    this.#memory.close();
    this.#dropRetired();
    this.#init.ended(why);
  }

  // ---------------------------------------------------------------- requests

  #message({ request, flags, payload, fds: came }: Message): void {
    const fds = [...came];
    const wantsAck = (flags & MessageFlag.values.NEED_REPLY) !== 0 && this.#negotiated('REPLY_ACK');
    try {
      const decoded = decodeRequest(request, payload, fds.length);
      const handler = decoded === undefined ? undefined : this.#handlers[decoded.name];
      if (decoded === undefined || handler === undefined)
        throw new Refused(`${requestName(request)} belongs to a feature that was not offered`);
      const answer = handler(decoded.payload, fds);
      if (answer !== undefined) this.#answer(request, answer.payload);
      else if (wantsAck) this.#answer(request, { kind: 'u64', value: 0n });
    } catch (error) {
      this.#failed(request, error, wantsAck);
    } finally {
      for (const fd of fds) closeFd(fd);
    }
  }

  #failed(request: number, error: unknown, wantsAck: boolean): void {
    if (error instanceof ConnectionEnded) return this.close(error);
    if (error instanceof MessageFault) return this.close(new ConnectionEnded('malformed', error.message));
    const known = error instanceof Refused || error instanceof RegionFault || error instanceof SystemError;
    if (!known) throw error;
    const message = `${requestName(request)}: ${error.message}`;
    if (!wantsAck) return this.close(new ConnectionEnded('malformed', message));
    this.#init.complain(message);
    try {
      this.#answer(request, { kind: 'u64', value: 1n });
    } catch (lost) {
      if (!(lost instanceof ConnectionEnded)) throw lost;
      this.close(lost);
    }
  }

  #answer(request: number, payload: Payload): void {
    this.#connection.send(request, MessageFlag.values.REPLY, encodePayload(payload));
  }

  #negotiated(name: keyof typeof ProtocolFeature.values): boolean {
    return (this.#protocolFeatures & (1n << BigInt(ProtocolFeature.values[name]))) !== 0n;
  }

  #allHandlers(): Partial<Record<RequestName, Handler>> {
    const { device, queueNumber } = this.#served;
    return {
      GET_FEATURES: () => number(this.#offered),
      SET_FEATURES: ofNumber(value => this.#setFeatures(value)),
      GET_PROTOCOL_FEATURES: () => number(offeredProtocolFeatures),
      SET_PROTOCOL_FEATURES: ofNumber(value => this.#setProtocolFeatures(value)),
      SET_OWNER: () => undefined,
      RESET_OWNER: () => this.#stopAll(),
      RESET_DEVICE: () => this.#reset(),
      GET_QUEUE_NUM: () => number(BigInt(queueNumber)),
      GET_MAX_MEM_SLOTS: () => number(BigInt(REGIONS_MAX)),
      SET_MEM_TABLE: (payload, fds) =>
        payload.kind === 'regions' ? this.#setTable(payload.regions, fds) : undefined,
      ADD_MEM_REG: (payload, fds) =>
        payload.kind === 'region' ? this.#addRegion(payload.region, fds[0]) : undefined,
      REM_MEM_REG: payload =>
        payload.kind === 'region' ? this.#changeMemory(() => this.#memory.remove(payload.region)) : undefined,
      SET_VRING_NUM: this.#ofRing((ring, { num }) => this.#setSize(ring, num)),
      SET_VRING_BASE: this.#ofRing((ring, { num }) => this.#setBase(ring, num)),
      GET_VRING_BASE: this.#ofRing(ring => this.#getBase(ring)),
      SET_VRING_ENABLE: this.#ofRing((ring, { num }) => this.#setEnabled(ring, num !== 0)),
      SET_VRING_ADDR: payload =>
        payload.kind === 'vring-address' ? this.#setAddresses(payload.address) : undefined,
      SET_VRING_KICK: this.#ofFd((ring, fd) => this.#setKick(ring, fd)),
      SET_VRING_CALL: this.#ofFd((ring, fd) => ring.setCall(fd)),
      SET_VRING_ERR: this.#ofFd((ring, fd) => ring.setErr(fd)),
      GET_CONFIG: payload => (payload.kind === 'config' ? this.#config(payload.access) : undefined),
      SET_CONFIG: () => {
        throw new Refused('no field of the configuration space can be written');
      },
      SET_BACKEND_REQ_FD: (_payload, fds) => this.#setRequests(fds),
      GET_STATUS: () => number(BigInt(device.readStatus())),
      SET_STATUS: ofNumber(value => this.#setStatus(Number(value & 0xffn))),
    };
  }

  /** A request about one ring. */
  #ofRing(act: (ring: BackendRing, state: VringState) => Answer | undefined): Handler {
    return payload => {
      if (payload.kind !== 'vring-state') return undefined;
      return act(this.#ring(payload.state.index), payload.state);
    };
  }

  /** A request that gives a ring a descriptor, or says that it has none. */
  #ofFd(act: (ring: BackendRing, fd: number | undefined) => void): Handler {
    return (payload, fds) => {
      if (payload.kind !== 'u64') return undefined;
      const ring = this.#ring(Number(payload.value & BigInt(QUEUE_MASK)));
      act(ring, fds.pop());
      return undefined;
    };
  }

  #ring(index: number): BackendRing {
    const ring = this.#rings.at(index);
    if (ring === undefined || index >= this.#rings.length)
      throw new Refused(`there is no queue ${index}; the device has ${this.#rings.length}`);
    return ring;
  }

  // ---------------------------------------------------------------- features, status, configuration

  get #offered(): bigint {
    return (this.#served.device.deviceFeatures | featureMask(F_PROTOCOL_FEATURES)) & U64;
  }

  #setProtocolFeatures(wanted: bigint): undefined {
    if ((wanted & ~offeredProtocolFeatures) !== 0n)
      throw new Refused(
        `protocol features 0x${wanted.toString(16)}, offered are 0x${offeredProtocolFeatures.toString(16)}`,
      );
    this.#protocolFeatures = wanted;
  }

  #setFeatures(features: bigint): undefined {
    const { device } = this.#served;
    const beyond = features & ~this.#offered;
    if (beyond !== 0n) throw new Refused(`features 0x${beyond.toString(16)} are not offered`);
    if (features === this.#features && this.#is(FEATURES_OK)) return;
    if (this.#is(FEATURES_OK)) {
      if (this.#rings.some(({ running }) => running))
        throw new Refused('features change while rings are running');
      device.writeStatus(0);
    }
    this.#features = features;
    device.setDriverFeatures(features & ~featureMask(F_PROTOCOL_FEATURES));
    if (!this.#negotiated('STATUS')) this.#negotiate();
    this.#startAll();
  }

  /** FEATURES_OK, with the steps before it. */
  #negotiate(): void {
    const { device } = this.#served;
    device.writeStatus(ACKNOWLEDGE);
    device.writeStatus(ACKNOWLEDGE | DRIVER);
    device.setDriverFeatures((this.#features ?? 0n) & ~featureMask(F_PROTOCOL_FEATURES));
    device.writeStatus(ACKNOWLEDGE | DRIVER | FEATURES_OK);
    if (!this.#is(FEATURES_OK))
      throw new Refused(
        `the device does not work with features 0x${(this.#features ?? 0n).toString(16)} alone`,
      );
  }

  #is(bit: number): boolean {
    return (this.#served.device.readStatus() & bit) !== 0;
  }

  /** Front-ends leave steps out, so each bit brings those before it. */
  #setStatus(status: number): undefined {
    const { device } = this.#served;
    if (status === 0) return this.#reset();
    if ((status & (FEATURES_OK | DRIVER_OK)) !== 0 && !this.#is(FEATURES_OK) && this.#features !== undefined)
      this.#negotiate();
    this.#startAll();
    device.writeStatus(status | device.readStatus());
    this.#startAll();
    this.#init.work();
  }

  #reset(): undefined {
    for (const ring of this.#rings) ring.forget();
    this.#served.device.writeStatus(0);
    this.#dropRetired();
    this.#init.work();
  }

  #config({ offset, data, flags }: ConfigAccess): Answer {
    const config = this.#served.device.readConfig();
    if (offset + data.length > CONFIG_BYTES_MAX) return { payload: { kind: 'none' } };
    // Behind its end there are zeros: a front-end may ask for the longest form of a space.
    const bytes = new Uint8Array(data.length);
    for (let i = 0; i < bytes.length && offset + i < config.byteLength; i++)
      bytes[i] = config.getUint8(offset + i);
    return { payload: { kind: 'config', access: { offset, flags, data: bytes } } };
  }

  #setRequests(fds: number[]): undefined {
    this.#requests?.close();
    const fd = fds.pop();
    this.#requests = fd === undefined ? undefined : new Connection(fd);
  }

  #configChanged(): void {
    for (const ring of this.#served.device.needsResetReason === undefined ? [] : this.#rings)
      if (ring.running) ring.tellBroken();
    if (!this.#negotiated('CONFIG')) return;
    try {
      this.#requests?.send(BACKEND_CONFIG_CHANGE, 0, new Uint8Array(0));
    } catch (error) {
      if (!(error instanceof ConnectionEnded)) throw error;
      this.#requests = undefined;
    }
  }

  // ---------------------------------------------------------------- memory

  #setTable(regions: readonly MemoryRegion[], fds: readonly number[]): undefined {
    this.#changeMemory(() => this.#memory.replace(regions.map((region, i) => ({ region, fd: fds[i] }))));
    this.#startAll();
  }

  #addRegion(region: MemoryRegion, fd: number): undefined {
    this.#memory.add({ region, fd });
    this.#startAll();
  }

  /** Rings that run stay on the memory that they had, as long as it is still the same bytes of the same file. */
  #changeMemory(change: () => RetiredMemory): undefined {
    const running = this.#rings.filter(ring => ring.running);
    const before = running.map(ring => this.#places(ring.addresses));
    this.#retired.push(change());
    for (const [i, ring] of running.entries()) {
      if (this.#places(ring.addresses) === before[i]) continue;
      this.#stop(ring);
      ring.tellBroken();
      this.#init.complain(`queue ${ring.index} was stopped: the memory that its ring is in was taken away`);
    }
    if (!this.#rings.some(ring => ring.running)) this.#dropRetired();
  }

  #places(addresses: VringAddress | undefined): string {
    if (addresses === undefined) return '';
    const { descriptors, available, used } = addresses;
    return [descriptors, available, used].map(address => this.#memory.place(address)?.fileByte).join();
  }

  #dropRetired(): void {
    for (const each of this.#retired.splice(0)) each.drop();
  }

  // ---------------------------------------------------------------- rings

  #setSize(ring: BackendRing, size: number): undefined {
    const most = this.#served.device.queueSizeMax(ring.index);
    if (!(size >= 1 && size <= most))
      throw new Refused(`size ${size} of queue ${ring.index} is not in 1..${most}`);
    if (ring.running && size !== ring.size) throw new Refused(`queue ${ring.index} is running`);
    ring.size = size;
  }

  #setBase(ring: BackendRing, base: number): undefined {
    if (ring.running) throw new Refused(`queue ${ring.index} is running`);
    ring.base = base;
  }

  #getBase(ring: BackendRing): Answer {
    this.#stop(ring);
    ring.dropKick();
    if (!this.#rings.some(({ running }) => running)) this.#dropRetired();
    return { payload: { kind: 'vring-state', state: { index: ring.index, num: ring.base ?? this.#fresh } } };
  }

  #stopAll(): undefined {
    for (const ring of this.#rings) this.#stop(ring);
    this.#dropRetired();
  }

  #setEnabled(ring: BackendRing, enabled: boolean): undefined {
    ring.enabled = enabled;
    if (enabled) this.#start(ring);
    else this.#stop(ring);
  }

  #setAddresses(addresses: VringAddress): undefined {
    const ring = this.#ring(addresses.index);
    const moves = ring.running && this.#places(addresses) !== this.#places(ring.addresses);
    if (moves) this.#stop(ring);
    ring.addresses = addresses;
    this.#start(ring);
  }

  #setKick(ring: BackendRing, fd: number | undefined): void {
    ring.setKick(fd, this.#init.polling ? undefined : () => this.#kicked(ring));
    this.#start(ring);
  }

  #kicked(ring: BackendRing): void {
    try {
      this.#served.device.notified(ring.index);
      this.#init.work();
    } catch (error) {
      this.crashed(error);
    }
  }

  #call(index: number): void {
    try {
      this.#rings[index].call();
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      this.#init.complain(`queue ${index} cannot tell of used chains: ${error.message}`);
    }
  }

  #startAll(): void {
    for (const ring of this.#rings) this.#start(ring);
  }

  get #packed(): boolean {
    return hasFeature(this.#features ?? 0n, FeatureBit.RING_PACKED);
  }

  /** Gives the ring to the device when everything is there. */
  #start(ring: BackendRing): void {
    const { size, addresses, startable, running, enabled } = ring;
    if (running || !startable || size === 0 || addresses === undefined) return;
    const mayRun = enabled || !hasFeature(this.#features ?? 0n, F_PROTOCOL_FEATURES);
    if (!mayRun || this.#memory.regions.length === 0) return;
    if (this.#startsAnew(ring)) this.#served.device.writeStatus(0);
    if (!this.#is(FEATURES_OK)) {
      if (this.#features === undefined || this.#negotiated('STATUS')) return;
      this.#negotiate();
    }
    const [descriptors, driver, device] = [addresses.descriptors, addresses.available, addresses.used].map(
      (address, i) => this.#guestAddress(ring, address, AREAS[i]),
    );
    const start = this.#position(ring, device);
    this.#served.device.enableQueue(ring.index, size, { descriptors, driver, device }, start);
    if (!this.#served.device.queueEnabled(ring.index))
      throw new Refused(this.#served.device.needsResetReason ?? `queue ${ring.index} cannot be set up`);
    ring.running = true;
    if (!this.#negotiated('STATUS'))
      this.#served.device.writeStatus(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
    this.#init.work();
  }

  /**
   * Without a status nobody says that the driver was started anew. It shows when all rings were stopped and one begins at
   * its beginning.
   */
  #startsAnew({ base, stoppedAt }: BackendRing): boolean {
    if (this.#negotiated('STATUS') || this.#rings.some(({ running }) => running)) return false;
    const fresh = this.#fresh;
    return base === fresh && stoppedAt !== undefined && encodeBase(stoppedAt, this.#packed) !== fresh;
  }

  /** Base of a ring that nobody has worked on. */
  get #fresh(): number {
    return this.#packed ? PACKED_START : 0;
  }

  #guestAddress(ring: BackendRing, userAddress: number, area: string): number {
    const place = this.#memory.place(userAddress);
    if (place === undefined)
      throw new Refused(
        `the ${area} of queue ${ring.index} at 0x${userAddress.toString(16)} is in no memory region`,
      );
    return place.guestAddress;
  }

  /** Where the ring goes on; a split ring has the used index in memory. */
  #position(ring: BackendRing, used: number): QueuePosition {
    const base = ring.base ?? this.#fresh;
    if (this.#packed) return packedPosition(base);
    const word = new Uint8Array(2);
    const [memory] = this.#served.memories;
    memory.read(used + Used.IDX, word, 0, 2);
    return { avail: base & 0xffff, used: word[0] | (word[1] << 8) };
  }

  /** Takes the ring from the device. What the device had taken and not returned is there again when the ring goes on. */
  #stop(ring: BackendRing): void {
    if (!ring.running) return;
    ring.running = false;
    const stopped = this.#served.device.stopQueue(ring.index);
    if (stopped === undefined) return;
    const { position, inFlight } = stopped;
    const { avail, used } = position;
    ring.stoppedAt = { avail: inFlight === 0 ? avail : used, used };
    ring.base = encodeBase(ring.stoppedAt, this.#packed);
  }
}

const AREAS = ['descriptor table', 'available ring', 'used ring'] as const;

/**
 * The upper half says up to where chains were used. Front-ends that know the older form leave it 0 and mean the same place as
 * the lower half: DPDK's virtio-user does, up to 22.11 at least.
 */
function packedPosition(base: number): QueuePosition {
  const avail = base & 0xffff;
  const used = base >>> 16;
  return { avail, used: used === 0 ? avail : used };
}

function encodeBase({ avail, used }: QueuePosition, packed: boolean): number {
  return packed ? (avail | (used << 16)) >>> 0 : avail;
}

function number(value: bigint): Answer {
  return { payload: { kind: 'u64', value } };
}

function ofNumber(act: (value: bigint) => undefined): Handler {
  return payload => (payload.kind === 'u64' ? act(payload.value) : undefined);
}
