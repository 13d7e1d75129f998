"""Completion queues (chapter 8): buffers, capacity, arming, and what is held back for want of a buffer."""

import struct
from collections import deque

SUCCESS, LOC_LEN_ERR, LOC_QP_OP_ERR, LOC_PROT_ERR, WR_FLUSH_ERR = 0, 1, 2, 3, 4
LOC_ACCESS_ERR, REM_INV_REQ_ERR, REM_ACCESS_ERR, REM_OP_ERR, RETRY_EXC_ERR, RNR_RETRY_EXC_ERR = 6, 7, 8, 9, 10, 11

ENTRY = struct.Struct('<QBBHII4sIII12x')  # wr_id status opcode - vendor_err byte_len imm_data qp_num src_qp wc_flags
GRH, WITH_IMM = 1, 2
SOLICITED, NEXT_COMPLETION = 1, 2


def entry(qpn, wr_id, status, opcode=0, byte_len=0, imm=None, src_qp=0, grh=False):
    if status != SUCCESS:
        return ENTRY.pack(wr_id, status, 0, 0, 0, 0, bytes(4), qpn, 0, 0)  # CQ-26: nothing else is told
    flags = (WITH_IMM if imm is not None else 0) | (GRH if grh else 0)
    return ENTRY.pack(wr_id, status, opcode, 0, 0, byte_len, imm or bytes(4), qpn, src_qp, flags)


class CompletionQueue:
    def __init__(self, machine, cqn, ring, cqe):
        self.machine, self.cqn, self.ring, self.cqe = machine, cqn, ring, cqe
        self.most = 0  # B of 8.4: the most buffers available at one time, at most cqe
        self.held = deque()  # (entry, solicited) without a buffer, the oldest first
        self.armed = 0
        self.overrun = False
        self.users = set()  # queue pairs that send or receive through it
        ring.ask(False)  # PERF-04: buffers need no kick

    def add(self, data, solicited):
        """A completion. It finds a buffer, waits for one, or overruns the queue."""
        self.give_held()
        if self.overrun:
            return
        if not self.held and self.buffers():
            self._fill(data, solicited)
        elif len(self.held) < self.cqe - self.most:
            self.held.append((data, solicited))
            self.ring.ask(True)
        else:
            self.overrun = True
            for qp in list(self.users):
                qp.fail()

    def give_held(self):
        while self.held and self.buffers():
            self._fill(*self.held.popleft())
            if not self.held:
                self.ring.ask(False)

    def buffers(self):
        """Buffers that are available now. They become fewer only here, so looking before each use finds B."""
        count = self.machine.waiting(self.ring)
        self.most = max(self.most, min(count, self.cqe))
        return count

    def _fill(self, data, solicited):
        buffer = self.machine.take(self.ring)
        if buffer is None:
            return
        if buffer.room() < ENTRY.size:
            self.machine.broken(f'a completion buffer of {buffer.room()} bytes')
            return
        buffer.write(data)
        self.ring.give(buffer, ENTRY.size, notify=False)
        status = data[8]
        if self.armed == NEXT_COMPLETION or self.armed == SOLICITED and (solicited or status != SUCCESS):
            self.armed = 0
            self.ring.interrupt()  # whatever the ring's own suppression says (CQ-42)

    def arm(self, flags):
        self.give_held()
        self.armed = max(self.armed, NEXT_COMPLETION if flags & NEXT_COMPLETION else SOLICITED)

    def destroy(self):
        self.held.clear()
        while (buffer := self.machine.take(self.ring)) is not None:
            self.ring.give(buffer, 0, notify=False)
        self.ring.ask(True)
