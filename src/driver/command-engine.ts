/**
 * The asynchronous command engine. Each command in flight has a slot of its own: its own part of DMA memory, its own answer bytes
 * and its own continuation, found by the token of the used element. So answers may come in any order, and no answer can be
 * taken for another's. Commands wait in order when all slots are taken.
 *
 * An answer is copied once, then judged: the length the device claims, the ack byte, then the result. What is wrong with
 * it gives the device up.
 */
import { Ack, commandHeader, commands } from '../abi/index.js';
import type { Command, Struct } from '../abi/index.js';
import type { VerbsError } from '../verbs/index.js';
import type { DriverQueue, UsedElement } from '../virtio/index.js';
import type { DmaBuffer } from './guest-os.js';
import { COMMAND_PARTS } from './queues.js';
import type { Session } from './session.js';

/** Most slots; the control queue may have room for fewer. */
const SLOTS_MAX = 16;

/** Layout of a slot's memory; each part has its own descriptor. */
const HEADER = 0;
const DATA = 8;
const DATA_BYTES = 128;
const ACK = DATA + DATA_BYTES;
const RESULT = ACK + 8;
const RESULT_BYTES = 128;
const SLOT_BYTES = RESULT + RESULT_BYTES;

/** What the ack byte holds while the device has not written it. */
const NO_ACK = 0xff;

/** A command with what happens when its answer is seen, in that very step. */
export interface CommandCall<T> {
  readonly verb: string;
  readonly code: Command;
  /** Command data that fits a slot. */
  readonly data?: CommandData | undefined;
  /** Command data in memory of the caller's own, from its first byte on; replaces `data`. */
  readonly longData?: { readonly buffer: DmaBuffer; readonly bytes: number };
  readonly resultBytes: number;
  /** The command took effect. The view is a private copy, valid during the call. May throw the error of `session.fault`. */
  accept(result: DataView): T;
  /** The command was refused; gives the error of the verb. */
  refused(): VerbsError;
}

export interface CommandData {
  readonly bytes: number;
  encode(view: DataView, offset: number): void;
}

/** Command data as a struct. */
export function structData<V>(layout: Struct<V>, value: Readonly<V>): CommandData {
  return { bytes: layout.size, encode: (view, offset) => layout.encode(view, offset, value) };
}

/** A call together with its promise; the type of the result is known to the closures only. */
interface Pending {
  readonly id: number;
  readonly verb: string;
  readonly code: Command;
  readonly data: CommandData | undefined;
  readonly longData: { readonly buffer: DmaBuffer; readonly bytes: number } | undefined;
  readonly resultBytes: number;
  settle(ok: boolean, result: DataView): void;
  reject(error: VerbsError): void;
}

/** One slot. */
interface Slot {
  /** Where its part of the engine's memory begins. */
  readonly at: number;
  pending: Pending | undefined;
}

export class CommandEngine {
  readonly #session: Session;
  readonly #queue: DriverQueue;
  readonly #memory: DmaBuffer;
  readonly #slots: readonly Slot[];
  readonly #free: number[] = [];
  /** Commands without a slot, oldest first. */
  readonly #waiting: Pending[] = [];
  readonly #used: UsedElement = { token: 0, written: 0 };
  /** Private copy of ack and result. */
  readonly #answer = new Uint8Array(1 + RESULT_BYTES);
  readonly #result = new DataView(this.#answer.buffer, 1);
  readonly #polling: boolean;
  #nextId = 0;
  #draining = false;

  constructor(session: Session, queue: DriverQueue) {
    this.#session = session;
    this.#queue = queue;
    const room = session.features.indirect ? queue.size : Math.floor(queue.size / COMMAND_PARTS);
    if (room < 1) {
      throw session.fault(
        'start',
        `the control queue has ${queue.size} entries, but a command needs ${COMMAND_PARTS} of them`,
      );
    }
    const slots = Math.min(SLOTS_MAX, room);
    this.#memory = session.alloc(slots * SLOT_BYTES, 8);
    this.#slots = Array.from({ length: slots }, (_, slot) => ({ at: slot * SLOT_BYTES, pending: undefined }));
    for (let slot = this.#slots.length - 1; slot >= 0; slot--) this.#free.push(slot);
    this.#polling = session.options.controlMode === 'polling';
    if (this.#polling) queue.disableInterrupts();
    else queue.enableInterrupts();
  }

  /** Commands with the device and commands that wait. */
  get outstanding(): number {
    return this.#slots.length - this.#free.length + this.#waiting.length;
  }

  /** Sends a command, or queues it. The promise settles as `accept` and `refused` say, or rejects with EIO. */
  run<T>(call: CommandCall<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const { verb, code, data, longData, resultBytes } = call;
      const settle = (ok: boolean, result: DataView): void => {
        try {
          if (ok) resolve(call.accept(result));
          else reject(call.refused());
        } catch (error) {
          // Only the error of `session.fault` belongs to this verb; whatever else was thrown is a defect and goes up.
          if (this.#session.failure === undefined) throw error;
          reject(this.#session.failed(verb));
        }
      };
      const pending = { id: this.#nextId++, verb, code, data, longData, resultBytes, settle, reject };
      if (this.#session.failure !== undefined) reject(this.#session.failed(verb));
      else {
        this.#waiting.push(pending);
        this.#sendWaiting();
      }
    });
  }

  /** Looks at every answer that is there, until none is left and the queue will interrupt for the next one. */
  drain(): void {
    this.#guarded(() => {
      do {
        if (!this.#polling) this.#queue.disableInterrupts();
        this.#takeAnswers();
        if (this.#session.failure !== undefined) return;
        // Arm, then look again: an answer that came in between raises no interrupt.
      } while (!this.#polling && this.#queue.enableInterrupts());
      if (this.#queue.broken !== undefined) this.#session.fault('control queue', this.#queue.broken);
    });
  }

  /** Rejects everything that is in flight or waits; called when the device is given up or reset. */
  abandon(error: (verb: string) => VerbsError): void {
    for (const slot of this.#slots) {
      const { pending } = slot;
      slot.pending = undefined;
      pending?.reject(error(pending.verb));
    }
    for (const pending of this.#waiting.splice(0)) pending.reject(error(pending.verb));
  }

  /** A continuation may submit a command, and so come back here; the outer call goes on taking answers. */
  #guarded(work: () => void): void {
    if (this.#draining || this.#session.failure !== undefined) return;
    this.#draining = true;
    try {
      work();
    } finally {
      this.#draining = false;
    }
  }

  #takeAnswers(): void {
    while (this.#queue.takeUsed(this.#used)) {
      const { token, written } = this.#used;
      const slot = this.#slots[token];
      const { pending } = slot;
      if (pending === undefined) return;
      const fault = this.#readAnswer(slot.at, pending, written);
      const ack = this.#answer[0];
      slot.pending = undefined;
      this.#free.push(token);
      if (fault !== undefined) {
        pending.reject(this.#session.fault(pending.verb, `${commandName(pending.code)}: ${fault}`));
        return;
      }
      this.#session.options.controlObserver?.answer(pending.id, pending.code, ack);
      pending.settle(ack === Ack.OK, this.#result);
      if (this.#session.failure !== undefined) return;
      this.#sendWaiting();
    }
    if (this.#queue.broken !== undefined) this.#session.fault('control queue', this.#queue.broken);
  }

  /** Copies the answer once. Returns what is wrong with it. */
  #readAnswer(at: number, pending: Pending, written: number): string | undefined {
    const { bytes } = this.#memory;
    const answer = this.#answer;
    answer[0] = bytes[at + ACK];
    for (let i = 0; i < pending.resultBytes; i++) answer[1 + i] = bytes[at + RESULT + i];
    const ack = answer[0];
    if (written < 1) return 'answer without an ack byte';
    if (ack === Ack.ERR) return undefined;
    if (ack !== Ack.OK) return `ack byte ${ack} is neither OK nor ERR`;
    const expected = 1 + pending.resultBytes;
    return written === expected ? undefined : `answer of ${written} bytes, expected ${expected}`;
  }

  #sendWaiting(): void {
    let sent = false;
    while (this.#waiting.length > 0 && this.#free.length > 0) {
      const pending = this.#waiting.shift();
      const index = this.#free.pop();
      if (pending === undefined || index === undefined) break;
      if (!this.#send(index, pending)) return;
      sent = true;
    }
    if (sent && this.#queue.publish()) this.#session.notify(this.#queue);
  }

  #send(index: number, pending: Pending): boolean {
    const { at } = this.#slots[index];
    const { view } = this.#memory;
    const address = this.#memory.address + at;
    const { profile, controlObserver } = this.#session.options;
    commandHeader.encode(view, at + HEADER, { class: profile.controlClass, command: pending.code });
    view.setUint8(at + ACK, NO_ACK);
    const queue = this.#queue;
    queue.begin();
    queue.addReadable(address + HEADER, commandHeader.size);
    if (pending.longData !== undefined) {
      queue.addReadable(pending.longData.buffer.address, pending.longData.bytes);
    } else if (pending.data !== undefined) {
      pending.data.encode(view, at + DATA);
      queue.addReadable(address + DATA, pending.data.bytes);
    }
    queue.addWritable(address + ACK, 1);
    if (pending.resultBytes > 0) queue.addWritable(address + RESULT, pending.resultBytes);
    if (!queue.commit(index, true)) {
      pending.reject(
        this.#session.fault(pending.verb, queue.broken ?? 'the control queue has no room for a command'),
      );
      return false;
    }
    this.#slots[index].pending = pending;
    controlObserver?.command(pending.id, pending.code);
    return true;
  }
}

function commandName(code: Command): string {
  return commands.nameOf(code) ?? `command ${code}`;
}
