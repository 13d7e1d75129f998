/** Small dense numbers for the objects of a trace, as monitors want them; a number is used again once its object is gone. */
import type { Handle } from './format.js';

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
