/**
 * The network between HCAs, in virtual time. Each port has one link into it: packets leave one after the other at the
 * link's bandwidth and arrive after its latency, in order, unless they meet a fault. A packet goes to the port that owns
 * its destination GID when it arrives, the sender's own port included.
 */
import { FaultSource } from './faults.js';
import type { FaultRates } from './faults.js';
import { Packet } from './packet.js';
import type { Scheduler } from './scheduler.js';

export interface FabricConfig {
  readonly latencyNs: number;
  readonly bandwidthBitsPerSecond: number;
  readonly faults: FaultRates;
  readonly faultSeed: number;
}

/** Gets what arrives at a port. The packet is only lent: it goes back to the pool when `receive` returns. */
export interface PacketReceiver {
  receive(packet: Packet): void;
}

/** Why a packet had no effect. The reasons after the destination GID are told by the HCA that it came to. */
export type DropReason =
  | 'the source GID table entry is empty'
  | 'lost by the link'
  | 'nobody owns the destination GID'
  | 'unknown queue pair'
  | 'queue pair does not take packets in its state'
  | 'not from the connected peer'
  | 'wrong transport, partition key or queue key'
  | 'no receive for it';

/** Watches the wire. Packets are lent, as to a receiver. */
export interface WireObserver {
  sent(packet: Packet): void;
  delivered(packet: Packet): void;
  dropped(packet: Packet, why: DropReason): void;
}

/** A place where an HCA is joined to the fabric. */
export class FabricPort {
  readonly receiver: PacketReceiver;
  /** Until when the link is busy with packets that were sent already. */
  busyUntilNs = 0;

  constructor(receiver: PacketReceiver) {
    this.receiver = receiver;
  }
}

/** A link needs this many packets' time before a delayed one counts as overtaken. */
const REORDER_PACKETS = 4;

export class Fabric {
  readonly scheduler: Scheduler;
  readonly config: FabricConfig;
  readonly #nsPerByte: number;
  readonly #faults: FaultSource;
  readonly #owners = new Map<string, FabricPort>();
  readonly #observers: WireObserver[] = [];
  readonly #pool: Packet[] = [];
  readonly #deliver = (packet: Packet) => this.#arrive(packet);

  constructor(scheduler: Scheduler, config: FabricConfig) {
    this.scheduler = scheduler;
    this.config = config;
    this.#nsPerByte = 8e9 / config.bandwidthBitsPerSecond;
    this.#faults = new FaultSource(config.faults, config.faultSeed);
  }

  attach(receiver: PacketReceiver): FabricPort {
    return new FabricPort(receiver);
  }

  /** Makes `port` the owner of a GID. False when another port owns it already (EADDRINUSE). */
  claimGid(port: FabricPort, gid: string): boolean {
    const owner = this.#owners.get(gid);
    if (owner !== undefined) return owner === port;
    this.#owners.set(gid, port);
    return true;
  }

  /** Gives a GID up; one that `port` does not own is left alone. */
  releaseGid(port: FabricPort, gid: string): void {
    if (this.#owners.get(gid) === port) this.#owners.delete(gid);
  }

  observe(observer: WireObserver): void {
    this.#observers.push(observer);
  }

  /** A packet to be filled in; every header field must be set that the opcode has. */
  newPacket(): Packet {
    return this.#pool.pop() ?? new Packet(this.#deliver);
  }

  /** Puts a packet on the link of `port`. It belongs to the fabric from here on. */
  send(port: FabricPort, packet: Packet): void {
    for (const observer of this.#observers) observer.sent(packet);
    const { scheduler, config } = this;
    const takes = Math.ceil(packet.wireBytes * this.#nsPerByte);
    port.busyUntilNs = Math.max(scheduler.nowNs, port.busyUntilNs) + takes;
    const delay = port.busyUntilNs - scheduler.nowNs + config.latencyNs;
    switch (this.#faults.decide(packet)) {
      case 'none':
        return this.#schedule(packet, delay);
      case 'drop':
        return this.discard(packet, 'lost by the link');
      case 'duplicate': {
        const twin = this.newPacket();
        twin.copyFrom(packet);
        this.#schedule(packet, delay);
        return this.#schedule(twin, delay + takes);
      }
      case 'reorder':
        return this.#schedule(
          packet,
          delay + this.#faults.distance(packet) * (config.latencyNs + REORDER_PACKETS * takes),
        );
    }
  }

  /** Takes back a packet that is not to be sent. */
  recycle(packet: Packet): void {
    this.#pool.push(packet);
  }

  /** Takes back a packet that could not leave, and tells the observers. */
  discard(packet: Packet, why: DropReason): void {
    this.reportDrop(packet, why);
    this.recycle(packet);
  }

  /** Tells the observers that a packet had no effect. */
  reportDrop(packet: Packet, why: DropReason): void {
    for (const observer of this.#observers) observer.dropped(packet, why);
  }

  #schedule(packet: Packet, delayNs: number): void {
    this.scheduler.arm(packet.arrival, delayNs, 'wire');
  }

  #arrive(packet: Packet): void {
    const port = this.#owners.get(packet.destinationGid);
    if (port === undefined) this.reportDrop(packet, 'nobody owns the destination GID');
    else {
      for (const observer of this.#observers) observer.delivered(packet);
      port.receiver.receive(packet);
    }
    this.#pool.push(packet);
  }
}
