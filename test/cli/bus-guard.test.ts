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
import { ScriptedFront } from '../transports/vhost-user/scripted-front.js';
import { skipped } from '../transports/vhost-user/support.js';
import { temporaryDirectory } from './support.js';

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const CONTROL = 2;
const QUERY_DEVICE = Uint8Array.of(6, 0, 0, 0, 0, 0, 0, 0);
const BYTES = 64 * 1024;
const USER = 0x1000_0000;
const { ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK } = DeviceStatus;

/** Serves a device, and resolves when it listens. */
async function serve(path: string, ...more: readonly string[]) {
  const child = spawn(process.execPath, [main, 'serve', '--socket', path, ...more]);
  onTestFinished(() => void child.kill('SIGKILL'));
  const printed = { out: '', err: '' };
  child.stdout.on('data', (data: Buffer) => (printed.out += data.toString()));
  child.stderr.on('data', (data: Buffer) => (printed.err += data.toString()));
  const ended = once(child, 'close').then(([code, signal]: unknown[]) => ({ code, signal, ...printed }));
  /** Resolves when that has been said on standard error. */
  const said = async (words: string): Promise<void> => {
    while (!printed.err.includes(words)) await once(child.stderr, 'data');
  };
  await Promise.race([said('serving'), ended]);
  return { child, ended, said };
}

/** A driver's end that has one ring running in a file that is not sealed, and then makes the file shorter. Returns what hangs up. */
function shortenUnder(path: string): () => void {
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
    front.setUpQueue({ index: CONTROL, size: 64, base: 0, addresses, kick, call, error: undefined });
    front.enableQueue(CONTROL, true);
    expect(front.refusedQueues()).toEqual([]);
    front.writeStatus(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
    front.readStatus();
    ftruncateSync(fd, 0);
    signalEvent(kick);
  } catch (error) {
    front.close();
    throw error;
  }
  return () => {
    front.close();
    for (const each of [fd, kick, call]) closeFd(each);
  };
}

describe.skipIf(skipped !== undefined)('a command that maps the memory of a peer', () => {
  it('says in one line that the peer has made it shorter, and ends with a violation', async () => {
    const path = join(temporaryDirectory(), 'device.sock');
    const { ended } = await serve(path);
    // Whoever hangs up is let go of, kicked or not.
    const hangUp = shortenUnder(path);
    const { code, signal, err } = await ended;
    hangUp();
    expect(err).toContain('a peer made a memory file shorter that it had shared');
    expect(err).toContain('It has left no report');
    expect(signal).toBe(null);
    expect(code).toBe(1);
  });

  it('reports what was judged before, of other connections too', async () => {
    const path = join(temporaryDirectory(), 'device.sock');
    const { ended, said } = await serve(path, '--judge');
    const front = ScriptedFront.connect(path);
    await front.setUp({ queue: CONTROL });
    for (let i = 0; i < 20; i++) await front.command(QUERY_DEVICE);
    front.close();
    await said('connection 0 ended');
    const hangUp = shortenUnder(path);
    const { code, out, err } = await ended;
    hangUp();
    expect(err).not.toContain('no report');
    const looks = /observations were made in the rings of . machines?, ([0-9,]+) looks in all/.exec(out);
    expect(Number(looks?.[1].replace(',', ''))).toBeGreaterThan(20);
    expect(out).toContain('cut short by SIGBUS');
    expect(out).toContain('NOT CONFORMANT');
    expect(code).toBe(1);
  });

  it('reports what was broken just before', async () => {
    const path = join(temporaryDirectory(), 'device.sock');
    const { ended } = await serve(path, '--judge', '--json');
    const front = ScriptedFront.connect(path);
    await front.setUp({ queue: CONTROL });
    await front.jump();
    const hangUp = shortenUnder(path);
    const { code, out } = await ended;
    hangUp();
    front.close();
    expect(JSON.parse(out)).toMatchObject({ verdict: 'fail', cut: true });
    expect(out).toContain('the available index went from 0 to 1001');
    expect(code).toBe(1);
  });

  it('is interrupted by the signal that its guard gets', async () => {
    const path = join(temporaryDirectory(), 'device.sock');
    const { child, ended } = await serve(path);
    child.kill('SIGINT');
    expect(await ended).toMatchObject({ code: 0, signal: null });
  });
});
