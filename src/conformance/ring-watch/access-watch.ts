/**
 * What driver and device do to guest memory, access by access: each goes to the rings that it touches, and is judged where it
 * touches what it must not.
 */
import type { ObservationKey } from './observations.js';
import type { OutsideWatch } from './outside/outside-watch.js';
import type { Places } from './places.js';
import type { Regions } from './regions.js';
import type { Place, RingState } from './ring-state.js';
import type { Tally } from './tally.js';
import type { OsListener } from './watched-memory.js';

/** Whose access goes on, for a listener that wants to meddle. */
export type AccessHook = (
  by: 'driver' | 'device',
  what: 'read' | 'written',
  address: number,
  length: number,
) => void;

/** The machine whose memory it is. */
export interface AccessHost {
  readonly places: Places<Place>;
  readonly regions: Regions;
  readonly tally: Tally;
  readonly rings: ReadonlyMap<number, RingState>;
  /** The watch over a device in another process. */
  readonly outside: OutsideWatch | undefined;
  /** A reset is going on: the device may still look at what it had. */
  readonly resetting: boolean;
  /** Called behind each access. */
  readonly hook: AccessHook | undefined;
  breach(key: ObservationKey, message: string): void;
}

/**
 * Each walk is over a copy of what the access touches: a ring that is told of an access may let the driver look in the midst of
 * it, and that look asks for places, too.
 */
export class AccessWatch {
  readonly driver: OsListener;
  readonly #host: AccessHost;
  readonly #pins = new Map<number, number>();

  constructor(host: AccessHost) {
    this.#host = host;
    this.driver = this.#driverListener();
  }

  #driverListener(): OsListener {
    const { outside } = this.#host;
    return {
      ...(outside === undefined
        ? {}
        : { storing: (address: number, value: number) => outside.storing(address, value) }),
      read: (address, length) => {
        const places = this.#host.places.touching(address, address + length).slice();
        outside?.driverRead(places);
        for (const place of places)
          place.ring.driver.read(
            place,
            Math.max(address, place.start),
            Math.min(address + length, place.end),
          );
        this.#host.hook?.('driver', 'read', address, length);
      },
      written: (address, length) => {
        const places = this.#host.places.touching(address, address + length).slice();
        for (const place of outside?.isTold(address) === true ? [] : places)
          place.ring.driver.wrote(
            place,
            Math.max(address, place.start),
            Math.min(address + length, place.end),
          );
        outside?.driverWrote(address, length, places);
        this.#host.hook?.('driver', 'written', address, length);
      },
      freeing: (address, length) => this.#freeing(address, length),
      pinned: page => void this.#pins.set(page, (this.#pins.get(page) ?? 0) + 1),
      unpinning: page => this.#unpinning(page),
    };
  }

  #freeing(address: number, length: number): void {
    this.#host.tally.looked('release');
    for (const ring of this.#host.rings.values()) ring.driver.sync();
    for (const place of this.#host.places.touching(address, address + length)) {
      const what = place.chain === undefined ? 'its rings' : `chain ${place.chain.head}`;
      place.ring.breach('release', `memory of ${what} was given back while the device may use it`);
      return;
    }
  }

  #unpinning(page: number): void {
    this.#host.tally.looked('release');
    const left = (this.#pins.get(page) ?? 0) - 1;
    this.#pins.set(page, left);
    if (left < this.#host.regions.users(page))
      this.#host.breach('release', `page 0x${page.toString(16)} was released while a region lists it`);
  }

  deviceRead(address: number, length: number): void {
    const end = address + length;
    const places = this.#host.places.touching(address, end).slice();
    this.#host.tally.looked('readsWithin');
    if (!this.#allowed(places, address, end, false)) this.#straysRead(places, address, length);
    for (const place of places)
      place.ring.device.read(place, Math.max(address, place.start), Math.min(end, place.end));
    this.#host.hook?.('device', 'read', address, length);
  }

  #straysRead(places: readonly Place[], address: number, length: number): void {
    const what = `the device read ${length} bytes at 0x${address.toString(16)}`;
    if (this.#host.rings.size === 0 && !this.#host.resetting) {
      this.#host.breach('afterReset', `${what} while no queue is enabled`);
      return;
    }
    const own = places.find(place => place.kind === 'writable');
    if (own !== undefined)
      own.ring.breach('bufferUnread', `${what}, writable bytes of chain ${own.chain?.head}`);
    else if (!this.#lostOne())
      this.#host.breach('readsWithin', `${what}, which are in no ring, chain or region`);
  }

  /** A chain that its driver broke is followed no further, so nobody knows which memory the device has of that ring. */
  #lostOne(): boolean {
    for (const ring of this.#host.rings.values()) if (ring.lost) return true;
    return false;
  }

  deviceWrote(address: number, length: number): void {
    const end = address + length;
    const places = this.#host.places.touching(address, end).slice();
    this.#host.tally.looked('writesWithin');
    this.#host.tally.looked('foreignAreas');
    if (!this.#allowed(places, address, end, true)) this.#straysWritten(places, address, length);
    for (const place of places)
      place.ring.device.wrote(place, Math.max(address, place.start), Math.min(end, place.end));
    this.#host.hook?.('device', 'written', address, length);
  }

  deviceStoring(address: number, value: number): void {
    for (const place of this.#host.places.touching(address, address + 2).slice())
      place.ring.device.publishing(place, address - place.start, value);
  }

  #straysWritten(places: readonly Place[], address: number, length: number): void {
    const what = `the device wrote ${length} bytes at 0x${address.toString(16)}`;
    if (this.#host.rings.size === 0 && !this.#host.resetting) {
      this.#host.breach('afterReset', `${what} while no queue is enabled`);
      return;
    }
    const foreign = places.find(place => !permits(place, true));
    if (foreign !== undefined) {
      foreign.ring.breach('foreignAreas', `${what}, in the ${areaNames[foreign.kind]}`);
      return;
    }
    for (const ring of this.#host.rings.values()) {
      const late = ring.returnedOwner(address);
      if (late === undefined) continue;
      ring.breach('lateWrites', `${what}, of chain ${late.head}, which is back`);
      return;
    }
    if (this.#lostOne()) return;
    this.#host.breach(
      'writesWithin',
      `${what}, which are in no chain that it has and no region that may be written`,
    );
  }

  /** Whether the device may read or write every byte of [start, end). */
  #allowed(places: readonly Place[], start: number, end: number, write: boolean): boolean {
    let at = start;
    while (at < end) {
      const before = at;
      for (const place of places) {
        if (place.ring.lost || (permits(place, write) && place.start <= at)) at = Math.max(at, place.end);
      }
      if (at < end) at = this.#host.regions.allowedUpTo(at, end, write);
      if (at === before) return false;
    }
    return true;
  }
}

const areaNames = {
  descriptors: 'descriptor table',
  ring: 'descriptor ring',
  available: 'available ring',
  table: 'indirect table',
  readable: 'readable part of a chain',
  used: 'used ring',
  writable: 'writable part of a chain',
} as const;

function permits({ kind }: Place, write: boolean): boolean {
  return write ? kind === 'used' || kind === 'ring' || kind === 'writable' : kind !== 'writable';
}
