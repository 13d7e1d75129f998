/**
 * The headers of a RoCE v2 frame, in wire order: Ethernet, IPv4 or IPv6, UDP, then those of InfiniBand (IBTA 9.2 to 9.6,
 * annex A17). Addresses are bytes and stand in no table: their places are the constants at the end.
 */
import { bits, header, u16, u24, u32, u64, u8 } from './fields.js';

export const ethernet = header('Ethernet', 'Ethernet II; MAC addresses at 0 and 6', 14, {
  type: u16(12, '0x0800 IPv4, 0x86dd IPv6'),
});

export const ipv4 = header('IPv4', 'IPv4 without options; addresses at 12 and 16', 20, {
  version: bits(0, 1, 4, 4, '4'),
  headerWords: bits(0, 1, 0, 4, 'Header in units of 4 bytes: 5'),
  trafficClass: u8(1, 'DSCP and ECN'),
  totalLength: u16(2, 'From this header to the ICRC, bytes'),
  identification: u16(4, 'Counts packets; of no meaning while DF is set'),
  flags: bits(6, 1, 5, 3, 'DF is 2, MF is 1'),
  fragmentOffset: bits(6, 2, 0, 13, '0'),
  hopLimit: u8(8, 'Time to live'),
  protocol: u8(9, '17, UDP'),
  checksum: u16(10, 'Of this header'),
});

export const ipv6 = header('IPv6', 'IPv6; addresses at 8 and 24', 40, {
  version: bits(0, 1, 4, 4, '6'),
  trafficClass: bits(0, 2, 4, 8, 'DSCP and ECN'),
  flowLabel: bits(0, 4, 0, 20, 'Flow label'),
  payloadLength: u16(4, 'From the UDP header to the ICRC, bytes'),
  nextHeader: u8(6, '17, UDP'),
  hopLimit: u8(7, 'Hop limit'),
});

export const udp = header('UDP', 'UDP', 8, {
  sourcePort: u16(0, '0xc000..0xffff; the same for all packets of a flow'),
  destinationPort: u16(2, '4791'),
  length: u16(4, 'From this header to the ICRC, bytes'),
  checksum: u16(6, '0: none'),
});

export const bth = header('BTH', 'Base transport header', 12, {
  opcode: u8(0, 'Transport service in bits 7:5, operation in bits 4:0'),
  solicited: bits(1, 1, 7, 1, 'Solicited event'),
  migration: bits(1, 1, 6, 1, 'Migration state'),
  padCount: bits(1, 1, 4, 2, 'Bytes of pad before the ICRC'),
  version: bits(1, 1, 0, 4, 'Transport header version: 0'),
  partitionKey: u16(2, 'Partition key'),
  fecn: bits(4, 1, 7, 1, 'Forward congestion'),
  becn: bits(4, 1, 6, 1, 'Backward congestion'),
  destQpn: u24(5, 'Destination queue pair'),
  ackRequest: bits(8, 1, 7, 1, 'The responder is asked for an acknowledgement'),
  psn: u24(9, 'Packet sequence number'),
});

export const deth = header('DETH', 'Datagram extended transport header', 8, {
  qkey: u32(0, 'Queue key'),
  sourceQpn: u24(5, 'Source queue pair'),
});

export const reth = header('RETH', 'RDMA extended transport header', 16, {
  virtualAddress: u64(0, 'Address in the responder'),
  rkey: u32(8, 'Remote key'),
  dmaLength: u32(12, 'Bytes of the whole message'),
});

export const atomicEth = header('AtomicETH', 'Atomic extended transport header', 28, {
  virtualAddress: u64(0, 'Address in the responder'),
  rkey: u32(8, 'Remote key'),
  swapOrAdd: u64(12, 'The new value, or what is added'),
  compare: u64(20, 'The value compared with'),
});

export const aeth = header('AETH', 'Acknowledge extended transport header', 4, {
  syndrome: u8(0, 'Kind in bits 6:5 (0 ACK, 1 receiver not ready, 3 NAK), value in bits 4:0'),
  msn: u24(1, 'Messages that the responder has completed'),
});

export const atomicAckEth = header('AtomicAckETH', 'Atomic acknowledge extended transport header', 8, {
  original: u64(0, 'The value before'),
});

export const immDt = header('ImmDt', 'Immediate data', 4, { immediate: u32(0, 'As the sender gave it') });

export const ieth = header('IETH', 'Invalidate extended transport header', 4, {
  rkey: u32(0, 'Key to invalidate'),
});

/** Every header, in wire order. */
export const wireHeaders = [
  ethernet,
  ipv4,
  ipv6,
  udp,
  bth,
  deth,
  reth,
  atomicEth,
  aeth,
  atomicAckEth,
  immDt,
  ieth,
];

export const ETHERTYPE_IPV4 = 0x0800;
export const ETHERTYPE_IPV6 = 0x86dd;
export const ETHERTYPE_VLAN = 0x8100;
export const VLAN_TAG_BYTES = 4;
export const PROTOCOL_UDP = 17;
export const ROCE_PORT = 4791;
export const ICRC_BYTES = 4;
export const IPV4_ADDRESS_BYTES = 4;
export const IPV4_SOURCE_AT = 12;
export const IPV4_DESTINATION_AT = 16;
export const IPV6_ADDRESS_BYTES = 16;
export const IPV6_SOURCE_AT = 8;
export const IPV6_DESTINATION_AT = 24;
