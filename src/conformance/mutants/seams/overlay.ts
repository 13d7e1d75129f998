/** How a fault is laid over a sound object, and how it is made to strike now and then. */

/** `inner` with some members replaced; the others are its own. */
export function overlay<T extends object>(inner: T, changes: Partial<T>): T {
  return lateOverlay(inner, () => changes);
}

/** The same where the changes are known only when the object is first used; undefined: not known yet. */
export function lateOverlay<T extends object>(inner: T, changesOf: () => Partial<T> | undefined): T {
  let changes: Partial<T> | undefined;
  return new Proxy(inner, {
    get(target, key): unknown {
      changes ??= changesOf();
      if (changes !== undefined && Object.hasOwn(changes, key)) return Reflect.get(changes, key);
      const value: unknown = Reflect.get(target, key);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** True for the n-th call and each n-th after it. */
export function every(n: number): () => boolean {
  let count = 0;
  return () => ++count % n === 0;
}

/** True for the n-th call and those after it. */
export function from(n: number): () => boolean {
  let count = 0;
  return () => ++count >= n;
}

/** True for the n-th call alone. */
export function at(n: number): () => boolean {
  let count = 0;
  return () => ++count === n;
}
