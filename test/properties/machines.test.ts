/**
 * Laws of the machines.
 *
 * 1. Compiled and interpreted agree: over any sequence of events, the tables and XState take or refuse the same events and
 *    come to the same state and counter, on every step of every machine.
 * 2. A monitor knows as much as can be known: the set of states that it keeps is the set that XState machines can be in
 *    that run all hidden events in all orders.
 * 3. The queue pair machines agree with the table of the Linux kernel on every type, pair of states and mask.
 * 4. A machine with one fault is told from the sound one by law 1.
 */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { initialTransition, transition as xstateStep } from 'xstate';
import type { AnyMachineSnapshot } from 'xstate';
import { z } from 'zod';
import { QpAttrMask, QpState, QpType } from '../../src/abi/index.js';
import {
  acceptable,
  compile,
  machines,
  monitor,
  qpModifyAllowed,
  qpServices,
  qpStateOf,
  qpTransitionAllowed,
  toXState,
} from '../../src/statemachines/index.js';
import type {
  CompiledMachine,
  MachineDefinition,
  QpService,
  QpStateName,
  TransitionDefinition,
} from '../../src/statemachines/index.js';
import { fittingArg, LIMIT, walks } from '../statemachines/support.js';
import type { Step } from '../statemachines/support.js';

type Xstate = ReturnType<typeof toXState>;

/** Random steps: mostly events with an argument that fits some transition of theirs, sometimes any argument. */
function stepsOf(machine: CompiledMachine): fc.Arbitrary<Step[]> {
  const fitting = machine.transitions.map((rule, index) => ({
    event: machine.eventId(rule.event),
    arg: fittingArg(machine, index),
  }));
  const wild = fc.record({
    event: fc.nat(machine.eventNames.length - 1),
    arg: fc.oneof(fc.nat(4), fc.nat(2 ** 17 - 1)),
  });
  const bent = fc
    .record({ step: fc.constantFrom(...fitting), bit: fc.nat(17) })
    .map(({ step, bit }) => ({ event: step.event, arg: step.arg ^ (1 << bit) }));
  const plain = fc.constantFrom(...fitting);
  const one = fc.oneof(
    { weight: 6, arbitrary: plain },
    { weight: 1, arbitrary: bent },
    { weight: 1, arbitrary: wild },
  );
  return fc.array(one, { maxLength: 60, size: 'max' });
}

/** The first step on which tables and XState differ, in words; undefined when they agree on all. */
function firstDifference(
  machine: CompiledMachine,
  xstate: Xstate,
  steps: readonly Step[],
): string | undefined {
  let state = machine.initial;
  let count = 0;
  let [snapshot] = initialTransition(xstate, { limit: LIMIT });
  for (const [index, { event, arg }] of steps.entries()) {
    const xevent = { type: machine.eventNames[event], arg };
    const taken = machine.transitionFrom(state, event, arg, count, LIMIT);
    const can = snapshot.status === 'active' && snapshot.can(xevent);
    const where = `step ${index}: ${machine.stateNames[state]} ${xevent.type}(${arg})`;
    if (can !== taken >= 0) return `${where}: XState ${can ? 'takes' : 'refuses'} it, the tables do not`;
    if (taken < 0) continue;
    [snapshot] = xstateStep(xstate, snapshot, xevent);
    state = machine.target[taken];
    count = machine.countAfter(event, arg, count);
    if (snapshot.value !== machine.stateNames[state]) return `${where}: XState goes to ${snapshot.value}`;
    if (snapshot.context.count !== count) return `${where}: XState counts ${snapshot.context.count}`;
  }
  return undefined;
}

describe.each(machines)('$name', definition => {
  const machine = compile(definition);
  const xstate = toXState(definition);

  it('is the same compiled and interpreted, on every step of random traces', () => {
    fc.assert(
      fc.property(stepsOf(machine), steps => {
        expect(firstDifference(machine, xstate, steps)).toBeUndefined();
      }),
      { numRuns: 150 },
    );
  });

  it('is the same compiled and interpreted, in every state on every event', () => {
    for (const walk of walks(machine)) {
      const steps = walk?.slice(0, -1) ?? [];
      for (let event = 0; event < machine.eventNames.length; event++) {
        for (const arg of [0, 1, 2, 2 ** 17 - 1]) {
          expect(firstDifference(machine, xstate, [...steps, { event, arg }])).toBeUndefined();
        }
      }
    }
  });

  it('leaves a monitor with exactly the states that hidden events make possible', () => {
    const hidden = new Set(definition.transitions.filter(rule => rule.internal).map(rule => rule.event));
    let judged = 0;
    fc.assert(
      fc.property(stepsOf(machine), steps => {
        const judge = monitor(machine);
        judge.open(0, LIMIT);
        let possible = closed(xstate, [initialTransition(xstate, { limit: LIMIT })[0]], hidden);
        for (const { event, arg } of steps) {
          const xevent = { type: machine.eventNames[event], arg };
          if (hidden.has(xevent.type)) continue;
          const able = possible.filter(snapshot => snapshot.status === 'active' && snapshot.can(xevent));
          const allowing = machine.allowing(judge.possible(0), event, arg, judge.count(0), LIMIT);
          expect(machine.namesOf(allowing).toSorted()).toEqual(namesOf(able));
          if (able.length === 0) continue;
          expect(judge.event(0, event, arg)).toBe(true);
          possible = closed(
            xstate,
            able.map(snapshot => xstateStep(xstate, snapshot, xevent)[0]),
            hidden,
          );
          expect(machine.namesOf(judge.possible(0)).toSorted()).toEqual(namesOf(possible));
          judged++;
        }
      }),
      { numRuns: 60 },
    );
    expect(judged).toBeGreaterThan(60);
  });

  it('differs from every copy of it with one transition bent or taken out', () => {
    for (const [index, walk] of walks(machine).entries()) {
      for (const faulty of bentCopies(definition, index)) {
        expect(firstDifference(compileUnchecked(faulty), xstate, walk ?? [])).toBeDefined();
      }
    }
  });
});

type XSnapshot = ReturnType<typeof initialTransition<Xstate>>[0];

function namesOf(snapshots: readonly AnyMachineSnapshot[]): string[] {
  return [...new Set(snapshots.map(snapshot => String(snapshot.value)))].toSorted();
}

/** These snapshots and all that hidden events make of them. */
function closed(xstate: Xstate, start: readonly XSnapshot[], hidden: ReadonlySet<string>): XSnapshot[] {
  const all = new Map(start.map(snapshot => [snapshot.value, snapshot]));
  for (const snapshot of all.values()) {
    for (const type of hidden) {
      const event = { type, arg: 0 };
      if (snapshot.status !== 'active' || !snapshot.can(event)) continue;
      const [next] = xstateStep(xstate, snapshot, event);
      if (!all.has(next.value)) all.set(next.value, next);
    }
  }
  return [...all.values()];
}

/** Copies in which one transition leads elsewhere, is gone, needs a bit more, or counts otherwise. */
function bentCopies(definition: MachineDefinition, index: number): MachineDefinition[] {
  const rule = definition.transitions[index];
  const elsewhere = definition.states.find(state => state.name !== rule.to);
  const bend = (change: object | undefined): MachineDefinition => ({
    ...definition,
    transitions: definition.transitions.flatMap((other, i) =>
      i !== index ? [other] : change === undefined ? [] : [{ ...other, ...change }],
    ),
  });
  const copies = [bend(undefined)];
  if (elsewhere !== undefined) copies.push(bend({ to: elsewhere.name }));
  if (rule.guard?.kind === 'mask')
    copies.push(bend({ guard: { ...rule.guard, required: rule.guard.required | (1 << 17) } }));
  if (rule.effect !== undefined) copies.push(miscounting(definition, rule.event));
  return copies;
}

/** A copy in which an event counts in another way, in every state. */
function miscounting(definition: MachineDefinition, event: string): MachineDefinition {
  const transitions = definition.transitions.map((rule): TransitionDefinition => {
    if (rule.event !== event) return rule;
    return { ...rule, effect: rule.effect === 'dec' ? 'inc' : undefined };
  });
  return { ...definition, transitions };
}

/** Compiles a bent copy even if it has become unsound: states that nothing leads to are left alone. */
function compileUnchecked(definition: MachineDefinition): CompiledMachine {
  const bridge = definition.states.map((state, i) => ({
    from: definition.initial,
    event: `BRIDGE_${i}`,
    to: state.name,
    requirement: '-',
  }));
  return compile({
    ...definition,
    events: [...definition.events, ...bridge.map(({ event }) => ({ name: event, doc: '' }))],
    transitions: [...definition.transitions, ...bridge],
    forbidden: [],
  });
}

const masks = z.object({ required: z.array(z.string()), optional: z.array(z.string()) });
const oracle = z
  .object({
    curStates: z.array(z.string()),
    verbsBits: z.record(z.string(), z.number()),
    table: z.record(z.string(), z.record(z.string(), z.record(z.string(), masks))),
  })
  .parse(JSON.parse(readFileSync(new URL('../oracles/qp-transitions.json', import.meta.url), 'utf8')));

/** Attributes of the kernel's table that RFC v2 does not carry. */
const notInRfc = ['EN_SQD_ASYNC_NOTIFY', 'PKEY_INDEX', 'PORT', 'ALT_PATH', 'PATH_MIG_STATE'];
const MASKS = 2 ** 17;
const stateNames = ['RESET', 'INIT', 'RTR', 'RTS', 'SQD', 'SQE', 'ERR'] as const satisfies QpStateName[];
const typeNames = ['RC', 'UC', 'UD', 'GSI'] as const;
const serviceOf = { RC: 'RC', UC: 'UC', UD: 'UD', GSI: 'UD' } as const satisfies Record<string, QpService>;

/** RFC bits of the kernel's attribute names. */
function rfcBits(names: readonly string[]): number {
  const bits = new Map<string, number>(Object.entries(QpAttrMask));
  let mask = 0;
  for (const name of names.map(long => long.replace('IB_QP_', ''))) {
    const bit = bits.get(name);
    if (bit === undefined && !notInRfc.includes(name))
      throw new Error(`attribute ${name} is in neither list`);
    mask |= bit ?? 0;
  }
  return mask;
}

/** What the kernel says to every mask, as one byte each. */
function kernelVerdicts(type: string, from: QpStateName, to: QpStateName): Uint8Array {
  const verdicts = new Uint8Array(MASKS);
  const cell = oracle.table[from]?.[to]?.[type];
  if (cell === undefined) return verdicts;
  const required = rfcBits(cell.required);
  const excluded = ~(required | rfcBits(cell.optional) | QpAttrMask.STATE);
  const claimable = oracle.curStates.includes(from);
  for (let mask = 0; mask < MASKS; mask++) {
    const claimFits = (mask & QpAttrMask.CUR_STATE) === 0 || claimable;
    if (claimFits && (mask & required) === required && (mask & excluded) === 0) verdicts[mask] = 1;
  }
  return verdicts;
}

/** The first mask on which a queue pair machine and the kernel differ; undefined when there is none. */
function firstWrongMask(
  machine: CompiledMachine,
  type: string,
  from: QpStateName,
  to: QpStateName,
): string | undefined {
  const verdicts = kernelVerdicts(type, from, to);
  const states = machine.stateNames.filter(name => qpStateOf[name] === from && name !== 'SQD_DRAINING');
  const moving = machine.eventId(`MODIFY_TO_${to}`);
  const staying = machine.eventId('MODIFY_ATTRIBUTES');
  for (const name of states) {
    const state = machine.stateId(name);
    for (let mask = 0; mask < MASKS; mask++) {
      const moves = (mask & QpAttrMask.STATE) !== 0;
      if (!moves && from !== to) continue;
      const taken = machine.transitionFrom(state, moves ? moving : staying, mask, 0, 0);
      const agrees = taken >= 0 === (verdicts[mask] === 1);
      const lands = taken < 0 || qpStateOf[machine.stateNames[machine.target[taken]]] === to;
      if (!agrees || !lands) return `${type} ${name} -> ${to}, mask 0x${mask.toString(16)}`;
    }
  }
  return undefined;
}

describe('queue pair machines and the table of the Linux kernel', () => {
  const compiled = Object.fromEntries(qpServices.map(service => [service, compile(machineOf(service))]));

  it.each(typeNames)(
    '[QP-24] [QP-25] [QP-26] [QP-32] agree for %s on every pair of states and every mask',
    type => {
      for (const from of stateNames) {
        for (const to of stateNames) {
          expect(firstWrongMask(compiled[serviceOf[type]], type, from, to)).toBeUndefined();
          const verdicts = kernelVerdicts(type, from, to);
          let differs = -1;
          for (let mask = 0; mask < MASKS && differs < 0; mask++) {
            const allowed = qpTransitionAllowed(QpType[type], QpState[from], QpState[to], mask);
            if (allowed !== (verdicts[mask] === 1)) differs = mask;
          }
          expect(differs, `${type} ${from} -> ${to}, look-up`).toBe(-1);
        }
      }
    },
  );

  it('look at a table that allows something and refuses something, in the numbers that are known', () => {
    const legal = typeNames.map(
      type =>
        stateNames.flatMap(from => stateNames.filter(to => kernelVerdicts(type, from, to).includes(1)))
          .length,
    );
    expect(legal).toEqual([22, 22, 22, 22]);
    expect(kernelVerdicts('RC', 'INIT', 'RTR').filter(verdict => verdict === 1)).toHaveLength(4);
  });

  it('disagree as soon as one mask of one row is wrong by one bit', () => {
    for (const service of qpServices) {
      const sound = machineOf(service);
      for (const rule of sound.transitions) {
        const from = qpStateOf[rule.from];
        const to = qpStateOf[rule.to];
        if (rule.guard?.kind !== 'mask' || from === undefined || to === undefined) continue;
        if (rule.from === 'SQD_DRAINING') continue;
        const guard = { ...rule.guard, optional: rule.guard.optional ^ QpAttrMask.CAP };
        const transitions = sound.transitions.map(other => (other === rule ? { ...rule, guard } : other));
        expect(firstWrongMask(compile({ ...sound, transitions }), service, from, to)).toBeDefined();
      }
    }
  });

  it('[QP-63] have no SQE for RC, which the kernel lets out of it all the same', () => {
    expect(compiled.RC.stateNames).not.toContain('SQE');
    expect(kernelVerdicts('RC', 'SQE', 'RTS')[QpAttrMask.STATE]).toBe(1);
  });

  it('[CTRL-73] allow nothing for type SMI, which cannot be created', () => {
    for (const from of stateNames) {
      for (const to of stateNames) {
        expect(qpTransitionAllowed(QpType.SMI, QpState[from], QpState[to], QpAttrMask.STATE)).toBe(false);
      }
    }
  });
});

function machineOf(service: QpService): MachineDefinition {
  const found = machines.find(machine => machine.name === `QP.${service}`);
  if (found === undefined) throw new Error(`no machine for ${service}`);
  return found;
}

describe('the whole question of MODIFY_QP', () => {
  const base = {
    type: QpType.RC,
    current: QpState.RTS,
    draining: false,
    mask: QpAttrMask.STATE,
    to: QpState.SQD,
    claimed: 0,
  };

  it('[QP-27] refuses a claim that is not the state that the queue pair is in, and no other', () => {
    const mask = QpAttrMask.STATE | QpAttrMask.CUR_STATE;
    for (let claimed = 0; claimed < 8; claimed++) {
      expect(qpModifyAllowed({ ...base, mask, to: QpState.RTS, claimed })).toBe(claimed === QpState.RTS);
    }
  });

  it('[QP-28] takes the state of the queue pair for both sides when STATE is not in the mask', () => {
    const allowed = Object.values(QpState).filter(current =>
      qpModifyAllowed({ ...base, current, mask: 0, to: QpState.SQE }),
    );
    expect(allowed).toEqual([QpState.RESET, QpState.INIT, QpState.RTS, QpState.SQD, QpState.ERR]);
  });

  it('[QP-29] refuses a state code above 6', () => {
    expect(qpModifyAllowed({ ...base, to: 7 })).toBe(false);
    expect(qpModifyAllowed({ ...base, to: 255 })).toBe(false);
  });

  it('[QP-57] refuses to leave a draining SQD but to ERR and RESET, and lets attributes change', () => {
    const draining = { ...base, current: QpState.SQD, draining: true };
    const allowed = Object.values(QpState).filter(to => qpModifyAllowed({ ...draining, to }));
    expect(allowed).toEqual([QpState.RESET, QpState.ERR]);
    expect(qpModifyAllowed({ ...draining, mask: QpAttrMask.AV })).toBe(true);
    expect(qpModifyAllowed({ ...draining, draining: false, to: QpState.RTS })).toBe(true);
  });

  it('tells in which of several possible states a change is acceptable', () => {
    const machine = compile(machineOf('RC'));
    const rts = 1 << machine.stateId('RTS');
    const err = 1 << machine.stateId('ERR');
    const event = machine.eventId('MODIFY_TO_SQD');
    expect(acceptable(machine, rts, event, QpAttrMask.STATE)).toBe('always');
    expect(acceptable(machine, rts | err, event, QpAttrMask.STATE)).toBe('sometimes');
    expect(acceptable(machine, err, event, QpAttrMask.STATE)).toBe('never');
  });
});
