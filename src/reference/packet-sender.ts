/** Fills in the headers that all packets of a queue pair have in common and puts the packets on the wire. */
import { QpType } from '../abi/index.js';
import { PacketOperation, PacketTransport } from '../fabric/index.js';
import type { Packet } from '../fabric/index.js';
import type { AhAttributes } from '../verbs/index.js';
import type { FunctionContext } from './function-context.js';
import { TransmissionCounts } from './psn.js';
import type { QpValues } from './qp-values.js';

/** The only partition of a RoCE port: full member of the default partition. */
export const DEFAULT_PARTITION_KEY = 0xffff;

/** Time for which a link may be booked ahead before a queue pair waits for it. */
const LINK_AHEAD_NS = 10_000;

/** What the headers say of the queue pair that sends. */
interface Sending {
  readonly context: FunctionContext;
  readonly qpNum: number;
  readonly type: QpType;
  readonly values: QpValues;
}

export class PacketSender {
  readonly transport: number;
  readonly #qp: Sending;
  readonly #requests = new TransmissionCounts();
  readonly #responses = new TransmissionCounts();

  constructor(qp: Sending) {
    this.#qp = qp;
    if (qp.type === QpType.RC) this.transport = PacketTransport.RC;
    else this.transport = qp.type === QpType.UC ? PacketTransport.UC : PacketTransport.UD;
  }

  /** How long to wait until the link takes another packet, ns; 0 when it takes one now. */
  get linkWaitNs(): number {
    const { scheduler, fabricPort } = this.#qp.context;
    return Math.max(0, fabricPort.busyUntilNs - scheduler.nowNs - LINK_AHEAD_NS);
  }

  /** A packet of an operation without payload, to be completed by the caller. */
  newPacket(operation: number, psn: number): Packet {
    const packet = this.#qp.context.fabric.newPacket();
    packet.opcode = this.transport | operation;
    packet.psn = psn;
    packet.solicited = false;
    packet.ackRequest = false;
    packet.payloadLength = 0;
    return packet;
  }

  sendRequest(packet: Packet, address: AhAttributes | undefined, destQpn: number): void {
    packet.transmission = this.#requests.next(packet.psn);
    if (packet.transmission > 0) this.#qp.context.counters.retransmissions++;
    this.#send(packet, address, destQpn);
  }

  /** Sends to the connected peer. */
  sendResponse(packet: Packet): void {
    packet.transmission = this.#responses.next(packet.psn);
    this.#send(packet, this.#qp.values.ahAttr, this.#qp.values.destQpNum);
  }

  sendAcknowledge(syndrome: number, psn: number, msn: number): void {
    const packet = this.newPacket(PacketOperation.ACKNOWLEDGE, psn);
    packet.syndrome = syndrome;
    packet.msn = msn;
    this.sendResponse(packet);
  }

  clear(): void {
    this.#requests.clear();
    this.#responses.clear();
  }

  /**
   * The source GID is looked up as the packet leaves: a queue pair whose table entry was cleared, or set to another GID,
   * cannot speak in the name of the old one.
   */
  #send(packet: Packet, address: AhAttributes | undefined, destQpn: number): void {
    const { context, qpNum } = this.#qp;
    const source = address === undefined ? undefined : context.gids[address.sgidIndex];
    packet.destQpn = destQpn;
    packet.sourceQpn = qpNum;
    packet.partitionKey = DEFAULT_PARTITION_KEY;
    packet.destinationGid = address?.dgid ?? '';
    packet.flowLabel = address?.flowLabel ?? 0;
    packet.trafficClass = address?.trafficClass ?? 0;
    packet.hopLimit = address?.hopLimit ?? 0;
    packet.sourceGid = source ?? '';
    if (source === undefined) return context.fabric.discard(packet, 'the source GID table entry is empty');
    context.counters.packetsSent++;
    context.fabric.send(context.fabricPort, packet);
  }
}
