/** The program's memory on one machine, wherever that is: in the kit, or with an agent in another process. */
export interface Arena {
  /** Whole pages. */
  readonly arenaBytes: number;
  /** Virtual address of a byte of the arena; any integer is taken, so that a program can miss its arena. */
  arenaAddress(offset: number): number;
  /** Copies arena bytes [offset, offset+length) out. Throws RangeError outside the arena. */
  readArena(offset: number, length: number): Uint8Array;
  /** Copies bytes into the arena. Throws RangeError outside the arena. */
  writeArena(offset: number, bytes: Uint8Array): void;
  /** The first of `length` bytes from arena byte `at` on that is not as in `source` from `sourceAt` on, counted from 0; -1: none. */
  differenceFrom(at: number, source: Uint8Array, sourceAt: number, length: number): number;
  /** The same against the arena of another machine. */
  differenceFromGuest(at: number, other: Arena, otherAt: number, length: number): number;
}
