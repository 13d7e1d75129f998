"""The device's half of a split virtqueue (chapter 4): flags or event index, indirect tables."""

import os
import struct
from threading import Lock

from memory import OutsideMemory

NEXT, WRITE, INDIRECT = 1, 2, 4
DESCRIPTOR = struct.Struct('<QIHH')
_barrier = Lock()


def full_barrier():
    """Between a write of one's own index and a look at the other side's wish (4.9). Taking a lock is the only
    full barrier that Python's library has."""
    with _barrier:
        pass


class BrokenRing(Exception):
    """The driver has broken a rule of the ring (4.7)."""


class Chain:
    """A chain that was taken: what it names was read once and is not read again."""

    def __init__(self, memory, head, epoch):
        self.memory, self.head, self.epoch = memory, head, epoch
        self.readable, self.writable = [], []  # (address, length)

    def room(self):
        return sum(length for _, length in self.writable)

    def read(self, offset, length):
        """At most `length` bytes of the readable string from `offset` on; fewer where it ends."""
        parts = []
        for addr, here in self.readable:
            if offset < here and length > 0:
                take = min(here - offset, length)
                parts.append(self.memory.read(addr + offset, take))
                length -= take
                offset = 0
            else:
                offset = max(0, offset - here)
        return b''.join(parts)

    def write(self, data):
        done = 0
        for addr, here in self.writable:
            self.memory.write(addr, data[done:done + here])
            done += here


class SplitRing:
    def __init__(self, memory, features, call):
        self.memory, self.call = memory, call
        self.event_idx, self.indirect = features >> 29 & 1, features >> 28 & 1
        self.size = self.desc = self.avail = self.used = 0
        self.next_avail = self.next_used = 0  # free-running, 16 bits
        self.in_flight = set()
        self.epoch = 0  # chains of an earlier life of the ring are not given back to a later one
        self.enabled = False

    def start(self, size, desc, avail, used, base):
        """Raises ValueError for a size or place that breaks the rules of 4.2."""
        if not 1 <= size <= 32768 or size & (size - 1):
            raise ValueError(f'a size of {size}')
        for name, addr, align, length in (('descriptor table', desc, 16, 16 * size), ('available ring', avail, 2, 6 + 2 * size),
                                          ('used ring', used, 4, 6 + 8 * size)):
            if addr % align or not self.memory.covers(addr, length):
                raise ValueError(f'a {name} at {addr:#x}')
        if base != self.next_avail:  # else it was only stopped, and what was taken is still ours
            self.next_avail = self.next_used = self.called = base
            self.in_flight.clear()
            self.epoch += 1
        self.size, self.desc, self.avail, self.used = size, desc, avail, used
        self.called = self.next_used
        self.enabled = True

    def waiting(self):
        """Chains that are available and not taken."""
        if not self.enabled:
            return 0
        count = (self.memory.load16(self.avail + 2) - self.next_avail) & 0xffff
        if count + len(self.in_flight) > self.size:
            raise BrokenRing(f'{count} chains made available in a ring of {self.size}')
        return count

    def take(self):
        """The next chain, or None. Raises BrokenRing."""
        if self.waiting() == 0:
            return None
        head = self.memory.load16(self.avail + 4 + 2 * (self.next_avail % self.size))
        if head >= self.size or head in self.in_flight:
            raise BrokenRing(f'head {head} is in flight or not below {self.size}')
        try:
            chain = self._walk(head)
        except OutsideMemory as fault:
            raise BrokenRing(f'a descriptor names {fault}') from fault
        self.next_avail = (self.next_avail + 1) & 0xffff
        self.in_flight.add(head)
        return chain

    def _walk(self, head):
        chain = Chain(self.memory, head, self.epoch)
        table, entries, index, nested, count, total = self.desc, self.size, head, False, 0, 0
        while True:
            if index >= entries:
                raise BrokenRing(f'next is {index} in a table of {entries}')
            addr, length, flags, following = DESCRIPTOR.unpack(self.memory.read(table + 16 * index, 16))
            if flags & INDIRECT:
                if nested or not self.indirect or flags & NEXT or length == 0 or length % 16 or not self.memory.covers(addr, length):
                    raise BrokenRing('an indirect table that is not allowed')
                table, entries, index, nested = addr, length // 16, 0, True
                continue
            count, total = count + 1, total + length
            if count > self.size or total > 1 << 32:
                raise BrokenRing('a chain that is too long')
            if not flags & WRITE and chain.writable:
                raise BrokenRing('a readable descriptor behind a writable one')
            if length and not self.memory.covers(addr, length):
                raise BrokenRing(f'a descriptor of {length} bytes at {addr:#x}')
            (chain.writable if flags & WRITE else chain.readable).append((addr, length))
            if not flags & NEXT:
                return chain
            index = following

    def give(self, chain, written, notify=True):
        """Returns a chain, and calls the driver if it wants to know and `notify` is not False."""
        if chain.epoch != self.epoch or not self.enabled:
            return
        self.in_flight.discard(chain.head)
        self.memory.write(self.used + 4 + 8 * (self.next_used % self.size), struct.pack('<II', chain.head, written))
        self.next_used = (self.next_used + 1) & 0xffff
        self.memory.store16(self.used + 2, self.next_used)
        if notify and self._wants_call():
            self.interrupt()

    def _wants_call(self):
        full_barrier()
        old, self.called = self.called, self.next_used
        if not self.event_idx:
            return not self.memory.load16(self.avail) & 1
        event = self.memory.load16(self.avail + 4 + 2 * self.size)
        return (self.next_used - event - 1) & 0xffff < (self.next_used - old) & 0xffff

    def interrupt(self):
        if self.call is not None:
            os.write(self.call, struct.pack('@Q', 1))

    def ask(self, wanted):
        """Asks to be notified, or not to be; who asks looks once more before it sleeps."""
        if not self.enabled:
            return
        if not self.event_idx:
            self.memory.store16(self.used, 0 if wanted else 1)
        else:  # an entry that has gone by is not passed, except once in 65536
            self.memory.store16(self.used + 4 + 8 * self.size, (self.next_avail - (0 if wanted else 1)) & 0xffff)
        full_barrier()
