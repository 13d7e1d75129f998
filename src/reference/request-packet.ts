/** Makes the packets of SEND and WRITE requests, and says which requests cannot be executed at all. */
import { SendFlag, WcStatus, WrOpcode } from '../abi/index.js';
import type { Packet } from '../fabric/index.js';
import type { QueuePair } from './queue-pair.js';
import { endsMessage, requestOperation } from './segmentation.js';
import type { SendSlot } from './work-queue.js';

/**
 * What is wrong with a request by local reasons alone, judged as it starts. Of a message of many packets the whole gather
 * list is checked, so that nothing of it leaves; a single packet is checked as it is gathered.
 */
export function localFault(qp: QueuePair, slot: SendSlot): WcStatus {
  if (slot.localStatus !== WcStatus.SUCCESS) return slot.localStatus;
  if (slot.length > qp.context.port.maxMsgSizeBytes) return WcStatus.LOC_LEN_ERR;
  const gathers = slot.opcode !== WrOpcode.RDMA_READ && (slot.flags & SendFlag.INLINE) === 0;
  if (gathers && slot.length > qp.mtuBytes && !qp.sendQueue.sges.readable(slot.index))
    return WcStatus.LOC_PROT_ERR;
  return WcStatus.SUCCESS;
}

/** The packet of a SEND or WRITE that starts at byte `offset`. Undefined when its bytes may not be read. */
export function fillRequestPacket(
  qp: QueuePair,
  slot: SendSlot,
  offset: number,
  psn: number,
): Packet | undefined {
  const mtu = qp.mtuBytes;
  const rest = slot.length - offset;
  const first = offset === 0;
  const last = rest <= mtu;
  const length = last ? rest : mtu;
  const operation = requestOperation(slot.opcode, first, last);
  const packet = qp.sender.newPacket(operation, psn);
  packet.payloadLength = length;
  if ((slot.flags & SendFlag.INLINE) !== 0) qp.sendQueue.copyInline(slot, offset, packet.payload, length);
  else if (!qp.sendQueue.sges.gather(slot.index, offset, packet.payload, length)) {
    qp.context.fabric.recycle(packet);
    return undefined;
  }
  packet.virtualAddress = slot.remoteAddress;
  packet.rkey = slot.rkey;
  packet.dmaLength = slot.length;
  packet.immediate = slot.immediate;
  packet.solicited = endsMessage(operation) && solicits(slot);
  return packet;
}

/** The solicited bit goes with messages that complete a receive. */
function solicits(slot: SendSlot): boolean {
  return (slot.flags & SendFlag.SOLICITED) !== 0 && slot.opcode !== WrOpcode.RDMA_WRITE;
}
