/**
 * The path MTU of a connection as it shows in its packets: the set of the five that are still possible. Each packet rules some out; when
 * none is left, the packets contradict each other.
 */

const MTUS = [256, 512, 1024, 2048, 4096] as const;

export class PathMtus {
  #possible = 0b1_1111;

  /** The one that is left; undefined while there are several. */
  get only(): number | undefined {
    const index = 31 - Math.clz32(this.#possible);
    return this.#possible === 1 << index ? MTUS[index] : undefined;
  }

  get text(): string {
    return this.all().join(' or ');
  }

  all(): number[] {
    return MTUS.filter((_, i) => (this.#possible & (1 << i)) !== 0);
  }

  /** Keeps those for which `fits` holds. False, and nothing changes, when there is none. */
  narrow(fits: (mtu: number) => boolean): boolean {
    let left = 0;
    for (let i = 0; i < MTUS.length; i++)
      if ((this.#possible & (1 << i)) !== 0 && fits(MTUS[i])) left |= 1 << i;
    if (left === 0) return false;
    this.#possible = left;
    return true;
  }

  /** A packet that must be full. */
  isFull(bytes: number): boolean {
    const only = this.only;
    return only === undefined ? this.narrow(mtu => mtu === bytes) : only === bytes;
  }

  /** A packet that may be shorter. */
  holds(bytes: number): boolean {
    const only = this.only;
    return only === undefined ? this.narrow(mtu => mtu >= bytes) : only >= bytes;
  }
}

/** Responses of a READ of `length` bytes. */
export function responsesOf(length: number, mtu: number): number {
  return Math.max(1, Math.ceil(length / mtu));
}
