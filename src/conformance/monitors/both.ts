/** Two observers of the same thing in place of one: the recorder comes first, so that a trace holds what breaks a law. */
import type { WireObserver } from '../../fabric/index.js';
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

/** What judges one side of a control queue, with somebody who records it if there is one. */
export function recordedControl(
  recording: ControlObserver | undefined,
  judging: ControlObserver,
): ControlObserver {
  if (recording === undefined) return judging;
  return {
    command: (id, command) => {
      recording.command(id, command);
      judging.command(id, command);
    },
    answer: (id, command, ack) => {
      recording.answer(id, command, ack);
      judging.answer(id, command, ack);
    },
  };
}

/** What judges the wire, with somebody who records it if there is one. */
export function recordedWire(recording: WireObserver | undefined, judging: WireObserver): WireObserver {
  if (recording === undefined) return judging;
  return {
    sent: packet => {
      recording.sent(packet);
      judging.sent(packet);
    },
    delivered: packet => {
      recording.delivered(packet);
      judging.delivered(packet);
    },
    dropped: (packet, why) => {
      recording.dropped(packet, why);
      judging.dropped(packet, why);
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
