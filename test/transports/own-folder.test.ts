import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { ownFolder, removeLeftovers } from '../../src/transports/own-folder.js';

function parentFolder(): string {
  const parent = mkdtempSync(join(tmpdir(), 'vrdma-own-folder-test-'));
  onTestFinished(() => rmSync(parent, { recursive: true }));
  return parent;
}

/** A folder as a process with another number would have made it. */
function leftBy(parent: string, pid: number): string {
  const own = ownFolder('device', parent);
  const name = basename(own).replace(`-${process.pid}-`, `-${pid}-`);
  const folder = join(parent, name);
  mkdirSync(folder);
  writeFileSync(join(folder, 'device'), '');
  return folder;
}

/** The number of a process that has ended. */
function gone(): number {
  return spawnSync('true').pid;
}

it('a folder is new, and of this user alone', () => {
  const parent = parentFolder();
  const [first, second] = [ownFolder('agent', parent), ownFolder('agent', parent)];
  expect(first).not.toBe(second);
  expect(statSync(first).mode & 0o777).toBe(0o700);
});

it('what a killed process left is removed, with what is in it', () => {
  const parent = parentFolder();
  const folder = leftBy(parent, gone());
  removeLeftovers(parent);
  expect(existsSync(folder)).toBe(false);
});

it('what belongs to a process that is there stays, and so do folders of other containers and of other programs', () => {
  const parent = parentFolder();
  const own = ownFolder('device', parent);
  const parents = leftBy(parent, process.ppid);
  const elsewhere = join(parent, `vrdma-device-1-${gone()}-abcdef`);
  const others = join(parent, 'vrdma-device-mine');
  for (const folder of [elsewhere, others]) mkdirSync(folder);
  removeLeftovers(parent);
  expect([own, parents, elsewhere, others].map(existsSync)).toEqual([true, true, true, true]);
});
