/**
 * Every fixed scenario comes to what it expects on bare metal and on the para-virtual stack, whose two runs agree; and it
 * can fail: with one expectation made wrong, it does.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { judge } from '../../src/conformance/judge.js';
import { LawBroken, laws } from '../../src/conformance/laws.js';
import { programSchema } from '../../src/conformance/program.js';
import type { Action, Program } from '../../src/conformance/program.js';
import { parseSpec } from '../../src/conformance/requirements.js';
import { Run } from '../../src/conformance/run/run.js';
import { renderScenarioFiles, scenarios } from '../../src/conformance/scenarios/index.js';
import { bareMetalWorld } from '../../src/conformance/world.js';

const root = new URL('../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');

/** Runs a program on bare metal and returns the law that it broke, if any. */
async function onBareMetal(program: Program): Promise<LawBroken | undefined> {
  try {
    await new Run(program, bareMetalWorld(program, { profile: 'roce' }), []).execute();
    return undefined;
  } catch (error) {
    if (error instanceof LawBroken) return error;
    throw error;
  }
}

type Spoil = (action: Action) => Action | undefined;

/** Each way to make one expectation of an action wrong; undefined where it has none of the kind. */
const spoils: Readonly<Record<string, Spoil>> = {
  outcome: action => {
    if (!('expect' in action) || action.expect === undefined) return undefined;
    return { ...action, expect: action.expect === 'ok' ? 'refused' : 'ok' };
  },
  completions: action => {
    if (action.op !== 'pollCq' || action.expectWc === undefined) return undefined;
    const [first, ...rest] = action.expectWc;
    if (first === undefined) return { ...action, expectWc: [{ status: 'SUCCESS' }] };
    return { ...action, expectWc: [{ ...first, status: 'GENERAL_ERR' }, ...rest] };
  },
  'one completion less': action => {
    if (action.op !== 'pollCq' || !action.expectWc?.length) return undefined;
    return { ...action, expectWc: action.expectWc.slice(1) };
  },
  events: action => {
    if (action.op !== 'pollCq' || action.expectEvents === undefined) return undefined;
    return { ...action, expectEvents: action.expectEvents + 1 };
  },
  state: action => {
    if (action.op !== 'queryQp' || action.expectState === undefined) return undefined;
    return { ...action, expectState: action.expectState === 'SQE' ? 'RTS' : 'SQE' };
  },
  attributes: action => {
    if (action.op !== 'queryQp' || action.expectSet === undefined) return undefined;
    const { draining, ...numbers } = action.expectSet;
    const wrong: Record<string, number> = {};
    for (const [name, value] of Object.entries(numbers)) wrong[name] = value + 1;
    return { ...action, expectSet: { ...(draining === undefined ? {} : { draining: !draining }), ...wrong } };
  },
  memory: action => {
    if (action.op !== 'expectMemory') return undefined;
    const { fill } = action;
    return { ...action, fill: typeof fill === 'number' ? (fill + 1) & 0xff : `${fill.slice(2)}5a` };
  },
};

/** The program once for each kind of expectation in it, the last one of the kind spoilt. */
function spoilt(program: Program): [string, Program][] {
  return Object.entries(spoils).flatMap(([kind, spoil]) => {
    const at = program.actions.findLastIndex(action => spoil(action) !== undefined);
    const wrong = at < 0 ? undefined : spoil(program.actions[at]);
    if (wrong === undefined) return [];
    return [[kind, { ...program, actions: program.actions.with(at, wrong) }] as [string, Program]];
  });
}

/** Too much data to run more often than once. */
const heavy = (program: Program): boolean => program.arenaBytes > 1024 * 1024;

describe('scenarios', () => {
  it.each(scenarios.map(each => [each.id, each] as const))('[OVR-10] %s', async (_, { program }) => {
    expect(await onBareMetal(program)).toBeUndefined();
    const { broken } = await judge(program, { profile: 'roce' });
    expect(broken).toBeUndefined();
  });

  it.each(scenarios.filter(({ program }) => !heavy(program)).map(each => [each.id, each] as const))(
    'can fail: %s',
    async (_, { program }) => {
      const wrong = spoilt(program);
      expect(wrong).not.toEqual([]);
      for (const [kind, each] of wrong) {
        expect((await onBareMetal(each))?.law, kind).toBe(laws.expected.name);
      }
    },
  );

  it('all hold on a device of its own type too', async () => {
    const failed: string[] = [];
    for (const { id, program } of scenarios) {
      const { broken } = await judge(program, { profile: 'rdma' });
      if (broken !== undefined) failed.push(`${id}: ${broken.message}`);
    }
    expect(failed).toEqual([]);
  });
});

describe('the catalogue of scenarios', () => {
  it('has at least 80, each with a name of its own and one sentence', () => {
    expect(scenarios.length).toBeGreaterThanOrEqual(80);
    expect(new Set(scenarios.map(({ id }) => id)).size).toBe(scenarios.length);
    for (const { id, doc } of scenarios) {
      expect(id).toMatch(/^[A-Z]{2,4}(?:\/[a-z0-9-]+){2}$/);
      expect(doc, id).toMatch(/\.$/);
    }
  });

  it('cites only requirements that the spec has', () => {
    const chapters = readdirSync(new URL('spec/', root)).filter(name => /^\d\d-/.test(name));
    const files = chapters.map(name => ({ path: `spec/${name}`, text: read(`spec/${name}`) }));
    const known = new Set(parseSpec(files).requirements.map(({ id }) => id));
    const cited = scenarios.flatMap(({ requirements }) => requirements);
    expect(cited.filter(id => !known.has(id))).toEqual([]);
  });

  it('writes files that read back as the same programs', () => {
    const files = renderScenarioFiles();
    expect(new Set(files.map(({ path }) => path)).size).toBe(scenarios.length);
    for (const [i, { text }] of files.entries()) {
      expect(programSchema.parse(JSON.parse(text))).toEqual(scenarios[i].program);
    }
  });

  it('stands in examples/programs', () => {
    for (const { path, text } of renderScenarioFiles()) {
      expect(read(`examples/programs/${path}`), path).toBe(text);
    }
  });
});
