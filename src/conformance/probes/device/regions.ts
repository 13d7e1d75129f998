/** Keys, page lists, limits and GIDs asked of a device: what is given out, found, and free again. */
import { AccessFlag, QpState, WrOpcode } from '../../../abi/index.js';
import { Bench } from './bench.js';
import {
  addGid,
  createAh,
  createCq,
  createPd,
  createQp,
  delGid,
  getDmaMr,
  deregMr,
  destroyAh,
  destroyPd,
  gidOf,
  queryDevice,
  addressVector,
} from './messages.js';
import { status, stateOf, statusesOf } from './outcomes.js';
import { probe } from './probe-case.js';
import { pairOf, qpFields, register } from './site.js';

const keys = [
  probe(
    {
      id: 'RST/region/keys-are-not-reused',
      doc: 'A region gets no key that any of the 254 regions registered before it had.',
      requirements: ['RST-27', 'CTRL-68', 'RST-28', 'RST-24'],
    },
    context => {
      const { a, bench } = pairOf(context);
      const { machine, pdn, region } = a;
      const recent: number[] = [];
      for (let i = 0; i < 520; i++) {
        const { mrn, lkey, rkey } = register(machine, pdn, region.address, 4096);
        if (lkey === 0 || rkey === 0)
          bench.accuse(['CTRL-68'], `keys ${lkey} and ${rkey} of a region with all rights`);
        if (recent.includes(lkey))
          bench.accuse(['RST-27'], `lkey ${lkey} of region ${i} was one of the last 254`);
        recent.push(lkey);
        if (recent.length > 254) recent.shift();
        machine.must(deregMr, { mrn });
        machine.memory.forbid(region.address, 4096);
      }
      return bench;
    },
  ),
  probe(
    {
      id: 'CTRL/register/remote-key-with-remote-right',
      doc: 'A region has an rkey other than 0 exactly when it has a remote right.',
      requirements: ['CTRL-68', 'RST-28'],
    },
    context => {
      const { a, bench } = pairOf(context);
      const { machine, pdn, region } = a;
      for (const access of [0, 1, 3, 4, 5, 7]) {
        const { mrn, lkey, rkey } = register(machine, pdn, region.address, 4096, access);
        bench.same(
          ['CTRL-68'],
          `whether lkey and rkey are other than 0, with rights ${access}`,
          [lkey !== 0, rkey !== 0],
          [true, (access & 6) !== 0],
        );
        const whole = machine.must(getDmaMr, { pdn, access_flags: access });
        const wholeKeys = [whole.lkey !== 0, whole.rkey !== 0];
        bench.same(['CTRL-68'], `the same of GET_DMA_MR with rights ${access}`, wholeKeys, [
          true,
          (access & 6) !== 0,
        ]);
        machine.must(deregMr, { mrn: whole.mrn });
        machine.must(deregMr, { mrn });
        if ((access & AccessFlag.LOCAL_WRITE) !== 0) machine.memory.forbid(region.address, 4096);
      }
      return bench;
    },
  ),
  probe(
    {
      id: 'RST/region/ends-a-posted-receive',
      doc: 'A receive posted long ago touches nothing after the OK of DEREG_MR.',
      requirements: ['RST-16', 'RST-17', 'RST-04', 'ERR-17'],
    },
    context => {
      const { a, b, bench } = pairOf(context);
      const { machine, pdn, region } = b;
      const gone = register(machine, pdn, region.address + 4096, 64);
      machine.postRecv(b.qpn, 5, [{ addr: gone.address, length: 64, lkey: gone.lkey }]);
      bench.run();
      machine.must(deregMr, { mrn: gone.mrn }, ['RST-04']);
      const before = [...machine.memory.copy(gone.address, 64)];
      a.machine.postSend(a.qpn, { wrId: 1, inline: new Uint8Array(32).fill(9) });
      bench.run();
      bench.same(
        ['RST-16'],
        'bytes of the region that is gone',
        [...machine.memory.copy(gone.address, 64)],
        before,
      );
      bench.same(
        ['RST-17'],
        'both completions',
        [statusesOf(a), statusesOf(b)],
        [[[1, status.REM_OP_ERR]], [[5, status.LOC_PROT_ERR]]],
      );
      return bench;
    },
  ),
  probe(
    {
      id: 'MEM/page-list/kept-by-the-device',
      doc: 'What is written over a page list after the command changes nothing; pages are found in the order of the list, twice the same one too.',
      requirements: ['MEM-04', 'CTRL-67', 'MEM-06', 'MEM-05', 'MEM-27'],
    },
    context => {
      const { a, b, bench } = pairOf(context);
      const { machine, pdn, region } = b;
      const [first, second] = [region.address, region.address + 4096];
      const data = new Uint8Array(32 + 24);
      const view = new DataView(data.buffer);
      view.setUint32(0, pdn, true);
      view.setUint32(4, 7, true);
      view.setBigUint64(8, 0x7700_0ff0n, true);
      view.setBigUint64(16, 0x1020n, true);
      view.setUint32(24, 3, true);
      for (const [i, page] of [second, first, second].entries())
        view.setBigUint64(32 + 8 * i, BigInt(page), true);
      const pending = machine.prepare(7, data, { writable: 13 }, 'REG_USER_MR of three pages');
      const [answer] = machine.answers([pending]);
      machine.memory.put(pending.chain.parts[0].address, new Uint8Array(58));
      const rkey = new DataView(answer.bytes.buffer).getUint32(9, true);
      machine.memory.put(
        second,
        Uint8Array.from({ length: 4096 }, (_, i) => i & 0x7f),
      );
      machine.memory.put(
        first,
        Uint8Array.from({ length: 4096 }, (_, i) => 0x80 | (i & 0x7f)),
      );
      const rdma = { remote_addr: 0x7700_0ff0, rkey };
      const sges = [{ addr: a.region.address, length: 0x1020, lkey: a.region.lkey }];
      a.machine.postSend(a.qpn, { wrId: 1, opcode: WrOpcode.RDMA_READ, sges, rdma });
      bench.run();
      bench.same(['CTRL-67', 'MEM-04', 'MEM-06'], 'the read', statusesOf(a), [[1, status.SUCCESS]]);
      const expected = [
        ...machine.memory.copy(second + 0xff0, 16),
        ...machine.memory.copy(first, 4096),
        ...machine.memory.copy(second, 16),
      ];
      bench.same(
        ['CTRL-67', 'MEM-04'],
        'the bytes read',
        [...a.machine.memory.copy(a.region.address, 0x1020)],
        expected,
      );
      return bench;
    },
  ),
];

const limits = [
  probe(
    {
      id: 'RST/limits/every-object-and-no-more',
      doc: 'As many objects of each kind can be made as are advertised, whatever another machine has, and again after they are destroyed.',
      requirements: ['RST-22', 'RST-23', 'RST-24', 'ISO-16', 'CTRL-20', 'CTRL-19', 'QP-03', 'CTRL-110'],
    },
    context => {
      const bench = new Bench(context);
      const { me, neighbour } = bench;
      for (const machine of [neighbour, me, me]) {
        const most = machine.must(queryDevice);
        machine.start();
        machine.must(addGid, { index: 0, gid: gidOf(machine.vm) }, ['CTRL-109']);
        const pds = Array.from({ length: most.max_pd }, () => machine.must(createPd).pdn);
        bench.same(['RST-23'], 'one protection domain more', machine.ask(createPd), undefined);
        const cqns = Array.from({ length: machine.maxCqs }, () => machine.must(createCq, { cqe: 1 }).cqn);
        bench.same(
          ['CTRL-19'],
          'numbers of completion queues',
          cqns,
          cqns.map((_, i) => i),
        );
        const fields = qpFields({ pdn: pds[0], cqn: 0 });
        const qpns = Array.from({ length: machine.maxQps - 2 }, () => machine.must(createQp, fields).qpn);
        bench.same(
          ['QP-03'],
          'numbers of queue pairs',
          qpns,
          qpns.map((_, i) => i + 2),
        );
        const ah_attr = addressVector(gidOf(1));
        const ahs = Array.from(
          { length: most.max_ah },
          () => machine.must(createAh, { pdn: pds[0], ah_attr }).ah,
        );
        bench.same(
          ['RST-23'],
          'one address handle more',
          machine.ask(createAh, { pdn: pds[0], ah_attr }),
          undefined,
        );
        bench.same(['CTRL-110'], 'a handle has the number 2^32 - 1', ahs.includes(0xffff_ffff), false);
        machine.must(destroyAh, { pdn: pds[0], ah: ahs[1] }, ['RST-04']);
        machine.must(createAh, { pdn: pds[0], ah_attr }, ['RST-24']);
        machine.must(destroyPd, { pdn: pds[1] });
        machine.must(createPd, {}, ['RST-24']);
      }
      return bench;
    },
  ),
  probe(
    {
      id: 'CTRL/gid/freed-and-taken',
      doc: 'A GID that DEL_GID, a replacement or a reset has freed can be taken by another machine; an entry in use can be deleted.',
      requirements: ['CTRL-105', 'CTRL-108', 'CTRL-109', 'RST-20'],
    },
    context => {
      const scene = pairOf(context);
      const { a, b, bench } = scene;
      const [first, second] = [gidOf(5, 1), gidOf(5, 2)];
      a.machine.must(addGid, { index: 1, gid: first }, ['CTRL-109']);
      a.machine.must(addGid, { index: 1, gid: second }, ['CTRL-105']);
      b.machine.must(addGid, { index: 1, gid: first }, ['CTRL-105', 'CTRL-109']);
      a.machine.must(delGid, { index: 1 });
      b.machine.must(addGid, { index: 2, gid: second }, ['CTRL-109']);
      b.machine.must(delGid, { index: 0 }, ['CTRL-108']);
      b.machine.postRecv(b.qpn, 1);
      a.machine.postSend(a.qpn, { wrId: 1, inline: new Uint8Array(4) });
      bench.run();
      bench.same(
        ['RST-20', 'CTRL-108'],
        'completions when the GID of the peer is gone',
        [statusesOf(a, 1), statusesOf(b)],
        [[[1, status.RETRY_EXC_ERR]], []],
      );
      bench.same(['CTRL-108'], 'the state of the peer', stateOf(b), QpState.RTS);
      return bench;
    },
  ),
];

export const regionCases = [...keys, ...limits];
