/**
 * What a link does to a packet. The decision is a function of a seed and of what the packet is, not of when it is sent,
 * so that the same program meets the same faults whoever steps first.
 */
import type { Packet } from './packet.js';

export interface FaultRates {
  /** Of 1024 packets, how many are lost. */
  readonly dropPer1024: number;
  /** Of 1024 packets, how many arrive twice. */
  readonly duplicatePer1024: number;
  /** Of 1024 packets, how many are delayed past others. */
  readonly reorderPer1024: number;
  /**
   * A packet meets a fault only in its first so many transmissions (default 2), so that a finite count of retries always
   * gets through. Infinity: every transmission may meet one.
   */
  readonly faultyTransmissions?: number;
}

export const noFaults: FaultRates = { dropPer1024: 0, duplicatePer1024: 0, reorderPer1024: 0 };

export type Fault = 'none' | 'drop' | 'duplicate' | 'reorder';

const DEFAULT_FAULTY_TRANSMISSIONS = 2;

export class FaultSource {
  readonly #rates: FaultRates;
  readonly #seed: number;
  readonly #limit: number;
  readonly #any: boolean;
  readonly #gidHashes = new Map<string, number>();

  constructor(rates: FaultRates, seed: number) {
    this.#rates = rates;
    this.#seed = seed | 0;
    this.#limit = rates.faultyTransmissions ?? DEFAULT_FAULTY_TRANSMISSIONS;
    this.#any = rates.dropPer1024 + rates.duplicatePer1024 + rates.reorderPer1024 > 0;
  }

  decide(packet: Packet): Fault {
    if (!this.#any || packet.transmission >= this.#limit) return 'none';
    const hash = this.#hash(packet);
    const rates = this.#rates;
    if ((hash & 1023) < rates.dropPer1024) return 'drop';
    if (((hash >>> 10) & 1023) < rates.duplicatePer1024) return 'duplicate';
    // Ten bits of their own: the upper ones, scrambled once more.
    if ((mix(hash, 0x5bd1e995) & 1023) < rates.reorderPer1024) return 'reorder';
    return 'none';
  }

  /** How far a packet is delayed past others, in units of 1..4. */
  distance(packet: Packet): number {
    return 1 + ((this.#hash(packet) >>> 30) & 3);
  }

  #hash(packet: Packet): number {
    let hash = mix(this.#seed, this.#gidHash(packet.sourceGid));
    hash = mix(hash, this.#gidHash(packet.destinationGid));
    hash = mix(hash, packet.sourceQpn);
    hash = mix(hash, packet.destQpn);
    hash = mix(hash, packet.psn);
    return mix(hash, (packet.opcode << 8) | packet.transmission) >>> 0;
  }

  #gidHash(gid: string): number {
    const known = this.#gidHashes.get(gid);
    if (known !== undefined) return known;
    let hash = 0;
    for (let i = 0; i < gid.length; i++) hash = mix(hash, gid.charCodeAt(i));
    if (this.#gidHashes.size >= 1024) this.#gidHashes.clear();
    this.#gidHashes.set(gid, hash);
    return hash;
  }
}

/** One round of a 32-bit mixing function (the finaliser of MurmurHash3, public domain, after adding `value`). */
function mix(hash: number, value: number): number {
  let h = (hash + value + 0x9e3779b9) | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
