/** Drivers whose control verbs answer with an error, with another error, or with none. */
import { QpAttrMask, QpState } from '../../../abi/index.js';
import { VerbsError } from '../../../verbs/index.js';
import { qpAttrMaskOf } from '../../attributes.js';
import type { Mutant } from '../mutant.js';
import { driver } from './verb-support.js';

/** Verbs that answer with an error, with another error, or with none. */
const errors: readonly Mutant[] = [
  driver(
    'pd-in-use-destroyed',
    { chapter: 'errors and statuses', breaks: 'ERR-03' },
    'Destroying a protection domain in use is reported as done.',
    inner => ({
      destroyPd: pd => inner.destroyPd(pd).catch(unless('EBUSY')),
    }),
  ),
  driver(
    'cq-in-use-destroyed',
    { chapter: 'errors and statuses', breaks: 'ERR-03' },
    'Destroying a completion queue in use is reported as done.',
    inner => ({
      destroyCq: cq => inner.destroyCq(cq).catch(unless('EBUSY')),
    }),
  ),
  driver(
    'busy-is-einval',
    { chapter: 'errors and statuses', breaks: 'ERR-03' },
    'Destroying a completion queue in use is EINVAL.',
    inner => ({
      destroyCq: cq => inner.destroyCq(cq).catch(instead('EBUSY', 'EINVAL')),
    }),
  ),
  driver(
    'no-room-is-einval',
    { chapter: 'errors and statuses', breaks: 'ERR-02' },
    'One protection domain too many is EINVAL.',
    inner => ({
      createPd: () => inner.createPd().catch(instead('ENOMEM', 'EINVAL')),
    }),
  ),
  driver(
    'no-room-for-regions-is-einval',
    { chapter: 'errors and statuses', breaks: 'ERR-02' },
    'One region too many is EINVAL.',
    inner => ({
      regMr: (pd, init) => inner.regMr(pd, init).catch(instead('ENOMEM', 'EINVAL')),
    }),
  ),
  driver(
    'no-room-for-address-handles-is-einval',
    { chapter: 'errors and statuses', breaks: 'ERR-02' },
    'One address handle too many is EINVAL.',
    inner => ({
      createAh: (pd, attributes) => inner.createAh(pd, attributes).catch(instead('ENOMEM', 'EINVAL')),
    }),
  ),
  driver(
    'refusal-is-no-room',
    { chapter: 'errors and statuses', breaks: 'ERR-04' },
    'A GID that the device refuses is ENOMEM.',
    inner => ({
      addGid: (index, gid) => inner.addGid(index, gid).catch(instead('EINVAL', 'ENOMEM')),
    }),
  ),
  driver(
    'refused-modify-is-done',
    { chapter: 'errors and statuses', breaks: 'ERR-04 ERR-07' },
    'A change of attributes that is refused is reported as done.',
    inner => ({
      modifyQp: (qp, attributes) => inner.modifyQp(qp, attributes).catch(unless('EINVAL')),
    }),
  ),
  driver(
    'odd-regions-refused',
    { chapter: 'keys and bounds', breaks: 'ERR-05 MEM-02' },
    'A region that does not begin at a page is refused.',
    inner => ({
      async regMr(pd, init) {
        if (init.addr % 4096 !== 0) throw new VerbsError('EINVAL', 'regMr', 'not a page');
        return inner.regMr(pd, init);
      },
    }),
  ),
  driver(
    'failed-destroy-forgets',
    { chapter: 'stale state', breaks: 'ERR-06' },
    'A protection domain that could not be destroyed takes no new object.',
    inner => {
      const dead = new WeakSet<object>();
      return {
        async destroyPd(pd) {
          try {
            await inner.destroyPd(pd);
          } catch (error) {
            dead.add(pd);
            throw error;
          }
        },
        async createAh(pd, attributes) {
          if (dead.has(pd)) throw new VerbsError('EINVAL', 'createAh', 'gone');
          return inner.createAh(pd, attributes);
        },
        async regMr(pd, init) {
          if (dead.has(pd)) throw new VerbsError('EINVAL', 'regMr', 'gone');
          return inner.regMr(pd, init);
        },
      };
    },
  ),
  driver(
    'timeout-left-out',
    { chapter: 'queue pair states and masks', breaks: 'OVR-11' },
    'A move to RTS passes 14 on for every time-out.',
    inner => ({
      modifyQp: (qp, attributes) =>
        inner.modifyQp(qp, attributes.timeout === undefined ? attributes : { ...attributes, timeout: 14 }),
    }),
  ),
  driver(
    'access-flags-left-out',
    { chapter: 'queue pair states and masks', breaks: 'OVR-11' },
    'A change of the access flags passes none on.',
    inner => ({
      modifyQp: (qp, attributes) =>
        inner.modifyQp(
          qp,
          attributes.qpAccessFlags === undefined ? attributes : { ...attributes, qpAccessFlags: 0 },
        ),
    }),
  ),
  driver(
    'query-answers-from-memory',
    { chapter: 'stale state', breaks: 'OVR-11' },
    'QUERY_QP shows the state of the last MODIFY_QP, whatever became of the queue pair since.',
    inner => {
      const last = new Map<object, QpState>();
      return {
        async modifyQp(qp, attributes) {
          await inner.modifyQp(qp, attributes);
          if ((qpAttrMaskOf(attributes) & QpAttrMask.STATE) !== 0)
            last.set(qp, attributes.qpState ?? QpState.RESET);
        },
        async queryQp(qp) {
          return { ...(await inner.queryQp(qp)), qpState: last.get(qp) ?? QpState.RESET };
        },
      };
    },
  ),
  driver(
    'pages-given-back-too-soon',
    { chapter: 'stale state', breaks: 'RST-18 MEM-03 ERR-07', needs: 'race' },
    'A deregistration resolves before the device has answered.',
    inner => ({
      async deregMr(mr) {
        inner.deregMr(mr).catch(() => undefined);
      },
    }),
  ),
  driver(
    'modify-resolves-too-soon',
    { chapter: 'ordering', breaks: 'ERR-07 ORD-19', needs: 'race' },
    'A change of attributes resolves before the device has answered.',
    inner => ({
      async modifyQp(qp, attributes) {
        inner.modifyQp(qp, attributes).catch(() => undefined);
      },
    }),
  ),
  driver(
    'destroy-qp-resolves-too-soon',
    { chapter: 'ordering', breaks: 'ERR-07 RST-09', needs: 'race' },
    'The destruction of a queue pair resolves before the device has answered.',
    inner => ({
      async destroyQp(qp) {
        inner.destroyQp(qp).catch(() => undefined);
      },
    }),
  ),
  driver(
    'arming-resolves-too-soon',
    { chapter: 'notification races', breaks: 'ERR-07', needs: 'race' },
    'An arming resolves before the device has answered.',
    inner => ({
      async reqNotifyCq(cq, solicitedOnly) {
        inner.reqNotifyCq(cq, solicitedOnly).catch(() => undefined);
      },
    }),
  ),
  driver(
    'two-commands-for-a-verb',
    { chapter: 'time and cost', breaks: 'PERF-08' },
    'A region is registered after asking for the limits once more.',
    inner => ({
      async regMr(pd, init) {
        await inner.queryDevice();
        return inner.regMr(pd, init);
      },
    }),
  ),
  driver(
    'command-in-a-poll',
    { chapter: 'time and cost', breaks: 'PERF-09 PERF-07' },
    'A poll that finds nothing asks the device for its limits.',
    inner => ({
      pollCq(cq, completions, max) {
        const count = inner.pollCq(cq, completions, max);
        if (count === 0) void inner.queryPort().catch(() => undefined);
        return count;
      },
    }),
  ),
];

function unless(errno: string): (error: unknown) => void {
  return error => {
    if (!(error instanceof VerbsError && error.errno === errno)) throw error;
  };
}

function instead(errno: string, other: 'EINVAL' | 'ENOMEM'): (error: unknown) => never {
  return error => {
    if (error instanceof VerbsError && error.errno === errno) throw new VerbsError(other, 'verb', 'refused');
    throw error;
  };
}

export const verbErrorMutants: readonly Mutant[] = [...errors];
