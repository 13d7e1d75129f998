/** A front-end opposite back-ends that misbehave: one clear error each, and nothing is left open. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { connectVhostUser } from '../../../src/transports/vhost-user/client.js';
import type { VhostUserClient } from '../../../src/transports/vhost-user/client.js';
import { FrontEnd } from '../../../src/transports/vhost-user/front-end.js';
import { defaultPeerOptions } from '../../../src/transports/vhost-user/peer-options.js';
import { DeviceStatus, FeatureBit, featureSet, negotiate } from '../../../src/virtio/index.js';
import { openFds, skipped } from './support.js';

const { ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK } = DeviceStatus;

interface Script {
  readonly at?: string;
  readonly does?: string;
  readonly features?: string;
  readonly config?: number;
  readonly errs?: 'silently' | 'with-status' | 'at-reset';
  readonly inflight?: boolean;
}

const fixture = fileURLToPath(new URL('fixtures/scripted-back-end.mjs', import.meta.url));

/** Starts a back-end in a process of its own. Returns the path of its socket. `printed` gets what it prints later. */
async function backEnd(script: Script, printed: string[] = []): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), 'vrdma-'));
  const path = join(directory, 'peer.sock');
  const child = spawn(process.execPath, [fixture, path, JSON.stringify(script)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const closed = once(child, 'close');
  onTestFinished(async () => {
    child.kill('SIGKILL');
    // Its end closes descriptors, which the next test counts.
    await closed;
    rmSync(directory, { recursive: true });
  });
  await once(child.stdout, 'data');
  child.stdout.on('data', (data: Buffer) => printed.push(...data.toString().trim().split('\n')));
  return path;
}

const patient = { ...defaultPeerOptions, answerMs: 60_000 };
/** For those who wait in vain. */
const brief = { ...patient, answerMs: 1000 };

/** A front-end's usual beginning. */
function begin(path: string, options = patient): void {
  const front = FrontEnd.connect(path, options);
  try {
    front.readConfig(32);
    front.writeStatus(1);
    front.readStatus();
    front.setMemory([]);
    front.barrier();
    front.awaitBarrier();
  } finally {
    front.close();
  }
}

function thrownBy(act: () => void): unknown {
  try {
    act();
  } catch (error) {
    return error;
  }
  return undefined;
}

describe.skipIf(skipped !== undefined)('a back-end that does not keep the protocol', () => {
  it.each([
    ['GET_FEATURES', 'hang', 'no answer to GET_FEATURES within 1000 ms'],
    ['GET_FEATURES', 'hang-up', 'the peer hung up'],
    ['GET_FEATURES', 'foreign', 'the peer does not speak vhost-user: a message starts with 48 54 54 50'],
    [
      'GET_PROTOCOL_FEATURES',
      'short',
      'answer to GET_PROTOCOL_FEATURES: its payload has 3 bytes, expected 8',
    ],
    ['GET_STATUS', 'long', 'answer to GET_STATUS: its payload has 200 bytes, expected 8'],
    ['GET_CONFIG', 'oversized', 'GET_CONFIG has a payload of 2147483647 bytes, at most 4096'],
    ['GET_CONFIG', 'short', 'answer to GET_CONFIG: its payload has 3 bytes, expected 12 to 268'],
    ['GET_CONFIG', 'midway', 'the peer hung up in the middle of GET_CONFIG'],
    ['GET_STATUS', 'half', 'the peer stopped in the middle of GET_STATUS and said nothing for 1000 ms'],
    ['GET_STATUS', 'other-answer', 'GET_STATUS was asked, and an answer came to GET_QUEUE_NUM'],
    ['GET_STATUS', 'no-reply-flag', 'GET_STATUS was asked, and a request came to GET_STATUS'],
    ['GET_STATUS', 'descriptors', 'GET_STATUS: 2 descriptors came with the answer'],
    ['GET_CONFIG', 'twice', 'SET_STATUS was asked, and an answer came to GET_CONFIG'],
    ['SET_MEM_TABLE', 'refuse', 'the back-end refused SET_MEM_TABLE: it answered 1'],
    ['GET_STATUS', 'die', 'the peer hung up'],
    ['GET_STATUS', 'crash', 'the peer hung up'],
  ])('%s, %s: %s', async (at, does, message) => {
    const path = await backEnd({ at, does });
    const before = openFds();
    const error = thrownBy(() => begin(path, does === 'hang' || does === 'half' ? brief : patient));
    expect(error).toBeInstanceOf(Error);
    expect((error as Error).message).toContain(message);
    expect(openFds()).toBe(before);
  });

  it('may take no longer to read than to answer', async () => {
    const path = await backEnd({ at: 'SET_VRING_NUM', does: 'hang' });
    const before = openFds();
    const front = FrontEnd.connect(path, brief);
    const error = thrownBy(() => {
      for (;;) front.tell('SET_VRING_NUM');
    });
    expect(error).toMatchObject({ message: 'the peer has not taken SET_VRING_NUM for 1000 ms' });
    front.close();
    expect(openFds()).toBe(before);
  });

  it('is told from one that keeps it', async () => {
    const path = await backEnd({});
    const before = openFds();
    for (let times = 0; times < 20; times++) begin(path);
    expect(openFds()).toBe(before);
  });

  it('lets go of everything when it cannot connect', () => {
    const before = openFds();
    const error = thrownBy(() => connectVhostUser('/nonexistent/peer.sock', { deviceId: 1 }));
    expect(error).toMatchObject({ code: 'ENOENT' });
    expect(openFds()).toBe(before);
  });

  it('lets go of everything when the peer is another', async () => {
    const path = await backEnd({ at: 'GET_FEATURES', does: 'foreign' });
    const before = openFds();
    expect(thrownBy(() => connectVhostUser(path, { deviceId: 1 }))).toMatchObject({ kind: 'foreign' });
    expect(openFds()).toBe(before);
  });
});

describe.skipIf(skipped !== undefined)('a client', () => {
  it('reads the registers, and is told when the device has gone in the meantime', async () => {
    const path = await backEnd({ at: 'GET_STATUS', does: 'hang-up', config: 3 });
    const before = openFds();
    const client = connectVhostUser(path, { deviceId: 1, queueCount: 2, configBytes: 32 });
    expect(client.transport.readConfig().getUint32(24, true)).toBe(3);
    expect(client.transport.deviceFeatures & (1n << 55n)).not.toBe(0n);
    expect(thrownBy(() => client.transport.writeStatus(0))).toMatchObject({ kind: 'closed' });
    client.close();
    expect(openFds()).toBe(before);
  });

  it.each([
    [
      'silently',
      /signalled an error of queue 0 at the descriptor of SET_VRING_ERR.*does not say DEVICE_NEEDS/,
    ],
    ['with-status', undefined],
  ] as const)('hears of a ring that is broken (%s)', async (errs, why) => {
    const path = await backEnd({ errs });
    const before = openFds();
    const client = connectVhostUser(path, { deviceId: 1, queueCount: 1 });
    let told = 0;
    client.transport.onInterrupt(source => (told += source === 'config' ? 1 : 0));
    live(client);
    const error = thrownBy(() => client.wait(60_000));
    if (why === undefined) {
      expect(error).toBe(undefined);
      expect(told).toBe(1);
      expect(client.transport.readStatus() & DeviceStatus.DEVICE_NEEDS_RESET).not.toBe(0);
    } else {
      expect((error as Error).message).toMatch(why);
      expect(client.front.failure).toBe(error);
    }
    client.close();
    expect(openFds()).toBe(before);
  });

  it('holds nothing against a device that a queue said before its reset, one that was taken away too', async () => {
    const path = await backEnd({ errs: 'at-reset', features: '0x80010140020000' });
    const client = connectVhostUser(path, { deviceId: 1, queueCount: 1 });
    live(client, FeatureBit.RING_RESET);
    client.transport.resetQueue(0);
    expect(client.transport.queueEnabled(0)).toBe(false);
    client.transport.writeStatus(0);
    live(client);
    client.wait(0);
    expect(client.front.failure).toBe(undefined);
    expect(client.transport.readStatus() & DeviceStatus.DEVICE_NEEDS_RESET).toBe(0);
    client.close();
  });

  it('takes an error for DEVICE_NEEDS_RESET where there is no status to be read', async () => {
    const path = await backEnd({ errs: 'silently' });
    const options = { withoutProtocolFeatures: ['STATUS'], reset: 'reconnect' } as const;
    const client = connectVhostUser(path, { deviceId: 1, queueCount: 1, options });
    live(client);
    expect(client.wait(60_000)).toBe(true);
    expect(client.transport.readStatus() & DeviceStatus.DEVICE_NEEDS_RESET).not.toBe(0);
    client.close();
  });

  it('gives what keeps track of chains in flight to the back-end that comes next, and never asks to be asked', async () => {
    const printed: string[] = [];
    const path = await backEnd({ at: 'GET_CONFIG', does: 'hang-up', inflight: true }, printed);
    const before = openFds();
    const client = connectVhostUser(path, { deviceId: 1, queueCount: 1, configBytes: 8, resumable: true });
    live(client);
    expect(thrownBy(() => client.transport.readConfig())).toMatchObject({ kind: 'closed' });
    client.reconnect();
    client.front.barrier();
    client.front.awaitBarrier();
    client.close();
    while (printed.length < 3) await new Promise(resolve => setImmediate(resolve));
    const [inode] = /\d+/.exec(printed[0]) ?? [];
    expect(printed).toEqual([`made ${inode}`, `given ${inode}`, `given ${inode}`]);
    expect(openFds()).toBe(before);
  });
});

/** Negotiates, and starts one queue. */
function live(client: VhostUserClient, ...features: readonly number[]): void {
  const required = featureSet(FeatureBit.VERSION_1, ...features);
  negotiate(client.transport, { wanted: required, required });
  client.queue(0, 64);
  client.transport.writeStatus(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
}
