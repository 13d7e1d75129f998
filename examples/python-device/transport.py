"""What requests do (7.4 to 7.6, 10.3). The network is this process: a message reaches its responder in one call, so
there are no packets to lose. What is left of packets is counted: sequence numbers."""

import completions as wc
from datagram import global_route
from request import (INLINE, LOCAL_WRITE, NO_RECEIVE, OPCODES, RC, RDMA_READ, RDMA_WRITE_WITH_IMM, RECV, RECV_RDMA_WITH_IMM,
                     REMOTE_READ, REMOTE_WRITE, RTR, RTS, SEND, SEND_WITH_IMM, SILENCE, SOLICITED, SQD, SQE, UC)


class Transport:
    """Half of a queue pair; the other half is QueuePair, which is one."""

    # -- Requester

    def run(self, request):
        """What becomes of the oldest send: a status, NO_RECEIVE or SILENCE; None when it has completed."""
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
        peer = None if datagram else self.peer()
        if self.kind == RC:
            return self.ask_peer(peer, request, max(1, -(-len(payload) // (128 << self.attr['path_mtu']))), payload)
        self.complete(self.sends, wc.SUCCESS)  # it has left: nothing that comes of it is heard (DATA-53, DATA-56)
        if datagram:
            self.send_datagram(request, handle[1], payload)
        elif peer is not None:
            peer.arrive(self, request, payload)
        return None

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
            if self.kind != RC:
                return None  # dropped: ERR-20, ERR-21
            packet = 128 << self.attr['path_mtu']
            self.scatter(receive, data[:receive.length // packet * packet])  # the packets before the one that is too much
            return self.spoil(wc.LOC_LEN_ERR, wc.REM_INV_REQ_ERR)
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
