/**
 * Guest memory that watches its device: it counts accesses, lets a case act behind a read or before a write, and knows for
 * each byte whether the device may write it. The probe's own accesses go to `bytes` and `view` and are not watched.
 */
import { GuestMemory, MemoryWindow } from '../../../virtio/index.js';
import { CaseUnsupported } from '../../cases/case.js';
import { GUEST_BASE } from '../../simulated-guest.js';
import { SharedCopy } from './shared-copy.js';

/** What a case wants to know of the device's accesses, ring words included. */
export interface MemoryWatch {
  /** The device has read these bytes; they may be changed now. */
  read?(address: number, length: number): void;
  /** The device is about to write these bytes. */
  write?(address: number, length: number): void;
}

/** Bytes that a device wrote though nobody let it. */
export interface Trespass {
  readonly address: number;
  readonly length: number;
}

export class WatchedMemory extends GuestMemory {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Accesses of the device so far. */
  #reads = 0;
  #writes = 0;
  #watch: MemoryWatch | undefined;
  readonly #shared: SharedCopy | undefined;
  /** The first write to a byte that the device may not write. */
  trespass: Trespass | undefined;
  /** Where the device may not write; set, it stands in place of what is permitted byte by byte. */
  sanctuary: Trespass | undefined;
  /** By byte: how many things let the device write it. */
  readonly #permits: Uint8Array;

  /** `shared`, of as many bytes: the memory of a device outside, which is brought in line by `push` and `pull`. */
  constructor(byteCount: number, shared?: Uint8Array) {
    super();
    this.#shared = shared && new SharedCopy(shared);
    this.bytes = new Uint8Array(byteCount);
    this.view = new DataView(this.bytes.buffer);
    this.#permits = new Uint8Array(byteCount);
    this.addRegion(GUEST_BASE, this.bytes);
  }

  get watch(): MemoryWatch | undefined {
    return this.#watch;
  }
  /** Throws CaseUnsupported for a device outside. */
  set watch(watch: MemoryWatch | undefined) {
    if (watch !== undefined) this.#expectInside();
    this.#watch = watch;
  }
  get reads(): number {
    this.#expectInside();
    return this.#reads;
  }
  get writes(): number {
    this.#expectInside();
    return this.#writes;
  }

  #expectInside(): void {
    if (this.#shared === undefined) return;
    throw new CaseUnsupported('it watches single accesses to memory, and the device is outside');
  }

  /** This word is pushed behind all others, so that nobody reads of what is not there yet. */
  pushLast(address: number): void {
    this.#shared?.last.add(this.at(address));
  }

  /** Shows a device outside what the probe has written. */
  push(): void {
    this.#shared?.push(this.bytes);
  }

  /** Takes up what a device outside has written, after a push. Its writes are seen as the bytes that have changed. */
  pull(): void {
    this.#shared?.pull(this.bytes, (at, length) => this.writeBy(GUEST_BASE + at, length));
  }

  /** Guest-physical address behind the last byte. */
  get end(): number {
    return GUEST_BASE + this.bytes.length;
  }

  /** Offset of an address in `bytes`. */
  at(address: number): number {
    return address - GUEST_BASE;
  }

  copy(address: number, length: number): Uint8Array {
    return this.bytes.slice(this.at(address), this.at(address) + length);
  }

  /** Writes as the guest does. */
  put(address: number, bytes: Uint8Array): void {
    this.bytes.set(bytes, this.at(address));
  }

  /** Lets the device write these bytes, until it is taken back as often as it was given. Addresses outside memory are left out. */
  permit(address: number, length: number): void {
    this.#addPermits(address, length, 1);
  }
  forbid(address: number, length: number): void {
    this.#addPermits(address, length, -1);
  }
  forbidAll(): void {
    this.#permits.fill(0);
  }

  #addPermits(address: number, length: number, by: number): void {
    const from = Math.max(0, this.at(address));
    const to = Math.min(this.bytes.length, this.at(address) + length);
    for (let i = from; i < to; i++) this.#permits[i] += by;
  }

  readBy(address: number, length: number): void {
    this.#reads++;
    this.#watch?.read?.(address, length);
  }

  writeBy(address: number, length: number): void {
    this.#writes++;
    this.#watch?.write?.(address, length);
    if (this.trespass !== undefined) return;
    const { sanctuary } = this;
    if (sanctuary !== undefined) {
      const inside = address < sanctuary.address + sanctuary.length && sanctuary.address < address + length;
      if (inside) this.trespass = { address, length };
      return;
    }
    const from = this.at(address);
    const to = Math.min(this.bytes.length, from + length);
    for (let i = Math.max(0, from); i < to; i++) {
      if (this.#permits[i] === 0) {
        this.trespass = { address, length };
        return;
      }
    }
  }

  override read(address: number, target: Uint8Array, targetOffset: number, length: number): boolean {
    const done = super.read(address, target, targetOffset, length);
    if (done) this.readBy(address, length);
    return done;
  }

  override write(address: number, source: Uint8Array, sourceOffset: number, length: number): boolean {
    if (this.contains(address, length)) this.writeBy(address, length);
    return super.write(address, source, sourceOffset, length);
  }

  override move(from: number, to: number, length: number): boolean {
    if (this.contains(to, length)) this.writeBy(to, length);
    const done = super.move(from, to, length);
    if (done) this.readBy(from, length);
    return done;
  }

  override newWindow(): MemoryWindow {
    return new WatchedWindow(this);
  }
}

class WatchedWindow extends MemoryWindow {
  readonly #memory: WatchedMemory;

  constructor(memory: WatchedMemory) {
    super();
    this.#memory = memory;
  }

  #got(offset: number, length: number, value: number): number {
    this.#memory.readBy(this.address + offset, length);
    return value;
  }
  #sets(offset: number, length: number): void {
    this.#memory.writeBy(this.address + offset, length);
  }

  override load16(offset: number): number {
    return this.#got(offset, 2, super.load16(offset));
  }
  override get16(offset: number): number {
    return this.#got(offset, 2, super.get16(offset));
  }
  override get32(offset: number): number {
    return this.#got(offset, 4, super.get32(offset));
  }
  override get64(offset: number): number {
    return this.#got(offset, 8, super.get64(offset));
  }
  override get128(offset: number, into: Uint32Array): void {
    super.get128(offset, into);
    this.#memory.readBy(this.address + offset, 16);
  }
  override store16(offset: number, value: number): void {
    this.#sets(offset, 2);
    super.store16(offset, value);
  }
  override set16(offset: number, value: number): void {
    this.#sets(offset, 2);
    super.set16(offset, value);
  }
  override set32(offset: number, value: number): void {
    this.#sets(offset, 4);
    super.set32(offset, value);
  }
  override set32x2(offset: number, first: number, second: number): void {
    this.#sets(offset, 8);
    super.set32x2(offset, first, second);
  }
  override set64(offset: number, value: number): void {
    this.#sets(offset, 8);
    super.set64(offset, value);
  }
  override zero(offset: number, length: number): void {
    this.#sets(offset, length);
    super.zero(offset, length);
  }
}
