/** The generator: valid programs, the same for the same seed, that shrink to something smaller. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { programArbitrary, writeProgram } from '../../src/conformance/generate/program-arbitrary.js';
import { simpler } from '../../src/conformance/generate/shrink.js';
import { programSchema } from '../../src/conformance/program.js';

const options = { mode: 'racing', actionsMax: 120 } as const;
const seeds = fc.integer({ min: 0, max: 0x7fff_ffff });

describe('generated programs', () => {
  it('are valid documents that survive JSON', () => {
    fc.assert(
      fc.property(programArbitrary(options), program => {
        const text: unknown = JSON.parse(JSON.stringify(program));
        expect(programSchema.safeParse(text).success).toBe(true);
      }),
    );
  });

  it('follow from their seed alone', () => {
    fc.assert(
      fc.property(seeds, seed => {
        expect(JSON.stringify(writeProgram(seed, options))).toBe(JSON.stringify(writeProgram(seed, options)));
      }),
    );
  });

  it('shrink to valid programs that are never larger', () => {
    fc.assert(
      fc.property(seeds, seed => {
        const program = writeProgram(seed, { ...options, actionsMax: 40 });
        const size = JSON.stringify(program).length;
        let count = 0;
        for (const { program: candidate } of simpler(program)) {
          expect(programSchema.safeParse(JSON.parse(JSON.stringify(candidate))).success).toBe(true);
          const { actions, hosts } = candidate;
          expect(actions.length).toBeLessThanOrEqual(program.actions.length);
          expect(hosts.length).toBeLessThanOrEqual(program.hosts.length);
          // `choices.only` may spell true where false stood; names grow when two machines become one.
          const fewer = actions.length < program.actions.length || hosts.length < program.hosts.length;
          if (!fewer) expect(JSON.stringify(candidate).length).toBeLessThanOrEqual(size + 1);
          if (++count === 100) break;
        }
        expect(count).toBeGreaterThan(20);
      }),
      { numRuns: 20 },
    );
  });
});
