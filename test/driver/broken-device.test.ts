/** One lie a test: the driver gives the device up, and nobody gets a result out of the lie. */
import { describe, expect, it } from 'vitest';
import { Ack, Command, QpState, QpType, WcOpcode, WcStatus } from '../../src/abi/index.js';
import { DeviceStatus } from '../../src/virtio/index.js';
import { FakeWorld, le32s, startedWorld } from './fake-device.js';
import { completions, createObjects, errnoOf, oneElement, sendRequest, smallCap } from './setup.js';

function expectBroken(world: FakeWorld, reason: RegExp): void {
  expect(world.driver.failure).toMatch(reason);
  expect(world.transport.readStatus() & DeviceStatus.FAILED).toBe(DeviceStatus.FAILED);
}

describe('a lie in an answer', () => {
  /** The answer to one command; everything else is sound. */
  async function lie(
    verb: (world: FakeWorld) => Promise<unknown>,
    ack: number,
    result: Uint8Array = new Uint8Array(0),
    written?: number,
  ): Promise<FakeWorld> {
    const world = await startedWorld();
    world.device.hold = true;
    const bystander = errnoOf(world.driver.queryPort());
    const outcome = errnoOf(verb(world));
    world.device.answer(world.device.pending[1], ack, result, written);
    expect(await world.settle(outcome)).toBe('EIO');
    expect(await bystander).toBe('EIO');
    return world;
  }
  const createPd = (world: FakeWorld) => world.driver.createPd();
  const delGid = (world: FakeWorld) => world.driver.delGid(0);

  it('[HOST-10] [HOST-28] [HOST-29] about its length: 0', async () => {
    expectBroken(await lie(delGid, Ack.OK, undefined, 0), /without an ack/);
  });
  it('[HOST-11] in the ack byte', async () => {
    expectBroken(await lie(delGid, 2), /ack byte 2/);
    expectBroken(await lie(delGid, 0xff), /ack byte 255/);
  });
  it('[HOST-12] about its length: shorter than the result', async () => {
    expectBroken(await lie(createPd, Ack.OK, le32s(1), 4), /4 bytes, expected 5/);
    expectBroken(await lie(createPd, Ack.OK, le32s(1), 1), /1 bytes, expected 5/);
  });
  it('[VQ-43] about its length: longer than the buffer', async () => {
    expectBroken(await lie(createPd, Ack.OK, le32s(1), 6), /used length 6/);
  });
  it('[VQ-40] [CTRL-18] is none when a refusal claims the whole buffer: nothing is taken from it', async () => {
    const world = await startedWorld();
    world.device.hold = true;
    const outcome = errnoOf(world.driver.createPd());
    world.device.answer(world.device.pending[0], Ack.ERR, le32s(1), 5);
    expect(await world.settle(outcome)).toBe('EINVAL');
    expect(world.driver.failure).toBeUndefined();
  });
  it('[HOST-14] about the place of a completion queue', async () => {
    expectBroken(await lie(world => world.driver.createCq(4), Ack.OK, le32s(4)), /number 4 of 4/);
    expectBroken(
      await lie(world => world.driver.createCq(4), Ack.OK, le32s(0xffff_ffff)),
      /number 4294967295/,
    );
  });
});

describe('a number that cannot be', () => {
  async function forged(
    code: number,
    result: Uint8Array,
    verb: (world: FakeWorld, objects: Awaited<ReturnType<typeof createObjects>>) => Promise<unknown>,
  ): Promise<FakeWorld> {
    const world = await startedWorld();
    const objects = await createObjects(world);
    world.device.forge = (command, sound) => (command.code === code ? result : sound);
    expect(await errnoOf(world.settle(verb(world, objects)))).toBe('EIO');
    return world;
  }
  const qpInit = (sendCq: Parameters<FakeWorld['driver']['destroyCq']>[0], type: QpType) => ({
    type,
    sqSigAll: true,
    sendCq,
    recvCq: sendCq,
    cap: smallCap,
  });
  const address = { dgid: 'fe80' + '0'.repeat(28), sgidIndex: 0, flowLabel: 0, hopLimit: 0, trafficClass: 0 };

  it('[HOST-13] is one that is alive: protection domain', async () => {
    expectBroken(await forged(Command.CREATE_PD, le32s(100), ({ driver }) => driver.createPd()), /alive/);
  });
  it('[HOST-13] is one that is alive: completion queue', async () => {
    expectBroken(await forged(Command.CREATE_CQ, le32s(1), ({ driver }) => driver.createCq(1)), /alive/);
  });
  it('[HOST-13] is one that is alive: queue pair', async () => {
    const world = await forged(Command.CREATE_QP, le32s(2), ({ driver }, { pd, sendCq }) =>
      driver.createQp(pd, qpInit(sendCq, QpType.RC)),
    );
    expectBroken(world, /alive/);
  });
  it('[HOST-13] is one that is alive: address handle', async () => {
    const world = await forged(Command.CREATE_AH, le32s(5), async ({ driver }, { pd }) => {
      await driver.createAh(pd, address);
      await driver.createAh(pd, address);
    });
    expectBroken(world, /alive/);
  });
  it('[HOST-13] [HOST-16] is one that is alive: region and key', async () => {
    const region = { addr: 0x7f00_0000_0000, length: 1, access: 0 };
    const twice = async (
      { driver }: FakeWorld,
      { pd }: { pd: Parameters<FakeWorld['driver']['destroyPd']>[0] },
    ) => {
      await driver.regMr(pd, region);
      await driver.regMr(pd, region);
    };
    expectBroken(await forged(Command.REG_USER_MR, le32s(5, 0x500, 0), twice), /number 5/);
    let number = 0;
    const world = await startedWorld();
    const { pd } = await createObjects(world);
    world.device.forge = () => le32s(number++, 0x500, 0);
    expect(await errnoOf(world.settle(twice(world, { pd })))).toBe('EIO');
    expectBroken(world, /local key 1280/);
  });
  it('[HOST-16] [HOST-17] is a key of 0, a remote key without rights, and none with them', async () => {
    const region = (access: number) => ({ addr: 0x7f00_0000_0000, length: 1, access });
    for (const [access, keys, reason] of [
      [0, [7, 0, 0], /local key 0/],
      [1, [7, 1, 1], /remote key 1/],
      [4, [7, 1, 0], /remote key 0/],
    ] as const) {
      const world = await forged(Command.REG_USER_MR, le32s(...keys), ({ driver }, { pd }) =>
        driver.regMr(pd, region(access)),
      );
      expectBroken(world, reason);
    }
    const world = await forged(Command.GET_DMA_MR, le32s(7, 0, 0), ({ driver }, { pd }) =>
      driver.getDmaMr(pd, 0),
    );
    expectBroken(world, /local key 0/);
  });
  it.each([
    [QpType.RC, 0],
    [QpType.RC, 1],
    [QpType.GSI, 3],
    [QpType.UD, 6],
    [QpType.UC, 0xffff_ffff],
  ])('[HOST-15] is a queue pair of type %i with number %i', async (type, qpn) => {
    const world = await forged(Command.CREATE_QP, le32s(qpn), ({ driver }, { pd, sendCq }) =>
      driver.createQp(pd, qpInit(sendCq, type)),
    );
    expectBroken(world, /queue pair number/);
  });
  it('[HOST-18] is a state beyond the last one', async () => {
    const answer = new Uint8Array(120).fill(0);
    answer[0] = 7;
    expectBroken(
      await forged(Command.QUERY_QP, answer, ({ driver }, { qp }) => driver.queryQp(qp)),
      /state 7/,
    );
    answer[0] = 0;
    answer[2] = 2;
    expectBroken(
      await forged(Command.QUERY_QP, answer, ({ driver }, { qp }) => driver.queryQp(qp)),
      /sq_draining/,
    );
  });
});

describe('a lie in a completion', () => {
  async function world(oneCq = false) {
    const made = await startedWorld();
    const objects = await createObjects(made, { oneCq });
    made.driver.postSend(objects.qp, sendRequest(1));
    made.driver.postRecv(objects.qp, { wrId: 2, sges: oneElement });
    for (const index of [made.device.sq(2), made.device.rq(2)]) {
      made.device.takeRequests(index);
      made.device.returnRequests(index, 1);
    }
    return { world: made, ...objects };
  }
  const sound = { wr_id: 1, qp_num: 2, opcode: WcOpcode.SEND as number };
  const soundRecv = { wr_id: 2, qp_num: 2, opcode: WcOpcode.RECV as number, byte_len: 64 };

  it.each([
    ['[HOST-20] an unknown status', { ...sound, status: 16 }, /status 16/],
    ['[HOST-21] an unknown opcode', { ...sound, opcode: 5 }, /opcode 5/],
    ['[HOST-21] an unknown flag', { ...sound, wc_flags: 4 }, /flags 4/],
    ['[HOST-22] a queue pair that does not exist', { ...sound, qp_num: 3 }, /unknown queue pair 3/],
    ['[HOST-22] a queue pair far away', { ...sound, qp_num: 0xffff_ffff }, /unknown queue pair/],
    ['[HOST-22] a receive on the queue for sends', soundRecv, /wrong completion queue/],
    ['[HOST-23] a request that was not posted', { ...sound, wr_id: 9 }, /request 9/],
    ['[HOST-23] a failed request that was not posted', { ...sound, wr_id: 9, status: 4 }, /request 9/],
    ['[HOST-23] a failed receive on the queue for sends', { ...soundRecv, status: 4 }, /request 2/],
  ])('%s', async (_, fields, reason) => {
    const { world: made, sendCq } = await world();
    made.device.complete(0, fields);
    expect(await errnoOf(() => made.driver.pollCq(sendCq, completions(1), 1))).toBe('EIO');
    expectBroken(made, reason);
  });

  it.each([0, 1, 47])('[HOST-19] a length of %i', async written => {
    const { world: made, sendCq } = await world();
    made.device.complete(0, sound, written);
    expect(await errnoOf(() => made.driver.pollCq(sendCq, completions(1), 1))).toBe('EIO');
    expectBroken(made, /expected 48/);
  });

  it('[HOST-23] [HOST-29] a request that is complete already; what came before it is delivered', async () => {
    const { world: made, sendCq } = await world();
    made.device.complete(0, sound);
    made.device.complete(0, sound);
    const into = completions(4);
    expect(made.driver.pollCq(sendCq, into, 4)).toBe(1);
    expect(into[0].wrId).toBe(1);
    expectBroken(made, /complete already/);
    expect(await errnoOf(() => made.driver.pollCq(sendCq, into, 4))).toBe('EIO');
  });

  it('[HOST-22] a queue pair that uses other completion queues', async () => {
    const { world: made } = await world(true);
    const other = await made.settle(made.driver.createCq(4));
    made.device.complete(1, sound);
    expect(await errnoOf(() => made.driver.pollCq(other, completions(1), 1))).toBe('EIO');
    expectBroken(made, /does not use/);
  });

  it('[HOST-22] a queue pair that was destroyed', async () => {
    const { world: made, qp, sendCq } = await world();
    await made.settle(made.driver.destroyQp(qp));
    made.device.complete(0, sound);
    expect(await errnoOf(() => made.driver.pollCq(sendCq, completions(1), 1))).toBe('EIO');
    expectBroken(made, /unknown queue pair 2/);
  });

  it('[HOST-24] a receive with more bytes than it had room for', async () => {
    const { world: made, recvCq } = await world();
    made.device.complete(1, { ...soundRecv, byte_len: 65 });
    expect(await errnoOf(() => made.driver.pollCq(recvCq, completions(1), 1))).toBe('EIO');
    expectBroken(made, /65 bytes into 64/);
  });

  it('[HOST-32] has no second look to wait for: each byte of a completion is read once', async () => {
    const reads: number[] = [];
    const made = new FakeWorld();
    const allocDma = made.guest.allocDma.bind(made.guest);
    made.guest.allocDma = (bytes, alignment) => {
      const allocated = allocDma(bytes, alignment);
      const { view, address } = allocated;
      const getUint8 = view.getUint8.bind(view);
      const getUint32 = view.getUint32.bind(view);
      view.getUint8 = at => {
        reads.push(address + at);
        return getUint8(at);
      };
      view.getUint32 = (at, littleEndian) => {
        for (let byte = 0; byte < 4; byte++) reads.push(address + at + byte);
        return getUint32(at, littleEndian);
      };
      return allocated;
    };
    await made.start();
    const { qp, sendCq } = await createObjects(made);
    made.driver.postSend(qp, sendRequest(1));
    made.device.complete(0, sound);
    reads.length = 0;
    expect(made.driver.pollCq(sendCq, completions(1), 1)).toBe(1);
    // wr_id, status, opcode, vendor_err, byte_len, imm_data, qp_num, src_qp, wc_flags
    expect(reads).toHaveLength(8 + 1 + 1 + 4 + 4 + 4 + 4 + 4 + 4);
    expect(new Set(reads).size).toBe(reads.length);
  });
});

describe('a lie about requests and buffers', () => {
  it('[HOST-25] is an order that is not theirs', async () => {
    const world = await startedWorld();
    const { qp } = await createObjects(world);
    const index = world.device.sq(2);
    for (let i = 0; i < 4; i++) world.driver.postSend(qp, sendRequest(i));
    world.device.takeRequests(index);
    world.device.returnRequests(index, 2, true);
    expect(await errnoOf(() => world.driver.postSend(qp, sendRequest(4)))).toBe('EIO');
    expectBroken(world, /slot 3 came back, but 0 is older/);
  });

  it.each(['destroy', 'reset'] as const)('[HOST-26] [HOST-30] is a request kept after a %s', async how => {
    const world = await startedWorld();
    const { qp } = await createObjects(world);
    world.driver.postSend(qp, sendRequest(1));
    world.driver.postRecv(qp, { wrId: 1, sges: [] });
    world.device.hold = true;
    const held = world.guest.dmaBytesInUse;
    const verb =
      how === 'destroy' ? world.driver.destroyQp(qp) : world.driver.modifyQp(qp, { qpState: QpState.RESET });
    world.device.answer(world.device.pending[0], Ack.OK);
    expect(await errnoOf(world.settle(verb))).toBe('EIO');
    expectBroken(world, /kept 1 requests/);
    expect(world.guest.dmaBytesInUse).toBe(held);
  });

  it('[HOST-27] [HOST-30] is a buffer kept after DESTROY_CQ', async () => {
    const world = await startedWorld();
    const cq = await world.settle(world.driver.createCq(4));
    world.device.hold = true;
    const held = world.guest.dmaBytesInUse;
    const verb = world.driver.destroyCq(cq);
    world.device.answer(world.device.pending[0], Ack.OK);
    expect(await errnoOf(world.settle(verb))).toBe('EIO');
    expectBroken(world, /4 buffers/);
    expect(world.guest.dmaBytesInUse).toBe(held);
  });

  it('[VQ-42] [VQ-45] [HOST-35] is a used id that was never given out, on any queue', async () => {
    const onCq = await startedWorld();
    const { sendCq } = await createObjects(onCq);
    onCq.device.forgeUsed(onCq.device.cq(0), 63, 48);
    expect(await errnoOf(() => onCq.driver.pollCq(sendCq, completions(1), 1))).toBe('EIO');
    expectBroken(onCq, /used id 63/);
    const onSq = await startedWorld();
    const { qp } = await createObjects(onSq);
    for (let i = 0; i < 4; i++) onSq.driver.postSend(qp, sendRequest(i));
    onSq.device.forgeUsed(onSq.device.sq(2), 0xffff_ffff, 0);
    expect(await errnoOf(() => onSq.driver.postSend(qp, sendRequest(9)))).toBe('EIO');
    expectBroken(onSq, /used id 4294967295/);
    const onControl = await startedWorld();
    onControl.device.hold = true;
    const pending = errnoOf(onControl.driver.createPd());
    onControl.device.forgeUsed(onControl.device.control.index, 17, 1);
    onControl.device.interrupt(onControl.device.control.index);
    expect(await onControl.settle(pending)).toBe('EIO');
    expectBroken(onControl, /used id 17/);
  });

  it('[VQ-44] is more used elements than there are chains, also when nothing is outstanding', async () => {
    const world = await startedWorld();
    world.device.forgeUsed(world.device.control.index, 0, 1);
    world.device.interrupt(world.device.control.index);
    await world.turn();
    expectBroken(world, /used index/);
  });

  it('names a status of success only: completions keep their own error statuses', async () => {
    const world = await startedWorld();
    const { qp, sendCq } = await createObjects(world);
    world.driver.postSend(qp, sendRequest(1));
    world.device.complete(0, { wr_id: 1, qp_num: 2, status: WcStatus.FATAL_ERR });
    expect(world.driver.pollCq(sendCq, completions(1), 1)).toBe(1);
    expect(world.driver.failure).toBeUndefined();
  });
});
