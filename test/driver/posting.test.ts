/** Posting: the request as the device reads it, the slots, and every refusal. */
import { describe, expect, it } from 'vitest';
import {
  Command,
  QpState,
  QpType,
  SendFlag,
  WcStatus,
  WrOpcode,
  readLe64,
  rqReq,
  sge,
  sqReq,
} from '../../src/abi/index.js';
import type { RecvWorkRequest, SendWorkRequest } from '../../src/verbs/index.js';
import type { DescriptorChain } from '../../src/virtio/index.js';
import { startedWorld } from './fake-device.js';
import { completions, createObjects, errnoOf, oneElement, sendRequest, smallCap, walkTo } from './setup.js';

const states = [QpState.RESET, QpState.INIT, QpState.RTR, QpState.RTS] as const;

function only(requests: readonly Uint8Array[]): DataView {
  expect(requests).toHaveLength(1);
  const [bytes] = requests;
  return new DataView(bytes.buffer);
}

describe('a send', () => {
  it('[DATA-01] [DATA-02] [OVR-02] [OVR-04] [PERF-13] stands in one readable part, as the table of structs says', async () => {
    const world = await startedWorld();
    const { qp } = await createObjects(world);
    const sges = [
      { addr: 2 ** 52 + 3, length: 0xffff_ffff, lkey: 0x8000_0001 },
      { addr: 7, length: 0, lkey: 0 },
    ];
    const request: SendWorkRequest = {
      wrId: Number.MAX_SAFE_INTEGER,
      opcode: WrOpcode.RDMA_WRITE_WITH_IMM,
      sendFlags: SendFlag.SIGNALED | SendFlag.FENCE,
      sges,
      immData: 0x0102_0304,
      remoteAddr: 2 ** 40 + 1,
      rkey: 0xdead_beef,
    };
    world.driver.postSend(qp, request);
    const view = only(world.device.takeRequests(world.device.sq(2)));
    const { offsets } = sqReq;
    expect(view.byteLength).toBe(sqReq.size + 2 * sge.size);
    expect(readLe64(view, offsets.wr_id)).toBe(Number.MAX_SAFE_INTEGER);
    expect([view.getUint8(offsets.opcode), view.getUint8(offsets.send_flags)]).toEqual([1, 3]);
    expect([0, 1, 2, 3].map(i => view.getUint8(offsets.imm_data + i))).toEqual([1, 2, 3, 4]);
    expect(readLe64(view, offsets.wr)).toBe(2 ** 40 + 1);
    expect(view.getUint32(offsets.wr + 8, true)).toBe(0xdead_beef);
    expect(view.getUint32(offsets.num_sge, true)).toBe(2);
    const elements = [0, 1].map(i => ({
      addr: readLe64(view, sqReq.size + i * sge.size),
      length: view.getUint32(sqReq.size + i * sge.size + 8, true),
      lkey: view.getUint32(sqReq.size + i * sge.size + 12, true),
    }));
    expect(elements).toEqual(sges);
  });

  it('[DATA-03] [PERF-16] carries inline data in itself, and no elements', async () => {
    const world = await startedWorld();
    const { qp } = await createObjects(world);
    const inlineData = Uint8Array.from({ length: 32 }, (_, i) => i + 1);
    world.driver.postSend(qp, sendRequest(1, { sendFlags: SendFlag.INLINE, inlineData }));
    inlineData.fill(0);
    const view = only(world.device.takeRequests(world.device.sq(2)));
    expect(view.byteLength).toBe(sqReq.size);
    expect(view.getUint16(sqReq.offsets.num_sge, true)).toBe(32);
    const stored = Array.from({ length: 33 }, (_, i) => view.getUint8(sqReq.offsets.inline_data + i));
    expect(stored).toEqual([...Array.from({ length: 32 }, (_, i) => i + 1), 0]);
  });

  it('[DATA-02] names the address handle of a datagram, and nobody once that is destroyed', async () => {
    const world = await startedWorld();
    const { pd, qp } = await createObjects(world, { type: QpType.UD });
    const peer = { dgid: 'fe80' + '0'.repeat(28), sgidIndex: 0, flowLabel: 0, hopLimit: 0, trafficClass: 0 };
    const ah = await world.settle(world.driver.createAh(pd, peer));
    const datagram = sendRequest(1, { ah, remoteQpn: 0x123456, remoteQkey: 0x8000_0000 });
    world.driver.postSend(qp, datagram);
    await world.settle(world.driver.destroyAh(ah));
    world.driver.postSend(qp, datagram);
    const [first, second] = world.device
      .takeRequests(world.device.sq(2))
      .map(bytes => new DataView(bytes.buffer));
    const words = (view: DataView): number[] =>
      [0, 4, 8].map(at => view.getUint32(sqReq.offsets.wr + at, true));
    expect(words(first)).toEqual([0x123456, 0x8000_0000, 300]);
    expect(words(second)).toEqual([0x123456, 0x8000_0000, 0xffff_ffff]);
  });

  it.each(states)('[QP-13] [QP-15] is refused before RTS: state %s', async state => {
    const world = await startedWorld();
    const { qp } = await createObjects(world, { state });
    const errno = await errnoOf(() => world.driver.postSend(qp, sendRequest(1)));
    expect(errno).toBe(state === QpState.RTS ? 'ok' : 'EINVAL');
  });

  it.each<[string, Partial<SendWorkRequest>, QpType]>([
    ['an unknown opcode', { opcode: 5 as WrOpcode }, QpType.RC],
    ['a write on UD', { opcode: WrOpcode.RDMA_WRITE }, QpType.UD],
    ['a read on UC', { opcode: WrOpcode.RDMA_READ }, QpType.UC],
    ['an unknown flag', { sendFlags: 16 }, QpType.RC],
    ['an inline read', { opcode: WrOpcode.RDMA_READ, sendFlags: SendFlag.INLINE }, QpType.RC],
    ['too many elements', { sges: [...oneElement, ...oneElement, ...oneElement] }, QpType.RC],
    ['too much inline data', { sendFlags: SendFlag.INLINE, inlineData: new Uint8Array(33) }, QpType.RC],
    ['a datagram without address', {}, QpType.UD],
    ['an address that is no number', { sges: [{ addr: Number.NaN, length: 1, lkey: 1 }] }, QpType.RC],
    ['a length above 32 bits', { sges: [{ addr: 0, length: 2 ** 32, lkey: 1 }] }, QpType.RC],
    ['a negative number of its own', { wrId: -1 }, QpType.RC],
  ])('[ERR-08] [ERR-09] is refused with EINVAL for %s, and nothing is posted', async (_, over, type) => {
    const world = await startedWorld();
    const { qp } = await createObjects(world, { type });
    expect(await errnoOf(() => world.driver.postSend(qp, sendRequest(1, over)))).toBe('EINVAL');
    expect(world.device.takeRequests(world.device.sq(2))).toEqual([]);
  });

  it('[ERR-08] is refused with EINVAL when a datagram is longer than the MTU, and for a read without read depth', async () => {
    const world = await startedWorld();
    const { pd, qp } = await createObjects(world, { type: QpType.UD });
    const peer = { dgid: 'fe80' + '0'.repeat(28), sgidIndex: 0, flowLabel: 0, hopLimit: 0, trafficClass: 0 };
    const ah = await world.settle(world.driver.createAh(pd, peer));
    const datagram = (length: number) => sendRequest(1, { ah, sges: [{ addr: 0, length, lkey: 0 }] });
    expect(await errnoOf(() => world.driver.postSend(qp, datagram(1025)))).toBe('EINVAL');
    expect(await errnoOf(() => world.driver.postSend(qp, datagram(1024)))).toBe('ok');
    const rc = await createObjects(world, { oneCq: true });
    await world.settle(world.driver.modifyQp(rc.qp, { maxRdAtomic: 0 }));
    const read = sendRequest(1, { opcode: WrOpcode.RDMA_READ, sges: [] });
    expect(await errnoOf(() => world.driver.postSend(rc.qp, read))).toBe('EINVAL');
  });

  it('[ERR-08] [ERR-09] [ORD-15] finds no room when all slots are out, and room again when one is back', async () => {
    const world = await startedWorld();
    const { device, driver } = world;
    const { qp } = await createObjects(world);
    const index = device.sq(2);
    for (let i = 0; i < 4; i++) driver.postSend(qp, sendRequest(i));
    expect(await errnoOf(() => driver.postSend(qp, sendRequest(4)))).toBe('ENOMEM');
    // State and content come before a full queue.
    expect(await errnoOf(() => driver.postSend(qp, sendRequest(4, { sendFlags: 16 })))).toBe('EINVAL');
    expect(device.takeRequests(index)).toHaveLength(4);
    for (let i = 4; i < 40; i++) {
      device.returnRequests(index, 1);
      driver.postSend(qp, sendRequest(i));
      const view = only(device.takeRequests(index));
      expect(readLe64(view, sqReq.offsets.wr_id)).toBe(i);
      expect(await errnoOf(() => driver.postSend(qp, sendRequest(99)))).toBe('ENOMEM');
    }
  });

  it('has no room at all with a capacity of 0', async () => {
    const world = await startedWorld();
    const { qp } = await createObjects(world, { cap: { ...smallCap, maxSendWr: 0, maxRecvWr: 0 } });
    expect(await errnoOf(() => world.driver.postSend(qp, sendRequest(1)))).toBe('ENOMEM');
    expect(await errnoOf(() => world.driver.postRecv(qp, { wrId: 1, sges: [] }))).toBe('ENOMEM');
  });
});

describe('a receive', () => {
  it('[DATA-22] [OVR-04] [PERF-13] stands in one readable part, as the table of structs says', async () => {
    const world = await startedWorld();
    const { qp } = await createObjects(world, { state: QpState.INIT });
    world.driver.postRecv(qp, { wrId: 77, sges: oneElement });
    const view = only(world.device.takeRequests(world.device.rq(2)));
    expect(view.byteLength).toBe(rqReq.size + sge.size);
    expect([readLe64(view, 0), view.getUint32(8, true)]).toEqual([77, 1]);
    expect(readLe64(view, rqReq.size)).toBe(0x2000);
  });

  it.each(states)('[QP-14] [QP-16] is refused in RESET only: state %s', async state => {
    const world = await startedWorld();
    const { qp } = await createObjects(world, { state });
    const errno = await errnoOf(() => world.driver.postRecv(qp, { wrId: 1, sges: [] }));
    expect(errno).toBe(state === QpState.RESET ? 'EINVAL' : 'ok');
  });

  it.each<[string, RecvWorkRequest]>([
    ['too many elements', { wrId: 1, sges: [...oneElement, ...oneElement, ...oneElement] }],
    ['a key above 32 bits', { wrId: 1, sges: [{ addr: 0, length: 1, lkey: 2 ** 32 }] }],
    ['half a number of its own', { wrId: 0.5, sges: [] }],
  ])('[ERR-08] [ERR-09] is refused with EINVAL for %s', async (_, request) => {
    const world = await startedWorld();
    const { qp } = await createObjects(world);
    expect(await errnoOf(() => world.driver.postRecv(qp, request))).toBe('EINVAL');
    expect(world.device.takeRequests(world.device.rq(2))).toEqual([]);
  });

  it('[ERR-08] finds no room when all slots are out, and room again when one is back', async () => {
    const world = await startedWorld();
    const { qp } = await createObjects(world);
    for (let i = 0; i < 4; i++) world.driver.postRecv(qp, { wrId: i, sges: [] });
    expect(await errnoOf(() => world.driver.postRecv(qp, { wrId: 4, sges: [] }))).toBe('ENOMEM');
    world.device.takeRequests(world.device.rq(2));
    world.device.returnRequests(world.device.rq(2), 1);
    expect(await errnoOf(() => world.driver.postRecv(qp, { wrId: 4, sges: [] }))).toBe('ok');
  });
});

describe('requests of one queue', () => {
  it('[DATA-04] are made available in the order in which they are posted, however often the ring goes round', async () => {
    const world = await startedWorld();
    const { device, driver } = world;
    const { qp } = await createObjects(world);
    let posted = 0;
    let taken = 0;
    for (let round = 0; round < 100; round++) {
      for (let i = 0; i <= round % 4; i++, posted++) {
        driver.postSend(qp, sendRequest(posted));
        driver.postRecv(qp, { wrId: posted, sges: [] });
      }
      const sends = device.takeRequests(device.sq(2));
      const recvs = device.takeRequests(device.rq(2));
      expect([sends.length, recvs.length]).toEqual([1 + (round % 4), 1 + (round % 4)]);
      for (const [i, bytes] of sends.entries()) {
        expect(readLe64(new DataView(bytes.buffer), 0)).toBe(taken);
        expect(readLe64(new DataView(recvs[i].buffer), 0)).toBe(taken);
        taken++;
      }
      device.returnRequests(device.sq(2), sends.length);
      device.returnRequests(device.rq(2), recvs.length);
    }
    expect(taken).toBe(posted);
  });

  it('[DATA-35] stay as they are until their chains are back, whatever is posted meanwhile', async () => {
    const world = await startedWorld();
    const { device, driver } = world;
    const { qp } = await createObjects(world);
    const copies = new Map<DescriptorChain, Uint8Array>();
    const copy = (chain: DescriptorChain): Uint8Array => {
      const bytes = new Uint8Array(chain.readableBytes);
      chain.copyReadable(0, bytes, 0, bytes.length);
      return bytes;
    };
    let wrId = 0;
    for (let round = 0; round < 60; round++) {
      for (const index of [device.sq(2), device.rq(2)]) {
        const held = device.taken.get(index) ?? [];
        for (let i = held.length; i < 4 - (round % 3); i++, wrId++) {
          const inlineData = new Uint8Array(32).fill(wrId);
          const sendFlags = wrId % 2 === 0 ? SendFlag.INLINE : 0;
          if (index === device.sq(2)) driver.postSend(qp, sendRequest(wrId, { sendFlags, inlineData }));
          else driver.postRecv(qp, { wrId, sges: [{ addr: wrId, length: wrId, lkey: wrId }] });
          inlineData.fill(0xee);
        }
        device.takeRequests(index);
        for (const chain of device.taken.get(index) ?? []) {
          const first = copies.get(chain);
          if (first === undefined) copies.set(chain, copy(chain));
          else expect(copy(chain)).toEqual(first);
        }
        device.returnRequests(index, 1 + (round % 2));
      }
    }
    expect(copies.size).toBeGreaterThan(100);
  });
});

describe('the state that the driver has learnt', () => {
  it('[QP-15] follows the answers by the order of the commands, not by that of the answers', async () => {
    const world = await startedWorld();
    const { qp } = await createObjects(world, { state: QpState.INIT });
    world.device.hold = true;
    const both = [
      world.driver.modifyQp(qp, { qpState: QpState.RTR }),
      world.driver.modifyQp(qp, { qpState: QpState.RTS }),
    ];
    const [toRtr, toRts] = [...world.device.pending];
    world.device.answerSoundly(toRts);
    world.device.answerSoundly(toRtr);
    await world.settle(Promise.all(both));
    expect(await errnoOf(() => world.driver.postSend(qp, sendRequest(1)))).toBe('ok');
  });

  it('[QP-15] comes from a query and from an error completion too', async () => {
    for (const learn of ['query', 'completion'] as const) {
      const world = await startedWorld();
      const { qp, recvCq } = await createObjects(world, { state: QpState.RTR });
      expect(await errnoOf(() => world.driver.postSend(qp, sendRequest(1)))).toBe('EINVAL');
      if (learn === 'query') {
        const answer = new Uint8Array(120);
        answer[0] = QpState.ERR;
        world.device.forge = ({ code }, sound) => (code === Command.QUERY_QP ? answer : sound);
        await world.settle(world.driver.queryQp(qp));
      } else {
        world.driver.postRecv(qp, { wrId: 3, sges: [] });
        world.device.takeRequests(world.device.rq(2));
        world.device.returnRequests(world.device.rq(2), 1);
        world.device.complete(1, { wr_id: 3, qp_num: 2, status: WcStatus.WR_FLUSH_ERR });
        expect(world.driver.pollCq(recvCq, completions(1), 1)).toBe(1);
      }
      expect(await errnoOf(() => world.driver.postSend(qp, sendRequest(1)))).toBe('ok');
    }
  });

  it('[RST-05] [RST-09] lets nothing be posted from the request for RESET on, and goes on with the same rings', async () => {
    const world = await startedWorld();
    const { qp } = await createObjects(world);
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 4; i++) {
        world.driver.postSend(qp, sendRequest(i));
        world.driver.postRecv(qp, { wrId: i, sges: [] });
      }
      world.device.hold = true;
      const reset = world.driver.modifyQp(qp, { qpState: QpState.RESET });
      expect(await errnoOf(() => world.driver.postRecv(qp, { wrId: 9, sges: [] }))).toBe('EINVAL');
      world.device.hold = false;
      world.device.answerAll();
      await world.settle(reset);
      await walkTo(world, qp, QpState.RTS);
    }
    expect(world.driver.failure).toBeUndefined();
  });
});
