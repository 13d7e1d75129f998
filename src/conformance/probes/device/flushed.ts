/** Completions without a peer: receives of a queue pair in ERR complete at once, one for each. */
import { QpState } from '../../../abi/index.js';
import { modifyQp } from './messages.js';
import type { Side } from './site.js';

/** Requests that fail at once, so that each gives a completion without a peer. */
export function flush({ machine, qpn }: Side, count: number, first = 0): void {
  for (let i = 0; i < count; i++) machine.postRecv(qpn, first + i);
}
export const toErr = ({ machine, qpn }: Side): void => {
  machine.must(modifyQp, { qpn, attr_mask: 1, qp_state: QpState.ERR }, ['QP-32']);
};
export const wrIds = ({ machine, cqn }: Side, keep = false): number[] =>
  machine.poll(cqn, keep).map(({ wr_id }) => wr_id);
export const range = (count: number, from = 0): number[] => Array.from({ length: count }, (_, i) => from + i);
