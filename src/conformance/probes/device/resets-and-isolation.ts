/** Section 12.8 and chapter 13 asked of a device: the end of everything at once, and machines that do not notice each other. */
import { QpState, QpType, WrOpcode } from '../../../abi/index.js';
import { Bench } from './bench.js';
import { createAh, createPd, delGid, deregMr, destroyQp, addressVector } from './messages.js';
import { status, statusesOf } from './outcomes.js';
import { probe } from './probe-case.js';
import { bringTo, queuePairIn } from './queue-pair-states.js';
import { QKEY, connect, exchange, furnish, handleFor, pairOf } from './site.js';

const deviceReset = [
  probe(
    {
      id: 'RST/device/silence',
      doc: 'A reset with traffic under way ends all access to memory, all interrupts and all packets at once.',
      requirements: ['RST-31', 'RST-32', 'RST-33', 'FEAT-29', 'RST-30'],
    },
    context => {
      const scene = pairOf(context);
      const { a, b, bench } = scene;
      for (const [from, to] of [
        [a, b],
        [b, a],
      ] as const) {
        for (let i = 0; i < 4; i++) {
          const { address, lkey } = to.region;
          to.machine.postRecv(to.qpn, i, [{ addr: address, length: 4096, lkey }]);
          from.machine.postSend(from.qpn, {
            wrId: i,
            sges: [{ addr: from.region.address, length: 4096, lkey: from.region.lkey }],
          });
        }
      }
      for (let steps = 0; bench.packets < 4 && steps < 1000; steps++) bench.scheduler.step();
      const { machine } = a;
      machine.device.writeStatus(0);
      bench.same(['FEAT-28'], 'the status', machine.status, 0);
      const before = machine.memory.bytes.slice();
      const counts = [machine.memory.reads, machine.memory.writes, machine.transport.queueInterrupts];
      bench.run();
      for (let index = 0; index < machine.queues.count; index++) machine.transport.notify(index);
      bench.run();
      bench.same(
        ['RST-32', 'FEAT-29', 'RST-31'],
        'readings, writings and interrupts after the reset',
        [machine.memory.reads, machine.memory.writes, machine.transport.queueInterrupts],
        counts,
      );
      bench.same(['RST-32'], 'guest memory is as it was', Buffer.compare(before, machine.memory.bytes), 0);
      bench.same(['ISO-15'], 'a command of the other machine', b.machine.must(createPd) !== undefined, true);
      return bench;
    },
  ),
  probe(
    {
      id: 'RST/device/nothing-left',
      doc: 'After a reset no object, number, key or GID of before exists, and packets for them are dropped.',
      requirements: ['RST-30', 'RST-34', 'RST-36', 'MEM-13', 'CTRL-109'],
    },
    context => {
      const scene = pairOf(context);
      const { a, b, bench } = scene;
      exchange(scene, ['RST-30']);
      const old = b.region;
      b.machine.start();
      a.machine.postSend(a.qpn, {
        wrId: 1,
        opcode: WrOpcode.RDMA_WRITE,
        inline: new Uint8Array(8).fill(3),
        rdma: { remote_addr: old.address, rkey: old.rkey },
      });
      bench.run();
      bench.same(['RST-34'], 'the completion of a write to a machine that was reset', statusesOf(a, 1), [
        [1, status.RETRY_EXC_ERR],
      ]);
      bench.same(
        ['RST-30'],
        'DEREG_MR of a region of before',
        b.machine.ask(deregMr, { mrn: old.mrn }),
        undefined,
      );
      bench.same(
        ['RST-30'],
        'DESTROY_QP of a queue pair of before',
        b.machine.ask(destroyQp, { qpn: b.qpn }),
        undefined,
      );
      bench.same(['RST-30'], 'DEL_GID of an entry of before', b.machine.ask(delGid, { index: 0 }), undefined);
      const again = furnish(b.machine);
      bench.same(['RST-36'], 'numbers after the reset', [again.cqn, again.qpn], [b.cqn, b.qpn]);
      return bench;
    },
  ),
  probe(
    {
      id: 'MEM/reset/keys-open-nothing',
      doc: 'A key of before a reset opens nothing, though the same region is registered again.',
      requirements: ['MEM-13'],
    },
    context => {
      const scene = pairOf(context, { type: QpType.RC });
      const { a, b, bench } = scene;
      const old = b.region.rkey;
      b.machine.start();
      const again = furnish(b.machine);
      bringTo(bench, a, a, QpState.RESET);
      connect(a, again);
      connect(again, a);
      if (again.region.rkey === old)
        bench.accuse(['MEM-13'], `the region of after the reset has the key ${old} of before`);
      a.machine.postSend(a.qpn, {
        wrId: 1,
        opcode: WrOpcode.RDMA_WRITE,
        inline: new Uint8Array(8),
        rdma: { remote_addr: again.region.address, rkey: old },
      });
      bench.run();
      bench.same(['MEM-13'], 'the completion of a write with the key of before', statusesOf(a), [
        [1, status.REM_ACCESS_ERR],
      ]);
      return bench;
    },
  ),
];

const isolation = [
  probe(
    {
      id: 'ISO/numbers/independent',
      doc: 'The numbers that a machine gets do not depend on what another machine has.',
      requirements: ['ISO-02'],
      needs: { inside: 'two devices that have never been used' },
    },
    context => {
      const numbers = (withOthers: boolean): number[] => {
        const bench = new Bench(context);
        if (withOthers) {
          const side = furnish(bench.neighbour);
          for (let i = 0; i < 3; i++)
            side.machine.must(createAh, { pdn: side.pdn, ah_attr: addressVector(side.gid) });
        }
        const { pdn, otherPdn, cqn, qpn, region } = furnish(bench.me);
        return [pdn, otherPdn, cqn, qpn, region.mrn, region.lkey, region.rkey];
      };
      const bench = new Bench(context);
      bench.same(
        ['ISO-02'],
        'numbers and keys beside another machine and alone',
        numbers(true),
        numbers(false),
      );
      return bench;
    },
  ),
  probe(
    {
      id: 'ISO/packets/uninvited',
      doc: 'A queue pair that connects to one that is connected elsewhere is not heard, and changes nothing there.',
      requirements: ['ISO-12', 'ISO-11'],
    },
    context => {
      const bench = new Bench(context, { machines: 3 });
      const [a, b, c] = bench.machines.map(machine => furnish(machine));
      connect(a, b);
      connect(b, a);
      connect(c, b);
      b.machine.postRecv(b.qpn, 7, [{ addr: b.region.address, length: 64, lkey: b.region.lkey }]);
      c.machine.postSend(c.qpn, { wrId: 1, inline: new Uint8Array(8).fill(1) });
      bench.run();
      bench.same(
        ['ISO-12'],
        'what became of the uninvited send',
        [statusesOf(c, 1), statusesOf(b)],
        [[[1, status.RETRY_EXC_ERR]], []],
      );
      a.machine.postSend(a.qpn, { wrId: 2, inline: new Uint8Array(8).fill(2) });
      bench.run();
      bench.same(
        ['ISO-12', 'ISO-11'],
        'the send of the invited peer',
        [statusesOf(a), statusesOf(b)],
        [[[2, 0]], [[7, 0]]],
      );
      return bench;
    },
  ),
  probe(
    {
      id: 'ISO/packets/wrong-q-key',
      doc: 'A datagram whose Q_Key is not that of its queue pair is dropped, and uses no receive.',
      requirements: ['ISO-13', 'DATA-53'],
    },
    context => {
      const { a, b, bench } = pairOf(context, { type: QpType.UD });
      const ah = handleFor(a, b.gid);
      b.machine.postRecv(b.qpn, 7, [{ addr: b.region.address, length: 64, lkey: b.region.lkey }]);
      for (const remote_qkey of [QKEY ^ 1, QKEY ^ 0x4000_0000, QKEY]) {
        const before = statusesOf(b).length;
        a.machine.postSend(a.qpn, {
          wrId: remote_qkey,
          inline: new Uint8Array(4),
          ud: { remote_qpn: b.qpn, remote_qkey, ah },
        });
        bench.run();
        const got = statusesOf(b).length;
        bench.same(
          ['ISO-13'],
          `receives for Q_Key 0x${remote_qkey.toString(16)}`,
          [before, got],
          [0, remote_qkey === QKEY ? 1 : 0],
        );
      }
      return bench;
    },
  ),
  probe(
    {
      id: 'ISO/turns/queue-that-is-never-empty',
      doc: 'A driver that refills a queue as fast as it is emptied stops neither its own other queues nor its neighbour.',
      requirements: ['ISO-18', 'PERF-20', 'HOST-01'],
    },
    context => {
      const scene = pairOf(context);
      const { a, bench } = scene;
      const { machine } = a;
      const qpn = queuePairIn(bench, a, QpType.RC, QpState.ERR);
      const index = machine.queues.rq(qpn);
      const ring = machine.ring(index);
      const part = { address: machine.alloc(24), length: 24 };
      const refill = (): void => {
        ring.harvest();
        while (ring.freeDescriptors > 0) ring.add([part]);
        ring.publish();
      };
      refill();
      machine.transport.notify(index);
      const pending = machine.prepare(
        createPd.code,
        new Uint8Array(0),
        { writable: 5 },
        'CREATE_PD beside a queue that is never empty',
      );
      machine.publish(machine.queues.control);
      const other = scene.b.machine.prepare(
        createPd.code,
        new Uint8Array(0),
        { writable: 5 },
        'CREATE_PD of the neighbour',
      );
      scene.b.machine.publish(scene.b.machine.queues.control);
      for (let steps = 0; steps < 400; steps++) {
        bench.scheduler.step();
        refill();
        machine.transport.notify(index);
      }
      const answered = [
        machine.returned(machine.queues.control),
        scene.b.machine.returned(scene.b.machine.queues.control),
      ];
      bench.same(
        ['ISO-18'],
        'heads answered on both control queues',
        answered.map(list => list.map(({ id }) => id)),
        [[pending.chain.head], [other.chain.head]],
      );
      return bench;
    },
  ),
];

export const resetCases = deviceReset;
export const isolationCases = isolation;
