/** A peer that makes the memory shorter that it shares ends the process that has it mapped, and the command says so. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { ftruncateSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { closeFd, newEvent, signalEvent } from '../../src/transports/vhost-user/descriptors.js';
import { FrontEnd } from '../../src/transports/vhost-user/front-end.js';
import { newMemoryFile } from '../../src/transports/vhost-user/mappings.js';
import { defaultPeerOptions } from '../../src/transports/vhost-user/peer-options.js';
import { DeviceStatus, layOutSplitRing } from '../../src/virtio/index.js';
import { skipped } from '../transports/vhost-user/support.js';
import { temporaryDirectory } from './support.js';

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const BYTES = 64 * 1024;
const USER = 0x1000_0000;
const { ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK } = DeviceStatus;

/** Serves a device, and resolves when it listens. */
async function serve(path: string) {
  const child = spawn(process.execPath, [main, 'serve', '--socket', path]);
  onTestFinished(() => void child.kill('SIGKILL'));
  const printed = { err: '' };
  const listening = new Promise<void>(resolve =>
    child.stderr.on('data', (data: Buffer) => {
      printed.err += data.toString();
      if (printed.err.includes('serving')) resolve();
    }),
  );
  const ended = once(child, 'close').then(([code, signal]: unknown[]) => ({
    code,
    signal,
    err: printed.err,
  }));
  await Promise.race([listening, ended]);
  return { child, ended };
}

/** A driver's end that has one ring running in a file that is not sealed, and then makes the file shorter. */
function shortenUnder(path: string): void {
  const fd = newMemoryFile('vrdma-shrinks', BYTES);
  const kick = newEvent();
  const call = newEvent();
  const front = FrontEnd.connect(path, defaultPeerOptions);
  try {
    front.writeStatus(ACKNOWLEDGE | DRIVER);
    front.setFeatures(front.features);
    front.writeStatus(ACKNOWLEDGE | DRIVER | FEATURES_OK);
    const region = { guestAddress: 0x10_0000, bytes: BYTES, userAddress: USER, offset: 0 };
    front.setMemory([{ region, fd }]);
    const { descriptors, driver, device } = layOutSplitRing(USER, 64);
    const addresses = { descriptors, available: driver, used: device };
    front.setUpQueue({ index: 2, size: 64, base: 0, addresses, kick, call, error: undefined });
    front.enableQueue(2, true);
    expect(front.refusedQueues()).toEqual([]);
    front.writeStatus(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
    front.readStatus();
    ftruncateSync(fd, 0);
    signalEvent(kick);
  } finally {
    front.close();
    for (const each of [fd, kick, call]) closeFd(each);
  }
}

describe.skipIf(skipped !== undefined)('a command that maps the memory of a peer', () => {
  it('says in one line that the peer has made it shorter, and ends with a violation', async () => {
    const path = join(temporaryDirectory(), 'device.sock');
    const { ended } = await serve(path);
    shortenUnder(path);
    const { code, signal, err } = await ended;
    expect(err).toContain('a peer made a memory file shorter that it had shared');
    expect(signal).toBe(null);
    expect(code).toBe(1);
  });

  it('is interrupted by the signal that its guard gets', async () => {
    const path = join(temporaryDirectory(), 'device.sock');
    const { child, ended } = await serve(path);
    child.kill('SIGINT');
    expect(await ended).toMatchObject({ code: 0, signal: null });
  });
});
