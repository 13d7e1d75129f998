import { describe, expect, it } from 'vitest';
import { judged, said } from './support.js';

const INIT = 0x5;
const RTR = 0xaa31;
const RTS = 0x15c1;
const verbs = (what: string, members: object) => ({ point: 'verbs', what, ...members });
let calls = 0;

/** A call and its result. */
function done(verb: string, members: object, made?: string | number, ok = true): object[] {
  const call = calls++;
  const id = made === undefined ? {} : { id: made };
  return [verbs('call', { call, verb, ...members }), verbs('result', { call, ok, ...id })];
}
const post = (wr: number | string, more: object = {}) => verbs('post', { qp: 7, queue: 'send', wr, ...more });
const completion = (wr: number | string, status: string | number = 'SUCCESS', more: object = {}) =>
  verbs('completion', { cq: 3, qp: 7, queue: 'send', wr, status, ...more });
const modify = (to: string, mask: number) => done('modifyQp', { id: 7, to, mask });
const created = [
  ...done('createPd', {}, 1),
  ...done('createCq', {}, 3),
  ...done('createQp', { pd: 1, sendCq: 3, recvCq: 3, type: 'RC' }, 7),
];
const raised = [...modify('INIT', INIT), ...modify('RTR', RTR), ...modify('RTS', RTS)];
const ready = [...created, ...raised];
const ofVerbs = (...events: object[]) => said({ points: ['verbs'] }, events);
const afterReady = (...events: object[]) =>
  ofVerbs(...ready, ...events).map(text => text.replace(/^\d+: /, ''));

describe('verbs', () => {
  it('a sound life of a queue pair is passed', () => {
    const life = [
      post(1),
      post(2),
      completion(1),
      completion(2),
      ...done('destroyQp', { id: 7 }),
      ...done('destroyCq', { id: 3 }),
    ];
    expect(judged({ vrdmaTrace: 2, points: ['verbs'] }, [...ready, ...life])).toMatchObject({
      verdict: 'pass',
      lines: 1 + ready.length + life.length,
      events: { verbs: ready.length + life.length },
    });
  });

  it('[QP-25] names the line, the machine, its instance, the state, and what the mask lacks', () => {
    const [finding] = judged({ vrdmaTrace: 2, points: ['verbs'] }, [
      ...created,
      ...modify('INIT', 1),
    ]).findings;
    expect(finding).toMatchObject({
      line: 9,
      law: 'machine QP.RC',
      violation: {
        machine: 'QP.RC',
        instance: 'queue pair 7 of machine 0',
        states: ['RESET'],
        met: 'MODIFY_TO_INIT (mask STATE, lacks ACCESS_FLAGS)',
      },
    });
    expect(finding.requirements).toContain('QP-25');
    expect(JSON.parse(finding.text)).toMatchObject({ what: 'result', ok: true });
  });

  it('[QP-23] a query that shows a state in which the queue pair cannot be', () => {
    const query = [
      verbs('call', { call: 900, verb: 'queryQp', id: 7 }),
      verbs('result', { call: 900, ok: true, state: 'INIT' }),
    ];
    expect(afterReady(...query)[0]).toContain('in state RTS');
    const wrong = afterReady(query[0], { ...query[1], state: 'SQE' });
    expect(wrong[0]).toContain('shows SQE, which QP.RC does not have');
  });

  it('a query is not judged while a modify is under way, and its event is counted', () => {
    const overlapping = [
      verbs('call', { call: 900, verb: 'queryQp', id: 7 }),
      verbs('call', { call: 901, verb: 'modifyQp', id: 7, to: 'ERR', mask: 1 }),
      verbs('result', { call: 901, ok: true }),
      verbs('result', { call: 900, ok: true, state: 'RTS' }),
    ];
    expect(judged({ vrdmaTrace: 2, points: ['verbs'] }, [...ready, ...overlapping])).toMatchObject({
      verdict: 'pass',
      unjudged: { overlapping: 1 },
    });
  });

  it('[RST-01] a protection domain that is in use is not destroyed; [RST-02] nor is a completion queue', () => {
    expect(ofVerbs(...created, ...done('destroyPd', { id: 1 }))[0]).toContain(
      'PD, protection domain 1 of machine 0, in state LIVE, met DESTROY',
    );
    expect(ofVerbs(...created, ...done('destroyCq', { id: 3 }))[0]).toContain('CQ_USE');
  });

  it('users whose own end is under way stand in no way', () => {
    const ends = [
      verbs('call', { call: 900, verb: 'destroyQp', id: 7 }),
      verbs('call', { call: 901, verb: 'destroyCq', id: 3 }),
      verbs('result', { call: 901, ok: true }),
    ];
    expect(ofVerbs(...created, ...ends, verbs('result', { call: 900, ok: true }))).toEqual([]);
    expect(ofVerbs(...created, ...ends, verbs('result', { call: 900, ok: false }))[0]).toContain(
      'completion queue 3 is gone, and queue pair 7 uses it',
    );
  });

  it('[RST-03] what is gone, or never was, is not destroyed', () => {
    expect(
      ofVerbs(...created, ...done('destroyQp', { id: 7 }), ...done('destroyQp', { id: 7 }))[0],
    ).toContain('queue pair 7 of machine 0 does not exist');
    expect(ofVerbs(...created, ...done('destroyQp', { id: 8 }, undefined, false))).toEqual([]);
    const twice = [900, 901].flatMap(call => verbs('call', { call, verb: 'destroyQp', id: 7 }));
    expect(
      ofVerbs(...created, ...twice, ...[900, 901].map(call => verbs('result', { call, ok: true })))[0],
    ).toContain('was destroyed twice');
  });

  it('an object is not made under the name of one that exists', () => {
    expect(ofVerbs(...created, ...done('createPd', {}, 1))[0]).toContain(
      'protection domain 1 of machine 0 was made and exists already',
    );
  });

  it('[ERR-07] a call has one result', () => {
    const [call, result] = done('createPd', {}, 1);
    expect(ofVerbs(call, result, result)[0]).toContain('which is not under way');
  });
});

describe('completions', () => {
  it('[CQ-01] come once', () => {
    expect(afterReady(post(1), completion(1), completion(1))).toEqual([
      'send 1 of queue pair 7 completed and is not outstanding: nothing is',
    ]);
    expect(afterReady(post(1), completion(2))).toEqual([
      'send 2 of queue pair 7 completed and is not outstanding: the oldest that is is 1',
    ]);
  });

  it('[ORD-01] come in posting order, silent ones passed over', () => {
    const silent = post(1, { signaled: false });
    expect(afterReady(silent, post(2), completion(2))).toEqual([]);
    expect(afterReady(post(1), post(2), completion(2))[0]).toContain('completed before 1');
    expect(afterReady(silent, completion(1))[0]).toContain(
      'succeeded with a completion and was not signaled',
    );
    expect(afterReady(silent, completion(1, 'RETRY_EXC_ERR'))).toEqual([]);
  });

  it('a number that all requests have says which one it is by its turn', () => {
    const silent = post(0, { signaled: false });
    expect(afterReady(silent, silent, post(0), silent, post(0), completion(0), completion(0))).toEqual([]);
    expect(afterReady(silent, post(0), completion(0), completion(0))).toHaveLength(1);
  });

  it('[QP-48] behind a failure are flushed, until the queue pair is reset', () => {
    const failed = [post(1), post(2), completion(1, 'RETRY_EXC_ERR')];
    expect(afterReady(...failed, completion(2, 'WR_FLUSH_ERR'))).toEqual([]);
    expect(afterReady(...failed, completion(2, 4))).toEqual([]);
    expect(afterReady(...failed, completion(2))[0]).toContain('expected WR_FLUSH_ERR');
    const again = [...modify('RESET', 1), ...raised, post(3), completion(3)];
    expect(afterReady(...failed, completion(2, 'WR_FLUSH_ERR'), ...again)).toEqual([]);
  });

  it('of requests that a reset threw away may still come, once, also under a number that is used again', () => {
    const reset = [post(1), post(2), ...modify('RESET', 1), ...raised];
    expect(afterReady(...reset, completion(1), completion(2))).toEqual([]);
    expect(afterReady(...reset, completion(1), completion(1))).toHaveLength(1);
    expect(
      afterReady(...reset, post(1), completion(1, 'WR_FLUSH_ERR'), completion(2), completion(1)),
    ).toEqual([]);
  });

  it('of a queue pair that is gone may still come, also when another has its name', () => {
    const gone = [post(1), ...done('destroyQp', { id: 7 })];
    expect(afterReady(...gone, completion(1))).toEqual([]);
    const another = done('createQp', { pd: 1, sendCq: 3, recvCq: 3, type: 'RC' }, 7);
    expect(afterReady(...gone, ...another, ...raised, post(5), completion(1), completion(5))).toEqual([]);
  });

  it('[CQ-19] come from the completion queue of their queue', () => {
    expect(afterReady(post(1), completion(1, 'SUCCESS', { cq: 4 }))[0]).toContain(
      'came from completion queue 4 instead of 3',
    );
  });

  it('[CQ-09] an event needs an arming, which its call begins', () => {
    const event = verbs('event', { cq: 3 });
    const arm = done('reqNotifyCq', { id: 3 });
    expect(ofVerbs(...created, ...arm, event)).toEqual([]);
    expect(ofVerbs(...created, arm[0], event, arm[1])).toEqual([]);
    expect(ofVerbs(...created, ...arm, event, event)).toHaveLength(1);
    expect(ofVerbs(...created, ...done('reqNotifyCq', { id: 3 }, undefined, false), event)).toHaveLength(1);
  });
});

const control = (side: string, what: string, id: number, command = 'CREATE_PD', more: object = {}) => ({
  point: 'control',
  side,
  what,
  id,
  command,
  ...more,
});
const ok = { ack: 'OK' };
const err = { ack: 'ERR' };

describe('control', () => {
  const header = { points: ['control'] };
  const whole = [
    control('driver', 'command', 1),
    control('device', 'command', 70),
    control('device', 'answer', 70, 'CREATE_PD', ok),
    control('driver', 'answer', 1, 'CREATE_PD', ok),
  ];

  it('[ERR-07] the driver sees the answer that was given', () => {
    expect(said(header, whole)).toEqual([]);
    expect(said(header, whole.with(3, control('driver', 'answer', 1, 'CREATE_PD', err)))[0]).toContain(
      'COMMAND, command 1 (CREATE_PD) of the driver of machine 0, in state ANSWERED_OK, met SEE_ERR',
    );
  });

  it('[CTRL-01] a command is answered once, and by its side when it was taken', () => {
    expect(said(header, [...whole, whole[2]])[0]).toContain('to command 70, which is not under way');
    expect(said(header, [whole[0], whole[1], whole[3]])[0]).toContain('in state TAKEN, met SEE_OK');
    expect(said(header, [whole[1]])[0]).toContain('and no command was waiting');
  });

  it('[ORD-16] commands are taken in the order in which they were issued', () => {
    const events = [
      control('driver', 'command', 1),
      control('driver', 'command', 2, 'DESTROY_PD'),
      control('device', 'command', 1, 'DESTROY_PD'),
    ];
    expect(said(header, events)[0]).toContain(
      'took DESTROY_PD; the oldest command that waited was CREATE_PD',
    );
  });

  it('one side alone is judged by itself', () => {
    const driver = whole.filter(event => event.side === 'driver');
    expect(said({ ...header, sides: ['driver'] }, driver)).toEqual([]);
    expect(said({ ...header, sides: ['driver'] }, [...driver, driver[1]])).toHaveLength(1);
    expect(said({ ...header, sides: ['driver'] }, whole)[0]).toBe(
      'line 3: side device; the header has driver',
    );
  });

  it('from the middle, answers to older commands are left alone and counted', () => {
    const verdict = judged({ vrdmaTrace: 2, ...header, from: 'middle' }, [whole[3], ...whole]);
    expect(verdict).toMatchObject({ verdict: 'pass', unjudged: { older: 1 } });
  });

  it('as many commands as one likes, of any machine', () => {
    const many = Array.from({ length: 70_000 }, (_, i) =>
      whole.map(event => ({ ...event, vm: (i * 37) % 256 })),
    ).flat();
    expect(said(header, many)).toEqual([]);
  });
});

const ring = (what: string, more: object = {}) => ({ point: 'ring', queue: 5, what, ...more });

describe('ring', () => {
  const header = { points: ['ring'] };
  const round = [
    ring('available', { head: 2 }),
    ring('published', { notify: true }),
    ring('notified'),
    ring('taken', { head: 2 }),
    ring('used', { head: 2 }),
    ring('interrupt', { notify: true }),
    ring('consumed', { head: 2 }),
  ];

  it('a chain goes round, as often as it likes', () => {
    expect(said(header, [...round, ...round])).toEqual([]);
  });

  it('[VQ-35] a chain is returned once, and only when it was taken', () => {
    expect(said(header, round.toSpliced(5, 0, round[4]))[0]).toContain(
      'CHAIN, chain 2 of queue 5 of machine 0, in state USED, met USE; it allows',
    );
    expect(said(header, round.toSpliced(3, 1))[0]).toContain('in state AVAILABLE, met USE');
  });

  it('[VQ-61] a device that sleeps is notified', () => {
    const asleep = [ring('asleep', { side: 'device' }), round[0], ring('published', { notify: false })];
    expect(said(header, asleep)[0]).toContain(
      'NOTIFY_DEVICE, queue 5 of machine 0, in state ASLEEP, met WRITE_SILENT',
    );
    expect(said(header, [asleep[0], ring('woke', { side: 'device' }), ...asleep.slice(1)])).toEqual([]);
  });

  it('[VQ-73] nobody sleeps with chains waiting', () => {
    const [finding] = said(header, [round[0], round[1], ring('asleep', { side: 'device' })]);
    expect(finding).toContain('met SLEEP (only when none is left)');
  });

  it('[RST-37] a reset frees all chains', () => {
    expect(said(header, [...round.slice(0, 4), ring('reset'), ...round])).toEqual([]);
    expect(said(header, [...round.slice(0, 4), ...round])).toHaveLength(1);
  });

  it.each(['driver', 'device'])('what the %s alone has recorded is judged by itself', side => {
    const mine = round.filter(({ what }) =>
      (side === 'driver'
        ? ['available', 'published', 'consumed']
        : ['notified', 'taken', 'used', 'interrupt']
      ).includes(what),
    );
    const alone = { ...header, sides: [side] };
    expect(said(alone, [...mine, ...mine, ring('reset'), ...mine])).toEqual([]);
    for (const each of mine.filter(event => 'head' in event))
      expect(
        said(alone, [...mine.slice(0, mine.indexOf(each)), each, each]),
        JSON.stringify(each),
      ).toHaveLength(1);
    expect(said(alone, round)[0]).toMatch(/^line \d+: \w+ is the/);
  });

  it('a header that asks for more chains than there is memory for is refused', () => {
    const huge = { ...header, queues: 65_536, queueSizeMax: 32_768 };
    expect(said(huge, [round[0]])[0]).toContain('a trace may have 16777216 chains');
  });
});

describe('machine', () => {
  const event = (name: string, more: object = {}) => ({
    point: 'machine',
    machine: 'MR',
    key: 'a',
    event: name,
    ...more,
  });

  it('takes events by name, and instances that begin and end', () => {
    const header = { points: ['machine'] };
    expect(
      said(header, [event('open'), event('DEREGISTER'), event('close'), event('open'), event('ACCESS')]),
    ).toEqual([]);
    expect(said(header, [event('DEREGISTER'), event('ACCESS')])[0]).toContain(
      'MR, instance a, in state DEREGISTERED, met ACCESS',
    );
    expect(said(header, [event('REGISTER')])[0]).toContain(
      'machine MR has no event "REGISTER"; expected open, close, ACCESS',
    );
    expect(said(header, [event('open', { machine: 'QP' })])[0]).toContain('expected one of');
  });

  it('has instances of its own beside those of the verbs', () => {
    const header = { points: ['machine', 'verbs'] };
    expect(
      said(header, [
        ...done('createPd', {}, 0),
        event('open', { machine: 'PD', key: 0 }),
        event('DESTROY', { machine: 'PD', key: 0 }),
        ...done('regMr', { pd: 0 }, 1),
      ]),
    ).toEqual([]);
  });
});

describe('a trace that begins in the middle', () => {
  it('passes what it cannot know, counts it, and judges what began since', () => {
    const header = { vrdmaTrace: 2, points: ['verbs'], from: 'middle' };
    const older = [completion(1), post(2), verbs('result', { call: 5, ok: true }), verbs('event', { cq: 9 })];
    expect(judged(header, [...older, ...ready])).toMatchObject({ verdict: 'pass', unjudged: { older: 4 } });
    expect(judged(header, [...older, ...ready, completion(1)]).verdict).toBe('fail');
  });

  it('of which nothing could be judged has no verdict', () => {
    expect(judged({ vrdmaTrace: 2, points: ['verbs'], from: 'middle' }, [completion(1)]).verdict).toBe(
      'inconclusive',
    );
    expect(judged({ vrdmaTrace: 2, points: ['verbs'] }, []).verdict).toBe('inconclusive');
  });

  it('cannot hold rings', () => {
    expect(said({ points: ['ring'], from: 'middle' }, [])[0]).toContain(
      'a trace of rings begins with empty rings',
    );
  });
});

describe('a line that cannot be understood ends the trace, with its place and what was expected', () => {
  it.each<[string, object, string]>([
    ['an unknown member', post(1, { colour: 'red' }), 'line 2: at the top: Unrecognized key: "colour"'],
    [
      'a wrong value',
      completion(1, 'FINE'),
      'line 2: at status: Invalid option: expected one of "SUCCESS"|"LOC_LEN_ERR"',
    ],
    [
      'a wrong type',
      { ...post(1), wr: true },
      'line 2: at wr: Invalid input: expected number, received boolean; or Invalid input: expected string, received boolean',
    ],
    ['a missing member', verbs('post', { qp: 7, queue: 'send' }), 'line 2: at wr'],
    [
      'an unknown event',
      verbs('poll', {}),
      'what "poll"; expected call, result, post, completion, event, note',
    ],
    ['a point that the header does not have', ring('notified'), 'point "ring"; the header has verbs'],
    ['no point', { what: 'post' }, 'point is missing; the header has verbs'],
    ['a verb without its object', verbs('call', { call: 1, verb: 'destroyPd' }), 'destroyPd without id'],
    [
      'a modify without its mask',
      verbs('call', { call: 1, verb: 'modifyQp', id: 1, to: 'RTS' }),
      'modifyQp without mask',
    ],
    [
      'a mask that contradicts',
      verbs('call', { call: 1, verb: 'modifyQp', id: 1, to: 'RTS', mask: 2 }),
      'a mask without STATE',
    ],
  ])('%s', (_name, event, message) => {
    expect(ofVerbs(event)[0]).toContain(message);
  });

  it('a number that is under way is not used for another call', () => {
    const [call] = done('createPd', {});
    expect(ofVerbs(call, call)[0]).toContain('is under way already');
  });
});
