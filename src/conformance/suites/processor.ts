/**
 * A party whose work takes virtual time: one thing after the other, each for as long as its cost says. Timers of the party
 * run on time; what it has posted waits until it is free.
 */
import { Scheduler } from '../../fabric/index.js';
import type { Task, Timer, TimerKind } from '../../fabric/index.js';

export class Processor extends Scheduler {
  readonly #world: Scheduler;
  readonly #costNs: () => number;
  #chargedNs = 0;
  #freeAtNs = 0;

  /** `costNs` is the cost of all that the party has done so far; it only grows. */
  constructor(world: Scheduler, costNs: () => number) {
    super(world.choices);
    this.#world = world;
    this.#costNs = costNs;
  }

  override get nowNs(): number {
    return this.#world.nowNs;
  }

  override post(task: Task): void {
    this.#start({ run: () => this.#work(task) });
  }

  #start(task: Task): void {
    this.#world.schedule(Math.max(0, this.#freeAtNs - this.nowNs), task, 'wire');
  }

  #work(task: Task): void {
    if (this.#freeAtNs > this.nowNs) return this.#start({ run: () => this.#work(task) });
    task.run();
    const total = this.#costNs();
    this.#freeAtNs = this.nowNs + Math.round(total - this.#chargedNs);
    this.#chargedNs = total;
  }

  override schedule(delayNs: number, task: Task, kind: TimerKind): Timer {
    return this.#world.schedule(delayNs, task, kind);
  }
  override arm(timer: Timer, delayNs: number, kind: TimerKind): void {
    this.#world.arm(timer, delayNs, kind);
  }
  override cancel(timer: Timer): void {
    this.#world.cancel(timer);
  }
}
