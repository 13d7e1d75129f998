/**
 * The rings of a vhost-user back-end and the memory that they lie in: what a front-end says of each, and when the device has
 * it. A ring starts when everything is there, and stays on the bytes that it has while the memory around it changes.
 */
import { DeviceStatus, FeatureBit, PACKED_START, Used, hasFeature } from '../../virtio/index.js';
import type { FeatureSet, QueuePosition, ResumableDevice } from '../../virtio/index.js';
import { BackendRing } from './backend-ring.js';
import { Refused, number } from './backend-session.js';
import type { Answer, Handler, Handlers } from './backend-session.js';
import type { MemoryRegion, VringAddress, VringState } from './messages.js';
import { SystemError } from './native.js';
import { F_PROTOCOL_FEATURES, QUEUE_MASK } from './protocol.js';
import type { ServedDevice } from './served-device.js';
import { REGIONS_MAX, SharedMemory } from './shared-memory.js';
import type { RetiredMemory } from './shared-memory.js';

export interface BackendRingsInit {
  readonly served: ServedDevice;
  /** Nobody waits for kicks. */
  readonly polling: boolean;
  /** As SET_FEATURES gave them; undefined before it. */
  features(): FeatureSet | undefined;
  /** The front-end tells the device's status itself. */
  hasStatus(): boolean;
  /** Goes as far as FEATURES_OK. Throws Refused. */
  negotiate(): void;
  /** The device was notified, or may have something to do. */
  work(): void;
  complain(message: string): void;
  crashed(error: unknown): void;
}

/** Base of a packed ring that nobody has worked on: both of its positions. */
const PACKED_BASE = PACKED_START * 0x1_0000 + PACKED_START;
const { ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK } = DeviceStatus;

export class BackendRings {
  /** What is carried out here. */
  readonly handlers: Handlers;
  readonly #init: BackendRingsInit;
  readonly #device: ResumableDevice;
  readonly #memory: SharedMemory;
  readonly #rings: readonly BackendRing[];
  /** Memory that is gone and that rings may still look at. */
  #retired: RetiredMemory[] = [];

  constructor(init: BackendRingsInit) {
    const { device, memories } = init.served;
    this.#init = init;
    this.#device = device;
    this.#memory = new SharedMemory(memories);
    this.#rings = Array.from({ length: device.queueCount }, (_, index) => new BackendRing(index));
    this.handlers = this.#allHandlers();
  }

  get running(): boolean {
    return this.#rings.some(({ running }) => running);
  }

  /** Some ring that runs has nothing to be kicked with. */
  get polled(): boolean {
    return this.#rings.some(({ running, polled }) => running && polled);
  }

  /** Tells the front-end that what runs can go on no more. */
  tellBroken(): void {
    for (const ring of this.#rings) if (ring.running) ring.tellBroken();
  }

  /** The device is being reset: all rings are to be set up anew. */
  forget(): void {
    for (const ring of this.#rings) ring.forget();
  }

  /** The device has let go of all rings: memory that is gone is dropped. */
  letGo(): void {
    this.#dropRetired();
  }

  /** Gives the descriptors back; `freeMemory` is to follow when the device is reset. */
  close(): void {
    for (const ring of this.#rings) ring.close();
  }

  freeMemory(): void {
    this.#memory.close();
    this.#dropRetired();
  }

  #allHandlers(): Handlers {
    return {
      RESET_OWNER: () => this.#stopAll(),
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

  get #isNegotiated(): boolean {
    return (this.#device.readStatus() & FEATURES_OK) !== 0;
  }

  // ---------------------------------------------------------------- memory

  #setTable(regions: readonly MemoryRegion[], fds: readonly number[]): undefined {
    this.#changeMemory(() => this.#memory.replace(regions.map((region, i) => ({ region, fd: fds[i] }))));
    this.startAll();
  }

  #addRegion(region: MemoryRegion, fd: number): undefined {
    this.#memory.add({ region, fd });
    this.startAll();
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
    const most = this.#device.queueSizeMax(ring.index);
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
      this.#device.notified(ring.index);
      this.#init.work();
    } catch (error) {
      this.#init.crashed(error);
    }
  }

  /** Tells the front-end of used chains. */
  call(index: number): void {
    try {
      this.#rings[index].call();
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      this.#init.complain(`queue ${index} cannot tell of used chains: ${error.message}`);
    }
  }

  /** Starts each ring that has all that it needs. */
  startAll(): void {
    for (const ring of this.#rings) this.#start(ring);
  }

  get #packed(): boolean {
    return hasFeature(this.#init.features() ?? 0n, FeatureBit.RING_PACKED);
  }

  /** Gives the ring to the device when everything is there. */
  #start(ring: BackendRing): void {
    const { size, addresses, startable, running, enabled } = ring;
    if (running || !startable || size === 0 || addresses === undefined) return;
    const mayRun = enabled || !hasFeature(this.#init.features() ?? 0n, F_PROTOCOL_FEATURES);
    if (!mayRun || this.#memory.regions.length === 0) return;
    if (this.#startsAnew(ring)) this.#device.writeStatus(0);
    if (!this.#isNegotiated) {
      if (this.#init.features() === undefined || this.#init.hasStatus()) return;
      this.#init.negotiate();
    }
    const [descriptors, driver, device] = [addresses.descriptors, addresses.available, addresses.used].map(
      (address, i) => this.#guestAddress(ring, address, AREAS[i]),
    );
    const start = this.#position(ring, device);
    this.#device.enableQueue(ring.index, size, { descriptors, driver, device }, start);
    if (!this.#device.queueEnabled(ring.index))
      throw new Refused(this.#device.needsResetReason ?? `queue ${ring.index} cannot be set up`);
    ring.running = true;
    if (!this.#init.hasStatus()) this.#device.writeStatus(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
    this.#init.work();
  }

  /**
   * Without a status nobody says that the driver was started anew. It shows when all rings were stopped and one begins at
   * its beginning.
   */
  #startsAnew({ base, stoppedAt }: BackendRing): boolean {
    if (this.#init.hasStatus() || this.#rings.some(({ running }) => running)) return false;
    const fresh = this.#fresh;
    return base === fresh && stoppedAt !== undefined && encodeBase(stoppedAt, this.#packed) !== fresh;
  }

  /** Base of a ring that nobody has worked on. */
  get #fresh(): number {
    return this.#packed ? PACKED_BASE : 0;
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
    const [memory] = this.#init.served.memories;
    memory.read(used + Used.IDX, word, 0, 2);
    return { avail: base & 0xffff, used: word[0] | (word[1] << 8) };
  }

  /** Takes the ring from the device. What the device had taken and not returned is there again when the ring goes on. */
  #stop(ring: BackendRing): void {
    if (!ring.running) return;
    ring.running = false;
    const stopped = this.#device.stopQueue(ring.index);
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
