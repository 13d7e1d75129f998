/** A listening socket with a file of its own in the temporary directory. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { ownFolder } from '../own-folder.js';
import { closeFd } from './descriptors.js';
import { listenUnix } from './sockets.js';

/** A socket that front-ends connect to, one after the other. */
export class DeviceSocket {
  readonly path: string;
  readonly #directory: string;
  readonly #fd: number;

  constructor() {
    this.#directory = ownFolder('device');
    this.path = join(this.#directory, 'device');
    this.#fd = listenUnix(this.path, 4);
  }

  get fd(): number {
    return this.#fd;
  }

  close(): void {
    closeFd(this.#fd);
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
