"""Guest memory: the regions that the front-end shares by file descriptor, found by guest-physical address."""

import mmap
import os
from bisect import bisect_right


class OutsideMemory(Exception):
    """An address that is not wholly in guest memory."""


class Region:
    def __init__(self, fd, guest_addr, size, user_addr, file_offset):
        try:
            if size == 0 or os.fstat(fd).st_size < file_offset + size:
                raise ValueError(f'a region of {size} bytes at offset {file_offset} is longer than its file')
            self.map = mmap.mmap(fd, file_offset + size)  # from 0 on: an offset need not be a multiple of a page
        finally:
            os.close(fd)
        self.guest_addr, self.size, self.user_addr = guest_addr, size, user_addr
        self.bytes = memoryview(self.map)[file_offset:file_offset + size]
        # Ring indices and flags go through this view: one 16-bit access each. struct.pack_into('<H') writes
        # byte by byte, and the driver could see half of an index.
        self.halves = self.bytes.cast('H') if size % 2 == 0 else None

    def close(self):
        if self.halves is not None:
            self.halves.release()
        self.bytes.release()
        self.map.close()


class GuestMemory:
    def __init__(self):
        self.regions = []  # sorted by guest-physical address, none overlaps another
        self.starts = []

    def set(self, regions):
        self.close()
        for region in regions:
            self.add(region)

    def add(self, region):
        for other in self.regions:
            if region.guest_addr < other.guest_addr + other.size and other.guest_addr < region.guest_addr + region.size:
                region.close()
                raise ValueError(f'the region at {region.guest_addr:#x} overlaps the one at {other.guest_addr:#x}')
        self.regions = sorted([*self.regions, region], key=lambda each: each.guest_addr)
        self.starts = [each.guest_addr for each in self.regions]

    def remove(self, guest_addr, size):
        for region in [each for each in self.regions if (each.guest_addr, each.size) == (guest_addr, size)]:
            self.regions.remove(region)
            self.starts.remove(guest_addr)
            region.close()

    def close(self):
        for region in self.regions:
            region.close()
        self.regions, self.starts = [], []

    def from_user(self, user_addr):
        """The guest-physical address of a front-end's own address, in which ring addresses are given."""
        for region in self.regions:
            if region.user_addr <= user_addr < region.user_addr + region.size:
                return user_addr - region.user_addr + region.guest_addr
        raise OutsideMemory(f'no region holds the front-end address {user_addr:#x}')

    def pieces(self, addr, length):
        """(region, offset, length) for each region that a range lies in; all of it is looked up before a byte moves."""
        found = []
        while length > 0:
            at = bisect_right(self.starts, addr) - 1
            region = self.regions[at] if at >= 0 else None
            if region is None or addr >= region.guest_addr + region.size:
                raise OutsideMemory(f'{length} bytes at {addr:#x}')
            here = min(length, region.guest_addr + region.size - addr)
            found.append((region, addr - region.guest_addr, here))
            addr, length = addr + here, length - here
        return found

    def covers(self, addr, length):
        try:
            self.pieces(addr, length)
            return True
        except OutsideMemory:
            return False

    def read(self, addr, length):
        return b''.join(bytes(region.bytes[at:at + here]) for region, at, here in self.pieces(addr, length))

    def write(self, addr, data):
        done = 0
        for region, at, here in self.pieces(addr, len(data)):
            region.bytes[at:at + here] = data[done:done + here]
            done += here

    def load16(self, addr):
        region, at, _ = self.pieces(addr, 2)[0]
        return region.halves[at >> 1]

    def store16(self, addr, value):
        region, at, _ = self.pieces(addr, 2)[0]
        region.halves[at >> 1] = value
