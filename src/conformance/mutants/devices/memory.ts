/** Devices that are wrong about regions, keys, rights and bounds, about other machines, and about what is gone. */
import {
  AccessFlag,
  Command,
  QpState,
  WrOpcode,
  createQpCommand,
  queryDeviceAck,
} from '../../../abi/index.js';
import type { HcaAh, HcaFunction, HcaMr, HcaMrInit, HcaPd, HcaQp } from '../../../reference/index.js';
import { VerbsError } from '../../../verbs/index.js';
import { mutant } from '../mutant.js';
import type { Mutant, MutantFacts } from '../mutant.js';
import { commands, perDevice, registers, useOfAdapter } from '../seams/device.js';
import { every } from '../seams/overlay.js';

const { LOCAL_WRITE, REMOTE_WRITE, REMOTE_READ } = AccessFlag;
const ALL = LOCAL_WRITE | REMOTE_WRITE | REMOTE_READ;
const PAGE_BYTES = 4096;
type Facts = Omit<MutantFacts, 'chapter'> & Partial<MutantFacts>;

/** Regions are registered as something else. `make` is called for each device. */
function regions(
  name: string,
  facts: Facts,
  doc: string,
  make: () => (init: HcaMrInit) => Partial<HcaMrInit>,
): Mutant {
  return mutant(
    'device',
    name,
    { chapter: 'keys and bounds', ...facts },
    doc,
    useOfAdapter(hca => {
      const change = make();
      return { registerMr: (pd, init) => hca.registerMr(pd, { ...init, ...change(init) }) };
    }),
  );
}

const translation: readonly Mutant[] = [
  regions(
    'access-flags-ignored',
    { breaks: 'MEM-15 MEM-16 MEM-17 MEM-10 CTRL-68' },
    'Every region gets all rights.',
    () => () => ({ access: ALL }),
  ),
  regions(
    'remote-read-is-remote-write',
    { breaks: 'MEM-16 CTRL-68' },
    'A region that a peer may read can be written by it too.',
    () =>
      ({ access }) => ({
        access: (access & REMOTE_READ) === 0 ? access : ALL,
      }),
  ),
  regions(
    'remote-write-is-remote-read',
    { breaks: 'MEM-17' },
    'A region that a peer may write can be read by it too.',
    () =>
      ({ access }) => ({
        access: (access & REMOTE_WRITE) === 0 ? access : ALL,
      }),
  ),
  regions(
    'local-write-always',
    { breaks: 'MEM-15 ERR-17' },
    'Every region may be written by the own receives.',
    () =>
      ({ access }) => ({
        access: access | LOCAL_WRITE,
      }),
  ),
  regions(
    'remote-write-never',
    { breaks: 'MEM-18' },
    'REMOTE_WRITE is not handed on where REMOTE_READ is set too.',
    () =>
      ({ access }) => ({
        access: access === ALL ? access & ~REMOTE_WRITE : access,
      }),
  ),
  regions(
    'page-list-rotated',
    { breaks: 'CTRL-67 ISO-08' },
    'The pages of a region of several pages are entered one place too far.',
    () =>
      ({ pages }) =>
        pages === undefined || pages.length < 2
          ? {}
          : { pages: Float64Array.from(pages, (_, i) => pages[(i + 1) % pages.length]) },
  ),
  regions(
    'pages-taken-for-neighbours',
    { breaks: 'CTRL-67' },
    'Only the first page of a region is looked up; the others are thought to lie behind it.',
    () =>
      ({ pages, memory }) => {
        if (pages === undefined) return {};
        const straight = Float64Array.from(pages, (_, i) => pages[0] + i * PAGE_BYTES);
        return straight.every(page => memory.read(page, new Uint8Array(1), 0, 1)) ? { pages: straight } : {};
      },
  ),
  regions(
    'last-page-twice',
    { breaks: 'CTRL-67', needs: 'history' },
    'Of every third region of more than two pages the last page is the one before it.',
    () => {
      const due = every(3);
      return ({ pages }) =>
        pages === undefined || pages.length < 3 || !due()
          ? {}
          : { pages: pages.with(pages.length - 1, pages[pages.length - 2]) };
    },
  ),
  regions(
    'region-starts-at-its-page',
    { breaks: 'CTRL-67 MEM-21' },
    'A region begins with the first byte of its first page.',
    () =>
      ({ iova, length, pages }) =>
        pages === undefined ? {} : { iova: iova - (iova % PAGE_BYTES), length: length + (iova % PAGE_BYTES) },
  ),
  regions(
    'region-ends-with-its-page',
    { breaks: 'CTRL-67 MEM-21 MEM-26' },
    'A region ends with the last byte of its last page.',
    () =>
      ({ iova, length, pages }) =>
        pages === undefined
          ? {}
          : { length: length + ((PAGE_BYTES - ((iova + length) % PAGE_BYTES)) % PAGE_BYTES) },
  ),
  regions(
    'first-byte-outside',
    { breaks: 'MEM-20' },
    'The first byte of a region is not in it.',
    () =>
      ({ iova, length, pages }) =>
        pages === undefined || length < 2 || iova % PAGE_BYTES === PAGE_BYTES - 1
          ? {}
          : { iova: iova + 1, length: length - 1 },
  ),
  regions(
    'last-byte-outside',
    { breaks: 'MEM-20' },
    'The last byte of a region is not in it.',
    () =>
      ({ iova, length, pages }) =>
        pages === undefined || length < 2 || (iova + length) % PAGE_BYTES === 1 ? {} : { length: length - 1 },
  ),
  regions(
    'dma-mr-from-page-one',
    { breaks: 'CTRL-52' },
    'An address in the region of all memory is looked up one page further.',
    () =>
      ({ pages, memory, length }) =>
        pages === undefined
          ? {
              memory: {
                read: (address, target, to, bytes) =>
                  memory.read((address + PAGE_BYTES) % length, target, to, bytes),
                write: (address, source, from, bytes) =>
                  memory.write((address + PAGE_BYTES) % length, source, from, bytes),
              },
            }
          : {},
  ),
  regions(
    'dma-mr-too-short',
    { breaks: 'CTRL-52 MEM-20' },
    'The region of all memory ends in the middle of it.',
    () =>
      ({ pages, length }) =>
        pages === undefined ? { length: Math.ceil(length / 2) } : {},
  ),
  mutant(
    'device',
    'region-of-any-pd',
    { chapter: 'isolation', breaks: 'ISO-20 ISO-21 ERR-11 ERR-15' },
    'All protection domains of a machine are one.',
    useOfAdapter(oneDomain),
  ),
  mutant(
    'device',
    'ah-of-any-pd',
    { chapter: 'isolation', breaks: 'ISO-22 DATA-18' },
    'An address handle is made in the protection domain that was created last.',
    useOfAdapter(hca => {
      let last: HcaPd | undefined;
      return {
        createPd() {
          last = hca.createPd();
          return last;
        },
        createAh: (pd, attributes) => hca.createAh(last ?? pd, attributes),
      };
    }),
  ),
];

function oneDomain(hca: HcaFunction): Partial<HcaFunction> {
  let only: HcaPd | undefined;
  const known = new Set<HcaPd>();
  const one = (): HcaPd => (only ??= hca.createPd());
  const users = new Map<HcaPd, number>();
  const use = (pd: HcaPd, by: number): void => void users.set(pd, (users.get(pd) ?? 0) + by);
  const mrs = new Map<HcaMr, HcaPd>();
  const ahs = new Map<HcaAh, HcaPd>();
  const qps = new Map<HcaQp, HcaPd>();
  const taken = <K>(of: Map<K, HcaPd>, object: K, pd: HcaPd): K => {
    of.set(object, pd);
    use(pd, 1);
    return object;
  };
  const gone = <K>(of: Map<K, HcaPd>, object: K): void => {
    const pd = of.get(object);
    if (pd !== undefined && of.delete(object)) use(pd, -1);
  };
  return {
    createPd() {
      one();
      const pd: HcaPd = { kind: 'hca-pd' };
      known.add(pd);
      return pd;
    },
    destroyPd(pd) {
      if ((users.get(pd) ?? 0) > 0) throw new VerbsError('EBUSY', 'destroyPd', 'in use');
      known.delete(pd);
    },
    registerMr: (pd, init) => taken(mrs, hca.registerMr(one(), init), pd),
    deregisterMr(mr) {
      hca.deregisterMr(mr);
      gone(mrs, mr);
    },
    createAh: (pd, attributes) => taken(ahs, hca.createAh(one(), attributes), pd),
    destroyAh(ah) {
      hca.destroyAh(ah);
      gone(ahs, ah);
    },
    createQp: (pd, init, owner, qpNum) => taken(qps, hca.createQp(one(), init, owner, qpNum), pd),
    destroyQp(qp) {
      hca.destroyQp(qp);
      gone(qps, qp);
    },
    reset() {
      hca.reset();
      only = undefined;
      known.clear();
    },
  };
}

const keyMutants: readonly Mutant[] = [
  mutant(
    'device',
    'keys-compared-without-their-tag',
    { chapter: 'keys and bounds', breaks: 'MEM-11 RST-27' },
    'Of a key only the bits above the low eight are compared.',
    useOfAdapter(hca => {
      const live = new Map<number, HcaMr>();
      const repaired = (key: number): number => {
        const mr = live.get(key >>> 8);
        return mr !== undefined && key !== mr.lkey && key !== mr.rkey ? mr.lkey : key;
      };
      return {
        registerMr(pd, init) {
          const mr = hca.registerMr(pd, init);
          live.set(mr.lkey >>> 8, mr);
          return mr;
        },
        deregisterMr(mr) {
          hca.deregisterMr(mr);
          live.delete(mr.lkey >>> 8);
        },
        postSend(qp, request, cookie) {
          const sges = request.sges.map(sge => ({ ...sge, lkey: repaired(sge.lkey) }));
          hca.postSend(qp, { ...request, sges }, cookie);
        },
      };
    }),
  ),
  mutant(
    'device',
    'wide-element-cut',
    { chapter: 'keys and bounds', breaks: 'MEM-22 ERR-11' },
    'An element that goes beyond its region is cut to what is in it.',
    useOfAdapter(hca => {
      const ends = new Map<number, number>();
      return {
        registerMr(pd, init) {
          const mr = hca.registerMr(pd, init);
          ends.set(mr.lkey, init.iova + init.length);
          return mr;
        },
        postSend(qp, request, cookie) {
          const sges = request.sges.map(sge => {
            const end = ends.get(sge.lkey);
            const over = end === undefined ? 0 : sge.addr + sge.length - end;
            return over > 0 && over < sge.length ? { ...sge, length: sge.length - over } : sge;
          });
          hca.postSend(qp, { ...request, sges }, cookie);
        },
      };
    }),
  ),
  mutant(
    'device',
    'address-wraps-at-the-top',
    { chapter: 'wraps', breaks: 'MEM-24' },
    'An element whose end is above 2^53 is taken up again at address 0.',
    useOfAdapter(hca => ({
      postSend(qp, request, cookie) {
        const sges = request.sges.map(sge =>
          sge.addr + sge.length > Number.MAX_SAFE_INTEGER ? { ...sge, addr: 0x1000_0000, length: 1 } : sge,
        );
        hca.postSend(qp, { ...request, sges }, cookie);
      },
    })),
  ),
  mutant(
    'device',
    'zero-length-write-checks-its-key',
    { chapter: 'keys and bounds', breaks: 'DATA-41' },
    'A write or read of no bytes whose rkey is 0 is taken for a malformed one.',
    useOfAdapter(hca => ({
      postSend(qp, request, cookie) {
        const bytes = request.inlineData?.length ?? request.sges.reduce((sum, { length }) => sum + length, 0);
        const remote = request.opcode !== WrOpcode.SEND && request.opcode !== WrOpcode.SEND_WITH_IMM;
        if (remote && bytes === 0 && hca.queryQp(qp).qpState === QpState.RTS)
          return hca.postFaultySend(qp, request.wrId, 2, cookie);
        hca.postSend(qp, request, cookie);
      },
    })),
  ),
  mutant(
    'device',
    'gather-needs-local-write',
    { chapter: 'keys and bounds', breaks: 'MEM-14 MEM-19' },
    'A send from a region without LOCAL_WRITE fails.',
    useOfAdapter(hca => {
      const readOnly = new Set<number>();
      return {
        registerMr(pd, init) {
          const mr = hca.registerMr(pd, init);
          if ((init.access & LOCAL_WRITE) === 0) readOnly.add(mr.lkey);
          return mr;
        },
        postSend(qp, request, cookie) {
          const sges = request.sges.map(sge => (readOnly.has(sge.lkey) ? { ...sge, lkey: 0 } : sge));
          hca.postSend(qp, { ...request, sges }, cookie);
        },
      };
    }),
  ),
  mutant(
    'device',
    'one-region-a-request',
    { chapter: 'keys and bounds', breaks: 'MEM-25' },
    'All elements of a request are looked up with the key of the first.',
    useOfAdapter(hca => ({
      postSend(qp, request, cookie) {
        const sges = request.sges.map(sge => ({ ...sge, lkey: request.sges[0].lkey }));
        hca.postSend(qp, { ...request, sges }, cookie);
      },
    })),
  ),
  mutant(
    'device',
    'keys-of-the-time-of-the-post',
    { chapter: 'stale state', breaks: 'MEM-27', needs: 'race' },
    'A receive whose region does not exist when it is posted is malformed for ever.',
    useOfAdapter(hca => {
      const live = new Set<number>();
      return {
        registerMr(pd, init) {
          const mr = hca.registerMr(pd, init);
          live.add(mr.lkey);
          return mr;
        },
        deregisterMr(mr) {
          hca.deregisterMr(mr);
          live.delete(mr.lkey);
        },
        postRecv(qp, request, cookie) {
          const sges = request.sges.map(sge => (live.has(sge.lkey) ? sge : { ...sge, lkey: 0 }));
          hca.postRecv(qp, { ...request, sges }, cookie);
        },
      };
    }),
  ),
  mutant(
    'device',
    'keys-survive-deregistration',
    { chapter: 'stale state', breaks: 'RST-16 RST-17', needs: 'history' },
    'A region is deregistered with the adapter only when the next one is.',
    useOfAdapter(hca => {
      let waiting: HcaMr | undefined;
      return {
        deregisterMr(mr) {
          if (waiting !== undefined) hca.deregisterMr(waiting);
          waiting = mr;
        },
        destroyPd(pd) {
          if (waiting !== undefined) hca.deregisterMr(waiting);
          waiting = undefined;
          hca.destroyPd(pd);
        },
        reset() {
          waiting = undefined;
          hca.reset();
        },
      };
    }),
  ),
];

const gone: readonly Mutant[] = [
  mutant(
    'device',
    'pd-in-use-destroyed',
    { chapter: 'stale state', breaks: 'RST-01' },
    'DESTROY_PD of a protection domain in use is answered OK.',
    busyIsDone('destroyPd'),
  ),
  mutant(
    'device',
    'cq-in-use-destroyed',
    { chapter: 'stale state', breaks: 'RST-02' },
    'DESTROY_CQ of a completion queue in use is answered OK.',
    commands(
      ({ run }) => ({
        run(...parts) {
          try {
            return run(...parts);
          } catch (error) {
            if (error instanceof VerbsError && error.errno === 'EBUSY') return true;
            throw error;
          }
        },
      }),
      Command.DESTROY_CQ,
    ),
  ),
  mutant(
    'device',
    'ah-in-use-not-destroyed',
    { chapter: 'stale state', breaks: 'RST-04' },
    'DESTROY_AH of an address handle that a send has named is refused.',
    useOfAdapter(hca => {
      const used = new Set<HcaAh>();
      return {
        postSend(qp, request, cookie) {
          if (request.ah !== undefined) used.add(request.ah);
          hca.postSend(qp, request, cookie);
        },
        destroyAh(ah) {
          if (used.has(ah)) throw new VerbsError('EBUSY', 'destroyAh', 'in use');
          hca.destroyAh(ah);
        },
      };
    }),
  ),
  mutant(
    'device',
    'region-in-use-not-deregistered',
    { chapter: 'stale state', breaks: 'RST-04' },
    'DEREG_MR of a region that a receive has named is refused.',
    useOfAdapter(hca => {
      const used = new Set<number>();
      return {
        postRecv(qp, request, cookie) {
          for (const { lkey } of request.sges) used.add(lkey);
          hca.postRecv(qp, request, cookie);
        },
        deregisterMr(mr) {
          if (used.has(mr.lkey)) throw new VerbsError('EBUSY', 'deregisterMr', 'in use');
          hca.deregisterMr(mr);
        },
      };
    }),
  ),
  ...(['pds', 'regions', 'addressHandles'] as const).map(table =>
    mutant(
      'device',
      `${{ pds: 'pd', regions: 'mr', addressHandles: 'ah' }[table]}-limit-counts-the-dead`,
      { chapter: 'leaks', breaks: 'RST-24 RST-22', needs: 'history' },
      `A destroyed object counts for ever against ${{ pds: 'max_pd', regions: 'max_mr', addressHandles: 'max_ah' }[table]}.`,
      commands(({ run }) => {
        let made = 0;
        return {
          run(objects, request, result, pages) {
            const { maxPd, maxMr, maxAh } = objects.context.hca.attributes;
            const most = { pds: maxPd, regions: maxMr, addressHandles: maxAh }[table];
            if (made >= most) return false;
            const done = run(objects, request, result, pages);
            if (done) made++;
            return done;
          },
        };
      }, { pds: Command.CREATE_PD, regions: Command.REG_USER_MR, addressHandles: Command.CREATE_AH }[table]),
    ),
  ),
  ...(['maxPd', 'maxMr', 'maxAh'] as const).map(limit =>
    mutant(
      'device',
      `one-above-${limit.toLowerCase().replace('max', 'max-')}`,
      {
        chapter: 'limits',
        breaks: `RST-23 ${{ maxPd: 'CTRL-46', maxMr: 'CTRL-65 CTRL-51', maxAh: 'CTRL-97' }[limit]}`,
      },
      `The device answers that ${limit} is one less than it is.`,
      advertisesLess(limit),
    ),
  ),
  ...(['maxPd', 'maxMr', 'maxAh'] as const).map(limit =>
    mutant(
      'device',
      `one-below-${limit.toLowerCase().replace('max', 'max-')}`,
      { chapter: 'limits', breaks: 'RST-22 CTRL-27' },
      `The device refuses the last object of ${limit}.`,
      refusesTheLast(limit),
    ),
  ),
  mutant(
    'device',
    'qp-limit-counts-the-dead',
    { chapter: 'leaks', breaks: 'RST-24 RST-22 QP-03', needs: 'history' },
    'A queue pair number is not given away again.',
    commands(({ run }) => {
      const burnt = new Set<number>();
      return {
        run(objects, request, result, pages) {
          const qpn = objects.freeQpn(2);
          if (burnt.has(qpn) && createQpCommand.decode(request, 0).qp_type !== 1) return false;
          const done = run(objects, request, result, pages);
          if (done) burnt.add(qpn);
          return done;
        },
      };
    }, Command.CREATE_QP),
  ),
  mutant(
    'device',
    'refused-qp-leaves-something',
    { chapter: 'leaks', breaks: 'RST-25 CTRL-14', needs: 'history' },
    'A CREATE_QP that is refused for its capacities keeps its protection domain in use.',
    useOfAdapter(hca => ({
      createQp(pd, init, owner, qpNum) {
        try {
          return hca.createQp(pd, init, owner, qpNum);
        } catch (error) {
          hca.registerMr(pd, {
            access: 0,
            iova: 0,
            length: PAGE_BYTES,
            memory: { read: () => true, write: () => true },
            pageBytes: PAGE_BYTES,
            pages: undefined,
          });
          throw error;
        }
      },
    })),
  ),
  mutant(
    'device',
    'reset-without-the-adapter',
    { chapter: 'stale state', breaks: 'RST-30 RST-33 RST-34 RST-36 MEM-13' },
    'A device reset leaves the objects of the adapter alone.',
    useOfAdapter(() => ({ reset: () => undefined })),
  ),
  mutant(
    'device',
    'reset-keeps-the-gid-table',
    { chapter: 'stale state', breaks: 'RST-30 CTRL-109' },
    'A device reset takes the GIDs up again.',
    useOfAdapter(hca => {
      const table = new Map<number, string>();
      return {
        addGid(index, gid) {
          hca.addGid(index, gid);
          table.set(index, gid);
        },
        delGid(index) {
          hca.delGid(index);
          table.delete(index);
        },
        reset() {
          hca.reset();
          for (const [index, gid] of table) hca.addGid(index, gid);
        },
      };
    }),
  ),
  mutant(
    'device',
    'reset-done-later',
    { chapter: 'stale state', breaks: 'RST-31 RST-32 RST-33 FEAT-28 FEAT-29', needs: 'race' },
    'Status 0 is shown one microsecond before the objects are gone.',
    registers((inner, { scheduler }) => {
      let resetting = false;
      return {
        writeStatus(status) {
          if (status !== 0) return inner.writeStatus(status);
          resetting = true;
          scheduler.schedule(1000, { run: () => inner.writeStatus(0) }, 'timer');
        },
        readStatus() {
          const now = inner.readStatus();
          if (now === 0) resetting = false;
          return resetting ? 0 : now;
        },
      };
    }),
  ),
];

/** An EBUSY of one call is taken for done. */
function busyIsDone(verb: 'destroyPd'): Mutant['implementation'] {
  return useOfAdapter(hca => ({
    [verb](pd: HcaPd) {
      try {
        hca[verb](pd);
      } catch (error) {
        if (!(error instanceof VerbsError && error.errno === 'EBUSY')) throw error;
      }
    },
  }));
}

/** QUERY_DEVICE says one less than the device takes. */
function advertisesLess(limit: 'maxPd' | 'maxMr' | 'maxAh'): Mutant['implementation'] {
  const { max_mr, max_pd, max_ah } = queryDeviceAck.offsets;
  const offset = { maxMr: max_mr, maxPd: max_pd, maxAh: max_ah }[limit];
  return commands(
    ({ run }) => ({
      run(objects, request, result, pages) {
        const done = run(objects, request, result, pages);
        result.setUint32(offset, result.getUint32(offset, true) - 1, true);
        return done;
      },
    }),
    Command.QUERY_DEVICE,
  );
}

function refusesTheLast(limit: 'maxPd' | 'maxMr' | 'maxAh'): Mutant['implementation'] {
  return perDevice(({ function: hca }) =>
    commands(
      ({ run }) => {
        const numbers = new Set<number>();
        return {
          run(objects, request, result, pages) {
            const table = { maxPd: objects.pds, maxMr: objects.regions, maxAh: objects.addressHandles }[
              limit
            ];
            numbers.clear();
            for (let number = 1; number <= hca.attributes[limit]; number++)
              if (table.get(number) !== undefined) numbers.add(number);
            return numbers.size < hca.attributes[limit] - 1 && run(objects, request, result, pages);
          },
        };
      },
      ...{
        maxPd: [Command.CREATE_PD],
        maxMr: [Command.REG_USER_MR, Command.GET_DMA_MR],
        maxAh: [Command.CREATE_AH],
      }[limit],
    ),
  );
}

export const memoryMutants: readonly Mutant[] = [...translation, ...keyMutants, ...gone];
