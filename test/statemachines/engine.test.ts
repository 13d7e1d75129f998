/**
 * The engine of the machines, held against one that is written as one would say it: sets of names and no tables. Any sound
 * machine, any order of events, refusals and commands in flight.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { acceptable, compile, faultsOf, monitor } from '../../src/statemachines/index.js';
import type {
  Guard,
  MachineDefinition,
  TransitionDefinition,
  Violation,
} from '../../src/statemachines/index.js';

const STATES = ['A', 'B', 'C', 'D'] as const;
type State = (typeof STATES)[number];
const LIMIT = 2;
const requirement = 'X-01';

/** What each event does to the counter; one of them is never seen. */
const effects = {
  GO: undefined,
  MASK: undefined,
  INC: 'inc',
  DEC: 'dec',
  ADD: 'add',
  HIDE: undefined,
} as const;
type EventName = keyof typeof effects;
const EVENTS: readonly EventName[] = ['GO', 'MASK', 'INC', 'DEC', 'ADD', 'HIDE'];
const seen = EVENTS.filter(event => event !== 'HIDE');

const guards: Readonly<Record<EventName, readonly (Guard | undefined)[]>> = {
  GO: [undefined, { kind: 'zero' }, { kind: 'positive' }, { kind: 'at-limit' }, { kind: 'below-limit' }],
  MASK: [undefined, { kind: 'mask', required: 1, optional: 4 }, { kind: 'mask', required: 0, optional: 6 }],
  INC: [undefined, { kind: 'below-limit' }],
  DEC: [{ kind: 'positive' }],
  ADD: [undefined, { kind: 'at-limit' }],
  HIDE: [undefined],
};

/** Machines of four states: each state and event has a transition or none. Every state can be reached. */
const machineArbitrary: fc.Arbitrary<MachineDefinition> = fc
  .record({
    rules: fc.array(
      fc.record({
        from: fc.constantFrom(...STATES),
        event: fc.constantFrom(...EVENTS),
        to: fc.constantFrom(...STATES),
        guard: fc.nat(4),
      }),
      { minLength: 4, maxLength: 16 },
    ),
    ends: fc.subarray([...STATES], { minLength: 1 }),
  })
  .map(({ rules, ends }) =>
    definitionOf(
      rules.map(({ from, event, to, guard }) => {
        const choices = guards[event];
        return rule(from, event, to, choices[guard % choices.length]);
      }),
      ends,
    ),
  )
  .filter(definition => faultsOf(definition).length === 0);

function rule(from: State, event: EventName, to: State, guard?: Guard): TransitionDefinition {
  const effect = effects[event];
  return {
    from,
    event,
    to,
    requirement,
    ...(event === 'HIDE' && { internal: true as const }),
    ...(guard && { guard }),
    ...(effect && { effect }),
  };
}

function definitionOf(
  rules: readonly TransitionDefinition[],
  ends: readonly State[] = STATES,
): MachineDefinition {
  const first = new Map(rules.map(each => [`${each.from} ${each.event}`, each]));
  return {
    name: 'TOY',
    purpose: '',
    instance: '',
    initial: 'A',
    counter: { name: 'n', doc: '' },
    states: STATES.map(name => ({ name, doc: '', ...(ends.includes(name) && { end: true as const }) })),
    events: EVENTS.map(name => ({ name, doc: '' })),
    transitions: [...first.values()],
    forbidden: [],
    ...(ends.length < STATES.length && { endRequirement: 'X-02' }),
  };
}

type Names = ReadonlySet<string>;

/** One instance, in the words of the documentation of the monitor. */
class Plain {
  readonly #rules: readonly TransitionDefinition[];
  readonly #ends: Names;
  life: 'open' | 'failed' = 'open';
  possible: Names;
  after: Names = new Set();
  pending: { readonly event: EventName; readonly arg: number } | undefined;
  refusable = false;
  count = 0;
  unjudged = 0;

  constructor({ transitions, states }: MachineDefinition) {
    this.#rules = transitions;
    this.#ends = new Set(states.filter(({ end }) => end).map(({ name }) => name));
    this.possible = this.#closed(new Set(['A']));
  }

  event(event: EventName, arg: number): boolean {
    if (!this.#judged()) return false;
    const now = this.#image(this.possible, event, arg);
    const happened = this.#image(this.after, event, arg);
    if (now.size + happened.size === 0) return this.#fail();
    this.possible = now;
    const effect = effects[event];
    this.count += effect === 'inc' ? 1 : effect === 'dec' ? -1 : effect === 'add' ? arg : 0;
    if (this.pending !== undefined) this.after = new Set([...happened, ...this.#withPending()]);
    return true;
  }

  begin(event: EventName, arg: number): void {
    if (this.life === 'failed') return;
    const counts = this.#rules.some(each => each.event === event && each.effect !== undefined);
    if (this.pending !== undefined || counts) throw new Error('not now');
    this.pending = { event, arg };
    this.refusable = false;
    this.after = this.#withPending();
  }

  commit(): boolean {
    if (!this.#judged()) return false;
    if (this.pending === undefined || this.after.size === 0) return this.#fail();
    this.possible = this.after;
    this.#over();
    return true;
  }

  abort(judged: boolean): boolean {
    if (!this.#judged()) return false;
    if (this.pending === undefined || this.possible.size === 0) return this.#fail();
    if (judged && !this.refusable) return this.#fail();
    this.#over();
    return true;
  }

  refused(event: EventName, arg: number): boolean {
    if (!this.#judged()) return false;
    const refusing = [...this.possible].filter(state => !this.#taken(state, event, arg));
    if (refusing.length === 0) return this.#fail();
    this.possible = this.#closed(new Set(refusing));
    return true;
  }

  get mayEnd(): boolean {
    return this.life === 'failed' || this.states.some(state => this.#ends.has(state));
  }
  get states(): readonly string[] {
    return STATES.filter(state => this.possible.has(state) || this.after.has(state));
  }

  #judged(): boolean {
    if (this.life === 'failed') this.unjudged++;
    return this.life === 'open';
  }
  #fail(): false {
    this.life = 'failed';
    return false;
  }
  #over(): void {
    this.pending = undefined;
    this.after = new Set();
  }

  #withPending(): Names {
    const { pending } = this;
    if (pending === undefined) return new Set();
    const { event, arg } = pending;
    if ([...this.possible].some(state => !this.#taken(state, event, arg))) this.refusable = true;
    return this.#image(this.possible, event, arg);
  }

  #taken(from: string, event: EventName, arg: number): TransitionDefinition | undefined {
    const found = this.#rules.find(each => each.from === from && each.event === event);
    return found !== undefined && this.#holds(found.guard, arg) ? found : undefined;
  }

  #holds(guard: Guard | undefined, arg: number): boolean {
    if (guard === undefined) return true;
    if (guard.kind === 'mask')
      return (arg & guard.required) === guard.required && (arg & ~(guard.required | guard.optional)) === 0;
    if (guard.kind === 'zero') return this.count === 0;
    if (guard.kind === 'positive') return this.count > 0;
    return guard.kind === 'below-limit' ? this.count < LIMIT : this.count >= LIMIT;
  }

  #image(states: Names, event: EventName, arg: number): Names {
    const to = [...states].flatMap(state => this.#taken(state, event, arg)?.to ?? []);
    return this.#closed(new Set(to));
  }

  #closed(states: Names): Names {
    const all = new Set(states);
    for (const state of all)
      for (const { from, to, internal } of this.#rules) if (internal && from === state) all.add(to);
    return all;
  }
}

type Move =
  | { readonly kind: 'event' | 'refused' | 'begin'; readonly event: EventName; readonly arg: number }
  | { readonly kind: 'commit' | 'abort' | 'judged abort' };

const moveArbitrary: fc.Arbitrary<Move> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('event' as const),
      event: fc.constantFrom(...seen),
      arg: fc.nat(7),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom('refused' as const, 'begin' as const),
      event: fc.constantFrom<EventName[]>('GO', 'MASK', 'MASK', 'INC'),
      arg: fc.nat(7),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom('commit' as const, 'abort' as const, 'judged abort' as const),
    }),
  },
);

interface Judging {
  event(event: EventName, arg: number): boolean;
  begin(event: EventName, arg: number): void;
  commit(): boolean;
  abort(judged: boolean): boolean;
  refused(event: EventName, arg: number): boolean;
}

/** What came of a move; that a command cannot be begun now is one outcome, whatever the words. */
function play(on: Judging, move: Move): boolean | 'thrown' {
  if (!('event' in move))
    return move.kind === 'commit' ? on.commit() : on.abort(move.kind === 'judged abort');
  if (move.kind === 'event') return on.event(move.event, move.arg);
  if (move.kind === 'refused') return on.refused(move.event, move.arg);
  try {
    on.begin(move.event, move.arg);
    return true;
  } catch {
    return 'thrown';
  }
}

function engine(definition: MachineDefinition, key = 0) {
  const machine = compile(definition);
  const violations: Violation[] = [];
  const judge = monitor(machine, violation => violations.push(violation));
  const on: Judging = {
    event: (event, arg) => judge.event(key, machine.eventId(event), arg),
    begin: (event, arg) => judge.begin(key, machine.eventId(event), arg),
    commit: () => judge.commit(key),
    abort: judged => judge.abort(key, judged),
    refused: (event, arg) => judge.refused(key, machine.eventId(event), arg),
  };
  const taken = (from: State, event: EventName): number => judge.coverage[machine.transitionId(from, event)];
  const states = (): string => machine.namesOf(judge.possible(key)).join('');
  return { machine, judge, violations, on, taken, states };
}

describe('the engine of the machines', () => {
  it('knows what can be known: as much as one that keeps sets of names', () => {
    fc.assert(
      fc.property(machineArbitrary, fc.array(moveArbitrary, { maxLength: 25 }), (definition, moves) => {
        const { machine, judge, violations, on } = engine(definition, 70);
        judge.open(70, LIMIT);
        const plain = new Plain(definition);
        for (const move of moves) {
          const before = plain.life;
          const [ours, theirs] = [play(on, move), play(plain, move)];
          const failed = before === 'open' && plain.life === 'failed';
          expect([ours, judge.unjudged, violations.length]).toEqual([
            theirs,
            plain.unjudged,
            plain.life === 'failed' ? 1 : 0,
          ]);
          expect(machine.namesOf(judge.possible(70))).toEqual(plain.life === 'failed' ? [] : plain.states);
          if (plain.life === 'open') expect(judge.count(70)).toBe(plain.count);
          if (failed) {
            expect(violations[0].states).toEqual(plain.states);
            const expected = definition.transitions.filter(
              each => plain.states.includes(each.from) && !each.internal,
            );
            expect(violations[0].expected.toSorted()).toEqual(
              [...new Set(expected.map(each => each.event))].toSorted(),
            );
          }
        }
        const ended = judge.finish().length > (plain.life === 'failed' ? 1 : 0);
        expect(ended).toBe(!plain.mayEnd);
      }),
      { numRuns: 400, seed: 20 },
    );
  });

  it('says of a set of states whether all, some or none allow an event', () => {
    const definition = definitionOf([
      rule('A', 'GO', 'B'),
      rule('B', 'GO', 'C'),
      rule('C', 'MASK', 'D', { kind: 'mask', required: 1, optional: 2 }),
      rule('D', 'INC', 'A', { kind: 'below-limit' }),
    ]);
    const machine = compile(definition);
    const [go, mask, inc] = (['GO', 'MASK', 'INC'] as const).map(name => machine.eventId(name));
    expect(acceptable(machine, 0b0011, go, 0)).toBe('always');
    expect(acceptable(machine, 0b0111, go, 0)).toBe('sometimes');
    expect(acceptable(machine, 0b1100, go, 0)).toBe('never');
    expect([0, 1, 2, 3, 5].map(arg => acceptable(machine, 0b0100, mask, arg))).toEqual([
      'never',
      'always',
      'never',
      'always',
      'never',
    ]);
    expect(acceptable(machine, 0b1000, inc, 0)).toBe('always');
    expect(machine.counts(inc)).toBe(true);
    expect(machine.counts(go)).toBe(false);
  });

  it.each([
    [undefined, [true, true, true, true]],
    ['zero', [true, false, false, false]],
    ['positive', [false, true, true, true]],
    ['below-limit', [true, true, false, false]],
    ['at-limit', [false, false, true, true]],
  ] as const)('holds a transition with the guard %s to the counter', (kind, taken) => {
    const definition = definitionOf([
      rule('A', 'INC', 'A'),
      rule('A', 'GO', 'B', kind && { kind }),
      rule('B', 'GO', 'C'),
      rule('C', 'GO', 'D'),
    ]);
    for (const [count, takes] of taken.entries()) {
      const { judge, on, states } = engine(definition);
      judge.open(0, LIMIT);
      for (let i = 0; i < count; i++) on.event('INC', 0);
      expect([on.event('GO', 0), states()]).toEqual(takes ? [true, 'B'] : [false, '']);
    }
  });

  it('takes the shortest unseen way, and finds all that can be come to unseen', () => {
    const definition = definitionOf([
      rule('A', 'GO', 'B'),
      rule('B', 'HIDE', 'C'),
      rule('C', 'HIDE', 'D'),
      rule('D', 'HIDE', 'B'),
      rule('D', 'MASK', 'A'),
    ]);
    const { machine, judge, on, taken, states } = engine(definition);
    const closures = STATES.map((_, state) => machine.namesOf(machine.closure[state]).join(''));
    expect(closures).toEqual(['A', 'BCD', 'BCD', 'BCD']);
    judge.open(0);
    on.event('GO', 0);
    expect(states()).toBe('BCD');
    on.event('MASK', 0);
    expect([taken('B', 'HIDE'), taken('C', 'HIDE'), taken('D', 'HIDE')]).toEqual([1, 1, 0]);
    expect(taken('D', 'MASK')).toBe(1);
    expect(states()).toBe('A');
  });
});

describe('what was covered', () => {
  it('counts no unseen step when two can explain an event, and goes on from the first', () => {
    const { judge, on, taken, states } = engine(
      definitionOf([
        rule('A', 'HIDE', 'B'),
        rule('B', 'HIDE', 'C'),
        rule('B', 'GO', 'B'),
        rule('C', 'GO', 'C'),
        rule('C', 'MASK', 'D'),
      ]),
    );
    judge.open(0);
    expect(on.event('GO', 0)).toBe(true);
    expect([taken('B', 'GO'), taken('C', 'GO'), taken('A', 'HIDE')]).toEqual([0, 0, 0]);
    expect(on.event('GO', 0)).toBe(true);
    expect([taken('B', 'GO'), taken('C', 'GO'), states()]).toEqual([1, 0, 'BC']);
    on.event('MASK', 0);
    expect([taken('B', 'HIDE'), taken('C', 'MASK')]).toEqual([1, 1]);
  });

  it('is kept over runs, while instances, violations and counts of events are forgotten', () => {
    const { judge, on, taken, violations } = engine(
      definitionOf([rule('A', 'GO', 'B'), rule('B', 'MASK', 'C'), rule('C', 'HIDE', 'D')]),
    );
    judge.open(0);
    judge.open(5);
    on.event('GO', 0);
    on.event('GO', 0);
    on.event('GO', 0);
    expect([judge.consumed, judge.unjudged, violations.length]).toEqual([3, 1, 1]);
    judge.reset();
    expect([judge.consumed, judge.unjudged, taken('A', 'GO')]).toEqual([0, 0, 1]);
    expect([judge.isOpen(0), judge.isOpen(5), judge.isOpen(500)]).toEqual([false, false, false]);
    expect(judge.finish()).toEqual([]);
  });

  it('holds a command in flight once, when it was seen to have happened or when it is answered', () => {
    const definition = definitionOf([
      rule('A', 'GO', 'B'),
      rule('B', 'MASK', 'B'),
      rule('A', 'INC', 'A'),
      rule('B', 'INC', 'C'),
      rule('C', 'ADD', 'D'),
      rule('B', 'GO', 'B'),
    ]);
    const shown = engine(definition);
    shown.judge.open(0);
    shown.on.begin('GO', 0);
    expect(shown.states()).toBe('AB');
    expect(shown.on.event('MASK', 0)).toBe(true);
    expect([shown.taken('A', 'GO'), shown.taken('B', 'MASK'), shown.states()]).toEqual([1, 1, 'B']);
    expect(shown.on.event('MASK', 0)).toBe(true);
    expect(shown.on.commit()).toBe(true);
    expect([shown.taken('A', 'GO'), shown.taken('B', 'MASK'), shown.states()]).toEqual([1, 2, 'B']);
    expect(shown.taken('B', 'GO')).toBe(0);
    // The next one begins anew.
    shown.judge.open(0);
    shown.on.begin('GO', 0);
    expect(shown.on.commit()).toBe(true);
    expect(shown.taken('A', 'GO')).toBe(2);
    const before = engine(definition);
    before.judge.open(0);
    before.on.begin('GO', 0);
    expect(before.on.event('INC', 0)).toBe(true);
    expect([before.taken('A', 'INC'), before.taken('B', 'INC'), before.states()]).toEqual([1, 0, 'ABC']);
    expect(before.on.commit()).toBe(true);
    expect([before.states(), before.taken('A', 'GO')]).toEqual(['BC', 1]);
  });

  it('holds the unseen steps of the side on which an event in flight was possible', () => {
    const behind = engine(
      definitionOf([
        rule('A', 'GO', 'B'),
        rule('B', 'HIDE', 'C'),
        rule('C', 'MASK', 'D'),
        rule('D', 'GO', 'D'),
      ]),
    );
    behind.judge.open(0);
    behind.on.begin('GO', 0);
    expect(behind.on.event('MASK', 0)).toBe(true);
    expect([behind.taken('A', 'GO'), behind.taken('B', 'HIDE'), behind.taken('C', 'MASK')]).toEqual([
      1, 1, 1,
    ]);
    const before = engine(
      definitionOf([
        rule('A', 'GO', 'B'),
        rule('A', 'HIDE', 'D'),
        rule('D', 'MASK', 'D'),
        rule('B', 'GO', 'C'),
      ]),
    );
    before.judge.open(0);
    before.on.begin('GO', 0);
    expect(before.on.event('MASK', 0)).toBe(true);
    expect([before.taken('A', 'GO'), before.taken('A', 'HIDE'), before.taken('D', 'MASK')]).toEqual([
      0, 1, 1,
    ]);
  });

  it('holds nothing for a command of which only the outcome is left to be known', () => {
    const { judge, on, taken, states } = engine(
      definitionOf([
        rule('A', 'MASK', 'C'),
        rule('A', 'INC', 'B'),
        rule('C', 'INC', 'C'),
        rule('C', 'ADD', 'D'),
        rule('D', 'GO', 'D'),
      ]),
    );
    judge.open(0);
    on.begin('MASK', 0);
    expect([on.event('INC', 0), states()]).toEqual([true, 'BC']);
    expect([on.commit(), states()]).toEqual([true, 'C']);
    expect([taken('A', 'INC'), taken('A', 'MASK'), taken('D', 'GO')]).toEqual([1, 0, 0]);
  });

  it('holds the first transition and the first unseen step of a machine like all others', () => {
    const sure = engine(
      definitionOf([
        rule('A', 'GO', 'A'),
        rule('A', 'HIDE', 'B'),
        rule('B', 'GO', 'C'),
        rule('C', 'MASK', 'D'),
      ]),
    );
    sure.judge.open(0);
    sure.on.event('GO', 0);
    expect([sure.taken('A', 'GO'), sure.taken('A', 'HIDE'), sure.taken('B', 'GO')]).toEqual([1, 0, 0]);
    const unseen = engine(
      definitionOf([rule('A', 'HIDE', 'B'), rule('B', 'MASK', 'C'), rule('C', 'GO', 'D')]),
    );
    unseen.judge.open(0);
    unseen.on.event('MASK', 0);
    expect([unseen.taken('A', 'HIDE'), unseen.taken('B', 'MASK')]).toEqual([1, 1]);
  });
});

describe('instances', () => {
  const loop = definitionOf(
    [rule('A', 'GO', 'B'), rule('B', 'GO', 'C'), rule('C', 'HIDE', 'D')],
    ['A', 'C', 'D'],
  );

  it('begin anew when they are opened again, whatever was before', () => {
    const { judge, on, states, violations } = engine(loop);
    judge.open(0);
    on.event('GO', 0);
    on.begin('GO', 0);
    judge.open(0);
    expect([states(), judge.count(0)]).toEqual(['A', 0]);
    on.begin('GO', 0);
    expect(on.abort(false)).toBe(true);
    expect(states()).toBe('A');
    expect(violations).toEqual([]);
  });

  it('end where they may, when they are closed as at the end, each number by itself', () => {
    const { judge, on, violations, machine } = engine(loop);
    for (const key of [0, 63, 64, 200]) {
      judge.open(key);
      expect(judge.isOpen(key)).toBe(true);
    }
    on.event('GO', 0);
    judge.event(200, machine.eventId('GO'));
    judge.close(63);
    judge.close(0);
    judge.close(0);
    judge.close(1000);
    judge.drop(1000);
    expect(violations.map(({ key, event, requirements }) => [key, event, requirements])).toEqual([
      [0, 'end of trace', ['X-02']],
    ]);
    expect([0, 63, 64, 200].map(key => judge.isOpen(key))).toEqual([false, false, true, true]);
    judge.drop(64);
    expect(judge.finish().map(({ key }) => key)).toEqual([0, 200]);
    expect(judge.isOpen(200)).toBe(true);
    expect(judge.possible(200)).toBe(0);
  });

  it('that were never opened break the machine with whatever is said of them, and nothing more is said', () => {
    const { judge, on, violations } = engine(loop, 130);
    judge.close(130);
    expect(violations).toEqual([]);
    expect(on.commit()).toBe(false);
    expect(on.abort(false)).toBe(false);
    expect(on.refused('GO', 0)).toBe(false);
    on.begin('GO', 0);
    expect(
      violations.map(({ key, event, states, requirements }) => [key, event, states, requirements]),
    ).toEqual([[130, 'answer without a command', [], []]]);
    expect([judge.unjudged, judge.consumed, judge.isOpen(130)]).toEqual([2, 3, true]);
    expect(judge.finish()).toHaveLength(1);
    judge.reset();
    expect(judge.isOpen(130)).toBe(false);
  });

  it('are judged at the end in whatever order they were opened', () => {
    const { judge, machine } = engine(loop);
    for (const key of [5, 2]) {
      judge.open(key);
      judge.event(key, machine.eventId('GO'));
    }
    expect(judge.finish().map(({ key }) => key)).toEqual([2, 5]);
  });

  it('that are not there are not open, and break the machine once, up to the edge of what is kept', () => {
    for (const key of [0, 1, 63, 64, 65, 128]) {
      const { judge, on, violations } = engine(loop, key);
      expect(judge.isOpen(key)).toBe(false);
      expect([on.event('GO', 0), on.event('GO', 0)]).toEqual([false, false]);
      expect([violations.map(({ event }) => event), judge.unjudged]).toEqual([['GO'], 1]);
      judge.reset();
      expect(judge.isOpen(key)).toBe(false);
    }
  });

  it('have one command in flight, answered once; an answer to none is called that', () => {
    const { judge, on, violations } = engine(loop);
    judge.open(0);
    on.begin('GO', 0);
    expect(() => judge.begin(0, 0)).toThrow('TOY 0: begin GO while another is in flight');
    expect(judge.abort(0)).toBe(true);
    expect(judge.abort(0)).toBe(false);
    judge.open(0);
    expect(judge.commit(0)).toBe(false);
    expect(violations.map(({ event }) => event)).toEqual([
      'answer without a command',
      'answer without a command',
    ]);
  });

  it('keep their limit and their counter while others are added', () => {
    const { judge, machine } = engine(
      definitionOf([
        rule('A', 'INC', 'A', { kind: 'below-limit' }),
        rule('A', 'GO', 'B'),
        rule('B', 'GO', 'C'),
        rule('C', 'GO', 'D'),
      ]),
    );
    const inc = machine.eventId('INC');
    judge.open(3, 2);
    judge.open(4);
    judge.event(3, inc);
    judge.open(900, 1);
    expect([judge.event(3, inc), judge.event(3, inc), judge.count(3)]).toEqual([true, false, 2]);
    for (let i = 0; i < 5; i++) expect(judge.event(4, inc)).toBe(true);
    expect([judge.event(900, inc), judge.event(900, inc)]).toEqual([true, false]);
  });
});

describe('the obligations that a violation names', () => {
  const rules = [
    rule('A', 'HIDE', 'B'),
    rule('A', 'MASK', 'C'),
    { ...rule('C', 'GO', 'D'), requirement: 'X-09' },
    { ...rule('D', 'GO', 'D'), requirement: 'X-09' },
  ];
  const broken = (forbidden: MachineDefinition['forbidden']): readonly string[] => {
    const { judge, on, violations } = engine({ ...definitionOf(rules), forbidden });
    judge.open(0);
    expect(on.event('GO', 0)).toBe(false);
    return violations[0].requirements;
  };

  it('are those of the likeliest state, else of any possible one, else those of the event elsewhere', () => {
    const here = { from: 'A', event: 'GO', requirement: 'X-05' };
    const also = { from: 'B', event: 'GO', requirement: 'X-06' };
    const elsewhere = { from: 'C', event: 'DEC', requirement: 'X-07' };
    expect(broken([also, here, elsewhere])).toEqual(['X-05']);
    expect(broken([also, elsewhere])).toEqual(['X-06']);
    expect(broken([elsewhere, { from: 'A', event: 'ADD', requirement: 'X-08' }])).toEqual(['X-09']);
    expect(broken([also, { ...also, requirement: 'X-10' }])).toEqual(['X-06', 'X-10']);
  });
});
