/** The two profiles: features, classes, configuration and the place of every virtqueue; enumerations against the oracle. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  Command,
  accessFlags,
  acks,
  allEnumerations,
  commands,
  deviceCapFlags,
  notifyFlags,
  pathMtuBytes,
  pathMtus,
  profiles,
  qpAttrMasks,
  qpStates,
  qpTypes,
  sendFlags,
  wcFlags,
  wcOpcodes,
  wcStatuses,
  wrOpcodes,
} from '../../src/abi/index.js';

interface Oracle {
  readonly feature: Readonly<Record<string, number>>;
  readonly config: Readonly<Record<string, { offset: number }>>;
  readonly control: { class: number; ack: Record<string, number>; commands: Record<string, number> };
  readonly enums: {
    readonly access_flags: Record<string, number>;
    readonly qp_type: readonly string[];
    readonly qp_state: readonly string[];
    readonly qp_attr_mask_bits: readonly string[];
    readonly path_mtu: Record<string, number>;
    readonly wr_opcode: readonly string[];
    readonly wc_opcode: readonly string[];
    readonly wc_status: readonly string[];
  };
}

const oracle = JSON.parse(
  readFileSync(new URL('../oracles/roce-abi.json', import.meta.url), 'utf8'),
) as Oracle;
const numbered = (names: readonly string[]) => Object.fromEntries(names.map((name, i) => [name, i]));

describe('[OVR-03] [OVR-04] published numbers', () => {
  it.each([
    ['commands', commands.values, oracle.control.commands],
    ['acks', acks.values, oracle.control.ack],
    ['access flags', accessFlags.values, oracle.enums.access_flags],
    ['queue pair types', qpTypes.values, numbered(oracle.enums.qp_type)],
    ['queue pair states', qpStates.values, numbered(oracle.enums.qp_state)],
    ['request opcodes', wrOpcodes.values, numbered(oracle.enums.wr_opcode)],
    ['completion opcodes', wcOpcodes.values, numbered(oracle.enums.wc_opcode)],
    ['completion statuses', wcStatuses.values, numbered(oracle.enums.wc_status)],
  ])('of %s are ours', (_, ours, published) => {
    expect(ours).toEqual(published);
  });

  it('of attribute mask bits are ours', () => {
    const published = oracle.enums.qp_attr_mask_bits.map((name, bit) => [name, 2 ** bit]);
    expect(qpAttrMasks.values).toEqual(Object.fromEntries(published));
  });

  it('of path MTUs are ours, code and bytes', () => {
    for (const [size, code] of Object.entries(oracle.enums.path_mtu)) {
      expect(pathMtus.nameOf(code)).toBe(`MTU_${size}`);
      expect(pathMtuBytes(code)).toBe(Number(size));
    }
    expect(pathMtus.names).toHaveLength(Object.keys(oracle.enums.path_mtu).length);
  });

  it('of the flags that the publication gives in words are ours', () => {
    expect(sendFlags.values).toEqual({ FENCE: 1, SIGNALED: 2, SOLICITED: 4, INLINE: 8 });
    expect(wcFlags.values).toEqual({ GRH: 1, WITH_IMM: 2 });
    expect(notifyFlags.values).toEqual({ SOLICITED: 1, NEXT_COMPLETION: 2 });
    expect(deviceCapFlags.values).toEqual({ RC_RNR_NAK_GEN: 1 });
  });
});

describe('enumerations', () => {
  it.each(allEnumerations.map(table => [table.name, table] as const))(
    '%s names its numbers once',
    (_, table) => {
      const numbers = Object.values(table.values);
      expect(new Set(numbers).size).toBe(numbers.length);
      for (const name of table.names) {
        const value = (table.values as Record<string, number>)[name];
        expect(table.nameOf(value)).toBe(name);
        expect((table.docs as Record<string, string>)[name]).not.toBe('');
      }
      expect(table.nameOf(255)).toBeUndefined();
    },
  );

  it('lists members in numeric order', () => {
    expect(commands.names[Command.REQ_NOTIFY_CQ]).toBe('REQ_NOTIFY_CQ');
    expect(commands.names).toHaveLength(18);
  });
});

describe('profile roce', () => {
  const { roce } = profiles;

  it('extends the network device with feature 55, which needs the control queue, and class 6', () => {
    expect(roce.deviceId).toBe(1);
    expect(roce.controlClass).toBe(oracle.control.class);
    expect(roce.features.map(feature => [feature.bit, feature.requires])).toEqual([
      [17, []],
      [oracle.feature.VIRTIO_NET_F_ROCE, [17]],
    ]);
  });

  it('has the two limits after the published fields of the network configuration', () => {
    const offsets: Readonly<Record<string, number>> = roce.config.offsets;
    expect(offsets.max_rdma_qps).toBe(oracle.config.max_rdma_qps.offset);
    expect(offsets.max_rdma_cqs).toBe(oracle.config.max_rdma_cqs.offset);
    expect(roce.config.size).toBe(32);
  });

  it('orders its queues: one network pair, control, completion queues, then pairs of send and receive', () => {
    const map = roce.queues(3, 2);
    expect([map.control, map.cq(0), map.cq(1)]).toEqual([2, 3, 4]);
    expect([0, 1, 2].flatMap(qpn => [map.sq(qpn), map.rq(qpn)])).toEqual([5, 6, 7, 8, 9, 10]);
    expect(map.count).toBe(11);
  });
});

describe('profile rdma', () => {
  const { rdma } = profiles;

  it('is device 42 with no feature of its own and class 0', () => {
    expect([rdma.deviceId, rdma.controlClass, rdma.features]).toEqual([42, 0, []]);
  });

  it('has a configuration of the two limits and the MTU', () => {
    expect(rdma.config.offsets).toEqual({ max_rdma_qps: 0, max_rdma_cqs: 4, mtu: 8, padding: 10 });
    expect(rdma.config.size).toBe(12);
  });

  it('orders its queues: control, completion queues, then pairs of send and receive', () => {
    const map = rdma.queues(2, 3);
    expect([map.control, map.cq(0), map.cq(2), map.sq(0), map.rq(0), map.sq(1), map.rq(1)]).toEqual([
      0, 1, 3, 4, 5, 6, 7,
    ]);
    expect(map.count).toBe(8);
  });
});

describe.each(Object.values(profiles))('profile $name', profile => {
  it('gives every queue one place and leaves none out', () => {
    const [maxQps, maxCqs] = [5, 4];
    const map = profile.queues(maxQps, maxCqs);
    const used = [map.control];
    for (let cqn = 0; cqn < maxCqs; cqn++) used.push(map.cq(cqn));
    for (let qpn = 0; qpn < maxQps; qpn++) used.push(map.sq(qpn), map.rq(qpn));
    const before = Array.from({ length: map.control }, (_, i) => i);
    expect([...before, ...used].toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: map.count }, (_, i) => i),
    );
  });
});
