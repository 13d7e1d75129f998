/** Requests from the ring through the HCA and back. */
import { describe, expect, it } from 'vitest';
import { QpState, WcOpcode, WcStatus } from '../../src/abi/index.js';
import { Guest, World, gidOf, recvRequest, sendRequest } from './guest.js';
import { pairOfGuests } from './pairs.js';

describe('a connected pair', () => {
  it('moves a message and completes it on both sides', () => {
    const { a, b } = pairOfGuests(new World());
    a.guest.memory.write(a.buffer, Uint8Array.of(1, 2, 3, 4), 0, 4);
    b.guest.postRecv(b.qpn, recvRequest(7, [{ addr: b.buffer, length: 64, lkey: b.lkey }]));
    a.guest.postSend(a.qpn, sendRequest({ wrId: 9, sges: [{ addr: a.buffer, length: 4, lkey: a.lkey }] }));
    a.guest.world.settle();
    expect(a.guest.poll(a.cqn)).toMatchObject([{ wr_id: 9, status: WcStatus.SUCCESS, qp_num: a.qpn }]);
    expect(b.guest.poll(b.cqn)).toMatchObject([
      { wr_id: 7, status: WcStatus.SUCCESS, opcode: WcOpcode.RECV, byte_len: 4, qp_num: b.qpn },
    ]);
    expect([...b.guest.peek(b.buffer, 4)]).toEqual([1, 2, 3, 4]);
    expect(a.guest.queryQp(a.qpn)?.qp_state).toBe(QpState.RTS);
    void Guest;
    void gidOf;
  });
});
