/** Fields and bytes that a request does not use (1.4, 7.1): whatever they hold, the request is carried out as if they were zero. */
import { rqReq } from '../../../abi/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import { recvRequest } from './messages.js';
import { status } from './outcomes.js';
import { probe } from './probe-case.js';
import { pairOf } from './site.js';

const inline = Uint8Array.of(1, 2, 3, 4);

export const unusedFieldCases: readonly ConformanceCase[] = [
  probe(
    {
      id: 'DATA/request/immediate-of-a-plain-send',
      doc: 'A SEND with something in imm_data is a SEND: its receive has no immediate data.',
      requirements: ['DATA-07', 'CQ-23'],
    },
    context => {
      const { a, b, bench } = pairOf(context);
      b.machine.postRecv(b.qpn, 2, [{ addr: b.region.address, length: 8, lkey: b.region.lkey }]);
      a.machine.postSend(a.qpn, { wrId: 1, inline, imm: 0x0102_0304 });
      bench.run();
      const seen = [a, b].map(({ machine, cqn }) => machine.poll(cqn));
      const of = (side: number): unknown[] =>
        seen[side].map(({ wr_id, status: code, wc_flags }) => [wr_id, code, wc_flags]);
      bench.same(
        ['DATA-07', 'CQ-23'],
        'wr_id, status and wc_flags at the sender and at the receiver',
        [of(0), of(1)],
        [[[1, status.SUCCESS, 0]], [[2, status.SUCCESS, 0]]],
      );
      return bench;
    },
  ),
  probe(
    {
      id: 'DATA/request/reserved-bytes-of-a-receive',
      doc: 'A receive with something in its reserved bytes, and more bytes behind its elements, is filled like any other.',
      requirements: ['OVR-07', 'DATA-05', 'DATA-07'],
    },
    context => {
      const { a, b, bench } = pairOf(context);
      const sound = recvRequest(2, [{ addr: b.region.address, length: 8, lkey: b.region.lkey }]);
      const bytes = new Uint8Array(sound.length + 24).fill(0xff);
      bytes.set(sound);
      bytes.fill(0xff, rqReq.offsets.reserved, rqReq.size);
      const chain = { address: b.machine.place(bytes), length: bytes.length };
      b.machine.offer(b.machine.queues.rq(b.qpn), [chain]);
      a.machine.postSend(a.qpn, { wrId: 1, inline });
      bench.run();
      const seen = [a, b].map(({ machine, cqn }) =>
        machine.poll(cqn).map(({ wr_id, status: code }) => [wr_id, code]),
      );
      bench.same(['OVR-07', 'DATA-05'], 'completions of both sides', seen, [
        [[1, status.SUCCESS]],
        [[2, status.SUCCESS]],
      ]);
      const got = [...b.machine.memory.copy(b.region.address, 4)];
      bench.same(['OVR-07'], 'the bytes that arrived', got, [...inline]);
      return bench;
    },
  ),
];
