/**
 * What the device half of a virtqueue does the same in every ring format: chains in flight, their return one by one or as a
 * batch, what is staged and what is signalled. How an element stands in the ring, the format says.
 */
import type { GuestMemory, MemoryWindow } from './guest-memory.js';
import { InFlightOrder } from './in-flight.js';
import type { RingObserver } from './observer.js';
import type { QueueConfig, QueuePosition, RingFeatures } from './queue.js';
import { UsedReports } from './used-reports.js';

export abstract class DeviceHalf {
  readonly index: number;
  readonly size: number;
  protected readonly eventIdx: boolean;
  protected readonly indirect: boolean;
  protected readonly memory: GuestMemory;
  protected readonly observer: RingObserver | undefined;
  protected readonly reports: UsedReports | undefined;
  protected readonly order: InFlightOrder | undefined;
  /** Up to where chains were taken, and up to where elements were written; in the words of the format. */
  protected nextAvail: number;
  protected nextUsed: number;
  protected chainsInFlight = 0;
  protected notificationsEnabled = true;
  /** Steps of the ring that elements which do not show yet go on by. */
  protected staged = 0;
  /** The same of elements that show, since the last decision about an interrupt, or since the start. */
  protected unsignalled = 0;
  protected fault: string | undefined;

  /** @param fault why the queue cannot be set up like this: thrown as RangeError. `newRing`: where nobody has been yet */
  protected constructor(
    fault: string | undefined,
    memory: GuestMemory,
    { index, size, start }: QueueConfig,
    features: RingFeatures,
    observer: RingObserver | undefined,
    newRing: number,
  ) {
    if (fault !== undefined) throw new RangeError(`queue ${index}: ${fault}`);
    this.index = index;
    this.size = size;
    this.eventIdx = features.eventIdx;
    this.indirect = features.indirect;
    this.memory = memory;
    this.observer = observer;
    this.reports = observer && new UsedReports(observer, index, size);
    this.order = features.inOrder === true ? new InFlightOrder(size) : undefined;
    this.nextAvail = start?.avail ?? newRing;
    this.nextUsed = start?.used ?? newRing;
  }

  protected area(address: number, bytes: number): MemoryWindow {
    const window = this.memory.window(address, bytes);
    if (window === undefined) throw new RangeError(`queue ${this.index}: not in guest memory`);
    return window;
  }

  get broken(): string | undefined {
    return this.fault;
  }
  get inFlight(): number {
    return this.chainsInFlight;
  }
  get inOrder(): boolean {
    return this.order !== undefined;
  }
  get position(): QueuePosition {
    return { avail: this.nextAvail, used: this.nextUsed };
  }

  protected abstract isTaken(head: number): boolean;
  /** Takes a chain out of flight. Returns the steps of the ring that it counts for. */
  protected abstract release(head: number): number;
  /** Writes one element, unpublished, that stands for `chains` chains and goes on by `steps`. */
  protected abstract writeUsed(head: number, written: number, steps: number, chains: number): void;
  /** Shows what is staged. */
  abstract publishUsed(): void;

  /**
   * Nothing happens on a broken queue. Throws RangeError for a head that is not in flight, with IN_ORDER also for one that
   * is not the oldest: the device's own fault.
   */
  putUsed(head: number, written: number): void {
    this.stageUsed(head, written);
    this.publishUsed();
  }

  /** As `putUsed`. */
  stageUsed(head: number, written: number): void {
    if (this.fault !== undefined) return;
    this.#checkTaken(head);
    if (this.order !== undefined) {
      if (this.order.head(0) !== head)
        throw new RangeError(`queue ${this.index}: chain ${head} is not the oldest, and its use is in order`);
      this.order.drop(1);
    }
    this.chainsInFlight--;
    this.writeUsed(head, written, this.release(head), 1);
    this.reports?.add(head, written);
  }

  /** As `putUsed`. Throws RangeError too when IN_ORDER is not negotiated. */
  putUsedUpTo(head: number, written: number): void {
    if (this.fault !== undefined) return;
    this.#checkTaken(head);
    const { order } = this;
    if (order === undefined) throw new RangeError(`queue ${this.index}: its use is not in order`);
    const count = order.upTo(head);
    let steps = 0;
    for (let i = 0; i < count; i++) steps += this.release(order.head(i));
    this.chainsInFlight -= count;
    this.writeUsed(head, written, steps, count);
    for (let i = 0; i < count; i++) {
      const bytes = i === count - 1 ? written : order.writableBytes(i);
      this.reports?.add(order.head(i), bytes);
    }
    order.drop(count);
    this.publishUsed();
  }

  #checkTaken(head: number): void {
    if (!this.isTaken(head)) throw new RangeError(`queue ${this.index}: chain ${head} is not in flight`);
  }

  stop(why: string): void {
    this.fault ??= why;
  }
}
