import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { FRAME_BYTES_MAX, emitFrame, pcapFileHeader, pcapRecord } from '../../src/fabric/index.js';
import type { Packet } from '../../src/fabric/index.js';
import { ack, request, ud } from '../conformance/wire/packets.js';
import { temporaryDirectory, vrdma } from './support.js';
import type { Result } from './support.js';

function capture(packets: readonly Packet[]): Buffer {
  const target = new Uint8Array(FRAME_BYTES_MAX);
  const records = packets.map((packet, i) =>
    pcapRecord(target.slice(0, emitFrame(packet, target)), 1000 * i),
  );
  return Buffer.concat([pcapFileHeader(), ...records]);
}

function judged(contents: Uint8Array, ...options: readonly string[]): Promise<Result> {
  const file = join(temporaryDirectory(), 'roce.pcap');
  writeFileSync(file, contents);
  return vrdma(['wire', file, ...options]);
}

const sound = [request('SEND_ONLY', 5, 5), request('SEND_ONLY', 6, 0), ack(6, 2)];
const skipping = [...sound, request('SEND_ONLY', 9, 5)];

describe('wire', () => {
  it('passes a sound capture, compressed or not', async () => {
    for (const contents of [capture(sound), gzipSync(capture(sound))]) {
      const { code, out, err } = await judged(contents);
      expect(err).toBe('');
      expect(out).toMatch(/^PASS {2}no law broken in 3 RoCE packets of 1 flow in 3 frames, \d+ ms\n$/);
      expect(code).toBe(0);
    }
  });

  it('names frame, machine, connection, state, what was met and what was expected, and the sentence of the spec', async () => {
    const { code, out } = await judged(capture(skipping));
    expect(code).toBe(1);
    expect(out).toContain('BROKEN  frame 4\n  RC SEND_ONLY qp 18 psn 9, 5 bytes\n');
    expect(out).toContain('  machine     WIRE.REQUESTS\n  connection  RC 10.0.0.1 > 10.0.0.2 qp 18\n');
    expect(out).toContain(
      '  state       BETWEEN\n  met         GAP (psn 9, expected 7)\n  expected    SEND_FIRST',
    );
    expect(out).toContain('  [DATA-74] ');
    expect(out).toMatch(/BROKEN {2}1 finding in 4 RoCE packets/);
    expect((await judged(capture(skipping), '--quiet')).out).toMatch(/^BROKEN {2}1 finding/);
  });

  it('misses no datagram only when it is told that the capture is complete', async () => {
    const datagrams = capture([ud(5), ud(7)]);
    expect((await judged(datagrams)).code).toBe(0);
    expect((await judged(datagrams, '--complete')).code).toBe(1);
  });

  it('prints its verdict as JSON', async () => {
    const { code, out } = await judged(capture(skipping), '--json');
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({ version: 1, frames: 4, findings: [{ event: 'GAP', frame: 4 }] });
  });

  it('says what only a lenient reading allows, and what it could not judge', async () => {
    const { code, out } = await judged(capture([...sound, ack(6, 2), ack(6, 2), ack(6, 2, 0x45)]));
    expect(code).toBe(0);
    expect(out).toContain(
      'NON-STRICT  only a lenient reading allows it:\n  [DATA-77] 1 time, first at frame 5',
    );
    expect(out).toContain('NOT JUDGED\n  1  an answer with the reserved syndrome 0x45');
  });

  it('has no verdict where nothing was judged', async () => {
    const { code, out } = await judged(capture([]));
    expect(code).toBe(3);
    expect(out).toContain('NO VERDICT  nothing was judged');
  });

  it('refuses what is no capture, or is cut off, and shows what was broken before', async () => {
    const { code, err } = await judged(Buffer.from('no capture at all, but some text'));
    expect(code).toBe(2);
    expect(err).toContain('no pcap file');
    const cut = await judged(capture(skipping).subarray(0, -3));
    expect(cut.code).toBe(2);
    expect(cut.err).toContain('the file ends within frame 4');
    const late = await judged(capture([...skipping, ...sound]).subarray(0, -3));
    expect(late.code).toBe(2);
    expect(late.out).toContain('BROKEN  frame 4');
    expect((await vrdma(['wire', join(temporaryDirectory(), 'missing.pcap')])).code).toBe(2);
  });
});
