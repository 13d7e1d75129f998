/** What each control verb sends, and what it refuses before it sends anything. */
import { describe, expect, it } from 'vitest';
import {
  AccessFlag,
  Command,
  QpAttrMask,
  QpState,
  QpType,
  modifyQpCommand,
  readLe64,
  regUserMrCommand,
} from '../../src/abi/index.js';
import { ARENA_BASE, PAGE_BYTES } from '../../src/conformance/simulated-guest.js';
import type { QpAttributes } from '../../src/verbs/index.js';
import { startedWorld } from './fake-device.js';
import type { FakeWorld, TakenCommand } from './fake-device.js';
import { createObjects, errnoOf, smallCap, walkTo } from './setup.js';

const peer = {
  dgid: 'fe80' + '0'.repeat(27) + '7',
  sgidIndex: 1,
  flowLabel: 5,
  hopLimit: 6,
  trafficClass: 7,
};

/** The command that a verb sends; it stays unanswered. */
function sent(world: FakeWorld, verb: () => Promise<unknown>): TakenCommand {
  world.device.hold = true;
  void errnoOf(verb());
  const command = world.device.pending.at(-1);
  if (command === undefined) throw new Error('nothing was sent');
  return command;
}

async function refusedSilently(world: FakeWorld, verb: () => Promise<unknown>): Promise<string> {
  const before = world.device.log.length;
  const errno = await errnoOf(verb());
  expect(world.device.log).toHaveLength(before);
  return errno;
}

describe('memory regions', () => {
  it('[PERF-12] [ISO-06] list the place of every page that the region touches, and no other', async () => {
    const world = await startedWorld();
    const { guest, driver } = world;
    const pd = await world.settle(driver.createPd());
    for (const [offset, length, pages] of [
      [0, 1, 1],
      [4095, 1, 1],
      [4095, 2, 2],
      [100, 3 * PAGE_BYTES, 4],
      [0, 5 * PAGE_BYTES, 5],
    ]) {
      const addr = guest.arenaAddress(offset);
      const { code, data } = sent(world, () => driver.regMr(pd, { addr, length, access: 7 }));
      expect(code).toBe(Command.REG_USER_MR);
      expect(regUserMrCommand.decode(data, 0)).toEqual({
        pdn: 100,
        access_flags: 7,
        virt_addr: addr,
        length,
        npages: pages,
      });
      expect(data.byteLength).toBe(regUserMrCommand.size + 8 * pages);
      for (let page = 0; page < pages; page++) {
        const place = guest.translate(ARENA_BASE + (Math.floor(offset / PAGE_BYTES) + page) * PAGE_BYTES);
        expect(readLe64(data, regUserMrCommand.size + 8 * page)).toBe(place);
      }
    }
  });

  it('[PERF-12] translates each page once', async () => {
    const translated: number[] = [];
    const world = await startedWorld();
    const { guest, driver } = world;
    const pd = await world.settle(driver.createPd());
    const translate = guest.translate.bind(guest);
    guest.translate = address => {
      translated.push(address);
      return translate(address);
    };
    const region = { addr: ARENA_BASE + 10, length: 4 * PAGE_BYTES, access: 0 };
    await world.settle(driver.regMr(pd, region));
    expect(translated.toSorted((a, b) => a - b)).toEqual(
      [0, 1, 2, 3, 4].map(page => ARENA_BASE + page * PAGE_BYTES),
    );
  });

  it.each([
    ['no bytes', { addr: ARENA_BASE, length: 0, access: 0 }, 'EINVAL'],
    ['too many bytes', { addr: ARENA_BASE, length: (1 << 20) + 1, access: 0 }, 'EINVAL'],
    ['a fraction', { addr: ARENA_BASE + 0.5, length: 1, access: 0 }, 'EINVAL'],
    ['an end beyond 2^53', { addr: Number.MAX_SAFE_INTEGER, length: 2, access: 0 }, 'EINVAL'],
    ['unknown rights', { addr: ARENA_BASE, length: 1, access: 8 }, 'EINVAL'],
    [
      'remote without local write',
      { addr: ARENA_BASE, length: 1, access: AccessFlag.REMOTE_WRITE },
      'EINVAL',
    ],
    ['memory that is not mapped', { addr: ARENA_BASE - 1, length: 2, access: 0 }, 'EFAULT'],
    ['memory whose end is not mapped', { addr: ARENA_BASE + 65_535, length: 2, access: 0 }, 'EFAULT'],
  ])('[ERR-01] refuses %s and sends nothing', async (_, init, errno) => {
    const world = await startedWorld();
    const pd = await world.settle(world.driver.createPd());
    const held = world.guest.dmaBytesInUse;
    expect(await refusedSilently(world, () => world.driver.regMr(pd, init))).toBe(errno);
    expect(world.guest.dmaBytesInUse).toBe(held);
    await world.settle(world.driver.destroyPd(pd));
  });

  it('[OVR-09] hands keys to the program as the device gave them', async () => {
    const world = await startedWorld();
    const { driver } = world;
    const pd = await world.settle(driver.createPd());
    const mr = await world.settle(driver.regMr(pd, { addr: ARENA_BASE, length: 1, access: 0 }));
    const all = await world.settle(driver.getDmaMr(pd, 7));
    expect([mr.lkey, mr.rkey, all.lkey, all.rkey]).toEqual([0x100, 0, 0x200, 0x200]);
    expect(await errnoOf(driver.destroyPd(pd))).toBe('EBUSY');
    expect(sent(world, () => driver.deregMr(all)).data.getUint32(0, true)).toBe(201);
  });
});

describe('queue pairs', () => {
  it('[OVR-04] are created with the numbers of their objects and the capacities asked for', async () => {
    const world = await startedWorld();
    const { pd, sendCq, recvCq, qp } = await createObjects(world);
    expect([qp.qpNum, qp.cap]).toEqual([2, smallCap]);
    const init = { type: QpType.UD, sqSigAll: true, sendCq: recvCq, recvCq: sendCq, cap: smallCap };
    const { data } = sent(world, () => world.driver.createQp(pd, init));
    expect([0, 8, 12, 16, 20, 24, 28, 32].map(at => data.getUint32(at, true))).toEqual([
      100, 1, 0, 4, 4, 2, 2, 32,
    ]);
    expect([data.getUint8(4), data.getUint8(5)]).toEqual([QpType.UD, 1]);
  });

  it.each([
    ['type SMI', { type: QpType.SMI }],
    ['more sends than max_qp_wr', { cap: { ...smallCap, maxSendWr: 65 } }],
    ['more receives than max_qp_wr', { cap: { ...smallCap, maxRecvWr: 65 } }],
    ['more send elements than the limit', { cap: { ...smallCap, maxSendSge: 5 } }],
    ['more receive elements than the limit', { cap: { ...smallCap, maxRecvSge: 5 } }],
    ['more inline bytes than a request holds', { cap: { ...smallCap, maxInlineData: 513 } }],
    ['a negative capacity', { cap: { ...smallCap, maxSendWr: -1 } }],
  ])('[ERR-01] refuses %s and sends nothing', async (_, over) => {
    const world = await startedWorld();
    const { pd, sendCq, recvCq } = await createObjects(world);
    const init = { type: QpType.RC, sqSigAll: true, sendCq, recvCq, cap: smallCap, ...over };
    expect(await refusedSilently(world, () => world.driver.createQp(pd, init))).toBe('EINVAL');
  });

  it('[OVR-04] [OVR-06] send the attributes that are present, with a mask that names them and zeros elsewhere', async () => {
    const world = await startedWorld();
    const { qp } = await createObjects(world);
    const attributes: QpAttributes = {
      qpState: QpState.RTR,
      curQpState: QpState.RTS,
      pathMtu: 1,
      maxRdAtomic: 2,
      maxDestRdAtomic: 3,
      minRnrTimer: 4,
      timeout: 5,
      retryCnt: 6,
      rnrRetry: 7,
      qkey: 0x8000_0001,
      rqPsn: 9,
      sqPsn: 10,
      destQpNum: 11,
      qpAccessFlags: 12,
      rateLimit: 13,
      cap: smallCap,
      ahAttr: peer,
    };
    const full = modifyQpCommand.decode(sent(world, () => world.driver.modifyQp(qp, attributes)).data, 0);
    expect(full).toMatchObject({
      qpn: 2,
      attr_mask: 0x1ffff,
      qkey: 0x8000_0001,
      rate_limit: 13,
      rnr_retry: 7,
    });
    expect([...full.ah_attr.grh.dgid]).toEqual([0xfe, 0x80, ...Array.from({ length: 13 }, () => 0), 7]);
    expect(full.ah_attr.grh).toMatchObject({ flow_label: 5, sgid_index: 1, hop_limit: 6, traffic_class: 7 });
    const { data } = sent(world, () => world.driver.modifyQp(qp, { timeout: 5 }));
    const expected = { ...modifyQpCommand.zero(), qpn: 2, attr_mask: QpAttrMask.TIMEOUT, timeout: 5 };
    expect(modifyQpCommand.decode(data, 0)).toEqual(expected);
  });

  it.each<[string, QpAttributes]>([
    ['a timeout of 256', { timeout: 256 }],
    ['a negative retry count', { retryCnt: -1 }],
    ['a queue key of 2^32', { qkey: 2 ** 32 }],
    ['half a path MTU', { pathMtu: 1.5 }],
    ['a GID that is none', { ahAttr: { ...peer, dgid: 'fe80' } }],
    ['a GID entry above a byte', { ahAttr: { ...peer, sgidIndex: 256 } }],
  ])('[ERR-01] refuse %s and send nothing', async (_, attributes) => {
    const world = await startedWorld();
    const { qp } = await createObjects(world);
    expect(await refusedSilently(world, () => world.driver.modifyQp(qp, attributes))).toBe('EINVAL');
  });

  it('[QP-34] refuse by themselves what the table of states refuses from RESET', async () => {
    const world = await startedWorld();
    const { qp } = await createObjects(world, { state: QpState.RESET });
    const refused: QpAttributes[] = [
      { qpState: QpState.RTR },
      { qpState: QpState.ERR },
      { qpState: QpState.INIT },
      { qpState: QpState.INIT, qkey: 1 },
      { qpState: QpState.INIT, qpAccessFlags: 0, curQpState: QpState.RTS },
      { timeout: 1 },
    ];
    for (const attributes of refused) {
      expect(await refusedSilently(world, () => world.driver.modifyQp(qp, attributes))).toBe('EINVAL');
    }
    await world.settle(world.driver.modifyQp(qp, { qpState: QpState.RESET }));
    await walkTo(world, qp, QpState.RTS);
    await world.settle(world.driver.modifyQp(qp, { qpState: QpState.INIT }));
  });

  it('answers a query with what the device says, and with no address where there is none', async () => {
    const world = await startedWorld();
    const { qp } = await createObjects(world);
    const answer = new Uint8Array(120);
    const view = new DataView(answer.buffer);
    view.setUint8(0, QpState.SQD);
    view.setUint8(2, 1);
    view.setUint32(24, 0x123456, true);
    view.setUint32(56, 32, true);
    world.device.forge = () => answer;
    const snapshot = await world.settle(world.driver.queryQp(qp));
    expect(snapshot).toMatchObject({
      qpState: QpState.SQD,
      sqDraining: true,
      sqPsn: 0x123456,
      ahAttr: undefined,
    });
    expect(snapshot.cap.maxInlineData).toBe(32);
    answer.set([0xfe, 0x80], 64);
    answer[64 + 20] = 3;
    expect((await world.settle(world.driver.queryQp(qp))).ahAttr).toEqual({
      dgid: 'fe80' + '0'.repeat(28),
      sgidIndex: 3,
      flowLabel: 0,
      hopLimit: 0,
      trafficClass: 0,
    });
  });
});

describe('the rest', () => {
  it('[OVR-04] address handles and GIDs go out as they were given', async () => {
    const world = await startedWorld();
    const { driver } = world;
    const pd = await world.settle(driver.createPd());
    const ah = await world.settle(driver.createAh(pd, peer));
    expect(await errnoOf(driver.destroyPd(pd))).toBe('EBUSY');
    const destroy = sent(world, () => driver.destroyAh(ah));
    expect([destroy.data.getUint32(0, true), destroy.data.getUint32(4, true)]).toEqual([100, 300]);
    const add = sent(world, () => driver.addGid(3, peer.dgid));
    expect([add.data.getUint16(0, true), add.data.getUint8(8), add.data.getUint8(23)]).toEqual([3, 0xfe, 7]);
    expect(sent(world, () => driver.delGid(4)).data.getUint16(0, true)).toBe(4);
    expect(await refusedSilently(world, () => driver.addGid(65_536, peer.dgid))).toBe('EINVAL');
    expect(await refusedSilently(world, () => driver.addGid(0, 'nonsense'))).toBe('EINVAL');
    expect(await refusedSilently(world, () => driver.createAh(pd, { ...peer, hopLimit: 256 }))).toBe(
      'EINVAL',
    );
  });

  it.each([0, -1, 1.5, 33, Number.NaN])('[ERR-01] refuses a completion queue of %s entries', async cqe => {
    const world = await startedWorld();
    expect(await refusedSilently(world, () => world.driver.createCq(cqe))).toBe('EINVAL');
  });

  it('[ERR-03] refuses handles that are destroyed, being destroyed or of another driver', async () => {
    const [world, other] = [await startedWorld(), await startedWorld()];
    const { driver } = world;
    const foreign = await other.settle(other.driver.createPd());
    expect(await refusedSilently(world, () => driver.destroyPd(foreign))).toBe('EINVAL');
    const pd = await world.settle(driver.createPd());
    world.device.hold = true;
    const going = driver.destroyPd(pd);
    expect(await refusedSilently(world, () => driver.createAh(pd, peer))).toBe('EINVAL');
    world.device.answerAll();
    await world.settle(going);
    expect(await refusedSilently(world, () => driver.destroyPd(pd))).toBe('EINVAL');
  });

  it('[ERR-03] counts an object that is still being created as a user', async () => {
    const world = await startedWorld();
    const { driver } = world;
    const pd = await world.settle(driver.createPd());
    world.device.hold = true;
    const ah = driver.createAh(pd, peer);
    expect(await refusedSilently(world, () => driver.destroyPd(pd))).toBe('EBUSY');
    world.device.answerAll();
    await world.settle(ah);
  });
});
