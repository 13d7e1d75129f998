/**
 * A RoCEv2 packet as a typed record: the fields of its headers and its payload. Packets are pooled; whoever receives one
 * copies what it needs before it returns.
 */
import { opcodeLayout } from './roce/opcodes.js';
import { Timer } from './scheduler.js';

/** Payload bytes of the largest path MTU. */
export const PAYLOAD_BYTES_MAX = 4096;

/** Ethernet 14, IPv6 40, UDP 8, BTH 12, ICRC 4. */
const FIXED_BYTES = 14 + 40 + 8 + 12 + 4;

export class Packet {
  /** Network header. GIDs are 32 hexadecimal digits. */
  sourceGid = '';
  destinationGid = '';
  flowLabel = 0;
  trafficClass = 0;
  hopLimit = 0;

  /** BTH: transport (bits 7:5) and operation (bits 4:0); see packet-opcode.ts. */
  opcode = 0;
  solicited = false;
  partitionKey = 0xffff;
  destQpn = 0;
  ackRequest = false;
  psn = 0;

  /** DETH (datagrams). On connected services the source number is not on the wire; the record keeps it for the fabric. */
  qkey = 0;
  sourceQpn = 0;

  /** RETH (first packet of a write; read request). */
  virtualAddress = 0;
  rkey = 0;
  dmaLength = 0;

  /** AETH (acknowledge; first, last and only read response). */
  syndrome = 0;
  msn = 0;

  /** ImmDt: four bytes as a big-endian number. */
  immediate = 0;

  payloadLength = 0;
  readonly payload = new Uint8Array(PAYLOAD_BYTES_MAX);

  /** How often this sequence number was sent before in this direction; not on the wire. */
  transmission = 0;

  /** Arrival; belongs to the fabric. */
  readonly arrival: Timer;

  constructor(deliver: (packet: Packet) => void) {
    this.arrival = new Timer({ run: () => deliver(this) });
  }

  /** Bytes on the wire, from the Ethernet header to the ICRC, pad included. */
  get wireBytes(): number {
    return FIXED_BYTES + (opcodeLayout(this.opcode)?.bytes ?? 0) + ((this.payloadLength + 3) & ~3);
  }

  /** Takes every field of `other`. */
  copyFrom(other: Packet): void {
    this.sourceGid = other.sourceGid;
    this.destinationGid = other.destinationGid;
    this.flowLabel = other.flowLabel;
    this.trafficClass = other.trafficClass;
    this.hopLimit = other.hopLimit;
    this.opcode = other.opcode;
    this.solicited = other.solicited;
    this.partitionKey = other.partitionKey;
    this.destQpn = other.destQpn;
    this.ackRequest = other.ackRequest;
    this.psn = other.psn;
    this.qkey = other.qkey;
    this.sourceQpn = other.sourceQpn;
    this.virtualAddress = other.virtualAddress;
    this.rkey = other.rkey;
    this.dmaLength = other.dmaLength;
    this.syndrome = other.syndrome;
    this.msn = other.msn;
    this.immediate = other.immediate;
    this.payloadLength = other.payloadLength;
    this.transmission = other.transmission;
    this.payload.set(other.payload.subarray(0, other.payloadLength));
  }
}
