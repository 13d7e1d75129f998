/**
 * The bench of the ring watch: one watched machine whose rings are written and read by hand, access by access, and what the watch
 * says about it. A table has the observations one by one: what holds, and the smallest history that breaks it.
 */
import { describe, expect, it } from 'vitest';
import { profiles } from '../../../src/abi/index.js';
import { smallLimits } from '../../../src/conformance/limits.js';
import { observations } from '../../../src/conformance/ring-watch/observations.js';
import type { ObservationKey } from '../../../src/conformance/ring-watch/observations.js';
import { Tally } from '../../../src/conformance/ring-watch/tally.js';
import { WatchedMachine } from '../../../src/conformance/ring-watch/watched-machine.js';
import { SimulatedGuest } from '../../../src/conformance/simulated-guest.js';
import { Scheduler, firstChoice } from '../../../src/fabric/index.js';
import { DeviceStatus, ringFeatureSet } from '../../../src/virtio/index.js';
import type { DmaBuffer } from '../../../src/driver/index.js';
import type { GuestMemory, QueuePosition, RingFeatures } from '../../../src/virtio/index.js';

const { maxQps, maxCqs } = smallLimits.device;
export const queues = profiles.roce.queues(maxQps, maxCqs);
/** A queue of a device of another kind: nothing is known of what it is for. */
export const PLAIN = 0;

export interface RingOptions {
  readonly size?: number;
  readonly index?: number;
  /** DRIVER_OK is not set yet. */
  readonly early?: boolean;
  readonly features?: Partial<RingFeatures>;
  /** The driver runs at the same time: what is published is judged before it is stored. */
  readonly concurrent?: boolean;
  /** Where the ring is taken up that others have used before. */
  readonly start?: QueuePosition;
}

/** A machine under watch, and all that the watch says. */
export class Bench {
  readonly tally = new Tally();
  readonly machine: WatchedMachine;
  readonly guest: SimulatedGuest;
  /** Each breach, in order: `availIndex: what was seen`. */
  readonly breaches: string[] = [];
  /** What the machines of chains and notifications are told of, in order. */
  readonly told: string[] = [];
  readonly features: RingFeatures;

  constructor({ early = false, features = {}, concurrent = false }: RingOptions) {
    this.guest = new SimulatedGuest({
      scheduler: new Scheduler(firstChoice),
      memoryBytes: 65_536,
      arenaBytes: 8192,
      scatterSeed: 1,
    });
    // Where things lie is the allocator's to choose.
    this.tally.onBreach = (key, message) =>
      void this.breaches.push(
        `${key}: ${message.replace(/^machine 3(, queue \d+)?: /, '').replaceAll(/0x1[0-9a-f]{8}\b/g, 'ADDRESS')}`,
      );
    const tell =
      (what: string) =>
      (_queue: number, ...rest: readonly unknown[]): void =>
        void this.told.push([what, ...rest].join(' '));
    const sink = {
      available: tell('available'),
      published: tell('published'),
      taken: tell('taken'),
      used: tell('used'),
      interrupt: tell('interrupt'),
      consumed: tell('consumed'),
      asleep: tell('asleep'),
      notified: tell('notified'),
      woke: tell('woke'),
    };
    const numbered =
      (what: string) =>
      (...all: readonly number[]): void =>
        void this.told.push([what, ...all].join(' '));
    const commands = (side: string) => ({
      command: numbered(`${side} command`),
      answer: numbered(`${side} answer`),
    });
    const control = { driver: commands('driver'), device: commands('device') };
    const { tally } = this;
    this.machine = new WatchedMachine(
      { vm: 3, queues, maxQps, maxCqs, tally, sink, control, concurrent },
      this.guest,
    );
    this.features = { indirect: true, eventIdx: false, ...features };
    this.machine.featuresWritten(ringFeatureSet(this.features));
    this.machine.statusWriting(DeviceStatus.FEATURES_OK);
    if (!early) this.machine.statusWriting(DeviceStatus.DRIVER_OK);
  }

  /** DMA memory of the driver. */
  memory(bytes: number): DmaBuffer {
    return this.machine.os.allocDma(bytes, 16);
  }

  looks(key: ObservationKey): number {
    return this.tally.looks.get(key) ?? 0;
  }

  /** What the machines are told of in this. */
  toldBy(act: () => void): readonly string[] {
    const before = this.told.length;
    act();
    return this.told.slice(before);
  }
}

/** A history of a ring, and what the watch says to it. */
export interface History<Ring> {
  readonly about: string;
  readonly acts: (ring: Ring) => void;
  /** How often the observation was looked at; at least once when absent. */
  readonly looks?: number;
  /** Breaches, in order: of the observation itself without its key. None when all is sound. */
  readonly breaks: readonly string[];
  readonly options?: RingOptions;
}

/** A sound history, and how often the observation is looked at in it. */
export function holds<Ring>(
  about: string,
  looks: number,
  acts: (ring: Ring) => void,
  options?: RingOptions,
): History<Ring> {
  return { about, acts, looks, breaks: [], options };
}

/** A history that is wrong in one thing. */
export function breaks<Ring>(
  about: string,
  says: string | readonly string[],
  acts: (ring: Ring) => void,
  options?: RingOptions,
): History<Ring> {
  return { about, acts, breaks: typeof says === 'string' ? [says] : says, options };
}

interface OnBench {
  readonly bench: Bench;
}

/** The table of one observation: each history on a ring of its own. */
export function judged<Ring extends OnBench>(
  key: ObservationKey,
  open: (options: RingOptions) => Ring,
  ...histories: readonly History<Ring>[]
): void {
  const { id, slug, requirements } = observations[key];
  describe(`${id} ${slug} ${requirements.map(each => `[${each}]`).join(' ')}`, () => {
    it.each(
      histories.map(each => [`${each.breaks.length === 0 ? 'holds' : 'is broken'}: ${each.about}`, each]),
    )('%s', (_name, { acts, looks, breaks, options }) => {
      const ring = open(options ?? {});
      acts(ring);
      expect(ring.bench.breaches).toEqual(
        breaks.map(each => (/^\w+: /.test(each) ? each : `${key}: ${each}`)),
      );
      if (looks === undefined) expect(ring.bench.looks(key)).toBeGreaterThan(0);
      else expect(ring.bench.looks(key)).toBe(looks);
    });
  });
}

/** Bytes that are all the same, written by one side. */
export function fill(memory: GuestMemory, address: number, length: number, value = 0x5a): void {
  memory.write(address, new Uint8Array(length).fill(value), 0, length);
}

/** Reads bytes as one side does. */
export function look(memory: GuestMemory, address: number, length: number): void {
  memory.read(address, new Uint8Array(length), 0, length);
}
