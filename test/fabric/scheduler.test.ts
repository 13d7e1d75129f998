import { describe, expect, it } from 'vitest';
import { firstChoice, Scheduler, SeededChoices, Timer } from '../../src/fabric/index.js';
import type { TimerKind } from '../../src/fabric/index.js';

function logged() {
  const scheduler = new Scheduler(firstChoice);
  const log: string[] = [];
  const task = (name: string) => ({ run: () => log.push(`${name}@${scheduler.nowNs}`) });
  const after = (ns: number, name: string, kind: TimerKind = 'timer') =>
    scheduler.schedule(ns, task(name), kind);
  return { scheduler, log, task, after };
}

describe('Scheduler', () => {
  it('runs ready tasks before time passes, in the order of their posting', () => {
    const { scheduler, log, task, after } = logged();
    after(5, 'late');
    scheduler.post(task('a'));
    scheduler.post(task('b'));
    expect(scheduler.runUntilQuiet(10)).toBe(true);
    expect(log).toEqual(['a@0', 'b@0', 'late@5']);
  });

  it('runs timers in the order of their times, and of their arming at one time', () => {
    const { scheduler, log, after } = logged();
    after(30, 'c');
    after(10, 'a');
    after(30, 'd');
    after(20, 'b');
    scheduler.runUntilQuiet(10);
    expect(log).toEqual(['a@10', 'b@20', 'c@30', 'd@30']);
  });

  it('keeps the order of hundreds of timers while half of them are cancelled or moved', () => {
    const scheduler = new Scheduler(firstChoice);
    const choices = new SeededChoices(7);
    const fired: number[] = [];
    const timers = Array.from({ length: 400 }, () => new Timer({ run: () => fired.push(scheduler.nowNs) }));
    for (const timer of timers) scheduler.arm(timer, choices.pick(1000), 'timer');
    for (const [index, timer] of timers.entries()) {
      if (index % 4 === 0) scheduler.cancel(timer);
      if (index % 4 === 1) scheduler.arm(timer, choices.pick(1000), 'timer');
    }
    scheduler.runUntilQuiet(1000);
    expect(fired).toHaveLength(300);
    expect(fired).toEqual(fired.toSorted((x, y) => x - y));
    expect(timers.some(timer => timer.armed)).toBe(false);
  });

  it('takes a timer back, once and again', () => {
    const { scheduler, log, after } = logged();
    const timer = after(5, 'never');
    scheduler.cancel(timer);
    scheduler.cancel(timer);
    expect(scheduler.quiet).toBe(true);
    expect(scheduler.step()).toBe(false);
    expect(log).toEqual([]);
  });

  it('is quiet while only endless retries wait, and counts those that fire', () => {
    const { scheduler, after } = logged();
    after(5, 'retry', 'endless');
    expect(scheduler.quiet).toBe(true);
    expect(scheduler.endlessWaiting).toBe(1);
    scheduler.step();
    expect([scheduler.endlessWaiting, scheduler.endlessFired, scheduler.nowNs]).toEqual([0, 1, 5]);
  });

  it('lets a packet in flight come before a ready task when the choices say so, a time-out never', () => {
    const scheduler = new Scheduler({ pick: count => count - 1 });
    const log: string[] = [];
    scheduler.schedule(5, { run: () => log.push('packet') }, 'wire');
    scheduler.post({ run: () => log.push('task') });
    scheduler.step();
    expect(log).toEqual(['packet']);
    scheduler.schedule(5, { run: () => log.push('time-out') }, 'timer');
    scheduler.schedule(50, { run: () => log.push('packet') }, 'wire');
    scheduler.step();
    expect(log).toEqual(['packet', 'task']);
  });

  it('says when it does not become quiet', () => {
    const scheduler = new Scheduler(firstChoice);
    const again = { run: () => scheduler.post(again) };
    scheduler.post(again);
    expect(scheduler.runUntilQuiet(100)).toBe(false);
  });
});
