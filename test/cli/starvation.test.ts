/** A thread that gets no processor is not one that hangs. */
import { describe, expect, it } from 'vitest';
import { Starvation } from '../../src/cli/starvation.js';

describe('time without a processor', () => {
  it('is taken off what counts, never all of it and never more than passed', () => {
    const starvation = new Starvation();
    for (let i = 0; i < 20; i++) {
      const counted = starvation.turnOf(100);
      expect(counted).toBeGreaterThanOrEqual(10);
      expect(counted).toBeLessThanOrEqual(100);
    }
  });

  it('of a process that only just began to be looked at is none', () => {
    expect(new Starvation().turnOf(0)).toBe(0);
  });
});
