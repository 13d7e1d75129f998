/** One queue of a device in another process, as its front-end has it: its events, and what its rings in shared memory show. */
import type { GuestMemory, QueueAddresses, RingFeatures } from '../../virtio/index.js';
import { closeFd, drainEvent, newEvent, signalEvent } from './descriptors.js';
import { frontRing } from './front-ring.js';
import type { FrontRing } from './front-ring.js';

export class FrontQueue {
  readonly index: number;
  /** Event descriptors, kept from one set-up to the next. */
  readonly kick: number;
  readonly call: number;
  readonly error: number;
  size = 0;
  addresses: QueueAddresses | undefined;
  /** The device has been told where the queue is. */
  told = false;
  /** Chains have come back and the device has not called since: it may be about to. */
  callDue = false;
  /** Used elements with something in them, over all set-ups since the device was reset. */
  filled = 0;
  #ring: FrontRing | undefined;
  #offered = 0;
  #seen = 0;
  #givenUp = 0;
  /** Of the ring's count, what is in `filled`. */
  #filledSeen = 0;

  /** Throws SystemError when there are no descriptors left. */
  constructor(index: number) {
    this.index = index;
    this.kick = newEvent();
    this.call = newEvent();
    this.error = newEvent();
  }

  /** `single`: each of its chains is one descriptor. */
  place(
    memory: GuestMemory,
    size: number,
    addresses: QueueAddresses,
    features: RingFeatures,
    single: boolean,
  ): void {
    this.size = size;
    this.addresses = addresses;
    this.#ring = frontRing(memory, { size, addresses, features, single });
    this.#seen = 0;
    this.#offered = 0;
    this.#givenUp = 0;
    this.#filledSeen = 0;
  }

  get enabled(): boolean {
    return this.addresses !== undefined;
  }

  /** Something was ever made available. */
  get used(): boolean {
    this.#ring?.look();
    return (this.#ring?.published ?? 0) > 0;
  }

  disable(): void {
    this.addresses = undefined;
    this.told = false;
    this.#ring = undefined;
  }

  /** Where the device goes on, with nothing outstanding, when it is told of the ring again. */
  get base(): number {
    this.#ring?.look();
    return this.#ring?.base ?? 0;
  }

  /** Chains with the device, but those given up: made available, and not returned when this was last looked at. */
  get outstanding(): number {
    this.#ring?.look();
    return Math.max(0, this.#withDevice - this.#givenUp);
  }

  /** Nobody waits any longer for what is with the device now. */
  giveUp(): void {
    this.#ring?.look();
    this.#givenUp = this.#withDevice;
  }

  get #withDevice(): number {
    return (this.#ring?.published ?? 0) - this.#seen;
  }

  /** Takes note of what is there, without saying so. */
  see(): void {
    this.#ring?.look();
  }

  /** Whether chains were made available since the last look; a device that is awake is not kicked for them. */
  offers(): boolean {
    const now = this.#ring?.published ?? 0;
    if (now === this.#offered) return false;
    this.#offered = now;
    return true;
  }

  /** Whether chains have come back since the last look. */
  look(): boolean {
    const ring = this.#ring;
    if (ring === undefined) return false;
    ring.look();
    this.filled += ring.filled - this.#filledSeen;
    this.#filledSeen = ring.filled;
    const came = ring.returned - this.#seen;
    if (came === 0) return false;
    this.#givenUp = Math.max(0, this.#givenUp - came);
    this.#seen = ring.returned;
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

  /** Whether the device has said since the last look that it cannot go on with the ring. */
  takeError(): boolean {
    return drainEvent(this.error);
  }

  close(): void {
    closeFd(this.kick);
    closeFd(this.call);
    closeFd(this.error);
  }
}
