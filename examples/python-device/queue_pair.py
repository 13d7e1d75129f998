"""Queue pairs (chapter 6) and what their requests do (chapter 7). The "network" is this process: a message goes to
its responder in one call, so there are no packets to lose. What is left of them is counted: sequence numbers, and
the waiting for a peer that is not ready or not there."""

import struct
from collections import deque

import completions as wc
from datagram import global_route
from memory import OutsideMemory

GSI, RC, UC, UD = 1, 2, 3, 4
RESET, INIT, RTR, RTS, SQD, SQE, ERR = range(7)
RDMA_WRITE, RDMA_WRITE_WITH_IMM, SEND, SEND_WITH_IMM, RDMA_READ = range(5)
SIGNALED, SOLICITED, INLINE = 2, 4, 8
LOCAL_WRITE, REMOTE_WRITE, REMOTE_READ = 1, 2, 4
OPCODES = {RC: {0, 1, 2, 3, 4}, UC: {0, 1, 2, 3}, UD: {2, 3}, GSI: {2, 3}}
WC_OPCODE = {RDMA_WRITE: 1, RDMA_WRITE_WITH_IMM: 1, SEND: 0, SEND_WITH_IMM: 0, RDMA_READ: 2}
RECV, RECV_RDMA_WITH_IMM = 3, 4
NO_RECEIVE, SILENCE = 'no receive', 'silence'  # what comes back besides a status
RNR_WAIT_MS = (655.36, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.12, 0.16, 0.24, 0.32, 0.48, 0.64, 0.96, 1.28, 1.92, 2.56,
               3.84, 5.12, 7.68, 10.24, 15.36, 20.48, 30.72, 40.96, 61.44, 81.92, 122.88, 163.84, 245.76, 327.68, 491.52)


class Request:
    """A send or receive, copied once from its chain. Bytes that a short one lacks count as zero (7.1)."""

    def __init__(self, chain, send, most_elements):
        self.chain, self.started, self.psn, self.carried_out = chain, False, None, None
        fixed = chain.read(0, 576 if send else 24)
        self.broken = len(fixed) < (576 if send else 24)
        fixed = fixed.ljust(576, b'\0')
        self.wr_id = int.from_bytes(fixed[:8], 'little')
        count = struct.unpack_from('<I', fixed, 560 if send else 8)[0]
        self.inline = None
        if send:
            self.opcode, self.flags, self.imm = fixed[8], fixed[9], fixed[12:16]
            self.remote_addr, self.rkey = struct.unpack_from('<QI', fixed, 16)
            self.remote_qpn, self.remote_qkey, self.ah = struct.unpack_from('<III', fixed, 16)
            if self.flags & INLINE:
                self.inline, count = fixed[48:48 + (count & 0xffff)], 0
                self.inline_length = struct.unpack_from('<H', fixed, 560)[0]
        self.broken = self.broken or count > most_elements
        table = b'' if self.broken else chain.read(576 if send else 24, 16 * count)
        self.broken = self.broken or len(table) < 16 * count
        self.elements = [] if self.broken else [element for element in struct.iter_unpack('<QII', table)]
        self.length = sum(length for _, length, _ in self.elements) if self.inline is None else len(self.inline)


class QueuePair:
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
        self.retries = self.rnr_retries = 0
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

    # -- Requester

    def run(self, request):
        """What becomes of the oldest send: a status, NO_RECEIVE or SILENCE."""
        opcode, datagram = request.opcode, not self.connected()
        if (request.broken or opcode not in OPCODES[self.kind] or request.flags > 15
                or opcode == RDMA_READ and (request.flags & INLINE or self.attr['max_rd_atomic'] == 0
                                            or len(request.elements) > self.machine.limits['max_sge_rd'])
                or request.inline is not None and request.inline_length > self.max_inline):
            return wc.LOC_QP_OP_ERR
        handle = self.machine.ahs.get(request.ah) if datagram else None
        if datagram and (handle is None or handle[0] != self.pdn):
            return wc.LOC_QP_OP_ERR
        if request.length > (self.machine.active_mtu if datagram else self.machine.limits['max_msg_sz']):
            return wc.LOC_LEN_ERR
        if opcode == RDMA_READ:
            return self.read(request)
        payload = self.gather(request)
        if payload is None:
            return wc.LOC_PROT_ERR
        if datagram:
            self.send_datagram(request, handle[1], payload)
            return wc.SUCCESS
        peer = self.peer()
        if self.kind == UC:
            if peer is not None:
                peer.arrive(self, request, payload)
            return wc.SUCCESS
        return self.ask_peer(peer, request, max(1, -(-len(payload) // (128 << self.attr['path_mtu']))), payload)

    def ask_peer(self, peer, request, packets, payload):
        if request.psn is None:
            request.psn = self.attr['sq_psn']
            self.attr['sq_psn'] = (request.psn + packets) & 0xffffff
        if peer is None:
            return SILENCE
        expected = peer.attr['rq_psn']
        if expected == (request.psn + packets) & 0xffffff and request.opcode != RDMA_READ and request.carried_out is peer:
            answer = wc.SUCCESS  # carried out before; only the answer was lost
        elif expected != request.psn:
            return SILENCE  # out of sequence: whatever is answered, the request is not carried out
        else:
            answer = peer.arrive(self, request, payload)
            if answer == wc.SUCCESS:
                peer.attr['rq_psn'] = (request.psn + packets) & 0xffffff
                request.carried_out = peer
            elif answer is NO_RECEIVE:
                self.rnr_timer = peer.attr['min_rnr_timer']
        return answer if peer.peer() is self else SILENCE

    def read(self, request):
        packets = max(1, -(-request.length // (128 << self.attr['path_mtu'])))
        answer = self.ask_peer(self.peer(), request, packets, None)
        if answer != wc.SUCCESS:
            return answer
        return wc.SUCCESS if self.scatter(request, request.data) else wc.LOC_PROT_ERR

    def peer(self):
        """The queue pair at the other end: it has to be connected to this one, by GID and number (ISO-12)."""
        own = self.machine.gids.get(self.route.sgid_index) if self.route else None
        there = self.machine.host.owner(self.route.dgid) if own else None
        peer = there.qps.get(self.attr['dest_qp_num']) if there else None
        if peer is None or peer.kind != self.kind or peer.state not in (RTR, RTS, SQD, SQE) and peer is not self:
            return None
        known = peer.route and peer.route.dgid == own and peer.attr['dest_qp_num'] == self.qpn
        return peer if known else None

    def send_datagram(self, request, route, payload):
        own = self.machine.gids.get(route.sgid_index)
        there = self.machine.host.owner(route.dgid) if own else None
        peer = there.qps.get(request.remote_qpn) if there else None
        qkey = self.attr['qkey'] if request.remote_qkey >> 31 else request.remote_qkey
        if peer is None or peer.connected() or peer.state not in (RTR, RTS, SQD, SQE) or peer.attr['qkey'] != qkey:
            return
        imm = request.imm if request.opcode == SEND_WITH_IMM else None
        peer.fill(global_route(own, route, len(payload), imm) + payload, imm, request.flags & SOLICITED, self.qpn)

    # -- Responder

    def arrive(self, sender, request, payload):
        """A message of the peer. RC gets the answer; UC does not hear it."""
        opcode, imm = request.opcode, request.imm
        if opcode in (SEND, SEND_WITH_IMM):
            return self.fill(payload, imm if opcode == SEND_WITH_IMM else None, request.flags & SOLICITED)
        right = REMOTE_READ if opcode == RDMA_READ else REMOTE_WRITE
        if not self.attr['qp_access_flags'] & right or opcode == RDMA_READ and self.attr['max_dest_rd_atomic'] == 0:
            return self.refuse(wc.REM_INV_REQ_ERR)
        place = self.machine.region(request.rkey, self.pdn, right, remote=True) if request.length else None
        pieces = place.pieces(request.remote_addr, request.length) if place else None
        denied = request.length > 0 and pieces is None
        if opcode == RDMA_READ:
            if denied:
                return self.refuse(wc.REM_ACCESS_ERR)
            request.data = self.machine.read(pieces or [])
            return wc.SUCCESS
        several = request.length > 128 << sender.attr['path_mtu']
        if opcode == RDMA_WRITE_WITH_IMM and not (denied and several):
            self.take_recvs()
            if not self.recvs:
                return NO_RECEIVE
            if self.recvs[0].broken and not denied:
                return self.spoil(wc.LOC_QP_OP_ERR, wc.REM_OP_ERR)
        if denied:
            if opcode == RDMA_WRITE_WITH_IMM and not several and self.kind == RC:
                self.complete(self.recvs, wc.LOC_ACCESS_ERR)  # DATA-82: it had taken the receive
            return self.refuse(wc.REM_ACCESS_ERR)
        self.machine.write(pieces or [], payload)
        if opcode == RDMA_WRITE_WITH_IMM:
            self.complete(self.recvs, wc.SUCCESS, RECV_RDMA_WITH_IMM, len(payload), request.flags & SOLICITED, imm=imm)
        return wc.SUCCESS

    def fill(self, data, imm, solicited, src_qp=None):
        self.take_recvs()
        if not self.recvs:
            return NO_RECEIVE
        receive = self.recvs[0]
        if receive.broken:
            return self.spoil(wc.LOC_QP_OP_ERR, wc.REM_OP_ERR)
        if receive.length < len(data):
            return self.spoil(wc.LOC_LEN_ERR, wc.REM_INV_REQ_ERR) if self.kind == RC else None  # dropped: ERR-20, ERR-21
        if not self.scatter(receive, data):
            return self.spoil(wc.LOC_PROT_ERR, wc.REM_OP_ERR)
        datagram = src_qp is not None
        self.complete(self.recvs, wc.SUCCESS, RECV, len(data), solicited, imm=imm, src_qp=src_qp or 0, grh=datagram)
        return wc.SUCCESS

    def spoil(self, status, answer):
        self.complete(self.recvs, status)
        return answer

    def refuse(self, answer):
        if self.kind == RC:
            self.fail()
        return answer

    # -- Bytes

    def gather(self, request):
        if request.inline is not None:
            return request.inline
        parts = []
        for addr, length, lkey in request.elements:
            if length:
                region = self.machine.region(lkey, self.pdn)
                pieces = region.pieces(addr, length) if region else None
                if pieces is None:
                    return None
                parts.append(self.machine.read(pieces))
        return b''.join(parts)

    def scatter(self, request, data):
        """Fills the elements in turn. False when one that bytes would go to cannot be written; then none is."""
        plan, done = [], 0
        for addr, length, lkey in request.elements:
            if length and done < len(data):
                region = self.machine.region(lkey, self.pdn, LOCAL_WRITE)
                pieces = region.pieces(addr, length) if region else None
                if pieces is None:
                    return False
                part = data[done:done + length]
                plan.append((pieces, part))
                done += len(part)
        for pieces, part in plan:
            self.machine.write(pieces, part)
        return True
