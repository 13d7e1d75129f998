/**
 * The responder of UC [DATA-57, ERR-21]: nothing is answered. A message that lost a packet, or meets a fault, is dropped as a
 * whole; its receive stays for the next message.
 */
import { operationOf } from '../fabric/index.js';
import type { Packet } from '../fabric/index.js';
import { InboundMessage } from './inbound-message.js';
import { psnAdd } from './psn.js';
import type { Responder } from './qp-halves.js';
import type { QueuePair } from './queue-pair.js';
import { endsMessage, startsMessage } from './segmentation.js';

export class UcResponder implements Responder {
  expectedPsn = 0;
  readonly #qp: QueuePair;
  readonly #message: InboundMessage;

  constructor(qp: QueuePair) {
    this.#qp = qp;
    this.#message = new InboundMessage(qp);
  }

  receive(packet: Packet): void {
    const message = this.#message;
    const operation = operationOf(packet.opcode);
    const inOrder = packet.psn === this.expectedPsn;
    this.expectedPsn = psnAdd(packet.psn, 1);
    // A first packet is taken with any sequence number; whatever was unfinished is dropped.
    if (startsMessage(operation) || !inOrder) message.forget();
    if (!message.inSequence(operation)) return message.forget();
    switch (message.take(packet)) {
      case 'taken':
        if (endsMessage(operation)) message.complete(packet);
        return;
      case 'receive faulty': {
        const status = message.receiveFault;
        message.forget();
        return this.#qp.failReceiver(status);
      }
      case 'no receive':
      case 'invalid':
      case 'receive too small':
      case 'no access':
        return message.forget();
    }
  }

  work(): boolean {
    return false;
  }

  stop(): void {
    this.#message.forget();
  }
}
