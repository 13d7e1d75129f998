/** What commands and completions say in the rings: objects and their capacity, answers, armings, reserved bytes. */
import { describe, expect, it } from 'vitest';
import {
  Command,
  createCqCommand,
  createQpCommand,
  destroyCqCommand,
  destroyQpCommand,
  queryPortAck,
  reqNotifyCommand,
  rqReq,
} from '../../../src/abi/index.js';
import type { ObservationKey } from '../../../src/conformance/ring-watch/observations.js';
import { breaks, fill, holds, judged, queues } from './bench.js';
import type { History } from './bench.js';
import { Control, bytesOf, complete } from './control.js';
import { SplitRing, r, w } from './split-ring.js';

const on = (key: ObservationKey, ...histories: readonly History<Control>[]): void =>
  judged(key, options => new Control(options), ...histories);
/** Data of a command, with one byte that is not zero. */
const dirty = (bytes: number, at: number): Uint8Array => new Uint8Array(bytes).fill(1, at, at + 1);
const arm = (control: Control, cqn: number): void =>
  control.run(Command.REQ_NOTIFY_CQ, bytesOf(reqNotifyCommand, { cqn }));
const destroyCq = (control: Control, cqn: number): void =>
  control.run(Command.DESTROY_CQ, bytesOf(destroyCqCommand, { cqn }));

on(
  'room',
  holds('an ack, an ack with its result, and 48 bytes', 5, control => {
    control.run(Command.CREATE_PD, undefined, new Uint8Array(4));
    control.run(Command.DESTROY_QP, new Uint8Array(4));
    control.issue(99, undefined, 1);
    const completions = control.queue(queues.cq(0));
    completions.post(0, w(48));
    completions.post(1, w(20), w(28));
  }),
  holds('of no interest in other queues', 0, control => {
    control.queue(queues.sq(0)).post(0, r(8));
    control.queue(queues.rq(0)).post(0, r(8));
    control.queue(0).post(0, r(8));
  }),
  breaks('none for the result', 'command 4 has 4 writable bytes, its answer 5', control =>
    control.issue(Command.CREATE_PD, undefined, 4),
  ),
  breaks('none for the ack', 'command 99 has 0 writable bytes, its answer 1', control =>
    control.issue(99, undefined, 0),
  ),
  breaks('a stump of a command', 'command -1 has 0 writable bytes, its answer 1', control =>
    control.post(0, r(1)),
  ),
  breaks('a completion buffer that is too short', 'completion buffer 1 has 47 writable bytes', control =>
    control.queue(queues.cq(7)).post(1, w(47)),
  ),
);

on(
  'driverReserved',
  holds('zeros, and other fields as one likes', 6, control => {
    control.issue(Command.REG_USER_MR, new Uint8Array(32).fill(9, 0, 28));
    control.issue(Command.QUERY_PORT, undefined, undefined, 2);
    const sends = control.queue(queues.sq(0));
    fill(sends.driver.memory, sends.buffer(0) + 12, 4);
    sends.post(0, r(16));
    const receives = control.queue(queues.rq(0));
    fill(receives.driver.memory, receives.buffer(0), 12);
    receives.post(0, r(24));
    receives.post(1, r(16));
    control.queue(queues.sq(1)).post(0, r(576));
  }),
  holds('of no interest in the queues of others', 0, control => {
    const other = control.queue(0);
    fill(other.driver.memory, other.buffer(0), 32);
    other.post(0, r(32));
  }),
  breaks('padding of a command', 'byte 29 of the data of command 7 is not zero', control =>
    control.issue(Command.REG_USER_MR, dirty(32, 29)),
  ),
  breaks('padding within a struct in a command', 'byte 36 of the data of command 9 is not zero', control =>
    control.issue(Command.CREATE_QP, dirty(56, 36)),
  ),
  breaks('padding of a request', 'byte 10 of the request in chain 1 is not zero', control => {
    const sends = control.queue(queues.sq(0));
    fill(sends.driver.memory, sends.buffer(1) + 10, 1);
    sends.post(1, r(16));
  }),
  breaks('padding of a receive', 'byte 12 of the request in chain 0 is not zero', control => {
    const receives = control.queue(queues.rq(2));
    fill(receives.driver.memory, receives.buffer(0) + rqReq.offsets.reserved, 1);
    receives.post(0, r(24));
  }),
);

on(
  'capacity',
  holds('as many as the object has room for, again and again', 5, control => {
    control.createCq(3, 1);
    const completions = control.queue(queues.cq(3));
    for (let i = 0; i < 2; i++) {
      completions.post(0, w(48));
      completions.take();
      complete(completions, 0);
      completions.takeBack();
    }
    control.createQp(2, 2, 1);
    const sends = control.queue(queues.sq(2));
    sends.post(0, r(16));
    sends.post(1, r(16));
    control.queue(queues.rq(2)).post(0, r(24));
  }),
  holds('of no interest when there is no object, or no longer', 0, control => {
    control.queue(queues.cq(1)).post(0, w(48));
    control.createCq(3, 1);
    destroyCq(control, 3);
    const completions = control.queue(queues.cq(3));
    completions.post(0, w(48));
    completions.post(1, w(48));
    control.createQp(2, 0, 0);
    control.run(Command.DESTROY_QP, bytesOf(destroyQpCommand, { qpn: 2 }));
    control.queue(queues.sq(2)).post(0, r(16));
    control.queue(queues.rq(2)).post(0, r(24));
  }),
  breaks('one completion buffer more', '2 chains are out, and its object has room for 1', control => {
    control.createCq(3, 1);
    const completions = control.queue(queues.cq(3));
    completions.post(0, w(48));
    completions.post(1, w(48));
  }),
  breaks('one request more', '3 chains are out, and its object has room for 2', control => {
    control.createQp(2, 2, 1);
    const sends = control.queue(queues.sq(2));
    for (const head of [0, 1, 2]) sends.post(head, r(16));
  }),
  breaks('one receive more', '2 chains are out, and its object has room for 1', control => {
    control.createQp(2, 2, 1);
    const receives = control.queue(queues.rq(2));
    for (const head of [0, 1]) receives.post(head, r(24));
  }),
);

on(
  'answerLength',
  holds('ack and result, the ack alone when it is refused, and 48 or none', 5, control => {
    control.createCq(0, 4);
    control.issue(Command.CREATE_PD);
    control.take();
    control.answer(1);
    destroyCq(control, 1);
    const completions = control.queue(queues.cq(0));
    completions.post(0, w(48));
    completions.post(1, w(48));
    completions.take(2);
    complete(completions, 0);
    completions.give(1, 0);
  }),
  holds('of no interest when nothing was answered', 0, control => {
    control.issue(Command.CREATE_PD);
    control.take();
    control.give(0, 0);
    const sends = control.queue(0);
    sends.post(0, r(16));
    sends.take();
    sends.give(0);
  }),
  breaks(
    'a result that found no room',
    [
      'room: command 1 has 5 writable bytes, its answer 33',
      'the answer of command 1 came back with length 5, not 33',
    ],
    control => {
      control.issue(Command.QUERY_PORT, undefined, 5);
      control.take();
      control.answer(0, new Uint8Array(4));
    },
  ),
  breaks('the result left out', 'the answer of command 4 came back with length 1, not 5', control => {
    control.issue(Command.CREATE_PD);
    control.take();
    control.answer(0, new Uint8Array(4), 1);
  }),
  breaks('a result of a refusal', 'the answer of command 4 came back with length 5, not 1', control => {
    control.issue(Command.CREATE_PD);
    control.take();
    control.answer(1, new Uint8Array(4));
  }),
  breaks('a completion of another length', 'a completion buffer came back with length 47', control => {
    control.createCq(0, 4);
    const completions = control.queue(queues.cq(0));
    completions.post(0, w(48));
    completions.take();
    complete(completions, 0, 47);
  }),
);

on(
  'deviceReserved',
  holds('zeros, and other fields as one likes', 3, control => {
    control.createCq(0, 4);
    control.run(Command.QUERY_PORT, undefined, new Uint8Array(queryPortAck.size).fill(7, 0, 8));
    control.run(Command.DESTROY_QP, new Uint8Array(4));
    control.issue(Command.QUERY_PORT);
    control.take();
    control.answer(1);
    const completions = control.queue(queues.cq(0));
    completions.post(0, w(48));
    completions.take();
    fill(completions.device.memory, completions.buffer(0), 48, 0);
    fill(completions.device.memory, completions.buffer(0) + 12, 24);
    completions.give(0, 48);
  }),
  breaks('a byte of an answer', 'byte 9 of the answer of command 1 is not zero', control =>
    control.run(Command.QUERY_PORT, undefined, dirty(queryPortAck.size, 9)),
  ),
  breaks('a byte of a completion', 'byte 11 of a completion is not zero', control => {
    control.createCq(0, 4);
    const completions = control.queue(queues.cq(0));
    completions.post(0, w(20), w(28));
    completions.take();
    fill(completions.device.memory, completions.buffer(0), 20, 0);
    fill(completions.device.memory, completions.buffer(1), 28, 0);
    fill(completions.device.memory, completions.buffer(0) + 11, 1);
    completions.give(0, 48);
  }),
);

on(
  'noObject',
  holds('of an object that exists, or is just being created', 4, control => {
    control.createCq(3, 4);
    const completions = control.queue(queues.cq(3));
    completions.post(0, w(48));
    completions.take();
    control.createQp(2, 4, 4);
    const receives = control.queue(queues.rq(2));
    receives.post(0, r(24));
    receives.take();
    control.issue(Command.CREATE_CQ, bytesOf(createCqCommand, { cqe: 4 }));
    const early = control.queue(queues.cq(4));
    early.post(0, w(48));
    early.take();
    control.take();
    control.answer(1);
    control.issue(Command.CREATE_QP, new Uint8Array(56));
    const sends = control.queue(queues.sq(3));
    sends.post(0, r(16));
    sends.take();
  }),
  holds('of no interest in other queues', 0, control => {
    control.run(Command.CREATE_PD, undefined, new Uint8Array(4));
    const other = control.queue(0);
    other.post(0, r(8));
    other.take();
  }),
  ...(
    [
      ['a completion queue', () => undefined, queues.cq(3), w(48)],
      ['a queue pair', () => undefined, queues.sq(3), r(16)],
      ['the queue pair beside it', (control: Control) => control.createQp(2, 4, 4), queues.rq(3), r(24)],
      [
        'a queue pair, while another command is under way,',
        (control: Control) => control.issue(Command.CREATE_PD),
        queues.sq(3),
        r(16),
      ],
      [
        'a queue pair, behind another command,',
        (control: Control) => control.run(Command.CREATE_PD, undefined, new Uint8Array(4)),
        queues.sq(3),
        r(16),
      ],
      [
        'what was refused',
        (control: Control) => {
          control.issue(Command.CREATE_CQ, bytesOf(createCqCommand, { cqe: 4 }));
          control.take();
          control.answer(1);
        },
        queues.cq(3),
        w(48),
      ],
    ] as const
  ).map(([what, before, index, part]) =>
    breaks<Control>(
      `of ${what} that does not exist`,
      'chain 0 was taken, and no object owns the queue',
      control => {
        before(control);
        const queue = control.queue(index);
        queue.post(0, part);
        queue.take();
      },
    ),
  ),
);

on(
  'bufferUnread',
  holds('each completion buffer that comes back is looked at', 2, control => {
    control.createCq(0, 4);
    const completions = control.queue(queues.cq(0));
    for (const head of [0, 1]) completions.post(head, w(48));
    completions.take(2);
    complete(completions, 0);
    completions.give(1, 0);
  }),
  breaks('read', 'the device read 4 bytes at ADDRESS, writable bytes of chain 0', control => {
    control.createCq(0, 4);
    const completions = control.queue(queues.cq(0));
    completions.post(0, w(48));
    completions.take();
    completions.read(0, 4);
    complete(completions, 0);
  }),
);

on(
  'armed',
  holds('one interrupt for each arming, whenever', 3, control => {
    control.createCq(3, 4);
    control.queue(queues.cq(3));
    arm(control, 3);
    control.bench.machine.interrupting(queues.cq(3));
    arm(control, 3);
    arm(control, 3);
    control.bench.machine.interrupting(queues.cq(3));
    control.bench.machine.interrupting(queues.cq(3));
  }),
  holds('from the moment that the device has taken it', 1, control => {
    control.queue(queues.cq(3));
    control.issue(Command.REQ_NOTIFY_CQ, bytesOf(reqNotifyCommand, { cqn: 3 }));
    control.take();
    control.bench.machine.interrupting(queues.cq(3));
  }),
  ...(
    [
      ['not armed', () => undefined],
      [
        'armed once, and told already',
        control => {
          arm(control, 3);
          control.queue(queues.cq(3));
          control.bench.machine.interrupting(queues.cq(3));
        },
      ],
      ['another one armed', control => arm(control, 2)],
      [
        'another command with that number',
        control => control.run(Command.CREATE_QP, bytesOf(createQpCommand, { pdn: 3 }), new Uint8Array(4)),
      ],
      ['a stump of an arming', control => control.run(Command.REQ_NOTIFY_CQ, new Uint8Array(7))],
      [
        'destroyed',
        control => {
          arm(control, 3);
          destroyCq(control, 3);
        },
      ],
      [
        'created anew',
        control => {
          arm(control, 3);
          control.createCq(3, 4);
        },
      ],
      [
        'reset',
        control => {
          arm(control, 3);
          control.bench.machine.statusWriting(0);
          control.bench.machine.statusWritten(0);
        },
      ],
    ] as const satisfies readonly (readonly [string, (control: Control) => void])[]
  ).map(([what, before]) =>
    breaks<Control>(what, 'an interrupt, and every arming of completion queue 3 has had its own', control => {
      before(control);
      if (!control.bench.machine.rings.has(queues.cq(3))) control.queue(queues.cq(3));
      control.bench.machine.interrupting(queues.cq(3));
    }),
  ),
);

describe('[CTRL-01] [CTRL-03] what is told of commands', () => {
  it('is each command when it is issued and taken, and its ack when it is given and seen', () => {
    const control = new Control();
    const told = (act: () => void): readonly string[] =>
      control.bench.toldBy(act).filter(each => / (command|answer) /.test(each));
    control.run(Command.DESTROY_QP, new Uint8Array(4));
    expect(told(() => control.issue(Command.CREATE_PD))).toEqual(['driver command 1 4']);
    expect(told(() => control.take())).toEqual(['device command 1 4']);
    expect(told(() => control.answer(0, new Uint8Array(4)))).toEqual(['device answer 1 4 0']);
    expect(told(() => control.takeBack())).toEqual(['driver answer 1 4 0']);
    control.issue(77);
    control.take();
    expect(told(() => control.answer(1))).toEqual(['device answer 2 77 1']);
    expect(told(() => control.takeBack())).toEqual(['driver answer 2 77 1']);
  });

  it('takes no effect of a stump, nor of an answer that found no room, nor of a command that nobody knows', () => {
    const control = new Control();
    control.run(Command.CREATE_CQ, new Uint8Array(3), new Uint8Array(4));
    control.issue(Command.CREATE_CQ, bytesOf(createCqCommand, { cqe: 1 }), 1);
    control.take();
    control.answer(0);
    control.takeBack();
    control.run(99);
    control.issue(99, undefined, 0);
    control.take();
    control.give(0, 1);
    expect(control.bench.breaches).toEqual([
      'room: command 2 has 1 writable bytes, its answer 5',
      'answerLength: the answer of command 2 came back with length 1, not 5',
      'room: command 99 has 0 writable bytes, its answer 1',
      'usedLength: chain 0 came back with length 1, and 0 of its 0 writable bytes were written',
    ]);
    expect(control.bench.told.at(-1)).toBe('used 0 1');
    const completions = control.queue(queues.cq(0));
    completions.post(0, w(48));
    expect(control.bench.looks('capacity')).toBe(0);
  });

  it('is no answer when none came, and the one that the driver sees when somebody has changed it', () => {
    const control = new Control();
    control.issue(Command.CREATE_PD);
    control.take();
    control.give(0, 0);
    expect(control.bench.toldBy(() => control.takeBack())).toEqual(['consumed 0 0', 'interrupt 1 false']);
    control.issue(Command.CREATE_PD);
    control.take();
    control.answer(0, new Uint8Array(4));
    fill(control.unseen.memory, control.buffer(1), 1, 1);
    expect(control.bench.toldBy(() => control.takeBack())).toContain('driver answer 1 4 1');
  });

  it('is nothing of what was there before a reset, nor of the chains of other queues', () => {
    const control = new Control();
    control.issue(Command.CREATE_CQ, bytesOf(createCqCommand, { cqe: 4 }));
    control.bench.machine.statusWriting(0);
    control.bench.machine.statusWritten(0);
    const completions = new SplitRing({ index: queues.cq(0) }, control.bench);
    completions.post(0, w(48));
    completions.take();
    expect(control.bench.breaches).toEqual(['noObject: chain 0 was taken, and no object owns the queue']);
    complete(completions, 0);
    completions.takeBack();
    expect(control.bench.told.filter(each => / (command|answer) /.test(each))).toEqual([
      'driver command 0 2',
    ]);
  });
});
