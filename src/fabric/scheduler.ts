/**
 * Who acts next, and what time it is. Every party (device, driver, HCA, link) posts tasks that are ready and schedules
 * tasks for a virtual time; the scheduler runs one at a time. With `firstChoice` ready tasks run in the order in which
 * they were posted; with another source any ready task may be next.
 *
 * Virtual time is integer nanoseconds. It advances only to the time of a scheduled task.
 */
import type { Choices } from './choices.js';

/** A piece of work of one party. The object is reused: post it as often as there is something to do. */
export interface Task {
  run(): void;
}

/**
 * Why a task waits for a time. `wire`: a packet in flight; may run while other parties are ready. `timer`: a time-out;
 * runs only when nobody is ready. `endless`: the time-out of a party that retries for ever; does not keep a run from
 * being quiet.
 */
export type TimerKind = 'wire' | 'timer' | 'endless';

/** A task that waits for a time. Only the scheduler changes it. */
export class Timer {
  readonly task: Task;
  atNs = 0;
  kind: TimerKind = 'timer';
  /** Timers of the same time run in the order in which they were armed. */
  sequence = 0;
  /** Place in the scheduler's heap; -1 while not armed. */
  place = -1;

  constructor(task: Task) {
    this.task = task;
  }

  get armed(): boolean {
    return this.place >= 0;
  }
}

export class Scheduler {
  #nowNs = 0;
  #sequence = 0;
  readonly #choices: Choices;
  readonly #ready: Task[] = [];
  #readyHead = 0;
  readonly #heap: Timer[] = [];
  #liveWire = 0;
  #liveEndless = 0;
  #endlessFired = 0;

  constructor(choices: Choices) {
    this.#choices = choices;
  }

  /** Virtual time in nanoseconds. */
  get nowNs(): number {
    return this.#nowNs;
  }

  /** Tasks that could run without time passing. */
  get readyCount(): number {
    return this.#ready.length - this.#readyHead;
  }

  /** The source of every choice in this world; links and other parties draw from it too. */
  get choices(): Choices {
    return this.#choices;
  }

  /** Makes a task ready. */
  post(task: Task): void {
    this.#ready.push(task);
  }

  /** Makes a task ready `delayNs` nanoseconds (0 or more) from now. */
  schedule(delayNs: number, task: Task, kind: TimerKind): Timer {
    const timer = new Timer(task);
    this.arm(timer, delayNs, kind);
    return timer;
  }

  /** Sets a timer that its owner keeps, for `delayNs` nanoseconds from now; one that is armed already is moved. */
  arm(timer: Timer, delayNs: number, kind: TimerKind): void {
    this.cancel(timer);
    timer.atNs = this.#nowNs + delayNs;
    timer.kind = kind;
    timer.sequence = this.#sequence++;
    this.#count(kind, 1);
    this.#heap.push(timer);
    siftUp(this.#heap, this.#heap.length - 1);
  }

  /** Takes a scheduled task back; one that has run already is left alone. */
  cancel(timer: Timer): void {
    if (timer.place < 0) return;
    this.#remove(timer);
  }

  /** True when nothing is left to do but endless retries. */
  get quiet(): boolean {
    return this.readyCount === 0 && this.#heap.length === this.#liveEndless;
  }

  /** Endless retries waiting, and how many have fired so far. */
  get endlessWaiting(): number {
    return this.#liveEndless;
  }
  get endlessFired(): number {
    return this.#endlessFired;
  }

  /** Runs one task. Returns false when there is none, neither ready nor scheduled. */
  step(): boolean {
    const ready = this.readyCount;
    if (ready === 0) return this.#stepTime();
    const options = this.#liveWire > 0 ? ready + 1 : ready;
    const picked = options === 1 ? 0 : this.#choices.pick(options);
    if (picked === ready) this.#stepWire();
    else this.#takeReady(picked).run();
    return true;
  }

  /** Steps until quiet. Returns false when `maxSteps` steps were not enough. */
  runUntilQuiet(maxSteps: number): boolean {
    for (let steps = 0; steps < maxSteps; steps++) {
      if (this.quiet) return true;
      this.step();
    }
    return this.quiet;
  }

  #takeReady(index: number): Task {
    const ready = this.#ready;
    const at = this.#readyHead + index;
    const task = ready[at];
    if (index === 0) {
      this.#readyHead++;
      if (this.#readyHead === ready.length) {
        ready.length = 0;
        this.#readyHead = 0;
      } else if (this.#readyHead > 1024) {
        ready.splice(0, this.#readyHead);
        this.#readyHead = 0;
      }
    } else ready.splice(at, 1);
    return task;
  }

  /** Runs the earliest scheduled task, whatever its kind. */
  #stepTime(): boolean {
    if (this.#heap.length === 0) return false;
    const timer = this.#heap[0];
    this.#remove(timer);
    if (timer.kind === 'endless') this.#endlessFired++;
    this.#nowNs = timer.atNs;
    timer.task.run();
    return true;
  }

  /** Runs the earliest packet in flight, if no time-out comes before it; else lets a ready task go first. */
  #stepWire(): void {
    if (this.#heap[0].kind === 'wire') this.#stepTime();
    else this.#takeReady(0).run();
  }

  #remove(timer: Timer): void {
    const heap = this.#heap;
    const place = timer.place;
    timer.place = -1;
    this.#count(timer.kind, -1);
    const last = heap.pop();
    if (last === undefined || last === timer) return;
    heap[place] = last;
    last.place = place;
    if (place > 0 && earlier(last, heap[(place - 1) >> 1])) siftUp(heap, place);
    else siftDown(heap, place);
  }

  #count(kind: TimerKind, by: number): void {
    if (kind === 'wire') this.#liveWire += by;
    else if (kind === 'endless') this.#liveEndless += by;
  }
}

function earlier(a: Timer, b: Timer): boolean {
  return a.atNs < b.atNs || (a.atNs === b.atNs && a.sequence < b.sequence);
}

function siftUp(heap: Timer[], start: number): void {
  const timer = heap[start];
  let place = start;
  while (place > 0) {
    const parent = (place - 1) >> 1;
    if (!earlier(timer, heap[parent])) break;
    heap[place] = heap[parent];
    heap[place].place = place;
    place = parent;
  }
  heap[place] = timer;
  timer.place = place;
}

function siftDown(heap: Timer[], start: number): void {
  const timer = heap[start];
  let place = start;
  for (;;) {
    let child = 2 * place + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && earlier(heap[child + 1], heap[child])) child++;
    if (!earlier(heap[child], timer)) break;
    heap[place] = heap[child];
    heap[place].place = place;
    place = child;
  }
  heap[place] = timer;
  timer.place = place;
}
