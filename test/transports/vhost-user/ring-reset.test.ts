/** RING_RESET through a vhost-user front-end: one queue gets a new ring while the device and its other queues go on. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectVhostUser } from '../../../src/transports/vhost-user/client.js';
import type { SharedBuffer, VhostUserClient } from '../../../src/transports/vhost-user/client.js';
import { FeatureBit, featureSet, negotiate, startDriver } from '../../../src/virtio/index.js';
import type { DriverQueue } from '../../../src/virtio/index.js';
import { skipped } from './support.js';

const main = fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url));
const RECEIVE = 0;
const TRANSMIT = 1;
const SIZE = 16;
const FRAME = 12 + 60;
const { RING_RESET, RING_PACKED, IN_ORDER, VERSION_1 } = FeatureBit;

/** A queue with its ring's memory and a buffer for each of its chains. */
class Side {
  readonly queue: DriverQueue;
  readonly buffers: readonly SharedBuffer[];
  readonly #client: VhostUserClient;
  readonly #index: number;
  readonly #start: number;
  readonly #end: number;

  constructor(client: VhostUserClient, index: number) {
    this.#client = client;
    this.#index = index;
    this.#start = client.alloc(16, 16).address;
    this.queue = client.queue(index, SIZE);
    this.#end = client.alloc(16, 16).address;
    this.buffers = Array.from({ length: SIZE }, () => client.alloc(FRAME));
  }

  /** Every byte of the ring and of its buffers. */
  get bytes(): Buffer {
    const ring = new Uint8Array(this.#end - this.#start);
    this.#client.memory.read(this.#start, ring, 0, ring.length);
    return Buffer.concat([ring, ...this.buffers.map(({ bytes }) => bytes)]);
  }

  /** Makes a chain of one descriptor available and tells the device. */
  give(token: number): void {
    const { address } = this.buffers[token];
    this.queue.begin();
    if (this.#index === RECEIVE) this.queue.addWritable(address, FRAME);
    else this.queue.addReadable(address, FRAME);
    expect(this.queue.commit(token, false)).toBe(true);
    if (this.queue.publish()) this.#client.transport.notify(this.#index);
  }

  send(token: number, mark: number): void {
    this.buffers[token].bytes.fill(mark, 12);
    this.give(token);
  }

  /** The chains that have come back, each with the mark of its frame. */
  take(): { token: number; mark: number }[] {
    const came = [];
    for (const element = { token: 0, written: 0 }; this.queue.takeUsed(element);)
      came.push({ token: element.token, mark: this.buffers[element.token].bytes[12] });
    expect(this.queue.broken).toBe(undefined);
    return came;
  }

  /** Waits for so many. */
  await(count: number): { token: number; mark: number }[] {
    const came = this.take();
    while (came.length < count) {
      expect(this.#client.wait(60_000)).toBe(true);
      came.push(...this.take());
    }
    return came;
  }
}

describe.skipIf(skipped !== undefined).each([
  ['split', []],
  ['split, in order', [IN_ORDER]],
  ['packed', [RING_PACKED]],
  ['packed, in order', [RING_PACKED, IN_ORDER]],
])('a queue of a device that is served, reset alone: %s', (_format, bits) => {
  let directory: string;
  let path: string;
  let end: () => Promise<unknown>;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'vrdma-'));
    path = join(directory, 'device.sock');
    const child = spawn(process.execPath, [main, 'serve', '--device', 'loop', '--socket', path], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    await once(child.stderr, 'data');
    end = () => {
      child.kill('SIGTERM');
      return once(child, 'exit');
    };
  });
  afterAll(async () => {
    await end();
    rmSync(directory, { recursive: true });
  });

  function start(...more: readonly number[]): { client: VhostUserClient; receive: Side; transmit: Side } {
    const client = connectVhostUser(path, { deviceId: 1, queueCount: 2 });
    const required = featureSet(VERSION_1, ...bits, ...more);
    negotiate(client.transport, { wanted: required, required });
    const receive = new Side(client, RECEIVE);
    const transmit = new Side(client, TRANSMIT);
    startDriver(client.transport);
    return { client, receive, transmit };
  }

  it('begins anew with buffers of its own, and those of before are left alone: VQ-75, VQ-76', () => {
    const { client, receive, transmit } = start(RING_RESET);
    for (let token = 0; token < SIZE; token++) receive.give(token);
    for (let token = 0; token < 5; token++) transmit.send(token, token);
    expect(receive.await(5).map(({ mark }) => mark)).toEqual([0, 1, 2, 3, 4]);
    transmit.await(5);
    client.transport.resetQueue(RECEIVE);
    expect(client.transport.queueEnabled(RECEIVE)).toBe(false);
    const left = receive.bytes;
    // Nobody receives these: they wait in a ring that goes on.
    for (let token = 5; token < 9; token++) transmit.send(token, token);
    const again = new Side(client, RECEIVE);
    for (let token = 0; token < SIZE; token++) again.give(token);
    expect(again.await(4)).toEqual([5, 6, 7, 8].map((mark, token) => ({ token, mark })));
    transmit.await(4);
    for (let round = 0; round < 3; round++) {
      for (let token = 0; token < 4; token++) transmit.send(token, 100 + token);
      expect(again.await(4).map(({ mark }) => mark)).toEqual([100, 101, 102, 103]);
      transmit.await(4);
    }
    expect(receive.bytes.equals(left)).toBe(true);
    client.close();
  });

  it('drops what was in flight, and the others go on where they were: VQ-75, VQ-77', () => {
    const { client, receive, transmit } = start(RING_RESET);
    // More than the receive queue has buffers for: three frames are with the device when the ring goes away.
    receive.give(0);
    receive.give(1);
    for (let token = 0; token < 5; token++) transmit.send(token, token);
    expect(receive.await(2).map(({ mark }) => mark)).toEqual([0, 1]);
    client.transport.resetQueue(TRANSMIT);
    const left = transmit.bytes;
    const again = new Side(client, TRANSMIT);
    for (let token = 2; token < 6; token++) receive.give(token);
    for (let token = 0; token < 4; token++) again.send(token, 50 + token);
    expect(receive.await(4)).toEqual([2, 3, 4, 5].map((token, i) => ({ token, mark: 50 + i })));
    expect(again.await(4).map(({ token }) => token)).toEqual([0, 1, 2, 3]);
    expect(transmit.bytes.equals(left)).toBe(true);
    client.close();
  });

  it('goes on as it was when that was not agreed on: VQ-78', () => {
    const { client, receive, transmit } = start();
    receive.give(0);
    client.transport.resetQueue(RECEIVE);
    expect(client.transport.queueEnabled(RECEIVE)).toBe(true);
    transmit.send(0, 7);
    expect(receive.await(1)).toEqual([{ token: 0, mark: 7 }]);
    client.close();
  });
});
