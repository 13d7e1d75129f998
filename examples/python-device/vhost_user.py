"""One connection of a vhost-user front-end: a virtual machine. Memory, rings, status and configuration come through
here; the requests are those of QEMU's "Vhost-user Protocol"."""

import os
import socket
import struct

from machine import LIMITS, Machine
from memory import OutsideMemory, Region

INDIRECT_DESC, EVENT_IDX, PROTOCOL_FEATURES, VERSION_1, RING_RESET = 1 << 28, 1 << 29, 1 << 30, 1 << 32, 1 << 40
MQ, REPLY_ACK, CONFIG, RESET_DEVICE, CONFIGURE_MEM_SLOTS, STATUS = 0, 3, 9, 13, 15, 16
OFFERED_PROTOCOL = sum(1 << bit for bit in (MQ, REPLY_ACK, CONFIG, RESET_DEVICE, CONFIGURE_MEM_SLOTS, STATUS))
VERSION, REPLY, NEED_REPLY = 1, 4, 8
NO_DESCRIPTOR = 0x100
ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET, FAILED = 1, 2, 4, 8, 64, 128
MOST_PAYLOAD, MOST_DESCRIPTORS, MEMORY_SLOTS = 4096, 32, 64


class Gone(Exception):
    """The front-end has hung up, or has said something after which nothing can be understood."""


class Connection:
    def __init__(self, host, sock, watch):
        self.socket, self.watch = sock, watch  # watch(fd, callback or None)
        self.machine = Machine(host)
        self.offered = VERSION_1 | PROTOCOL_FEATURES | INDIRECT_DESC | EVENT_IDX | host.profile['features']
        self.kicks = {}
        self.reset()

    def reset(self):
        self.machine.reset()
        self.status, self.features = 0, 0
        self.setup = {}  # of each ring: size, addresses and index, as they were told

    def close(self):
        """The machine is gone: nothing of it may touch its memory any more, and then the memory goes."""
        self.machine.reset()
        self.machine.host.machines.remove(self.machine)
        self.machine.memory.close()
        for index in list(self.kicks):
            self.drop_kick(index)
        for call in self.machine.calls.values():
            os.close(call)
        self.socket.close()

    # -- Messages

    def receive(self):
        """One request and its answer. Raises Gone."""
        head, fds = self._read(12)
        request, flags, size = struct.unpack('<III', head)
        try:
            if flags & 3 != VERSION or size > MOST_PAYLOAD:
                raise Gone(f'request {request} with flags {flags:#x} and {size} bytes')
            data = self._read(size, fds)[0]
            try:
                answer = self._carry_out(request, data, fds)
            except (ValueError, OSError, struct.error, OutsideMemory, LookupError) as fault:
                if not flags & NEED_REPLY:
                    raise Gone(f'request {request}: {fault}') from fault
                answer = struct.pack('<Q', 1)
            if answer is None and flags & NEED_REPLY:
                answer = struct.pack('<Q', 0)
        finally:
            for fd in fds:
                os.close(fd)
        self.machine.host.work()
        if answer is not None:
            self.socket.sendall(struct.pack('<III', request, VERSION | REPLY, len(answer)) + answer)

    def _read(self, size, fds=None):
        fds, data = [] if fds is None else fds, b''
        while len(data) < size:
            part, more, _, _ = socket.recv_fds(self.socket, size - len(data), MOST_DESCRIPTORS)
            fds.extend(more)
            if not part:
                raise Gone('hung up' if not data else 'hung up within a message')
            data += part
        return data, fds

    def _carry_out(self, request, data, fds):
        """The payload of the answer, or None. Takes what it keeps out of `fds`."""
        match request:
            case 1:  # GET_FEATURES
                return struct.pack('<Q', self.offered)
            case 2:  # SET_FEATURES
                if not self.status & FEATURES_OK:
                    (self.features,) = struct.unpack('<Q', data)
            case 3 | 16:  # SET_OWNER, SET_PROTOCOL_FEATURES
                return None
            case 4 | 34:  # RESET_OWNER, RESET_DEVICE
                self.reset()
            case 5:  # SET_MEM_TABLE
                count = struct.unpack_from('<I', data)[0]
                regions = [struct.unpack_from('<QQQQ', data, 8 + 32 * each) for each in range(count)]
                self.machine.memory.set([self._region(fds, region) for region in regions])
            case 8 | 9 | 10:  # SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE
                index, *rest = struct.unpack('<IIQQQQ' if request == 9 else '<II', data)
                self.setup.setdefault(index, {})[request] = rest
            case 11:  # GET_VRING_BASE: the ring stops
                return self._stop(struct.unpack_from('<I', data)[0])
            case 12 | 13 | 14:  # SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR
                self._descriptor(request, struct.unpack('<Q', data)[0], fds)
            case 15:  # GET_PROTOCOL_FEATURES
                return struct.pack('<Q', OFFERED_PROTOCOL)
            case 17:  # GET_QUEUE_NUM
                return struct.pack('<Q', self.machine.queues)
            case 18:  # SET_VRING_ENABLE
                self._enable(*struct.unpack('<II', data))
            case 24:  # GET_CONFIG
                offset, size, flags = struct.unpack_from('<III', data)
                part = self._config()[offset:offset + size]
                part = part if len(part) == size else b''
                return struct.pack('<III', offset, len(part), flags) + part
            case 36:  # GET_MAX_MEM_SLOTS
                return struct.pack('<Q', MEMORY_SLOTS)
            case 37:  # ADD_MEM_REG
                self.machine.memory.add(self._region(fds, struct.unpack('<8xQQQQ', data)))
            case 38:  # REM_MEM_REG
                self.machine.memory.remove(*struct.unpack_from('<8xQQ', data))
            case 39:  # SET_STATUS
                self._set_status(struct.unpack('<Q', data)[0])
            case 40:  # GET_STATUS
                return struct.pack('<Q', self.status | (NEEDS_RESET if self.machine.needs_reset else 0))
            case _:
                raise ValueError('not known here')
        return None

    @staticmethod
    def _region(fds, region):
        guest_addr, size, user_addr, file_offset = region
        return Region(fds.pop(0), guest_addr, size, user_addr, file_offset)

    # -- Status, features, configuration (chapters 2 and 3)

    def _set_status(self, wanted):
        if wanted == 0:
            self.reset()
            return
        new = wanted & ~self.status
        self.status |= new & (ACKNOWLEDGE | DRIVER | FAILED)
        if new & FEATURES_OK and self.status & 3 == 3 and self._acceptable():
            self.status |= FEATURES_OK
        if new & DRIVER_OK and self.status & FEATURES_OK:
            self.status |= DRIVER_OK
            if not self.machine.needs_reset:
                self.machine.start()

    def _acceptable(self):
        return self.features & ~self.offered == 0 and self.features & VERSION_1 and not self.features & 1 << 55 & ~(self.features << 38)

    def _config(self):
        limits = struct.pack('<II', LIMITS['max_rdma_qps'], LIMITS['max_rdma_cqs'])
        if self.machine.control == 0:
            return limits + struct.pack('<HH', LIMITS['mtu'], 0)
        return struct.pack('<6sHHH12x', bytes([2, 0, 0, 0, 0, 1]), 1, 1, LIMITS['mtu']) + limits

    # -- Rings (4.2)

    def _enable(self, index, on):
        ring = self.machine.rings.get(index)
        if not on:
            if ring:
                ring.enabled = False
            return
        try:
            if index >= self.machine.queues or ring and ring.enabled:
                raise ValueError('it does not exist, or is enabled already')
            if not self.status & FEATURES_OK or self.status & DRIVER_OK and ring is None:
                raise ValueError('it is too early, or too late')
            setup = self.setup.get(index, {})
            desc, used, avail = (self.machine.memory.from_user(addr) for addr in setup.get(9, [0] * 5)[1:4])
            ring = self.machine.ring(index, self.features)
            ring.start(setup.get(8, [0])[0], desc, avail, used, setup.get(10, [0])[0])
            if self.machine.live:
                self.machine.touch(ring)
        except (ValueError, OutsideMemory) as fault:
            self.machine.broken(f'queue {index} cannot be enabled: {fault}')

    def _stop(self, index):
        ring = self.machine.rings.get(index)
        self.drop_kick(index)
        if ring is None:
            return struct.pack('<II', index, self.setup.get(index, {}).get(10, [0])[0])
        ring.enabled = False
        return struct.pack('<II', index, ring.next_avail)

    def _descriptor(self, request, value, fds):
        index, fd = value & 0xff, None
        if not value & NO_DESCRIPTOR:
            fd = fds.pop(0)
        if request == 12:
            self.drop_kick(index)
            if fd is not None:
                self.kicks[index] = fd
                self.watch(fd, lambda: self._kicked(index, fd))
        elif request == 13:
            if index in self.machine.calls:
                os.close(self.machine.calls.pop(index))
            if fd is not None:
                self.machine.calls[index] = fd
            if index in self.machine.rings:
                self.machine.rings[index].call = fd
        elif fd is not None:
            os.close(fd)  # errors are told by the status

    def _kicked(self, index, fd):
        os.read(fd, 8)
        self.machine.kicked(index)

    def drop_kick(self, index):
        if index in self.kicks:
            self.watch(self.kicks[index], None)
            os.close(self.kicks.pop(index))
