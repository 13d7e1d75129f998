/**
 * Runs one verbs program on one world and tells the judges what happened. The same code drives the para-virtual stack, the
 * bare-metal HCA and anybody else's implementation: it knows only `Verbs`.
 */
import type { AddressHandle, MemoryRegion, ProtectionDomain } from '../../verbs/index.js';
import { LawBroken, laws } from '../laws.js';
import type { Observation } from '../observation.js';
import type { Expected } from '../outside.js';
import type { RunObserver } from '../observer.js';
import type { Action, Program } from '../program.js';
import { turn } from '../turn.js';
import type { VerbsWorld } from '../verbs-world.js';
import { armCq, drain, pollCq, wakeSleepers } from './completions.js';
import { expectMemory, writeMemory } from './memory.js';
import { destroy } from './lifecycle.js';
import { addGid, createAh, createCq, createMr, createPd } from './objects.js';
import { postRecv, postSend } from './posting.js';
import { createQp, modifyQp, queryQp } from './queue-pairs.js';
import { Stage } from './stage.js';

/** Steps that one settling may take before the run is called endless. */
const STEPS_MAX = 2_000_000;
/** Turns of the microtask queue after which a silent promise is called lost. */
const TURNS_MAX = 64;

export interface RunOptions {
  /** Keeps the marks of a settled program. */
  readonly marking?: boolean;
  /** The marks of the same program on bare metal; only parties outside need them. */
  readonly expected?: readonly Expected[] | undefined;
}

export class Run {
  readonly #stage: Stage;
  readonly #options: RunOptions;
  /** What had happened after each action; empty unless asked for. */
  readonly marks: Expected[] = [];

  constructor(
    program: Program,
    world: VerbsWorld,
    observers: readonly RunObserver[],
    options: RunOptions = {},
  ) {
    this.#stage = new Stage(program, world, observers);
    this.#options = options;
  }

  get observation(): Observation {
    return this.#stage.observation;
  }

  /** A completion may have been lost to the overrun of a completion queue. */
  get overran(): boolean {
    return this.#stage.cqs.some(({ overran }) => overran);
  }

  /** Verbs calls made, posts counted one by one. */
  get calls(): number {
    return this.#stage.calls;
  }

  /** Runs the whole program to the end and polls what is left. Throws LawBroken. */
  async execute(): Promise<void> {
    const stage = this.#stage;
    if (stage.program.mode === 'settled') await this.#executeSettled();
    else {
      await this.#executeRacing(stage.program.actions);
      await this.#settle();
    }
    await this.#drained();
    // A party outside has a clock of its own, and what a time-out brings comes when nothing else moves any more.
    const linger = (): boolean => stage.world.outside?.linger?.() === true;
    while (stage.observers.some(observer => observer.owes()) && linger()) {
      await this.#settle();
      await this.#drained();
    }
    for (const observer of stage.observers) observer.ended();
  }

  async #drained(): Promise<void> {
    const stage = this.#stage;
    for (const cq of stage.cqs) if (cq.alive) drain(stage, cq);
    await this.#settle();
  }

  /** Issues the first `count` actions while earlier ones are under way, and leaves everything where it is then. */
  async executePart(count: number): Promise<void> {
    await this.#executeRacing(this.#stage.program.actions.slice(0, count));
  }

  async #executeSettled(): Promise<void> {
    const stage = this.#stage;
    const { actions } = stage.program;
    for (let index = 0; index < actions.length; index++) {
      stage.observation.action = index;
      this.#issue(index, actions[index]);
      await this.#settle(this.#options.expected?.[index]);
      if (this.#options.marking === true) this.marks.push(stage.mark());
      wakeSleepers(stage);
    }
  }

  async #executeRacing(actions: readonly Action[]): Promise<void> {
    const stage = this.#stage;
    const { scheduler } = stage.world;
    let next = 0;
    let steps = 0;
    while (next < actions.length) {
      const free = !stage.names.blocked(actions[next]);
      const busy = !scheduler.quiet;
      if (free && (!busy || scheduler.choices.pick(3) === 2)) {
        this.#issue(next, actions[next]);
        next++;
      } else if (busy) {
        scheduler.step();
        if (++steps > STEPS_MAX) throw endless(STEPS_MAX);
      } else if (!(await this.#answered()) && !(await this.#outsideMoved(undefined)))
        throw lost(stage.pending);
      stage.world.outside?.poll();
      if (stage.pending > 0) await turn;
    }
  }

  /** Runs until nothing moves: every answer is there and only retries without end are left, which bring nothing new. */
  async #settle(expected?: Expected): Promise<void> {
    const stage = this.#stage;
    for (;;) {
      stage.world.runUntilQuiet(STEPS_MAX, endless);
      if (stage.pending > 0 && (await this.#answered())) continue;
      if (await this.#outsideMoved(expected)) continue;
      if (stage.pending > 0) throw lost(stage.pending);
      if (stage.world.scheduler.quiet) return;
    }
  }

  /** Lets promises move. False when the world is quiet and no answer comes. */
  async #answered(): Promise<boolean> {
    const stage = this.#stage;
    const before = stage.pending;
    for (let turns = 0; turns < TURNS_MAX; turns++) {
      await turn;
      stage.world.check();
      if (stage.pending !== before || !stage.world.scheduler.quiet) return true;
    }
    return false;
  }

  /** Lets the parties outside go on. False when there are none, or they are at rest. */
  async #outsideMoved(expected: Expected | undefined): Promise<boolean> {
    const { world, seenEvents } = this.#stage;
    return world.outside !== undefined && (await world.outside.rest(expected, seenEvents));
  }

  #issue(index: number, action: Action): void {
    const stage = this.#stage;
    const machine = stage.world.machines[action.vm];
    if (machine === undefined) return;
    for (const observer of stage.observers) observer.actionStarted(index, action);
    const { verbs } = machine;
    const { names } = stage;
    switch (action.op) {
      case 'queryDevice':
        return stage.control(index, action, () => verbs.queryDevice());
      case 'queryPort':
        return stage.control(index, action, () => verbs.queryPort());
      case 'createPd':
        return createPd(stage, index, action, machine);
      case 'destroyPd':
        return destroy(stage, index, action, names.find(action.vm, action.pd, 'pd'), record =>
          verbs.destroyPd(record.handle as ProtectionDomain),
        );
      case 'createCq':
        return createCq(stage, index, action, machine);
      case 'destroyCq':
        return destroy(stage, index, action, names.find(action.vm, action.cq, 'cq'), record =>
          verbs.destroyCq(record.handle),
        );
      case 'regMr':
      case 'getDmaMr':
        return createMr(stage, index, action, machine);
      case 'deregMr':
        return destroy(stage, index, action, names.find(action.vm, action.mr, 'mr'), record =>
          verbs.deregMr(record.handle as MemoryRegion),
        );
      case 'createQp':
        return createQp(stage, index, action, machine);
      case 'modifyQp':
        return modifyQp(stage, index, action, machine);
      case 'queryQp':
        return queryQp(stage, index, action, machine);
      case 'destroyQp':
        return destroy(stage, index, action, names.find(action.vm, action.qp, 'qp'), record =>
          verbs.destroyQp(record.handle),
        );
      case 'createAh':
        return createAh(stage, index, action, machine);
      case 'destroyAh':
        return destroy(stage, index, action, names.find(action.vm, action.ah, 'ah'), record =>
          verbs.destroyAh(record.handle as AddressHandle),
        );
      case 'addGid':
        return addGid(stage, index, action, machine);
      case 'delGid':
        return stage.control(index, action, () => verbs.delGid(action.index));
      case 'reqNotifyCq':
      case 'waitCq':
        return armCq(stage, index, action);
      case 'postSend':
        return postSend(stage, index, action, machine);
      case 'postRecv':
        return postRecv(stage, index, action, machine);
      case 'pollCq':
        return pollCq(stage, index, action);
      case 'writeMemory':
        return writeMemory(stage, index, action, machine);
      case 'expectMemory':
        return expectMemory(stage, index, action, machine);
    }
  }
}

function lost(pending: number): LawBroken {
  return new LawBroken(
    laws.answersOnce,
    `${pending} control verb(s) never settled although nothing is left to happen`,
  );
}

function endless(steps: number): LawBroken {
  return new LawBroken(laws.worksBounded, `still busy after ${steps} steps`);
}
