/**
 * Folders for sockets and files that live as long as this process. One whose process was killed cannot clean up after itself: the
 * next process does it, which knows by the name who made a folder.
 */
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Numbers of processes mean something within their namespace only: other containers may share the temporary directory. */
function namespaceOf(): string {
  try {
    return /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? '0';
  } catch {
    return '0';
  }
}

const namespace = namespaceOf();
const swept = new Set<string>();

/** Makes `<parent>/vrdma-<kind>-...`, empty and for this user alone. Removes those that processes left that are gone. */
export function ownFolder(kind: string, parent = tmpdir()): string {
  if (!swept.has(parent)) removeLeftovers(parent);
  swept.add(parent);
  return mkdtempSync(join(parent, `vrdma-${kind}-${namespace}-${process.pid}-`));
}

/** Removes the folders of processes that are gone. What cannot be removed stays: it is another user's. */
export function removeLeftovers(parent: string): void {
  for (const name of readdirSync(parent)) {
    const [, of, pid] = /^vrdma-[a-z]+-(\d+)-(\d+)-\w{6}$/.exec(name) ?? [];
    if (of !== namespace || pid === undefined || isThere(Number(pid))) continue;
    try {
      rmSync(join(parent, name), { recursive: true, force: true });
    } catch {
      continue;
    }
  }
}

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it is there and somebody else's.
    return !(error instanceof Error && 'code' in error && error.code === 'ESRCH');
  }
}
