/**
 * A completion queue bound to its virtqueue: moves completions from the HCA into buffers that the driver made available,
 * holds them back while there is none, and interrupts when the armed queue got what it was armed for.
 */
import { WcStatus, cqReq } from '../abi/index.js';
import type { HcaCq, HcaCqOwner } from '../reference/hca.js';
import { emptyCompletion } from '../verbs/index.js';
import type { WorkCompletion } from '../verbs/index.js';
import type { DeviceQueue } from '../virtio/index.js';
import type { DeviceContext } from './context.js';
import { QueueWorker, chainsPerStep } from './queue-worker.js';
import type { LiveQueue } from './queue-worker.js';
import type { RequestIds } from './request-ids.js';

export interface CompletionQueueInit {
  readonly cqn: number;
  /** Capacity; 1 or more. */
  readonly cqe: number;
  readonly ids: RequestIds;
  /** Called when the queue has overrun. */
  readonly onOverrun: (cq: CompletionQueueBinding) => void;
}

export class CompletionQueueBinding extends QueueWorker implements HcaCqOwner {
  readonly cqn: number;
  readonly hcaCq: HcaCq;
  readonly #init: CompletionQueueInit;
  readonly #polled: [WorkCompletion] = [emptyCompletion()];
  readonly #bytes = new Uint8Array(cqReq.size);
  readonly #view = new DataView(this.#bytes.buffer);

  /** Completions that the HCA has and the driver has not been given; at most the capacity. */
  #held = 0;
  /** Whether each of them is solicited; a ring. */
  readonly #solicited: Uint8Array;
  #oldest = 0;
  #newest = 0;
  /** Most buffers that were available at one time, at most the capacity. */
  #mostBuffers = 0;
  #armed: 'no' | 'solicited' | 'any' = 'no';

  /** Creates the HCA's queue; throws the HCA's VerbsError when it refuses. */
  constructor(context: DeviceContext, init: CompletionQueueInit) {
    super(context, context.queueMap.cq(init.cqn));
    this.cqn = init.cqn;
    this.#init = init;
    this.#solicited = new Uint8Array(init.cqe);
    this.hcaCq = context.hca.createCq(init.cqe, this);
    const queue = this.live()?.queue;
    if (queue === undefined) return;
    // The driver may fill the queue from here on without telling.
    queue.disableNotifications();
    this.#countBuffers(queue);
  }

  completionAdded(_cq: HcaCq, completion: Readonly<WorkCompletion>, solicited: boolean): void {
    this.#solicited[this.#newest] = solicited ? 1 : 0;
    this.#newest = this.#next(this.#newest);
    this.#held++;
    this.#init.ids.completed(completion.wrId, this);
    this.wake();
  }

  eventRaised(): void {
    // Never called: the HCA's queue is not armed. The event is due when the driver is given the completion, which may be later.
  }

  /** Buffers that were filled and not made available again: what the driver has not polled yet. */
  unconsumed(): number {
    const queue = this.live()?.queue;
    if (queue === undefined) return 0;
    const buffers = this.#countBuffers(queue);
    this.checkBroken(queue);
    return this.#mostBuffers - Math.min(buffers, this.#mostBuffers);
  }

  overran(): void {
    this.#init.onOverrun(this);
  }

  /**
   * Arms the queue. What there is already is given to the driver first, so that it finds it when it looks after the answer;
   * what has no buffer is given later and counts then.
   */
  arm(solicitedOnly: boolean): void {
    this.deliverAll();
    if (!solicitedOnly) this.#armed = 'any';
    else if (this.#armed === 'no') this.#armed = 'solicited';
  }

  /** Gives the driver every completion for which there is a buffer. */
  deliverAll(): void {
    const live = this.live();
    if (live !== undefined) this.#deliver(live, this.#init.cqe);
  }

  /** Destroys the HCA's queue and returns all buffers; throws the HCA's VerbsError, having done nothing, while it is in use. */
  destroy(): void {
    this.context.hca.destroyCq(this.hcaCq);
    this.returnUnread();
    this.#init.ids.forget(this);
    this.close();
  }

  override queueReset(): void {
    super.queueReset();
    this.#mostBuffers = 0;
  }

  protected override step(live: LiveQueue): void {
    live.queue.disableNotifications();
    if (this.#deliver(live, chainsPerStep(live.queue))) this.wake();
  }

  /** Gives the driver up to `limit` completions. True: there is more to give; false: there is not, or no buffer for it. */
  #deliver({ queue, chain }: LiveQueue, limit: number): boolean {
    let buffers = this.#countBuffers(queue);
    for (let left = limit; this.#held > 0; left--) {
      if (left === 0) return true;
      if (buffers === 0) {
        if (this.checkBroken(queue) || !this.rest(queue)) return false;
        buffers = this.#countBuffers(queue);
      }
      queue.disableNotifications();
      if (queue.take(chain) !== 'chain') {
        this.checkBroken(queue);
        return false;
      }
      if (chain.writableBytes < cqReq.size) {
        this.context.fault(
          `queue ${this.index}: a completion buffer of ${chain.writableBytes} writable bytes, expected ${cqReq.size}`,
        );
        return false;
      }
      this.context.hca.pollCq(this.hcaCq, this.#polled, 1);
      this.#encode(this.#polled[0]);
      chain.writeWritable(0, this.#bytes, 0, cqReq.size);
      queue.putUsed(chain.head, cqReq.size);
      buffers--;
      this.#given();
    }
    return false;
  }

  /** The oldest was given: sends the event if the queue is armed for it. */
  #given(): void {
    const solicited = this.#solicited[this.#oldest] === 1;
    this.#oldest = this.#next(this.#oldest);
    this.#held--;
    if (this.#armed === 'no' || (this.#armed === 'solicited' && !solicited)) return;
    this.#armed = 'no';
    this.context.interruptQueue(this.index);
  }

  #next(place: number): number {
    return place + 1 === this.#init.cqe ? 0 : place + 1;
  }

  /** Writes a completion as the driver sees it. What is not valid on an error is zero. */
  #encode(completion: WorkCompletion): void {
    const { offsets } = cqReq;
    const view = this.#view;
    const ok = completion.status === WcStatus.SUCCESS;
    this.#init.ids.write(view, offsets.wr_id, completion.wrId);
    view.setUint8(offsets.status, completion.status);
    view.setUint8(offsets.opcode, ok ? completion.opcode : 0);
    view.setUint32(offsets.vendor_err, completion.vendorErr, true);
    view.setUint32(offsets.byte_len, ok ? completion.byteLen : 0, true);
    view.setUint32(offsets.imm_data, ok ? completion.immData : 0, false);
    view.setUint32(offsets.qp_num, completion.qpNum, true);
    view.setUint32(offsets.src_qp, ok ? completion.srcQp : 0, true);
    view.setUint32(offsets.wc_flags, ok ? completion.wcFlags : 0, true);
  }

  /** Buffers available now; remembers the most there were. */
  #countBuffers(queue: DeviceQueue): number {
    const buffers = queue.available();
    if (buffers > this.#mostBuffers) this.#mostBuffers = Math.min(buffers, this.#init.cqe);
    return buffers;
  }
}
