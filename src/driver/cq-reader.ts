/**
 * The memory and ring of one completion queue. Buffers of 48 bytes stand in the ring, one for each entry; the device fills
 * one a completion. An entry is copied once, judged, and its buffer goes back into the ring when the program has polled it.
 *
 * When a queue pair is destroyed or reset, what it has completed is still in the ring, and its number may be given away at
 * once. So the ring is harvested in that step: entries are judged while their queue pair is known and wait in `#harvest`.
 */
import { WcStatus, cqReq, readLe64, wcFlags, wcOpcodes, wcStatuses } from '../abi/index.js';
import type { WcOpcode } from '../abi/index.js';
import { emptyCompletion } from '../verbs/index.js';
import type { VerbsError, WorkCompletion } from '../verbs/index.js';
import type { DriverQueue, UsedElement } from '../virtio/index.js';
import type { DmaBuffer } from './guest-os.js';
import type { Session } from './session.js';

const { offsets, size: ENTRY_BYTES } = cqReq;
const KNOWN_FLAGS = wcFlags.names.reduce((mask, name) => mask | wcFlags.values[name], 0);

/** Judges an entry against what was posted. Returns what is wrong with it. */
export type CompletionJudge = (completion: WorkCompletion) => string | undefined;

/** A copied entry whose buffer is not back in the ring yet. */
interface Harvested {
  readonly token: number;
  readonly completion: WorkCompletion;
}

export class CqReader {
  readonly #session: Session;
  readonly #queue: DriverQueue;
  readonly #memory: DmaBuffer;
  readonly #judge: CompletionJudge;
  readonly #used: UsedElement = { token: 0, written: 0 };
  #harvest: Harvested[] = [];

  /** `memory` holds the buffers, 48 bytes an entry. */
  constructor(session: Session, queue: DriverQueue, memory: DmaBuffer, judge: CompletionJudge) {
    this.#session = session;
    this.#queue = queue;
    this.#memory = memory;
    this.#judge = judge;
  }

  /** Puts all `cqe` buffers into the ring. Returns why that is impossible. */
  fill(cqe: number): string | undefined {
    for (let entry = 0; entry < cqe; entry++) {
      if (!this.#recycle(entry)) return this.#queue.broken ?? `its ring holds old buffers`;
    }
    this.#publish();
    return undefined;
  }

  /** Fills up to `max` completions, oldest first, and returns how many. Throws EIO when the device broke a rule. */
  poll(completions: readonly WorkCompletion[], max: number): number {
    const limit = Math.min(max, completions.length);
    let count = this.#harvest.length > 0 ? this.#takeHarvested(completions, limit) : 0;
    let recycled = count;
    while (count < limit && this.#queue.takeUsed(this.#used)) {
      const { token } = this.#used;
      const fault = this.#read(completions[count]);
      if (fault !== undefined) return this.#giveUp(fault, count);
      this.#recycle(token);
      count++;
      recycled++;
    }
    if (this.#queue.broken !== undefined) return this.#giveUp(this.#queue.broken, count);
    if (recycled > 0) this.#publish();
    return count;
  }

  /** Copies and judges every entry that is in the ring now. The buffers stay away from the device until they are polled. */
  harvest(): VerbsError | undefined {
    while (this.#queue.takeUsed(this.#used)) {
      const completion = emptyCompletion();
      const { token } = this.#used;
      const fault = this.#read(completion);
      if (fault !== undefined) return this.#session.fault('pollCq', fault);
      this.#harvest.push({ token, completion });
    }
    if (this.#queue.broken !== undefined) return this.#session.fault('pollCq', this.#queue.broken);
    return undefined;
  }

  /** After DESTROY_CQ: takes all buffers back and frees them. Returns what is wrong when the device kept some. */
  close(): string | undefined {
    while (this.#queue.takeUsed(this.#used)) {
      // Completions that nobody polled go with the queue, and empty buffers carry nothing.
    }
    this.#harvest = [];
    if (this.#queue.broken !== undefined) return this.#queue.broken;
    if (this.#queue.outstanding > 0) return `${this.#queue.outstanding} buffers were not returned`;
    this.#session.free(this.#memory);
    return undefined;
  }

  #takeHarvested(completions: readonly WorkCompletion[], limit: number): number {
    const count = Math.min(limit, this.#harvest.length);
    for (let i = 0; i < count; i++) {
      const { token, completion } = this.#harvest[i];
      Object.assign(completions[i], completion);
      this.#recycle(token);
    }
    this.#harvest.splice(0, count);
    return count;
  }

  /** Copies the entry just taken; reads each field once. */
  #read(into: WorkCompletion): string | undefined {
    const { token, written } = this.#used;
    if (written !== ENTRY_BYTES) return `completion of ${written} bytes, expected ${ENTRY_BYTES}`;
    const { view } = this.#memory;
    const at = token * ENTRY_BYTES;
    const status = view.getUint8(at + offsets.status);
    if (!isStatus(status)) return `completion with unknown status ${status}`;
    into.wrId = readLe64(view, at + offsets.wr_id);
    into.status = status;
    into.qpNum = view.getUint32(at + offsets.qp_num, true);
    into.vendorErr = view.getUint32(at + offsets.vendor_err, true);
    if (status !== WcStatus.SUCCESS) {
      into.opcode = 0;
      into.byteLen = 0;
      into.immData = 0;
      into.srcQp = 0;
      into.wcFlags = 0;
      return this.#judge(into);
    }
    const opcode = view.getUint8(at + offsets.opcode);
    if (!isOpcode(opcode)) return `completion with unknown opcode ${opcode}`;
    const flags = view.getUint32(at + offsets.wc_flags, true);
    if ((flags & ~KNOWN_FLAGS) !== 0) return `completion with unknown flags ${flags}`;
    into.opcode = opcode;
    into.wcFlags = flags;
    into.byteLen = view.getUint32(at + offsets.byte_len, true);
    into.immData = view.getUint32(at + offsets.imm_data, false);
    into.srcQp = view.getUint32(at + offsets.src_qp, true);
    return this.#judge(into);
  }

  #recycle(token: number): boolean {
    const queue = this.#queue;
    queue.begin();
    queue.addWritable(this.#memory.address + token * ENTRY_BYTES, ENTRY_BYTES);
    return queue.commit(token);
  }

  #publish(): void {
    if (this.#queue.publish()) this.#session.notify(this.#queue);
  }

  /** What was taken before the fault is sound and is delivered; the next call throws. */
  #giveUp(reason: string, count: number): number {
    const error = this.#session.fault('pollCq', reason);
    if (count === 0) throw error;
    return count;
  }
}

function isStatus(value: number): value is WcStatus {
  return value < wcStatuses.names.length;
}
function isOpcode(value: number): value is WcOpcode {
  return value < wcOpcodes.names.length;
}
