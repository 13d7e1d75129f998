/** The packets of UC connections and of datagram queue pairs: turns numbers into events of the machines WIRE.UC and WIRE.UD. */
import type { Packet } from '../../fabric/index.js';
import type { Monitor } from '../../statemachines/index.js';
import { MessageBytes } from './message.js';
import { psnAdd, psnDistance } from './numbers.js';
import { PathMtus } from './path-mtu.js';
import { beginsAnew, eventsOf, startsMessage } from './tables.js';
import type { WireSink } from './tables.js';

/** One direction of a UC connection. */
export class UnreliableRequests {
  readonly #monitor: Monitor;
  readonly #key: number;
  readonly #sink: WireSink;
  readonly #event: (name: string) => number;
  readonly #mtus = new PathMtus();
  readonly #bytes = new MessageBytes();
  #next: number | undefined;

  constructor(monitor: Monitor, key: number, sink: WireSink) {
    this.#monitor = monitor;
    this.#key = key;
    this.#sink = sink;
    this.#event = eventsOf(monitor);
    monitor.open(key);
  }

  isOfNewConnection({ psn }: Packet, part: string): boolean {
    return beginsAnew(part, psn, this.#next ?? psn);
  }

  take(packet: Packet, part: string): void {
    const { psn } = packet;
    if (this.#next === undefined && !startsMessage(part))
      this.#tell(part.startsWith('SEND') ? 'JOIN_SEND' : 'JOIN_WRITE');
    const expected = this.#next ?? psn;
    if (psn !== expected) {
      const fault = psnDistance(psn, expected) > 0 ? 'GAP' : 'AGAIN';
      return this.#tell(fault, () => `psn ${psn}, expected ${expected}`);
    }
    this.#next = psnAdd(psn, 1);
    const fault = this.#bytes.take(packet, part, this.#mtus);
    if (fault !== undefined) return this.#tell(fault.event, () => fault.detail);
    this.#tell(part, () => `psn ${psn}`);
  }

  #tell(name: string, detail?: () => string): void {
    this.#sink.event(this.#monitor, this.#key, this.#event(name), detail);
  }
}

/** What one datagram queue pair sends. */
export class Datagrams {
  readonly #monitor: Monitor;
  readonly #key: number;
  readonly #sink: WireSink;
  readonly #complete: boolean;
  readonly #event: (name: string) => number;
  #next: number | undefined;

  /** `complete`: every packet of the queue pair is seen, so none of its numbers may be missing. */
  constructor(monitor: Monitor, key: number, sink: WireSink, complete: boolean) {
    this.#monitor = monitor;
    this.#key = key;
    this.#sink = sink;
    this.#complete = complete;
    this.#event = eventsOf(monitor);
    monitor.open(key);
  }

  take({ psn }: Packet): void {
    const expected = this.#next ?? psn;
    const distance = psnDistance(psn, expected);
    this.#next = psnAdd(psn, 1);
    const skipped = this.#complete ? 'GAP' : 'SKIP';
    const later = distance === 0 ? 'NEXT' : skipped;
    const name = distance < 0 ? 'AGAIN' : later;
    this.#sink.event(this.#monitor, this.#key, this.#event(name), () => `psn ${psn}, expected ${expected}`);
  }
}
