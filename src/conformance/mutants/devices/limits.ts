/** Devices that are wrong about what is in use, about limits, and about what a reset leaves. */
import { Command, createQpCommand, queryDeviceAck } from '../../../abi/index.js';
import type { HcaAh, HcaPd } from '../../../reference/index.js';
import { VerbsError } from '../../../verbs/index.js';
import { mutant } from '../mutant.js';
import type { Mutant } from '../mutant.js';
import { commands, perDevice, registers, useOfAdapter } from '../seams/device.js';
import { PAGE_BYTES } from './memory-support.js';

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

export const limitMutants: readonly Mutant[] = [...gone];
