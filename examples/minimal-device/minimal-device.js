/**
 * A virtio-rdma device written from the specification alone: registers, status and turns, chapters 2 to 4. Whatever wakes it, it
 * looks at all its queues, the last one first, one chain of each in a turn; what came of it is shown in one batch a queue.
 */
import { commands, resultBytes, structBytes } from './commands.js';
import { DataPath } from './data-path.js';
import { BrokenRing, Ring, gather, placeable, scatter } from './ring.js';

const [ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET, FAILED] = [1, 2, 4, 8, 64, 128];
const VERSION_1 = 1n << 32n;
const [OK, ERR] = [0, 1];
const [HEADER_BYTES, PACKET_OVERHEAD_BYTES] = [2, 96];

/** @param {import('vrdma').DeviceContext} context */
export const createDevice = context => new MinimalDevice(context);

class MinimalDevice {
  configGeneration = 0;
  #context;
  #host;
  #status = 0;
  #features = 0n;
  #awake = false;
  #task = { run: () => this.#turn() };

  constructor(context) {
    const { profile, limits, memory, function: adapter } = context;
    this.#context = context;
    this.queues = profile.queues(limits.maxQps, limits.maxCqs);
    [this.limits, this.memory, this.adapter] = [limits, memory, adapter];
    [this.deviceId, this.queueCount] = [profile.deviceId, this.queues.count];
    this.activeMtuBytes = 128 << adapter.port.activeMtu;
    this.maxQpWr = Math.min(adapter.attributes.maxQpWr, limits.queueSizeMax);
    this.maxCqe = Math.min(adapter.attributes.maxCqe, limits.queueSizeMax);
    this.deviceFeatures = profile.features.reduce((set, { bit }) => set | (1n << BigInt(bit)), VERSION_1);
    this.#forget();
  }

  /** Everything that a driver has made. */
  #forget() {
    this.rings = Array.from({ length: this.queueCount });
    for (const kind of ['cqs', 'qps', 'pds', 'mrs', 'ahs']) this[kind] = new Map();
    [this.pagesListed, this.lastNumber] = [0, 0];
    this.path = new DataPath(this);
  }

  attach = host => void (this.#host = host);
  readStatus = () => this.#status;
  queueSizeMax = index => (index >= 0 && index < this.queueCount ? this.limits.queueSizeMax : 0);
  queueEnabled = index => this.rings[index] !== undefined;
  /** VIRTIO_F_RING_RESET is not offered [VQ-78]. */
  resetQueue = () => {};
  /** Whichever queue it was: a turn looks at all of them. */
  notified = () => this.wake();

  setDriverFeatures(features) {
    if ((this.#status & FEATURES_OK) === 0) this.#features = features;
  }

  writeStatus(value) {
    if (value === 0) return this.#reset();
    const wasLive = this.#live;
    this.#status |= value & (ACKNOWLEDGE | DRIVER | FAILED);
    const found = (~this.#status & (ACKNOWLEDGE | DRIVER)) === 0;
    if (found && this.#features === this.deviceFeatures) this.#status |= value & FEATURES_OK;
    if ((this.#status & FEATURES_OK) !== 0) this.#status |= value & DRIVER_OK;
    if (!wasLive) this.wake();
  }

  #reset() {
    [this.#status, this.#features] = [0, 0n];
    this.#forget();
    this.adapter.reset();
  }

  #giveUp() {
    this.#status |= NEEDS_RESET;
    if ((this.#status & DRIVER_OK) !== 0) this.#host.interruptConfig();
  }

  readConfig() {
    const roce = this.#context.profile.name === 'roce';
    const view = new DataView(new ArrayBuffer(roce ? 32 : 12));
    if (roce) {
      view.setUint8(0, 0x02); // a MAC address of local make
      view.setUint32(2, this.#context.vm);
      view.setUint32(6, 0x0001_0001, true); // link up, one pair of network queues
    }
    view.setUint16(roce ? 10 : 8, this.activeMtuBytes + PACKET_OVERHEAD_BYTES, true);
    view.setUint32(roce ? 24 : 0, this.limits.maxQps, true);
    view.setUint32(roce ? 28 : 4, this.limits.maxCqs, true);
    return view;
  }

  enableQueue(index, size, places) {
    const inTime = (this.#status & (FEATURES_OK | DRIVER_OK)) === FEATURES_OK && !this.queueEnabled(index);
    if (!inTime || !placeable(this.memory, size, this.queueSizeMax(index), places)) return this.#giveUp();
    this.rings[index] = new Ring(this.memory, index, size, places, this.#context.ringObserver);
  }

  get #live() {
    return (this.#status & (DRIVER_OK | NEEDS_RESET)) === DRIVER_OK;
  }

  /** Takes a turn soon. */
  wake() {
    if (this.#awake || !this.#live) return;
    this.#awake = true;
    this.#context.scheduler.post(this.#task);
  }

  #turn() {
    this.#awake = false;
    if (!this.#live) return;
    try {
      const busy = this.#work() || (this.#ask(), this.#work());
      if (busy) this.wake();
      if (!this.#show() || busy) return;
      for (const ring of this.rings) if (ring?.asks) this.#context.ringObserver?.asleep(ring.index, 'device');
    } catch (error) {
      if (!(error instanceof BrokenRing)) throw error;
      this.#giveUp();
    }
  }

  /** One chain of each queue, the last queue first. True when there was one. */
  #work() {
    let busy = false;
    const pairs = [...this.qps].toSorted(([a], [b]) => b - a);
    for (const [, qp] of pairs) {
      for (const half of [qp.recv, qp.send]) if (this.path.take(qp, half)) busy = true;
    }
    for (const cq of this.cqs.values()) this.path.deliver(cq);
    const control = this.rings[this.queues.control];
    if (control === undefined || control.waiting === 0) return busy;
    control.ask(false);
    this.#command(control);
    return true;
  }

  /** Asks to be notified of requests and commands; what has come meanwhile must be looked for [VQ-73]. */
  #ask() {
    this.rings[this.queues.control]?.ask(true);
    for (const { send, recv } of this.qps.values()) for (const { ring } of [send, recv]) ring.ask(true);
  }

  /** Publishes requests, then completions, then answers. False when the driver's handlers have ended this life. */
  #show() {
    const { path } = this;
    for (const ring of this.rings.toReversed()) {
      if (!ring?.publish()) continue;
      const completions = ring.index > this.queues.control && ring.index < this.queues.sq(0);
      if (ring.interrupts(completions)) this.#host.interruptQueue(ring.index);
      if (path !== this.path || !this.#live) return false;
    }
    return true;
  }

  #command(control) {
    const chain = control.take();
    const answer = chain.writableBytes === 0 ? [] : this.#answer(chain);
    scatter(this.memory, chain.writable, Uint8Array.from(answer));
    control.put(chain.head, answer.length);
  }

  /** The bytes of ack and result. */
  #answer(chain) {
    const [controlClass, code] = new Uint8Array(gather(this.memory, chain.readable, 0, HEADER_BYTES).buffer);
    const known = controlClass === this.#context.profile.controlClass && code < commands.length;
    if (!known || chain.readableBytes < HEADER_BYTES + structBytes[code]) return [ERR];
    if (chain.writableBytes < 1 + resultBytes[code]) return [ERR];
    try {
      const view = gather(this.memory, chain.readable, HEADER_BYTES, structBytes[code]);
      const result = commands[code](this, view, chain);
      return [OK, ...(result === undefined ? [] : new Uint8Array(result.buffer))];
    } catch (error) {
      if (error.errno === undefined) throw error;
      return [ERR];
    }
  }
}
