/**
 * Stands between a driver and its transport and holds what crosses it against the machines of device status and virtqueue.
 * What the rings report comes in beside it, so that a queue that moves before its time is seen.
 */
import { Command } from '../../abi/index.js';
import type { CompiledMachine, Monitor } from '../../statemachines/index.js';
import { DeviceStatus } from '../../virtio/index.js';
import type {
  FeatureSet,
  InterruptHandler,
  QueueAddresses,
  VirtioDevice,
  VirtioTransport,
} from '../../virtio/index.js';
import { LawBroken, laws } from '../laws.js';
import { tablesOf } from './book.js';
import type { MonitorBook } from './book.js';

function ids<const N extends string>(machine: CompiledMachine, names: readonly N[]): Record<N, number> {
  return Object.fromEntries(names.map(name => [name, machine.eventId(name)])) as Record<N, number>;
}

const status = ids(tablesOf('DEVICE_STATUS'), [
  'WRITE_RESET',
  'WRITE_ACKNOWLEDGE',
  'WRITE_DRIVER',
  'WRITE_FEATURES',
  'WRITE_FEATURES_OK',
  'READ_FEATURES_OK',
  'READ_FEATURES_REFUSED',
  'ENABLE_QUEUE',
  'REENABLE_QUEUE',
  'WRITE_DRIVER_OK',
  'NOTIFY',
  'USE',
  'SET_NEEDS_RESET',
  'WRITE_FAILED',
]);
const virtqueue = ids(tablesOf('VIRTQUEUE'), [
  'FOUND_ABSENT',
  'ENABLE',
  'GO_LIVE',
  'PUBLISH',
  'NOTIFY',
  'TAKE',
  'USE',
  'BREAK',
  'RESET_QUEUE',
  'RESET_QUEUE_DONE',
  'RESET_DEVICE',
]);

export interface TransportMonitorOptions {
  readonly vm: number;
  readonly queueCount: number;
  /** Queues whose interrupts are ruled by arming. */
  isCompletionQueue(queue: number): boolean;
  /** The commands that the device takes are told to {@link TransportMonitors.commandTaken}. */
  readonly commandsTold: boolean;
}

/** Where a queue lies that a driver has enabled. */
export interface EnabledQueue extends QueueAddresses {
  readonly index: number;
  readonly size: number;
}

/** The transport of one machine. */
export class TransportMonitors {
  readonly #book: MonitorBook;
  readonly #status: Monitor;
  readonly #queues: Monitor;
  readonly #options: TransportMonitorOptions;
  readonly #firstQueue: number;
  readonly #enabled = new Map<number, EnabledQueue>();
  readonly #wasReset = new Set<number>();
  readonly #absent = new Set<number>();
  #written = 0;
  #featuresUnread = false;
  #needsReset = false;
  /** Armings that the device has taken and not used up. */
  #armings = 0;

  constructor(book: MonitorBook, options: TransportMonitorOptions) {
    this.#book = book;
    this.#status = book.get('DEVICE_STATUS');
    this.#queues = book.get('VIRTQUEUE');
    this.#options = options;
    this.#firstQueue = options.vm * options.queueCount;
    this.#status.open(options.vm);
    for (let queue = 0; queue < options.queueCount; queue++) this.#queues.open(this.#firstQueue + queue);
  }

  /** The queues that the driver has enabled since the last reset. */
  get enabled(): Iterable<EnabledQueue> {
    return this.#enabled.values();
  }

  /** What the driver gets in place of its transport. */
  watch(inner: VirtioTransport, device: VirtioDevice): VirtioTransport {
    return new WatchedTransport(inner, device, this);
  }

  // ---------------------------------------------------------------- what the rings report

  published(queue: number): void {
    this.#queue(queue, virtqueue.PUBLISH);
  }
  taken(queue: number): void {
    this.#queue(queue, virtqueue.TAKE);
  }
  used(queue: number): void {
    this.#queue(queue, virtqueue.USE);
    this.#status.event(this.#options.vm, status.USE);
  }

  /** The device took a command from the control queue. */
  commandTaken(command: number): void {
    if (command === Command.REQ_NOTIFY_CQ) this.#armings++;
  }

  // ---------------------------------------------------------------- what crosses the transport

  statusWritten(value: number): void {
    const { vm } = this.#options;
    if (value === 0) {
      this.#status.event(vm, status.WRITE_RESET);
      for (let queue = 0; queue < this.#options.queueCount; queue++)
        this.#queue(queue, virtqueue.RESET_DEVICE);
      this.#enabled.clear();
      this.#wasReset.clear();
      this.#absent.clear();
      this.#written = 0;
      this.#needsReset = false;
      this.#armings = 0;
      return;
    }
    const added = value & ~this.#written;
    this.#written |= value;
    if ((added & DeviceStatus.ACKNOWLEDGE) !== 0) this.#status.event(vm, status.WRITE_ACKNOWLEDGE);
    if ((added & DeviceStatus.DRIVER) !== 0) this.#status.event(vm, status.WRITE_DRIVER);
    if ((added & DeviceStatus.FEATURES_OK) !== 0) {
      this.#status.event(vm, status.WRITE_FEATURES_OK);
      this.#featuresUnread = true;
    }
    if ((added & DeviceStatus.DRIVER_OK) !== 0) {
      this.#status.event(vm, status.WRITE_DRIVER_OK);
      for (const queue of this.#enabled.keys()) this.#queue(queue, virtqueue.GO_LIVE);
    }
    if ((added & DeviceStatus.FAILED) !== 0) this.#status.event(vm, status.WRITE_FAILED);
  }

  statusRead(value: number): void {
    if (!this.#featuresUnread) return;
    this.#featuresUnread = false;
    const kept = (value & DeviceStatus.FEATURES_OK) !== 0;
    this.#status.event(this.#options.vm, kept ? status.READ_FEATURES_OK : status.READ_FEATURES_REFUSED);
  }

  featuresWritten(_features: FeatureSet): void {
    this.#status.event(this.#options.vm, status.WRITE_FEATURES);
  }

  sizeRead(queue: number, size: number): void {
    if (size !== 0 || queue >= this.#options.queueCount || this.#absent.has(queue)) return;
    this.#absent.add(queue);
    this.#queue(queue, virtqueue.FOUND_ABSENT);
  }

  enabling(queue: EnabledQueue): void {
    const again = this.#wasReset.delete(queue.index);
    this.#status.event(this.#options.vm, again ? status.REENABLE_QUEUE : status.ENABLE_QUEUE);
    this.#queue(queue.index, virtqueue.ENABLE);
    this.#enabled.set(queue.index, queue);
    if ((this.#written & DeviceStatus.DRIVER_OK) !== 0) this.#queue(queue.index, virtqueue.GO_LIVE);
  }

  resetting(queue: number): void {
    if (this.#enabled.delete(queue)) {
      this.#wasReset.add(queue);
      this.#queue(queue, virtqueue.RESET_QUEUE);
    }
  }

  resetDone(queue: number): void {
    if (this.#wasReset.has(queue)) this.#queue(queue, virtqueue.RESET_QUEUE_DONE);
  }

  notifying(queue: number): void {
    this.#status.event(this.#options.vm, status.NOTIFY);
    this.#queue(queue, virtqueue.NOTIFY);
  }

  interrupted(source: number | 'config', value: number): void {
    if ((value & DeviceStatus.DEVICE_NEEDS_RESET) !== 0 && !this.#needsReset) {
      this.#needsReset = true;
      this.#status.event(this.#options.vm, status.SET_NEEDS_RESET);
      for (const queue of this.#enabled.keys()) this.#queue(queue, virtqueue.BREAK);
    }
    if (source === 'config' || !this.#options.isCompletionQueue(source)) return;
    if (!this.#options.commandsTold || --this.#armings >= 0) return;
    this.#armings = 0;
    this.#book.report(
      new LawBroken(
        laws.eventsAreArmed,
        `machine ${this.#options.vm}: an interrupt of completion virtqueue ${source}, and every arming has had its own`,
      ),
    );
  }

  #queue(queue: number, event: number): void {
    if (queue < this.#options.queueCount) this.#queues.event(this.#firstQueue + queue, event);
  }
}

/** Tells each call before it is made, each answer after it. */
class WatchedTransport implements VirtioTransport {
  readonly deviceId: number;
  readonly queueCount: number;
  readonly #inner: VirtioTransport;
  readonly #device: VirtioDevice;
  readonly #monitors: TransportMonitors;

  constructor(inner: VirtioTransport, device: VirtioDevice, monitors: TransportMonitors) {
    this.deviceId = inner.deviceId;
    this.queueCount = inner.queueCount;
    this.#inner = inner;
    this.#device = device;
    this.#monitors = monitors;
  }

  notify(index: number, next?: number): void {
    this.#monitors.notifying(index);
    this.#inner.notify(index, next);
  }

  onInterrupt(handler: InterruptHandler): void {
    this.#inner.onInterrupt(source => {
      // The device is asked and not the transport, whose register accesses are counted.
      this.#monitors.interrupted(source, this.#device.readStatus());
      handler(source);
    });
  }

  get deviceFeatures(): FeatureSet {
    return this.#inner.deviceFeatures;
  }
  setDriverFeatures(features: FeatureSet): void {
    this.#monitors.featuresWritten(features);
    this.#inner.setDriverFeatures(features);
  }
  readStatus(): number {
    const value = this.#inner.readStatus();
    this.#monitors.statusRead(value);
    return value;
  }
  writeStatus(value: number): void {
    this.#monitors.statusWritten(value);
    this.#inner.writeStatus(value);
  }
  get configGeneration(): number {
    return this.#inner.configGeneration;
  }
  readConfig(): DataView {
    return this.#inner.readConfig();
  }
  queueSizeMax(index: number): number {
    const size = this.#inner.queueSizeMax(index);
    this.#monitors.sizeRead(index, size);
    return size;
  }
  enableQueue(index: number, size: number, addresses: QueueAddresses): void {
    const { descriptors, driver, device } = addresses;
    this.#monitors.enabling({ index, size, descriptors, driver, device });
    this.#inner.enableQueue(index, size, addresses);
  }
  queueEnabled(index: number): boolean {
    return this.#inner.queueEnabled(index);
  }
  resetQueue(index: number): void {
    this.#monitors.resetting(index);
    this.#inner.resetQueue(index);
    this.#monitors.resetDone(index);
  }
}
