"""A toy HCA: reliable connected queue pairs between machines that are all in this process.

It moves whole messages, packet by packet where a fault may end one half way, and it knows sequence numbers only as far as
they decide what a peer accepts. There is no network, no loss and no clock: what would time out has timed out when nothing
else can happen.
"""

LOCAL_WRITE, REMOTE_WRITE, REMOTE_READ = 1, 2, 4
FENCE, SIGNALED, SOLICITED, INLINE = 1, 2, 4, 8
PSN = 1 << 24
NUMBER = {'RESET': 0, 'INIT': 1, 'RTR': 2, 'RTS': 3, 'SQD': 4, 'SQE': 5, 'ERR': 6}

# From, to: attributes that are needed, attributes that are tolerated.
TO_RTS = 'curQpState qpAccessFlags minRnrTimer'
CHANGES = {
    ('RESET', 'RESET'): ('', ''),
    ('RESET', 'INIT'): ('qpAccessFlags', ''),
    ('INIT', 'INIT'): ('', 'qpAccessFlags'),
    ('INIT', 'RTR'): ('ahAttr pathMtu rqPsn minRnrTimer maxDestRdAtomic destQpNum', 'qpAccessFlags'),
    ('RTR', 'RTS'): ('timeout retryCnt rnrRetry maxRdAtomic sqPsn', TO_RTS),
    ('RTS', 'RTS'): ('', TO_RTS),
    **{(state, 'ERR'): ('', '') for state in ('INIT', 'RTR', 'RTS', 'ERR')},
    **{(state, 'RESET'): ('', '') for state in ('INIT', 'RTR', 'RTS', 'ERR')},
}
COUNTS = 'pathMtu maxRdAtomic maxDestRdAtomic minRnrTimer timeout retryCnt rnrRetry qkey destQpNum qpAccessFlags'.split()


class Refused(Exception):
    def __init__(self, errno, text):
        super().__init__(text)
        self.errno = errno


def need(condition, text, errno='EINVAL'):
    if not condition:
        raise Refused(errno, text)


class Cq:
    def __init__(self, number, cqe):
        self.number, self.cqe = number, cqe
        self.entries, self.armed, self.overrun, self.users = [], 'no', False, []

    def add(self, hca, solicited, **completion):
        """Adds a completion; one that finds no room is lost, and the queue pairs are in error."""
        if self.overrun or len(self.entries) >= self.cqe:
            self.overrun = True
            for qp in self.users:
                qp.fail()
            return
        self.entries.append(completion)
        counts = solicited or completion['status'] != 'SUCCESS'
        if self.armed == 'any' or (self.armed == 'solicited' and counts):
            self.armed = 'no'
            hca.events.append((hca.vm, self.number))


class Mr:
    def __init__(self, pd, key, start, end, access):
        self.pd, self.lkey, self.start, self.end, self.access = pd, key, start, end, access
        self.rkey = key if access & (REMOTE_WRITE | REMOTE_READ) else 0


class Qp:
    def __init__(self, hca, number, pd, init, send_cq, recv_cq):
        self.hca, self.number, self.pd, self.cap, self.sig_all = hca, number, pd, init['cap'], init['sqSigAll']
        self.send_cq, self.recv_cq = send_cq, recv_cq
        self.reset()

    def reset(self):
        self.state, self.sends, self.recvs = 'RESET', [], []
        self.value = dict.fromkeys(COUNTS, 0)
        self.route, self.send_psn, self.recv_psn = None, 0, 0
        self.reads_answered = {}
        self.lost_at = 0  # sends that were queued when the head got no answer and nobody watches the time

    def fail(self):
        if self.state not in ('RESET', 'ERR'):
            self.state = 'ERR'

    def mtu(self):
        return 128 << self.value['pathMtu']

    def modify(self, attributes):
        to, limits = attributes.get('qpState', self.state), self.hca.limits
        row = CHANGES.get((self.state, to))
        need(row is not None, f'no way from {self.state} to {to}')
        needed, tolerated = (set(names.split()) for names in row)
        given = set(attributes) - {'qpState'}
        need(needed <= given <= needed | tolerated, f'attributes {sorted(given)} from {self.state} to {to}')
        need(attributes.get('curQpState', self.state) == self.state, 'it is in another state')
        for name, least, most in (
            ('pathMtu', 1, self.hca.port['activeMtu']),
            ('maxRdAtomic', 0, limits['maxQpInitRdAtom']),
            ('maxDestRdAtomic', 0, limits['maxQpRdAtom']),
            ('minRnrTimer', 0, 31),
            ('timeout', 0, 31),
            ('retryCnt', 0, 7),
            ('rnrRetry', 0, 7),
            ('qpAccessFlags', 0, 7),
        ):
            need(least <= attributes.get(name, least) <= most, f'{name} is beyond {least}..{most}')
        route = attributes.get('ahAttr')
        if route is not None:
            self.hca.check_route(route)
            self.route = route
        self.value.update({name: attributes[name] for name in COUNTS if name in attributes})
        self.value['destQpNum'] %= PSN
        self.recv_psn = attributes.get('rqPsn', self.recv_psn) % PSN
        self.send_psn = attributes.get('sqPsn', self.send_psn) % PSN
        if to == 'RESET':
            self.reset()
        self.state = to

    def query(self):
        return {**self.value, 'qpState': self.state, 'rqPsn': self.recv_psn, 'sqPsn': self.send_psn, 'cap': self.cap}

    def post_send(self, request):
        need(NUMBER[self.state] >= NUMBER['RTS'], f'it is in {self.state}')
        sges, read = request['sges'], request['opcode'] == 'RDMA_READ'
        need(not (read and self.value['maxRdAtomic'] == 0), 'a read with max_rd_atomic 0')
        if request['sendFlags'] & INLINE:
            need(not read, 'a read cannot be inline')
            need(len(request.get('inlineData', b'')) <= self.cap['maxInlineData'], 'too much inline data')
        else:
            most = min(self.cap['maxSendSge'], self.hca.limits['maxSgeRd'] if read else 1 << 32)
            need(len(sges) <= most, 'too many list elements')
        need(len(self.sends) < self.cap['maxSendWr'], 'the send queue is full', 'ENOMEM')
        self.sends.append(request)

    def post_recv(self, request):
        need(self.state != 'RESET', 'it is in RESET')
        need(len(request['sges']) <= self.cap['maxRecvSge'], 'too many list elements')
        need(len(self.recvs) < self.cap['maxRecvWr'], 'the receive queue is full', 'ENOMEM')
        self.recvs.append(request)

    # ---- what happens when nobody calls

    def work(self):
        """Does the next thing that can be done; False when there is none."""
        if self.state == 'ERR':
            if self.sends:
                self.complete_send('WR_FLUSH_ERR')
            elif self.recvs:
                self.complete_recv('WR_FLUSH_ERR')
            else:
                return False
            return True
        if self.state != 'RTS' or not self.sends or self.lost_at == len(self.sends):
            return False
        # What is queued leaves before the first answer comes, so a read whose answer fails here is not the last to leave.
        self.start()
        for request in list(self.sends):
            if 'psn' not in request:
                break
            if request.get('status') is None:
                request['status'] = self.send(request)
            if self.state == 'ERR':
                return True
            if request['status'] not in ('SUCCESS', 'LOC_PROT_ERR') or 'fault' in request:
                break
        status = self.sends[0].get('status')
        if status is None:
            return False
        if status != 'SUCCESS':
            self.fail()
        self.complete_send(status)
        return True

    def start(self):
        """Starts what may start: each request gets its sequence numbers, and its bytes are fetched."""
        reads = 0
        for request in self.sends:
            read = request['opcode'] == 'RDMA_READ'
            if 'psn' not in request:
                if read and reads >= self.value['maxRdAtomic'] or request['sendFlags'] & FENCE and reads > 0:
                    return
                length = size(request)
                request['psn'], request['packets'] = self.send_psn, max(1, -(-length // self.mtu()))
                request['data'] = b'' if read else self.gather(request)
                if length > self.hca.port['maxMsgSizeBytes']:
                    request['fault'] = 'LOC_LEN_ERR'
                elif request['data'] is None:
                    request['fault'] = 'LOC_PROT_ERR'
                if 'fault' not in request or length <= self.mtu():
                    self.send_psn = (self.send_psn + request['packets']) % PSN
            if 'fault' in request:
                return
            reads += read

    def send(self, request):
        """Carries a request that has started out and returns its status; None while it waits."""
        if 'fault' in request:
            return request['fault']
        length, read = size(request), request['opcode'] == 'RDMA_READ'
        peer = self.peer()
        answer = 'lost' if peer is None else peer.take(self, request, request['data'], length, request['packets'])
        if answer in ('not ready', 'lost') and not read:
            request['data'] = self.gather(request)  # what is sent again is fetched again
            if request['data'] is None:
                return 'LOC_PROT_ERR'
        if answer == 'not ready':
            return None if self.value['rnrRetry'] == 7 else 'RNR_RETRY_EXC_ERR'
        if answer == 'gap':
            return 'RETRY_EXC_ERR'
        if answer == 'lost':
            if self.value['timeout']:
                return 'RETRY_EXC_ERR'
            self.lost_at = len(self.sends)
            return None
        if answer not in ('done', 'again') and not isinstance(answer, bytes):
            return answer
        if read and answer != 'again' and not self.scatter(request['sges'], 0, answer):
            return 'LOC_PROT_ERR'
        return 'SUCCESS'

    def peer(self):
        """The queue pair that this one is connected to, if it listens to this one and can be heard."""
        source = self.hca.gids.get(self.route['sgidIndex'])
        for hca in self.hca.all:
            if self.route['dgid'] in hca.gids.values():
                peer = hca.qps.get(self.value['destQpNum'])
                if peer is None or not 2 <= NUMBER[peer.state] <= 5 or peer.route is None:
                    return None
                back = hca.gids.get(peer.route['sgidIndex'])
                known = peer.route['dgid'] == source and peer.value['destQpNum'] == self.number
                return peer if known and back == self.route['dgid'] else None
        return None

    def take(self, sender, request, data, length, packets):
        """Carries out what a peer asks; returns `done`, the bytes of a read, or what went wrong."""
        opcode = request['opcode']
        distance = (request['psn'] - self.recv_psn + PSN // 2) % PSN - PSN // 2
        if distance > 0:
            return 'gap'
        if distance < 0:
            return 'again' if opcode != 'RDMA_READ' else 'lost'
        if opcode == 'RDMA_READ':
            if not self.value['qpAccessFlags'] & REMOTE_READ or self.value['maxDestRdAtomic'] == 0:
                return self.refuse('REM_INV_REQ_ERR')
            region = self.remote(request, length, REMOTE_READ)
            if length > 0 and region is None:
                return self.refuse('REM_ACCESS_ERR')
            self.recv_psn = (self.recv_psn + packets) % PSN
            return b'' if length == 0 else self.hca.memory.read(request['remoteAddr'], length) or b''
        write, immediate = opcode.startswith('RDMA_WRITE'), opcode.endswith('_WITH_IMM')
        if write and not self.value['qpAccessFlags'] & REMOTE_WRITE:
            return self.refuse('REM_INV_REQ_ERR')
        step = min(self.mtu(), sender.mtu())
        for at in range(0, max(1, length), step):
            last = at + step >= length
            if (not write and at == 0 or write and immediate and last) and not self.recvs:
                return 'not ready'
            part = data[at : at + step]
            if write:
                if length > 0 and self.remote(request, length, REMOTE_WRITE) is None:
                    taken = immediate and last
                    return self.refuse('REM_ACCESS_ERR', 'LOC_ACCESS_ERR' if taken else None)
                self.hca.memory.write(request.get('remoteAddr', 0) + at, part)
            else:
                if at + len(part) > size(self.recvs[0]):
                    return self.refuse('REM_INV_REQ_ERR', 'LOC_LEN_ERR')
                if not self.scatter(self.recvs[0]['sges'], at, part):
                    return self.refuse('REM_OP_ERR', 'LOC_PROT_ERR')
            self.recv_psn = (self.recv_psn + 1) % PSN
        if not write or immediate:
            self.complete_recv(
                'SUCCESS',
                request['sendFlags'] & SOLICITED,
                opcode='RECV_RDMA_WITH_IMM' if write else 'RECV',
                byteLen=length,
                immData=request.get('immData', 0) if immediate else 0,
                wcFlags=2 if immediate else 0,
            )
            if self.state == 'ERR':  # its completion queue has overrun: the message counts as not received
                return 'lost'
        return 'done'

    def refuse(self, status, own=None):
        self.fail()
        if own is not None:
            self.complete_recv(own)
        return status

    def complete_send(self, status):
        request = self.sends.pop(0)
        self.lost_at = 0
        if status == 'SUCCESS' and not (self.sig_all or request['sendFlags'] & SIGNALED):
            return
        opcode = {'RDMA_READ': 'RDMA_READ', 'RDMA_WRITE': 'RDMA_WRITE', 'RDMA_WRITE_WITH_IMM': 'RDMA_WRITE'}.get(
            request['opcode'], 'SEND'
        )
        bytes_read = size(request) if opcode == 'RDMA_READ' and status == 'SUCCESS' else 0
        self.send_cq.add(self.hca, False, wrId=request['wrId'], status=status, qpNum=self.number, opcode=opcode, byteLen=bytes_read)

    def complete_recv(self, status, solicited=0, **more):
        request = self.recvs.pop(0)
        self.recv_cq.add(self.hca, bool(solicited), wrId=request['wrId'], status=status, qpNum=self.number, **more)

    # ---- memory

    def local(self, key, address, length, rights):
        region = self.hca.keys.get(key)
        inside = region is not None and region.start <= address and address + length <= region.end
        granted = inside and region.pd is self.pd and region.access & rights == rights
        return granted and self.hca.memory.holds(address, length)

    def remote(self, request, length, right):
        key, address = request.get('rkey', 0), request.get('remoteAddr', 0)
        region = self.hca.keys.get(key)
        if region is None or region.rkey != key or key == 0:
            return None
        return region if self.local(key, address, length, right) else None

    def gather(self, request):
        if request['sendFlags'] & INLINE:
            return request.get('inlineData', b'')
        parts = []
        for address, length, key in request['sges']:
            if length > 0 and not self.local(key, address, length, 0):
                return None
            parts.append(self.hca.memory.read(address, length) if length > 0 else b'')
        return b''.join(parts)

    def scatter(self, sges, offset, data):
        """Puts bytes to where `offset` bytes of the list are passed; False at an element that may not be written."""
        for address, length, key in sges:
            if not data:
                break
            if offset >= length:
                offset -= length
                continue
            if not self.local(key, address, length, LOCAL_WRITE):
                return False
            part = data[: length - offset]
            self.hca.memory.write(address + offset, part)
            data, offset = data[len(part) :], 0
        return not data


def size(request):
    if request.get('sendFlags', 0) & INLINE:
        return len(request.get('inlineData', b''))
    return sum(length for _, length, _ in request['sges'])


class Memory:
    """The program's memory of one machine, at the addresses that the program uses."""

    def __init__(self, base, length):
        self.base, self.bytes = base, bytearray(length)

    def holds(self, address, length):
        return self.base <= address and address + length <= self.base + len(self.bytes)

    def read(self, address, length):
        at = address - self.base
        return bytes(self.bytes[at : at + length])

    def write(self, address, data):
        at = address - self.base
        self.bytes[at : at + len(data)] = data


class Hca:
    def __init__(self, vm, all_hcas, memory, limits, events):
        self.vm, self.all, self.memory, self.events = vm, all_hcas, memory, events
        self.limits, self.port = limits['attributes'], limits['port']
        self.gids, self.keys, self.qps, self.next_key = {}, {}, {}, 0x100

    def new_mr(self, pd, start, end, access):
        need(access & ~7 == 0 and not (access & REMOTE_WRITE and not access & LOCAL_WRITE), 'these rights do not go together')
        need(len(self.keys) < self.limits['maxMr'], 'all regions are taken', 'ENOMEM')
        self.next_key += 0x101
        mr = self.keys[self.next_key] = Mr(pd, self.next_key, start, end, access)
        return mr

    def new_qp(self, pd, init, send_cq, recv_cq):
        cap = init['cap']
        for name, most in (
            ('maxSendWr', self.limits['maxQpWr']),
            ('maxRecvWr', self.limits['maxQpWr']),
            ('maxSendSge', self.limits['maxSendSge']),
            ('maxRecvSge', self.limits['maxRecvSge']),
            ('maxInlineData', 512),
        ):
            need(cap[name] <= most, f'{name} is above {most}')
        need(init['type'] == 'RC', 'only RC is offered')
        need(len(self.qps) < self.limits['maxQp'] - 2, 'all queue pairs are taken', 'ENOMEM')
        number = next(n for n in range(2, PSN) if n not in self.qps)
        qp = self.qps[number] = Qp(self, number, pd, init, send_cq, recv_cq)
        send_cq.users.append(qp)
        recv_cq.users.append(qp)
        return qp

    def check_route(self, route):
        need(int(route['dgid'], 16) != 0, 'the GID is zero')
        need(route['sgidIndex'] in self.gids, 'the source GID is empty')

    def add_gid(self, index, gid):
        need(index < self.port['gidTableLength'], 'beyond the GID table')
        need(int(gid, 16) != 0, 'the GID is zero')
        if self.gids.get(index) == gid:
            return
        need(all(gid not in hca.gids.values() for hca in self.all), 'the GID is taken', 'EADDRINUSE')
        self.gids[index] = gid

    def del_gid(self, index):
        need(index in self.gids, 'there is no such GID')
        del self.gids[index]
