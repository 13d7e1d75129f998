/**
 * A device that the command line starts itself. It is started again when it has ended or must be ended, and is always ended
 * with the check. The worker that judges it may be blocked meanwhile, so the two meet in shared memory.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, lstatSync, openSync, unlinkSync } from 'node:fs';
import { constants } from 'node:os';
import { CliError, ExitCode } from './exit-code.js';

/** Places in the shared array. */
export const DeviceSignal = {
  /** Counts the starts. */
  starts: 0,
  /** 1 while the process runs. */
  running: 1,
  /** How it ended last: its exit code, or the number of the signal; the other is -1. */
  exitCode: 2,
  signal: 3,
} as const;
const DEVICE_SIGNALS = 4;
const NONE = -1;
/** A device that does not end when it is asked to is ended after this. */
const GRACE_MS = 2000;

export interface DeviceProcessOptions {
  /** A command line for the shell. */
  readonly command: string;
  /** Where the device will listen; a socket that an earlier one left there is taken away. */
  readonly socket: string;
  /** File that gets what it prints; nobody gets it when absent. */
  readonly log: string | undefined;
}

export class DeviceProcess {
  readonly shared = new SharedArrayBuffer(4 * DEVICE_SIGNALS);
  readonly #signals = new Int32Array(this.shared);
  readonly #options: DeviceProcessOptions;
  readonly #log: number | undefined;
  #child: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();
  readonly #endNow = (): void => this.#kill('SIGKILL');

  /** Starts the device. Throws CliError (could not judge) when the log cannot be written. */
  constructor(options: DeviceProcessOptions) {
    this.#options = options;
    this.#log = options.log === undefined ? undefined : openLog(options.log);
    process.on('exit', this.#endNow);
    this.#start();
  }

  /** Starts it again; `hung`: it runs and is ended first. One that runs and is not said to hang is left alone. */
  async restart(hung: boolean): Promise<void> {
    if (Atomics.load(this.#signals, DeviceSignal.running) === 1 && !hung) {
      this.#startsCounted();
      return;
    }
    this.#kill('SIGKILL');
    await this.#ended;
    this.#start();
  }

  #start(): void {
    removeSocket(this.#options.socket);
    const output = this.#log ?? 'ignore';
    // A group of its own, so that what the shell started ends with it.
    const child = spawn('/bin/sh', ['-c', this.#options.command], {
      detached: true,
      stdio: ['ignore', output, output],
    });
    this.#child = child;
    Atomics.store(this.#signals, DeviceSignal.running, 1);
    this.#ended = new Promise(resolve => {
      const over = (code: number | null, signal: NodeJS.Signals | null): void => {
        if (this.#child !== child) return;
        this.#child = undefined;
        Atomics.store(this.#signals, DeviceSignal.exitCode, code ?? NONE);
        Atomics.store(this.#signals, DeviceSignal.signal, signal === null ? NONE : constants.signals[signal]);
        Atomics.store(this.#signals, DeviceSignal.running, 0);
        Atomics.notify(this.#signals, DeviceSignal.running);
        resolve();
      };
      child.on('exit', over);
      child.on('error', () => over(NONE, null));
    });
    this.#startsCounted();
  }

  #startsCounted(): void {
    Atomics.add(this.#signals, DeviceSignal.starts, 1);
    Atomics.notify(this.#signals, DeviceSignal.starts);
  }

  #kill(signal: NodeJS.Signals): void {
    const pid = this.#child?.pid;
    if (pid === undefined) return;
    try {
      process.kill(-pid, signal);
    } catch {
      // It has ended by itself, and nobody has told yet.
    }
  }

  /** Ends the device. Resolves when it is gone. */
  async stop(): Promise<void> {
    this.#kill('SIGTERM');
    const timer = setTimeout(() => this.#kill('SIGKILL'), GRACE_MS);
    if (this.#child !== undefined) await this.#ended;
    clearTimeout(timer);
    process.off('exit', this.#endNow);
    removeSocket(this.#options.socket);
    if (this.#log !== undefined) closeSync(this.#log);
  }
}

function openLog(file: string): number {
  try {
    return openSync(file, 'a');
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new CliError(ExitCode.couldNotJudge, `--device-log ${file}: ${why}`);
  }
}

function removeSocket(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found?.isSocket() === true) unlinkSync(path);
}
