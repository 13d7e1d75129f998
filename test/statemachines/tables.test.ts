import { describe, expect, it } from 'vitest';
import { compile, faultsOf, machineByName, machines } from '../../src/statemachines/index.js';
import type { MachineDefinition } from '../../src/statemachines/index.js';
import { walks } from './support.js';

function tableText(machine: MachineDefinition): string {
  const states = machine.states.map(state => `state ${state.name}${state.end ? ' end' : ''}`);
  const transitions = machine.transitions.map(({ from, event, to, requirement, internal, guard, effect }) => {
    const hex = (mask: number) => `0x${mask.toString(16)}`;
    const mask = guard?.kind === 'mask' ? ` ${hex(guard.required)}+${hex(guard.optional)}` : '';
    const notes = [
      internal ? 'unseen' : '',
      guard === undefined ? '' : `if ${guard.kind}${mask}`,
      effect ?? '',
      requirement,
    ];
    return `${from} ${event} -> ${to} (${notes.filter(note => note !== '').join(', ')})`;
  });
  const forbidden = machine.forbidden.map(rule => `${rule.from} ${rule.event} breaks ${rule.requirement}`);
  return [...states, ...transitions, ...forbidden, ''].join('\n');
}

describe.each(machines)('$name', machine => {
  it('has the states, transitions and obligations that were agreed', async () => {
    const file = machine.name.toLowerCase().replaceAll(/[._]/g, '-');
    await expect(tableText(machine)).toMatchFileSnapshot(`tables/${file}.txt`);
  });

  it('is sound', () => {
    expect(faultsOf(machine)).toEqual([]);
  });

  it('has a walk for every transition, so that none is there in vain', () => {
    const compiled = compile(machine);
    const found = walks(compiled);
    const idle = machine.transitions.filter((_, index) => found[index] === undefined);
    expect(idle).toEqual([]);
  });

  it('says its purpose in two sentences', () => {
    expect(machine.purpose.match(/[.](?= |$)/g)).toHaveLength(2);
  });
});

describe('definitions that are not sound', () => {
  const toy: MachineDefinition = {
    name: 'TOY',
    purpose: '',
    instance: '',
    initial: 'A',
    counter: { name: 'n', doc: '' },
    states: [
      { name: 'A', doc: '', end: true },
      { name: 'B', doc: '', end: true },
    ],
    events: [
      { name: 'GO', doc: '' },
      { name: 'FALL', doc: '' },
    ],
    transitions: [{ from: 'A', event: 'GO', to: 'B', requirement: 'X' }],
    forbidden: [],
  };
  const mask = { kind: 'mask', required: 1, optional: 0 } as const;
  const rule = { from: 'B', event: 'GO', to: 'B', requirement: 'X' };
  const cases: [string, Partial<MachineDefinition>, RegExp][] = [
    ['a state twice', { states: [...toy.states, { name: 'A', doc: '', end: true }] }, /same name/],
    [
      'more than 32 states',
      {
        states: Array.from({ length: 33 }, (_, i) => ({
          name: i === 0 ? 'A' : `B${i}`,
          doc: '',
          end: true as const,
        })),
      },
      /33 states/,
    ],
    ['an initial state of another machine', { initial: 'C' }, /initial state C/],
    ['a transition to nowhere', { transitions: [...toy.transitions, { ...rule, to: 'C' }] }, /not declared/],
    [
      'two answers to one event',
      { transitions: [...toy.transitions, { ...rule, from: 'A' }] },
      /second transition/,
    ],
    [
      'counting without a counter',
      { counter: undefined, transitions: [{ ...toy.transitions[0], effect: 'inc' }] },
      /without a counter/,
    ],
    ['counting below 0', { transitions: [{ ...toy.transitions[0], effect: 'dec' }] }, /below 0/],
    [
      'an effect that depends on the state',
      { transitions: [...toy.transitions, { ...rule, effect: 'inc' }] },
      /depends on the state/,
    ],
    [
      'an unseen event that counts',
      { transitions: [{ ...toy.transitions[0], internal: true, effect: 'inc' }] },
      /not free/,
    ],
    [
      'an event that is both seen and unseen',
      { transitions: [...toy.transitions, { ...rule, internal: true }] },
      /seen and unseen/,
    ],
    ['a state that nothing leads to', { transitions: [] }, /cannot be reached/],
    [
      'a prohibition that is also allowed',
      { forbidden: [{ from: 'A', event: 'GO', requirement: 'X' }] },
      /both/,
    ],
    [
      'a prohibition of one of several transitions',
      { transitions: [...toy.transitions, rule], forbidden: [{ from: 'A', event: 'GO', requirement: 'X' }] },
      /both/,
    ],
    ['an event twice', { events: [...toy.events, { name: 'GO', doc: '' }] }, /two events/],
    [
      'a shade of no state',
      { states: [toy.states[0], { name: 'B', doc: '', end: true, shadeOf: 'C' }] },
      /B is a shade of nothing/,
    ],
    [
      'a prohibition in no state',
      { forbidden: [{ from: 'C', event: 'GO', requirement: 'X' }] },
      /prohibition C GO/,
    ],
    [
      'a prohibition of no event',
      { forbidden: [{ from: 'A', event: 'RISE', requirement: 'X' }] },
      /prohibition A RISE/,
    ],
    [
      'asking for a counter that is not there',
      { counter: undefined, transitions: [{ ...toy.transitions[0], guard: { kind: 'zero' } }] },
      /without a counter/,
    ],
    [
      'an unseen event with a guard',
      { transitions: [{ ...toy.transitions[0], internal: true, guard: mask }] },
      /not free/,
    ],
    ['an end that nobody checks', { states: [toy.states[0], { name: 'B', doc: '' }] }, /end requirement/],
  ];

  it('is not one of them', () => {
    expect(faultsOf(toy)).toEqual([]);
  });

  it('is not one with 32 states, nor one that shades a state, nor one that forbids what a guard refuses', () => {
    const names = Array.from({ length: 32 }, (_, i) => `S${i}`);
    const many: MachineDefinition = {
      ...toy,
      initial: 'S0',
      states: names.map(name => ({ name, doc: '', end: true })),
      transitions: names.slice(1).map((to, i) => ({ from: `S${i}`, event: 'GO', to, requirement: 'X' })),
    };
    const shading = {
      ...toy,
      states: [toy.states[0], { name: 'B', doc: '', end: true, shadeOf: 'A' } as const],
    };
    const guarded = {
      ...toy,
      transitions: [{ ...toy.transitions[0], guard: mask }],
      forbidden: [{ from: 'A', event: 'GO', requirement: 'X' }],
    };
    expect([many, shading, guarded].map(faultsOf)).toEqual([[], [], []]);
  });

  it.each(cases)('are refused for %s', (_, change, fault) => {
    const broken = { ...toy, ...change };
    expect(faultsOf(broken).join('; ')).toMatch(fault);
    expect(() => compile(broken)).toThrow(fault);
  });
});

describe('the registry', () => {
  it('finds each machine by its name, and says which there are when it does not', () => {
    for (const machine of machines) expect(machineByName(machine.name)).toBe(machine);
    expect(() => machineByName('QP.XRC')).toThrow(/QP\.RC, QP\.UC, QP\.UD/);
  });

  it('has no two machines of the same name', () => {
    expect(new Set(machines.map(machine => machine.name)).size).toBe(machines.length);
  });

  it('gives numbers for names and refuses names that are not there', () => {
    const qp = compile(machineByName('QP.RC'));
    expect(qp.eventNames[qp.eventId('POST_SEND')]).toBe('POST_SEND');
    expect(qp.stateNames[qp.stateId('RTS')]).toBe('RTS');
    expect(() => qp.eventId('POST')).toThrow(/no event of QP\.RC/);
    expect(() => qp.stateId('SQE')).toThrow(/no state of QP\.RC/);
    expect(() => qp.transitionId('RESET', 'MODIFY_TO_ERR')).toThrow(/no transition/);
  });
});
