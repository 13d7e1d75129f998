"""One virtual machine: its queues, its objects, and the work that is to be done for it. The host joins the machines."""

import heapq
import itertools
import sys
import time

from commands import execute
from memory import GuestMemory, OutsideMemory
from ring import BrokenRing, SplitRing

PROFILES = {  # control class, control queue, device features: chapter 1
    'roce': {'class': 6, 'control': 2, 'features': 1 << 17 | 1 << 55},
    'rdma': {'class': 0, 'control': 0, 'features': 0},
}
LIMITS = {'max_mr_size': 1 << 20, 'max_qp_wr': 64, 'max_send_sge': 8, 'max_recv_sge': 8, 'max_sge_rd': 8, 'max_cqe': 64,
          'max_mr': 16, 'max_pd': 8, 'max_qp_rd_atom': 8, 'max_qp_init_rd_atom': 8, 'max_ah': 8, 'gid_tbl_len': 8,
          'max_msg_sz': 1 << 16, 'max_rdma_qps': 16, 'max_rdma_cqs': 8, 'mtu': 1500}


class Host:
    """All machines of this process, what has to be looked at, and the timers."""

    def __init__(self, profile):
        self.profile = PROFILES[profile]
        self.machines = []
        self.touched = {}  # (machine, queue index), in the order in which they were touched
        self.timers, self.numbers = [], itertools.count()

    def owner(self, gid):
        return next((each for each in self.machines if each.live and gid in each.gids.values()), None)

    def taken(self, gid):
        return any(gid in each.gids.values() for each in self.machines)

    def after(self, seconds, qp, why):
        timer = (time.monotonic() + seconds, next(self.numbers), qp, why)
        heapq.heappush(self.timers, timer)
        return timer

    def seconds_to_wait(self):
        if self.touched:
            return 0
        return max(0, self.timers[0][0] - time.monotonic()) if self.timers else None

    def work(self, turns=1000):
        """Gives each queue that was touched its turn, and again while there is more. Bounded: a guest that
        never stops gets on with the rest of the world in between (ISO-18)."""
        while self.timers and self.timers[0][0] <= time.monotonic():
            timer = heapq.heappop(self.timers)
            timer[2].awake(timer, timer[3])
        while self.touched and turns > 0:
            machine, index = next(iter(self.touched))
            del self.touched[machine, index]
            machine.turn(index)
            turns -= 1


class Machine:
    def __init__(self, host):
        self.host, self.limits = host, LIMITS
        self.memory = GuestMemory()
        self.calls = {}  # eventfd of each queue
        self.control = host.profile['control']
        self.first_qp = self.control + 1 + LIMITS['max_rdma_cqs']
        self.queues = self.first_qp + 2 * LIMITS['max_rdma_qps']
        self.active_mtu = max(size for size in (256, 512, 1024, 2048, 4096) if size <= LIMITS['mtu'] - 96)
        self.rings = {}
        self.numbers = itertools.count(1)  # of domains, regions and handles: none is ever used again
        self.reset()
        host.machines.append(self)

    def reset(self):
        """Everything ends at once, and nobody is told (12.8)."""
        self.live, self.needs_reset = False, False
        for ring in self.rings.values():
            ring.enabled = False  # a timer may still know a queue pair that knows it
        self.rings = {}
        self.pds, self.mrs, self.ahs, self.cqs, self.qps, self.gids = set(), {}, {}, {}, {}, {}

    def ring(self, index, features):
        if index not in self.rings:
            self.rings[index] = SplitRing(self.memory, features, self.calls.get(index))
        return self.rings[index]

    def start(self):
        """DRIVER_OK: nobody may have kicked, so every queue is looked at (FEAT-27)."""
        self.live = True
        for ring in self.rings.values():
            self.touch(ring)

    def broken(self, reason):
        """Only a reset leads on (4.7). Rings that are not enabled are neither read nor written."""
        print(f'DEVICE_NEEDS_RESET: {reason}', file=sys.stderr, flush=True)
        self.needs_reset, self.live = True, False
        for ring in self.rings.values():
            ring.enabled = False

    # -- Rings, with a driver that breaks their rules

    def waiting(self, ring):
        try:
            return ring.waiting() if self.live else 0
        except (BrokenRing, OutsideMemory) as fault:
            self.broken(fault)
            return 0

    def take(self, ring):
        try:
            return ring.take() if self.live else None
        except (BrokenRing, OutsideMemory) as fault:
            self.broken(fault)
            return None

    def touch(self, ring):
        for index, each in self.rings.items():
            if each is ring:
                self.host.touched[self, index] = True

    def kicked(self, index):
        if self.live and index in self.rings:
            self.host.touched[self, index] = True

    def turn(self, index):
        """What is in one queue, at most as many chains as it has entries (PERF-20)."""
        ring = self.rings.get(index)
        if ring is None or not ring.enabled or not self.live:
            return
        if index == self.control:
            self.serve(ring, lambda: self.commands(ring), lambda: True)
        elif self.control < index < self.first_qp:
            cq = self.cqs.get(index - self.control - 1)
            if cq:
                cq.give_held()
        elif index >= self.first_qp:
            qp = self.qps.get((index - self.first_qp) // 2)
            if qp:
                take = (lambda: qp.run_sends(ring.size)) if ring is qp.send_ring else qp.take_recvs
                self.serve(ring, take, lambda: qp.can_take(ring))

    def serve(self, ring, take, can_take):
        ring.ask(False)  # awake: no need to tell us (PERF-03)
        take()
        ring.ask(True)
        if can_take() and self.waiting(ring):  # the look before the sleep (VQ-73)
            self.touch(ring)

    def commands(self, ring):
        for _ in range(ring.size):
            chain = self.take(ring)
            if chain is None:
                return
            ring.give(chain, execute(self, chain))

    # -- Memory

    def region(self, key, pdn, right=0, remote=False):
        """The region that a key opens for a protection domain with a right, or None (chapter 9)."""
        region = self.mrs.get(key)
        if region is None or region.pdn != pdn or region.access & right != right or remote and not region.access & 6:
            return None
        return region

    def read(self, pieces):
        return b''.join(self.memory.read(addr, length) for addr, length in pieces)

    def write(self, pieces, data):
        done = 0
        for addr, length in pieces:
            here = data[done:done + length]
            self.memory.write(addr, here)
            done += len(here)
