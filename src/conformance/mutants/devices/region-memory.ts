/** Devices that are wrong about the memory of a region: rights, bytes, time. */
import { WcStatus } from '../../../abi/index.js';
import type { HcaMrInit, HcaPd, HcaQp } from '../../../reference/index.js';
import { bundledDevice } from '../../bundled.js';
import { mutant } from '../mutant.js';
import type { Mutant } from '../mutant.js';
import { perDevice, useOfAdapter } from '../seams/device.js';
import { overlay } from '../seams/overlay.js';
import { copyOf } from './life-support.js';
import type { Facts } from './life-support.js';

/** Regions whose memory is another, or is reached otherwise. */
function regions(
  name: string,
  facts: Facts,
  doc: string,
  make: () => (init: HcaMrInit, pd: HcaPd) => Partial<HcaMrInit>,
): Mutant {
  return mutant(
    'device',
    name,
    { chapter: 'keys and bounds', ...facts },
    doc,
    useOfAdapter(hca => {
      const change = make();
      return { registerMr: (pd, init) => hca.registerMr(pd, { ...init, ...change(init, pd) }) };
    }),
  );
}

const ROUTE_BYTES = 40;

const memory: readonly Mutant[] = [
  regions(
    'rights-of-any-region-on-a-page',
    { breaks: 'MEM-07' },
    'A region gets the rights that an earlier one on its first page has too.',
    () => {
      const rights = new Map<number, number>();
      return ({ pages, access }) => {
        if (pages === undefined) return {};
        const all = access | (rights.get(pages[0]) ?? 0);
        rights.set(pages[0], all);
        return { access: all };
      };
    },
  ),
  regions(
    'beyond-memory-reads-as-zero',
    { breaks: 'MEM-08' },
    'What the region of all memory names outside guest memory reads as zero and is written to nowhere.',
    () =>
      ({ pages, length, memory: inner }) =>
        pages === undefined
          ? {
              length: 2 * length,
              memory: {
                read: (...at) => inner.read(...at) || true,
                write: (...at) => inner.write(...at) || true,
              },
            }
          : {},
  ),
  regions(
    'memory-as-it-was-registered',
    { chapter: 'stale state', breaks: 'MEM-28' },
    'What a region of several pages holds is read as it was when it was registered.',
    () =>
      ({ pages, memory: inner }) => {
        if (pages === undefined || pages.length < 2) return {};
        const copies = new Map<number, Uint8Array>();
        for (const page of pages) {
          const copy = new Uint8Array(4096);
          inner.read(page, copy, 0, 4096);
          copies.set(page, copy);
        }
        return {
          memory: {
            write: (...at) => inner.write(...at),
            read(address, target, to, length) {
              const page = address - (address % 4096);
              const copy = copies.get(page);
              if (copy === undefined || address + length > page + 4096)
                return inner.read(address, target, to, length);
              target.set(copy.subarray(address - page, address - page + length), to);
              return true;
            },
          },
        };
      },
  ),
  regions(
    'route-not-written',
    { chapter: 'data path', breaks: 'DATA-48' },
    'The 40 bytes of the global route are not written.',
    () =>
      ({ memory: inner }) => ({
        memory: {
          read: (...at) => inner.read(...at),
          write: (address, source, from, length) =>
            isRoute(source, from, length) || inner.write(address, source, from, length),
        },
      }),
  ),
  regions(
    'ipv4-header-at-the-front',
    { chapter: 'data path', breaks: 'DATA-51' },
    'The IPv4 header of a datagram stands at the beginning of the 40 bytes.',
    () =>
      ({ memory: inner }) => ({
        memory: {
          read: (...at) => inner.read(...at),
          write(address, source, from, length) {
            if (!isRoute(source, from, length) || source[from] >>> 4 === 6)
              return inner.write(address, source, from, length);
            const route = new Uint8Array(length);
            route.set(source.subarray(from + 20, from + length));
            return inner.write(address, route, 0, length);
          },
        },
      }),
  ),
  mutant(
    'device',
    'payload-written-later',
    { chapter: 'ordering', breaks: 'ORD-07 ORD-08 ORD-09 ORD-10', needs: 'race' },
    'Payload is written one microsecond after everybody was told that it is there.',
    useOfAdapter((hca, { scheduler }) => ({
      registerMr: (pd, init) =>
        hca.registerMr(pd, {
          ...init,
          memory: {
            read: (...at) => init.memory.read(...at),
            write(address, source, from, length) {
              const bytes = source.slice(from, from + length);
              scheduler.schedule(
                1000,
                { run: () => void init.memory.write(address, bytes, 0, length) },
                'timer',
              );
              return init.memory.read(address, new Uint8Array(length), 0, length);
            },
          },
        }),
    })),
  ),
  mutant(
    'device',
    'region-older-than-the-queue-pair',
    { chapter: 'keys and bounds', breaks: 'MEM-12' },
    'A queue pair cannot use the local keys of regions that are older than it is.',
    useOfAdapter(hca => {
      let time = 0;
      const regionTimes = new Map<number, number>();
      const pairTimes = new Map<HcaQp, number>();
      return {
        registerMr(pd, init) {
          const mr = hca.registerMr(pd, init);
          regionTimes.set(mr.lkey, ++time);
          return mr;
        },
        createQp(pd, init, owner, qpNum) {
          const qp = hca.createQp(pd, init, owner, qpNum);
          pairTimes.set(qp, ++time);
          return qp;
        },
        postSend(qp, request, cookie) {
          const born = pairTimes.get(qp) ?? 0;
          const sges = request.sges.map(sge =>
            (regionTimes.get(sge.lkey) ?? time) < born ? { ...sge, lkey: 0 } : sge,
          );
          hca.postSend(qp, { ...request, sges }, cookie);
        },
      };
    }),
  ),
  mutant(
    'device',
    'page-list-read-again',
    { chapter: 'stale state', breaks: 'MEM-04', needs: 'race' },
    'Where a page of a region lies is looked up in the page list of the command at each access.',
    perDevice(({ memory: guest, function: hca }) => {
      let list = 0;
      return {
        device: context =>
          bundledDevice({
            ...context,
            memory: overlay(guest, {
              read(address, target, to, length) {
                if (target.length === 512 && to === 0) list = address;
                return guest.read(address, target, to, length);
              },
            }),
            function: overlay(hca, {
              registerMr(pd, init) {
                const { pages } = init;
                if (pages === undefined || pages.length > 64)
                  return hca.registerMr(pd, { ...init, memory: guest });
                const [start, known] = [list, pages.slice()];
                const entry = new Uint8Array(8);
                const placeOf = (address: number): number => {
                  const index = known.indexOf(address - (address % 4096));
                  guest.read(start + 8 * index, entry, 0, 8);
                  const page = Number(new DataView(entry.buffer).getBigUint64(0, true));
                  return index >= 0 && page % 4096 === 0 && guest.contains(page, 4096)
                    ? page + (address % 4096)
                    : address;
                };
                return hca.registerMr(pd, {
                  ...init,
                  memory: {
                    read: (address, target, to, length) => guest.read(placeOf(address), target, to, length),
                    write: (address, source, from, length) =>
                      guest.write(placeOf(address), source, from, length),
                  },
                });
              },
            }),
          }),
      };
    }),
  ),
  mutant(
    'device',
    'receive-of-a-write-touched',
    { chapter: 'data path', breaks: 'DATA-43' },
    'The first byte of a receive is set to zero when an RDMA_WRITE_WITH_IMM uses it.',
    useOfAdapter(hca => {
      const inits = new Map<number, HcaMrInit>();
      const first = new Map<number, { addr: number; lkey: number }>();
      return {
        registerMr(pd, init) {
          const mr = hca.registerMr(pd, init);
          inits.set(mr.lkey, init);
          return mr;
        },
        postRecv(qp, request, cookie) {
          const [sge] = request.sges;
          if (sge !== undefined) first.set(request.wrId, { addr: sge.addr, lkey: sge.lkey });
          hca.postRecv(qp, request, cookie);
        },
        pollCq(cq, list, max) {
          const count = hca.pollCq(cq, list, max);
          for (const { opcode, status, wrId } of list.slice(0, count)) {
            const at = first.get(wrId);
            const init = at === undefined ? undefined : inits.get(at.lkey);
            if (opcode !== 4 || status !== WcStatus.SUCCESS || at === undefined || init?.pages === undefined)
              continue;
            const page = Math.floor(at.addr / 4096) - Math.floor(init.iova / 4096);
            init.memory.write(init.pages[page] + (at.addr % 4096), new Uint8Array(1), 0, 1);
          }
          return count;
        },
      };
    }),
  ),
  mutant(
    'device',
    'slow-device',
    { chapter: 'time and cost', breaks: 'PERF-19' },
    'Each send takes the device two microseconds.',
    useOfAdapter((hca, { scheduler }) => {
      let free = 0;
      return {
        postSend(qp, request, cookie) {
          const copy = copyOf(request);
          free = Math.max(free, scheduler.nowNs) + 2000;
          scheduler.schedule(free - scheduler.nowNs, { run: () => hca.postSend(qp, copy, cookie) }, 'timer');
        },
      };
    }),
  ),
];

function isRoute(source: Uint8Array, from: number, length: number): boolean {
  const version = source[from] >>> 4;
  return (
    length === ROUTE_BYTES && (version === 6 || source.subarray(from, from + 20).every(byte => byte === 0))
  );
}

export const regionMemoryMutants: readonly Mutant[] = [...memory];
