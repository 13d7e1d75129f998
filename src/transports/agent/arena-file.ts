/** A program's memory in a file that an agent maps or reads and writes: both sides see one memory. */
import { closeSync, ftruncateSync, openSync, readSync, rmSync, statSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ownFolder } from '../own-folder.js';

/** Where files lie in memory, on Linux. */
const SHARED_MEMORY = '/dev/shm';

export class AgentArenaFile {
  readonly path: string;
  readonly #directory: string;
  readonly #file: number;

  /** @param bytes length of the file, which is zeroed */
  constructor(bytes: number) {
    this.#directory = ownFolder('arena', isDirectory(SHARED_MEMORY) ? SHARED_MEMORY : tmpdir());
    this.path = join(this.#directory, 'arena');
    this.#file = openSync(this.path, 'wx+', 0o600);
    ftruncateSync(this.#file, bytes);
  }

  /** The agent has opened the file: its name goes. */
  unlink(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }

  /** Fills `target` from byte `at` on; what lies beyond the end of the file is left as it is. */
  read(at: number, target: Uint8Array): void {
    for (let done = 0; done < target.length;) {
      const count = readSync(this.#file, target, done, target.length - done, at + done);
      if (count === 0) return;
      done += count;
    }
  }

  write(at: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;)
      done += writeSync(this.#file, bytes, done, bytes.length - done, at + done);
  }

  close(): void {
    this.unlink();
    closeSync(this.#file);
  }
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}
