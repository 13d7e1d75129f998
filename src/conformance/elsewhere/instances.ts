/** The objects of a trace: by machine and handle, by the small dense numbers that monitors want, and those that are gone. */
import type { Handle } from './format.js';

/** Small numbers; one is used again once its object is gone. */
export class Numbers {
  #next = 0;
  readonly #free: number[] = [];

  take(): number {
    return this.#free.pop() ?? this.#next++;
  }

  give(number: number): void {
    this.#free.push(number);
  }
}

/** Objects of a kind by machine and handle. */
export class Directory<T> {
  readonly #machines: Map<Handle, T>[] = [];

  get(vm: number, handle: Handle): T | undefined {
    return this.#machines[vm]?.get(handle);
  }

  set(vm: number, handle: Handle, object: T): void {
    (this.#machines[vm] ??= new Map<Handle, T>()).set(handle, object);
  }

  delete(vm: number, handle: Handle): void {
    this.#machines[vm]?.delete(handle);
  }
}

/** What a person calls an instance of a machine, by its number. */
export class Names {
  readonly #machines = new Map<string, (string | undefined)[]>();
  readonly #rules = new Map<string, (key: number) => string>();

  set(machine: string, key: number, name: string): void {
    let names = this.#machines.get(machine);
    if (names === undefined) this.#machines.set(machine, (names = []));
    names[key] = name;
  }

  /** All instances of a machine are named by a rule. */
  rule(machine: string, name: (key: number) => string): void {
    this.#rules.set(machine, name);
  }

  of(machine: string, key: number): string {
    return this.#rules.get(machine)?.(key) ?? this.#machines.get(machine)?.[key] ?? `number ${key}`;
  }
}

/** Objects that are gone and what they left, the latest ones: this much in all. */
const GONE_MAX = 1 << 16;

interface Leaving<T> {
  readonly object: T;
  readonly size: number;
}

export class Gone<T> {
  readonly #objects = new Map<string, Leaving<T>>();
  #size = 0;

  /** `size`: how much there is to remember of it, 1 or more. */
  add(kind: string, vm: number, handle: Handle, object: T, size: number): void {
    const key = keyOf(kind, vm, handle);
    this.#delete(key);
    // The latest stands at the end.
    this.#objects.set(key, { object, size });
    this.#size += size;
    for (const oldest of this.#objects.keys()) {
      if (this.#size <= GONE_MAX || oldest === key) return;
      this.#delete(oldest);
    }
  }

  get(kind: string, vm: number, handle: Handle): T | undefined {
    return this.#objects.get(keyOf(kind, vm, handle))?.object;
  }

  #delete(key: string): void {
    this.#size -= this.#objects.get(key)?.size ?? 0;
    this.#objects.delete(key);
  }
}

function keyOf(kind: string, vm: number, handle: Handle): string {
  return `${kind} ${vm} ${typeof handle} ${handle}`;
}
