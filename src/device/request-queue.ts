/**
 * What a send queue and a receive queue have in common: requests go to the HCA while there is room and the queue pair's
 * state allows it, and a request's chain goes back to the guest, unwritten and in order, when the HCA is done with it.
 */
import { QpState } from '../abi/index.js';
import type { HcaAh, HcaQp } from '../reference/hca.js';
import type { DescriptorChain } from '../virtio/index.js';
import type { DeviceContext } from './context.js';
import { QueueWorker, chainsPerStep } from './queue-worker.js';
import type { LiveQueue } from './queue-worker.js';
import type { RequestDecoder, RequestShape } from './request-decoder.js';
import type { RequestIds } from './request-ids.js';

/** What the queue pairs of one device share: they take turns in using them. */
export interface RequestTools {
  readonly decoder: RequestDecoder;
  readonly ids: RequestIds;
  /** The address handle of a number of this guest. */
  readonly findAh: (number: number) => HcaAh | undefined;
}

export interface RequestQueueInit {
  readonly index: number;
  readonly qp: HcaQp;
  readonly shape: RequestShape;
  readonly tools: RequestTools;
  /** Most requests that the HCA takes. */
  readonly capacity: number;
  /** Requests are read in this state and all that are numbered above it. */
  readonly readFrom: QpState;
}

export abstract class RequestQueue extends QueueWorker {
  protected readonly qp: HcaQp;
  protected readonly shape: RequestShape;
  protected readonly tools: RequestTools;
  readonly #capacity: number;
  readonly #readFrom: QpState;
  /** The state that MODIFY_QP set last, or a later one that the HCA was seen in. */
  #state: QpState = QpState.RESET;
  /** Requests that the HCA has. */
  #posted = 0;
  /** Their wr_ids as the HCA knows them, a ring. */
  readonly #ids: Float64Array;
  #oldestId = 0;
  #newestId = 0;
  /** Of these, the oldest whose chains went away with a reset of the virtqueue. */
  #forgotten = 0;

  constructor(context: DeviceContext, init: RequestQueueInit) {
    super(context, init.index);
    this.qp = init.qp;
    this.shape = init.shape;
    this.tools = init.tools;
    this.#capacity = init.capacity;
    this.#ids = new Float64Array(init.capacity);
    this.#readFrom = init.readFrom;
  }

  setState(state: QpState): void {
    this.#state = state;
    this.wake();
  }

  /**
   * Hands over what is available now, as far as there is room: it was posted before whatever comes next. Returns how many
   * chains that leaves.
   */
  readAvailable(): number {
    const live = this.live();
    if (live === undefined) return 0;
    const { queue, chain } = live;
    if (!this.#stateAllows()) return queue.available();
    let left = queue.available();
    if (left > 0) {
      queue.disableNotifications();
      // Asks for notifications again when nothing is left.
      this.wake();
    }
    for (; left > 0 && this.#posted < this.#capacity; left--) {
      if (queue.take(chain) !== 'chain') break;
      this.#hand(chain);
    }
    this.checkBroken(queue);
    return left;
  }

  /** Something happened that may mean that the queue pair went to ERR by itself. */
  stateMayHaveChanged(): void {
    if (this.#state < this.#readFrom) this.wake();
  }

  /** The HCA is done with its oldest request, which came in the chain at `head`. */
  retired(head: number): void {
    if (this.#posted >= this.#capacity) this.wake();
    this.#posted--;
    this.tools.ids.retired(this.#ids[this.#oldestId]);
    this.#oldestId = this.#next(this.#oldestId);
    if (this.#forgotten > 0) {
      this.#forgotten--;
      return;
    }
    const queue = this.live()?.queue;
    if (queue === undefined) return;
    queue.putUsed(head, 0);
    this.notifyIfWanted(queue);
  }

  /** Returns the requests that were never read, at most `most`, for a queue pair that is destroyed or reset. */
  discardUnread(most?: number): void {
    this.returnUnread(most);
    const queue = this.live()?.queue;
    if (queue !== undefined) this.notifyIfWanted(queue);
  }

  override queueReset(): void {
    super.queueReset();
    this.#forgotten = this.#posted;
  }

  /** Decodes the request in `chain`, notes its wr_id, and hands it to the HCA. */
  protected abstract post(chain: DescriptorChain): void;

  /** Notes the wr_id of the request that is about to go to the HCA. */
  protected noteId(id: number): void {
    this.#ids[this.#newestId] = id;
    this.#newestId = this.#next(this.#newestId);
  }

  protected override step({ queue, chain }: LiveQueue): void {
    if (!this.#stateAllows()) {
      // The next MODIFY_QP wakes this task; so does a notification, in case the state changes by itself.
      this.rest(queue);
      return;
    }
    queue.disableNotifications();
    for (let left = chainsPerStep(queue); left > 0; left--) {
      // A request that leaves makes room and wakes this task.
      if (this.#posted >= this.#capacity) return;
      if (queue.take(chain) === 'chain') this.#hand(chain);
      else if (this.checkBroken(queue) || !this.rest(queue)) return;
    }
    this.wake();
  }

  #hand(chain: DescriptorChain): void {
    this.#posted++;
    this.post(chain);
  }

  #next(place: number): number {
    return place + 1 === this.#capacity ? 0 : place + 1;
  }

  #stateAllows(): boolean {
    if (this.#state < this.#readFrom) this.#state = this.context.hca.queryQp(this.qp).qpState;
    return this.#state >= this.#readFrom;
  }
}
