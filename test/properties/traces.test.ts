/**
 * Two laws of traces. What the kit records of a sound run is passed: whole, each point alone, one side alone, and from any
 * line on. And a recorded trace in which something is wrong is not passed: a line that others rest on is missing, a line
 * that can come once comes twice, or says something else.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { QpAttrMask } from '../../src/abi/index.js';
import { programArbitrary, writeProgram } from '../../src/conformance/generate/program-arbitrary.js';
import { mutants } from '../../src/conformance/mutants/index.js';
import type { Program } from '../../src/conformance/program.js';
import type { TraceEvent } from '../../src/conformance/trace.js';
import { judged, record } from '../conformance/elsewhere/support.js';
import type { Recorded } from '../conformance/elsewhere/support.js';

const programs: fc.Arbitrary<Program> = fc.oneof(
  programArbitrary({ mode: 'settled', actionsMax: 120 }),
  programArbitrary({ mode: 'racing', actionsMax: 120 }),
);
/** A place in a list of any length, to be taken modulo it. */
const place = fc.nat({ max: 999_983 });
const RUNS = 20;

/** Whose doing a line is. */
function sideOf(event: TraceEvent): 'driver' | 'device' | undefined {
  if (event.point === 'control') return event.side;
  if (event.point !== 'ring') return undefined;
  if (event.side !== undefined) return event.side;
  if (['available', 'published', 'consumed'].includes(event.what)) return 'driver';
  return ['taken', 'used', 'interrupt'].includes(event.what) ? 'device' : undefined;
}

describe('what is recorded of a sound run is passed', () => {
  it('whole, and nothing of it is spoilt or older', async () => {
    await fc.assert(
      fc.asyncProperty(programs, async program => {
        const { header, events } = await record(program);
        const verdict = judged(header, events);
        expect(verdict.findings).toEqual([]);
        expect(verdict).toMatchObject({
          verdict: 'pass',
          lines: events.length + 1,
          unjudged: { spoilt: 0, older: 0 },
        });
      }),
      { numRuns: RUNS },
    );
  });

  it('each point alone, each side alone, and from any line on', async () => {
    await fc.assert(
      fc.asyncProperty(programs, place, async (program, from) => {
        const { header, events } = await record(program);
        for (const point of ['verbs', 'control', 'ring'] as const) {
          const part = events.filter(event => event.point === point);
          expect(judged({ ...header, points: [point] }, part).findings).toEqual([]);
        }
        for (const side of ['driver', 'device'] as const) {
          const part = events.filter(event => (sideOf(event) ?? side) === side);
          expect(judged({ ...header, sides: [side] }, part).findings).toEqual([]);
        }
        const points = ['verbs', 'control'] as const;
        const rest = events
          .slice(from % events.length)
          .filter(event => event.point === 'verbs' || event.point === 'control');
        expect(judged({ ...header, points, from: 'middle' }, rest).findings).toEqual([]);
      }),
      { numRuns: RUNS },
    );
  });
});

/** Lines that can come once: coming twice, they are not passed. */
function comesOnce(event: TraceEvent): boolean {
  if (event.point === 'control') return true;
  if (event.point === 'ring') return ['available', 'taken', 'used', 'consumed'].includes(event.what);
  return event.point === 'verbs' && ['call', 'result', 'completion'].includes(event.what);
}

/** Lines that a later line of the trace rests on. */
function isNeeded(events: readonly TraceEvent[], at: number): boolean {
  const event = events[at];
  const later = (test: (each: TraceEvent) => boolean): boolean => events.slice(at + 1).some(test);
  if (event.point === 'control')
    return (
      event.what === 'command' &&
      later(
        each =>
          each.point === 'control' &&
          each.what === 'answer' &&
          each.id === event.id &&
          each.side === event.side &&
          each.vm === event.vm,
      )
    );
  if (event.point === 'ring') {
    if (!['available', 'taken', 'used', 'consumed'].includes(event.what)) return false;
    return later(
      each =>
        each.point === 'ring' &&
        each.vm === event.vm &&
        each.queue === event.queue &&
        each.head === event.head,
    );
  }
  if (event.point !== 'verbs') return false;
  if (event.what === 'call')
    return later(each => each.point === 'verbs' && each.what === 'result' && each.call === event.call);
  const sameQueue = (each: TraceEvent): boolean =>
    each.point === 'verbs' &&
    'queue' in each &&
    'queue' in event &&
    each.vm === event.vm &&
    each.qp === event.qp &&
    each.queue === event.queue;
  // Of a queue that is never emptied by a reset: what is missing is noticed at the next completion.
  if (event.what === 'post')
    return later(
      each => sameQueue(each) && each.point === 'verbs' && each.what === 'completion' && each.wr === event.wr,
    );
  return false;
}

/** Says something else in one line; undefined when that line says nothing that is judged. */
const lies: Readonly<
  Record<string, (event: TraceEvent, events: readonly TraceEvent[]) => TraceEvent | undefined>
> = {
  'a modify leaves an attribute out that its row needs': (event, events) =>
    event.point === 'verbs' &&
    event.what === 'call' &&
    ((event.mask ?? 0) & QpAttrMask.PATH_MTU) !== 0 &&
    succeedsAlone(events, event.call)
      ? { ...event, mask: 1 }
      : undefined,
  'a completion comes from a queue that is not its own': event =>
    event.point === 'verbs' && event.what === 'completion' ? { ...event, cq: 'cq99' } : undefined,
  'a completion names a request that was never posted': event =>
    event.point === 'verbs' && event.what === 'completion' ? { ...event, wr: 'nobody' } : undefined,
  'a completion names a queue pair that does not exist': event =>
    event.point === 'verbs' && event.what === 'completion' ? { ...event, qp: 'qp99' } : undefined,
  'a post names a queue pair that does not exist': event =>
    event.point === 'verbs' && event.what === 'post' ? { ...event, qp: 'qp99' } : undefined,
  'the driver sees another answer than was given': event =>
    event.point === 'control' && event.what === 'answer' && event.side === 'driver'
      ? { ...event, ack: event.ack === 'OK' ? 'ERR' : 'OK' }
      : undefined,
  'the device takes another command than was issued': event =>
    event.point === 'control' && event.what === 'command' && event.side === 'device'
      ? { ...event, command: event.command === 'ADD_GID' ? 'DEL_GID' : 'ADD_GID' }
      : undefined,
  'the device takes a chain that is not there': event =>
    event.point === 'ring' && event.what === 'taken' ? { ...event, head: 1000 } : undefined,
  'the device returns a chain that it does not have': event =>
    event.point === 'ring' && event.what === 'used' ? { ...event, head: 1000 } : undefined,
};

/** A call that is granted, and no other call is under way meanwhile. */
function succeedsAlone(events: readonly TraceEvent[], call: number): boolean {
  const calls = events.filter(
    event => event.point === 'verbs' && (event.what === 'call' || event.what === 'result'),
  );
  const at = calls.findIndex(event => event.what === 'call' && event.call === call);
  const next = calls.at(at + 1);
  return (
    next?.what === 'result' && next.call === call && next.ok && (at === 0 || calls[at - 1].what === 'result')
  );
}

function passes({ header }: Recorded, events: readonly TraceEvent[]): boolean {
  try {
    return judged(header, events).verdict === 'pass';
  } catch {
    return false;
  }
}

type Trace = readonly TraceEvent[];
const changes: Readonly<
  Record<string, { may(events: Trace, at: number): boolean; change(events: Trace, at: number): Trace }>
> = {
  'a line twice that can come once': {
    may: (events, at) => comesOnce(events[at]),
    change: (events, at) => [...events.slice(0, at + 1), ...events.slice(at)],
  },
  'without a line that others rest on': { may: isNeeded, change: (events, at) => events.toSpliced(at, 1) },
};

describe('a trace with something wrong in it is not passed', () => {
  it.each(Object.entries(changes))('%s', async (_name, { may, change }) => {
    let tried = 0;
    await fc.assert(
      fc.asyncProperty(
        programs,
        fc.array(place, { minLength: 20, maxLength: 20 }),
        async (program, places) => {
          const recorded = await record(program);
          const { events } = recorded;
          for (const each of places) {
            const at = each % events.length;
            if (!may(events, at)) continue;
            tried++;
            const line = JSON.stringify(events[at]);
            expect(passes(recorded, change(events, at)), `line ${at + 2}: ${line}`).toBe(false);
          }
        },
      ),
      { numRuns: 5 },
    );
    expect(tried).toBeGreaterThan(20);
  });

  it.each(Object.entries(lies))('%s', async (_name, lie) => {
    let tried = 0;
    for (let seed = 0; seed < 8; seed++) {
      const recorded = await record(
        writeProgram(seed, { mode: seed % 2 === 0 ? 'settled' : 'racing', actionsMax: 80 }),
      );
      const { events } = recorded;
      for (const [at, event] of events.entries()) {
        const told = lie(event, events);
        if (told === undefined || tried >= 24) continue;
        if (event.point === 'verbs' && event.what === 'completion' && wasDestroyed(events, at)) continue;
        tried++;
        const line = `seed ${seed}, line ${at + 2}: ${JSON.stringify(event)}`;
        expect(passes(recorded, events.with(at, told)), line).toBe(false);
      }
    }
    expect(tried).toBeGreaterThan(8);
  });
});

/** Left behind by a queue pair that was destroyed: such completions may come and are not judged. */
function wasDestroyed(events: readonly TraceEvent[], at: number): boolean {
  const completion = events[at];
  if (completion.point !== 'verbs' || completion.what !== 'completion') return false;
  return events
    .slice(0, at)
    .some(
      each =>
        each.point === 'verbs' &&
        each.what === 'call' &&
        each.vm === completion.vm &&
        each.verb === 'destroyQp' &&
        each.id === completion.qp,
    );
}

/** Faults that show at these points, with the law or machine that their traces break. */
const planted: readonly (readonly [mutant: string, law: string])[] = [
  ['device/ack-of-a-refusal-is-ok', 'machine COMMAND'],
  ['device/modify-qp-answered-and-not-done', 'machine QP.RC'],
  ['device/flush-is-success', 'the rest of a failed queue is flushed'],
  ['device/sends-reordered', 'completions of a queue come in posting order'],
  ['device/signaled-taken-for-granted', 'every work request completes exactly once'],
  ['device/armed-once-for-ever', 'an event needs an arming'],
  ['ring/used-id-of-the-one-before', 'machine CHAIN'],
  ['ring/asleep-with-kicks-off', 'machine NOTIFY_DEVICE'],
  ['ring/used-event-one-too-late', 'machine NOTIFY_DRIVER'],
  ['driver/completion-seen-twice', 'every work request completes exactly once'],
  ['driver/handler-called-twice', 'an event needs an arming'],
  ['driver/cq-in-use-destroyed', 'machine CQ_USE'],
  ['driver/receive-forgotten', 'completions of a queue come in posting order'],
];

describe('the trace of a system with one fault breaks a law', () => {
  it.each(planted)('%s: %s', async (id, law) => {
    const mutant = mutants.find(each => each.id === id);
    if (mutant === undefined) throw new Error(`there is no mutant ${id}`);
    const broken = new Set<string>();
    for (let seed = 0; seed < 20 && !broken.has(law); seed++) {
      const mode = seed % 2 === 0 ? 'settled' : 'racing';
      // The faults of rings are planted in split ones.
      const program = {
        ...writeProgram(seed, { mode, actionsMax: 100 }),
        packed: undefined,
        inOrder: undefined,
      };
      const { header, events } = await record(program, mutant.implementation);
      for (const finding of judged(header, events).findings) broken.add(finding.law);
    }
    expect([...broken]).toContain(law);
  });
});
