/** Transfers that succeed where a device may think that they must not: elements anywhere, no receive, no bytes. */
import { WrOpcode } from '../../../abi/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import { Bench } from './bench.js';
import { getDmaMr } from './messages.js';
import { statusesOf } from './outcomes.js';
import { probe } from './probe-case.js';
import { exchange, furnish, pairOf } from './site.js';
import { connectedOthers } from './broken.js';

const memory: readonly ConformanceCase[] = [
  probe(
    {
      id: 'MEM/gather/different-regions',
      doc: 'The elements of one request lie in different regions and the bytes come in the order of the list, as they were written last.',
      requirements: ['MEM-25', 'MEM-28', 'DATA-37', 'DATA-38', 'DATA-39', 'DATA-42'],
    },
    context => {
      const { a, b, bench } = pairOf(context);
      const { machine, pdn } = a;
      const { lkey } = machine.must(getDmaMr, { pdn, access_flags: 0 });
      const other = machine.place(Uint8Array.of(5, 6, 7, 8));
      machine.memory.put(a.region.address, Uint8Array.of(1, 2, 3, 4));
      b.machine.memory.put(b.region.address, new Uint8Array(32).fill(0x99));
      const to = (at: number, length: number) => ({
        addr: b.region.address + at,
        length,
        lkey: b.region.lkey,
      });
      b.machine.postRecv(b.qpn, 2, [to(16, 3), { addr: 1, length: 0, lkey: 0 }, to(0, 8)]);
      const sges = [
        { addr: a.region.address + 1, length: 3, lkey: a.region.lkey },
        { addr: 1, length: 0, lkey: 0x7777_7777 },
        { addr: other, length: 4, lkey },
      ];
      a.machine.postSend(a.qpn, { wrId: 1, sges });
      bench.run();
      bench.same(['MEM-25', 'DATA-42'], 'completions', [statusesOf(a), statusesOf(b)], [[[1, 0]], [[2, 0]]]);
      const got = [...b.machine.memory.copy(b.region.address, 20)];
      const rest = Array.from({ length: 12 }, () => 0x99);
      bench.same(['DATA-37', 'DATA-38', 'DATA-39', 'MEM-28'], 'memory of the receiver', got, [
        5,
        6,
        7,
        8,
        ...rest,
        2,
        3,
        4,
        0x99,
      ]);
      return bench;
    },
  ),
  probe(
    {
      id: 'ISO/reset/leaves-others-alone',
      doc: 'The reset of one machine changes no object of another.',
      requirements: ['ISO-15'],
    },
    context => {
      const bench = new Bench(context, { machines: 3 });
      const others = connectedOthers(bench);
      const me = furnish(bench.me);
      me.machine.start();
      exchange({ bench, ...others }, ['ISO-15']);
      const again = furnish(bench.me);
      bench.same(['RST-36'], 'the number of the new queue pair', again.qpn, me.qpn);
      return bench;
    },
  ),
  probe(
    {
      id: 'DATA/write/without-a-receive',
      doc: 'An RDMA_WRITE and an RDMA_READ use no receive, and one of length 0 looks at no key.',
      requirements: ['DATA-44', 'DATA-41', 'DATA-40', 'DATA-47', 'MEM-18'],
    },
    context => {
      const { a, b, bench } = pairOf(context);
      const rdma = { remote_addr: b.region.address, rkey: b.region.rkey };
      b.machine.postRecv(b.qpn, 9);
      const own = { addr: a.region.address, length: 8, lkey: a.region.lkey };
      a.machine.postSend(a.qpn, {
        wrId: 1,
        opcode: WrOpcode.RDMA_WRITE,
        inline: Uint8Array.of(9, 8, 7),
        rdma,
      });
      a.machine.postSend(a.qpn, { wrId: 2, opcode: WrOpcode.RDMA_READ, sges: [own], rdma });
      for (const opcode of [WrOpcode.RDMA_WRITE, WrOpcode.RDMA_READ]) {
        a.machine.postSend(a.qpn, { wrId: 3, opcode, rdma: { remote_addr: 1, rkey: 0x7777_7777 } });
      }
      bench.run();
      bench.same(
        ['DATA-44', 'DATA-41', 'DATA-40'],
        'completions',
        [statusesOf(a), statusesOf(b)],
        [
          [
            [1, 0],
            [2, 0],
            [3, 0],
            [3, 0],
          ],
          [],
        ],
      );
      bench.same(['DATA-47'], 'bytes read back', [...a.machine.memory.copy(a.region.address, 3)], [9, 8, 7]);
      return bench;
    },
  ),
];

export const transferCases = memory;
