"""Requests as they stand in the rings (7.1, 7.2), and the numbers that go with them."""

import struct

GSI, RC, UC, UD = 1, 2, 3, 4
RESET, INIT, RTR, RTS, SQD, SQE, ERR = range(7)
RDMA_WRITE, RDMA_WRITE_WITH_IMM, SEND, SEND_WITH_IMM, RDMA_READ = range(5)
SIGNALED, SOLICITED, INLINE = 2, 4, 8
LOCAL_WRITE, REMOTE_WRITE, REMOTE_READ = 1, 2, 4
OPCODES = {RC: {0, 1, 2, 3, 4}, UC: {0, 1, 2, 3}, UD: {2, 3}, GSI: {2, 3}}
WC_OPCODE = {RDMA_WRITE: 1, RDMA_WRITE_WITH_IMM: 1, SEND: 0, SEND_WITH_IMM: 0, RDMA_READ: 2}
RECV, RECV_RDMA_WITH_IMM = 3, 4
NO_RECEIVE, SILENCE = 'no receive', 'silence'  # what comes back besides a status


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
