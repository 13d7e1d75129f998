/**
 * A checked view of one Ethernet frame. `decode` looks at every length before anything is read; afterwards the getters read single
 * fields in place. One view serves any number of frames, and nothing is allocated for one that is well formed.
 */
import {
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  ETHERTYPE_VLAN,
  ICRC_BYTES,
  PROTOCOL_UDP,
  ROCE_PORT,
  VLAN_TAG_BYTES,
  aeth,
  atomicAckEth,
  atomicEth,
  bth,
  deth,
  ethernet,
  ieth,
  immDt,
  ipv4,
  ipv6,
  reth,
  udp,
} from './headers.js';
import { icrcOf } from './icrc.js';
import { opcodeLayout } from './opcodes.js';
import type { OpcodeLayout } from './opcodes.js';

/**
 * `roce`: every header is there. `other`: no RoCE v2. `malformed`: meant to be RoCE v2, and its lengths contradict each other.
 * `unknown`: a whole BTH with an opcode of none of RC, UC and UD, such as a congestion notification.
 */
export type FrameKind = 'roce' | 'other' | 'malformed' | 'unknown';

const noLayout: OpcodeLayout = {
  name: 'unknown opcode',
  payload: 'any',
  headers: [],
  bytes: 0,
  deth: -1,
  reth: -1,
  atomicEth: -1,
  aeth: -1,
  atomicAckEth: -1,
  immDt: -1,
  ieth: -1,
};

const EMPTY = new Uint8Array(0);

export class RoceFrame {
  kind: FrameKind = 'other';
  /** Why the frame is not `roce`; empty when it is. */
  problem = 'nothing was decoded';
  data: Uint8Array = EMPTY;
  layout: OpcodeLayout = noLayout;
  /** Places in `data`, valid when `kind` is `roce` or `unknown`. */
  ipAt = 0;
  isIpv6 = false;
  udpAt = 0;
  bthAt = 0;
  payloadAt = 0;
  payloadLength = 0;
  /** Where the pad begins; the ICRC follows it. */
  padAt = 0;
  icrcAt = 0;

  /** Looks at a frame from its Ethernet header on; the frame check sequence is not part of it. Never throws. */
  decode(data: Uint8Array): FrameKind {
    this.data = data;
    this.layout = noLayout;
    const udpBytes = this.#network();
    if (udpBytes < 0) return this.kind;
    return this.#transport(udpBytes);
  }

  get opcode(): number {
    return bth.fields.opcode.get(this.data, this.bthAt);
  }
  get psn(): number {
    return bth.fields.psn.get(this.data, this.bthAt);
  }
  get destQpn(): number {
    return bth.fields.destQpn.get(this.data, this.bthAt);
  }
  get ackRequest(): boolean {
    return bth.fields.ackRequest.get(this.data, this.bthAt) === 1;
  }
  get solicited(): boolean {
    return bth.fields.solicited.get(this.data, this.bthAt) === 1;
  }
  get padCount(): number {
    return bth.fields.padCount.get(this.data, this.bthAt);
  }
  get partitionKey(): number {
    return bth.fields.partitionKey.get(this.data, this.bthAt);
  }
  get version(): number {
    return bth.fields.version.get(this.data, this.bthAt);
  }
  get sourcePort(): number {
    return udp.fields.sourcePort.get(this.data, this.udpAt);
  }
  /** The fields of a header that the opcode does not have are 0. */
  get qkey(): number {
    return this.#extension(this.layout.deth, deth.fields.qkey);
  }
  get sourceQpn(): number {
    return this.#extension(this.layout.deth, deth.fields.sourceQpn);
  }
  /** Of a RETH or an AtomicETH. */
  get virtualAddress(): number {
    const { layout } = this;
    if (layout.atomicEth >= 0) return this.#extension(layout.atomicEth, atomicEth.fields.virtualAddress);
    return this.#extension(layout.reth, reth.fields.virtualAddress);
  }
  /** Of a RETH, an AtomicETH or an IETH. */
  get rkey(): number {
    const { layout } = this;
    if (layout.atomicEth >= 0) return this.#extension(layout.atomicEth, atomicEth.fields.rkey);
    if (layout.ieth >= 0) return this.#extension(layout.ieth, ieth.fields.rkey);
    return this.#extension(layout.reth, reth.fields.rkey);
  }
  get dmaLength(): number {
    return this.#extension(this.layout.reth, reth.fields.dmaLength);
  }
  get syndrome(): number {
    return this.#extension(this.layout.aeth, aeth.fields.syndrome);
  }
  get msn(): number {
    return this.#extension(this.layout.aeth, aeth.fields.msn);
  }
  get immediate(): number {
    return this.#extension(this.layout.immDt, immDt.fields.immediate);
  }
  get swapOrAdd(): number {
    return this.#extension(this.layout.atomicEth, atomicEth.fields.swapOrAdd);
  }
  get compare(): number {
    return this.#extension(this.layout.atomicEth, atomicEth.fields.compare);
  }
  get original(): number {
    return this.#extension(this.layout.atomicAckEth, atomicAckEth.fields.original);
  }

  /** The ICRC that the frame bears. */
  get icrc(): number {
    const { data, icrcAt: at } = this;
    return (data[at] | (data[at + 1] << 8) | (data[at + 2] << 16) | (data[at + 3] << 24)) >>> 0;
  }

  /** The ICRC that it must bear. */
  get icrcExpected(): number {
    return icrcOf(this.data, this.ipAt, this.bthAt, this.icrcAt, this.isIpv6);
  }

  /** Whether every pad byte is zero. */
  get padIsZero(): boolean {
    for (let at = this.padAt; at < this.icrcAt; at++) if (this.data[at] !== 0) return false;
    return true;
  }

  #extension(place: number, field: { get(data: Uint8Array, at: number): number }): number {
    return place < 0 ? 0 : field.get(this.data, this.bthAt + bth.size + place);
  }

  /** Ethernet and IP. Returns the bytes from the UDP header on, or -1 when it is settled what the frame is. */
  #network(): number {
    const { data } = this;
    if (data.length < ethernet.size) return this.#is('other', 'shorter than an Ethernet header');
    let type = ethernet.fields.type.get(data, 0);
    let at = ethernet.size;
    if (type === ETHERTYPE_VLAN) {
      if (data.length < at + VLAN_TAG_BYTES) return this.#is('other', 'shorter than a VLAN tag');
      type = ethernet.fields.type.get(data, VLAN_TAG_BYTES);
      at += VLAN_TAG_BYTES;
    }
    this.ipAt = at;
    this.isIpv6 = type === ETHERTYPE_IPV6;
    if (this.isIpv6) return this.#ipv6(at);
    return type === ETHERTYPE_IPV4 ? this.#ipv4(at) : this.#is('other', 'neither IPv4 nor IPv6');
  }

  #ipv4(at: number): number {
    const { data } = this;
    const { fields } = ipv4;
    if (data.length < at + ipv4.size) return this.#is('other', 'shorter than an IPv4 header');
    if (fields.version.get(data, at) !== 4) return this.#is('other', 'no IPv4 version');
    if (fields.protocol.get(data, at) !== PROTOCOL_UDP) return this.#is('other', 'no UDP');
    if (fields.fragmentOffset.get(data, at) !== 0) return this.#is('other', 'a later fragment');
    const headerBytes = 4 * fields.headerWords.get(data, at);
    const total = fields.totalLength.get(data, at);
    if (headerBytes < ipv4.size || total < headerBytes + udp.size || at + total > data.length)
      return this.#is('other', 'the lengths of the IPv4 header are wrong');
    this.udpAt = at + headerBytes;
    const fragment = (fields.flags.get(data, at) & 1) !== 0;
    return this.#udp(total - headerBytes, fragment);
  }

  #ipv6(at: number): number {
    const { data } = this;
    const { fields } = ipv6;
    if (data.length < at + ipv6.size) return this.#is('other', 'shorter than an IPv6 header');
    if (fields.version.get(data, at) !== 6) return this.#is('other', 'no IPv6 version');
    if (fields.nextHeader.get(data, at) !== PROTOCOL_UDP) return this.#is('other', 'no UDP');
    const length = fields.payloadLength.get(data, at);
    if (length < udp.size || at + ipv6.size + length > data.length)
      return this.#is('other', 'the length of the IPv6 header is wrong');
    this.udpAt = at + ipv6.size;
    return this.#udp(length, false);
  }

  #udp(ipPayload: number, fragment: boolean): number {
    const { data, udpAt } = this;
    if (udp.fields.destinationPort.get(data, udpAt) !== ROCE_PORT) return this.#is('other', 'not port 4791');
    if (fragment) return this.#is('malformed', 'a fragment');
    const length = udp.fields.length.get(data, udpAt);
    if (length === ipPayload) return length;
    return this.#is('malformed', `UDP length ${length} in ${ipPayload} bytes of IP payload`);
  }

  #transport(udpBytes: number): FrameKind {
    const rest = udpBytes - udp.size - bth.size - ICRC_BYTES;
    if (rest < 0)
      return this.#ends('malformed', `${udpBytes - udp.size} bytes do not hold a BTH and an ICRC`);
    this.bthAt = this.udpAt + udp.size;
    this.icrcAt = this.udpAt + udpBytes - ICRC_BYTES;
    const layout = opcodeLayout(this.opcode);
    this.layout = layout ?? noLayout;
    this.payloadAt = this.bthAt + bth.size + this.layout.bytes;
    const padded = this.icrcAt - this.payloadAt;
    const pad = this.padCount;
    this.padAt = this.icrcAt - pad;
    this.payloadLength = padded - pad;
    if (layout === undefined && this.payloadLength >= 0)
      return this.#ends('unknown', `opcode 0x${this.opcode.toString(16)}`);
    if (padded < 0)
      return this.#ends('malformed', `${rest} bytes do not hold the headers of ${this.layout.name}`);
    if (this.payloadLength < 0) return this.#ends('malformed', `pad of ${pad} bytes in ${padded} bytes`);
    if (padded % 4 !== 0)
      return this.#ends('malformed', `payload and pad of ${padded} bytes, no multiple of 4`);
    return this.#ends('roce', '');
  }

  #ends(kind: FrameKind, problem: string): FrameKind {
    this.kind = kind;
    this.problem = problem;
    return kind;
  }

  #is(kind: FrameKind, problem: string): -1 {
    this.#ends(kind, problem);
    return -1;
  }
}
