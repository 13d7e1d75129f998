/**
 * The live objects of one kind by the device's number, with those in creation. It tells ENOMEM from EINVAL after a refusal,
 * and a device that gives a living number away again from an honest one.
 */
import { VerbsError } from '../verbs/index.js';

export class Registry<T> {
  readonly #kind: string;
  readonly #live = new Map<number, T>();
  #creating = 0;

  constructor(kind: string) {
    this.#kind = kind;
  }

  get(number: number): T | undefined {
    return this.#live.get(number);
  }
  values(): IterableIterator<T> {
    return this.#live.values();
  }

  /** A creation is on its way; `created` or `refused` ends it. */
  creating(): void {
    this.#creating++;
  }
  created(number: number, object: T): void {
    this.#creating--;
    this.#live.set(number, object);
  }
  /** The error of a refused creation: out of room when the driver's own count has reached the limit. */
  refused(verb: string, limit: number): VerbsError {
    this.#creating--;
    const count = this.#live.size + this.#creating;
    return count >= limit
      ? new VerbsError('ENOMEM', verb, `all ${limit} are taken`)
      : new VerbsError('EINVAL', verb, 'the device refused');
  }
  destroyed(number: number): void {
    this.#live.delete(number);
  }

  /** What is wrong with a number that the device gave to a new object. */
  fault(number: number): string | undefined {
    return this.#live.has(number)
      ? `${this.#kind} number ${number} is given away while it is alive`
      : undefined;
  }
}
