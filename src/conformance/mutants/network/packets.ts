/** Networks that change what they carry, as a device does that is one with its adapter. */
import { PacketOperation, operationOf } from '../../../fabric/index.js';
import type { Packet } from '../../../fabric/index.js';
import { mutant } from '../mutant.js';
import type { Mutant } from '../mutant.js';
import {
  NOBODY,
  isAnswer,
  isDatagram,
  isNak,
  isReadResponse,
  isReliable,
  isRequest,
  isRnr,
  sent,
} from '../seams/network.js';
import { every, from } from '../seams/overlay.js';
import { arriving, ignore, isFirstOfWrite, isRead } from './support.js';
import type { Facts } from './support.js';

/** Packets are changed as they leave. */
function leaving(name: string, facts: Facts, doc: string, make: () => (packet: Packet) => void): Mutant {
  return mutant('network', name, { chapter: 'data path', ...facts }, doc, sent(make));
}

function lose(packet: Packet): void {
  packet.destinationGid = NOBODY;
}

const isUc = ({ opcode }: Packet): boolean => opcode >= 0x20 && opcode < 0x60;

const packets: readonly Mutant[] = [
  leaving(
    'payload-byte-flipped',
    { breaks: 'DATA-37 DATA-38 ERR-22', needs: 'history' },
    'The first byte of every fourth packet with a payload is changed.',
    () => {
      const due = every(4);
      return packet => {
        if (packet.payloadLength > 0 && due()) packet.payload[0] ^= 0xff;
      };
    },
  ),
  leaving(
    'nak-taken-for-ack',
    { chapter: 'errors and statuses', breaks: 'ERR-22 DATA-59 QP-45' },
    'Negative acknowledgements become positive ones.',
    () => packet => {
      if (isAnswer(packet) && packet.syndrome >= 0x20) packet.syndrome = 0x1f;
    },
  ),
  leaving(
    'acknowledgement-of-the-future',
    { chapter: 'wraps', breaks: 'DATA-59 ERR-22', needs: 'race' },
    'Every fifth acknowledgement is one of the packet behind the one received.',
    () => {
      const due = every(5);
      return packet => {
        if (isAnswer(packet) && due()) packet.psn = (packet.psn + 1) & 0xffffff;
      };
    },
  ),
  leaving(
    'repeated-packet-carried-out-again',
    { chapter: 'wraps', breaks: 'DATA-60 DATA-77', needs: 'race' },
    'A message that comes again is taken for a new one: its number is moved on.',
    () => {
      const next = new Map<string, number>();
      return packet => {
        if (operationOf(packet.opcode) > PacketOperation.SEND_ONLY_IMM) return;
        const key = `${packet.destinationGid} ${packet.destQpn} ${packet.sourceQpn}`;
        const expected = next.get(key);
        if (expected !== undefined && packet.transmission > 0) packet.psn = expected;
        next.set(key, (packet.psn + 1) & 0xffffff);
      };
    },
  ),
  leaving(
    'write-one-byte-further',
    { chapter: 'keys and bounds', breaks: 'ERR-23 MEM-21' },
    'The address of every write is one byte too high.',
    () => packet => {
      if (isFirstOfWrite(packet)) packet.virtualAddress++;
    },
  ),
  leaving(
    'datagrams-to-nobody',
    { breaks: 'DATA-55 OVR-10', needs: 'history' },
    'From the third datagram on nobody gets them.',
    () => {
      const due = from(3);
      return packet => {
        if (isDatagram(packet) && due()) lose(packet);
      };
    },
  ),
  leaving(
    'solicited-bit-lost',
    { chapter: 'completions', breaks: 'CQ-39' },
    'Packets do not carry the solicited event bit.',
    () => packet => {
      packet.solicited = false;
    },
  ),
  leaving(
    'solicited-bit-of-every-packet',
    { chapter: 'completions', breaks: 'DATA-11 CQ-41' },
    'Every packet carries the solicited event bit.',
    () => packet => {
      packet.solicited = true;
    },
  ),
  leaving(
    'immediate-of-the-message-before',
    { breaks: 'CQ-24 DATA-09', needs: 'history' },
    'Immediate data is that of the message before.',
    () => {
      let last = 0;
      return packet => {
        const now = packet.immediate;
        packet.immediate = last;
        if (now !== 0) last = now;
      };
    },
  ),
  leaving(
    'flow-label-not-sent',
    { breaks: 'DATA-50' },
    'The flow label of a datagram is not put into its packet.',
    () => packet => {
      if (isDatagram(packet)) packet.flowLabel = 0;
    },
  ),
  leaving(
    'hop-limit-one-too-low',
    { breaks: 'DATA-50' },
    'The hop limit is one lower than in the address handle.',
    () => packet => {
      packet.hopLimit = Math.max(0, packet.hopLimit - 1);
    },
  ),
  leaving(
    'traffic-class-not-sent',
    { breaks: 'DATA-50' },
    'The traffic class is not put into the packet.',
    () => packet => {
      packet.trafficClass = 0;
    },
  ),
  leaving(
    'source-gid-of-nobody',
    { chapter: 'isolation', breaks: 'ISO-09 DATA-50' },
    'A datagram has a source GID that is in no table.',
    () => packet => {
      if (isDatagram(packet)) packet.sourceGid = 'fe80000000000000aaaaaaaaaaaaaaaa';
    },
  ),
  leaving(
    'source-number-one-too-high',
    { chapter: 'completions', breaks: 'CQ-25' },
    'A datagram names the queue pair behind its sender.',
    () => packet => {
      if (isDatagram(packet)) packet.sourceQpn++;
    },
  ),
  leaving(
    'qkey-of-all',
    { chapter: 'isolation', breaks: 'ISO-13 DATA-54' },
    'A Q_Key with the highest bit set is sent as zero.',
    () => packet => {
      if (packet.qkey >>> 31 === 1) packet.qkey = 0;
    },
  ),
  leaving(
    'last-byte-not-sent',
    { chapter: 'lengths', breaks: 'DATA-46 ERR-22 DATA-45' },
    'A message of one packet of more than one byte is one byte short.',
    () => packet => {
      if (operationOf(packet.opcode) === PacketOperation.SEND_ONLY && packet.payloadLength > 1)
        packet.payloadLength--;
    },
  ),
  leaving(
    'packet-of-more-than-the-mtu',
    { chapter: 'lengths', breaks: 'DATA-73' },
    'A first packet is one byte shorter than the path MTU.',
    () => packet => {
      if (operationOf(packet.opcode) === PacketOperation.SEND_FIRST) packet.payloadLength--;
    },
  ),
  leaving(
    'retransmissions-lost',
    { breaks: 'DATA-61 DATA-70', needs: 'race' },
    'A packet that is sent again does not leave.',
    () => packet => {
      if (packet.transmission > 0) lose(packet);
    },
  ),
  leaving(
    'acknowledgements-lost',
    { breaks: 'DATA-59 DATA-61', needs: 'history' },
    'From the fourth on no acknowledgement leaves.',
    () => {
      const due = from(4);
      return packet => {
        if (isAnswer(packet) && due()) lose(packet);
      };
    },
  ),
  leaving(
    'receiver-not-ready-lost',
    { breaks: 'DATA-70 ERR-18' },
    'A receiver-not-ready NAK does not leave.',
    () => packet => {
      if (isRnr(packet)) lose(packet);
    },
  ),
  leaving(
    'receiver-not-ready-is-an-error',
    { chapter: 'errors and statuses', breaks: 'DATA-70 DATA-72 ERR-18' },
    'A receiver-not-ready NAK is one of an invalid request.',
    () => packet => {
      if (isRnr(packet)) packet.syndrome = 0x61;
    },
  ),
  leaving(
    'sequence-error-is-an-access-error',
    { chapter: 'errors and statuses', breaks: 'DATA-75 DATA-61', needs: 'race' },
    'A NAK of a sequence error is one of an access error.',
    () => packet => {
      if (packet.syndrome === 0x60 && isAnswer(packet)) packet.syndrome = 0x62;
    },
  ),
  leaving(
    'access-error-is-an-invalid-request',
    { chapter: 'errors and statuses', breaks: 'ERR-15 ERR-14' },
    'A NAK of an access error is one of an invalid request.',
    () => packet => {
      if (packet.syndrome === 0x62 && isNak(packet)) packet.syndrome = 0x61;
    },
  ),
  leaving(
    'operation-error-is-an-access-error',
    { chapter: 'errors and statuses', breaks: 'ERR-17' },
    'A NAK of an operation error is one of an access error.',
    () => packet => {
      if (packet.syndrome === 0x63 && isNak(packet)) packet.syndrome = 0x62;
    },
  ),
  leaving(
    'read-response-flipped',
    { breaks: 'ORD-08 DATA-78', needs: 'history' },
    'The last byte of every second read response is changed.',
    () => {
      const due = every(2);
      return packet => {
        if (isReadResponse(packet) && packet.payloadLength > 0 && due())
          packet.payload[packet.payloadLength - 1] ^= 1;
      };
    },
  ),
  leaving(
    'second-read-response-lost',
    { breaks: 'DATA-80', needs: 'race' },
    'The first packet of a read response never leaves where it is one of several.',
    () => packet => {
      if (operationOf(packet.opcode) === PacketOperation.READ_RESPONSE_FIRST) lose(packet);
    },
  ),
  leaving(
    'no-packets-to-oneself',
    { breaks: 'DATA-55 DATA-66' },
    'A packet to the own port is lost.',
    () => packet => {
      if (packet.sourceGid === packet.destinationGid) lose(packet);
    },
  ),
  leaving(
    'one-direction-at-a-time',
    { breaks: 'DATA-65', needs: 'race' },
    'A request that leaves while one from the other side is on its way is lost.',
    () => {
      const last = new Map<string, number>();
      let clock = 0;
      return packet => {
        clock++;
        if (!isReliable(packet) || !isRequest(packet)) return;
        const other = last.get(`${packet.destQpn} ${packet.sourceQpn}`);
        if (other !== undefined && clock - other < 2) lose(packet);
        last.set(`${packet.sourceQpn} ${packet.destQpn}`, clock);
      };
    },
  ),
  arriving(
    'uc-sequence-checked',
    { breaks: 'DATA-58', needs: 'history' },
    'A UC message whose number is not the next is dropped.',
    () => {
      const next = new Map<string, number>();
      return packet => {
        if (!isUc(packet)) return;
        const key = `${packet.destinationGid} ${packet.destQpn}`;
        const expected = next.get(key) ?? 0;
        if (packet.psn === expected) next.set(key, (expected + 1) & 0xff_ffff);
        else ignore(packet);
      };
    },
  ),
  arriving(
    'rest-of-a-uc-message-taken-for-all',
    { breaks: 'DATA-57 ORD-04 DATA-46', needs: 'race' },
    'The last packet of a UC message of which a packet is missing is taken for a message of its own.',
    () => {
      const last = new Map<string, number>();
      return packet => {
        if (!isUc(packet)) return;
        const key = `${packet.destinationGid} ${packet.destQpn} ${packet.sourceQpn}`;
        const hole = packet.psn !== (((last.get(key) ?? packet.psn - 1) + 1) & 0xff_ffff);
        last.set(key, packet.psn);
        if (hole && operationOf(packet.opcode) === PacketOperation.SEND_LAST)
          packet.opcode = (packet.opcode & 0xe0) | PacketOperation.SEND_ONLY;
      };
    },
  ),
  arriving(
    'reads-one-at-a-time',
    { chapter: 'limits', breaks: 'DATA-64 DATA-62', needs: 'history' },
    'Every third read request is dropped on arrival, also when it comes again.',
    () => {
      const due = every(3);
      const dropped = new Set<string>();
      return packet => {
        if (!isRead(packet)) return;
        const key = `${packet.destQpn} ${packet.psn}`;
        if (due()) dropped.add(key);
        if (dropped.has(key)) ignore(packet);
      };
    },
  ),
];

export const packetMutants: readonly Mutant[] = [...packets];
