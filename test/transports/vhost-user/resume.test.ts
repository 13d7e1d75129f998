/** A front-end whose back-end goes away and comes back: it goes on, and nothing that it had made available is lost. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { connectVhostUser } from '../../../src/transports/vhost-user/client.js';
import type { SharedBuffer, VhostUserClient } from '../../../src/transports/vhost-user/client.js';
import { ConnectionEnded } from '../../../src/transports/vhost-user/connection.js';
import { SystemError } from '../../../src/transports/vhost-user/native.js';
import { DeviceStatus, FeatureBit, featureSet, negotiate, startDriver } from '../../../src/virtio/index.js';
import type { DriverQueue } from '../../../src/virtio/index.js';
import { openFds, skipped } from './support.js';

const main = fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url));
const HEADER = 12;
const FRAME = 100;

/** Serves a network device that sends each frame back, or another one. */
async function serve(path: string, device = 'loop'): Promise<ChildProcess> {
  const child = spawn(process.execPath, [main, 'serve', '--device', device, '--socket', path], {
    stdio: ['ignore', 'ignore', 'pipe'],
    // The process that serves is to be ended itself.
    env: { ...process.env, VRDMA_GUARDED: '1' },
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  await once(child.stderr, 'data');
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL');
  await once(child, 'exit');
}

/** A driver of a network device: frames that were sent and not come back yet are out. */
class Frames {
  readonly client: VhostUserClient;
  readonly #receive: DriverQueue;
  readonly #transmit: DriverQueue;
  readonly #buffers: readonly SharedBuffer[];
  readonly #outgoing: readonly SharedBuffer[];
  readonly came: number[] = [];
  sent = 0;

  constructor(path: string, packed: boolean) {
    this.client = connectVhostUser(path, { deviceId: 1, queueCount: 2, resumable: true });
    const required = featureSet(FeatureBit.VERSION_1, ...(packed ? [FeatureBit.RING_PACKED] : []));
    negotiate(this.client.transport, { wanted: required, required });
    this.#receive = this.client.queue(0, 64);
    this.#transmit = this.client.queue(1, 64);
    startDriver(this.client.transport);
    this.#buffers = Array.from({ length: 32 }, () => this.client.alloc(256, 64));
    this.#outgoing = Array.from({ length: 32 }, () => this.client.alloc(256, 64));
    for (const [token] of this.#buffers.entries()) this.#give(token);
    this.#publish(this.#receive, 0);
  }

  #give(token: number): void {
    this.#receive.begin();
    this.#receive.addWritable(this.#buffers[token].address, 256);
    this.#receive.commit(token, false);
  }

  #publish(queue: DriverQueue, index: number): void {
    if (queue.publish()) this.client.transport.notify(index);
  }

  send(): void {
    const number = this.sent++;
    const { address, bytes } = this.#outgoing[number % this.#outgoing.length];
    bytes.fill(0);
    bytes.fill(number & 0xff, HEADER, HEADER + FRAME);
    this.#transmit.begin();
    this.#transmit.addReadable(address, HEADER + FRAME);
    this.#transmit.commit(number, false);
    this.#publish(this.#transmit, 1);
  }

  take(): void {
    const element = { token: 0, written: 0 };
    while (this.#transmit.takeUsed(element));
    while (this.#receive.takeUsed(element)) {
      expect(element.written).toBe(HEADER + FRAME);
      this.came.push(this.#buffers[element.token].bytes[HEADER]);
      this.#give(element.token);
    }
    this.#publish(this.#receive, 0);
  }

  /** Waits until all that was sent has come back. */
  takeAll(): void {
    while (this.came.length < this.sent) {
      expect(this.client.wait(60_000)).toBe(true);
      this.take();
    }
  }

  /** Waits until the back-end is seen to be gone. */
  lose(): Error {
    try {
      while (this.client.wait(60_000));
    } catch (error) {
      if (error instanceof ConnectionEnded) return error;
      throw error;
    }
    throw new Error('the back-end goes on');
  }
}

describe.skipIf(skipped !== undefined).each([
  ['split', false],
  ['packed', true],
])('a front-end with %s rings whose back-end goes away', (_format, packed) => {
  it('goes on with the next one, and every frame comes back once', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'vrdma-'));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const path = join(directory, 'device.sock');
    const before = openFds();
    let child = await serve(path);
    const frames = new Frames(path, packed);
    // More than the rings have entries, so that they have gone round.
    for (let i = 0; i < 100; i++) {
      frames.send();
      frames.takeAll();
    }
    for (let round = 0; round < 3; round++) {
      await end(child);
      expect(frames.lose().message).toBe('the peer hung up');
      // Nobody hears of these yet.
      for (let i = 0; i < 5; i++) frames.send();
      expect(() => frames.client.reconnect()).toThrow(SystemError);
      child = await serve(path);
      frames.client.reconnect();
      frames.takeAll();
      for (let i = 0; i < 70; i++) {
        frames.send();
        frames.takeAll();
      }
    }
    expect(frames.came).toEqual(Array.from({ length: frames.sent }, (_, i) => i & 0xff));
    frames.client.close();
    await end(child);
    child.stderr?.destroy();
    expect(openFds()).toBeLessThanOrEqual(before);
  });
});

/** A driver of an RDMA device that knows its control queue. */
class Control {
  readonly client: VhostUserClient;
  readonly #packed: boolean;
  #queue: DriverQueue;

  constructor(path: string, packed: boolean) {
    this.client = connectVhostUser(path, { deviceId: 1, resumable: true });
    this.#packed = packed;
    this.#queue = this.start();
  }

  /** Brings the device up, from a reset on. */
  start(): DriverQueue {
    const { transport } = this.client;
    const bits = [FeatureBit.VERSION_1, 17, 55, ...(this.#packed ? [FeatureBit.RING_PACKED] : [])];
    negotiate(transport, { wanted: featureSet(...bits), required: featureSet(...bits) });
    this.#queue = this.client.queue(CONTROL, 16);
    startDriver(transport);
    return this.#queue;
  }

  /** Asks the device for its limits. Returns the bytes of the answer. */
  query(): number {
    const command = this.client.alloc(8);
    command.bytes[0] = 6;
    const { address } = this.client.alloc(512);
    this.#queue.begin();
    this.#queue.addReadable(command.address, 8);
    this.#queue.addWritable(address, 512);
    this.#queue.commit(0, false);
    if (this.#queue.publish()) this.client.transport.notify(CONTROL);
    const element = { token: 0, written: 0 };
    while (!this.#queue.takeUsed(element)) expect(this.client.wait(60_000)).toBe(true);
    return element.written;
  }
}

const CONTROL = 2;
const QUERY_BYTES = 129;
const { DRIVER_OK, DEVICE_NEEDS_RESET } = DeviceStatus;

describe.skipIf(skipped !== undefined).each([
  ['split', false],
  ['packed', true],
])('an RDMA device with %s rings whose connection is lost', (_format, packed) => {
  it('has no objects any more, asks for a reset, and works again behind it', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'vrdma-'));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const path = join(directory, 'device.sock');
    const child = await serve(path, 'roce');
    const control = new Control(path, packed);
    const { transport } = control.client;
    for (let round = 0; round < 2; round++) {
      expect(control.query()).toBe(QUERY_BYTES);
      control.client.reconnect();
      expect(transport.readStatus() & (DRIVER_OK | DEVICE_NEEDS_RESET)).toBe(DRIVER_OK | DEVICE_NEEDS_RESET);
      expect(transport.configInterrupts).toBe(round + 1);
      control.start();
      expect(transport.readStatus() & DEVICE_NEEDS_RESET).toBe(0);
    }
    expect(control.query()).toBe(QUERY_BYTES);
    control.client.close();
    await end(child);
  });

  it('goes on when nobody had made anything yet', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'vrdma-'));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const path = join(directory, 'device.sock');
    const child = await serve(path, 'roce');
    const control = new Control(path, packed);
    control.client.reconnect();
    expect(control.client.transport.readStatus() & DEVICE_NEEDS_RESET).toBe(0);
    expect(control.query()).toBe(QUERY_BYTES);
    control.client.close();
    await end(child);
  });
});
