/** A soak is a function of its seed and counters, finds what is wrong once, and forgets nothing between two sessions. */
import { describe, expect, it } from 'vitest';
import { bundledDevice, bundledDriver } from '../../src/conformance/bundled.js';
import type { Implementation } from '../../src/conformance/implementation.js';
import { overlay } from '../../src/conformance/mutants/seams/overlay.js';
import { parseProgram } from '../../src/conformance/replay.js';
import { inputsOf, modeAt } from '../../src/conformance/soak/batch.js';
import {
  findingText,
  newState,
  parseFinding,
  parseState,
  runBatch,
  shrinkFailure,
  soak,
  soakModes,
  totalsOf,
  tryAgain,
} from '../../src/conformance/soak/index.js';
import type {
  Batch,
  Failure,
  SoakCrew,
  SoakInput,
  SoakMode,
  SoakState,
} from '../../src/conformance/soak/index.js';
import { shapeOf, symptomOf, worthShrinking } from '../../src/conformance/soak/kind.js';
import { VerbsError } from '../../src/verbs/index.js';

const subject = {
  seed: 77,
  profile: 'both',
  rings: 'both',
  driver: null,
  device: null,
  kit: '1.0.0',
} as const;
const fresh = (): SoakState => newState(subject);

/** A driver that makes no domain: one verb, one fault, seen in every program. */
const makesNoDomain: Implementation = {
  async driver(context) {
    const createPd = async () => {
      throw new VerbsError('ENOMEM', 'CREATE_PD', 'no domain is left');
    };
    return overlay(await bundledDriver(context), { createPd });
  },
};

/** A driver in which a verb throws what is no error of verbs. */
const throwsAnything: Implementation = {
  async driver(context) {
    const createAh = async () => {
      throw new TypeError('undefined is not an address');
    };
    return overlay(await bundledDriver(context), { createAh });
  },
};

const sound: Implementation = {};

interface Saved {
  readonly files: { input: SoakInput; failure: Failure }[];
  readonly crew: SoakCrew;
}

/** Does the work on the spot. */
function localCrew(implementation: Implementation): Saved {
  return {
    files: [],
    crew: {
      async run(batch, skip) {
        const outcome = await runBatch(subject, batch, skip, implementation, () => true);
        return outcome === undefined ? { kind: 'stopped' } : { kind: 'done', outcome };
      },
      async shrink(batch, failure) {
        const shrunk = await shrinkFailure(subject, batch, failure, implementation, () => true);
        return shrunk === undefined ? { kind: 'stopped' } : { kind: 'shrunk', shrunk };
      },
    },
  };
}

interface Wanted {
  readonly batches?: number;
  readonly modes?: readonly SoakMode[];
  readonly inFlight?: number;
  readonly goOn?: () => boolean;
}

function run({ crew, files }: Saved, from: SoakState, wanted: Wanted): Promise<SoakState> {
  return soak(from, crew, {
    modes: wanted.modes ?? soakModes,
    inFlight: wanted.inFlight ?? 1,
    batches: wanted.batches,
    goOn: wanted.goOn ?? (() => true),
    save: (input, failure) => `${files.push({ input, failure })}.json`,
    onFinding: () => undefined,
    onBatch: () => undefined,
  });
}

describe('what a soak tries', () => {
  it('follows from the seed, the mode and the number of the batch, and differs with each of them', () => {
    const text = (seed: number, batch: Batch) =>
      JSON.stringify(inputsOf({ seed, profile: 'both', rings: 'both' }, batch));
    const batches: Batch[] = soakModes.flatMap(mode => [0, 1, 0x1_0000].map(number => ({ mode, number })));
    const texts = batches.map(batch => text(1, batch));
    expect(batches.map(batch => text(1, batch))).toEqual(texts);
    expect(new Set([...texts, text(2, batches[0])]).size).toBe(batches.length + 1);
  });

  it('has programs of many lengths up to a thousand actions and more, both profiles, all ring features, wide limits', () => {
    const inputs = Array.from({ length: 60 }, (_, number) =>
      inputsOf({ seed: 5, profile: 'both', rings: 'both' }, { mode: 'racing', number }),
    ).flat();
    const programs = inputs.flatMap(input => ('program' in input ? [input.program] : []));
    const lengths = programs.map(({ actions }) => actions.length);
    expect(Math.min(...lengths)).toBeLessThan(30);
    expect(Math.max(...lengths)).toBeGreaterThan(1000);
    expect(new Set(inputs.map(({ profile }) => profile))).toEqual(new Set(['roce', 'rdma']));
    expect(new Set(programs.map(({ indirect, eventIdx }) => `${indirect} ${eventIdx}`)).size).toBe(4);
    expect(programs.some(({ wide }) => wide === true)).toBe(true);
  });

  it.each(soakModes)('is the same on rings of one format as on both, but for the format: %s', mode => {
    const formatsOf = (rings: SoakState['rings']) =>
      inputsOf({ ...subject, rings }, { mode, number: 3 }).map(input =>
        'program' in input
          ? { packed: input.program.packed === true, rest: { ...input.program, packed: undefined } }
          : {
              packed: input.attacks.some(({ packed }) => packed === true),
              rest: input.attacks.map(attack => ({ ...attack, packed: undefined })),
            },
      );
    const both = formatsOf('both');
    expect(new Set(both.map(({ packed }) => packed)).size).toBe(2);
    expect(formatsOf('split')).toEqual(both.map(each => ({ ...each, packed: false })));
    expect(formatsOf('packed')).toEqual(both.map(each => ({ ...each, packed: true })));
  });

  it('takes turns with the modes that are wanted, whichever they are', () => {
    const turns = Array.from({ length: 90 }, (_, n) => modeAt(n, soakModes));
    for (const mode of soakModes)
      expect(turns.filter(each => each === mode).length).toBeGreaterThanOrEqual(10);
    expect(modeAt(17, ['rings'])).toBe('rings');
  });
});

function firstBatchWith(mode: SoakMode, word: string): number {
  const has = (number: number) =>
    inputsOf(subject, { mode, number }).some(input => shapeOf(input).split(' ').includes(word));
  return Array.from({ length: 50 }, (_, number) => number).findIndex(number => has(number));
}

/** What is left of an act when all its numbers have become as small as the fault lets them. */
const leastAct: Partial<Record<SoakMode, object>> = {
  'hostile-device': { act: 'verb', at: 0 },
  'hostile-driver': { act: 'reset-queue', queue: 0, again: false },
};

describe('a soak', () => {
  it('of the bundled driver and device finds nothing, in any mode', async () => {
    const { crew, files } = localCrew(sound);
    const state = await run({ crew, files }, fresh(), { batches: 7 });
    expect(state.findings).toEqual([]);
    for (const mode of soakModes) expect(state.modes[mode].batches).toBeGreaterThan(0);
    const { programs, calls, hostileInputs, unsupported } = totalsOf(state);
    expect(programs).toBeGreaterThan(10);
    expect(calls).toBeGreaterThan(1000);
    expect(hostileInputs).toBeGreaterThan(1500);
    expect(unsupported).toBe(0);
  });

  it('comes to the same state however many work, and however often it is stopped and gone on with', async () => {
    const modes = ['hostile-device'] as const;
    const whole = await run(localCrew(throwsAnything), fresh(), { modes, batches: 4 });
    expect(whole.findings.length).toBeGreaterThan(0);
    const wide = await run(localCrew(throwsAnything), fresh(), { modes, batches: 4, inFlight: 3 });
    expect(wide).toEqual(whole);
    const parts = localCrew(throwsAnything);
    let state = fresh();
    for (const batches of [1, 3]) {
      state = await run(parts, state, { modes, batches, inFlight: 2 });
      state = parseState(JSON.stringify(state), 'state.json');
    }
    // The names of the files count on over the sessions.
    expect(state).toEqual(whole);
    expect(parts.files).toHaveLength(whole.findings.length);
  });

  it('writes one file for a fault that shows many times, as small as can be', async () => {
    const saved = localCrew(makesNoDomain);
    let shrunk = 0;
    const counting: SoakCrew = {
      ...saved.crew,
      shrink(batch, failure) {
        shrunk++;
        return saved.crew.shrink(batch, failure);
      },
    };
    const state = await run({ ...saved, crew: counting }, fresh(), { modes: ['settled'], batches: 2 });
    expect(state.findings.map(({ shape }) => shape)).toEqual(['createPd']);
    const [{ count }] = state.findings;
    expect(count).toBeGreaterThan(10);
    // Most of them were known by their symptom, and not made small once more.
    expect(Object.values(state.symptoms)).toEqual([{ seen: count, finding: 0 }]);
    expect(shrunk).toBe(Array.from({ length: count }).filter((_, i) => worthShrinking(i + 1)).length);
    expect(saved.files).toHaveLength(1);
    const [{ input, failure }] = saved.files;
    const text = findingText(input, failure);
    expect(parseProgram(text, 'f.json').actions).toHaveLength(1);
    const again = parseFinding(text, 'f.json');
    expect(again).toEqual({ input, failure });
    expect(await tryAgain(again.input, makesNoDomain)).toEqual(failure);
    expect(await tryAgain(again.input, sound)).toBeUndefined();
  });

  it.each<[SoakMode, string, string, Implementation]>([
    ['hostile-device', 'verb', 'HOST-34 HOST-35', throwsAnything],
    [
      'hostile-driver',
      'reset-queue',
      'HOST-01',
      {
        device: context =>
          overlay(bundledDevice(context), {
            resetQueue() {
              throw new RangeError('no such queue');
            },
          }),
      },
    ],
  ])(
    'shrinks an attack of a %s to the acts that it takes: %s, plain as can be',
    async (mode, shape, law, faulty) => {
      const saved = localCrew(faulty);
      const start = fresh();
      start.modes[mode].batches = firstBatchWith(mode, shape);
      const state = await run(saved, start, { modes: [mode], batches: 1 });
      expect(state.findings).toMatchObject([{ law, shape }]);
      const [{ input, failure }] = saved.files;
      if ('program' in input) throw new Error('an attack is no program');
      const [attack, ...others] = input.attacks;
      expect(others).toEqual([]);
      expect(attack).toMatchObject({ indirect: false, eventIdx: false, acts: [leastAct[mode] ?? {}] });
      const again = parseFinding(findingText(input, failure), 'f.json');
      expect((await tryAgain(again.input, faulty))?.law).toBe(failure.law);
      expect(await tryAgain(again.input, sound)).toBeUndefined();
    },
  );

  it('names what a worker died of, leaves it out and tries the rest', async () => {
    const { crew, files } = localCrew(sound);
    const skipped: (readonly number[])[] = [];
    const failure = { law: 'an implementation answers', requirements: ['HOST-01'], message: 'it blocks' };
    const dying: SoakCrew = {
      ...crew,
      async run(batch, skip) {
        skipped.push(skip);
        const place = [3, 1].find(each => !skip.includes(each));
        return place === undefined ? crew.run(batch, skip) : { kind: 'died', place, failure };
      },
    };
    const state = await run({ crew: dying, files }, fresh(), { modes: ['hostile-device'], batches: 1 });
    expect(skipped).toEqual([[], [3], [3, 1]]);
    const inputs = inputsOf(subject, { mode: 'hostile-device', number: 0 });
    expect(files).toEqual([{ input: inputs[3], failure }]);
    expect(state.findings).toMatchObject([{ law: failure.law, place: 3, batch: 0, count: 2 }]);
    expect(state.modes['hostile-device'].hostileInputs).toBeGreaterThan(0);
  });

  it('that is stopped in the middle of a batch keeps what came before it', async () => {
    const { crew, files } = localCrew(sound);
    let runs = 0;
    const stopping: SoakCrew = {
      ...crew,
      run: async (batch, skip) => (++runs > 2 ? { kind: 'stopped' } : crew.run(batch, skip)),
    };
    const state = await run({ crew: stopping, files }, fresh(), { modes: ['hostile-device'], inFlight: 4 });
    expect(state.modes['hostile-device'].batches).toBe(2);
    const whole = await run(localCrew(sound), fresh(), { modes: ['hostile-device'], batches: 2 });
    expect(state).toEqual(whole);
  });
});

describe('kinds of findings', () => {
  it('are told apart by verbs or acts in order, not by numbers', () => {
    const [input] = inputsOf(subject, { mode: 'settled', number: 0 });
    if (!('program' in input)) throw new Error('a settled input holds a program');
    const actions = [
      { op: 'createPd', vm: 0, as: 'pd0' },
      { op: 'createPd', vm: 1, as: 'pd7' },
      { op: 'destroyPd', vm: 0, pd: 'pd0' },
    ] as const;
    expect(shapeOf({ ...input, program: { ...input.program, actions: [...actions] } })).toBe(
      'createPd*2 destroyPd',
    );
  });

  it('a symptom is what was seen without its numbers', () => {
    const of = (message: string) => symptomOf({ law: 'a law', requirements: [], message });
    expect(of('qp3 got 12 bytes at 0x1f00\n  at somewhere')).toBe(of('qp14 got 7 bytes at 0x2'));
    expect(of('qp3 got nothing')).not.toBe(of('qp3 got 12 bytes'));
  });

  it('a symptom that was seen often is made small now and then', () => {
    const shrunk = Array.from({ length: 1000 }, (_, i) => i + 1).filter(seen => worthShrinking(seen));
    expect(shrunk).toEqual([1, 2, 3, 4, 8, 16, 32, 64, 128, 256, 512]);
  });
});

describe('the state of a soak', () => {
  it.each([
    ['{', 'state.json is not JSON'],
    ['[]', 'state.json is no soak state: the file'],
    [
      JSON.stringify({ ...newState(subject), version: 2 }),
      'version 2; this kit reads version 1: use a newer',
    ],
    [JSON.stringify({ ...newState(subject), seed: -1 }), 'seed'],
    [
      JSON.stringify({ ...newState(subject), symptoms: { x: { seen: 1, finding: 0 } } }),
      'finding 0 is not there',
    ],
  ])('that is %s is refused with a reason', (text, reason) => {
    expect(() => parseState(text, 'state.json')).toThrow(reason);
  });

  it('that was written is read as it was', () => {
    expect(parseState(JSON.stringify(fresh()), 'state.json')).toEqual(fresh());
  });

  it('of before there was a choice of rings has both', () => {
    const { rings: _rings, ...older } = fresh();
    expect(parseState(JSON.stringify(older), 'state.json')).toEqual(fresh());
  });
});
