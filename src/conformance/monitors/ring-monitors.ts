/**
 * Holds what the two halves of a machine's rings report, and what crosses its transport, against the machines of chain
 * ownership, notification, control command, device status and virtqueue.
 */
import type { ControlObserver, RingObserver } from '../../virtio/index.js';
import { Ack } from '../../abi/index.js';
import type { Monitor } from '../../statemachines/index.js';
import { tablesOf } from './book.js';
import type { MonitorBook } from './book.js';
import type { TransportMonitors } from './transport-monitors.js';

const chain = {
  MAKE_AVAILABLE: tablesOf('CHAIN').eventId('MAKE_AVAILABLE'),
  TAKE: tablesOf('CHAIN').eventId('TAKE'),
  USE: tablesOf('CHAIN').eventId('USE'),
  CONSUME: tablesOf('CHAIN').eventId('CONSUME'),
};
/** The machines of both directions have the same events. */
const notify = {
  WRITE_NOTIFY: tablesOf('NOTIFY_DEVICE').eventId('WRITE_NOTIFY'),
  WRITE_SILENT: tablesOf('NOTIFY_DEVICE').eventId('WRITE_SILENT'),
  READ: tablesOf('NOTIFY_DEVICE').eventId('READ'),
  SLEEP: tablesOf('NOTIFY_DEVICE').eventId('SLEEP'),
  WAKE: tablesOf('NOTIFY_DEVICE').eventId('WAKE'),
};
const command = {
  TAKE: tablesOf('COMMAND').eventId('TAKE'),
  ANSWER_OK: tablesOf('COMMAND').eventId('ANSWER_OK'),
  ANSWER_ERR: tablesOf('COMMAND').eventId('ANSWER_ERR'),
  SEE_OK: tablesOf('COMMAND').eventId('SEE_OK'),
  SEE_ERR: tablesOf('COMMAND').eventId('SEE_ERR'),
};

export interface RingMonitorOptions {
  readonly vm: number;
  readonly queueCount: number;
  /** Largest size of a queue. */
  readonly queueSizeMax: number;
  /** Queues on which arming, not the ring, rules the interrupts. */
  isCompletionQueue(queue: number): boolean;
  /** Told of what moves, so that nothing moves on a queue that is not live. */
  readonly transport?: Pick<TransportMonitors, 'published' | 'taken' | 'used'>;
  /** Who raises, looks and sleeps when is not seen: the machines of notification are left alone. */
  readonly chainsOnly?: boolean;
}

/** The rings of one machine, driver half and device half both reporting. */
export class RingMonitors implements RingObserver {
  readonly #chains: Monitor;
  readonly #toDevice: Monitor;
  readonly #toDriver: Monitor;
  readonly #options: RingMonitorOptions;
  readonly #firstQueue: number;
  /** Per queue: chains put and not published, elements put and not decided about. */
  readonly #unpublished: Uint32Array;
  readonly #undecided: Uint32Array;
  /** Per queue: chains with the device. */
  readonly #held: Uint32Array;

  constructor(book: MonitorBook, options: RingMonitorOptions) {
    this.#chains = book.get('CHAIN');
    this.#toDevice = book.get('NOTIFY_DEVICE');
    this.#toDriver = book.get('NOTIFY_DRIVER');
    this.#options = options;
    this.#firstQueue = options.vm * options.queueCount;
    this.#unpublished = new Uint32Array(options.queueCount);
    this.#undecided = new Uint32Array(options.queueCount);
    this.#held = new Uint32Array(options.queueCount);
    for (let queue = 0; queue < options.queueCount; queue++) {
      this.#toDevice.open(this.#firstQueue + queue);
      this.#toDriver.open(this.#firstQueue + queue);
    }
  }

  /** Chains that were made available and not taken. */
  unread(queue: number): number {
    return this.#toDevice.count(this.#firstQueue + queue) + this.#unpublished[queue];
  }

  /** Chains that were taken and not returned. */
  held(queue: number): number {
    return this.#held[queue];
  }

  #chain(queue: number, head: number, event: number): void {
    const key = (this.#firstQueue + queue) * this.#options.queueSizeMax + head;
    if (!this.#chains.isOpen(key)) this.#chains.open(key);
    this.#chains.event(key, event);
  }

  available(queue: number, head: number): void {
    if (this.#options.chainsOnly !== true) this.#unpublished[queue]++;
    this.#chain(queue, head, chain.MAKE_AVAILABLE);
  }

  #notify(monitor: Monitor, queue: number, event: number, count = 0): void {
    if (this.#options.chainsOnly !== true) monitor.event(this.#firstQueue + queue, event, count);
  }

  published(queue: number, _availIdx: number, notifies: boolean): void {
    const count = this.#unpublished[queue];
    this.#unpublished[queue] = 0;
    if (count === 0) return;
    this.#options.transport?.published(queue);
    this.#notify(this.#toDevice, queue, notifies ? notify.WRITE_NOTIFY : notify.WRITE_SILENT, count);
  }

  /** The driver's notification reached the device. */
  notified(queue: number): void {
    this.#notify(this.#toDevice, queue, notify.WAKE);
  }

  taken(queue: number, head: number): void {
    this.#options.transport?.taken(queue);
    this.#held[queue]++;
    this.#notify(this.#toDevice, queue, notify.READ);
    this.#chain(queue, head, chain.TAKE);
  }

  used(queue: number, head: number): void {
    this.#options.transport?.used(queue);
    this.#held[queue]--;
    this.#undecided[queue]++;
    this.#chain(queue, head, chain.USE);
  }

  interrupt(queue: number, _usedIdx: number, sent: boolean): void {
    if (this.#options.isCompletionQueue(queue)) return;
    this.#written(queue, sent);
    if (sent) this.#notify(this.#toDriver, queue, notify.WAKE);
  }

  #written(queue: number, notifies: boolean): void {
    const count = this.#undecided[queue];
    this.#undecided[queue] = 0;
    if (count === 0) return;
    this.#notify(this.#toDriver, queue, notifies ? notify.WRITE_NOTIFY : notify.WRITE_SILENT, count);
  }

  consumed(queue: number, head: number): void {
    this.#chain(queue, head, chain.CONSUME);
    if (this.#options.isCompletionQueue(queue)) return;
    // The driver may look before the device has decided about an interrupt: it was awake then.
    if (this.#toDriver.count(this.#firstQueue + queue) === 0) this.#written(queue, false);
    this.#notify(this.#toDriver, queue, notify.READ);
  }

  /** A side that slept is awake, for reasons of its own. */
  woke(queue: number, side: 'driver' | 'device'): void {
    const monitor = side === 'device' ? this.#toDevice : this.#toDriver;
    this.#notify(monitor, queue, notify.WAKE);
  }

  asleep(queue: number, side: 'driver' | 'device'): void {
    if (side === 'driver' && this.#options.isCompletionQueue(queue)) return;
    const monitor = side === 'device' ? this.#toDevice : this.#toDriver;
    // Whoever goes to sleep was awake: a side may wake by itself, for reasons of its own.
    this.#notify(monitor, queue, notify.WAKE);
    this.#notify(monitor, queue, notify.SLEEP);
  }

  /** The queue, or the whole device, was reset: its chains are the driver's again, and nobody sleeps. */
  reset(queue: number): void {
    const first = (this.#firstQueue + queue) * this.#options.queueSizeMax;
    for (let head = 0; head < this.#options.queueSizeMax; head++) this.#chains.drop(first + head);
    this.#toDevice.open(this.#firstQueue + queue);
    this.#toDriver.open(this.#firstQueue + queue);
    this.#unpublished[queue] = 0;
    this.#undecided[queue] = 0;
    this.#held[queue] = 0;
  }
}

/** Numbers of commands that a machine may issue in a run. */
const COMMANDS_MAX = 1 << 16;

/**
 * The control queue of one machine. Driver and device name commands by numbers of their own; the queue is first in, first
 * out, so the n-th command issued is the n-th taken.
 */
export class CommandMonitors {
  readonly driver: ControlObserver;
  readonly device: ControlObserver;
  readonly #monitor: Monitor;
  readonly #first: number;
  #issued = 0;
  #taken = 0;
  readonly #byDriver = new Map<number, number>();
  readonly #byDevice = new Map<number, number>();

  constructor(book: MonitorBook, vm: number) {
    this.#monitor = book.get('COMMAND');
    this.#first = vm;
    this.driver = {
      command: id => {
        const key = this.#key(this.#issued++);
        this.#byDriver.set(id, key);
        this.#monitor.open(key);
      },
      answer: (id, _command, ack) =>
        this.#answer(this.#byDriver, id, ack === Ack.OK ? command.SEE_OK : command.SEE_ERR),
    };
    this.device = {
      command: id => {
        const key = this.#key(this.#taken++);
        this.#byDevice.set(id, key);
        this.#monitor.event(key, command.TAKE);
      },
      answer: (id, _command, ack) =>
        this.#answer(this.#byDevice, id, ack === Ack.OK ? command.ANSWER_OK : command.ANSWER_ERR),
    };
  }

  #key(ordinal: number): number {
    return (ordinal % COMMANDS_MAX) * 4 + this.#first;
  }

  #answer(names: Map<number, number>, id: number, event: number): void {
    const key = names.get(id);
    if (key === undefined) return;
    names.delete(id);
    this.#monitor.event(key, event);
  }
}
