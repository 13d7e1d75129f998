/** Random packets and their frames, for the tests of the codec and of its readers. */
import fc from 'fast-check';
import { FRAME_BYTES_MAX, Packet, emitFrame, knownOpcodes, opcodeLayout } from '../../src/fabric/index.js';

const hexDigits = (count: number) =>
  fc
    .array(fc.nat(15), { minLength: count, maxLength: count })
    .map(digits => digits.map(digit => digit.toString(16)).join(''));

const ipv4Gid = hexDigits(8).map(digits => `00000000000000000000ffff${digits}`);
const ipv6Gid = hexDigits(32).filter(gid => !gid.startsWith('00000000000000000000ffff'));

/** Opcodes that the packet record can express whole. */
export const recordOpcodes = knownOpcodes.filter(opcode => {
  const layout = opcodeLayout(opcode);
  return layout !== undefined && layout.atomicEth < 0 && layout.atomicAckEth < 0 && layout.ieth < 0;
});

/** Every field that stands on the wire, drawn; those that the opcode does not have are 0. */
export const packetArbitrary: fc.Arbitrary<Packet> = fc
  .record({
    opcode: fc.constantFrom(...recordOpcodes),
    gids: fc.oneof(fc.tuple(ipv4Gid, ipv4Gid), fc.tuple(ipv6Gid, ipv6Gid)),
    trafficClass: fc.nat(0xff),
    hopLimit: fc.nat(0xff),
    flowLabel: fc.nat(0xf_ffff),
    solicited: fc.boolean(),
    ackRequest: fc.boolean(),
    partitionKey: fc.nat(0xffff),
    destQpn: fc.nat(0xff_ffff),
    psn: fc.nat(0xff_ffff),
    words: fc.array(fc.nat(0xffff_ffff), { minLength: 4, maxLength: 4 }),
    address: fc.maxSafeNat(),
    small: fc.tuple(fc.nat(0xff), fc.nat(0xff_ffff), fc.nat(0xff_ffff)),
    payload: fc.uint8Array({ maxLength: 100 }),
  })
  .map(({ opcode, gids, words, address, small, payload, ...common }) => {
    const packet = new Packet(() => undefined);
    const layout = opcodeLayout(opcode);
    const has = (place: number | undefined, value: number) => (place !== undefined && place >= 0 ? value : 0);
    const isIpv4 = gids[0].startsWith('00000000000000000000ffff');
    Object.assign(packet, common, {
      opcode,
      sourceGid: gids[0],
      destinationGid: gids[1],
      flowLabel: isIpv4 ? 0 : common.flowLabel,
      qkey: has(layout?.deth, words[0]),
      sourceQpn: has(layout?.deth, small[1]),
      virtualAddress: has(layout?.reth, address),
      rkey: has(layout?.reth, words[1]),
      dmaLength: has(layout?.reth, words[2]),
      syndrome: has(layout?.aeth, small[0]),
      msn: has(layout?.aeth, small[2]),
      immediate: has(layout?.immDt, words[3]),
      payloadLength: payload.length,
    });
    packet.payload.set(payload);
    return packet;
  });

export function frameOf(packet: Packet): Uint8Array {
  const target = new Uint8Array(FRAME_BYTES_MAX);
  return target.slice(0, emitFrame(packet, target));
}

/** What of a packet is on the wire. */
export function onTheWire(packet: Packet): Record<string, unknown> {
  const { arrival: _arrival, payload, ...fields } = packet;
  return { ...fields, payload: [...payload.subarray(0, packet.payloadLength)] };
}
