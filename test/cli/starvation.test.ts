/** A thread that gets no processor is not one that hangs. */
import { describe, expect, it } from 'vitest';
import { Starvation } from '../../src/cli/starvation.js';

/** One look after the other: what each thread has waited by then, in milliseconds. */
function looks(...waited: readonly Readonly<Record<string, number>>[]): Starvation {
  let look = 0;
  return new Starvation(() => new Map(Object.entries(waited[look++])));
}

describe('time without a processor', () => {
  it('is that of the thread that waited longest since the last look, and is taken off', () => {
    const starvation = looks(
      { main: 500, worker: 7000 },
      { main: 510, worker: 7040 },
      { main: 535, worker: 7040 },
    );
    expect(starvation.turnOf(100)).toBe(60);
    expect(starvation.turnOf(100)).toBe(75);
  });

  it('never takes all of it: what is always starved is still seen to hang', () => {
    expect(looks({ main: 0 }, { main: 5000 }).turnOf(100)).toBe(10);
  });

  it('does not count what a thread waited before it was first seen, nor one that has ended', () => {
    expect(looks({ old: 300 }, { new: 900 }).turnOf(100)).toBe(100);
  });

  it('is none where nothing is known of it', () => {
    expect(looks({}, {}).turnOf(100)).toBe(100);
  });

  it('can be asked of this machine, and counts a number', () => {
    expect(new Starvation().turnOf(0)).toBe(0);
  });
});
