/** The seam of a network that remembers: it sees packets leave and arrive, changes them, and sends some of its own. */
import { PacketOperation, operationOf } from '../../../fabric/index.js';
import type { Fabric, FabricPort, Packet } from '../../../fabric/index.js';
import type { Implementation } from '../../implementation.js';
import { isNak } from './network.js';

/** What is done to packets; they are only lent. */
export interface Meddler {
  /** A packet leaves. */
  readonly sent?: (packet: Packet) => void;
  /** A packet arrives. */
  readonly delivered?: (packet: Packet) => void;
}

export const ignore = (): void => undefined;

/** A network that meddles; `make` is called for each world. */
export function meddling(make: (wire: Wire) => Meddler): Implementation {
  return {
    network(fabric) {
      const { sent, delivered } = make(new Wire(fabric));
      fabric.observe({ sent: sent ?? ignore, delivered: delivered ?? ignore, dropped: ignore });
    },
  };
}

/** Sends packets of its own. */
export class Wire {
  readonly #fabric: Fabric;
  readonly #port: FabricPort;
  #sending = false;

  constructor(fabric: Fabric) {
    this.#fabric = fabric;
    this.#port = fabric.attach({ receive: ignore });
  }

  /** What leaves just now is a packet of its own. */
  get own(): boolean {
    return this.#sending;
  }

  copy(packet: Packet): Packet {
    const twin = this.#fabric.newPacket();
    twin.copyFrom(packet);
    return twin;
  }

  send(packet: Packet): void {
    this.#sending = true;
    this.#fabric.send(this.#port, packet);
    this.#sending = false;
  }

  later(delayNs: number, run: () => void): void {
    this.#fabric.scheduler.schedule(delayNs, { run }, 'timer');
  }
}

export const PSN_MASK = 0xff_ffff;

/** Whether one number lies behind another in the circle of 2^24. */
export function ahead(psn: number, of: number): boolean {
  return psn !== of && ((psn - of) & PSN_MASK) < 0x80_0000;
}

export function isRead({ opcode }: Packet): boolean {
  return operationOf(opcode) === PacketOperation.READ_REQUEST;
}
/** A NAK of sequence error. */
export function isGapNak(packet: Packet): boolean {
  return isNak(packet) && packet.syndrome === 0x60;
}

/** The end of a connection that sent a packet. */
export function senderOf({ sourceGid, sourceQpn }: Packet): string {
  return `${sourceGid} ${sourceQpn}`;
}
/** The end that a packet goes to. */
export function receiverOf({ destinationGid, destQpn }: Packet): string {
  return `${destinationGid} ${destQpn}`;
}
