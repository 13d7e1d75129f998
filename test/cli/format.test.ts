import { describe, expect, it } from 'vitest';
import { sequenceChart } from '../../src/cli/format/chart.js';
import { findingText } from '../../src/cli/format/finding.js';
import { machineText } from '../../src/cli/format/machine.js';
import { progressLine } from '../../src/cli/format/progress.js';
import { partiesOf } from '../../src/report/index.js';
import { actionLine, programScript } from '../../src/conformance/script.js';
import { summaryText } from '../../src/cli/format/summary.js';
import { count, duration, plain, virtualTime, wrap } from '../../src/cli/format/text.js';
import { quoted } from '../../src/cli/options.js';
import { threwInKit } from '../../src/cli/outcome-report.js';
import { actionSchema, type Action, type Program } from '../../src/conformance/program.js';
import type { CaseResult, ImplementationName } from '../../src/conformance/cases/index.js';
import type { ChartEvent } from '../../src/conformance/chart-event.js';
import type { MachineDefinition } from '../../src/statemachines/index.js';
import { program } from './support.js';

const actions: Action[] = [
  { op: 'queryDevice', vm: 0 },
  { op: 'queryPort', vm: 1 },
  { op: 'createPd', vm: 0, as: 'pd0', expect: 'ok' },
  { op: 'createCq', vm: 0, as: 'cq0', cqe: 16 },
  { op: 'regMr', vm: 0, as: 'mr0', pd: 'pd0', at: 4096, length: 8192, access: 5 },
  { op: 'getDmaMr', vm: 0, as: 'mr1', pd: 'pd0', access: 0x20 },
  { op: 'createQp', vm: 0, as: 'qp0', pd: 'pd0', type: 'RC', sendCq: 'cq0', recvCq: 'cq0' },
  {
    op: 'createQp',
    vm: 1,
    as: 'qp1',
    pd: 'pd0',
    type: 'UD',
    sendCq: 'cq0',
    recvCq: 'cq1',
    cap: { sendWr: 4, recvWr: 8, sendSge: 1, recvSge: 2, inline: 64 },
    sigAll: true,
    expect: 'refused',
  },
  {
    op: 'modifyQp',
    vm: 0,
    qp: 'qp0',
    set: { state: 'RTR', pathMtu: 3, dest: { vm: 1, qp: 'qp0' }, to: { vm: 1, gid: 0 }, rqPsn: 9, access: 6 },
  },
  { op: 'queryQp', vm: 0, qp: 'qp0', expectState: 'RTS', expectSet: { draining: false, sqPsn: 9 } },
  { op: 'createAh', vm: 0, as: 'ah0', pd: 'pd0', to: { vm: 1, gid: 2, sgidIndex: 1 } },
  { op: 'addGid', vm: 0, index: 1, gid: 3 },
  { op: 'delGid', vm: 0, index: 1 },
  { op: 'reqNotifyCq', vm: 0, cq: 'cq0', solicitedOnly: true },
  {
    op: 'postSend',
    vm: 0,
    qp: 'qp0',
    requests: [
      {
        opcode: 'RDMA_WRITE_WITH_IMM',
        sges: [
          { at: 4096, length: 64, mr: 'mr0' },
          { at: -1, length: 8, mr: { of: 'mr0', delta: 1 } },
        ],
        remote: { vm: 1, at: 0, mr: { raw: 0xdead } },
        imm: 255,
        signaled: false,
        solicited: true,
        fence: true,
      },
    ],
  },
  {
    op: 'postSend',
    vm: 0,
    qp: 'qp1',
    requests: [{ opcode: 'SEND', inline: 12, sges: [], ah: 'ah0', dest: 7, qkey: 0x11, times: 3 }],
  },
  {
    op: 'postRecv',
    vm: 1,
    qp: 'qp0',
    requests: Array.from({ length: 3 }, () => ({ sges: [{ at: 0, length: 64, mr: 'mr0' }] })),
  },
  {
    op: 'pollCq',
    vm: 0,
    cq: 'cq0',
    max: 2,
    expectWc: [
      {
        status: 'SUCCESS',
        opcode: 'RECV',
        byteLen: 64,
        imm: 255,
        wr: 0,
        flags: 2,
        from: { vm: 1, qp: 'qp0' },
      },
      { status: 'WR_FLUSH_ERR', wr: 1, times: 5 },
    ],
    expectEvents: 1,
  },
  { op: 'pollCq', vm: 0, cq: 'cq0', max: 8, expectWc: [] },
  { op: 'waitCq', vm: 1, cq: 'cq0' },
  { op: 'writeMemory', vm: 0, at: 0, length: 64, fill: 7 },
  { op: 'expectMemory', vm: 1, at: 0, length: 64, fill: '0a0b' },
  { op: 'destroyAh', vm: 0, ah: 'ah0' },
  { op: 'destroyQp', vm: 0, qp: 'qp0' },
  { op: 'deregMr', vm: 0, mr: 'mr0' },
  { op: 'destroyCq', vm: 0, cq: 'cq0' },
  { op: 'destroyPd', vm: 0, pd: 'pd0' },
];

const racing: Program = {
  ...program,
  mode: 'racing',
  hosts: [0, 1],
  eventIdx: true,
  indirect: true,
  faults: { drop: 10, duplicate: 1, reorder: 0 },
  seed: 77,
  choices: { list: [1, 0, 2], only: false },
  actions,
};

const tail: ChartEvent[] = [
  { timeNs: 0, from: 'vm0', to: 'driver', text: 'postSend SEND 64 bytes' },
  { timeNs: 900, from: 'driver', to: 'device', text: 'notify sq2' },
  { timeNs: 12_345, from: 'device', to: 'device', text: 'takes chain 4' },
  { timeNs: 5_000_000, from: 'device', to: 'vm0', text: 'completion of a request that was never posted' },
];

describe('a program as a script', () => {
  it('reads like the verbs it calls, one line an action', () => {
    expect(programScript(racing).join('\n')).toMatchInlineSnapshot(`
      "world: racing, vm0 on host 0, vm1 on host 1, indirect descriptors, event index, loss 10/1024, duplicates 1/1024, choices 1 0 2, seed 77
       0  vm0  queryDevice()
       1  vm1  queryPort()
       2  vm0  pd0 = createPd()  must be ok
       3  vm0  cq0 = createCq(16)
       4  vm0  mr0 = regMr(pd0, 8192 bytes at 0x1000, LOCAL_WRITE|REMOTE_READ)
       5  vm0  mr1 = getDmaMr(pd0, 0x20)
       6  vm0  qp0 = createQp(pd0, RC, send cq0, recv cq0)
       7  vm1  qp1 = createQp(pd0, UD, send cq0, recv cq1, cap 4/8 requests 1/2 sges 64 inline, all signaled)  must be refused
       8  vm0  modifyQp(qp0, to RTR, pathMtu 3, dest vm1.qp0, path to vm1 gid 0, rqPsn 9, access REMOTE_WRITE|REMOTE_READ)
       9  vm0  queryQp(qp0)  must show state RTS, draining false, sqPsn 9
      10  vm0  ah0 = createAh(pd0, to vm1 gid 2 from sgid 1)
      11  vm0  addGid(1, gid 3)
      12  vm0  delGid(1)
      13  vm0  reqNotifyCq(cq0, solicited only)
      14  vm0  postSend(qp0, RDMA_WRITE_WITH_IMM 64 bytes at 0x1000 mr0 + 8 bytes at -0x1 mr0 key+1 to vm1 0x0 key 0xdead imm 0xff unsignaled solicited fenced)
      15  vm0  postSend(qp1, 3 x SEND 12 inline bytes via ah0 dest qpn 7 qkey 0x11)
      16  vm1  postRecv(qp0, 3 x 64 bytes at 0x0 mr0)
      17  vm0  pollCq(cq0, up to 2)  must give [SUCCESS RECV 64 bytes imm 0xff flags 0x2 from vm1.qp0 of request 0; 5 x WR_FLUSH_ERR of request 1 on] and 1 events so far
      18  vm0  pollCq(cq0, up to 8)  must give nothing
      19  vm1  waitCq(cq0)
      20  vm0  writeMemory(64 bytes at 0x0, pattern 7)
      21  vm1  expectMemory(64 bytes at 0x0, bytes 0a0b)
      22  vm0  destroyAh(ah0)
      23  vm0  destroyQp(qp0)
      24  vm0  deregMr(mr0)
      25  vm0  destroyCq(cq0)
      26  vm0  destroyPd(pd0)"
    `);
  });

  it('says what must hold for the world it runs in', () => {
    expect(programScript({ ...racing, wide: true })[0]).toContain('wide limits');
  });

  it('has a line for every kind of action', () => {
    const kinds = new Set(actions.map(action => action.op));
    expect(actionSchema.options.map(option => option.shape.op.value).filter(op => !kinds.has(op))).toEqual(
      [],
    );
  });

  it('says a repeated request once, and leaves out what is beyond a few', () => {
    const sends = Array.from({ length: 7 }, (_, at) => ({
      opcode: 'SEND' as const,
      sges: [{ at: at * 64, length: 64, mr: 'mr0' }],
    }));
    expect(actionLine({ op: 'postSend', vm: 0, qp: 'qp0', requests: sends })).toMatch(/; and 3 more\]\)$/);
  });
});

describe('a sequence chart', () => {
  it('has a lane a party, an arrow an event, time and text', () => {
    expect(sequenceChart(tail, 100).join('\n')).toMatchInlineSnapshot(`
      "    time     vm0    driver   device
          0 ns      |------->|        |      postSend SEND 64 bytes
        900 ns      |        |------->|      notify sq2
       12.3 us      |        |        *      takes chain 4
        5.0 ms      |<----------------|      completion of a request that was never posted"
    `);
  });

  it('puts the parties of two machines in the order in which a message passes them', () => {
    const parties = [
      'hca 1',
      'program 1',
      'driver 0',
      'device 1',
      'hca 0',
      'program 0',
      'driver 1',
      'device 0',
    ];
    const events = parties.map(name => ({ timeNs: 0, from: name, to: 'driver 0', text: name }));
    expect(partiesOf(events)).toEqual([
      'program 0',
      'driver 0',
      'device 0',
      'hca 0',
      'hca 1',
      'device 1',
      'driver 1',
      'program 1',
    ]);
    expect(sequenceChart(events, 90).join('\n')).toMatchInlineSnapshot(`
      "    time   pro0  dri0  dev0  hca0  hca1  dev1  dri1  pro1
          0 ns     |     |<----------------|     |     |     |    hca 1
          0 ns     |     |<----------------------------------|    program 1
          0 ns     |     *     |     |     |     |     |     |    driver 0
          0 ns     |     |<----------------------|     |     |    device 1
          0 ns     |     |<----------|     |     |     |     |    hca 0
          0 ns     |---->|     |     |     |     |     |     |    program 0
          0 ns     |     |<----------------------------|     |    driver 1
          0 ns     |     |<----|     |     |     |     |     |    device 0"
    `);
  });

  it('breaks a long text and loses no word of it', () => {
    const text = 'a completion of a request that was never posted by anybody at all';
    const lines = sequenceChart([{ timeNs: 0, from: 'a', to: 'b', text }], 60);
    expect(
      lines
        .slice(1)
        .join(' ')
        .replaceAll(/[|>*-]|0 ns/g, ' ')
        .split(/\s+/)
        .join(' ')
        .trim(),
    ).toBe(text);
  });

  it('is never wider than the terminal', () => {
    for (const line of sequenceChart(tail, 50)) expect(line.length).toBeLessThanOrEqual(50);
  });

  it('of nothing is nothing', () => {
    expect(sequenceChart([], 80)).toEqual([]);
  });
});

it('a finding tells what broke, by which requirement, and how to see it again', () => {
  const text = findingText(
    {
      suite: 'racing',
      law: 'every request completes once',
      requirements: ['CQ-03', 'CQ-04'],
      message: 'a completion came for request 9, which was never posted; expected none\n  wrId: 9',
      program,
      actions: 2,
      shrinks: 12,
      tail,
    },
    {
      width: 80,
      colours: plain,
      requirementText: id =>
        id === 'CQ-03' ? `The device MUST complete a request ${'once '.repeat(12)}.` : undefined,
      savedAs: 'findings/x-7.json',
      replayCommand: 'vrdma replay findings/x-7.json',
    },
  );
  expect(text).toMatchInlineSnapshot(`
    "BROKEN  every request completes once  (suite racing)
      a completion came for request 9, which was never posted; expected none
        wrId: 9

    requirements
      [CQ-03] The device MUST complete a request once once once once once once once
      once once once once once .
      [CQ-04] (no chapter has this id)

    program: 2 actions, shrunk in 12 steps
      world: settled, vm0 on host 0
      0  vm0  pd0 = createPd()
      1  vm0  destroyPd(pd0)

    the last steps
          time     vm0    driver   device
          0 ns      |------->|        |      postSend SEND 64 bytes
        900 ns      |        |------->|      notify sq2
       12.3 us      |        |        *      takes chain 4
        5.0 ms      |<----------------|      completion of a request that was
                    |        |        |        never posted

    saved as  findings/x-7.json
    replay    vrdma replay findings/x-7.json
    "
  `);
});

describe('progress', () => {
  const progress = {
    suite: 'settled' as const,
    programs: 1234,
    actions: 98765,
    elapsedMs: 1000,
    done: 0.42,
    transitionsCovered: 231,
    transitionsTotal: 240,
    requirementsTouched: 140,
    requirementsTotal: 160,
  };

  it('tells programs, rate and coverage', () => {
    expect(progressLine(progress, 200, plain)).toMatchInlineSnapshot(
      `"settled    42% [########............]  1,234 programs  98,765 actions  98,765/s  transitions 231/240  requirements 140/160"`,
    );
  });

  it('is always shorter than the terminal, so that it can be redrawn', () => {
    for (let width = 20; width < 140; width++)
      expect(progressLine(progress, width, plain).length).toBeLessThan(width);
  });
});

it.each(['pass', 'fail'] as const)(
  'a summary of a %s names what was never reached if that says something',
  verdict => {
    const counts = Object.fromEntries(Array.from({ length: 12 }, (_, n) => [`pair ${n}`, n < 2 ? 1 : 0]));
    const text = summaryText(
      {
        version: 2,
        kit: '0.0.0',
        implementation: { name: 'bundled' },
        cases: [],
        requirements: {},
        verdict,
        reason: undefined,
        seed: 7,
        profile: 'rdma',
        programs: 12345,
        actions: 1234567,
        elapsedMs: 200_000,
        interrupted: true,
        suites: [],
        findings: [],
        coverage: [{ name: 'pairs of actions', counts }],
        bounds: undefined,
      },
      { width: 70, colours: plain, againCommand: 'vrdma check --seed 7' },
    );
    expect(text.includes('never: pair 2, pair 3, pair 4, and 7 more')).toBe(verdict === 'pass');
    expect(text).toContain('pairs of actions  2 of 12');
    expect(text).toMatch(verdict === 'pass' ? /STOPPED {2}no law broken so far in 12,345/ : /NOT CONFORMANT/);
  },
);

describe('the verdict of a run in which nothing is wrong', () => {
  const result = (judges: 'driver' | 'device' | 'both', grade: 'pass' | 'skipped') =>
    ({
      id: `CTRL/x/${judges}-${grade}`,
      doc: 'A case.',
      judges,
      kind: 'probe',
      grade,
      requirements: ['CTRL-01'],
      runs: 1,
      actions: 1,
      elapsedMs: 0,
    }) as const;
  const verdictOf = (cases: readonly CaseResult[], implementation: ImplementationName): string => {
    const text = summaryText(
      {
        version: 2,
        kit: '0.0.0',
        implementation,
        cases,
        requirements: {},
        verdict: 'pass',
        reason: undefined,
        seed: 7,
        profile: 'rdma',
        programs: 3,
        actions: 20,
        elapsedMs: 1000,
        interrupted: false,
        suites: [],
        findings: [],
        coverage: [],
        bounds: undefined,
      },
      { width: 70, colours: plain, againCommand: 'vrdma check --seed 7' },
    );
    return text.split('\n')[0];
  };

  it('is CONFORMANT when everything was asked that judges what is under test', () => {
    const cases = [result('both', 'pass'), result('driver', 'pass'), result('device', 'skipped')];
    expect(verdictOf(cases, { name: 'mine', driver: './mine.js' })).toMatch(
      /^CONFORMANT {2}no law broken in 3/,
    );
    const others = [result('both', 'pass'), result('driver', 'skipped'), result('device', 'pass')];
    expect(verdictOf(others, { name: 'mine', device: './mine.js' })).toMatch(/^CONFORMANT/);
  });

  it('says how much was asked when cases were left out', () => {
    const cases = [result('both', 'pass'), result('driver', 'skipped'), result('device', 'skipped')];
    expect(verdictOf(cases, { name: 'mine', driver: './mine.js' })).toMatch(
      /^PASSED {2}no law broken in 3 .*; no verdict of the whole: 1 of 2 cases that judge it were asked$/,
    );
    expect(verdictOf(cases, { name: 'mine', driver: './a.js', device: './b.js' })).toContain('1 of 3 cases');
    expect(verdictOf(cases, { name: 'bundled' })).toContain('1 of 3 cases');
    expect(verdictOf([result('both', 'skipped')], { name: 'mine', driver: './mine.js' })).toContain('0 of 1');
  });
});

describe('small pieces', () => {
  it('numbers and times are readable', () => {
    expect([count(1234567), duration(999), duration(30_000), duration(200_000)]).toEqual([
      '1,234,567',
      '999 ms',
      '30.0 s',
      '3 min 20 s',
    ]);
    expect([0, 4100, 12.3e6, 1.5e9].map(virtualTime)).toEqual(['0 ns', '4.1 us', '12.3 ms', '1.50 s']);
  });

  it('a wrapped text keeps every word', () => {
    const text = 'one two three four five six averyveryverylongword seven';
    expect(wrap(text, 12, '  ').join(' ').split(/\s+/).filter(Boolean)).toEqual(text.split(' '));
  });

  it('a word for the shell is quoted when it must be', () => {
    expect([quoted('./my-driver.js'), quoted("it's here.js")]).toEqual([
      './my-driver.js',
      String.raw`'it'\''s here.js'`,
    ]);
  });
});

describe('an exception is laid at the door of whoever threw it', () => {
  const thrown = (...frames: string[]) =>
    ['Error: x', ...frames.map(frame => `    at f (${frame})`)].join('\n');

  it.each([
    ['the kit', thrown('file:///kit/conformance/run.js:1:1', 'file:///home/driver.js:1:1'), true],
    ['somebody’s driver', thrown('file:///home/driver.js:1:1', 'file:///kit/conformance/run.js:1:1'), false],
    ['somebody’s driver, in a call of Node', thrown('node:buffer:1:1', 'file:///home/driver.js:1:1'), false],
    ['the bundled device', thrown('file:///kit/device/control.js:1:1'), false],
    ['the bundled driver', thrown('file:///kit/driver/cq.js:1:1'), false],
    ['nobody known', 'Error: x', false],
  ])('%s', (_, stack, kit) => {
    expect(threwInKit(stack, '/kit/')).toBe(kit);
  });
});

const door: MachineDefinition = {
  name: 'DOOR',
  purpose: 'A door. It opens and shuts.',
  instance: 'one door',
  initial: 'SHUT',
  states: [
    { name: 'SHUT', doc: 'Nobody gets in', end: true },
    { name: 'OPEN', doc: 'Everybody gets in' },
  ],
  events: [
    { name: 'open', doc: 'Somebody opens it' },
    { name: 'shut', doc: 'Somebody shuts it' },
  ],
  transitions: [
    { from: 'SHUT', event: 'open', to: 'OPEN', requirement: 'CTRL-01' },
    {
      from: 'OPEN',
      event: 'shut',
      to: 'SHUT',
      requirement: 'CTRL-02',
      guard: { kind: 'mask', required: 1, optional: 6 },
    },
  ],
  forbidden: [{ from: 'OPEN', event: 'open', requirement: 'CTRL-02' }],
  endRequirement: 'CTRL-02',
};

it('a machine is shown with states, events, transitions and what is forbidden', () => {
  expect(machineText(door, 100, plain)).toMatchInlineSnapshot(`
    "DOOR
      A door. It opens and shuts.
      One instance: one door

    states
      SHUT  Nobody gets in (initial) (a trace may end here)
      OPEN  Everybody gets in

    events
      open  Somebody opens it
      shut  Somebody shuts it

    transitions
      SHUT  open  -> OPEN    [CTRL-01]
      OPEN  shut  -> SHUT    [CTRL-02]

    forbidden
      OPEN  open  [CTRL-02]
    "
  `);
});
