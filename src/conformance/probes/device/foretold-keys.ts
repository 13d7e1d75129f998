/**
 * Requests that are posted before their region exists (9.5). Nobody can know the key of a region before it is registered, so the
 * probe does everything twice: the first machine tells the key that the second will give. A device that gives another one the
 * second time cannot be asked.
 */
import { AccessFlag, QpAttrMask, QpState } from '../../../abi/index.js';
import { CaseUnsupported } from '../../cases/case.js';
import type { CaseContext, ConformanceCase } from '../../cases/case.js';
import { modifyQp } from './messages.js';
import { status, statusesOf } from './outcomes.js';
import { probe } from './probe-case.js';
import { pairOf, register } from './site.js';
import type { Pair, Region, Side } from './site.js';

const LENGTH = 64;

/** The region that is registered late. */
const late = ({ machine, pdn, region }: Side): Region =>
  register(machine, pdn, region.address, LENGTH, AccessFlag.LOCAL_WRITE);

function foretold(context: CaseContext, side: (pair: Pair) => Side): number {
  return late(side(pairOf(context))).lkey;
}

function registerForetold(side: Side, lkey: number): void {
  const got = late(side);
  if (got.lkey !== lkey)
    throw new CaseUnsupported(`keys are not given in the same order twice: ${got.lkey} after ${lkey}`);
}

export const foretoldKeyCases: readonly ConformanceCase[] = [
  probe(
    {
      id: 'MEM/time/receive-posted-before-its-region',
      doc: 'A receive that is posted before its region is registered is filled when the message comes behind the registration.',
      requirements: ['MEM-27'],
    },
    context => {
      const lkey = foretold(context, ({ b }) => b);
      const { a, b, bench } = pairOf(context);
      b.machine.postRecv(b.qpn, 2, [{ addr: b.region.address, length: LENGTH, lkey }]);
      bench.run();
      registerForetold(b, lkey);
      const inline = Uint8Array.of(1, 2, 3, 4);
      a.machine.postSend(a.qpn, { wrId: 1, inline });
      bench.run();
      bench.same(
        ['MEM-27'],
        'completions of both sides',
        [statusesOf(a), statusesOf(b)],
        [[[1, status.SUCCESS]], [[2, status.SUCCESS]]],
      );
      const got = [...b.machine.memory.copy(b.region.address, 4)];
      bench.same(['MEM-27'], 'the bytes that arrived', got, [...inline]);
      return bench;
    },
  ),
  probe(
    {
      id: 'MEM/time/send-posted-before-its-region',
      doc: 'A send that waits in SQD while its region is registered is carried out in RTS.',
      requirements: ['MEM-27', 'QP-58'],
    },
    context => {
      const lkey = foretold(context, ({ a }) => a);
      const { a, b, bench } = pairOf(context);
      const move = (qp_state: number): unknown =>
        a.machine.must(modifyQp, { qpn: a.qpn, attr_mask: QpAttrMask.STATE, qp_state }, ['QP-32']);
      b.machine.postRecv(b.qpn, 2, [{ addr: b.region.address, length: LENGTH, lkey: b.region.lkey }]);
      move(QpState.SQD);
      a.machine.postSend(a.qpn, { wrId: 1, sges: [{ addr: a.region.address, length: 4, lkey }] });
      bench.run();
      registerForetold(a, lkey);
      move(QpState.RTS);
      bench.run();
      bench.same(
        ['MEM-27'],
        'completions of both sides',
        [statusesOf(a), statusesOf(b)],
        [[[1, status.SUCCESS]], [[2, status.SUCCESS]]],
      );
      return bench;
    },
  ),
];
