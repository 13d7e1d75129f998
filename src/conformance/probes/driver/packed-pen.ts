/** The device's half of a packed virtqueue by hand: used elements anywhere, with marks of any lap, and batches. */
import { EventMode, PackedDescriptor, PackedEvent, PackedFlag } from '../../../virtio/index.js';
import type { MemoryWindow } from '../../../virtio/index.js';
import { MARKS, Place, goneBy } from '../packed-place.js';
import { PackedWalk } from './chain-walk.js';
import { RingPen } from './pen.js';
import type { Chain, PenInit } from './pen.js';

const { SIZE, LEN, ID, FLAGS } = PackedDescriptor;

export class PackedPen extends RingPen {
  /** Where the next chain will stand, and where the next used element goes. */
  readonly next: Place;
  readonly used: Place;
  readonly #ring: MemoryWindow;
  readonly #driverEvent: MemoryWindow;
  readonly #deviceEvent: MemoryWindow;
  #signalled: Place;
  #passed = 0;
  /** Used elements so far, right or wrong. */
  given = 0;

  /** Throws RangeError when an area is not in guest memory. */
  constructor(init: PenInit) {
    super(init);
    const { size, addresses } = init;
    this.next = new Place(size);
    this.used = new Place(size);
    this.#signalled = new Place(size);
    this.#ring = this.area(addresses.descriptors, SIZE * size);
    this.#driverEvent = this.area(addresses.driver, PackedEvent.SIZE);
    this.#deviceEvent = this.area(addresses.device, PackedEvent.SIZE);
  }

  areaBytes(area: 'descriptors' | 'available' | 'used'): number {
    return area === 'descriptors' ? SIZE * this.size : PackedEvent.SIZE;
  }

  get shown(): string {
    const bytes = new Uint8Array(SIZE * this.size);
    this.memory.read(this.addresses.descriptors, bytes, 0, bytes.length);
    return Buffer.from(bytes).toString('hex');
  }

  /** Descriptors of the chains that are out. */
  get inFlight(): number {
    return [...this.outstanding.values()].reduce((sum, { descriptors }) => sum + descriptors.length, 0);
  }

  take(): Chain | undefined {
    if ((this.flagsOf(this.next.slot) & MARKS) !== this.next.available) return undefined;
    const chain = new PackedWalk(this.walkInit(this.#ring)).follow(this.next);
    if (chain === undefined) return undefined;
    const { head, descriptors } = chain;
    const free = this.size - this.inFlight;
    if (descriptors.length > free)
      this.report(
        ['VQ-87'],
        `queue ${this.index}: chain ${head} has ${descriptors.length} descriptors, and ${free} of ${this.size} are free`,
      );
    if (this.outstanding.has(head))
      this.report(['VQ-88'], `queue ${this.index}: id ${head} is given to a chain while another one has it`);
    this.next.go(descriptors.length);
    this.outstanding.set(head, chain);
    return chain;
  }

  element(id: number, written: number): void {
    const descriptors = this.outstanding.get(id)?.descriptors.length ?? 1;
    this.put(id, written, this.used.used | (written > 0 ? PackedFlag.WRITE : 0));
    this.#go(descriptors);
  }

  batch(chains: readonly Chain[], written: number): void {
    const { head } = chains[chains.length - 1];
    for (const chain of chains) this.outstanding.delete(chain.head);
    this.put(head, written, this.used.used | (written > 0 ? PackedFlag.WRITE : 0));
    this.#go(chains.reduce((sum, { descriptors }) => sum + descriptors.length, 0));
  }

  misplace(id: number, written: number, ahead: number, turned: number): void {
    const place = this.used.ahead(ahead);
    this.put(id, written, (place.used | (written > 0 ? PackedFlag.WRITE : 0)) ^ turned, place);
  }

  /** Writes an element with any flags where the next one belongs, or elsewhere, and does not go on. */
  put(id: number, written: number, flags: number, place = this.used): void {
    const at = SIZE * place.slot;
    this.#ring.set16(at + ID, id & 0xffff);
    this.#ring.set32(at + LEN, written);
    this.#ring.store16(at + FLAGS, flags);
    this.given++;
  }

  #go(count: number): void {
    this.used.go(count);
    this.#passed += count;
  }

  /** Marks so many slots as used, whatever they hold; below 0, goes back and writes there again. */
  raise(by: number): void {
    const slots = Math.abs(by) % (2 * this.size);
    if (by < 0) {
      this.used.go(2 * this.size - slots);
      this.#mark();
      return;
    }
    for (let i = 0; i < slots; i++) {
      this.#mark();
      this.#go(1);
    }
  }

  #mark(): void {
    const { slot, used } = this.used;
    this.#ring.store16(SIZE * slot + FLAGS, (this.flagsOf(slot) & ~MARKS) | used);
    this.given++;
  }

  interruptWanted(): boolean {
    const from = this.#signalled;
    const count = this.#passed;
    this.#signalled = this.used.ahead(0);
    this.#passed = 0;
    if (count === 0) return false;
    const mode = this.#driverEvent.load16(PackedEvent.MODE) & EventMode.MASK;
    if (mode !== EventMode.DESC) return mode !== EventMode.DISABLE;
    return goneBy(this.#driverEvent.load16(PackedEvent.POSITION), from, count);
  }

  wish(flags: number, event: number): void {
    this.#deviceEvent.store16(PackedEvent.POSITION, event);
    this.#deviceEvent.store16(PackedEvent.MODE, flags);
  }
  askForNext(): void {
    this.wish(EventMode.DESC, this.next.word);
  }

  flagsOf(slot: number): number {
    return this.#ring.load16(SIZE * slot + FLAGS);
  }
}
