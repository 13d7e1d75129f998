/**
 * Some of what a ring shows is seen only when nothing moves any more: who raised an index and never looked whether the other side
 * wants to be told. A program that is judged alone ends so too, and is judged by that.
 */
import { describe, expect, it } from 'vitest';
import { bundledDevice, bundledDriver } from '../../src/conformance/bundled.js';
import { writeProgram } from '../../src/conformance/generate/program-arbitrary.js';
import type { Implementation } from '../../src/conformance/index.js';
import { judge } from '../../src/conformance/judge.js';
import type { LawBroken } from '../../src/conformance/laws.js';
import { observations } from '../../src/conformance/ring-watch/observations.js';
import { plantedFaults } from './ring-watch-planted.js';

/** What programs find broken, settled and racing ones in turn. */
async function broken(implementation: Implementation, programs: number): Promise<readonly LawBroken[]> {
  const found: LawBroken[] = [];
  for (let seed = 0; seed < programs; seed++) {
    const program = writeProgram(seed, { mode: seed % 2 === 0 ? 'settled' : 'racing', actionsMax: 40 });
    const judgement = await judge(program, { profile: 'roce', implementation });
    if (judgement.broken !== undefined) found.push(judgement.broken);
  }
  return found;
}

describe('a ring at rest, when a program has ended', () => {
  it.each(['driverBarrier', 'deviceBarrier'] as const)('%s: a missing last look is found', async key => {
    const planted = plantedFaults[key];
    expect(planted).toBeDefined();
    if (planted === undefined) return;
    const { id, slug, requirements } = observations[key];
    const found = await broken(planted, 8);
    const named = found.filter(({ law }) => law === `ring ${id} ${slug}`);
    expect(named.length).toBeGreaterThan(0);
    expect(named[0].requirements).toEqual(requirements);
    expect(named[0].message).toContain('did not look at the wish again');
  });

  it.each([
    ['driver', { driver: bundledDriver }],
    ['device', { device: bundledDevice }],
    ['driver and device', { driver: bundledDriver, device: bundledDevice }],
  ])('has nothing against a sound %s', async (_who, implementation) => {
    expect(await broken(implementation, 40)).toEqual([]);
  });
});
