/** What a vhost-user peer may need otherwise: each option does what it says, and a right device conforms with it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { writeProgram } from '../../src/conformance/generate/program-arbitrary.js';
import { judge } from '../../src/conformance/judge.js';
import { vhostUserDevice } from '../../src/conformance/vhost-user-device.js';
import { FrontEnd } from '../../src/transports/vhost-user/front-end.js';
import { FrontQueue } from '../../src/transports/vhost-user/front-queue.js';
import { defaultPeerOptions } from '../../src/transports/vhost-user/peer-options.js';
import type { PeerOptions } from '../../src/transports/vhost-user/peer-options.js';
import { DeviceStatus } from '../../src/virtio/index.js';
import { skipped } from '../transports/vhost-user/support.js';

const fixture = fileURLToPath(new URL('../transports/vhost-user/fixtures/devices.mjs', import.meta.url));
const MACHINES = 3;
const PROGRAMS = 12;
let directory: string;
let end = (): void => undefined;

beforeAll(async () => {
  if (skipped !== undefined) return;
  directory = mkdtempSync(join(tmpdir(), 'vrdma-'));
  // The devices of all sockets are joined.
  const paths = Array.from({ length: MACHINES }, (_, vm) => join(directory, `device-${vm}.sock`));
  const late = { paths: [join(directory, 'late.sock')], late: true };
  const child = spawn(process.execPath, [fixture, JSON.stringify([{ paths }, late])], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  end = () => void child.kill('SIGKILL');
  await once(child.stdout, 'data');
});
afterAll(() => {
  end();
  if (skipped === undefined) rmSync(directory, { recursive: true });
});
afterEach(() => void vi.restoreAllMocks());

/** Generated programs with a device that is taken so; returns the most machines that one of them had. */
async function conforms(options: Partial<PeerOptions>, path = 'device-0.sock'): Promise<number> {
  const device = await vhostUserDevice({
    profile: 'roce',
    path: join(directory, path),
    options: { ...defaultPeerOptions, answerMs: 60_000, ...options },
    beat: () => undefined,
  });
  let machines = 0;
  try {
    for (let seed = 0; seed < PROGRAMS; seed++) {
      const program = writeProgram(seed, { mode: 'settled', actionsMax: 40 });
      const { broken, unfit } = await judge(program, {
        profile: 'roce',
        implementation: device.implementation,
      });
      expect(broken?.message).toBe(undefined);
      if (unfit === undefined) machines = Math.max(machines, program.hosts.length);
    }
    expect(device.overdue).toBe(0);
  } finally {
    device.close();
  }
  return machines;
}

describe.skipIf(skipped !== undefined)('an option for a vhost-user peer', () => {
  it.each([
    ['start', true, 'device-0.sock'],
    ['first-kick', false, 'late.sock'],
  ] as const)('rings=%s says when rings are set up', async (rings, early, path) => {
    const live: boolean[] = [];
    const status = new Map<FrontEnd, number>();
    const write = FrontEnd.prototype.writeStatus;
    vi.spyOn(FrontEnd.prototype, 'writeStatus').mockImplementation(function (this: FrontEnd, value) {
      status.set(this, value);
      write.call(this, value);
    });
    const setUp = FrontEnd.prototype.setUpQueue;
    vi.spyOn(FrontEnd.prototype, 'setUpQueue').mockImplementation(function (this: FrontEnd, queue) {
      live.push(((status.get(this) ?? 0) & DeviceStatus.DRIVER_OK) !== 0);
      setUp.call(this, queue);
    });
    await conforms({ rings }, path);
    expect(live.length).toBeGreaterThan(PROGRAMS);
    expect(new Set(live)).toEqual(new Set([!early]));
  });

  it('kicks=none gives no descriptor to be kicked with, and nobody kicks', async () => {
    const setUp = vi.spyOn(FrontEnd.prototype, 'setUpQueue');
    const kicked = vi.spyOn(FrontQueue.prototype, 'signalKick');
    await conforms({ kicks: 'none' });
    expect(setUp.mock.calls.length).toBeGreaterThan(PROGRAMS);
    expect(new Set(setUp.mock.calls.map(([{ kick }]) => kick))).toEqual(new Set([undefined]));
    expect(kicked).not.toHaveBeenCalled();
  });

  it('{vm} in the path gives each machine a socket of its own', async () => {
    const connect = vi.spyOn(FrontEnd, 'connect');
    const machines = await conforms({ machines: MACHINES }, 'device-{vm}.sock');
    expect(machines).toBeGreaterThan(1);
    const paths = new Set(connect.mock.calls.map(([path]) => path));
    expect(paths.size).toBe(machines);
    for (let vm = 0; vm < machines; vm++) expect(paths).toContain(join(directory, `device-${vm}.sock`));
  });
});
