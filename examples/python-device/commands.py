"""The 18 control commands (chapter 5). A handler gets the bytes of its struct, checks everything, and only then
changes something: a refused command leaves no trace (CTRL-14)."""

import struct

from completions import CompletionQueue
from datagram import Route
from modify import modify_qp, query_qp
from queue_pair import QueuePair
from request import GSI

OK, ERR = 0, 1
PAGE = 4096


class Refused(Exception):
    """The answer is ERR; the reason is for people."""


def require(condition, reason):
    if not condition:
        raise Refused(reason)


class Region:
    def __init__(self, memory, number, pdn, access, start=0, length=None, pages=None):
        self.memory, self.number, self.pdn, self.access = memory, number, pdn, access
        self.start, self.length, self.pages = start, length, pages

    def pieces(self, addr, length):
        """(guest-physical address, length) of a range of the region, or None when it is not in it."""
        if self.pages is None:  # all of guest memory
            return [(addr, length)] if self.memory.covers(addr, length) else None
        if addr < self.start or addr + length > self.start + self.length:
            return None
        found, end = [], addr + length
        while addr < end:
            page = self.pages[addr // PAGE - self.start // PAGE]
            here = min(end - addr, PAGE - addr % PAGE)
            found.append((page + addr % PAGE, here))
            addr += here
        return found if all(self.memory.covers(*piece) for piece in found) else None


def query_device(machine, _):
    limits = [machine.limits[name] for name in ('max_qp_wr', 'max_send_sge', 'max_recv_sge', 'max_sge_rd', 'max_cqe', 'max_mr', 'max_pd',
                                                'max_qp_rd_atom', 'max_qp_init_rd_atom', 'max_ah')]
    return struct.pack('<QQQI10IB59x', 1, machine.limits['max_mr_size'], PAGE, 1, *limits, 0)


def query_port(machine, _):
    return struct.pack('<II24x', machine.limits['gid_tbl_len'], machine.limits['max_msg_sz'])


def create_cq(machine, data):
    (cqe,) = struct.unpack('<I', data)
    cqn = next((n for n in range(machine.limits['max_rdma_cqs']) if n not in machine.cqs), None)
    require(cqn is not None, 'no number is free')
    ring = machine.rings.get(machine.control + 1 + cqn)
    require(ring and ring.enabled, f'the virtqueue of completion queue {cqn} is not enabled')
    require(0 < cqe <= min(machine.limits['max_cqe'], ring.size), f'a cqe of {cqe}')
    machine.cqs[cqn] = CompletionQueue(machine, cqn, ring, cqe)
    return struct.pack('<I', cqn)


def destroy_cq(machine, data):
    cq = named(machine.cqs, data)
    require(not cq.users, 'a queue pair uses it')
    cq.destroy()
    del machine.cqs[cq.cqn]


def req_notify_cq(machine, data):
    cq = named(machine.cqs, data[:4])
    (flags,) = struct.unpack_from('<I', data, 4)
    require(flags in (1, 2, 3), f'flags {flags:#x}')
    cq.arm(flags)


def create_pd(machine, _):
    require(len(machine.pds) < machine.limits['max_pd'], 'max_pd')
    pdn = next(machine.numbers)
    machine.pds.add(pdn)
    return struct.pack('<I', pdn)


def destroy_pd(machine, data):
    (pdn,) = struct.unpack('<I', data)
    require(pdn in machine.pds, f'pdn {pdn}')
    used = [mr.pdn for mr in machine.mrs.values()] + [qp.pdn for qp in machine.qps.values()] + [handle[0] for handle in machine.ahs.values()]
    require(pdn not in used, 'it is in use')
    machine.pds.remove(pdn)


def get_dma_mr(machine, data):
    pdn, access = struct.unpack('<II', data)
    return add_region(machine, pdn, access)


def reg_user_mr(machine, data, chain):
    pdn, access, start, length, count = struct.unpack_from('<IIQQI', data)
    require(0 < length <= machine.limits['max_mr_size'] and start + length <= 1 << 64, f'{length} bytes at {start:#x}')
    require(count == (start + length - 1) // PAGE - start // PAGE + 1, f'{count} pages')
    table = chain.read(2 + 32, 8 * count)
    require(len(table) == 8 * count, 'the page list is cut short')
    pages = struct.unpack(f'<{count}Q', table)
    require(all(page % PAGE == 0 and machine.memory.covers(page, PAGE) for page in pages), 'a page that is none')
    return add_region(machine, pdn, access, start, length, pages)


def add_region(machine, pdn, access, *place):
    require(pdn in machine.pds, f'pdn {pdn}')
    require(access < 8 and not (access & 2 and not access & 1), f'access {access:#x}')
    require(len(machine.mrs) < machine.limits['max_mr'], 'max_mr')
    number = next(machine.numbers)  # its number and both its keys: they are never used again (RST-27)
    machine.mrs[number] = Region(machine.memory, number, pdn, access, *place)
    return struct.pack('<III', number, number, number if access & 6 else 0)


def dereg_mr(machine, data):
    del machine.mrs[named(machine.mrs, data).number]


def create_qp(machine, data):
    pdn, kind, sig_all, send_cqn, recv_cqn = struct.unpack_from('<IBBxxII', data)
    cap = data[16:36] + bytes(4)
    max_send, max_recv, send_sge, recv_sge, max_inline = struct.unpack_from('<5I', cap)
    require(pdn in machine.pds and send_cqn in machine.cqs and recv_cqn in machine.cqs, 'a number that no object has')
    require(1 <= kind <= 4 and sig_all < 2, f'type {kind}, sq_sig_all {sig_all}')
    numbers = [1] if kind == GSI else range(2, machine.limits['max_rdma_qps'])
    qpn = next((n for n in numbers if n not in machine.qps), None)
    require(qpn is not None, 'no number is free')
    rings = [machine.rings.get(machine.first_qp + 2 * qpn + side) for side in (0, 1)]
    require(all(ring and ring.enabled for ring in rings), f'a virtqueue of queue pair {qpn} is not enabled')
    most = machine.limits['max_qp_wr']
    require(max_send <= min(most, rings[0].size) and max_recv <= min(most, rings[1].size), f'{max_send} sends, {max_recv} receives')
    require(send_sge <= machine.limits['max_send_sge'] and recv_sge <= machine.limits['max_recv_sge'] and max_inline <= 512, 'capacities')
    machine.qps[qpn] = QueuePair(machine, qpn, kind, pdn, sig_all, machine.cqs[send_cqn], machine.cqs[recv_cqn], cap, rings)
    return struct.pack('<I', qpn)


def destroy_qp(machine, data):
    qp = named(machine.qps, data)
    qp.discard()
    for cq in (qp.send_cq, qp.recv_cq):
        cq.users.discard(qp)
    del machine.qps[qp.qpn]


def modify(machine, data):
    require(modify_qp(machine, named(machine.qps, data[:4]), data), 'a change that is not allowed')


def query(machine, data):
    return query_qp(named(machine.qps, data[:4]))


def create_ah(machine, data):
    (pdn,) = struct.unpack_from('<I', data)
    route = Route.parse(data[8:])
    require(pdn in machine.pds and len(machine.ahs) < machine.limits['max_ah'], f'pdn {pdn}, or max_ah')
    require(route.sgid_index in machine.gids and route.flow_label < 1 << 20, 'the address vector')
    number = next(machine.numbers)
    machine.ahs[number] = (pdn, route)
    return struct.pack('<I', number)


def destroy_ah(machine, data):
    pdn, number = struct.unpack('<II', data)
    require(number in machine.ahs and machine.ahs[number][0] == pdn, f'ah {number} of pdn {pdn}')
    del machine.ahs[number]


def add_gid(machine, data):
    index, gid = struct.unpack('<H6x16s', data)
    require(index < machine.limits['gid_tbl_len'] and any(gid), f'index {index}, or an empty GID')
    require(machine.gids.get(index) == gid or not machine.host.taken(gid), 'the GID is taken')
    machine.gids[index] = gid


def del_gid(machine, data):
    (index,) = struct.unpack('<H', data)
    require(index in machine.gids, f'entry {index} is empty')
    del machine.gids[index]


def named(objects, data):
    (number,) = struct.unpack('<I', data)
    require(number in objects, f'number {number}')
    return objects[number]


COMMANDS = {  # code: handler, bytes of its struct, bytes of its result
    0: (query_device, 0, 128), 1: (query_port, 0, 32), 2: (create_cq, 4, 4), 3: (destroy_cq, 4, 0), 4: (create_pd, 0, 4),
    5: (destroy_pd, 4, 0), 6: (get_dma_mr, 8, 12), 7: (reg_user_mr, 32, 12), 8: (dereg_mr, 4, 0), 9: (create_qp, 56, 4),
    10: (modify, 128, 0), 11: (query, 8, 120), 12: (destroy_qp, 4, 0), 13: (create_ah, 48, 4), 14: (destroy_ah, 8, 0),
    15: (add_gid, 24, 0), 16: (del_gid, 2, 0), 17: (req_notify_cq, 8, 0),
}


def execute(machine, chain):
    """Carries a command out, writes its answer and returns the used length."""
    room = chain.room()
    if room == 0:
        return 0
    try:
        header = chain.read(0, 2)
        require(len(header) == 2 and header[0] == machine.host.profile['class'] and header[1] in COMMANDS, f'header {header.hex()}')
        handler, size, result_size = COMMANDS[header[1]]
        data = chain.read(2, size)
        require(len(data) == size, 'the struct is cut short')
        require(room >= 1 + result_size, 'no room for the answer')
        more = (chain,) if handler is reg_user_mr else ()
        answer = bytes([OK]) + (handler(machine, data, *more) or b'')
    except Refused:
        answer = bytes([ERR])
    chain.write(answer)
    return len(answer)
