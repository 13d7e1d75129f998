/** Drivers that are wrong about what a poll brings and whom an event wakes. */
import { WcFlag, WcStatus } from '../../../abi/index.js';
import { emptyCompletion } from '../../../verbs/index.js';
import type { CompletionQueue, WorkCompletion } from '../../../verbs/index.js';
import { mutant } from '../mutant.js';
import type { Mutant } from '../mutant.js';
import { polls } from '../seams/driver.js';
import { every } from '../seams/overlay.js';
import { driver } from './verb-support.js';
import type { Facts } from './verb-support.js';

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

export const pollingMutants: readonly Mutant[] = [...polling];
