/**
 * Guest memory that shows each ring access of one side to a test, and can hold plain stores back as a processor's store
 * buffer does: a plain store becomes visible when the side makes its next `store16`, or when it is drained.
 */
import { GuestMemory, MemoryWindow } from '../../src/virtio/index.js';

export type AccessKind = 'load16' | 'store16' | 'get' | 'set';

export interface Access {
  readonly kind: AccessKind;
  readonly address: number;
  readonly bytes: number;
}

export interface Spy {
  /** Called before each access. */
  before?(access: Access): void;
  /** Called after each access that reads. */
  after?(access: Access): void;
  /** Holds plain stores back. With `all` also those that should be full barriers: the fault that barriers are there for. */
  readonly storeBuffer?: 'plain' | 'all';
}

export class SpyMemory extends GuestMemory {
  readonly #spy: Spy;
  readonly #held: (() => void)[] = [];

  constructor(buffer: ArrayBufferLike, address: number, spy: Spy) {
    super();
    this.#spy = spy;
    this.addRegion(address, buffer);
  }

  override newWindow(): MemoryWindow {
    return new SpyWindow(this);
  }

  /** Whether a store is held back. */
  get holding(): boolean {
    return this.#held.length > 0;
  }

  /** Makes every store visible that was held back. */
  drain(): void {
    for (const store of this.#held.splice(0)) store();
  }

  load<T>(access: Access, load: () => T): T {
    this.#spy.before?.(access);
    const value = load();
    this.#spy.after?.(access);
    return value;
  }

  store(access: Access, store: () => void): void {
    this.#spy.before?.(access);
    const { storeBuffer } = this.#spy;
    if (storeBuffer === 'all' || (storeBuffer === 'plain' && access.kind === 'set')) this.#held.push(store);
    else {
      this.drain();
      store();
    }
  }
}

class SpyWindow extends MemoryWindow {
  readonly #memory: SpyMemory;

  constructor(memory: SpyMemory) {
    super();
    this.#memory = memory;
  }

  #access(kind: AccessKind, offset: number, bytes: number): Access {
    return { kind, address: this.address + offset, bytes };
  }

  override load16(offset: number): number {
    return this.#memory.load(this.#access('load16', offset, 2), () => super.load16(offset));
  }
  override get16(offset: number): number {
    return this.#memory.load(this.#access('get', offset, 2), () => super.get16(offset));
  }
  override get32(offset: number): number {
    return this.#memory.load(this.#access('get', offset, 4), () => super.get32(offset));
  }
  override get64(offset: number): number {
    return this.#memory.load(this.#access('get', offset, 8), () => super.get64(offset));
  }
  override get128(offset: number, into: Uint32Array): void {
    this.#memory.load(this.#access('get', offset, 16), () => super.get128(offset, into));
  }
  override store16(offset: number, value: number): void {
    this.#memory.store(this.#access('store16', offset, 2), () => super.store16(offset, value));
  }
  override set16(offset: number, value: number): void {
    this.#memory.store(this.#access('set', offset, 2), () => super.set16(offset, value));
  }
  override set32(offset: number, value: number): void {
    this.#memory.store(this.#access('set', offset, 4), () => super.set32(offset, value));
  }
  override set32x2(offset: number, first: number, second: number): void {
    this.#memory.store(this.#access('set', offset, 8), () => super.set32x2(offset, first, second));
  }
  override set64(offset: number, value: number): void {
    this.#memory.store(this.#access('set', offset, 8), () => super.set64(offset, value));
  }
}
