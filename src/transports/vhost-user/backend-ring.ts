/** What a front-end has said of one ring, and the descriptors that go with it. */
import type { QueuePosition } from '../../virtio/index.js';
import { closeFd, drainEvent, makeNonBlocking, onReadable, signalEvent } from './descriptors.js';
import type { Watch } from './descriptors.js';
import type { VringAddress } from './messages.js';

export class BackendRing {
  readonly index: number;
  size = 0;
  /** By the front-end's addresses. */
  addresses: VringAddress | undefined;
  /** As SET_VRING_BASE or the last stop had it: two positions of a packed ring, one of a split one. */
  base: number | undefined;
  /** SET_VRING_ENABLE; of no meaning without protocol features. */
  enabled = false;
  /** The device has it. */
  running = false;
  /** Where it stood when it was stopped last; undefined when it never was. */
  stoppedAt: QueuePosition | undefined;
  /** SET_VRING_KICK has come: the ring may start. */
  startable = false;
  /** There is nothing to be kicked with: the ring is polled. */
  polled = false;
  #kick: number | undefined;
  #watch: Watch | undefined;
  #call: number | undefined;
  #err: number | undefined;

  constructor(index: number) {
    this.index = index;
  }

  /**
   * Takes a kick descriptor over, or the news that there is none. `kicked` undefined: nobody waits for kicks. Throws when
   * the descriptor cannot be waited for; it is closed then.
   */
  setKick(fd: number | undefined, kicked: (() => void) | undefined): void {
    this.dropKick();
    if (fd !== undefined) {
      this.#kick = fd;
      try {
        makeNonBlocking(fd);
        if (kicked !== undefined) this.#watch = onReadable(fd, () => this.#kicked(fd, kicked));
      } catch (error) {
        this.dropKick();
        throw error;
      }
    }
    this.startable = true;
    this.polled = fd === undefined;
  }

  #kicked(fd: number, tell: () => void): void {
    try {
      drainEvent(fd);
    } catch {
      // Its owner made something of it that cannot be read; without the watch it would be reported for ever.
      this.#watch?.close();
      this.#watch = undefined;
    }
    tell();
  }

  /** Whether there was a kick since the last time, where nobody waits for kicks. */
  takeKick(): boolean {
    return this.#kick !== undefined && drainEvent(this.#kick);
  }

  dropKick(): void {
    this.#watch?.close();
    this.#watch = undefined;
    if (this.#kick !== undefined) closeFd(this.#kick);
    this.#kick = undefined;
    this.startable = false;
    this.polled = false;
  }

  /** Takes a call descriptor over, or the news that there is none. */
  setCall(fd: number | undefined): void {
    this.#call = replaced(this.#call, fd);
  }
  setErr(fd: number | undefined): void {
    this.#err = replaced(this.#err, fd);
  }

  /**
   * Tells the front-end that chains came back; false when it did not say how. Throws SystemError when the descriptor is no
   * good; it is given up then.
   */
  call(): boolean {
    if (this.#call === undefined) return false;
    try {
      signalEvent(this.#call);
      return true;
    } catch (error) {
      this.setCall(undefined);
      throw error;
    }
  }

  /** Tells the front-end that the ring is broken; false when it cannot be told. */
  tellBroken(): boolean {
    try {
      if (this.#err === undefined) return false;
      signalEvent(this.#err);
      return true;
    } catch {
      this.setErr(undefined);
      return false;
    }
  }

  /** The device was reset: the ring is to be set up anew, with the descriptors that are there. */
  forget(): void {
    this.size = 0;
    this.addresses = undefined;
    this.base = undefined;
    this.enabled = false;
    this.running = false;
    this.stoppedAt = undefined;
  }

  close(): void {
    this.dropKick();
    this.setCall(undefined);
    this.setErr(undefined);
  }
}

function replaced(old: number | undefined, fd: number | undefined): number | undefined {
  if (old !== undefined) closeFd(old);
  if (fd !== undefined) makeNonBlocking(fd);
  return fd;
}
