import { fstatSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Connection, ConnectionEnded } from '../../../src/transports/vhost-user/connection.js';
import type { Message } from '../../../src/transports/vhost-user/connection.js';
import {
  closeFd,
  drainEvent,
  newEvent,
  signalEvent,
} from '../../../src/transports/vhost-user/descriptors.js';
import { Request } from '../../../src/transports/vhost-user/protocol.js';
import { sendWithFds, socketPair } from '../../../src/transports/vhost-user/sockets.js';
import { hex, openFds, skipped } from './support.js';

const SOON_MS = 20;
const WATCHDOG_MS = 20_000;

function ended(act: () => unknown): ConnectionEnded {
  try {
    act();
  } catch (error) {
    if (error instanceof ConnectionEnded) return error;
    throw error;
  }
  throw new Error('the connection goes on');
}

/** The first thing that the event loop tells of a connection. */
function next(connection: Connection): Promise<Message | ConnectionEnded> {
  return new Promise(resolve => connection.listen({ message: resolve, ended: resolve }));
}

describe.skipIf(skipped !== undefined)('a vhost-user connection', () => {
  it('carries messages with descriptors, and gives each its own', () => {
    const before = openFds();
    const [a, b] = socketPair();
    const [front, back] = [new Connection(a), new Connection(b)];
    const event = newEvent();
    front.send(12, 0, hex('01 00 00 00 00 00 00 00'), [event]);
    front.send(1, 8, new Uint8Array(0));
    const first = back.receive(WATCHDOG_MS);
    const second = back.receive(WATCHDOG_MS);
    expect(first?.request).toBe(12);
    expect(first?.flags).toBe(1);
    expect(first?.payload).toEqual(hex('01 00 00 00 00 00 00 00'));
    expect(second).toEqual({ request: 1, flags: 9, payload: new Uint8Array(0), fds: [] });
    const [received = -1] = first?.fds ?? [];
    signalEvent(event);
    expect(drainEvent(received)).toBe(true);
    expect(drainEvent(event)).toBe(false);
    for (const fd of [event, received]) closeFd(fd);
    front.close();
    back.close();
    expect(openFds()).toBe(before);
  });

  it('puts a message together that comes byte by byte', () => {
    const [a, b] = socketPair();
    const back = new Connection(b);
    const whole = hex('12 00 00 00 01 00 00 00 08 00 00 00 02 00 00 00 01 00 00 00');
    for (const [i, byte] of whole.entries()) {
      expect(i === 0 ? back.receive(0) : undefined).toBeUndefined();
      sendWithFds(a, Uint8Array.of(byte), []);
    }
    expect(back.receive(WATCHDOG_MS)?.payload).toEqual(whole.subarray(12));
    closeFd(a);
    back.close();
  });

  it('returns nothing when the time is over and no message has begun', () => {
    const [a, b] = socketPair();
    const back = new Connection(b);
    expect(back.receive(SOON_MS)).toBeUndefined();
    closeFd(a);
    back.close();
  });

  it.each([
    ['closed', [], 'the peer hung up'],
    ['midway', [hex('0c 00 00 00 01 00')], 'the peer hung up in the middle of a header'],
    [
      'midway',
      [hex('0c 00 00 00 01 00 00 00 08 00 00 00 01')],
      'the peer hung up in the middle of SET_VRING_KICK',
    ],
    [
      'foreign',
      [new TextEncoder().encode('GET / HTTP/1.1\r\n')],
      'the peer does not speak vhost-user: a message starts with 47 45 54 20 2f 20 48 54 54 50 2f 31, and its version is not 1',
    ],
    [
      'malformed',
      [hex('05 00 00 00 01 00 00 00 ff ff ff 7f')],
      'SET_MEM_TABLE has a payload of 2147483647 bytes, at most 4096',
    ],
  ] as const)('ends as %s, and closes everything', (kind, bytes, message) => {
    const before = openFds();
    const [a, b] = socketPair();
    const back = new Connection(b);
    const event = newEvent();
    for (const part of bytes) sendWithFds(a, part, [event]);
    closeFd(event);
    closeFd(a);
    const why = ended(() => back.receive(WATCHDOG_MS));
    expect([why.kind, why.message]).toEqual([kind, message]);
    expect(openFds()).toBe(before);
    expect(ended(() => back.receive(0)).message).toBe('the connection is closed');
  });

  it('ends when a peer stops in the middle of a message', () => {
    const [a, b] = socketPair();
    const back = new Connection(b, { patienceMs: SOON_MS });
    sendWithFds(a, hex('0c 00 00'), []);
    expect(ended(() => back.receive(WATCHDOG_MS)).kind).toBe('timeout');
    closeFd(a);
  });

  it('ends when more descriptors come than a message may carry', () => {
    const before = openFds();
    const [a, b] = socketPair();
    const back = new Connection(b);
    const events = Array.from({ length: 10 }, newEvent);
    sendWithFds(a, hex('05 00 00 00'), events);
    sendWithFds(a, hex('01 00 00 00'), events);
    for (const event of events) closeFd(event);
    expect(ended(() => back.receive(WATCHDOG_MS)).message).toBe(
      'more than 16 descriptors came with a header',
    );
    closeFd(a);
    expect(openFds()).toBe(before);
  });

  it('hands messages on from the event loop, and says how it ended', async () => {
    const [a, b] = socketPair();
    const back = new Connection(b);
    const came: number[] = [];
    const end = new Promise<ConnectionEnded>(resolve =>
      back.listen({ message: ({ request }) => came.push(request), ended: resolve }),
    );
    const front = new Connection(a);
    for (let request = 1; request <= 200; request++) front.send(request, 0, new Uint8Array(8));
    front.close();
    expect((await end).kind).toBe('closed');
    expect(came).toEqual(Array.from({ length: 200 }, (_, i) => i + 1));
  });

  it('ends when a peer stops reading', () => {
    const before = openFds();
    const [a, b] = socketPair();
    const front = new Connection(a, { patienceMs: SOON_MS });
    const why = ended(() => {
      for (;;) front.send(Request.values.SET_VRING_NUM, 0, new Uint8Array(8));
    });
    expect(why.kind).toBe('timeout');
    expect(why.message).toBe(`the peer has not taken SET_VRING_NUM for ${SOON_MS} ms`);
    closeFd(b);
    expect(openFds()).toBe(before);
  });

  it('ends a half message from the event loop', async () => {
    const [a, b] = socketPair();
    const back = new Connection(b, { patienceMs: SOON_MS });
    const first = next(back);
    sendWithFds(a, hex('0c 00 00 00 01'), []);
    const why = await first;
    expect(why instanceof ConnectionEnded && why.kind).toBe('timeout');
    expect(() => fstatSync(b)).toThrow('EBADF');
    closeFd(a);
  });

  it('says so when the peer is gone while it sends', () => {
    const [a, b] = socketPair();
    closeFd(b);
    const front = new Connection(a);
    expect(ended(() => front.send(1, 0, new Uint8Array(0))).kind).toBe('lost');
  });
});
