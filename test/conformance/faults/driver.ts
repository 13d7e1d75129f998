/** Faults of a driver, laid over its verbs. */
import { QpAttrMask, QpState, WcFlag, WcStatus } from '../../../src/abi/index.js';
import { qpAttrMaskOf } from '../../../src/conformance/attributes.js';
import { VerbsError, emptyCompletion } from '../../../src/verbs/index.js';
import type { CompletionQueue, WorkCompletion } from '../../../src/verbs/index.js';
import { every, from, verbsFault } from './fault.js';
import type { Fault } from './fault.js';

/** Changes the completions that a poll brings; what it returns is the number that is left. */
function polls(
  change: (completions: WorkCompletion[], count: number, max: number, cq: CompletionQueue) => number,
): ReturnType<typeof verbsFault> {
  return verbsFault(verbs => ({
    pollCq: (cq, completions, max) => change(completions, verbs.pollCq(cq, completions, max), max, cq),
  }));
}

export const driverFaults: readonly Fault[] = [
  {
    name: 'completion dropped',
    where: 'driver',
    description: 'Of every poll that brings something the last completion is lost.',
    implementation: polls((_list, count) => Math.max(0, count - 1)),
  },
  {
    name: 'completion seen twice',
    where: 'driver',
    description: 'A poll that has room gives its last completion once more.',
    implementation: polls((list, count, max) => {
      if (count === 0 || count >= max) return count;
      list[count] = { ...list[count - 1] };
      return count + 1;
    }),
    expectedLaws: ['every work request completes exactly once'],
  },
  {
    name: 'two completions swapped',
    where: 'driver',
    description: 'The first two completions of a poll change places.',
    implementation: polls((list, count) => {
      if (count >= 2) [list[0], list[1]] = [list[1], list[0]];
      return count;
    }),
    expectedLaws: ['completions of a queue come in posting order', 'the rest of a failed queue is flushed'],
  },
  {
    name: 'wr_id off by one',
    where: 'driver',
    description: 'The eighth completion and every eighth after it has the number of the next request.',
    implementation: (() => {
      return verbsFault(verbs => {
        const due = every(8);
        return {
          pollCq(cq, completions, max) {
            const count = verbs.pollCq(cq, completions, max);
            for (let i = 0; i < count; i++) if (due()) completions[i].wrId++;
            return count;
          },
        };
      });
    })(),
    needs: 'history',
    shrunkMax: 16,
  },
  {
    name: 'byte_len of the buffer',
    where: 'driver',
    description: 'A receive says one byte more than came.',
    implementation: polls((list, count) => {
      for (let i = 0; i < count; i++) if (list[i].status === WcStatus.SUCCESS) list[i].byteLen++;
      return count;
    }),
    expectedLaws: ['what arrives is what was sent', 'para-virtualisation is invisible'],
  },
  {
    name: 'immediate data in the wrong byte order',
    where: 'driver',
    description: 'The four bytes of the immediate data are reversed.',
    implementation: polls((list, count) => {
      for (let i = 0; i < count; i++) {
        const { wcFlags, immData } = list[i];
        if ((wcFlags & WcFlag.WITH_IMM) === 0) continue;
        const b = [24, 16, 8, 0].map(shift => (immData >>> shift) & 0xff);
        list[i].immData = ((b[3] << 24) | (b[2] << 16) | (b[1] << 8) | b[0]) >>> 0;
      }
      return count;
    }),
    expectedLaws: ['what arrives is what was sent', 'para-virtualisation is invisible'],
  },
  {
    name: 'flush shown as success',
    where: 'driver',
    description: 'WR_FLUSH_ERR is reported as SUCCESS.',
    implementation: polls((list, count) => {
      for (let i = 0; i < count; i++)
        if (list[i].status === WcStatus.WR_FLUSH_ERR) list[i].status = WcStatus.SUCCESS;
      return count;
    }),
  },
  {
    name: 'more than asked for',
    where: 'driver',
    description: 'A full poll returns one more than it was asked for.',
    implementation: polls((_list, count, max) => (count === max ? count + 1 : count)),
    expectedLaws: ['a poll returns no more than it was asked for'],
  },
  {
    name: 'stale entry',
    where: 'driver',
    description: 'The first poll that finds nothing after one that did gives the old entry again.',
    implementation: verbsFault(verbs => {
      const last = new Map<CompletionQueue, WorkCompletion>();
      return {
        pollCq(cq, completions, max) {
          const count = verbs.pollCq(cq, completions, max);
          const old = last.get(cq);
          last.delete(cq);
          if (count > 0) last.set(cq, { ...completions[count - 1] });
          if (count > 0 || old === undefined) return count;
          Object.assign(completions[0] ?? emptyCompletion(), old);
          return 1;
        },
      };
    }),
    expectedLaws: ['every work request completes exactly once'],
  },
  {
    name: 'handler not called',
    where: 'driver',
    description: 'Completion events do not reach the program.',
    implementation: verbsFault(verbs => ({ createCq: cqe => verbs.createCq(cqe, () => undefined) })),
    expectedLaws: ['no wake-up is lost', 'para-virtualisation is invisible'],
  },
  {
    name: 'handler called twice',
    where: 'driver',
    description: 'Each completion event reaches the program twice.',
    implementation: verbsFault(verbs => ({
      createCq: (cqe, onEvent) =>
        verbs.createCq(cqe, cq => {
          onEvent?.(cq);
          onEvent?.(cq);
        }),
    })),
    expectedLaws: ['an event needs an arming'],
  },
  {
    name: 'handler called without an arming',
    where: 'driver',
    description: 'After a solicited arming every completion event comes for any completion.',
    implementation: verbsFault(verbs => ({ reqNotifyCq: cq => verbs.reqNotifyCq(cq, false) })),
    expectedLaws: ['para-virtualisation is invisible'],
  },
  {
    name: 'send forgotten',
    where: 'driver',
    description: 'From the third send on every third is accepted and goes nowhere.',
    implementation: verbsFault(verbs => {
      const due = every(3);
      return {
        postSend(qp, request) {
          if (!due()) verbs.postSend(qp, request);
        },
      };
    }),
  },
  {
    name: 'receive forgotten',
    where: 'driver',
    description: 'Every second receive is accepted and goes nowhere.',
    implementation: verbsFault(verbs => {
      const due = every(2);
      return {
        postRecv(qp, request) {
          if (!due()) verbs.postRecv(qp, request);
        },
      };
    }),
  },
  {
    name: 'in use and destroyed',
    where: 'driver',
    description: 'Destroying a protection domain in use is reported as done.',
    implementation: verbsFault(verbs => ({
      destroyPd: pd =>
        verbs.destroyPd(pd).catch((error: unknown) => {
          if (!(error instanceof VerbsError && error.errno === 'EBUSY')) throw error;
        }),
    })),
    expectedLaws: ['what is in use is not destroyed', 'machine PD'],
  },
  {
    name: 'wrong errno of a post',
    where: 'driver',
    description: 'A full queue is EINVAL instead of ENOMEM.',
    implementation: verbsFault(verbs => ({
      postSend(qp, request) {
        try {
          verbs.postSend(qp, request);
        } catch (error) {
          if (error instanceof VerbsError && error.errno === 'ENOMEM')
            throw new VerbsError('EINVAL', 'postSend', 'full');
          throw error;
        }
      },
    })),
    expectedLaws: ['para-virtualisation is invisible'],
    suites: ['settled'],
  },
  {
    name: 'timeout left out',
    where: 'driver',
    description: 'A move to RTS does not pass the time-out on.',
    implementation: verbsFault(verbs => ({
      modifyQp: (qp, attributes) =>
        verbs.modifyQp(qp, attributes.timeout === undefined ? attributes : { ...attributes, timeout: 14 }),
    })),
    suites: ['settled'],
  },
  {
    name: 'query answers from memory',
    where: 'driver',
    description: 'QUERY_QP shows the state of the last MODIFY_QP, whatever became of the queue pair since.',
    implementation: verbsFault(verbs => {
      const states = new Map<object, QpState>();
      return {
        async modifyQp(qp, attributes) {
          await verbs.modifyQp(qp, attributes);
          if ((qpAttrMaskOf(attributes) & QpAttrMask.STATE) === 0) return;
          states.set(qp, attributes.qpState ?? QpState.RESET);
        },
        async queryQp(qp) {
          return { ...(await verbs.queryQp(qp)), qpState: states.get(qp) ?? QpState.RESET };
        },
      };
    }),
    expectedLaws: ['para-virtualisation is invisible'],
    suites: ['settled'],
  },
  {
    name: 'inline data not copied',
    where: 'driver',
    description: 'The first byte of inline data is lost from the fourth send on.',
    implementation: verbsFault(verbs => {
      const due = from(4);
      return {
        postSend(qp, request) {
          const { inlineData } = request;
          if (inlineData === undefined || !due()) return verbs.postSend(qp, request);
          const bytes = inlineData.slice();
          if (bytes.length > 0) bytes[0] ^= 0xff;
          verbs.postSend(qp, { ...request, inlineData: bytes });
        },
      };
    }),
    expectedLaws: ['what arrives is what was sent', 'para-virtualisation is invisible'],
    needs: 'history',
    shrunkMax: 20,
    programs: 300,
  },
  {
    name: 'pages not pinned',
    where: 'driver',
    description: 'A deregistration resolves before the device has answered.',
    implementation: verbsFault(verbs => ({
      async deregMr(mr) {
        verbs.deregMr(mr).catch(() => undefined);
      },
    })),
    needs: 'race',
  },
];
