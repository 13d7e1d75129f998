/** The worker's view of a device that the command line has started: how it ended, and how it is started again. */
import { constants } from 'node:os';
import { DeviceSignal } from './device-process.js';

/** How long the other thread may take to start a device, or to learn that it has ended. */
const START_MS = 10_000;
const END_MS = 500;

export class DeviceWatch {
  readonly #signals: Int32Array;
  readonly #ask: (hung: boolean) => void;

  /** `ask` tells the thread that has the device to start it again. */
  constructor(shared: SharedArrayBuffer, ask: (hung: boolean) => void) {
    this.#signals = new Int32Array(shared);
    this.#ask = ask;
  }

  /** Blocks until the device has been started again. It may take a moment more until it listens. */
  restart(hung: boolean): void {
    const before = Atomics.load(this.#signals, DeviceSignal.starts);
    this.#ask(hung);
    Atomics.wait(this.#signals, DeviceSignal.starts, before, START_MS);
  }

  /** How the device ended, in words; waits a moment for that. */
  howItEnded(): string {
    Atomics.wait(this.#signals, DeviceSignal.running, 1, END_MS);
    if (Atomics.load(this.#signals, DeviceSignal.running) === 1) return 'its process goes on';
    const signal = Atomics.load(this.#signals, DeviceSignal.signal);
    const name = Object.entries(constants.signals).find(([, number]) => number === signal)?.[0];
    if (name !== undefined) return `its process ended with ${name}`;
    return `its process ended with exit code ${Atomics.load(this.#signals, DeviceSignal.exitCode)}`;
  }
}
