/**
 * A device in another process as the `VirtioDevice` that a transport drives: registers become requests, kicks and calls are
 * events, and the rings lie in memory that both share. Nothing here waits for the device but for the answers to requests.
 */
import { DeviceStatus, FeatureBit, GuestMemory, featureSet, ringFeatures } from '../../virtio/index.js';
import type { DeviceHost, FeatureSet, QueueAddresses, VirtioDevice } from '../../virtio/index.js';
import type { EventSet } from './event-set.js';
import { RequestRefused } from './front-end.js';
import type { FrontEnd } from './front-end.js';
import type { FrontQueue } from './front-queue.js';
import { FrontQueueSet } from './front-queue-set.js';
import { FrontSharing } from './front-sharing.js';
import type { FrontMemory } from './front-sharing.js';
import type { PeerOptions } from './peer-options.js';
import { F_PROTOCOL_FEATURES } from './protocol.js';

export interface FrontDeviceInit {
  /** The peer does not say: a front-end knows what it has connected to. */
  readonly deviceId: number;
  readonly queueCount: number;
  /** Entries of each queue at most. */
  readonly queueSize: number;
  /** Queue whose chains are answered one by one; -1 when there is none. */
  readonly controlQueue: number;
  /** Queues that bring completions. */
  readonly completionQueues: ReadonlySet<number>;
  /** Bytes of configuration space to read. */
  readonly configBytes: number;
  readonly options: PeerOptions;
  /** Where calls are waited for. */
  readonly events: EventSet;
  /** Makes a connection; called again for a device that is reset by that. */
  connect(): FrontEnd;
  /** Told before the device is told of anything that makes it work. */
  beforeTelling(): void;
  /** Told before the driver hears that the device has called. */
  beforeCall(): void;
  /** A queue is to be kicked, at once or a little later. */
  kick(queue: FrontQueue): void;
}

const { FEATURES_OK, DRIVER_OK, DEVICE_NEEDS_RESET, FAILED } = DeviceStatus;

/** The device says that a ring is broken, and nothing else of it does. */
export class RingErrorSignalled extends Error {
  readonly code = 'ERR_VHOST_USER_RING';
}

/** Who listens at the path now is not who was there before. */
export class PeerChanged extends Error {
  readonly code = 'ERR_VHOST_USER_CHANGED';
}

export class FrontDevice implements VirtioDevice {
  readonly deviceId: number;
  readonly queueCount: number;
  readonly #init: FrontDeviceInit;
  #front: FrontEnd;
  readonly #sharing: FrontSharing;
  #guest = new GuestMemory();
  #host: DeviceHost | undefined;
  readonly #queues: FrontQueueSet;
  #features: FeatureSet = 0n;
  /** As last written and read. */
  #status = 0;
  /** The device may have changed its status. */
  #statusStale = false;
  /** A queue other than the control queue was kicked. */
  kicked = false;
  /** Something was told to the device since it was last found at rest. */
  told = false;

  constructor(init: FrontDeviceInit) {
    this.#init = init;
    this.deviceId = init.deviceId;
    this.queueCount = init.queueCount;
    this.#sharing = new FrontSharing(init.options);
    this.#queues = new FrontQueueSet({
      count: init.queueCount,
      controlQueue: init.controlQueue,
      events: init.events,
      called: queue => this.#called(queue),
      failed: queue => this.#errorOf(queue),
    });
    this.#front = this.#connect();
  }

  #connect(): FrontEnd {
    const front = this.#init.connect();
    const { fd } = front;
    if (fd !== undefined) this.#init.events.add(fd, () => front.unasked());
    this.#sharing.connected();
    return front;
  }

  /** As the driver has accepted them. */
  get features(): FeatureSet {
    return this.#features;
  }

  /** As far as it is known without asking. */
  get status(): number {
    return this.#status;
  }

  get front(): FrontEnd {
    return this.#front;
  }

  /** The memory of the machine that gets the device; it must have been reset. */
  useMemory(memory: FrontMemory): void {
    this.#sharing.memory = memory;
    this.#guest = new GuestMemory();
    this.#guest.addRegion(memory.address, memory.file.bytes.subarray(0, memory.bytes));
  }

  attach(host: DeviceHost): void {
    this.#host = host;
  }

  /** Elements with something in them that have come back on some queues since the last reset. */
  filledOf(queues: readonly number[]): number {
    return this.#queues.filledOf(queues);
  }

  /** Chains that the device has to answer: those of the control queue while it is live. */
  get unanswered(): number {
    if ((this.#status & (DRIVER_OK | DEVICE_NEEDS_RESET | FAILED)) !== DRIVER_OK) return 0;
    return this.#queues.control?.outstanding ?? 0;
  }

  /** Nobody waits any longer for answers that are due. */
  giveUpAnswers(): void {
    this.#queues.control?.giveUp();
  }

  /** An answer is there, and the call for it may be about to come. */
  get callDue(): boolean {
    return this.#queues.control?.callDue === true;
  }
  forgiveCall(): void {
    const queue = this.#queues.control;
    if (queue !== undefined) queue.callDue = false;
  }

  /** Takes up what the rings show. Returns whether something has come. */
  look(): boolean {
    let came = false;
    for (const queue of this.#queues.enabled) {
      if (queue.look()) came = true;
      if (queue.offers()) this.#offered(queue.index);
    }
    if (came) this.told = true;
    return came;
  }

  /** Buffers for completions give the device nothing to do by themselves. */
  #offered(index: number): void {
    const { controlQueue, completionQueues } = this.#init;
    if (completionQueues.has(index)) return;
    this.told = true;
    if (index !== controlQueue) this.kicked = true;
  }

  // ---------------------------------------------------------------- registers

  get deviceFeatures(): FeatureSet {
    let offered = this.#front.features;
    for (const bit of this.#init.options.withoutFeatures) offered &= ~(1n << BigInt(bit));
    return offered & ~UNUSED;
  }

  setDriverFeatures(features: FeatureSet): void {
    if ((this.#status & FEATURES_OK) === 0) this.#features = features;
  }

  readStatus(): number {
    if (this.#statusStale) this.noteStatus(this.#front.readStatus());
    return this.#status;
  }

  /** The device has said what its status is. A configuration change tells the driver that it has given up. */
  noteStatus(status: number): void {
    this.#statusStale = false;
    const gaveUp = (status & ~this.#status & DEVICE_NEEDS_RESET) !== 0;
    this.#status = status;
    if (gaveUp && (status & DRIVER_OK) !== 0) this.#host?.interruptConfig();
  }

  writeStatus(status: number): void {
    this.told = true;
    this.#init.beforeTelling();
    if (status === 0) {
      this.#reset();
      return;
    }
    const added = status & ~this.#status;
    if ((added & FEATURES_OK) !== 0 && !this.#agree()) return;
    if ((added & DRIVER_OK) !== 0 && this.#init.options.rings === 'start') this.#start(this.#queues.enabled);
    this.#status |= status;
    if (!this.#front.has('STATUS')) return;
    this.#front.writeStatus(status);
    this.#statusStale = true;
  }

  /** Settles the features and shares memory. False when the device cannot work with the features. */
  #agree(): boolean {
    if ((this.#features & PROTOCOLS_OWN) !== 0n) return false;
    try {
      this.#front.setFeatures(this.#features);
    } catch (error) {
      if (error instanceof RequestRefused) return false;
      throw error;
    }
    this.#sharing.shareMemory(this.#front);
    return true;
  }

  #reset(): void {
    const how = this.#howToReset();
    const front = this.#front;
    if (how === 'reconnect') this.#reconnect();
    else if (how === 'status') {
      front.writeStatus(0);
      this.#status = front.readStatus();
    } else front.resetDevice();
    if (how !== 'status') this.#status = 0;
    this.#statusStale = false;
    this.#features = 0n;
    this.#sharing.reset();
    this.#queues.reset();
    this.kicked = false;
  }

  #howToReset(): 'status' | 'device' | 'reconnect' {
    const { reset } = this.#init.options;
    if (reset !== 'auto') return reset;
    if (this.#front.has('STATUS')) return 'status';
    return this.#front.has('RESET_DEVICE') ? 'device' : 'reconnect';
  }

  #reconnect(): void {
    this.#leave();
    this.#front = this.#connect();
  }

  /**
   * The back-end went away and is there again: goes on with it. Features, memory and status are told anew, and each ring goes on
   * behind the last chain that has come back; with INFLIGHT_SHMFD the device finds out itself which of the others it had.
   * Both sides are told of whatever they may have missed. Throws SystemError when nobody is there, PeerChanged for one that
   * cannot go on, ConnectionEnded, MessageFault.
   */
  resume(): void {
    const status = this.#status;
    this.#reconnect();
    const front = this.#front;
    const missing = this.#features & ~front.features;
    if (missing !== 0n)
      throw front.fail(
        new PeerChanged(`features 0x${missing.toString(16)} were agreed on, and are not offered any more`),
      );
    const told = (bits: number): void => {
      if (front.has('STATUS')) front.writeStatus(status & bits);
    };
    told(~(FEATURES_OK | DRIVER_OK));
    if ((status & FEATURES_OK) === 0) return;
    front.setFeatures(this.#features);
    this.#sharing.shareMemory(front);
    told(~DRIVER_OK);
    if ((status & DRIVER_OK) === 0) return;
    const running = [...this.#queues.enabled].filter(queue => queue.told);
    for (const queue of running) queue.told = false;
    this.#start(running);
    told(~0);
    for (const queue of running) {
      queue.signalKick();
      this.#host?.interruptQueue(queue.index);
    }
    // A device that holds more than its rings, and has lost it, says so here.
    if (front.has('STATUS')) this.noteStatus(front.readStatus());
  }

  #leave(): void {
    const { fd } = this.#front;
    if (fd !== undefined) this.#init.events.remove(fd);
    this.#front.close();
  }

  get configGeneration(): number {
    return 0;
  }

  readConfig(): DataView {
    const { configBytes } = this.#init;
    const data = this.#front.has('CONFIG')
      ? this.#front.readConfig(configBytes)
      : new Uint8Array(configBytes);
    return new DataView(data.buffer, data.byteOffset, data.length);
  }

  // ---------------------------------------------------------------- queues

  queueSizeMax(index: number): number {
    return Number.isInteger(index) && index >= 0 && index < this.queueCount ? this.#init.queueSize : 0;
  }

  enableQueue(index: number, size: number, addresses: QueueAddresses): void {
    if (this.#sharing.memory === undefined || this.queueSizeMax(index) === 0 || this.queueEnabled(index))
      return;
    const queue = this.#queues.make(index);
    const single = this.#init.completionQueues.has(index);
    queue.place(this.#guest, size, addresses, ringFeatures(this.#features), single);
    this.#queues.enabled.add(queue);
    const live = (this.#status & DRIVER_OK) !== 0;
    if (!live || this.#init.options.rings !== 'start') return;
    this.#start([queue]);
    this.#statusStale = this.#front.has('STATUS');
  }

  #called(queue: FrontQueue): void {
    this.told = true;
    // Before the driver puts something else where what came back stands.
    queue.look();
    this.#init.beforeCall();
    this.#host?.interruptQueue(queue.index);
  }

  /**
   * The device cannot go on with a ring. One whose status can be read has to ask for a reset then; of any other that is what
   * the error stands for. Throws what ends the connection when it does not ask.
   */
  #errorOf({ index, enabled }: FrontQueue): void {
    // It may have been signalled just before a reset.
    if (!enabled) return;
    this.told = true;
    if (!this.#front.has('STATUS')) return this.noteStatus(this.#status | DEVICE_NEEDS_RESET);
    this.noteStatus(this.#front.readStatus());
    if ((this.#status & DEVICE_NEEDS_RESET) !== 0) return;
    throw this.#front.fail(
      new RingErrorSignalled(
        `it signalled an error of queue ${index} at the descriptor of SET_VRING_ERR, and its status 0x${this.#status.toString(16)} does not say DEVICE_NEEDS_RESET`,
      ),
    );
  }

  /** Tells the device of queues, and enables them. All is sent before the first answer is waited for. */
  #start(queues: Iterable<FrontQueue>): void {
    this.#sharing.shareInflight(this.#front, this.queueCount, this.#init.queueSize);
    for (const queue of queues) this.#describe(queue);
    for (const index of this.#front.refusedQueues()) {
      const queue = this.#queues.at(index);
      if (queue !== undefined) this.#queues.disable(queue);
    }
  }

  #describe(queue: FrontQueue): void {
    const { addresses, index, size } = queue;
    const { memory } = this.#sharing;
    if (addresses === undefined || memory === undefined || queue.told) return;
    queue.told = true;
    const user = (address: number): number => memory.file.address + address - memory.address;
    this.#front.setUpQueue({
      index,
      size,
      base: queue.base,
      addresses: {
        descriptors: user(addresses.descriptors),
        available: user(addresses.driver),
        used: user(addresses.device),
      },
      kick: this.#init.options.kicks === 'event' ? queue.kick : undefined,
      call: queue.call,
      error: queue.error,
    });
    this.#front.enableQueue(index, true);
  }

  queueEnabled(index: number): boolean {
    return this.#queues.at(index)?.enabled === true;
  }

  resetQueue(index: number): void {
    const queue = this.#queues.at(index);
    const agreed = (this.#features & (1n << BigInt(FeatureBit.RING_RESET))) !== 0n;
    if (queue?.enabled !== true || !agreed) return;
    this.told = true;
    if (queue.told) {
      this.#front.enableQueue(index, false);
      this.#front.stopQueue(index);
    }
    this.#queues.disable(queue);
  }

  notified(index: number): void {
    const queue = this.#queues.at(index);
    if (queue?.enabled !== true || this.#front.failure !== undefined) return;
    this.told = true;
    if (index !== this.#init.controlQueue) this.kicked = true;
    this.#init.beforeTelling();
    // The device has not seen it yet: all of it is as the driver has put it there.
    queue.see();
    if (this.#init.options.rings === 'first-kick' && (this.#status & DRIVER_OK) !== 0)
      this.#start([...this.#queues.enabled].filter(each => each.used || each === queue));
    if (this.#init.options.kicks === 'event') this.#init.kick(queue);
  }

  close(): void {
    this.#leave();
    this.#queues.close();
    this.#sharing.close();
  }
}

/** A kick is an event, which carries no data: no message or descriptor of vhost-user has room for that of a notification. */
const UNUSED = featureSet(FeatureBit.NOTIFICATION_DATA, FeatureBit.NOTIF_CONFIG_DATA);

/** A bit that is no feature of any device: the connection uses it. */
const PROTOCOLS_OWN = 1n << BigInt(F_PROTOCOL_FEATURES);
