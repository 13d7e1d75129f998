/** A back-end opposite front-ends that keep the protocol, that break it, and that come and go. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { deviceKinds, serve } from '../../../src/conformance/serve/index.js';
import type { VhostUserServer } from '../../../src/transports/vhost-user/server.js';
import { closeFd, newEvent } from '../../../src/transports/vhost-user/descriptors.js';
import { newMemoryFile } from '../../../src/transports/vhost-user/mappings.js';
import { connectTo } from '../../../src/transports/vhost-user/socket-path.js';
import { sendWithFds } from '../../../src/transports/vhost-user/sockets.js';
import { ScriptedFront } from './scripted-front.js';
import { collectGarbage, hex, mappingsOf, openFds, skipped } from './support.js';

const PAGE = 4096;
const NEED_REPLY = 8;

let directory: string;
let path: string;
let server: VhostUserServer;
let said: string[];
let ended: string[];

function start(device: 'roce' | 'loop' = 'roce'): VhostUserServer {
  const ringFeatures = { indirect: true, eventIdx: true, packed: true, inOrder: true };
  const host = deviceKinds[device].host({ profile: 'roce', polling: false, ringFeatures });
  const listener = {
    connected: () => undefined,
    complaint: (_vm: number, message: string) => void said.push(message),
    disconnected: (_vm: number, why: Error) => void ended.push(why.message),
  };
  return serve({ path, host, polling: false, listener });
}

/** Waits until the back-end has noticed that everybody is gone. */
async function allGone(): Promise<void> {
  while (server.connections > 0) await new Promise(resolve => setImmediate(resolve));
}

describe.skipIf(skipped !== undefined)('a vhost-user back-end', () => {
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'vrdma-'));
    path = join(directory, 'device.sock');
    said = [];
    ended = [];
    server = start();
  });
  afterEach(async () => {
    server.close();
    await collectGarbage();
    rmSync(directory, { recursive: true });
  });

  it('offers its features, its queues and its configuration', async () => {
    const front = ScriptedFront.connect(path);
    const features = await front.askNumber('GET_FEATURES');
    for (const bit of [17n, 28n, 29n, 30n, 32n, 34n, 35n, 55n]) expect((features >> bit) & 1n).toBe(1n);
    const protocol = await front.askNumber('GET_PROTOCOL_FEATURES');
    expect(protocol & 0x1_a229n).toBe(0x1_a229n);
    expect(await front.askNumber('GET_QUEUE_NUM')).toBe(43n);
    expect(await front.askNumber('GET_MAX_MEM_SLOTS')).toBe(64n);
    const config = await front.ask('GET_CONFIG', hex('00 00 00 00 04 00 00 00 00 00 00 00 00 00 00 00'));
    expect(config?.payload.length).toBe(16);
    expect(
      await front.ask('GET_CONFIG', hex('ff 00 00 00 04 00 00 00 00 00 00 00 00 00 00 00')),
    ).toMatchObject({
      payload: new Uint8Array(0),
    });
    front.close();
    await allGone();
    expect(ended).toEqual(['the peer hung up']);
  });

  it('carries chains out that were put into a ring, by kick and call', async () => {
    const front = ScriptedFront.connect(path);
    await front.setUp({ queue: 2 });
    const answer = await front.command(Uint8Array.of(6, 0, 0, 0, 0, 0, 0, 0));
    expect(answer.written).toBe(129);
    expect(answer.bytes[0]).toBe(0);
    front.close();
    await allGone();
  });

  it('gives a ring back where it stands, and goes on there', async () => {
    const front = ScriptedFront.connect(path);
    await front.setUp({ queue: 2 });
    for (let i = 0; i < 3; i++) await front.command(Uint8Array.of(6, 0, 0, 0, 0, 0, 0, 0));
    expect(await front.stop(2)).toBe(3);
    await front.start(2, 3);
    expect((await front.command(Uint8Array.of(6, 0, 0, 0, 0, 0, 0, 0))).written).toBe(129);
    expect(await front.stop(2)).toBe(4);
    front.close();
    await allGone();
  });

  it.each([
    ['SET_MEM_TABLE', 'regions overlap', 'overlaps'],
    ['SET_MEM_TABLE', 'beyond the file', 'of its file, which has'],
    ['SET_VRING_ADDR', 'addresses outside memory', 'is in no memory region'],
    ['SET_VRING_NUM', 'size too large', 'is not in 1..64'],
    ['SET_VRING_NUM', 'no such queue', 'there is no queue 99'],
    ['SET_FEATURES', 'features that are not offered', 'are not offered'],
    ['SET_CONFIG', 'read-only', 'no field of the configuration space can be written'],
    ['SET_LOG_BASE', 'a log', 'belongs to a feature that was not offered'],
  ] as const)('refuses %s: %s, in one line, and goes on', async (_name, what, message) => {
    const front = ScriptedFront.connect(path);
    await front.setUp({ queue: 2 });
    expect(await front.refused(what)).toBe(true);
    expect(said).toHaveLength(1);
    expect(said[0]).toContain(message);
    expect(await front.askNumber('GET_QUEUE_NUM')).toBe(43n);
    front.close();
    await allGone();
  });

  it.each([
    ['another protocol', new TextEncoder().encode('GET / HTTP/1.1\r\n'), 0, 'does not speak vhost-user'],
    ['an oversized message', hex('05 00 00 00 01 00 00 00 00 00 01 00'), 0, 'has a payload of 65536 bytes'],
    ['a short message', hex('08 00 00 00 01 00 00 00 04 00 00 00 00 00 00 00'), 0, 'has 4 bytes, expected 8'],
    ['descriptors that nobody wants', hex('01 00 00 00 01 00 00 00 00 00 00 00'), 2, '2 descriptors came'],
    [
      'a kick without its descriptor',
      hex('0c 00 00 00 01 00 00 00 08 00 00 00 02 00 00 00 00 00 00 00'),
      0,
      '0 descriptors came',
    ],
    [
      'a hang-up in mid-request',
      hex('05 00 00 00 01 00 00 00 28 00 00 00 01'),
      1,
      'hung up in the middle of SET_MEM_TABLE',
    ],
  ] as const)('ends the connection at %s, and everything is free', async (_name, bytes, fds, message) => {
    const before = openFds();
    const fd = connectTo(path);
    const events = Array.from({ length: fds }, newEvent);
    sendWithFds(fd, bytes, events);
    for (const event of events) closeFd(event);
    while (server.connections === 0) await new Promise(resolve => setImmediate(resolve));
    if (_name.startsWith('a hang-up')) closeFd(fd);
    await allGone();
    expect(ended).toHaveLength(1);
    expect(ended[0]).toContain(message);
    if (!_name.startsWith('a hang-up')) closeFd(fd);
    expect(openFds()).toBe(before);
  });

  it('replaces a socket that nobody listens on, and no other file', async () => {
    expect(() => start()).toThrow('is in use: another process listens there');
    const stale = join(directory, 'stale.sock');
    const other = createServer().listen(stale);
    await once(other, 'listening');
    expect(() => connectTo(join(directory, 'none.sock'))).toThrow('there is no such file or directory');
    const file = join(directory, 'file');
    writeFileSync(file, '');
    const mine = path;
    path = file;
    expect(() => start()).toThrow('exists and is no socket');
    path = join(directory, 'no', 'such');
    expect(() => start()).toThrow('make the directory');
    path = join(directory, 'x'.repeat(120));
    expect(() => start()).toThrow('it must have 1 to 107');
    path = mine;
    other.close();
    server.close();
    expect(existsSync(path)).toBe(false);
  });

  it('leaves nothing behind after 1,000 front-ends that came and went', async () => {
    const fd = newMemoryFile('vrdma-many', 4 * PAGE);
    await collectGarbage();
    const before = openFds();
    for (let i = 0; i < 1000; i++) {
      const front = ScriptedFront.connect(path);
      front.shareQuickly(fd);
      front.close();
      while (ended.length <= i) await new Promise(resolve => setImmediate(resolve));
    }
    await collectGarbage();
    expect(openFds()).toBe(before);
    expect(mappingsOf('vrdma-many')).toBe(0);
    expect(ended).toHaveLength(1000);
    closeFd(fd);
  });

  it('survives whatever is sent, and closes it all', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            request: fc.nat(50),
            flags: fc.constantFrom(1, 1 | NEED_REPLY, 5, 0),
            payload: fc.uint8Array({ maxLength: 80 }),
            fds: fc.nat(3),
          }),
          { maxLength: 12 },
        ),
        async messages => {
          const before = openFds();
          const front = ScriptedFront.connect(path);
          await front.setUp({ queue: 2 });
          for (const { request, flags, payload, fds } of messages)
            front.sendRaw(request, flags, payload, fds);
          front.close();
          await allGone();
          expect(openFds()).toBe(before);
        },
      ),
      { numRuns: 100 },
    );
    const front = ScriptedFront.connect(path);
    expect(await front.askNumber('GET_QUEUE_NUM')).toBe(43n);
    front.close();
    await allGone();
  });
});
