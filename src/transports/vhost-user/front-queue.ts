/** One queue of a device in another process, as its front-end has it: its events, and what its rings in shared memory show. */
import { Avail, Used } from '../../virtio/index.js';
import type { QueueAddresses } from '../../virtio/index.js';
import { closeFd, drainEvent, newEvent, signalEvent } from './descriptors.js';

export class FrontQueue {
  readonly index: number;
  /** Event descriptors, kept from one set-up to the next. */
  readonly kick: number;
  readonly call: number;
  size = 0;
  addresses: QueueAddresses | undefined;
  /** The device has been told where the queue is. */
  told = false;
  /** Chains have come back and the device has not called since: it may be about to. */
  callDue = false;
  /** Used elements with something in them, over all set-ups since the device was reset. */
  filled = 0;
  #availIdx: Uint16Array | undefined;
  #usedIdx: Uint16Array | undefined;
  #elements: DataView | undefined;
  #seen = 0;
  #offered = 0;
  #givenUp = 0;

  /** Throws SystemError when there are no descriptors left. */
  constructor(index: number) {
    this.index = index;
    this.kick = newEvent();
    this.call = newEvent();
  }

  /** `bytes`: guest memory that begins at guest-physical address `base`; the rings lie in it. */
  place(size: number, addresses: QueueAddresses, bytes: Uint8Array, base: number): void {
    this.size = size;
    this.addresses = addresses;
    this.#seen = 0;
    this.#offered = 0;
    this.#givenUp = 0;
    const word = (address: number): Uint16Array | undefined => {
      const at = bytes.byteOffset + address - base;
      const inside = address >= base && address + 2 <= base + bytes.length && at % 2 === 0;
      return inside ? new Uint16Array(bytes.buffer, at, 1) : undefined;
    };
    this.#availIdx = word(addresses.driver + Avail.IDX);
    this.#usedIdx = word(addresses.device + Used.IDX);
    const first = addresses.device + Used.RING - base;
    const length = Used.ENTRY * size;
    this.#elements =
      first >= 0 && first + length <= bytes.length
        ? new DataView(bytes.buffer, bytes.byteOffset + first, length)
        : undefined;
  }

  get enabled(): boolean {
    return this.addresses !== undefined;
  }

  /** Something was ever made available. */
  get used(): boolean {
    return this.#availIdx !== undefined && Atomics.load(this.#availIdx, 0) !== 0;
  }

  disable(): void {
    this.addresses = undefined;
    this.told = false;
    this.#availIdx = undefined;
    this.#usedIdx = undefined;
    this.#elements = undefined;
  }

  /** Chains with the device, but those given up: made available, and not returned when this was last looked at. */
  get outstanding(): number {
    return Math.max(0, this.#withDevice - this.#givenUp);
  }

  /** Nobody waits any longer for what is with the device now. */
  giveUp(): void {
    this.#givenUp = this.#withDevice;
  }

  get #withDevice(): number {
    if (this.#availIdx === undefined) return 0;
    return (Atomics.load(this.#availIdx, 0) - this.#seen) & 0xffff;
  }

  /** Whether chains were made available since the last look; a device that is awake is not kicked for them. */
  offers(): boolean {
    if (this.#availIdx === undefined) return false;
    const now = Atomics.load(this.#availIdx, 0);
    if (now === this.#offered) return false;
    this.#offered = now;
    return true;
  }

  /** Whether chains have come back since the last look. */
  look(): boolean {
    if (this.#usedIdx === undefined) return false;
    const now = Atomics.load(this.#usedIdx, 0);
    if (now === this.#seen) return false;
    const elements = this.#elements;
    for (let left = Math.min((now - this.#seen) & 0xffff, this.size); left > 0; left--) {
      const at = Used.ENTRY * ((now - left) & (this.size - 1));
      if (elements !== undefined && elements.getUint32(at + Used.LEN, true) > 0) this.filled++;
    }
    this.#givenUp = Math.max(0, this.#givenUp - ((now - this.#seen) & 0xffff));
    this.#seen = now;
    this.callDue = true;
    return true;
  }

  signalKick(): void {
    signalEvent(this.kick);
  }
  /** Whether the device has called since the last look. */
  takeCall(): boolean {
    this.callDue = false;
    return drainEvent(this.call);
  }

  close(): void {
    closeFd(this.kick);
    closeFd(this.call);
  }
}
