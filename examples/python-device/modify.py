"""MODIFY_QP and QUERY_QP: the table of 6.4, the values of 6.5, the drain of 6.8."""

import struct

from datagram import Route
from request import ERR, INIT, RC, RESET, RTR, RTS, SQD, SQE, UC

STATE, CUR_STATE, ACCESS_FLAGS, QKEY, AV, PATH_MTU, TIMEOUT, RETRY_CNT, RNR_RETRY, RQ_PSN, MAX_QP_RD_ATOMIC, MIN_RNR_TIMER, \
    SQ_PSN, MAX_DEST_RD_ATOMIC, _CAP, DEST_QPN = (1 << bit for bit in range(16))

# (from, to): what is required and what is optional, for RC, for UC, and for UD and GSI.
_RTS = (0, CUR_STATE | ACCESS_FLAGS | MIN_RNR_TIMER), (0, CUR_STATE | ACCESS_FLAGS), (0, CUR_STATE | QKEY)
ROWS = {
    (RESET, INIT): ((ACCESS_FLAGS, 0), (ACCESS_FLAGS, 0), (QKEY, 0)),
    (INIT, INIT): ((0, ACCESS_FLAGS), (0, ACCESS_FLAGS), (0, QKEY)),
    (INIT, RTR): ((AV | PATH_MTU | RQ_PSN | MIN_RNR_TIMER | MAX_DEST_RD_ATOMIC | DEST_QPN, ACCESS_FLAGS),
                  (AV | PATH_MTU | RQ_PSN | DEST_QPN, ACCESS_FLAGS), (0, QKEY)),
    (RTR, RTS): ((TIMEOUT | RETRY_CNT | RNR_RETRY | MAX_QP_RD_ATOMIC | SQ_PSN, CUR_STATE | ACCESS_FLAGS | MIN_RNR_TIMER),
                 (SQ_PSN, CUR_STATE | ACCESS_FLAGS), (SQ_PSN, CUR_STATE | QKEY)),
    (RTS, RTS): _RTS,
    (RTS, SQD): ((0, 0),) * 3,
    (SQD, RTS): _RTS,
    (SQD, SQD): ((0, ACCESS_FLAGS | AV | TIMEOUT | RETRY_CNT | RNR_RETRY | MAX_QP_RD_ATOMIC | MIN_RNR_TIMER | MAX_DEST_RD_ATOMIC),
                 (0, ACCESS_FLAGS | AV), (0, QKEY)),
    (SQE, RTS): (None, (0, CUR_STATE | ACCESS_FLAGS), (0, CUR_STATE | QKEY)),
    (ERR, ERR): ((0, 0),) * 3,
    **{(state, RESET): ((0, 0),) * 3 for state in range(7)},
    **{(state, ERR): ((0, 0),) * 3 for state in (INIT, RTR, RTS, SQD, SQE)},
}

COMMAND = struct.Struct('<II9B7x6I')
FIELDS = ('qp_state', 'cur_qp_state', 'path_mtu', 'max_rd_atomic', 'max_dest_rd_atomic', 'min_rnr_timer', 'timeout', 'retry_cnt',
          'rnr_retry', 'qkey', 'rq_psn', 'sq_psn', 'dest_qp_num', 'qp_access_flags', 'rate_limit')
NAMED = {ACCESS_FLAGS: 'qp_access_flags', QKEY: 'qkey', PATH_MTU: 'path_mtu', TIMEOUT: 'timeout', RETRY_CNT: 'retry_cnt',
         RNR_RETRY: 'rnr_retry', RQ_PSN: 'rq_psn', MAX_QP_RD_ATOMIC: 'max_rd_atomic', MIN_RNR_TIMER: 'min_rnr_timer',
         SQ_PSN: 'sq_psn', MAX_DEST_RD_ATOMIC: 'max_dest_rd_atomic', DEST_QPN: 'dest_qp_num'}


def draining(qp):
    return qp.state == SQD and any(request.started for request in qp.sends)


def modify_qp(machine, qp, data):
    """True when the change was made. The checks come in the order of 6.4."""
    _, mask, *values = COMMAND.unpack_from(data)
    value = dict(zip(FIELDS, values))
    if qp.state != RESET:  # what was posted before the command comes before it (CTRL-88)
        qp.run_sends(qp.send_ring.size)
        qp.take_recvs()
    if mask & STATE and value['qp_state'] > 6 or mask & CUR_STATE and value['cur_qp_state'] != qp.state:
        return False
    to = value['qp_state'] if mask & STATE else qp.state
    if draining(qp) and mask & STATE and to not in (RESET, ERR):
        return False
    row = ROWS.get((qp.state, to))
    row = row and row[0 if qp.kind == RC else 1 if qp.kind == UC else 2]
    if row is None or mask & row[0] != row[0] or mask & ~(STATE | row[0] | row[1]):
        return False
    route = Route.parse(data[72:])
    limits = machine.limits
    highest = {'path_mtu': machine.active_mtu.bit_length() - 8, 'timeout': 31, 'retry_cnt': 7, 'rnr_retry': 7, 'min_rnr_timer': 31,
               'max_rd_atomic': limits['max_qp_init_rd_atom'], 'max_dest_rd_atomic': limits['max_qp_rd_atom'], 'qp_access_flags': 7}
    names = [name for bit, name in NAMED.items() if mask & bit]
    if any(value[name] > highest.get(name, 0xffffffff) for name in names) or mask & PATH_MTU and value['path_mtu'] == 0:
        return False
    if mask & AV and (route.sgid_index not in machine.gids or route.flow_label >= 1 << 20):
        return False

    if to == RESET:
        qp.discard()
        return True
    for name in names:
        qp.attr[name] = value[name] & 0xffffff if name in ('rq_psn', 'sq_psn', 'dest_qp_num') else value[name]
    if mask & AV:
        qp.route = route
    if to == ERR:
        qp.fail()
    elif mask & STATE:
        qp.state = to
        machine.touch(qp.send_ring)
        machine.touch(qp.recv_ring)
    return True


def query_qp(qp):
    attr = qp.attr
    small = [attr[name] for name in ('max_rd_atomic', 'max_dest_rd_atomic', 'min_rnr_timer', 'timeout', 'retry_cnt', 'rnr_retry')]
    large = [attr[name] for name in ('qkey', 'rq_psn', 'sq_psn', 'dest_qp_num', 'qp_access_flags')]
    route = qp.route.pack() if qp.route else bytes(40)
    return struct.pack('<9B7x6I', qp.state, attr['path_mtu'], draining(qp), *small, *large, 0) + qp.cap + route + bytes(16)
