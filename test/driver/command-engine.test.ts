/** Many commands in flight, answers in any order, and no answer taken for another's. */
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { Ack, Command } from '../../src/abi/index.js';
import { SeededChoices } from '../../src/fabric/index.js';
import type { ProtectionDomain } from '../../src/verbs/index.js';
import { SplitDriverQueue } from '../../src/virtio/index.js';
import { FakeWorld, le32s, startedWorld } from './fake-device.js';
import { createObjects, errnoOf } from './setup.js';

const rings = [false, true].flatMap(indirect => [false, true].map(eventIdx => ({ indirect, eventIdx })));

describe('a command', () => {
  it.each(rings)(
    '[PERF-11] [PERF-08] [CTRL-17] goes out as header, data, ack and result, once: indirect $indirect, event index $eventIdx',
    async ringFeatures => {
      const world = await startedWorld({ ringFeatures });
      world.device.hold = true;
      const kicks = world.transport.notifications;
      const cq = world.driver.createCq(5);
      expect(world.transport.notifications - kicks).toBe(1);
      expect(world.device.log).toEqual([Command.QUERY_DEVICE, Command.CREATE_CQ]);
      const [command] = world.device.pending;
      expect([command.chain.readableBytes, command.chain.writableBytes]).toEqual([2 + 4, 1 + 4]);
      expect(command.data.getUint32(0, true)).toBe(5);
      world.device.answerSoundly(command);
      expect((await world.settle(cq)).cqe).toBe(5);
    },
  );

  it('has one interrupt for its answer and calls nobody twice', async () => {
    const world = await startedWorld();
    let settled = 0;
    const pd = world.driver.createPd().then(() => settled++);
    await world.settle(pd);
    world.device.interrupt(2);
    world.device.interrupt(2);
    await world.turn();
    expect(settled).toBe(1);
    expect(world.driver.failure).toBeUndefined();
  });

  it('waits in order when all slots are taken, and none is lost', async () => {
    const world = await startedWorld({ queueSizeMax: 8 });
    world.device.hold = true;
    const order: number[] = [];
    const all = Array.from({ length: 20 }, (_, i) => world.driver.delGid(i).then(() => order.push(i)));
    expect(world.device.pending).toHaveLength(2);
    while (order.length < 20) {
      const [oldest] = world.device.pending;
      expect(oldest.data.getUint16(0, true)).toBe(order.length);
      world.device.answerSoundly(oldest);
      await world.turn();
    }
    await Promise.all(all);
    expect(order).toEqual(Array.from({ length: 20 }, (_, i) => i));
  });

  it('[ERR-02] [ERR-04] [ERR-06] turns a refusal into EINVAL, or into ENOMEM when the limit is reached', async () => {
    const world = await startedWorld();
    const { driver, device } = world;
    device.refused.add(Command.CREATE_PD);
    expect(await errnoOf(world.settle(driver.createPd()))).toBe('EINVAL');
    device.refused.clear();
    const pds: ProtectionDomain[] = [];
    for (let i = 0; i < 3; i++) pds.push(await world.settle(driver.createPd()));
    device.refused.add(Command.CREATE_PD);
    expect(await errnoOf(world.settle(driver.createPd()))).toBe('ENOMEM');
    device.refused.add(Command.DESTROY_PD);
    expect(await errnoOf(world.settle(driver.destroyPd(pds[0])))).toBe('EINVAL');
    device.refused.clear();
    await world.settle(driver.destroyPd(pds[0]));
    await world.settle(driver.createPd());
  });

  it('[ERR-06] frees what a refused create had taken', async () => {
    const world = await startedWorld();
    const { driver, device, guest } = world;
    const { pd, sendCq, recvCq, qp } = await createObjects(world);
    const held = guest.dmaBytesInUse;
    for (const code of [Command.CREATE_CQ, Command.CREATE_QP, Command.REG_USER_MR]) device.refused.add(code);
    const init = { type: qp.type, sqSigAll: false, sendCq, recvCq, cap: qp.cap };
    expect(await errnoOf(world.settle(driver.createCq(8)))).toBe('EINVAL');
    expect(await errnoOf(world.settle(driver.createQp(pd, init)))).toBe('EINVAL');
    const region = { addr: guest.arenaAddress(1), length: 9000, access: 1 };
    expect(await errnoOf(world.settle(driver.regMr(pd, region)))).toBe('EINVAL');
    expect(guest.dmaBytesInUse).toBe(held);
    await world.settle(driver.destroyQp(qp));
    await world.settle(driver.destroyPd(pd));
  });
});

describe('answers in any order', () => {
  // Law: whatever the order in which a device answers the commands that are in flight, each verb settles exactly once and
  // with the answer to its own command.
  it('[ERR-07] [VQ-39] settle each verb once, with its own answer', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ refused: fc.boolean(), answerFirst: fc.nat(15) }), {
          minLength: 1,
          maxLength: 40,
        }),
        fc.nat(),
        fc.boolean(),
        async (commands, seed, indirect) => {
          const world = await startedWorld({
            choices: new SeededChoices(seed),
            ringFeatures: { indirect, eventIdx: seed % 2 === 0 },
          });
          world.device.hold = true;
          const outcomes: string[][] = commands.map(() => []);
          for (const [i] of commands.entries()) {
            void errnoOf(world.driver.delGid(i)).then(errno => outcomes[i].push(errno));
          }
          for (const { answerFirst } of commands) {
            const { pending } = world.device;
            const command = pending[answerFirst % pending.length];
            const { refused } = commands[command.data.getUint16(0, true)];
            world.device.answer(command, refused ? Ack.ERR : Ack.OK);
            if (answerFirst % 3 === 0) world.scheduler.step();
            if (answerFirst % 2 === 0 || pending.length === 0) await world.turn();
          }
          await world.turn();
          expect(outcomes).toEqual(commands.map(({ refused }) => [refused ? 'EINVAL' : 'ok']));
        },
      ),
      { numRuns: 150 },
    );
  });

  it('[ERR-07] gives each of many creations the number that its own answer held', async () => {
    const world = await startedWorld();
    world.device.hold = true;
    const made = [7, 9, 8].map(() => world.driver.createPd());
    const [first, second, third] = [...world.device.pending];
    world.device.answer(third, Ack.OK, le32s(8));
    world.device.answer(first, Ack.OK, le32s(7));
    world.device.answer(second, Ack.OK, le32s(9));
    const pds = await world.settle(Promise.all(made));
    for (const pd of pds) void world.driver.destroyPd(pd);
    expect(world.device.pending.map(({ data }) => data.getUint32(0, true))).toEqual([7, 9, 8]);
  });
});

describe('no lost wake-up', () => {
  // Law: answers that come at any moment of the driver's bottom half are seen, although interrupts are off while it works.
  it.each(rings)(
    '[VQ-74] [PERF-10] sees an answer that comes while it works on another: indirect $indirect, event index $eventIdx',
    async ringFeatures => {
      for (let seed = 1; seed <= 60; seed++) {
        const world = await startedWorld({ ringFeatures, choices: new SeededChoices(seed) });
        world.device.hold = true;
        let settled = 0;
        const submit = (): void => void world.driver.delGid(0).then(() => settled++);
        const answerOne = { run: () => answerOldest(world) };
        for (let i = 0; i < 12; i++) {
          submit();
          world.scheduler.post(answerOne);
          if (seed % 3 === 0) await Promise.resolve();
        }
        await world.turn();
        expect(settled, `seed ${seed}`).toBe(12);
      }
    },
  );

  it.each(rings)(
    '[VQ-74] sees an answer that comes between its last look and its request for interrupts: indirect $indirect, event index $eventIdx',
    async ringFeatures => {
      const world = await startedWorld({ ringFeatures });
      world.device.hold = true;
      const done: string[] = [];
      void world.driver.delGid(0).then(() => done.push('first'));
      void world.driver.delGid(1).then(() => done.push('second'));
      const [first, second] = world.device.pending;
      const enable = vi.spyOn(SplitDriverQueue.prototype, 'enableInterrupts');
      enable.mockImplementationOnce(function (this: SplitDriverQueue) {
        const interrupts = world.transport.queueInterrupts;
        world.device.answer(second, Ack.OK);
        // Nobody asked for an interrupt, so there was none: only a second look finds the answer.
        expect(world.transport.queueInterrupts).toBe(interrupts);
        enable.mockRestore();
        return this.enableInterrupts();
      });
      world.device.answer(first, Ack.OK);
      await world.turn();
      expect(done).toEqual(['first', 'second']);
    },
  );

  it('[CQ-52] works without control interrupts when somebody polls', async () => {
    const world = new FakeWorld({ driver: { controlMode: 'polling' } });
    const started = world.driver.start();
    world.driver.pollControl();
    await started;
    const interrupts = world.transport.queueInterrupts;
    const pd = world.driver.createPd();
    await world.turn();
    world.driver.pollControl();
    await pd;
    expect(world.transport.queueInterrupts).toBe(interrupts);
  });
});

function answerOldest(world: FakeWorld): void {
  const [oldest] = world.device.pending;
  if (oldest !== undefined) world.device.answerSoundly(oldest);
}
