/** Drivers that are wrong at the verbs: what they hand on, what they refuse, what a poll brings, whom they wake. */
import { QpAttrMask, QpState, WcFlag, WcStatus } from '../../../abi/index.js';
import { VerbsError, emptyCompletion } from '../../../verbs/index.js';
import type { CompletionQueue, QueuePair, WorkCompletion } from '../../../verbs/index.js';
import { qpAttrMaskOf } from '../../attributes.js';
import { mutant } from '../mutant.js';
import type { Mutant, MutantFacts } from '../mutant.js';
import { polls, verbs } from '../seams/driver.js';
import { every, from } from '../seams/overlay.js';

type Facts = Omit<MutantFacts, 'chapter'> & Partial<MutantFacts>;

function driver(name: string, facts: Facts, doc: string, change: Parameters<typeof verbs>[0]): Mutant {
  return mutant('driver', name, { chapter: 'data path', ...facts }, doc, verbs(change));
}
function poller(name: string, facts: Facts, doc: string, change: Parameters<typeof polls>[0]): Mutant {
  return mutant('driver', name, { chapter: 'completions', ...facts }, doc, polls(change));
}

const polling: readonly Mutant[] = [
  poller(
    'completion-dropped',
    { breaks: 'CQ-05' },
    'Of every poll that brings something the last completion is lost.',
    (_list, count) => Math.max(0, count - 1),
  ),
  poller(
    'completion-seen-twice',
    { breaks: 'CQ-05' },
    'A poll that has room gives its last completion once more.',
    (list, count, max) => {
      if (count === 0 || count >= max) return count;
      list[count] = { ...list[count - 1] };
      return count + 1;
    },
  ),
  poller(
    'completions-swapped',
    { chapter: 'ordering', breaks: 'ORD-13 CQ-05' },
    'The first two completions of a poll change places.',
    (list, count) => {
      if (count >= 2) [list[0], list[1]] = [list[1], list[0]];
      return count;
    },
  ),
  driver(
    'wr-id-off-by-one',
    { chapter: 'completions', breaks: 'OVR-11 CQ-05', needs: 'history' },
    'The eighth completion and every eighth after it has the number of the next request.',
    inner => {
      const due = every(8);
      return {
        pollCq(cq, completions, max) {
          const count = inner.pollCq(cq, completions, max);
          for (let i = 0; i < count; i++) if (due()) completions[i].wrId++;
          return count;
        },
      };
    },
  ),
  poller(
    'byte-len-one-too-large',
    { chapter: 'lengths', breaks: 'OVR-04 OVR-11' },
    'A receive says one byte more than came.',
    (list, count) => {
      for (let i = 0; i < count; i++) if (list[i].status === WcStatus.SUCCESS) list[i].byteLen++;
      return count;
    },
  ),
  poller(
    'immediate-little-endian',
    { breaks: 'OVR-02 OVR-11' },
    'The four bytes of the immediate data are reversed.',
    (list, count) => {
      for (let i = 0; i < count; i++) {
        const { wcFlags, immData } = list[i];
        if ((wcFlags & WcFlag.WITH_IMM) === 0) continue;
        const b = [24, 16, 8, 0].map(shift => (immData >>> shift) & 0xff);
        list[i].immData = ((b[3] << 24) | (b[2] << 16) | (b[1] << 8) | b[0]) >>> 0;
      }
      return count;
    },
  ),
  poller(
    'flush-shown-as-success',
    { chapter: 'flush order', breaks: 'ERR-24' },
    'WR_FLUSH_ERR is reported as SUCCESS.',
    (list, count) => {
      for (let i = 0; i < count; i++)
        if (list[i].status === WcStatus.WR_FLUSH_ERR) list[i].status = WcStatus.SUCCESS;
      return count;
    },
  ),
  poller(
    'statuses-not-renumbered',
    { chapter: 'errors and statuses', breaks: 'ERR-24' },
    'RNR_RETRY_EXC_ERR is reported as RETRY_EXC_ERR.',
    (list, count) => {
      for (let i = 0; i < count; i++)
        if (list[i].status === WcStatus.RNR_RETRY_EXC_ERR) list[i].status = WcStatus.RETRY_EXC_ERR;
      return count;
    },
  ),
  poller(
    'more-than-asked-for',
    { chapter: 'limits', breaks: 'CQ-53' },
    'A full poll returns one more than it was asked for.',
    (_list, count, max) => (count === max ? count + 1 : count),
  ),
  driver(
    'stale-entry',
    { chapter: 'stale state', breaks: 'CQ-05 CQ-51' },
    'The first poll that finds nothing after one that did gives the old entry again.',
    inner => {
      const last = new Map<CompletionQueue, WorkCompletion>();
      return {
        pollCq(cq, completions, max) {
          const count = inner.pollCq(cq, completions, max);
          const old = last.get(cq);
          last.delete(cq);
          if (count > 0) last.set(cq, { ...completions[count - 1] });
          if (count > 0 || old === undefined) return count;
          Object.assign(completions[0] ?? emptyCompletion(), old);
          return 1;
        },
      };
    },
  ),
  driver(
    'poll-only-after-an-event',
    { chapter: 'notification races', breaks: 'CQ-52 CQ-51' },
    'A poll of a queue that has a handler looks only when an event has come since it found nothing.',
    inner => {
      const asleep = new WeakSet<CompletionQueue>();
      return {
        createCq: (cqe, onEvent) =>
          inner.createCq(
            cqe,
            onEvent &&
              (cq => {
                asleep.delete(cq);
                onEvent(cq);
              }),
          ),
        pollCq(cq, completions, max) {
          if (asleep.has(cq)) return 0;
          const count = inner.pollCq(cq, completions, max);
          if (count === 0) asleep.add(cq);
          return count;
        },
      };
    },
  ),
  driver(
    'poll-in-batches-of-four',
    { chapter: 'completions', breaks: 'CQ-17 CQ-05', needs: 'history' },
    'A poll that asks for more than eight loses what comes after the eighth.',
    inner => ({
      pollCq: (cq, completions, max) => Math.min(8, inner.pollCq(cq, completions, max)),
    }),
  ),
  driver(
    'handler-not-called',
    { chapter: 'notification races', breaks: 'CQ-46' },
    'Completion events do not reach the program.',
    inner => ({
      createCq: cqe => inner.createCq(cqe, () => undefined),
    }),
  ),
  driver(
    'handler-called-twice',
    { chapter: 'notification races', breaks: 'CQ-46' },
    'Each completion event reaches the program twice.',
    inner => ({
      createCq: (cqe, onEvent) =>
        inner.createCq(cqe, cq => {
          onEvent?.(cq);
          onEvent?.(cq);
        }),
    }),
  ),
  driver(
    'handler-called-after-destroy',
    { chapter: 'stale state', breaks: 'RST-15', needs: 'race' },
    'A completion queue that is destroyed reports one more event.',
    inner => {
      const handlers = new WeakMap<CompletionQueue, () => void>();
      return {
        async createCq(cqe, onEvent) {
          const cq = await inner.createCq(cqe, onEvent);
          handlers.set(cq, () => onEvent?.(cq));
          return cq;
        },
        async destroyCq(cq) {
          await inner.destroyCq(cq);
          handlers.get(cq)?.();
        },
      };
    },
  ),
  driver(
    'handler-called-within-a-verb',
    { chapter: 'notification races', breaks: 'CQ-50 CQ-46' },
    'A poll that finds something calls the handler of its queue.',
    inner => {
      const handlers = new WeakMap<CompletionQueue, () => void>();
      return {
        async createCq(cqe, onEvent) {
          const cq = await inner.createCq(cqe, onEvent);
          handlers.set(cq, () => onEvent?.(cq));
          return cq;
        },
        pollCq(cq, completions, max) {
          const count = inner.pollCq(cq, completions, max);
          if (count > 0) handlers.get(cq)?.();
          return count;
        },
      };
    },
  ),
  driver(
    'solicited-arming-is-any',
    { chapter: 'completions', breaks: 'OVR-11' },
    'An arming for solicited completions is one for any.',
    inner => ({
      reqNotifyCq: cq => inner.reqNotifyCq(cq, false),
    }),
  ),
];

const posting: readonly Mutant[] = [
  driver(
    'send-forgotten',
    { breaks: 'DATA-01 ERR-10', needs: 'history' },
    'From the third send on every third is accepted and goes nowhere.',
    inner => {
      const due = every(3);
      return {
        postSend(qp, request) {
          if (!due()) inner.postSend(qp, request);
        },
      };
    },
  ),
  driver(
    'receive-forgotten',
    { breaks: 'DATA-22 ERR-10' },
    'Every second receive is accepted and goes nowhere.',
    inner => {
      const due = every(2);
      return {
        postRecv(qp, request) {
          if (!due()) inner.postRecv(qp, request);
        },
      };
    },
  ),
  driver(
    'inline-data-not-copied',
    { breaks: 'DATA-36', needs: 'history' },
    'The first byte of inline data is lost from the fourth send on.',
    inner => {
      const due = from(4);
      return {
        postSend(qp, request) {
          const { inlineData } = request;
          if (inlineData === undefined || !due()) return inner.postSend(qp, request);
          const bytes = inlineData.slice();
          if (bytes.length > 0) bytes[0] ^= 0xff;
          inner.postSend(qp, { ...request, inlineData: bytes });
        },
      };
    },
  ),
  driver(
    'full-queue-is-einval',
    { chapter: 'errors and statuses', breaks: 'ERR-08' },
    'A full send queue is EINVAL instead of ENOMEM.',
    inner => ({
      postSend(qp, request) {
        try {
          inner.postSend(qp, request);
        } catch (error) {
          if (error instanceof VerbsError && error.errno === 'ENOMEM')
            throw new VerbsError('EINVAL', 'postSend', 'full');
          throw error;
        }
      },
    }),
  ),
  driver(
    'full-receive-queue-is-einval',
    { chapter: 'errors and statuses', breaks: 'ERR-08' },
    'A full receive queue is EINVAL instead of ENOMEM.',
    inner => ({
      postRecv(qp, request) {
        try {
          inner.postRecv(qp, request);
        } catch (error) {
          if (error instanceof VerbsError && error.errno === 'ENOMEM')
            throw new VerbsError('EINVAL', 'postRecv', 'full');
          throw error;
        }
      },
    }),
  ),
  ...(
    [
      [QpState.SQD, 'sqd'],
      [QpState.SQE, 'sqe'],
      [QpState.ERR, 'err'],
    ] as const
  ).map(([state, name]) =>
    driver(
      `send-refused-in-${name}`,
      { chapter: 'queue pair states and masks', breaks: 'QP-15 ERR-10' },
      `A send is refused when QUERY_QP or MODIFY_QP has shown ${name.toUpperCase()}.`,
      inner => {
        const seen = states(inner);
        return {
          ...seen.verbs,
          postSend(qp, request) {
            if (seen.of(qp) === state) throw new VerbsError('EINVAL', 'postSend', name);
            inner.postSend(qp, request);
          },
        };
      },
    ),
  ),
  driver(
    'receive-refused-in-init',
    { chapter: 'queue pair states and masks', breaks: 'QP-16 ERR-10' },
    'A receive is refused in INIT.',
    inner => {
      const seen = states(inner);
      return {
        ...seen.verbs,
        postRecv(qp, request) {
          if (seen.of(qp) === QpState.INIT) throw new VerbsError('EINVAL', 'postRecv', 'INIT');
          inner.postRecv(qp, request);
        },
      };
    },
  ),
  driver(
    'send-taken-in-rtr',
    { chapter: 'queue pair states and masks', breaks: 'QP-13 ERR-08' },
    'A send in RTR is accepted and forgotten.',
    inner => {
      const seen = states(inner);
      return {
        ...seen.verbs,
        postSend(qp, request) {
          if (seen.of(qp) !== QpState.RTR) inner.postSend(qp, request);
        },
      };
    },
  ),
  driver(
    'send-taken-in-reset',
    { chapter: 'queue pair states and masks', breaks: 'QP-13 ERR-08' },
    'A send on a new queue pair is accepted and forgotten.',
    inner => {
      const seen = states(inner);
      return {
        ...seen.verbs,
        postSend(qp, request) {
          if (seen.of(qp) !== undefined) inner.postSend(qp, request);
        },
      };
    },
  ),
  driver(
    'receive-taken-in-reset',
    { chapter: 'queue pair states and masks', breaks: 'QP-14 ERR-08' },
    'A receive on a new queue pair is accepted and forgotten.',
    inner => {
      const seen = states(inner);
      return {
        ...seen.verbs,
        postRecv(qp, request) {
          if (seen.of(qp) !== undefined) inner.postRecv(qp, request);
        },
      };
    },
  ),
  driver(
    'refused-post-half-made',
    { chapter: 'errors and statuses', breaks: 'ERR-09' },
    'A send that is refused for its flags has been posted without them.',
    inner => ({
      postSend(qp, request) {
        try {
          inner.postSend(qp, request);
        } catch (error) {
          const flags = request.sendFlags & 15;
          if (flags !== request.sendFlags) inner.postSend(qp, { ...request, sendFlags: flags });
          throw error;
        }
      },
    }),
  ),
  driver(
    'refused-post-of-elements-half-made',
    { chapter: 'errors and statuses', breaks: 'ERR-09' },
    'A receive that is refused for its elements has been posted with none.',
    inner => ({
      postRecv(qp, request) {
        try {
          inner.postRecv(qp, request);
        } catch (error) {
          if (request.sges.length > 0 && error instanceof VerbsError && error.errno === 'EINVAL') {
            try {
              inner.postRecv(qp, { ...request, sges: [] });
            } catch {
              // The state refuses it too.
            }
          }
          throw error;
        }
      },
    }),
  ),
  driver(
    'too-many-elements-cut',
    { chapter: 'limits', breaks: 'ERR-08' },
    'Of too many elements of a receive the first are posted.',
    inner => ({
      postRecv(qp, request) {
        try {
          inner.postRecv(qp, request);
        } catch (error) {
          if (request.sges.length < 2) throw error;
          inner.postRecv(qp, { ...request, sges: request.sges.slice(0, 1) });
        }
      },
    }),
  ),
  driver(
    'send-reordered',
    { chapter: 'ordering', breaks: 'DATA-04', needs: 'history' },
    'Every fourth send is held back until the next one.',
    inner => {
      const due = every(4);
      const held = new Map<QueuePair, () => void>();
      return {
        postSend(qp, request) {
          const before = held.get(qp);
          held.delete(qp);
          if (before === undefined && due()) {
            const { inlineData, sges } = request;
            const copy = { ...request, inlineData: inlineData?.slice(), sges: sges.map(sge => ({ ...sge })) };
            held.set(qp, () => inner.postSend(qp, copy));
            return;
          }
          inner.postSend(qp, request);
          before?.();
        },
      };
    },
  ),
  driver(
    'no-slot-without-a-completion',
    { chapter: 'leaks', breaks: 'DATA-32', needs: 'history' },
    'A send queue has room only for as many sends as were completed or fit in it at first.',
    inner => {
      const room = new WeakMap<QueuePair, number>();
      return {
        async createQp(pd, init) {
          const qp = await inner.createQp(pd, init);
          room.set(qp, init.cap.maxSendWr);
          return qp;
        },
        postSend(qp, request) {
          const left = room.get(qp) ?? 1;
          if (left === 0) throw new VerbsError('ENOMEM', 'postSend', 'full');
          inner.postSend(qp, request);
          if ((request.sendFlags & 2) === 0) room.set(qp, left - 1);
        },
      };
    },
  ),
];

/** The state of a queue pair that its program has set or seen last. */
function states(inner: Parameters<Parameters<typeof verbs>[0]>[0]) {
  const last = new WeakMap<QueuePair, QpState>();
  return {
    of: (qp: QueuePair): QpState | undefined => last.get(qp),
    verbs: {
      async modifyQp(...[qp, attributes]: Parameters<typeof inner.modifyQp>) {
        await inner.modifyQp(qp, attributes);
        if (attributes.qpState !== undefined) last.set(qp, attributes.qpState);
      },
      async queryQp(...[qp]: Parameters<typeof inner.queryQp>) {
        const shown = await inner.queryQp(qp);
        last.set(qp, shown.qpState);
        return shown;
      },
    },
  };
}

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

export const verbsMutants: readonly Mutant[] = [...polling, ...posting, ...errors];
