/**
 * The control queue: one command a step. The readable part is copied once before anything is decided; the answer is the ack
 * and, when the command took effect, its result.
 */
import { Ack, ackHeader, commandHeader, readLe64 } from '../abi/index.js';
import { VerbsError } from '../verbs/index.js';
import type { ControlObserver, DescriptorChain } from '../virtio/index.js';
import type { CommandHandler, CommandTable, PageList } from './command.js';
import { REQUEST_BYTES_MAX, RESULT_BYTES_MAX } from './command-table.js';
import type { DeviceObjects } from './objects.js';
import { QueueWorker } from './queue-worker.js';
import type { LiveQueue } from './queue-worker.js';

/** What the observer is told of a command whose code could not be read. */
export const UNREADABLE_COMMAND = -1;

const NOT_ANSWERED = 0;

export interface ControlQueueInit {
  readonly commands: CommandTable;
  readonly controlClass: number;
  readonly controlObserver: ControlObserver | undefined;
}

export class ControlQueue extends QueueWorker {
  readonly #objects: DeviceObjects;
  readonly #handlerOf: CommandTable;
  readonly #controlClass: number;
  readonly #observer: ControlObserver | undefined;
  readonly #header = new Uint8Array(commandHeader.size);
  readonly #request = new Uint8Array(REQUEST_BYTES_MAX);
  readonly #requestView = new DataView(this.#request.buffer);
  readonly #answer = new Uint8Array(ackHeader.size + RESULT_BYTES_MAX);
  readonly #resultView = new DataView(this.#answer.buffer, ackHeader.size);
  #commands = 0;

  constructor(objects: DeviceObjects, { commands, controlClass, controlObserver }: ControlQueueInit) {
    super(objects.context, objects.context.queueMap.control);
    this.#objects = objects;
    this.#handlerOf = commands;
    this.#controlClass = controlClass;
    this.#observer = controlObserver;
  }

  protected override step({ queue, chain }: LiveQueue): void {
    queue.disableNotifications();
    if (queue.take(chain) === 'chain') {
      const written = this.#answerTo(chain);
      if (this.context.stopped()) return;
      queue.putUsed(chain.head, written);
      this.notifyIfWanted(queue);
    } else if (this.checkBroken(queue) || !this.rest(queue)) return;
    this.wake();
  }

  /** Carries out the command in `chain` and writes its answer. Returns the bytes written. */
  #answerTo(chain: DescriptorChain): number {
    if (chain.writableBytes === 0) return NOT_ANSWERED;
    const headerBytes = chain.copyReadable(0, this.#header, 0, commandHeader.size);
    const complete = headerBytes === commandHeader.size;
    const code = complete ? this.#header[commandHeader.offsets.command] : UNREADABLE_COMMAND;
    const id = this.#commands++;
    this.#observer?.command(id, code);
    const ofOurClass = complete && this.#header[commandHeader.offsets.class] === this.#controlClass;
    const handler = ofOurClass ? this.#handlerOf(code) : undefined;
    const done = handler !== undefined && this.#carryOut(handler, chain);
    const ack = done ? Ack.OK : Ack.ERR;
    const length = done ? ackHeader.size + handler.resultBytes : ackHeader.size;
    this.#answer[ackHeader.offsets.ack] = ack;
    if (!this.context.stopped()) {
      chain.writeWritable(0, this.#answer, 0, length);
      this.#observer?.answer(id, code, ack);
    }
    return length;
  }

  #carryOut(handler: CommandHandler, chain: DescriptorChain): boolean {
    const { requestBytes, resultBytes } = handler;
    if (chain.readableBytes < commandHeader.size + requestBytes) return false;
    if (chain.writableBytes < ackHeader.size + resultBytes) return false;
    chain.copyReadable(commandHeader.size, this.#request, 0, requestBytes);
    const pages = new ChainPageList(chain, commandHeader.size + requestBytes);
    try {
      return handler.run(this.#objects, this.#requestView, this.#resultView, pages);
    } catch (error) {
      // The HCA refused, and has changed nothing.
      if (error instanceof VerbsError) return false;
      throw error;
    }
  }
}

const ENTRY_BYTES = 8;
/** Entries read from guest memory at one time. */
const ENTRIES_PER_READ = 64;

/** Page addresses from `offset` of a chain's readable part on. */
class ChainPageList implements PageList {
  readonly count: number;
  readonly #chain: DescriptorChain;
  readonly #offset: number;

  constructor(chain: DescriptorChain, offset: number) {
    this.count = Math.floor((chain.readableBytes - offset) / ENTRY_BYTES);
    this.#chain = chain;
    this.#offset = offset;
  }

  read(target: Float64Array): void {
    const bytes = new Uint8Array(ENTRIES_PER_READ * ENTRY_BYTES);
    const view = new DataView(bytes.buffer);
    for (let first = 0; first < target.length; first += ENTRIES_PER_READ) {
      const entries = Math.min(ENTRIES_PER_READ, target.length - first);
      this.#chain.copyReadable(this.#offset + first * ENTRY_BYTES, bytes, 0, entries * ENTRY_BYTES);
      for (let i = 0; i < entries; i++) target[first + i] = readLe64(view, i * ENTRY_BYTES);
    }
  }
}
