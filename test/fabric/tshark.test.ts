/** A reader that nobody here wrote agrees with what is emitted: tshark, where it is installed. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { opcodeLayout, pcapFileHeader, pcapRecord } from '../../src/fabric/index.js';
import type { Packet } from '../../src/fabric/index.js';
import { frameOf, packetArbitrary } from './roce-frames.js';

const installed = spawnSync('tshark', ['--version']).status === 0;
if (!installed)
  process.stderr.write(
    'SKIPPED: tshark is not installed, so nobody else reads our frames (apt-get install tshark)\n',
  );

/** In the order of what is expected below. */
const fields = [
  'infiniband.bth.opcode',
  'infiniband.bth.se',
  'infiniband.bth.padcnt',
  'infiniband.bth.p_key',
  'infiniband.bth.destqp',
  'infiniband.bth.a',
  'infiniband.bth.psn',
  'infiniband.deth.q_key',
  'infiniband.deth.srcqp',
  'infiniband.reth.va',
  'infiniband.reth.r_key',
  'infiniband.reth.dmalen',
  'infiniband.aeth.syndrome',
  'infiniband.aeth.msn',
  'infiniband.immdt',
  'infiniband.invariant.crc',
] as const;

const folder = mkdtempSync(path.join(tmpdir(), 'vrdma-tshark-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** `True`, `1`, `0x10`, bytes such as `0000001f`, or empty. */
function numberOf(text: string): number | undefined {
  if (text === '') return undefined;
  if (text === 'True' || text === 'False') return text === 'True' ? 1 : 0;
  return Number(text);
}

describe.skipIf(!installed)('tshark', () => {
  it('[DATA-84, DATA-85] reads the same fields from every kind of packet, and finds nothing wrong with one', () => {
    // Queue pairs 0 and 1 are for management, and tshark reads their payload as such.
    const managed = (packet: Packet): boolean => packet.destQpn < 2;
    const packets = fc.sample(
      packetArbitrary.filter(packet => !managed(packet)),
      { numRuns: 600, seed: 7 },
    );
    const file = path.join(folder, 'emitted.pcap');
    // Nothing, and not so little, that a guess could take it for another protocol.
    for (const packet of packets) {
      packet.payload.fill(0x5a);
      packet.payloadLength = opcodeLayout(packet.opcode)?.payload === 'none' ? 0 : 40 + packet.payloadLength;
    }
    const frames = packets.map(frameOf);
    writeFileSync(
      file,
      Buffer.concat([pcapFileHeader(), ...frames.map((frame, i) => pcapRecord(frame, 1000 * i))]),
    );
    const options = [
      '--disable-protocol',
      'rpcordma',
      '-r',
      file,
      '-T',
      'fields',
      '-E',
      'separator=;',
      '-E',
      'occurrence=f',
      '-e',
      '_ws.malformed',
    ];
    const text = execFileSync('tshark', [...options, ...fields.flatMap(field => ['-e', field])], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let checked = 0;
    const lines = text.trimEnd().split('\n');
    expect(lines).toHaveLength(packets.length);
    for (const [i, packet] of packets.entries()) {
      const [malformed, ...values] = lines[i].split(';');
      const layout = opcodeLayout(packet.opcode);
      const has = (place: number | undefined, value: number) =>
        place !== undefined && place >= 0 ? value : undefined;
      const frame = frames[i];
      const expected = [
        packet.opcode,
        packet.solicited ? 1 : 0,
        -packet.payloadLength & 3,
        packet.partitionKey,
        packet.destQpn,
        packet.ackRequest ? 1 : 0,
        packet.psn,
        has(layout?.deth, packet.qkey),
        has(layout?.deth, packet.sourceQpn),
        has(layout?.reth, packet.virtualAddress),
        has(layout?.reth, packet.rkey),
        has(layout?.reth, packet.dmaLength),
        has(layout?.aeth, packet.syndrome),
        has(layout?.aeth, packet.msn),
        has(layout?.immDt, packet.immediate),
        new DataView(frame.buffer).getUint32(frame.length - 4),
      ];
      expect(malformed, layout?.name).toBe('');
      const bytes = fields.indexOf('infiniband.immdt');
      if (values[bytes] !== '') values[bytes] = `0x${values[bytes]}`;
      // It leaves the ICRC out where it takes the payload for another protocol after all.
      const shown = values[fields.length - 1] !== '';
      if (shown) checked++;
      else expected.pop();
      expect(values.map(numberOf).slice(0, expected.length), layout?.name).toEqual(expected);
    }
    expect(checked).toBeGreaterThan(0.9 * packets.length);
  });
});
