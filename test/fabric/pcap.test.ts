/** Capture files: what is written is read again, whatever the pieces; a damaged file is refused with its place. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  PCAP_FRAME_BYTES_MAX,
  PcapError,
  PcapReader,
  pcapFileHeader,
  pcapRecord,
} from '../../src/fabric/index.js';
import type { CapturedFrame } from '../../src/fabric/index.js';

function file(frames: readonly Uint8Array[], timesNs: readonly number[]): Uint8Array {
  return Buffer.concat([pcapFileHeader(), ...frames.map((frame, i) => pcapRecord(frame, timesNs[i]))]);
}

function readInPieces(bytes: Uint8Array, piece: number): CapturedFrame[] {
  const reader = new PcapReader();
  const frames: CapturedFrame[] = [];
  for (let at = 0; at < bytes.length; at += piece)
    frames.push(
      ...reader.push(bytes.subarray(at, at + piece)).map(frame => ({ ...frame, data: frame.data.slice() })),
    );
  reader.end();
  return frames;
}

describe('a capture file', () => {
  it('holds the frames that were written, with their times, in whatever pieces it is read', () => {
    const frames = fc.array(fc.uint8Array({ maxLength: 80 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(frames, fc.integer({ min: 1, max: 300 }), (written, piece) => {
        const times = written.map((_, i) => 1_700_000_000_000_000_000 + i * 999_999_488);
        const read = readInPieces(file(written, times), piece);
        expect(read.map(frame => [...frame.data])).toEqual(written.map(frame => [...frame]));
        expect(read.map(frame => frame.number)).toEqual(written.map((_, i) => i + 1));
        for (const [i, { timeNs, cut }] of read.entries()) {
          expect(Math.abs(timeNs - i * 999_999_488)).toBeLessThan(1024);
          expect(cut).toBe(false);
        }
      }),
    );
  });

  it('of the other byte order and of microseconds is read the same', () => {
    const bytes = new Uint8Array(24 + 2 * 16 + 2);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, 0xa1b2c3d4);
    view.setUint32(20, 1);
    for (const [i, at] of [24, 41].entries()) {
      view.setUint32(at, 7 + i);
      view.setUint32(at + 4, 5);
      view.setUint32(at + 8, 1);
      view.setUint32(at + 12, 1 + i);
      bytes[at + 16] = 0x40 + i;
    }
    const frames = readInPieces(bytes, 1000);
    expect(frames).toMatchObject([
      { number: 1, timeNs: 0, cut: false },
      { number: 2, timeNs: 1e9, cut: true },
    ]);
    expect(frames.map(frame => frame.data[0])).toEqual([0x40, 0x41]);
  });

  const whole = file([Uint8Array.of(1, 2, 3)], [0]);
  const changed = (at: number, value: number): Uint8Array => {
    const bytes = Uint8Array.from(whole);
    new DataView(bytes.buffer).setUint32(at, value, true);
    return bytes;
  };
  it.each([
    ['12 bytes are no capture', whole.subarray(0, 12)],
    ['byte 24: the file ends within frame 1', whole.subarray(0, 42)],
    ['no pcap file', changed(0, 0x1234)],
    ['a pcapng file', changed(0, 0x0a0d0d0a)],
    ['link type 113', changed(20, 113)],
    [`a frame has at most ${PCAP_FRAME_BYTES_MAX}`, changed(32, 0xffffffff)],
  ])('that is damaged is refused: %s', (message, bytes) => {
    expect(() => readInPieces(bytes, 7)).toThrow(message);
    expect(() => readInPieces(bytes, 7)).toThrow(PcapError);
  });

  it('of random bytes is refused or read, never more', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), tail => {
        try {
          readInPieces(Buffer.concat([pcapFileHeader(), tail]), 64);
        } catch (error) {
          expect(error).toBeInstanceOf(PcapError);
        }
      }),
    );
  });
});
