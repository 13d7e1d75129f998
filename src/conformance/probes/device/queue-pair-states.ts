/** How a queue pair is brought into each of its states. */
import { QpAttrMask, QpState, QpType } from '../../../abi/index.js';
import type { Bench } from './bench.js';
import { createQp, modifyQp, queryQp } from './messages.js';
import { connect, qpFields } from './site.js';
import type { Side } from './site.js';

/** A new queue pair of side `a` in the state asked for; SQE does not exist on RC. Its peer is never there to answer. */
export function queuePairIn(bench: Bench, a: Side, type: number, state: number): number {
  const { qpn } = a.machine.must(createQp, qpFields(a, { qp_type: type }));
  bringTo(bench, a, { qpn, type }, state);
  return qpn;
}

/** Brings a queue pair from whatever state it is in to another, by way of RESET. */
export function bringTo(
  bench: Bench,
  side: Side,
  qp: { readonly qpn: number; readonly type: number },
  state: number,
): void {
  const text = `queue pair ${qp.qpn} is brought to state ${state}`;
  bench.scene(side.machine.name, text, () => bring(bench, side, qp, state));
}

function bring(
  bench: Bench,
  { machine, cqn, gid }: Side,
  { qpn, type }: { readonly qpn: number; readonly type: number },
  state: number,
): void {
  const move = (qp_state: number): unknown =>
    machine.must(modifyQp, { qpn, attr_mask: QpAttrMask.STATE, qp_state }, ['QP-32']);
  move(QpState.RESET);
  const peer = { gid, qpn: 0xfff };
  if (state <= QpState.RTS) connect({ machine, qpn, type }, peer, state);
  else if (state === QpState.ERR) {
    connect({ machine, qpn, type }, peer, QpState.INIT);
    move(QpState.ERR);
  } else {
    connect({ machine, qpn, type }, peer);
    if (state === QpState.SQD) move(QpState.SQD);
    else {
      machine.postSend(qpn, { opcode: 99 });
      bench.run();
      machine.poll(cqn);
    }
  }
  const got = machine.must(queryQp, { qpn, attr_mask: 0 }).qp_state;
  const ids = state === QpState.SQE ? ['QP-59', 'QP-23'] : ['QP-33', 'QP-23'];
  bench.same(ids, `the state of a queue pair of type ${type} that was brought to ${state}`, got, state);
}

/** The states that a type has. */
export function statesOf(type: number): number[] {
  const states = Object.values(QpState);
  return type === QpType.RC ? states.filter(state => state !== QpState.SQE) : states;
}
