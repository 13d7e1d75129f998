/** Everything that the command line takes from the machine it runs on, so that tests can run it in process. */
import { randomInt } from 'node:crypto';

export interface Io {
  /** Results. */
  out(text: string): void;
  /** Progress and complaints. */
  err(text: string): void;
  readonly outIsTty: boolean;
  readonly errIsTty: boolean;
  /** Width of the terminal, characters. */
  readonly columns: number;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Wall-clock milliseconds since some fixed moment; never goes back. */
  nowMs(): number;
  /** A fresh seed, 0 .. 2^32-1. */
  randomSeed(): number;
  /** What comes in on standard input. */
  input(): AsyncIterable<Uint8Array>;
  /** Calls `handler` at each SIGINT or SIGTERM until the returned function is called. */
  onInterrupt(handler: () => void): () => void;
}

const WIDTH_WITHOUT_TERMINAL = 110;

/** The real one. */
export function processIo(): Io {
  // A reader that leaves early (`vrdma machines | head`) is no fault.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
  return {
    out: text => void process.stdout.write(text),
    err: text => void process.stderr.write(text),
    outIsTty: process.stdout.isTTY,
    errIsTty: process.stderr.isTTY,
    columns: process.stdout.columns ?? process.stderr.columns ?? WIDTH_WITHOUT_TERMINAL,
    env: process.env,
    nowMs: () => performance.now(),
    randomSeed: () => randomInt(2 ** 32),
    input: () => process.stdin,
    onInterrupt(handler) {
      process.on('SIGINT', handler);
      process.on('SIGTERM', handler);
      return () => {
        process.off('SIGINT', handler);
        process.off('SIGTERM', handler);
      };
    },
  };
}
