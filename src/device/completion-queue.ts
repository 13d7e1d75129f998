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
import { CHAINS_PER_STEP, QueueWorker } from './queue-worker.js';
import type { LiveQueue } from './queue-worker.js';
import { writeId } from './request-decoder.js';

const NOT_RAISED = -1;

export class CompletionQueueBinding extends QueueWorker implements HcaCqOwner {
  readonly cqn: number;
  readonly hcaCq: HcaCq;
  readonly #cqe: number;
  readonly #onOverrun: (cq: CompletionQueueBinding) => void;
  readonly #polled: [WorkCompletion] = [emptyCompletion()];
  readonly #bytes = new Uint8Array(cqReq.size);
  readonly #view = new DataView(this.#bytes.buffer);

  /** Completions that the HCA has added, and how many of them the driver has been given. */
  #added = 0;
  #delivered = 0;
  /** Most buffers that were available at one time, at most the capacity. */
  #mostBuffers = 0;
  /** The completion, by its count, whose delivery is to be followed by an interrupt. */
  #raisedAt = NOT_RAISED;
  /** Armed while completions were held back: the next delivery is the event. */
  #armedForHeld = false;

  /**
   * Creates the HCA's queue of `cqe` entries; throws the HCA's VerbsError when it refuses. `onOverrun` is called when the
   * queue has overrun.
   */
  constructor(
    context: DeviceContext,
    cqn: number,
    cqe: number,
    onOverrun: (cq: CompletionQueueBinding) => void,
  ) {
    super(context, context.queueMap.cq(cqn));
    this.cqn = cqn;
    this.#cqe = cqe;
    this.#onOverrun = onOverrun;
    this.hcaCq = context.hca.createCq(cqe, this);
    const queue = this.live()?.queue;
    if (queue !== undefined) this.#countBuffers(queue);
  }

  completionAdded(): void {
    this.#added++;
    this.wake();
  }

  /** Called after `completionAdded` of the completion that raised the event. */
  eventRaised(): void {
    if (this.#delivered >= this.#added) this.context.interruptQueue(this.index);
    else if (this.#raisedAt === NOT_RAISED) this.#raisedAt = this.#added;
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
    this.#onOverrun(this);
  }

  /**
   * Arms the queue. What was added before is delivered first, so that a driver that looks after the answer misses nothing;
   * what has no buffer counts as arriving when it is delivered.
   */
  arm(solicitedOnly: boolean): void {
    const live = this.live();
    if (live !== undefined) this.#deliver(live, this.#cqe);
    if (this.#added > this.#delivered) this.#armedForHeld = true;
    else this.context.hca.reqNotifyCq(this.hcaCq, solicitedOnly);
  }

  /** Destroys the HCA's queue and returns all buffers; throws the HCA's VerbsError, having done nothing, while it is in use. */
  destroy(): void {
    this.context.hca.destroyCq(this.hcaCq);
    this.returnUnread();
    this.close();
  }

  override queueReset(): void {
    super.queueReset();
    this.#mostBuffers = 0;
  }

  protected override step(live: LiveQueue): void {
    live.queue.disableNotifications();
    this.#deliver(live, CHAINS_PER_STEP);
    if (this.#added > this.#delivered && live.queue.available() > 0) this.wake();
  }

  /** Gives the driver up to `limit` completions, fewer when it has no buffers; then arms notifications of new buffers. */
  #deliver({ queue, chain }: LiveQueue, limit: number): void {
    let buffers = this.#countBuffers(queue);
    for (let n = 0; n < limit && this.#added > this.#delivered; n++) {
      if (buffers === 0) {
        if (this.checkBroken(queue) || !queue.enableNotifications()) return;
        buffers = this.#countBuffers(queue);
      }
      if (queue.take(chain) !== 'chain') {
        this.checkBroken(queue);
        return;
      }
      if (chain.writableBytes < cqReq.size) {
        this.context.fault(
          `queue ${this.index}: a completion buffer of ${chain.writableBytes} writable bytes, expected ${cqReq.size}`,
        );
        return;
      }
      this.context.hca.pollCq(this.hcaCq, this.#polled, 1);
      this.#encode(this.#polled[0]);
      chain.writeWritable(0, this.#bytes, 0, cqReq.size);
      queue.putUsed(chain.head, cqReq.size);
      buffers--;
      this.#countDelivery();
    }
  }

  #countDelivery(): void {
    this.#delivered++;
    const raised = this.#raisedAt !== NOT_RAISED && this.#delivered >= this.#raisedAt;
    if (!raised && !this.#armedForHeld) return;
    if (raised) this.#raisedAt = NOT_RAISED;
    this.#armedForHeld = false;
    this.context.interruptQueue(this.index);
  }

  /** Writes a completion as the driver sees it. What is not valid on an error is zero. */
  #encode(completion: WorkCompletion): void {
    const { offsets } = cqReq;
    const view = this.#view;
    const ok = completion.status === WcStatus.SUCCESS;
    writeId(view, offsets.wr_id, completion.wrId);
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
    if (buffers > this.#mostBuffers) this.#mostBuffers = Math.min(buffers, this.#cqe);
    return buffers;
  }
}
