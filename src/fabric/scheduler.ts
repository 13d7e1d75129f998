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

/** A scheduled task; pass it to {@link Scheduler.cancel}. */
export interface Timer {
  readonly atNs: number;
  readonly kind: TimerKind;
}

interface Entry extends Timer {
  task: Task;
  readonly sequence: number;
  cancelled: boolean;
}

export class Scheduler {
  #nowNs = 0;
  #sequence = 0;
  readonly #choices: Choices;
  readonly #ready: Task[] = [];
  #readyHead = 0;
  readonly #heap: Entry[] = [];
  #live = 0;
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
    const entry: Entry = {
      atNs: this.#nowNs + delayNs,
      kind,
      task,
      sequence: this.#sequence++,
      cancelled: false,
    };
    this.#count(kind, 1);
    heapPush(this.#heap, entry);
    return entry;
  }

  /** Takes a scheduled task back; one that has run already is left alone. */
  cancel(timer: Timer): void {
    const entry = timer as Entry;
    if (entry.cancelled) return;
    entry.cancelled = true;
    this.#count(entry.kind, -1);
  }

  /** True when nothing is left to do but endless retries. */
  get quiet(): boolean {
    return this.readyCount === 0 && this.#live === this.#liveEndless;
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
    const options = this.#liveWire > 0 ? ready + 1 : ready;
    if (ready === 0) return this.#stepTime();
    const picked = options === 1 ? 0 : this.#choices.pick(options);
    if (picked === ready) return this.#stepWire();
    this.#takeReady(picked).run();
    return true;
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
    this.#dropCancelled();
    const entry = heapPop(this.#heap);
    if (entry === undefined) return false;
    this.#run(entry);
    return true;
  }

  /** Runs the earliest packet in flight, if no time-out comes before it; else lets a ready task go first. */
  #stepWire(): boolean {
    this.#dropCancelled();
    if (this.#heap[0].kind === 'wire') return this.#stepTime();
    this.#takeReady(0).run();
    return true;
  }

  #run(entry: Entry): void {
    entry.cancelled = true;
    this.#count(entry.kind, -1);
    if (entry.kind === 'endless') this.#endlessFired++;
    this.#nowNs = entry.atNs;
    entry.task.run();
  }

  #dropCancelled(): void {
    while (this.#heap.length > 0 && this.#heap[0].cancelled) heapPop(this.#heap);
  }

  #count(kind: TimerKind, by: number): void {
    this.#live += by;
    if (kind === 'wire') this.#liveWire += by;
    else if (kind === 'endless') this.#liveEndless += by;
  }
}

function earlier(a: Entry, b: Entry): boolean {
  return a.atNs < b.atNs || (a.atNs === b.atNs && a.sequence < b.sequence);
}

function heapPush(heap: Entry[], entry: Entry): void {
  let i = heap.length;
  heap.push(entry);
  while (i > 0) {
    const parent = (i - 1) >> 1;
    if (!earlier(entry, heap[parent])) break;
    heap[i] = heap[parent];
    i = parent;
  }
  heap[i] = entry;
}

function heapPop(heap: Entry[]): Entry | undefined {
  const top = heap[0];
  const last = heap.pop();
  if (last === undefined || heap.length === 0) return last;
  let i = 0;
  for (;;) {
    let child = 2 * i + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && earlier(heap[child + 1], heap[child])) child++;
    if (!earlier(heap[child], last)) break;
    heap[i] = heap[child];
    i = child;
  }
  heap[i] = last;
  return top;
}
