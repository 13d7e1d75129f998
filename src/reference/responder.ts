/**
 * The responder of RC (IBTA 9.7): takes request packets in the order of their sequence numbers, executes each
 * once, and answers. The checks come in a fixed order: sequence number, operation, rights of the queue pair, receive,
 * length, key; the first that fails decides.
 */
import { AccessFlag, WcStatus } from '../abi/index.js';
import { operationOf, PacketOperation, Timer } from '../fabric/index.js';
import type { Packet } from '../fabric/index.js';
import { InboundMessage } from './inbound-message.js';
import { psnAdd, psnDistance } from './psn.js';
import type { Responder } from './qp-halves.js';
import type { QueuePair } from './queue-pair.js';
import { ReadResponses } from './read-responses.js';
import { PACKET_BURST } from './retry.js';
import { endsMessage, hasImmediate, isWrite } from './segmentation.js';
import { Syndrome } from './syndrome.js';

/** Longest read, bytes. */
const READ_BYTES_MAX = 2 ** 31;

export class RcResponder implements Responder {
  expectedPsn = 0;
  readonly #qp: QueuePair;
  readonly #message: InboundMessage;
  readonly #reads: ReadResponses;
  readonly #linkTimer: Timer;
  /** Messages completed, told to the requester in each answer. */
  #msn = 0;
  /** A NAK was sent for the expected packet; what comes meanwhile is dropped in silence. */
  #nakPending = false;
  /** An answer that waits behind read responses, which must come first. */
  #deferred: Answer | undefined = undefined;
  readonly #answer: Answer = { syndrome: 0, psn: 0 };
  /** A refusal that waits so. Nothing is executed any more. */
  #refusal: Refusal | undefined = undefined;

  constructor(qp: QueuePair) {
    this.#qp = qp;
    this.#message = new InboundMessage(qp);
    this.#reads = new ReadResponses(qp);
    this.#linkTimer = new Timer({ run: () => qp.kick() });
  }

  receive(packet: Packet): void {
    if (this.#refusal !== undefined) return;
    const distance = psnDistance(packet.psn, this.expectedPsn);
    if (distance > 0) return this.#reportGap();
    if (distance < 0) return this.#repeatAnswer(packet);
    this.#nakPending = false;
    const operation = operationOf(packet.opcode);
    if (operation === PacketOperation.READ_REQUEST) this.#takeRead(packet);
    else if (!this.#message.inSequence(operation)) this.#refuseInvalid();
    else this.#takeData(packet, operation);
  }

  work(): boolean {
    const { sender, context } = this.#qp;
    for (let packets = 0; packets < PACKET_BURST && !this.#reads.idle; packets++) {
      const wait = sender.linkWaitNs;
      if (wait > 0) {
        context.scheduler.arm(this.#linkTimer, wait, 'wire');
        return false;
      }
      if (!this.#reads.sendNext(this.#msn)) {
        const psn = this.#reads.nextPsn;
        this.#reads.clear();
        this.#refuse(Syndrome.NAK_REMOTE_ACCESS, undefined, psn);
        return false;
      }
    }
    if (!this.#reads.idle) return true;
    this.#sendDeferred();
    return false;
  }

  stop(): void {
    this.#message.forget();
    this.#reads.clear();
    this.#msn = 0;
    this.#nakPending = false;
    this.#deferred = undefined;
    this.#refusal = undefined;
    this.#qp.context.scheduler.cancel(this.#linkTimer);
  }

  #takeData(packet: Packet, operation: number): void {
    const message = this.#message;
    switch (message.take(packet)) {
      case 'taken':
        this.expectedPsn = psnAdd(packet.psn, 1);
        if (endsMessage(operation)) {
          this.#msn = psnAdd(this.#msn, 1);
          message.complete(packet);
          // The completion may have overrun its queue: then the message counts as not received.
          if (!this.#qp.receiving) return;
        }
        if (packet.ackRequest) this.#reply(Syndrome.ACK, packet.psn);
        return;
      case 'no receive':
        this.#nakPending = true;
        this.#qp.context.counters.rnrNaksSent++;
        return this.#reply(Syndrome.RNR_NAK | this.#qp.values.minRnrTimer, packet.psn);
      case 'invalid':
        return this.#refuseInvalid();
      case 'receive too small':
        return this.#refuse(Syndrome.NAK_INVALID_REQUEST, WcStatus.LOC_LEN_ERR, packet.psn);
      case 'receive faulty':
        return this.#refuse(Syndrome.NAK_REMOTE_OPERATION, message.receiveFault, packet.psn);
      case 'no access': {
        // The receive of a write with immediate was taken before the key was looked at.
        const taken = isWrite(operation) && hasImmediate(operation);
        const status = taken ? WcStatus.LOC_ACCESS_ERR : undefined;
        return this.#refuse(Syndrome.NAK_REMOTE_ACCESS, status, packet.psn);
      }
    }
  }

  #takeRead(packet: Packet): void {
    const { values, allowsRemoteRead, context, pd } = this.#qp;
    const length = packet.dmaLength;
    const invalid = this.#message.inProgress || !allowsRemoteRead || values.maxDestRdAtomic === 0;
    if (invalid || length > READ_BYTES_MAX) return this.#refuseInvalid();
    const rights = AccessFlag.REMOTE_READ;
    const granted =
      length === 0 ||
      context.keys.remote(packet.rkey, pd, packet.virtualAddress, length, rights) !== undefined;
    if (!granted) return this.#refuse(Syndrome.NAK_REMOTE_ACCESS, undefined, packet.psn);
    const packets = this.#reads.accept(packet);
    // Every record is busy: as if the request had been lost on its way.
    if (packets === 0) return;
    this.expectedPsn = psnAdd(packet.psn, packets);
    this.#msn = psnAdd(this.#msn, 1);
    // The responses vouch for what came before.
    this.#deferred = undefined;
    this.#qp.kick();
  }

  /** A packet before this one is missing: asks for it once [DATA-75]. */
  #reportGap(): void {
    if (this.#nakPending) return;
    this.#nakPending = true;
    this.#reply(Syndrome.NAK_SEQUENCE, this.expectedPsn);
  }

  /** A packet that was executed comes again: it is not executed; its answer may have been lost [DATA-77]. */
  #repeatAnswer(packet: Packet): void {
    if (operationOf(packet.opcode) === PacketOperation.READ_REQUEST) {
      this.#reads.replay(packet);
      this.#qp.kick();
    } else if (packet.ackRequest && !this.#nakPending) {
      this.#reply(Syndrome.ACK, psnAdd(this.expectedPsn, -1));
    }
  }

  #refuseInvalid(): void {
    const status = this.#message.receiveInUse ? WcStatus.REM_INV_REQ_ERR : undefined;
    this.#refuse(Syndrome.NAK_INVALID_REQUEST, status, this.expectedPsn);
  }

  /** NAK 1, 2 or 3 ends the connection: the answer goes out, then the queue pair is in error. */
  #refuse(syndrome: number, receiveStatus: WcStatus | undefined, psn: number): void {
    if (!this.#reads.idle) {
      this.#refusal = { syndrome, receiveStatus, psn };
      return;
    }
    this.#qp.sender.sendAcknowledge(syndrome, psn, this.#msn);
    this.#qp.failReceiver(receiveStatus);
  }

  #reply(syndrome: number, psn: number): void {
    if (this.#reads.idle) return this.#qp.sender.sendAcknowledge(syndrome, psn, this.#msn);
    this.#answer.syndrome = syndrome;
    this.#answer.psn = psn;
    this.#deferred = this.#answer;
  }

  #sendDeferred(): void {
    const deferred = this.#deferred;
    this.#deferred = undefined;
    if (deferred !== undefined) this.#qp.sender.sendAcknowledge(deferred.syndrome, deferred.psn, this.#msn);
    const refusal = this.#refusal;
    this.#refusal = undefined;
    if (refusal !== undefined) this.#refuse(refusal.syndrome, refusal.receiveStatus, refusal.psn);
  }
}

interface Answer {
  syndrome: number;
  psn: number;
}

interface Refusal extends Answer {
  receiveStatus: WcStatus | undefined;
}
