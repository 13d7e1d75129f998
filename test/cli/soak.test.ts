/** `vrdma soak`: its state file, its findings, what it says, and how it ends. */
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { soakLine } from '../../src/cli/format/soak.js';
import { plain } from '../../src/cli/format/text.js';
import { inputsOf } from '../../src/conformance/soak/batch.js';
import { newState } from '../../src/conformance/soak/index.js';
import type { SoakPlan, SoakState } from '../../src/conformance/soak/index.js';
import { fixture, temporaryDirectory, vrdma } from './support.js';
import type { Result, Terminal } from './support.js';

/** A soak in a directory of its own, with one worker and a seed that is always the same. */
function soakIn(directory: string, ...argv: readonly string[]): Promise<Result> {
  return withTerminal({}, directory, ...argv);
}

function withTerminal(terminal: Terminal, directory: string, ...argv: readonly string[]): Promise<Result> {
  return vrdma(['soak', '--out', directory, '--workers', '1', ...argv], terminal);
}

function stateIn(directory: string): SoakState {
  return JSON.parse(readFileSync(join(directory, 'soak-state.json'), 'utf8')) as SoakState;
}

function withoutTime({ elapsedMs: _elapsed, sessions: _sessions, ...state }: SoakState): object {
  return state;
}

/** Batch and place of the first settled program that makes a completion queue without entries. */
function firstWithoutEntries(plan: SoakPlan): readonly [batch: number, place: number] {
  for (let number = 0; number < 500; number++) {
    const place = inputsOf(plan, { mode: 'settled', number }).findIndex(
      input =>
        'program' in input && input.program.actions.some(each => each.op === 'createCq' && each.cqe === 0),
    );
    if (place >= 0) return [number, place];
  }
  throw new Error('no program makes a completion queue without entries');
}

const faulty = ['--modes', 'settled', '--driver', fixture('makes-no-domain.mjs')];

describe('vrdma soak', () => {
  it('finds nothing in the bundled driver and device, and says what it tried', async () => {
    const directory = temporaryDirectory();
    const { code, out } = await soakIn(directory, '--runs', '3', '--workers', '2');
    expect(out).toMatch(/^vrdma soak {2}the bundled driver on the bundled device\nprofile both, seed 4242, /);
    expect(out).toMatch(/NOTHING FOUND {2}in 1 session/);
    expect(out).toMatch(/^hostile-driver +1 +0 +0 +[0-9,]{3,} /m);
    expect(code).toBe(0);
    expect(readdirSync(directory)).toEqual(['soak-state.json']);
  });

  it('keeps a fault that shows many times as one finding in one file, over two sessions as in one', async () => {
    const [once, twice] = [temporaryDirectory(), temporaryDirectory()];
    const whole = await soakIn(once, ...faulty, '--runs', '2');
    expect(whole.code).toBe(1);
    await soakIn(twice, ...faulty, '--runs', '1', '--workers', '2');
    const second = await soakIn(twice, ...faulty, '--runs', '1', '--quiet');
    expect(second.out).toContain(', session 2');
    const files = readdirSync(once).filter(name => name !== 'soak-state.json');
    expect(files).toEqual(['soak-para-virtualisation-is-invisible.json']);
    expect(readdirSync(twice).toSorted()).toEqual(readdirSync(once).toSorted());
    const state = stateIn(twice);
    expect(state.sessions).toBe(2);
    expect(state.findings[0].count).toBeGreaterThan(3);
    const moved = JSON.parse(JSON.stringify(stateIn(once)).replaceAll(once, twice)) as SoakState;
    expect(withoutTime(state)).toEqual(withoutTime(moved));
    // The finding is told with the command that shows it again, and the command does.
    expect(whole.out).toMatch(
      /BROKEN {2}para-virtualisation is invisible .*\n(?:.*\n)*.*vrdma soak --again /,
    );
    const again = await soakIn(once, '--again', join(once, files[0]), ...faulty.slice(2));
    expect(again.out).toContain('BROKEN  para-virtualisation is invisible');
    expect(again.code).toBe(1);
    const mended = await soakIn(once, '--again', join(once, files[0]));
    expect(mended.out).toContain('breaks nothing');
    expect(mended.code).toBe(0);
  });

  it('holds to one format of rings, and to it still when it is gone on with', async () => {
    const directory = temporaryDirectory();
    const argv = ['--modes', 'hostile-driver', '--runs', '1'];
    const { out } = await soakIn(directory, ...argv, '--rings', 'packed');
    expect(out).toContain('profile both, packed rings, seed 4242');
    await soakIn(directory, ...argv);
    expect(stateIn(directory)).toMatchObject({ rings: 'packed', sessions: 2 });
  });

  it('starts a worker again that the implementation has stopped, and names the input', async () => {
    const directory = temporaryDirectory();
    process.env.VRDMA_FIXTURE = 'exits';
    const driver = fixture('stops-at-no-entries.mjs');
    // A soak that has come to the batch with the first program that the driver cannot stand.
    const state = newState({ seed: 5, profile: 'both', rings: 'both', driver, device: null, kit: '1.2.3' });
    const [batch, place] = firstWithoutEntries(state);
    state.modes.settled.batches = batch;
    writeFileSync(join(directory, 'soak-state.json'), JSON.stringify(state));
    const argv = ['--modes', 'settled', '--runs', '2', '--driver', driver];
    const { code, err } = await soakIn(directory, ...argv);
    expect(err).toContain('a worker is started again: it ended its thread with process.exit(7)');
    const { findings, modes } = stateIn(directory);
    expect(findings).toMatchObject([
      { law: 'an implementation answers', mode: 'settled', batch, place, shrinks: 0 },
    ]);
    expect(modes.settled.batches).toBe(batch + 2);
    expect(existsSync(findings[0].file)).toBe(true);
    expect(code).toBe(1);
  });

  it('ends gently when it is interrupted, and can be gone on with', async () => {
    const directory = temporaryDirectory();
    const { code, err } = await withTerminal({ interruptAfter: /hostile inputs/ }, directory, '--time', '1h');
    expect(err).toContain('stopping after the inputs at hand');
    expect(code).toBe(3);
    const { modes } = stateIn(directory);
    expect(modes.settled.batches).toBeGreaterThan(0);
  });

  it.each([
    ['is no JSON', '{', [], 'is not JSON'],
    ['is newer than the kit', '{"version":9}', [], 'version 9; this kit reads version 1: use a newer vrdma'],
    ['is for another seed', '', ['--seed', '6'], 'a soak with seed 5, and 6 is asked for'],
    ['is for another profile', '', ['--profile', 'rdma'], 'with profile both, and rdma is asked for'],
    ['is for other rings', '', ['--rings', 'packed'], 'with rings both, and packed is asked for'],
    ['is for another driver', '', faulty.slice(2), 'with driver bundled, and '],
  ])('exits with 2 for a state that %s', async (_why, text, argv, message) => {
    const directory = temporaryDirectory();
    const state = newState({
      seed: 5,
      profile: 'both',
      rings: 'both',
      driver: null,
      device: null,
      kit: '1.2.3',
    });
    writeFileSync(join(directory, 'soak-state.json'), text === '' ? JSON.stringify(state) : text);
    const { code, err } = await soakIn(directory, '--runs', '1', ...argv);
    expect(err).toContain(message);
    expect(code).toBe(2);
  });

  it.each([
    [['--modes', 'setled'], "mode 'setled'"],
    [['--rings', 'round'], 'Allowed choices are split, packed, both'],
    [['--workers', '0'], 'from 1 to 256'],
    [['--time', 'soon'], 'a time such as'],
    [['--again', fixture('exits.mjs')], 'is not JSON'],
  ])('exits with 2 for %j', async (argv, message) => {
    const { code, err } = await soakIn(temporaryDirectory(), ...argv);
    expect(err).toContain(message);
    expect(code).toBe(2);
  });

  it('exits with 3 when the implementation cannot be loaded', async () => {
    const { code, err } = await soakIn(
      temporaryDirectory(),
      '--runs',
      '1',
      '--driver',
      fixture('throws-on-load.mjs'),
    );
    expect(err).toContain('threw while it was loaded');
    expect(code).toBe(3);
  });
});

describe('the line of a soak', () => {
  const zero = newState({
    seed: 5,
    profile: 'both',
    rings: 'both',
    driver: null,
    device: null,
    kit: '1.2.3',
  });
  const state: SoakState = {
    ...zero,
    elapsedMs: 3_723_000,
    modes: {
      ...zero.modes,
      settled: { ...zero.modes.settled, programs: 1234, calls: 30_000 },
      'hostile-driver': { ...zero.modes['hostile-driver'], hostileInputs: 50_000 },
    },
  };

  it('says how long all sessions took, and how fast this one is', () => {
    expect(soakLine({ state, before: zero, elapsedMs: 10_000 }, 120, plain)).toBe(
      '1:02:03  no findings  1,234 programs  3,000 calls/s  50,000 hostile inputs  5,000/s',
    );
  });

  it('is never wider than the terminal', () => {
    for (let width = 10; width < 100; width += 7)
      expect(soakLine({ state, before: zero, elapsedMs: 1 }, width, plain).length).toBeLessThan(width);
  });
});
