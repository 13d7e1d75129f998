/** The device as a virtio device: configuration, reset of the device and of a queue, broken rings, work in steps. */
import { describe, expect, it } from 'vitest';
import {
  Command,
  QpAttrMask,
  QpState,
  WcStatus,
  destroyCqCommand,
  destroyQpCommand,
  profiles,
  queryPortAck,
  rdmaConfig,
  roceConfig,
} from '../../src/abi/index.js';
import { RdmaDevice } from '../../src/device/index.js';
import { DeviceStatus, FeatureBit, GuestMemory, hasFeature } from '../../src/virtio/index.js';
import { Guest, World, breakRing, limits, recvRequest, sendRequest } from './guest.js';
import { lonelySide, pairOfGuests, side } from './pairs.js';
import { recording } from './recording.js';

const { STATE } = QpAttrMask;
const { SUCCESS, WR_FLUSH_ERR } = WcStatus;

describe('configuration', () => {
  it('[CONF-01] [CONF-02] [CONF-03] [CONF-12] shows the limits of the profile rdma, and all its queues', () => {
    const { device } = new Guest(new World(), { profile: 'rdma' });
    expect(rdmaConfig.decode(device.readConfig(), 0)).toEqual({
      max_rdma_qps: 6,
      max_rdma_cqs: 4,
      mtu: 1024 + 96,
    });
    expect(device.deviceId).toBe(42);
    expect(device.queueCount).toBe(1 + 4 + 2 * 6);
  });

  it('[CONF-01] [CONF-03] shows a network device in the profile roce, each with its own address', () => {
    const world = new World();
    const { device } = new Guest(world, { profile: 'roce', vm: 0x010203 });
    expect(roceConfig.decode(device.readConfig(), 0)).toEqual({
      mac: Uint8Array.of(2, 0, 0, 1, 2, 3),
      status: 1,
      max_virtqueue_pairs: 1,
      mtu: 1024 + 96,
      max_rdma_qps: 6,
      max_rdma_cqs: 4,
    });
    expect([device.deviceId, device.queueCount]).toEqual([1, 3 + 4 + 2 * 6]);
    expect(hasFeature(device.deviceFeatures, 17) && hasFeature(device.deviceFeatures, 55)).toBe(true);
  });

  it('[FEAT-02] offers only the ring features asked for, and RING_RESET', () => {
    for (const indirect of [false, true]) {
      for (const eventIdx of [false, true]) {
        const world = new World();
        const device = new RdmaDevice({
          profile: profiles.rdma,
          memory: new GuestMemory(),
          function: world.hca.openFunction(),
          scheduler: world.scheduler,
          limits: limits.device,
          ringFeatures: { indirect, eventIdx },
        });
        expect(hasFeature(device.deviceFeatures, FeatureBit.INDIRECT_DESC)).toBe(indirect);
        expect(hasFeature(device.deviceFeatures, FeatureBit.EVENT_IDX)).toBe(eventIdx);
        expect(hasFeature(device.deviceFeatures, FeatureBit.RING_RESET)).toBe(true);
      }
    }
  });
});

describe('the reset of the device', () => {
  it('[RST-30] [RST-31] [RST-32] [FEAT-29] ends everything in silence', () => {
    const log: string[] = [];
    const { a, b } = pairOfGuests(new World(), { wrap: recording(log) });
    b.guest.postRecv(b.qpn, recvRequest(1));
    for (let i = 0; i < 4; i++) a.guest.postSend(a.qpn, sendRequest({ wrId: i }));
    a.guest.world.scheduler.step();
    a.guest.arm(a.cqn, 2);
    const events = a.guest.interrupts.size;
    const memory = a.guest.everything();
    log.length = 0;
    a.guest.device.writeStatus(0);
    expect(a.guest.device.readStatus()).toBe(0);
    expect(log).toEqual(['reset']);
    a.guest.world.settle();
    expect(a.guest.interrupts.size).toBe(events);
    expect(a.guest.everything().equals(memory)).toBe(true);
  });

  it('[RST-34] [ISO-15] the peer gets no answer any more', () => {
    const { a, b } = pairOfGuests(new World());
    a.guest.device.writeStatus(0);
    b.guest.postSend(b.qpn, sendRequest({ wrId: 3 }));
    b.guest.world.settle();
    expect(b.guest.poll(b.cqn)).toMatchObject([{ wr_id: 3, status: WcStatus.RETRY_EXC_ERR }]);
  });

  it('[RST-36] [FEAT-31] [CTRL-109] a new start finds an empty device that takes the same GIDs', () => {
    const world = new World();
    const a = side(world);
    a.guest.device.writeStatus(0);
    a.guest.start();
    expect(a.guest.queryQp(a.qpn)).toBeUndefined();
    expect(a.guest.createCq(1)).toBe(0);
    expect(a.guest.addGid(0, a.gid)).toBe(true);
    for (let i = 0; i < limits.attributes.maxPd; i++) expect(a.guest.createPd()).toBe(i + 1);
  });

  it('[RST-36] [FEAT-31] also after DEVICE_NEEDS_RESET and after FAILED', () => {
    for (const fail of [false, true]) {
      const s = lonelySide(new World());
      if (fail) s.guest.device.writeStatus(s.guest.device.readStatus() | DeviceStatus.FAILED);
      else breakRing(s.guest, s.guest.queues.control);
      s.guest.world.settle();
      s.guest.device.writeStatus(0);
      s.guest.start();
      expect(s.guest.createPd()).toBe(1);
    }
  });
});

describe('a broken ring', () => {
  for (const [what, pick] of [
    ['control queue', (guest: Guest) => guest.queues.control],
    ['completion queue', (guest: Guest) => guest.queues.cq(0)],
    ['send queue', (guest: Guest) => guest.queues.sq(2)],
    ['receive queue', (guest: Guest) => guest.queues.rq(2)],
  ] as const) {
    it(`[VQ-46] [FEAT-32] [FEAT-33] of the ${what} stops the device, and tells the driver once`, () => {
      const { a, b } = pairOfGuests(new World(), { buffers: 0, cqe: 4 });
      const index = pick(a.guest);
      breakRing(a.guest, index);
      a.guest.world.settle();
      if (what === 'completion queue') {
        // The device looks there when there is a completion.
        a.guest.modifyQp({ qpn: a.qpn, attr_mask: STATE, qp_state: QpState.ERR });
        a.guest.postRecv(a.qpn, recvRequest(1));
        a.guest.world.settle();
      }
      expect(a.guest.needsReset).toBe(true);
      expect(a.guest.configInterrupts).toBe(1);
      const interrupts = [...a.guest.interrupts];
      a.guest.postSend(a.qpn, sendRequest());
      a.guest.world.settle();
      const port = a.guest.raw(a.guest.commandBytes(Command.QUERY_PORT), 1 + queryPortAck.size);
      expect(port).toBeUndefined();
      expect([...a.guest.interrupts]).toEqual(interrupts);
      expect(b.guest.queryQp(b.qpn)?.qp_state).toBe(QpState.RTS);
    });
  }

  it('[CTRL-05] no ack is given when a command finds it', () => {
    const s = lonelySide(new World());
    breakRing(s.guest, s.guest.queues.rq(s.qpn));
    const bytes = s.guest.commandBytes(Command.DESTROY_QP, Uint8Array.of(s.qpn, 0, 0, 0));
    expect(s.guest.raw(bytes, 1)).toBeUndefined();
    expect(s.guest.needsReset).toBe(true);
  });

  it('[VQ-04] [HOST-06] a queue without an object is not looked at, broken or not', () => {
    const s = lonelySide(new World());
    for (const index of [s.guest.queues.sq(0), s.guest.queues.cq(3), s.guest.queues.rq(5)]) {
      breakRing(s.guest, index);
    }
    for (const index of [-1, 0.5, 17, 65535, Number.NaN]) s.guest.device.notified(index);
    s.guest.world.settle();
    expect(s.guest.needsReset).toBe(false);
    expect(s.guest.createPd()).toBeDefined();
  });
});

describe('the reset of one queue', () => {
  const ringReset = { extraFeature: FeatureBit.RING_RESET };

  it('[CTRL-25] [CTRL-26] [VQ-75] a send queue forgets its chains; requests that were taken go on', () => {
    const { a, b } = pairOfGuests(new World(), ringReset);
    const index = a.guest.queues.sq(a.qpn);
    for (let i = 0; i < 3; i++) a.guest.postSend(a.qpn, sendRequest({ wrId: i }));
    for (let step = 0; step < 4; step++) a.guest.world.scheduler.step();
    a.guest.device.resetQueue(index);
    for (let i = 0; i < 4; i++) b.guest.postRecv(b.qpn, recvRequest(i));
    a.guest.world.settle();
    expect(a.guest.poll(a.cqn).map(({ wr_id }) => wr_id)).toEqual([0, 1, 2]);
    a.guest.enable(index);
    a.guest.postSend(a.qpn, sendRequest({ wrId: 3 }));
    a.guest.world.settle();
    expect(a.guest.poll(a.cqn)).toMatchObject([{ wr_id: 3, status: SUCCESS }]);
    expect(a.guest.returned(index).length).toBe(1);
  });

  it('[CTRL-26] chains of the new ring are not mixed up with requests of the old', () => {
    const s = lonelySide(new World(), ringReset);
    const index = s.guest.queues.rq(s.qpn);
    for (let i = 0; i < 3; i++) s.guest.postRecv(s.qpn, recvRequest(i));
    s.guest.world.settle();
    s.guest.device.resetQueue(index);
    s.guest.enable(index);
    for (let i = 3; i < 6; i++) s.guest.postRecv(s.qpn, recvRequest(i));
    s.guest.modifyQp({ qpn: s.qpn, attr_mask: STATE, qp_state: QpState.ERR });
    expect(s.guest.poll(s.cqn).map(({ wr_id, status }) => [wr_id, status])).toEqual(
      [0, 1, 2, 3, 4, 5].map(wrId => [wrId, WR_FLUSH_ERR]),
    );
    expect(s.guest.returned(index).length).toBe(3);
  });

  it('[CTRL-25] a completion queue holds its completions until it is enabled again', () => {
    const s = lonelySide(new World(), ringReset);
    const index = s.guest.queues.cq(s.cqn);
    s.guest.device.resetQueue(index);
    s.guest.modifyQp({ qpn: s.qpn, attr_mask: STATE, qp_state: QpState.ERR });
    for (let i = 0; i < 3; i++) s.guest.postRecv(s.qpn, recvRequest(i));
    s.guest.world.settle();
    s.guest.enable(index);
    s.guest.addBuffers(s.cqn, 1);
    s.guest.world.settle();
    for (let i = 3; i < 6; i++) s.guest.postRecv(s.qpn, recvRequest(i));
    s.guest.world.settle();
    s.guest.addBuffers(s.cqn, 5);
    s.guest.world.settle();
    expect(s.guest.poll(s.cqn).map(({ wr_id }) => wr_id)).toEqual([0, 1, 2, 3, 4, 5]);
  });

  it('[VQ-77] objects are destroyed as usual meanwhile', () => {
    const s = lonelySide(new World(), ringReset);
    for (const index of [s.guest.queues.cq(s.cqn), s.guest.queues.sq(s.qpn), s.guest.queues.rq(s.qpn)]) {
      s.guest.device.resetQueue(index);
    }
    expect(s.guest.request(Command.DESTROY_QP, destroyQpCommand, { qpn: s.qpn })).toBe(true);
    expect(s.guest.request(Command.DESTROY_CQ, destroyCqCommand, { cqn: s.cqn })).toBe(true);
    expect(s.guest.createCq(1)).toBeUndefined();
  });

  it('[VQ-75] the control queue answers again when it is enabled again', () => {
    const guest = new Guest(new World(), ringReset);
    guest.device.resetQueue(guest.queues.control);
    guest.enable(guest.queues.control);
    expect(guest.createPd()).toBe(1);
  });
});

describe('work', () => {
  it('[HOST-07] a thousand notifications of a queue are one task', () => {
    const { guest } = lonelySide(new World());
    for (let i = 0; i < 1000; i++) guest.device.notified(guest.queues.control);
    expect(guest.world.scheduler.readyCount).toBe(1);
  });

  it('[VQ-73] no request is left behind, whoever steps when', () => {
    const { a, b } = pairOfGuests(new World(), { eventIdx: true }, { eventIdx: true });
    for (let round = 0; round < 40; round++) {
      b.guest.postRecv(b.qpn, recvRequest(round));
      for (let step = 0; step < round % 5; step++) a.guest.world.scheduler.step();
      a.guest.postSend(a.qpn, sendRequest({ wrId: round }));
      for (let step = 0; step < round % 7; step++) a.guest.world.scheduler.step();
      if (round % 4 !== 3) continue;
      a.guest.world.settle();
      expect(a.guest.poll(a.cqn).length).toBe(4);
      expect(b.guest.poll(b.cqn).length).toBe(4);
      a.guest.addBuffers(a.cqn, 4);
      b.guest.addBuffers(b.cqn, 4);
    }
  });
});
