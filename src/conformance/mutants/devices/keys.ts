/** Devices that are wrong about keys. */
import { QpState, WrOpcode } from '../../../abi/index.js';
import type { HcaMr } from '../../../reference/index.js';
import { mutant } from '../mutant.js';
import type { Mutant } from '../mutant.js';
import { useOfAdapter } from '../seams/device.js';
import { LOCAL_WRITE } from './memory-support.js';

export const keyMutants: readonly Mutant[] = [
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
    'An element whose end is above 2^64 - 1 is taken up again at address 0.',
    useOfAdapter(hca => ({
      postSend(qp, request, cookie) {
        const sges = request.sges.map(sge => {
          // Differences are exact this high up, sums are not.
          const over = sge.length - (2 ** 64 - sge.addr);
          return over > 0 ? { ...sge, addr: 0, length: over } : sge;
        });
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
