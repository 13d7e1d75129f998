/** Two observers of the same thing in place of one. */
import type { ControlObserver, RingObserver } from '../../virtio/index.js';
import type { RingSink } from '../ring-watch/ring-state.js';

/** What judges rings, with somebody who records them if there is one. */
export function recordedRings(recording: RingSink | undefined, judging: RingSink): RingSink {
  if (recording === undefined) return judging;
  return {
    ...bothRings(recording, judging),
    notified: queue => {
      recording.notified(queue);
      judging.notified(queue);
    },
    woke: (queue, side) => {
      recording.woke(queue, side);
      judging.woke(queue, side);
    },
  };
}

export function bothControls(first: ControlObserver, second: ControlObserver): ControlObserver {
  return {
    command: (id, command) => {
      first.command(id, command);
      second.command(id, command);
    },
    answer: (id, command, ack) => {
      first.answer(id, command, ack);
      second.answer(id, command, ack);
    },
  };
}

function bothRings(first: RingObserver, second: RingObserver): RingObserver {
  return {
    available: (queue, head, readable, writable) => {
      first.available(queue, head, readable, writable);
      second.available(queue, head, readable, writable);
    },
    published: (queue, availIdx, notify) => {
      first.published(queue, availIdx, notify);
      second.published(queue, availIdx, notify);
    },
    taken: (queue, head) => {
      first.taken(queue, head);
      second.taken(queue, head);
    },
    used: (queue, head, written) => {
      first.used(queue, head, written);
      second.used(queue, head, written);
    },
    interrupt: (queue, usedIdx, sent) => {
      first.interrupt(queue, usedIdx, sent);
      second.interrupt(queue, usedIdx, sent);
    },
    consumed: (queue, head, written) => {
      first.consumed(queue, head, written);
      second.consumed(queue, head, written);
    },
    asleep: (queue, side) => {
      first.asleep(queue, side);
      second.asleep(queue, side);
    },
  };
}
