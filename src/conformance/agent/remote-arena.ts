/** The arena of a machine that an agent holds, read and written by calls or through a file that both sides have. */
import type { Arena } from '../arena.js';
import { BadAnswer, shown } from './broken-line.js';
import { refusalOf } from './session.js';
import type { AgentSession } from './session.js';

/** Bytes that one call moves at most. */
const CALL_BYTES = 256 * 1024;

/** The bytes of an arena; a place and length always lie in it. */
export interface ArenaBytes {
  /** The bytes may be those of the arena itself: they are not to be kept. */
  read(at: number, length: number): Uint8Array;
  write(at: number, bytes: Uint8Array): void;
}

export class RemoteArena implements Arena {
  readonly arenaBytes: number;
  readonly #base: number;
  readonly #bytes: ArenaBytes;

  /** @param base address of the first byte */
  constructor(arenaBytes: number, base: number, bytes: ArenaBytes) {
    this.arenaBytes = arenaBytes;
    this.#base = base;
    this.#bytes = bytes;
  }

  arenaAddress(offset: number): number {
    return this.#base + offset;
  }

  readArena(offset: number, length: number): Uint8Array {
    this.#expectInside(offset, length);
    return this.#bytes.read(offset, length).slice();
  }

  writeArena(offset: number, bytes: Uint8Array): void {
    this.#expectInside(offset, bytes.length);
    this.#bytes.write(offset, bytes);
  }

  differenceFrom(at: number, source: Uint8Array, sourceAt: number, length: number): number {
    this.#expectInside(at, length);
    const mine = this.#bytes.read(at, length);
    const theirs = source.subarray(sourceAt, sourceAt + length);
    if (Buffer.compare(mine, theirs) === 0) return -1;
    return mine.findIndex((byte, i) => byte !== theirs[i]);
  }

  differenceFromGuest(at: number, other: Arena, otherAt: number, length: number): number {
    this.#expectInside(at, length);
    const mine = this.#bytes.read(at, length);
    return other.differenceFrom(otherAt, mine, 0, length);
  }

  #expectInside(at: number, length: number): void {
    if (at >= 0 && length >= 0 && at + length <= this.arenaBytes) return;
    throw new RangeError(`arena bytes ${at}..${at + length - 1} of ${this.arenaBytes}`);
  }
}

/** By calls. What was read is kept until something may have changed it. */
export class CalledBytes implements ArenaBytes {
  readonly #session: AgentSession;
  readonly #vm: number;
  readonly #whole: Uint8Array;
  /** The session's changes when all of `#whole` was read. */
  #wholeAt = -1;
  /** The same of the last read of a part, and how many there were since. */
  #partAt = -1;
  #parts = 0;

  constructor(session: AgentSession, vm: number, arenaBytes: number) {
    this.#session = session;
    this.#vm = vm;
    this.#whole = new Uint8Array(arenaBytes);
  }

  read(at: number, length: number): Uint8Array {
    const { changes } = this.#session;
    if (this.#wholeAt === changes) return this.#whole.subarray(at, at + length);
    if (this.#partAt !== changes) this.#parts = 0;
    this.#partAt = changes;
    // Whoever reads a second time reads on.
    if (this.#parts++ === 0 && length * 4 < this.#whole.length) {
      const part = new Uint8Array(length);
      this.#fetch(at, part);
      return part;
    }
    this.#fetch(0, this.#whole);
    this.#wholeAt = changes;
    return this.#whole.subarray(at, at + length);
  }

  write(at: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; done += CALL_BYTES) {
      const part = Buffer.from(bytes.subarray(done, done + CALL_BYTES)).toString('base64');
      this.#session.tell({ vm: this.#vm, call: 'writeMemory', at: at + done, bytes: part });
    }
  }

  #fetch(at: number, target: Uint8Array): void {
    for (let done = 0; done < target.length; done += CALL_BYTES) {
      const length = Math.min(CALL_BYTES, target.length - done);
      target.set(this.#call(at + done, length), done);
    }
  }

  #call(at: number, length: number): Uint8Array {
    return this.#session.data({ vm: this.#vm, call: 'readMemory', at, length }, result => {
      if (refusalOf(result, 'readMemory') !== undefined)
        throw new BadAnswer(`readMemory of bytes inside the arena was refused: ${shown(result)}`);
      const text = result['bytes'];
      const bytes = typeof text === 'string' ? Buffer.from(text, 'base64') : undefined;
      if (bytes?.length === length) return bytes;
      const found = bytes === undefined ? shown(text) : `${bytes.length} bytes`;
      throw new BadAnswer(`readMemory of ${length} bytes was answered with ${found}`);
    });
  }
}
