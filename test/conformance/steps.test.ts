/** What a failure shows of an exchange, and how long the exchange is taken to be. */
import { describe, expect, it } from 'vitest';
import { Steps } from '../../src/conformance/probes/steps.js';
import type { StepKind } from '../../src/conformance/probes/steps.js';
import type { ChartEvent } from '../../src/conformance/chart-event.js';

const step = (text: string): ChartEvent => ({ timeNs: 0, from: 'guest', to: 'device', text });

function taken(...kinds: readonly StepKind[]): Steps {
  const steps = new Steps();
  for (const [i, kind] of kinds.entries()) steps.add(step(`${i}`), kind);
  return steps;
}

const texts = (steps: readonly ChartEvent[]): readonly string[] => steps.map(({ text }) => text);

describe('the length of an exchange', () => {
  it('is what the peer does, without what comes in return', () => {
    expect(taken().actions).toBe(0);
    expect(taken('action', 'answer', 'answer', 'action', 'answer').actions).toBe(2);
  });

  it('holds a notification that belongs to nothing, and not that of what was just made available', () => {
    expect(taken('action', 'notification', 'answer').actions).toBe(1);
    expect(taken('notification').actions).toBe(1);
    expect(taken('action', 'answer', 'notification').actions).toBe(2);
    expect(taken('action', 'notification', 'notification', 'notification').actions).toBe(3);
  });

  it('holds a scene as one action when it went well, and all of it when it did not', async () => {
    const steps = taken('action');
    expect(
      steps.fold(
        () => step('scene'),
        () => {
          for (let i = 0; i < 50; i++) steps.add(step('make'), 'action');
          return 'made';
        },
      ),
    ).toBe('made');
    expect(steps.actions).toBe(2);
    await steps.foldAsync(
      () => step('second scene'),
      async () => steps.add(await Promise.resolve(step('make')), 'action'),
    );
    expect(steps.actions).toBe(3);
    const refused = (): never => {
      steps.add(step('make'), 'action');
      steps.add(step('make more'), 'action');
      throw new Error('refused');
    };
    expect(() => steps.fold(() => step('third scene'), refused)).toThrow('refused');
    expect(steps.actions).toBe(5);
    expect(texts(steps.shown)).toEqual(['0', 'scene', 'second scene', 'make', 'make more']);
  });

  it('is the whole of it, where a failure shows the last 40 steps and itself', () => {
    const steps = taken(...Array.from({ length: 100 }, (): StepKind => 'action'));
    const broken = steps.broken(['VQ-01'], step('wrong'));
    expect(broken.actions).toBe(100);
    expect(broken.message).toBe('wrong');
    expect(texts(broken.steps)).toEqual([...Array.from({ length: 40 }, (_, i) => `${i + 60}`), 'wrong']);
  });
});
