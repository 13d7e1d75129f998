/**
 * The other half of the watch over a machine whose device works in another process. The driver's accesses are seen one by one;
 * what the device does is taken up from memory whenever the driver looks at what it has returned, when it calls, and when
 * all is at rest. That is never later than the driver: what a driver has seen has been judged.
 */
import type { GuestOs } from '../../../driver/index.js';
import type { GuestMemory } from '../../../virtio/index.js';
import type { ObservationKey } from '../observations.js';
import type { Places } from '../places.js';
import type { PostedChain } from '../posted-chain.js';
import type { Regions } from '../regions.js';
import type { Place, RingState } from '../ring-state.js';
import { Canaries } from './canaries.js';
import { DmaShadow } from './dma-shadow.js';
import { DueCalls } from './due-calls.js';
import { sightOf } from './sight.js';
import type { RingSight } from './sight.js';
import type { OutsideTally } from './unseen.js';

export interface OutsideHost {
  readonly memory: GuestMemory;
  readonly places: Places<Place>;
  readonly regions: Regions;
  readonly rings: ReadonlyMap<number, RingState>;
  readonly live: boolean;
  breach(key: ObservationKey, message: string): void;
}

interface Sighted {
  readonly sight: RingSight;
  readonly calls: DueCalls;
}

export class OutsideWatch {
  readonly #host: OutsideHost;
  readonly #tally: OutsideTally;
  readonly #canaries: Canaries;
  readonly #shadow: DmaShadow | undefined;
  readonly #sighted = new Map<RingState, Sighted>();
  /** The device was allowed to write to all of memory: from then on no byte of it tells anything. */
  #open = false;
  /** Where the driver stores a word that was taken up already; -1 when it does not. */
  #told = -1;

  /** `driverSeen`: each write of the driver to DMA memory goes through its view. */
  constructor(host: OutsideHost, tally: OutsideTally, driverSeen: boolean) {
    this.#host = host;
    this.#tally = tally;
    this.#canaries = new Canaries(host.memory);
    this.#shadow = driverSeen ? new DmaShadow(host.memory) : undefined;
  }

  osOf(os: GuestOs): GuestOs {
    return this.#shadow?.of(os) ?? os;
  }

  // ---------------------------------------------------------------- the driver

  /** The driver is about to store a word that may publish chains. */
  storing(address: number, value: number): void {
    this.#shadow?.settleFresh();
    for (const { ring } of this.#host.places.touching(address, address + 2).slice()) {
      if (ring.lost) continue;
      this.#canaries.storing(ring, address, value);
      if (this.#of(ring)?.sight.publishing(address, value) === true) this.#told = address;
    }
  }

  /** What the driver has stored there was taken up before: the device may have put something else in its place. */
  isTold(address: number): boolean {
    const told = this.#told === address;
    this.#told = -1;
    return told;
  }

  /** The driver has read these places: what it may have seen is judged before it acts. */
  driverRead(places: readonly Place[]): void {
    this.#shadow?.settleFresh();
    for (const { kind, ring } of places) if (kind === 'used' || kind === 'ring') this.#look(ring);
  }

  /** The driver has written to these places. */
  driverWrote(address: number, length: number, places: readonly Place[]): void {
    this.#shadow?.settleFresh();
    this.#shadow?.settle({ address, length });
    for (const place of places) {
      const { sight, calls } = this.#of(place.ring) ?? {};
      if (sight?.isWish(place, address, address + length) === true) calls?.wished();
      if (this.#host.live) sight?.take();
    }
  }

  /** A chain is published: what it lets the device read is the driver's, who may have copied it there unseen. */
  published(chain: PostedChain): void {
    for (const { address, length, writable } of chain.parts)
      if (!writable) this.#shadow?.settle({ address, length });
  }

  // ---------------------------------------------------------------- the device

  #of(ring: RingState): Sighted | undefined {
    const known = this.#sighted.get(ring);
    if (known !== undefined) return known;
    const sight = sightOf(ring);
    if (sight === undefined) return undefined;
    const keys = { missing: 'interruptMissing', needless: 'interruptNeedless' } as const;
    const calls = new DueCalls(sight.usedCount, {
      looked: what => ring.looked(keys[what]),
      broke: (what, message) => ring.breach(keys[what], message),
    });
    const made = { sight, calls };
    this.#sighted.set(ring, made);
    return made;
  }

  #look(ring: RingState): void {
    const { sight, calls } = this.#of(ring) ?? {};
    if (sight === undefined || calls === undefined || ring.lost) return;
    const { live } = this.#host;
    if (live) sight.take();
    this.#tally.looking = true;
    try {
      sight.look();
    } finally {
      this.#tally.looking = false;
    }
    for (const extent of sight.returned()) this.#shadow?.settle(extent);
    // Who is told of what is judged below: the watch over single accesses must not judge it too.
    ring.toDriver.forgive();
    const judged = live && ring.kind !== 'completion';
    calls.found(sight.usedCount, judged, (from, to) => sight.wants(from, to));
  }

  lookAtAll(): void {
    for (const ring of this.#host.rings.values()) this.#look(ring);
  }

  /** The device has called on account of a ring that is no completion queue's. */
  called(ring: RingState): void {
    this.#of(ring)?.calls.called();
  }

  /** Whether nothing has come back yet: some devices call when they get the descriptor to call with. */
  isUnused(ring: RingState): boolean {
    return this.#of(ring)?.sight.usedCount === 0;
  }

  /** A chain counts as taken: its writable bytes count as written until it is back. */
  taken(chain: PostedChain): void {
    chain.wrote(0, chain.writableBytes);
  }

  /** A chain is back. */
  returned(ring: RingState, chain: PostedChain): void {
    const written = this.#canaries.written(chain);
    for (const { address, length, writable } of chain.parts)
      if (writable) this.#shadow?.settle({ address, length });
    if (chain.usedLength <= written) return;
    ring.breach(
      'usedLength',
      `chain ${chain.head} came back with length ${chain.usedLength}, and byte ${written} of its ${chain.writableBytes} writable bytes was not written`,
    );
  }

  // ---------------------------------------------------------------- rest

  /** Nothing moves any more. */
  atRest(): void {
    this.lookAtAll();
    for (const [ring, { calls, sight }] of this.#sighted) {
      if (ring.lost) continue;
      calls.atRest();
      sight.rest();
    }
    if (this.#host.regions.all) this.#open = true;
    if (this.#open) return;
    if (this.#shadow === undefined || this.#sighted.size === 0) return;
    for (const key of ['foreignAreas', 'writesWithin', 'lateWrites'] as const) this.#tally.looked(key);
    this.#shadow.check(address => this.#written(address));
  }

  /** A byte of DMA memory has changed, and nobody was seen to change it. */
  #written(address: number): void {
    const { places, rings } = this.#host;
    const what = `the device wrote the byte at 0x${address.toString(16)}`;
    for (const place of places.touching(address, address + 1)) {
      const { kind, ring } = place;
      if (kind === 'writable' || ring.lost) return;
      if (kind === 'used' || kind === 'ring') {
        if (this.#of(ring)?.sight.mayWrite(place, address) !== false) return;
        ring.breach('lateWrites', `${what}, of an element that is published or has no chain to return`);
      } else ring.breach('foreignAreas', `${what}, which is the driver's`);
      return;
    }
    for (const ring of rings.values()) {
      if (ring.lost) return;
      const late = ring.returnedOwner(address);
      if (late === undefined) continue;
      ring.breach('lateWrites', `${what}, of chain ${late.head}, which is back`);
      return;
    }
    this.#host.breach('writesWithin', `${what}, which is in no chain that it has`);
  }

  /** Queues are gone, and whatever the device did to their memory. */
  forget(): void {
    for (const ring of this.#sighted.keys())
      if (this.#host.rings.get(ring.index) !== ring) this.#sighted.delete(ring);
    this.#canaries.clear();
    this.#shadow?.settleAll();
  }
}
