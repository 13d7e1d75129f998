/**
 * Control verbs as commands, chapter 5 of the specification. One command at a time is with the device; the verbs behind it
 * wait, and look at their arguments when their turn comes. So no verb ever races with another one's answer.
 */
import { Ack, ackHeader, acks, commandHeader, writeLe64 } from 'vrdma/abi';
import { VerbsError } from 'vrdma/verbs';
import { checkFields } from './fields.js';
import { Broken, honest } from './ring.js';
import { Status, setStatus } from './startup.js';

export class Commands {
  #context;
  #ring;
  #jobs = [];
  /** The job whose command is with the device. */
  #running;
  /** Why the device cannot be used any more. */
  #dead;

  constructor(context) {
    this.#context = context;
  }

  get isDead() {
    return this.#dead !== undefined;
  }

  begin(ring) {
    this.#ring = ring;
  }

  /**
   * Queues a verb. In its turn `plan` checks the arguments and returns an order: `command`, `data` as [codec, fields, page
   * list], `answer` as a codec, what to do when it is `sent`, `done` or `refused`, whether its kind of object is `full`,
   * and the `memory` that a refusal sets free.
   */
  verb(name, plan) {
    return new Promise((resolve, reject) => {
      this.#jobs.push({ name, plan, resolve, reject });
      this.guard(() => this.#pump());
    });
  }

  /** Throws EIO once the device is given up [ERR-26]. */
  alive(verb) {
    if (this.isDead) throw new VerbsError('EIO', verb, this.#dead);
  }

  /** Runs something that looks at what the device wrote; a lie there is the end of it [HOST-28, ERR-25]. */
  guard(run) {
    try {
      run();
    } catch (error) {
      if (!(error instanceof Broken)) throw error;
      setStatus(this.#context.transport, Status.FAILED);
      this.#die(`the device is broken: ${error.message}`);
    }
  }

  takeAnswers() {
    if (this.isDead) return;
    for (let back = this.#ring.take(); back !== undefined; back = this.#ring.take()) {
      this.#settle(back.token, back.written);
      this.#pump();
    }
  }

  lookAtStatus() {
    const needsReset = (this.#context.transport.readStatus() & Status.NEEDS_RESET) !== 0;
    if (needsReset && !this.isDead) this.#die('the device needs a reset');
  }

  #pump() {
    while (this.#running === undefined && this.#jobs.length > 0) {
      const job = this.#jobs.shift();
      try {
        this.alive(job.name);
        job.order = job.plan(job.name);
        this.#send(job);
      } catch (error) {
        this.#freeMemory(job);
        job.reject(error);
      }
    }
  }

  /** Header, data and page list in one readable descriptor; acknowledgement and result in one writable one. */
  #send(job) {
    const { os, profile } = this.#context;
    const { command, data = [], answer, sent } = job.order;
    const [codec, fields, pages = []] = data;
    if (codec !== undefined) checkFields(job.name, codec, fields);
    const pagesAt = commandHeader.size + (codec?.size ?? 0);
    job.answerAt = pagesAt + 8 * pages.length;
    const length = ackHeader.size + (answer?.size ?? 0);
    job.buffer = os.allocDma(job.answerAt + length, 8);
    const { address, view } = job.buffer;
    commandHeader.encode(view, 0, { class: profile.controlClass, command });
    codec?.encode(view, commandHeader.size, fields);
    for (const [i, page] of pages.entries()) writeLe64(view, pagesAt + 8 * i, page);
    this.#ring.add(job, { address, length: job.answerAt }, { address: address + job.answerAt, length });
    this.#running = job;
    sent?.();
    this.#ring.publish();
  }

  /** Checks an answer [HOST-10 to HOST-12] and settles its verb. */
  #settle(job, written) {
    const { answer, done, refused, full } = job.order;
    const copy = job.buffer.bytes.slice(job.answerAt);
    const accepted = copy[0] === Ack.OK;
    honest(written > 0 && acks.nameOf(copy[0]) !== undefined, 'an acknowledgement that cannot be');
    honest(!accepted || written === copy.length, 'an answer of another length');
    const result = accepted ? done?.(answer?.decode(new DataView(copy.buffer), 1)) : refused?.();
    this.#context.os.freeDma(job.buffer);
    this.#running = undefined;
    if (accepted) job.resolve(result);
    else {
      this.#freeMemory(job);
      job.reject(new VerbsError(full ? 'ENOMEM' : 'EINVAL', job.name, 'the device refuses it'));
    }
  }

  #freeMemory({ order }) {
    if (order?.memory !== undefined) this.#context.os.freeDma(order.memory);
  }

  #die(reason) {
    this.#dead = reason;
    const pending = [this.#running, ...this.#jobs].filter(job => job !== undefined);
    this.#running = undefined;
    this.#jobs = [];
    for (const { name, reject } of pending) reject(new VerbsError('EIO', name, reason));
  }
}
