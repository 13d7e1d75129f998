/**
 * The SEND or WRITE message that is arriving at a connected queue pair: which packet may come next, where its bytes go, and
 * what is wrong with it. RC and UC differ only in what they do about a fault.
 */
import { AccessFlag, WcOpcode, WcStatus } from '../abi/index.js';
import { operationOf } from '../fabric/index.js';
import type { Packet } from '../fabric/index.js';
import type { QueuePair } from './queue-pair.js';
import { endsMessage, hasImmediate, isSend, isWrite, startsMessage } from './segmentation.js';

export type PacketVerdict =
  /** Executed. */
  | 'taken'
  /** It needs a receive and none is posted; nothing was done. */
  | 'no receive'
  /** It breaks the rules of the transport, or the queue pair does not grant the operation. */
  | 'invalid'
  | 'receive too small'
  /** The receive itself is at fault; `receiveFault` says how. */
  | 'receive faulty'
  /** The key does not allow it. */
  | 'no access';

/** Longest message of the transport (IBTA 9.7), bytes. */
const MESSAGE_BYTES_MAX = 2 ** 31;

export class InboundMessage {
  /** Why the latest packet met 'receive faulty'. */
  receiveFault: WcStatus = WcStatus.SUCCESS;
  readonly #qp: QueuePair;
  #kind: 'none' | 'send' | 'write' = 'none';
  #received = 0;
  #address = 0;
  #length = 0;
  #rkey = 0;

  constructor(qp: QueuePair) {
    this.#qp = qp;
  }

  get inProgress(): boolean {
    return this.#kind !== 'none';
  }

  /** A send is half received: the oldest receive is in use. */
  get receiveInUse(): boolean {
    return this.#kind === 'send';
  }

  forget(): void {
    this.#kind = 'none';
  }

  /** Whether an operation may follow what has arrived. */
  inSequence(operation: number): boolean {
    if (this.#kind === 'none') return (isSend(operation) || isWrite(operation)) && startsMessage(operation);
    const sameKind = this.#kind === 'send' ? isSend(operation) : isWrite(operation);
    return sameKind && !startsMessage(operation);
  }

  /** Executes a packet that is in sequence. */
  take(packet: Packet): PacketVerdict {
    const operation = operationOf(packet.opcode);
    const mtu = this.#qp.mtuBytes;
    const last = endsMessage(operation);
    const length = packet.payloadLength;
    if (last ? length > mtu : length !== mtu) return 'invalid';
    if (last && length === 0 && !startsMessage(operation)) return 'invalid';
    return isSend(operation) ? this.#takeSend(packet, operation) : this.#takeWrite(packet, operation);
  }

  /** Completes the receive that the packet, which was taken, ends; nothing if it ends none. */
  complete(packet: Packet): void {
    const operation = operationOf(packet.opcode);
    this.#kind = 'none';
    const immediate = hasImmediate(operation);
    const opcode = isSend(operation) ? WcOpcode.RECV : WcOpcode.RECV_RDMA_WITH_IMM;
    if (isSend(operation) || immediate) this.#qp.completeReceive(opcode, this.#received, packet, immediate);
  }

  #takeSend(packet: Packet, operation: number): PacketVerdict {
    const { recvQueue } = this.#qp;
    const first = startsMessage(operation);
    const received = first ? 0 : this.#received;
    if (first) {
      const verdict = this.#findReceive();
      if (verdict !== 'taken') return verdict;
    }
    const slot = recvQueue.at(recvQueue.head);
    const length = packet.payloadLength;
    this.#kind = 'send';
    if (received + length > slot.capacity) return 'receive too small';
    if (!recvQueue.sges.scatter(slot.index, received, packet.payload, length)) {
      this.receiveFault = WcStatus.LOC_PROT_ERR;
      return 'receive faulty';
    }
    this.#received = received + length;
    return 'taken';
  }

  #takeWrite(packet: Packet, operation: number): PacketVerdict {
    const first = startsMessage(operation);
    if (first && !this.#qp.allowsRemoteWrite) return 'invalid';
    if (hasImmediate(operation)) {
      const verdict = this.#findReceive();
      if (verdict !== 'taken') return verdict;
    }
    if (first) {
      if (packet.dmaLength > MESSAGE_BYTES_MAX) return 'invalid';
      this.#address = packet.virtualAddress;
      this.#length = packet.dmaLength;
      this.#rkey = packet.rkey;
      this.#received = 0;
    }
    const rest = this.#length - this.#received;
    const length = packet.payloadLength;
    if (endsMessage(operation) ? length !== rest : length >= rest) return 'invalid';
    if (!this.#write(packet)) return 'no access';
    this.#kind = 'write';
    this.#received += length;
    return 'taken';
  }

  /** The whole range is checked before the first byte moves, and again with each packet; a zero-length write needs no key. */
  #write(packet: Packet): boolean {
    if (this.#length === 0) return true;
    const { context, pd } = this.#qp;
    const rights = AccessFlag.REMOTE_WRITE;
    const region = context.keys.remote(this.#rkey, pd, this.#address, this.#length, rights);
    const address = this.#address + this.#received;
    return region?.write(address, packet.payload, 0, packet.payloadLength) ?? false;
  }

  #findReceive(): PacketVerdict {
    const { recvQueue } = this.#qp;
    if (recvQueue.empty) return 'no receive';
    this.receiveFault = recvQueue.at(recvQueue.head).localStatus;
    return this.receiveFault === WcStatus.SUCCESS ? 'taken' : 'receive faulty';
  }
}
