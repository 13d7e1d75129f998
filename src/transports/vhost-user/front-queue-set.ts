/** The queues of a device in another process: made when they are first enabled, kept with their events until the device ends. */
import type { EventSet } from './event-set.js';
import { FrontQueue } from './front-queue.js';

export interface FrontQueueSetInit {
  readonly count: number;
  /** Queue whose chains are answered one by one; -1 when there is none. */
  readonly controlQueue: number;
  /** Where calls are waited for. */
  readonly events: EventSet;
  /** The device has called. */
  called(queue: FrontQueue): void;
  /** It has signalled that it cannot go on with a queue. */
  failed(queue: FrontQueue): void;
}

export class FrontQueueSet {
  readonly #init: FrontQueueSetInit;
  readonly #queues: (FrontQueue | undefined)[];
  /** Those that are enabled. */
  readonly enabled = new Set<FrontQueue>();

  constructor(init: FrontQueueSetInit) {
    this.#init = init;
    this.#queues = new Array<FrontQueue | undefined>(init.count).fill(undefined);
  }

  at(index: number): FrontQueue | undefined {
    return this.#queues[index];
  }

  get control(): FrontQueue | undefined {
    return this.#queues[this.#init.controlQueue];
  }

  /** The queue, made if it is not there yet. Throws SystemError when there are no descriptors left. */
  make(index: number): FrontQueue {
    const known = this.#queues[index];
    if (known !== undefined) return known;
    const queue = new FrontQueue(index);
    this.#queues[index] = queue;
    const init = this.#init;
    init.events.add(queue.call, () => {
      if (queue.takeCall()) init.called(queue);
    });
    init.events.add(queue.error, () => {
      if (queue.takeError()) init.failed(queue);
    });
    return queue;
  }

  /** Takes a queue out of use. What was called before is of before; whatever comes from now on is too late. */
  disable(queue: FrontQueue): void {
    queue.disable();
    queue.takeCall();
    queue.takeError();
    this.enabled.delete(queue);
  }

  /** The device was reset. Queues that were out of use before may have been called, or given up, since. */
  reset(): void {
    for (const queue of this.#queues) {
      if (queue === undefined) continue;
      this.disable(queue);
      queue.filled = 0;
    }
  }

  /** Elements with something in them that have come back on some queues since the last reset. */
  filledOf(queues: readonly number[]): number {
    let sum = 0;
    for (const index of queues) sum += this.#queues[index]?.filled ?? 0;
    return sum;
  }

  close(): void {
    for (const queue of this.#queues) {
      if (queue === undefined) continue;
      this.#init.events.remove(queue.call);
      this.#init.events.remove(queue.error);
      queue.close();
    }
    this.#queues.fill(undefined);
    this.enabled.clear();
  }
}
