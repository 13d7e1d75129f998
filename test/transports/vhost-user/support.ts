/** What the tests of vhost-user share: whether they can run here, and what a process holds. */
import { readFileSync, readdirSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { nativeFault } from '../../../src/transports/vhost-user/native.js';

/** Why tests that need native calls are skipped on this machine; undefined where they run. Said once a file. */
export const skipped = nativeFault();
if (skipped !== undefined) process.stderr.write(`skipped: ${skipped}\n`);

/** Bytes from text such as `01 00 ff`. */
export function hex(text: string): Uint8Array {
  return Uint8Array.from(text.trim().split(/\s+/), byte => Number.parseInt(byte, 16));
}

/** Descriptors that this process has open. */
export function openFds(): number {
  return readdirSync('/proc/self/fd').length;
}

/** Mappings of files that live in memory, by the name that they were made with. */
export function mappingsOf(name: string): number {
  return readFileSync('/proc/self/maps', 'utf8')
    .split('\n')
    .filter(line => line.includes(`/memfd:${name}`)).length;
}

/** All mappings of this process. */
export function mappings(): number {
  return readFileSync('/proc/self/maps', 'utf8').split('\n').length;
}

setFlagsFromString('--expose-gc');

/** Collects what nobody has any more, and lets those who wait for that act. */
export async function collectGarbage(): Promise<void> {
  for (let i = 0; i < 3; i++) {
    runInNewContext('gc()');
    await new Promise(resolve => setImmediate(resolve));
  }
}
