/** A device that sends back what it is sent: every frame once, whole, in order, however both sides cut their memory. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NetFeature, netHeader } from '../../src/netdev/index.js';
import { FeatureBit, featureSet } from '../../src/virtio/index.js';
import { Machine, frameOf } from './support.js';

const noMerging = featureSet(NetFeature.MRG_RXBUF);
const noPacking = featureSet(FeatureBit.RING_PACKED);
const noOrder = featureSet(FeatureBit.IN_ORDER);
const fraction = fc.double({ min: 0, max: 0.999, noNaN: true });
const cuts = fc.array(fraction, { maxLength: 5 });

const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('send'), length: fc.integer({ min: 14, max: 1514 }), cuts }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('post'), length: fc.integer({ min: 12, max: 700 }), cuts }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('run'), length: fc.constant(0), cuts: fc.constant([]) }),
  },
);

/** Carries the steps out, then gives buffers until everything is back. What was sent, and what came. */
function exchange(
  machine: Machine,
  steps: readonly { kind: string; length: number; cuts: readonly number[] }[],
) {
  const sent: Uint8Array[] = [];
  const came: Uint8Array[] = [];
  let returned = 0;
  const look = () => {
    machine.run();
    returned += machine.reap();
    for (const { frame } of machine.receive()) came.push(frame);
  };
  for (const { kind, length, cuts: places } of steps) {
    if (kind === 'run') look();
    else if (kind === 'post') machine.post(machine.mergeable ? length : 1526, places);
    else {
      const frame = frameOf(length, sent.length);
      if (machine.send(frame, places)) sent.push(frame);
    }
  }
  for (let round = 0; came.length < sent.length && round < 200; round++) {
    for (let i = 0; i < 16; i++) machine.post(machine.mergeable ? 200 : 1526);
    look();
  }
  look();
  return { sent, came, returned };
}

describe('a device that loops', () => {
  for (const ring of ['split', 'packed'] as const) {
    for (const mergeable of [true, false]) {
      for (const indirect of [true, false]) {
        const cut = `${mergeable ? 'mergeable' : 'single'} buffers, ${indirect ? 'indirect' : 'direct'} chains`;
        it(`sends every frame back once, whole, in order: ${ring} ring, ${cut}`, () => {
          const without = (mergeable ? 0n : noMerging) | (ring === 'packed' ? 0n : noPacking);
          fc.assert(
            fc.property(fc.array(step, { maxLength: 60 }), fc.boolean(), (steps, inOrder) => {
              const machine = new Machine({ without: without | (inOrder ? 0n : noOrder), indirect }).start();
              const { sent, came, returned } = exchange(machine, steps);
              expect(came).toEqual(sent);
              expect(returned).toBe(sent.length);
              expect(machine.device.needsResetReason).toBeUndefined();
              expect(machine.device.counts).toMatchObject({
                sent: sent.length,
                received: sent.length,
                noBuffer: 0,
              });
            }),
            { numRuns: 80 },
          );
        });
      }
    }
  }

  it('hands on no header of the sender, and says in how many buffers a frame is', () => {
    const machine = new Machine().start();
    for (let i = 0; i < 3; i++) machine.post(100);
    machine.send(frameOf(200, 1), [], 0, new Uint8Array(netHeader.size).fill(0xff));
    machine.run();
    const [{ header, buffers }] = machine.receive();
    expect([...header]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0]);
    expect(buffers).toBe(3);
  });

  it('shows all buffers of one frame with one store of the used index', () => {
    const machine = new Machine({ size: 16 }).start();
    for (let i = 0; i < 8; i++) machine.post(64);
    machine.send(frameOf(300, 1));
    machine.device.run();
    expect(machine.receive()).toHaveLength(1);
  });

  it('holds a frame until there is a buffer, and loses none', () => {
    const machine = new Machine().start();
    machine.send(frameOf(60, 1));
    machine.run();
    expect(machine.reap()).toBe(0);
    machine.post(1526);
    expect(machine.wakes).toBeGreaterThan(0);
    machine.run();
    expect(machine.receive()).toHaveLength(1);
    expect(machine.reap()).toBe(1);
  });

  it('holds a frame that fills more buffers than there are', () => {
    const machine = new Machine().start();
    machine.post(100);
    machine.send(frameOf(200, 1));
    machine.run();
    expect(machine.receive()).toEqual([]);
    machine.post(100);
    machine.run();
    machine.post(100);
    machine.run();
    expect(machine.receive().map(({ frame }) => frame)).toEqual([frameOf(200, 1)]);
    expect(machine.device.counts.sent).toBe(1);
  });

  it('drops a frame that no buffer holds where a frame may fill only one, and goes on', () => {
    const machine = new Machine({ without: noMerging }).start();
    machine.post(100);
    machine.send(frameOf(200, 1));
    machine.send(frameOf(60, 2));
    machine.run();
    expect(machine.receive().map(({ frame }) => frame)).toEqual([frameOf(60, 2)]);
    expect(machine.reap()).toBe(2);
    expect(machine.device.counts).toMatchObject({ tooBig: 1, received: 1 });
  });

  it('drops a frame that not even all buffers of the queue hold', () => {
    const machine = new Machine({ size: 4 }).start();
    for (let i = 0; i < 4; i++) machine.post(20);
    machine.send(frameOf(200, 1));
    machine.send(frameOf(14, 2));
    machine.run();
    expect(machine.receive().map(({ frame }) => frame)).toEqual([frameOf(14, 2)]);
    expect(machine.device.counts.tooBig).toBe(1);
  });

  it('asks for no notification while it works, and for none of buffers it does not wait for', () => {
    const machine = new Machine({ size: 256, memoryBytes: 16 << 20 }).start();
    for (let i = 0; i < 200; i++) machine.post(1526);
    machine.run();
    const before = machine.transport.notifications;
    for (let i = 0; i < 50; i++) machine.post(1526);
    for (let i = 0; i < 50; i++) machine.send(frameOf(60, i));
    machine.run();
    expect(machine.receive()).toHaveLength(50);
    expect(machine.transport.notifications - before).toBe(1);
  });
});
