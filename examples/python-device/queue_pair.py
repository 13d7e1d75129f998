"""Queue pairs (chapter 6): what is taken from their rings and when, in which state, and how it completes."""

import struct
from collections import deque

import completions as wc
from request import ERR, NO_RECEIVE, RC, RESET, RTS, SIGNALED, SILENCE, SQD, SQE, UC, WC_OPCODE, Request
from transport import Transport

RNR_WAIT_MS = (655.36, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.12, 0.16, 0.24, 0.32, 0.48, 0.64, 0.96, 1.28, 1.92, 2.56,
               3.84, 5.12, 7.68, 10.24, 15.36, 20.48, 30.72, 40.96, 61.44, 81.92, 122.88, 163.84, 245.76, 327.68, 491.52)


class QueuePair(Transport):
    def __init__(self, machine, qpn, kind, pdn, sig_all, send_cq, recv_cq, cap, rings):
        self.machine, self.qpn, self.kind, self.pdn, self.sig_all = machine, qpn, kind, pdn, sig_all
        self.send_cq, self.recv_cq, self.cap = send_cq, recv_cq, cap
        self.max_send, self.max_recv, self.max_send_sge, self.max_recv_sge, self.max_inline = struct.unpack_from('<5I', cap)
        self.send_ring, self.recv_ring = rings
        self.sends, self.recvs = deque(), deque()  # taken and not returned, the oldest first
        self.clear()
        send_cq.users.add(self)
        recv_cq.users.add(self)

    def clear(self):
        """As new: RESET, and every attribute forgotten (QP-40)."""
        self.state = RESET
        self.attr = dict.fromkeys(('path_mtu', 'max_rd_atomic', 'max_dest_rd_atomic', 'min_rnr_timer', 'timeout', 'retry_cnt',
                                   'rnr_retry', 'qkey', 'rq_psn', 'sq_psn', 'dest_qp_num', 'qp_access_flags'), 0)
        self.route = None
        self._rest()

    def _rest(self):
        self.retries = self.rnr_retries = self.rnr_timer = 0
        self.wait = None  # the timer that the oldest send waits for

    def connected(self):
        return self.kind in (RC, UC)

    # -- Taking and running

    def take_sends(self):
        while self.state >= RTS and len(self.sends) < self.max_send and (chain := self.machine.take(self.send_ring)):
            self.sends.append(Request(chain, True, self.max_send_sge))

    def take_recvs(self):
        while self.state != RESET and len(self.recvs) < self.max_recv and (chain := self.machine.take(self.recv_ring)):
            self.recvs.append(Request(chain, False, self.max_recv_sge))
            if self.state == ERR:
                self.complete(self.recvs, wc.WR_FLUSH_ERR)

    def can_take(self, ring):
        if ring is self.send_ring:
            return self.state >= RTS and len(self.sends) < self.max_send
        return self.state != RESET and len(self.recvs) < self.max_recv

    def run_sends(self, most):
        """Runs at most so many sends, one behind the other, until one has to wait."""
        for _ in range(most):
            self.take_sends()
            if not self.sends:
                return
            if self.state == RTS:
                for request in self.sends:
                    request.started = True
            request = self.sends[0]
            if self.state in (SQE, ERR):
                self.complete(self.sends, wc.WR_FLUSH_ERR)
            elif request.started and self.wait is None and self.state in (RTS, SQD):
                status = self.run(request)
                if not self.sends or self.sends[0] is not request:
                    continue  # flushed meanwhile: the queue pair talks to itself, or an overrun stopped it
                if status in (NO_RECEIVE, SILENCE):
                    status = self.wait_or_give_up(status)
                if status is not None:
                    self._rest()
                    self.complete(self.sends, status)
            else:
                return
        if self.sends and self.wait is None:
            self.machine.touch(self.send_ring)  # its turn is over, not its work (PERF-20)

    def wait_or_give_up(self, why):
        if why is NO_RECEIVE:
            if self.attr['rnr_retry'] < 7 and self.rnr_retries >= self.attr['rnr_retry']:
                return wc.RNR_RETRY_EXC_ERR
            self.rnr_retries += 1
            seconds = RNR_WAIT_MS[self.rnr_timer] / 1e3
        elif self.attr['timeout'] == 0:
            self.wait = object()  # waits without end
            return None
        else:
            seconds = 4.096e-6 * (1 << self.attr['timeout'])
            self.retries += 1
        self.wait = self.machine.host.after(seconds, self, why)
        return None

    def awake(self, timer, why):
        if timer is not self.wait:
            return  # of a request that is gone
        self.wait = None
        if why is SILENCE and self.retries > self.attr['retry_cnt']:
            self._rest()
            self.complete(self.sends, wc.RETRY_EXC_ERR)
        self.machine.touch(self.send_ring)

    # -- Completing

    def complete(self, queue, status, opcode=0, length=0, solicited=False, **more):
        """The oldest request of a queue is done with: its chain first, then its completion (ORD-15)."""
        request = queue.popleft()
        sending = queue is self.sends
        (self.send_ring if sending else self.recv_ring).give(request.chain, 0)
        if sending and status == wc.SUCCESS:
            opcode, length = WC_OPCODE[request.opcode], request.length
            if not (self.sig_all or request.flags & SIGNALED):
                return
        if status not in (wc.SUCCESS, wc.WR_FLUSH_ERR):
            # The state before the completion: whoever sees the one may ask for the other.
            self.state = ERR if self.kind == RC or not sending else SQE
        data = wc.entry(self.qpn, request.wr_id, status, opcode, length, **more)
        (self.send_cq if sending else self.recv_cq).add(data, solicited)
        if self.state == ERR and status != wc.WR_FLUSH_ERR:
            self.flush()
        elif self.state == SQE:
            self.machine.touch(self.send_ring)

    def fail(self):
        """To ERR, from any state but RESET."""
        if self.state not in (RESET, ERR):
            self.state = ERR
            self.flush()

    def flush(self):
        self._rest()
        for queue, take in ((self.sends, self.take_sends), (self.recvs, self.take_recvs)):
            take()
            while queue:
                self.complete(queue, wc.WR_FLUSH_ERR)
                take()

    def discard(self):
        """For RESET and DESTROY_QP: every chain goes back, those never taken too, without a completion."""
        for queue, ring in ((self.sends, self.send_ring), (self.recvs, self.recv_ring)):
            for request in queue:
                ring.give(request.chain, 0)
            queue.clear()
            while (chain := self.machine.take(ring)) is not None:
                ring.give(chain, 0)
        self.clear()
