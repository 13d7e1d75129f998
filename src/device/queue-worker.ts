/**
 * The device's work on one virtqueue, as a task that does a bounded amount a step and then posts itself again or goes to
 * sleep. One object per bound queue; a queue without one is ignored.
 */
import type { Task, Timer } from '../fabric/scheduler.js';
import type { DescriptorChain, DeviceQueue } from '../virtio/index.js';
import type { DeviceContext } from './context.js';

/** Chains that a data queue's task takes in one step; fewer where the queue has fewer entries. */
const CHAINS_PER_STEP = 8;

export function chainsPerStep(queue: DeviceQueue): number {
  return Math.min(CHAINS_PER_STEP, queue.size);
}

/** No chain: a head is never negative. */
const NOTHING = -1;

/** An enabled virtqueue, with the chain that its worker fills again and again. */
export interface LiveQueue {
  readonly queue: DeviceQueue;
  readonly chain: DescriptorChain;
}

export abstract class QueueWorker implements Task {
  readonly index: number;
  protected readonly context: DeviceContext;
  #live: LiveQueue | undefined;
  #posted = false;
  #pollTimer: Timer | undefined;
  #closed = false;

  constructor(context: DeviceContext, index: number) {
    this.context = context;
    this.index = index;
  }

  /** There may be something to do: makes the task ready unless it is already. */
  wake(): void {
    if (this.#posted || this.#closed) return;
    this.#posted = true;
    this.context.scheduler.post(this);
  }

  run(): void {
    this.#posted = false;
    const live = this.live();
    if (live !== undefined) this.step(live);
  }

  /** The virtqueue was reset by itself: its chains are no longer ours to touch. It may be enabled again later. */
  queueReset(): void {
    this.#live = undefined;
  }

  /** The object is gone: a step that is still waiting does nothing. */
  close(): void {
    if (this.#pollTimer?.armed === true) this.context.scheduler.cancel(this.#pollTimer);
    this.#closed = true;
    this.#live = undefined;
  }

  /** Takes every chain that is available now, at most `most`, and returns it with length 0. */
  returnUnread(most = Number.POSITIVE_INFINITY): void {
    const live = this.live();
    if (live === undefined) return;
    const { queue, chain } = live;
    let left = Math.min(most, queue.available());
    if (left > 0) queue.disableNotifications();
    let kept = NOTHING;
    for (; left > 0; left--) {
      if (queue.take(chain) !== 'chain') break;
      // What is wholly read, as a request is by being dropped, may come back with the next one.
      if (queue.inOrder && chain.writableBytes === 0) kept = chain.head;
      else {
        queue.putUsed(chain.head, 0);
        kept = NOTHING;
      }
    }
    if (kept !== NOTHING) queue.putUsedUpTo(kept, 0);
    this.checkBroken(queue);
  }

  /**
   * Nothing is left to take: sleeps until the next notification, or looks again after a while if the device polls. Returns
   * true when something came meanwhile.
   */
  protected rest(queue: DeviceQueue): boolean {
    const { pollIntervalNs, scheduler } = this.context;
    if (pollIntervalNs === undefined) return queue.enableNotifications();
    if (this.#pollTimer?.armed !== true) {
      this.#pollTimer = scheduler.schedule(pollIntervalNs, { run: () => this.wake() }, 'endless');
    }
    return false;
  }

  /** Does a bounded amount of work. */
  protected abstract step(live: LiveQueue): void;

  /** The queue, unless it is disabled, the device has stopped or the object is gone. */
  protected live(): LiveQueue | undefined {
    if (this.context.stopped() || this.#closed) return undefined;
    if (this.#live === undefined) {
      const queue = this.context.liveQueue(this.index);
      if (queue !== undefined) this.#live = { queue, chain: queue.newChain() };
    }
    return this.#live;
  }

  /** Stops the device when the guest broke a rule of this queue. True: it did. */
  protected checkBroken(queue: DeviceQueue): boolean {
    if (queue.broken === undefined) return false;
    this.context.fault(`queue ${this.index}: ${queue.broken}`);
    return true;
  }

  /** Notifies the guest of the chains returned, if it wants to know. */
  protected notifyIfWanted(queue: DeviceQueue): void {
    if (queue.interruptWanted()) this.context.interruptQueue(this.index);
  }
}
