/** Frames are judged as bytes first: whole, padded with zero, with the right ICRC. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FRAME_BYTES_MAX, RoceFrame, emitFrame, putIcrc } from '../../../src/fabric/index.js';
import type { Packet } from '../../../src/fabric/index.js';
import { FrameJudge } from '../../../src/conformance/wire/index.js';
import { ack, request } from './packets.js';

function frameOf(packet: Packet): Uint8Array {
  const target = new Uint8Array(FRAME_BYTES_MAX);
  return target.slice(0, emitFrame(packet, target));
}

function judged(frames: readonly Uint8Array[]) {
  const judge = new FrameJudge({ complete: true });
  for (const frame of frames) judge.take(frame);
  return judge.report();
}

const sound = [request('SEND_ONLY', 5, 5), request('SEND_ONLY', 6, 0), ack(6, 2)].map(frameOf);

/** The sound frames with the first one changed, its ICRC made right again or not. */
function changed(at: number, value: number, repaired: boolean): Uint8Array[] {
  const bytes = sound[0].slice();
  bytes[at] = value;
  const view = new RoceFrame();
  view.decode(bytes);
  if (repaired) putIcrc(bytes, view.ipAt, view.bthAt, view.icrcAt, view.isIpv6);
  return [bytes, ...sound.slice(1)];
}

describe('the judge of frames', () => {
  it('finds nothing in sound frames, and counts others apart', () => {
    const other = new Uint8Array(60);
    expect(judged([other, ...sound])).toMatchObject({
      findings: [],
      frames: 4,
      others: 1,
      packets: 3,
      unjudged: {},
    });
  });

  it.each([
    ['WRONG_ICRC', 'DATA-85', changed(54, 0xaa, false)],
    ['WRONG_PAD', 'DATA-84', changed(sound[0].length - 5, 1, true)],
    ['MALFORMED', 'DATA-84', changed(39, 1, true)],
  ])('finds %s, broken [%s]', (event, requirement, frames) => {
    const { findings } = judged(frames);
    expect(findings).toMatchObject([{ event, frame: 1, machine: 'frame', requirements: [requirement] }]);
  });

  it('numbers findings as a capture does', () => {
    const gap = frameOf(request('SEND_ONLY', 9, 5));
    expect(judged([new Uint8Array(60), ...sound, gap]).findings).toMatchObject([{ event: 'GAP', frame: 5 }]);
  });

  it('says that it could not judge a frame of which the capture holds a part, and one of another transport', () => {
    const judge = new FrameJudge();
    judge.take(sound[0].subarray(0, 50), true);
    judge.take(changed(42, 0x81, false)[0]);
    expect(judge.report()).toMatchObject({
      findings: [],
      packets: 0,
      unjudged: { 'frames of which the capture holds a part': 1, 'frames with opcode 0x81': 1 },
    });
  });

  it('takes any bytes', () => {
    const bytes = fc.tuple(
      fc.constantFrom(...sound),
      fc.array(fc.tuple(fc.nat(80), fc.nat(255)), { maxLength: 5 }),
    );
    fc.assert(
      fc.property(fc.array(bytes, { maxLength: 8 }), drawn => {
        const frames = drawn.map(([frame, changes]) => {
          const copy = frame.slice();
          for (const [at, value] of changes) copy[at % copy.length] = value;
          const view = new RoceFrame();
          if (view.decode(copy) === 'roce') putIcrc(copy, view.ipAt, view.bthAt, view.icrcAt, view.isIpv6);
          return copy;
        });
        expect(judged(frames).frames).toBe(frames.length);
      }),
      { numRuns: 500 },
    );
  });
});
