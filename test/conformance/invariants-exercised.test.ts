/** The invariants are exercised: what they look at happens in generated programs, and a sound implementation breaks none. */
import { expect, it } from 'vitest';
import { Coverage } from '../../src/conformance/coverage.js';
import { writeProgram } from '../../src/conformance/generate/program-arbitrary.js';
import { judge } from '../../src/conformance/index.js';
import { DataArrives } from '../../src/conformance/invariants/data.js';
import { Run } from '../../src/conformance/run/run.js';
import { paravirtualWorld } from '../../src/conformance/world.js';

it('fifty programs reach what they look at', async () => {
  const coverage = new Coverage();
  let compared = 0;
  for (let seed = 0; seed < 50; seed++) {
    const mode = seed % 2 === 0 ? 'settled' : 'racing';
    const generated = writeProgram(seed * 7919, { mode, actionsMax: 120 });
    const { broken } = await judge(generated, { profile: 'roce', coverage });
    expect(broken?.message).toBeUndefined();
    if (mode === 'settled') continue;
    const world = await paravirtualWorld(generated, { profile: 'roce' });
    const data = new DataArrives(generated, world);
    await new Run(generated, world, [data]).execute();
    compared += data.compared;
  }
  expect(compared).toBeGreaterThan(1000);
  const sometimes = coverage.tables().find(table => table.name === 'sometimes');
  const never = Object.entries(sometimes?.counts ?? {}).filter(([, count]) => count === 0);
  expect(never).toEqual([]);
});
