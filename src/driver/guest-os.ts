/**
 * What the driver needs of an operating system, and nothing more: memory that the device can reach, address translation,
 * and a way to run work later. Put it on another system by implementing this port.
 */

/** Memory that driver and device share. It does not move and is never paged out. */
export interface DmaBuffer {
  /** Guest-physical address of the first byte; the bytes are contiguous there. */
  readonly address: number;
  readonly bytes: Uint8Array;
  /** The same bytes. */
  readonly view: DataView;
}

/** A piece of work. The object is reused: it is deferred as often as there is something to do. */
export interface Task {
  run(): void;
}

export interface GuestOs {
  /**
   * Takes `bytes` (1 or more) of memory at a multiple of `alignment`, a power of two. The contents are undefined. Throws
   * VerbsError ENOMEM when there is no room.
   */
  allocDma(bytes: number, alignment: number): DmaBuffer;
  freeDma(buffer: DmaBuffer): void;
  /**
   * Guest-physical address of one byte of the program's memory. The byte's page stays at its place, and in the program's use,
   * until it has been released as often as it was translated. Throws VerbsError EFAULT when it is not mapped.
   */
  translate(virtualAddress: number): number;
  /** Takes back one `translate` of the same address: the device cannot reach the page through it any more. */
  releasePage(virtualAddress: number): void;
  /** Runs the task soon, not now: the bottom half of an interrupt. A task deferred twice runs twice. */
  defer(task: Task): void;
}
