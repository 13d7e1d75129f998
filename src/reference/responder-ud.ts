/**
 * The responder of UD and GSI [DATA-48]: one packet is one message. The first 40 bytes of the receive hold the global
 * route header, the message follows. A datagram that does not fit, or comes when no receive is posted, is dropped and the
 * receive stays.
 */
import { WcOpcode, WcStatus } from '../abi/index.js';
import { operationOf, PacketOperation } from '../fabric/index.js';
import type { Packet } from '../fabric/index.js';
import { GRH_BYTES, writeGlobalRoute } from './global-route.js';
import type { Responder } from './qp-halves.js';
import type { QueuePair } from './queue-pair.js';

export class UdResponder implements Responder {
  /** Datagrams are not in sequence; kept because every queue pair has the attribute. */
  expectedPsn = 0;
  readonly #qp: QueuePair;
  readonly #route = new Uint8Array(GRH_BYTES);

  constructor(qp: QueuePair) {
    this.#qp = qp;
  }

  receive(packet: Packet): void {
    const qp = this.#qp;
    const { recvQueue, context } = qp;
    const operation = operationOf(packet.opcode);
    const withImmediate = operation === PacketOperation.SEND_ONLY_IMM;
    if (operation !== PacketOperation.SEND_ONLY && !withImmediate) return;
    if (packet.qkey !== qp.values.qkey) {
      context.counters.qkeyViolations++;
      return context.fabric.reportDrop(packet, 'wrong transport, partition key or queue key');
    }
    if (recvQueue.empty) return context.fabric.reportDrop(packet, 'no receive for it');
    const slot = recvQueue.at(recvQueue.head);
    if (slot.localStatus !== WcStatus.SUCCESS) return qp.failReceiver(slot.localStatus);
    const length = packet.payloadLength;
    if (GRH_BYTES + length > slot.capacity) return context.fabric.reportDrop(packet, 'no receive for it');
    writeGlobalRoute(packet, this.#route);
    const written =
      recvQueue.sges.scatter(slot.index, 0, this.#route, GRH_BYTES) &&
      recvQueue.sges.scatter(slot.index, GRH_BYTES, packet.payload, length);
    if (!written) return qp.failReceiver(WcStatus.LOC_PROT_ERR);
    qp.completeReceive(WcOpcode.RECV, GRH_BYTES + length, packet, withImmediate);
  }

  work(): boolean {
    return false;
  }

  stop(): void {
    // Nothing is ever in progress.
  }
}
