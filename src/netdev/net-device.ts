/**
 * The network device of one machine: virtio in front, a loop or a switch behind. It works in batches when its host calls
 * `run`; a notification only remembers what to look at, so that no driver can keep it busy.
 */
import { FeatureBit, VirtioDeviceModel, featureMask, featureSet, hasFeature } from '../virtio/index.js';
import type { FeatureSet, GuestMemory, RingFeatures, RingObserver } from '../virtio/index.js';
import { ControlSide } from './control-side.js';
import { LINK_UP, NET_DEVICE_ID, NetFeature, netConfig } from './layout.js';
import { QueuePair } from './queue-pair.js';
import type { NetCounts } from './queue-pair.js';
import type { LearningSwitch, SwitchPort } from './switch.js';

export interface NetDeviceOptions {
  /** The machine's memory: all that this device reads and writes. */
  readonly memory: GuestMemory;
  /** Where frames go. Without one, each comes back on the queue pair that it was sent on, and none is ever dropped. */
  readonly network?: LearningSwitch | undefined;
  /** Six bytes of a unicast address. */
  readonly mac: Uint8Array;
  /** Queue pairs, 1 .. 0x8000; 1 when absent. MQ is offered from 2 on. */
  readonly queuePairs?: number;
  /** Largest size of a queue, a power of two; 1024 when absent. */
  readonly queueSizeMax?: number;
  /** Offered as MTU when present, 68 .. 65535. */
  readonly mtu?: number | undefined;
  /** Whether MRG_RXBUF is offered; yes when absent. */
  readonly mergeable?: boolean;
  /** Ring features to offer. VERSION_1 and RING_RESET are offered always. */
  readonly ringFeatures: RingFeatures;
  /** Never asks for notifications: the host calls `poll` again and again. */
  readonly polling?: boolean;
  /** Most looks at a queue that frames came through lately, before the device asks to be notified; 0 when absent. */
  readonly looksMax?: number;
  /** There is work: the host should call `run` soon, and again as long as it returns true. */
  wake(): void;
  readonly ringObserver?: RingObserver | undefined;
}

/** A network device cannot have more queue pairs. */
const QUEUE_PAIRS_MAX = 0x8000;
const QUEUE_SIZE_MAX = 1024;

export class NetDevice extends VirtioDeviceModel implements SwitchPort {
  readonly counts: NetCounts = {
    sent: 0,
    received: 0,
    malformed: 0,
    noBuffer: 0,
    tooBig: 0,
  };
  readonly #options: NetDeviceOptions;
  readonly #pairs: number;
  readonly #queuePairs: (QueuePair | undefined)[];
  readonly #awake: Uint8Array;
  #control: ControlSide | undefined;
  #controlAwake = false;
  /** Queue pairs that the driver uses. */
  #inUse = 1;
  #woken = false;

  /** Throws RangeError for queue pairs, sizes or an MTU that there cannot be. */
  constructor(options: NetDeviceOptions) {
    const { queuePairs = 1, queueSizeMax = QUEUE_SIZE_MAX, mac, mtu } = options;
    if (!(Number.isInteger(queuePairs) && queuePairs >= 1 && queuePairs <= QUEUE_PAIRS_MAX))
      throw new RangeError(`${queuePairs} queue pairs: expected 1..${QUEUE_PAIRS_MAX}`);
    if (mac.length !== 6) throw new RangeError(`an address of ${mac.length} bytes: expected 6`);
    if (mtu !== undefined && !(Number.isInteger(mtu) && mtu >= 68 && mtu <= 0xffff))
      throw new RangeError(`an MTU of ${mtu}: expected 68..65535`);
    super({
      deviceId: NET_DEVICE_ID,
      features: offeredFeatures(options, queuePairs),
      requirements: [{ bit: NetFeature.MQ, requires: [NetFeature.CTRL_VQ] }],
      queueCount: 2 * queuePairs + 1,
      queueSizeMax: () => queueSizeMax,
      config: configSpace(mac, queuePairs, mtu),
      memory: options.memory,
      observer: options.ringObserver,
    });
    this.#options = options;
    this.#pairs = queuePairs;
    this.#queuePairs = new Array<QueuePair | undefined>(queuePairs).fill(undefined);
    this.#awake = new Uint8Array(queuePairs);
    options.network?.connect(this);
  }

  /** Does a bounded amount of work on all that was notified. True when there is more to do. */
  run(): boolean {
    this.#woken = false;
    let more = false;
    for (let pair = 0; pair < this.#pairs; pair++) {
      if (this.#awake[pair] === 0) continue;
      this.#awake[pair] = 0;
      if (this.#work(pair)) {
        this.#awake[pair] = 1;
        more = true;
      }
    }
    this.#options.network?.flush();
    if (this.#controlAwake) {
      this.#controlAwake = this.#runControl();
      more ||= this.#controlAwake;
    }
    return more;
  }

  /** As `run`, but looks at every queue whether or not it was notified. True when it found something. */
  poll(): boolean {
    if (!this.live) return false;
    this.#awake.fill(1);
    this.#controlAwake = true;
    const before = this.#moved;
    return this.run() || this.#moved !== before;
  }

  /** Frames that went either way, whatever became of them. */
  get #moved(): number {
    const { sent, received, malformed } = this.counts;
    return sent + received + malformed;
  }

  /** Takes the device out of its network for good. */
  close(): void {
    this.#options.network?.disconnect(this);
  }

  receive(packet: Uint8Array, length: number, pair: number): void {
    this.#pair(pair % this.#inUse)?.receive(packet, length);
  }

  flush(): void {
    for (let pair = 0; pair < this.#inUse; pair++) this.#queuePairs[pair]?.flushReceived();
  }

  protected override onDriverOk(): void {
    const { negotiatedFeatures } = this;
    this.#inUse = 1;
    if (!hasFeature(negotiatedFeatures, NetFeature.CTRL_VQ)) return;
    const multiple = hasFeature(negotiatedFeatures, NetFeature.MQ);
    // A driver that does not know of several pairs finds the control queue behind the first.
    this.#control = new ControlSide(multiple ? 2 * this.#pairs : 2, multiple ? this.#pairs : 0);
  }

  protected override onNotify(index: number): void {
    if (index === this.#control?.index) this.#controlAwake = true;
    else if (index >>> 1 < this.#pairs) this.#awake[index >>> 1] = 1;
    else return;
    if (this.#woken) return;
    this.#woken = true;
    this.#options.wake();
  }

  protected override onQueueReset(index: number): void {
    if (index === this.#control?.index) this.#control.queueReset();
    else this.#queuePairs[index >>> 1]?.queueReset((index & 1) === 1);
  }

  protected override onReset(): void {
    this.#queuePairs.fill(undefined);
    this.#awake.fill(0);
    this.#control = undefined;
    this.#controlAwake = false;
    this.#inUse = 1;
  }

  #work(pair: number): boolean {
    const queues = this.#pair(pair);
    if (queues === undefined) return false;
    const { network } = this.#options;
    return network === undefined ? queues.loop() : queues.send(network, this, pair);
  }

  /** The queue pair, as far as its queues are there. */
  #pair(pair: number): QueuePair | undefined {
    if (!this.live) return undefined;
    let known = this.#queuePairs[pair];
    if (known?.complete !== true) {
      const receive = this.queue(2 * pair);
      const transmit = this.queue(2 * pair + 1);
      if (receive === undefined && transmit === undefined) return undefined;
      known ??= this.#newPair();
      known.setQueues(receive, transmit);
      this.#queuePairs[pair] = known;
    }
    return known;
  }

  #newPair(): QueuePair {
    return new QueuePair({
      mergeable: hasFeature(this.negotiatedFeatures, NetFeature.MRG_RXBUF),
      polling: this.#options.polling ?? false,
      looksMax: this.#options.looksMax ?? 0,
      counts: this.counts,
      interrupt: queue => this.interruptQueue(queue.index),
      broken: queue => this.queueBroke(queue),
    });
  }

  #runControl(): boolean {
    const queue = this.#control === undefined ? undefined : this.queue(this.#control.index);
    if (queue === undefined || this.#control === undefined) return false;
    const more = this.#control.step(queue, this.#options.polling ?? false);
    this.#inUse = this.#control.pairs;
    if (queue.broken !== undefined) this.queueBroke(queue);
    else if (queue.interruptWanted()) this.interruptQueue(queue.index);
    return more;
  }
}

function offeredFeatures(options: NetDeviceOptions, queuePairs: number): FeatureSet {
  const { ringFeatures, mergeable = true, mtu } = options;
  const bits: number[] = [NetFeature.MAC, NetFeature.STATUS, NetFeature.CTRL_VQ, FeatureBit.RING_RESET];
  if (mergeable) bits.push(NetFeature.MRG_RXBUF);
  if (queuePairs > 1) bits.push(NetFeature.MQ);
  if (mtu !== undefined) bits.push(NetFeature.MTU);
  if (ringFeatures.indirect) bits.push(FeatureBit.INDIRECT_DESC);
  if (ringFeatures.eventIdx) bits.push(FeatureBit.EVENT_IDX);
  if (ringFeatures.packed === true) bits.push(FeatureBit.RING_PACKED);
  if (ringFeatures.inOrder === true) bits.push(FeatureBit.IN_ORDER);
  return featureSet(...bits) | featureMask(FeatureBit.VERSION_1);
}

function configSpace(mac: Uint8Array, queuePairs: number, mtu = 0): Uint8Array {
  const bytes = new Uint8Array(netConfig.size);
  netConfig.encode(new DataView(bytes.buffer), 0, {
    mac,
    status: LINK_UP,
    max_virtqueue_pairs: queuePairs,
    mtu,
  });
  return bytes;
}
