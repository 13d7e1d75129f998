/** Drivers that are wrong about posts. */
import { QpState } from '../../../abi/index.js';
import { VerbsError } from '../../../verbs/index.js';
import type { QueuePair } from '../../../verbs/index.js';
import type { Mutant } from '../mutant.js';
import type { verbs } from '../seams/driver.js';
import { every, from } from '../seams/overlay.js';
import { driver } from './verb-support.js';

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

export const postingMutants: readonly Mutant[] = [...posting];
