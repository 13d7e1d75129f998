/**
 * A learning switch: a frame goes to the port that its destination was last seen behind, and to all others while nobody
 * knows. It holds nothing: what a port has no buffer for is dropped there, and counted.
 */
import { netHeader } from './layout.js';

/** What the switch sees of a network device. */
export interface SwitchPort {
  /** Offers a frame that came in by queue pair `pair` elsewhere; as `ReceiveSide.deliver` has it. Never blocks. */
  receive(packet: Uint8Array, length: number, pair: number): void;
  /** The batch is over: what was received is shown to the driver. */
  flush(): void;
}

/** Addresses that are remembered at one time. When there are more, the oldest is forgotten. */
const ADDRESSES_MAX = 4096;

export class LearningSwitch {
  readonly #ports: SwitchPort[] = [];
  readonly #places = new Map<number, SwitchPort>();
  /** Ports that got something since the last `flush`. */
  readonly #touched = new Set<SwitchPort>();

  get ports(): number {
    return this.#ports.length;
  }

  /** Addresses that are known. */
  get addresses(): number {
    return this.#places.size;
  }

  connect(port: SwitchPort): void {
    if (!this.#ports.includes(port)) this.#ports.push(port);
  }

  /** Takes a port out and forgets what was seen behind it. */
  disconnect(port: SwitchPort): void {
    const at = this.#ports.indexOf(port);
    if (at < 0) return;
    this.#ports.splice(at, 1);
    this.#touched.delete(port);
    for (const [address, place] of this.#places) if (place === port) this.#places.delete(address);
  }

  /** Forwards a frame that `from` sent; it stands behind its header in `packet`, `length` bytes together. */
  forward(from: SwitchPort, packet: Uint8Array, length: number, pair: number): void {
    this.#learn(from, macAt(packet, SOURCE), (packet[SOURCE] & GROUP) !== 0);
    const place =
      (packet[DESTINATION] & GROUP) === 0 ? this.#places.get(macAt(packet, DESTINATION)) : undefined;
    if (place === undefined) {
      for (const port of this.#ports) if (port !== from) this.#hand(port, packet, length, pair);
    } else if (place !== from) this.#hand(place, packet, length, pair);
  }

  #learn(port: SwitchPort, source: number, group: boolean): void {
    if (group || this.#places.get(source) === port) return;
    if (this.#places.size >= ADDRESSES_MAX && !this.#places.has(source)) {
      for (const oldest of this.#places.keys()) {
        this.#places.delete(oldest);
        break;
      }
    }
    this.#places.set(source, port);
  }

  #hand(port: SwitchPort, packet: Uint8Array, length: number, pair: number): void {
    port.receive(packet, length, pair);
    this.#touched.add(port);
  }

  flush(): void {
    if (this.#touched.size === 0) return;
    for (const port of this.#touched) port.flush();
    this.#touched.clear();
  }
}

/** Bit of a destination that is a group of stations, or all of them. */
const GROUP = 1;
const DESTINATION = netHeader.size;
const SOURCE = DESTINATION + 6;

/** An Ethernet address as a number below 2^48. */
function macAt(bytes: Uint8Array, at: number): number {
  const high = (bytes[at] << 16) | (bytes[at + 1] << 8) | bytes[at + 2];
  const low = (bytes[at + 3] << 16) | (bytes[at + 4] << 8) | bytes[at + 5];
  return high * 0x100_0000 + low;
}
