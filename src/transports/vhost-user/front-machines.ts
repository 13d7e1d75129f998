/**
 * The machines of a world whose devices are in another process: their memory, their connections, and the waiting. The kit
 * calls it in a thread that may block. A device that is gone is connected to again when the next world begins.
 */
import { ConnectionEnded } from './connection.js';
import { EventSet } from './event-set.js';
import { FrontDevice } from './front-device.js';
import { FrontEnd } from './front-end.js';
import type { FrontQueue } from './front-queue.js';
import { SystemError } from './native.js';
import type { PeerOptions } from './peer-options.js';
import { MemoryFile } from './shared-memory.js';
import { whyNotThere } from './socket-path.js';

/** What a right device comes to, by machine. */
export interface DueNow {
  readonly completions: readonly number[];
  readonly events: readonly number[];
}

export interface FrontMachinesInit {
  /** Path of the socket; `{vm}` in it stands for the number of the machine. */
  readonly path: string;
  readonly options: PeerOptions;
  readonly deviceId: number;
  readonly configBytes: number;
  /** Guest-physical address of every machine's memory. */
  readonly guestBase: number;
  /** What is thrown in place of an error by which a connection has ended. */
  fault(why: Error): Error;
  /** Starts the device again, if it is in our hands; `hung`: it must be ended first. */
  restart?(hung: boolean): void;
  /** A sign of life, for whoever watches. */
  beat(): void;
}

/** Who is told when a device may begin to act, and when it has called. */
export interface Turns {
  telling(): void;
  called(): void;
}

/** The queues of a device, when they are known. */
export interface FrontQueues {
  readonly count: number;
  readonly control: number;
  /** Those that bring completions. */
  readonly completion: readonly number[];
  /** Entries of each at most. */
  readonly size: number;
}

/** Nobody listens at a path; the message does not name it again. */
export class NobodyThere extends Error {
  readonly code = 'ERR_VHOST_USER_NOBODY';
  /** Somebody did before. */
  readonly gone: boolean;

  constructor(message: string, gone: boolean) {
    super(message);
    this.gone = gone;
  }
}

const MEMORY_BYTES_MIN = 1 << 20;
/** After so long without what is due, the device is asked whether it has given up. */
const ASK_MS = 5;
const RETRY_MS = 20;

export class FrontMachines {
  readonly #init: FrontMachinesInit;
  readonly #options: PeerOptions;
  readonly #events = new EventSet();
  readonly #devices: (FrontDevice | undefined)[] = [];
  readonly #files: MemoryFile[] = [];
  readonly #retired: MemoryFile[] = [];
  #queues: FrontQueues = { count: 1, control: -1, completion: [], size: 1 };
  /** Queues to be kicked, in order, each with its machine. */
  readonly #kicks = new Map<FrontQueue, number>();
  #taken = 0;
  #bytes = 0;
  #machines = 0;
  #turns: Turns | undefined;
  #failed: Error | undefined;
  /** A device was there. */
  #met = false;
  /** What was due and did not come, by machine: nobody waits for it twice. */
  #missing: { readonly completions: number[]; readonly events: number[] } = { completions: [], events: [] };
  /** Times that something due did not come in time. */
  overdue = 0;
  /** A device that was there could not be connected to again. */
  gone = false;

  constructor(init: FrontMachinesInit) {
    this.#init = init;
    this.#options = init.options;
  }

  /** What the devices are like. Those there are end. */
  useQueues(queues: FrontQueues): void {
    this.#closeDevices();
    this.#queues = queues;
  }

  // ---------------------------------------------------------------- worlds

  /** A world of so many machines begins. Throws what `fault` makes of a device that is not there. */
  begin(machines: number): void {
    this.#turns = undefined;
    this.#kicks.clear();
    this.#taken = 0;
    this.#machines = machines;
    this.#missing = { completions: [], events: [] };
    if (this.#failed !== undefined) this.#startAgain(this.#failed);
    try {
      for (const device of this.#devices)
        if (device !== undefined && device.status !== 0) device.writeStatus(0);
    } catch (error) {
      this.#startAgain(error);
    }
    for (const file of this.#retired.splice(0)) file.close();
  }

  watchTurns(turns: Turns): void {
    this.#turns = turns;
  }

  #startAgain(error: unknown): void {
    this.#failed = undefined;
    this.#closeDevices();
    this.#init.restart?.(error instanceof ConnectionEnded && error.kind === 'timeout');
  }

  // ---------------------------------------------------------------- memory

  sizeFor(bytes: number): number {
    let size = MEMORY_BYTES_MIN;
    while (size < bytes) size *= 2;
    return size;
  }

  /** Zeroed memory for the next machine, which the device of that machine shares. */
  take(bytes: number): Uint8Array {
    const slot = this.#taken++;
    let file = this.#files[slot] as MemoryFile | undefined;
    if (file === undefined || file.bytes.length < bytes) {
      if (file !== undefined) this.#retired.push(file);
      file = new MemoryFile(`vrdma machine ${slot}`, this.sizeFor(bytes));
      this.#files[slot] = file;
    }
    this.#bytes = bytes;
    return file.bytes.subarray(0, bytes).fill(0);
  }

  /** Memory belongs to a machine's number, and is used again by the next world. */
  give(): void {}

  /** The device of the machine whose memory was taken last. */
  device(vm: number): FrontDevice {
    const found = this.#devices[vm] ?? (this.#devices[vm] = this.#newDevice(vm));
    const file = this.#files[this.#taken - 1];
    found.useMemory({ file, bytes: this.#bytes, address: this.#init.guestBase });
    return found;
  }

  #newDevice(vm: number): FrontDevice {
    const { deviceId, configBytes } = this.#init;
    const { count, control, completion, size } = this.#queues;
    return new FrontDevice({
      deviceId,
      configBytes,
      queueCount: count,
      controlQueue: control,
      completionQueues: new Set(completion),
      queueSize: size,
      options: this.#options,
      events: this.#events,
      connect: () => this.connect(vm),
      beforeTelling: () => this.#turns?.telling(),
      beforeCall: () => this.#turns?.called(),
      kick: queue => this.#kicks.set(queue, vm),
    });
  }

  /** A connection for a machine. Tries for as long as a device may take to listen. */
  connect(vm: number): FrontEnd {
    const path = this.#init.path.replaceAll('{vm}', String(vm));
    const { reconnectMs, connectMs } = this.#options;
    const comesBack = this.#met || this.#init.restart !== undefined;
    const deadlineMs = performance.now() + (comesBack ? reconnectMs : connectMs);
    for (;;) {
      try {
        const front = FrontEnd.connect(path, { ...this.#options, fault: why => this.#fault(why) });
        this.#met = true;
        return front;
      } catch (error) {
        if (!(error instanceof SystemError)) throw error;
        const waits = ['ENOENT', 'ECONNREFUSED', 'EAGAIN'].includes(error.code);
        if (!waits || performance.now() > deadlineMs) {
          this.gone = true;
          throw this.#fault(new NobodyThere(whyNotThere(path, error), this.#met));
        }
        this.#init.beat();
        Atomics.wait(nobody, 0, 0, RETRY_MS);
      }
    }
  }

  #fault(why: Error): Error {
    const made = this.#init.fault(why);
    this.#failed ??= why;
    return made;
  }

  // ---------------------------------------------------------------- waiting

  /** Takes up what has come meanwhile. Throws what `fault` makes of a device that is gone. */
  poll(): boolean {
    this.#sendKicks();
    let came = false;
    for (const device of this.#devices) if (device?.look() === true) came = true;
    return this.#events.wait(0) > 0 || came;
  }

  /**
   * Sends the kicks that were held back. What a driver does in one go must look so to a device that sleeps: it may not be done
   * with the first of three requests when the third is posted. What two machines did in turn comes in turn.
   */
  #sendKicks(): void {
    if (this.#kicks.size === 0) return;
    let last: number | undefined;
    for (const [queue, vm] of this.#kicks) {
      if (last !== undefined && vm !== last)
        for (let round = 0; round < this.#options.barriers; round++) this.#askAll();
      queue.signalKick();
      last = vm;
    }
    this.#kicks.clear();
  }

  /** Waits until something comes (true) or the devices are at rest (false). */
  rest(due?: DueNow, seenEvents?: () => readonly number[]): boolean {
    if (this.poll()) return true;
    const told = this.#devices.some(device => device?.told === true);
    if (!told && !this.#isDue(due, seenEvents)) return false;
    if (this.#awaitDue(due, seenEvents)) return true;
    if (this.#awaitCall()) return true;
    const unsure = this.#devices.some(device => device?.kicked === true || device?.callDue === true);
    if (unsure || due === undefined) {
      for (let round = 0; round < this.#options.barriers; round++) {
        this.#askAll();
        if (this.poll()) return true;
      }
      if (this.#quiet(this.#options.quietMs)) return true;
    }
    for (const device of this.#devices) {
      if (device === undefined) continue;
      device.told = false;
      device.kicked = false;
      device.forgiveCall();
    }
    return false;
  }

  /** Waits for what somebody knows to be due, and it is not known here what it is. True: something has come. */
  linger(): boolean {
    this.#init.beat();
    return this.#quiet(this.#options.answerMs);
  }

  /** Waits for what is known to be due. True: something has come; false: nothing is due, or it does not come. */
  #awaitDue(due: DueNow | undefined, seenEvents: (() => readonly number[]) | undefined): boolean {
    const { answerMs, spinUs } = this.#options;
    const startedMs = performance.now();
    let askAtMs = ASK_MS;
    while (this.#isDue(due, seenEvents)) {
      const passedMs = performance.now() - startedMs;
      if (passedMs > answerMs) {
        this.overdue++;
        this.#forgive(due, seenEvents);
        return false;
      }
      if (passedMs > askAtMs) {
        askAtMs *= 4;
        this.#askAll();
      } else if (passedMs * 1000 > spinUs && this.#events.wait(1) > 0) return true;
      this.#init.beat();
      if (this.poll()) return true;
    }
    return false;
  }

  /** An answer is written a moment before the device calls. */
  #awaitCall(): boolean {
    const endMs = performance.now() + this.#options.spinUs / 1000;
    while (this.#devices.some(device => device?.callDue === true) && performance.now() < endMs)
      if (this.poll()) return true;
    return false;
  }

  #isDue(due: DueNow | undefined, seenEvents: (() => readonly number[]) | undefined): boolean {
    for (let vm = 0; vm < this.#machines; vm++) {
      const device = this.#devices[vm];
      if (device === undefined) continue;
      if (device.unanswered > 0) return true;
      if (due !== undefined && due.completions[vm] - (this.#missing.completions[vm] ?? 0) > this.#filled(vm))
        return true;
    }
    if (due === undefined || seenEvents === undefined) return false;
    const seen = seenEvents();
    return due.events.some((count, vm) => count - (this.#missing.events[vm] ?? 0) > seen[vm]);
  }

  #filled(vm: number): number {
    return this.#devices[vm]?.filledOf(this.#queues.completion) ?? 0;
  }

  #forgive(due: DueNow | undefined, seenEvents: (() => readonly number[]) | undefined): void {
    for (const device of this.#devices) if ((device?.unanswered ?? 0) > 0) device?.giveUpAnswers();
    if (due === undefined) return;
    const seen = seenEvents?.() ?? due.events;
    this.#missing = {
      completions: due.completions.map((count, vm) => Math.max(0, count - this.#filled(vm))),
      events: due.events.map((count, vm) => Math.max(0, count - seen[vm])),
    };
  }

  /** Asks every device something and waits for the answers: each has read by then what it was told before. */
  #askAll(): void {
    const asked = this.#devices.filter(device => device?.front.failure === undefined);
    for (const device of asked) device?.front.barrier();
    for (const device of asked) {
      const status = device?.front.awaitBarrier();
      if (status !== undefined) device?.noteStatus(status);
    }
  }

  #quiet(quietMs: number): boolean {
    const endMs = performance.now() + quietMs;
    for (let leftMs = quietMs; leftMs > 0; leftMs = endMs - performance.now()) {
      if (this.#events.wait(leftMs < 1 ? 0 : 1) > 0 || this.poll()) return true;
    }
    return false;
  }

  #closeDevices(): void {
    for (const device of this.#devices.splice(0)) device?.close();
  }

  close(): void {
    this.#closeDevices();
    for (const file of [...this.#files.splice(0), ...this.#retired.splice(0)]) file.close();
    this.#events.close();
  }
}

/** Nobody ever wakes who waits here. */
const nobody = new Int32Array(new SharedArrayBuffer(4));
