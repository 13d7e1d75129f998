/**
 * Laws of the judge in the middle of the wire.
 *
 * 1. Silence: it finds nothing in what the reference adapter sends, whatever the program and whatever the network does.
 * 2. The same as bytes: nothing either when the packets are frames and it has to learn the connections by itself.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FRAME_BYTES_MAX, emitFrame } from '../../src/fabric/index.js';
import { SendFlag, WrOpcode } from '../../src/abi/index.js';
import { SeededChoices } from '../../src/fabric/index.js';
import { programArbitrary } from '../../src/conformance/generate/program-arbitrary.js';
import type { Program } from '../../src/conformance/program.js';
import { Run } from '../../src/conformance/run/run.js';
import { attachWire } from '../../src/conformance/wire/attach.js';
import { FrameJudge } from '../../src/conformance/wire/index.js';
import type { WireReport } from '../../src/conformance/wire/index.js';
import { bareMetalWorld } from '../../src/conformance/world.js';
import { Pair } from '../reference/pair.js';
import type { Side } from '../reference/pair.js';

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

  it('[DATA-73, DATA-74] finds nothing when it sees frames only, and has to learn the connections', () => {
    let judged = 0;
    const leniencies = new Set<string>();
    fc.assert(
      fc.property(traffic, options => {
        const report = framesOf(options);
        expect(report.findings).toEqual([]);
        expect(report.unjudged).toEqual({});
        judged += report.packets;
        for (const { requirement } of report.lenient) leniencies.add(requirement);
      }),
      { numRuns: RUNS },
    );
    expect(judged).toBeGreaterThan(20 * RUNS);
    // Only what the network doubled may look like too many acknowledgements.
    expect([...leniencies].filter(id => id !== 'DATA-77')).toEqual([]);
  });
});

const request = fc.record({
  opcode: fc.constantFrom(...Object.values(WrOpcode)),
  length: fc.oneof(fc.nat(20), fc.integer({ min: 200, max: 4096 })),
  /** Which of the connections, and from which end. */
  connection: fc.nat(1),
  fromA: fc.boolean(),
  solicited: fc.boolean(),
  pause: fc.nat(30),
});

const traffic = fc.record({
  requests: fc.array(request, { minLength: 5, maxLength: 40 }),
  faults: fc.record({
    dropPer1024: fc.nat(300),
    duplicatePer1024: fc.nat(300),
    reorderPer1024: fc.nat(300),
  }),
  pathMtu: fc.constantFrom(1, 2, 3),
  unreliable: fc.boolean(),
  /** Receives that are posted before anything is sent; the others come when nothing else happens. */
  receives: fc.nat(40),
  seed: fc.nat(),
});

/** Two connections between the same two machines, used from both ends, as frames. */
function framesOf({
  requests,
  faults: rates,
  pathMtu,
  unreliable,
  receives,
  seed,
}: typeof traffic extends fc.Arbitrary<infer T> ? T : never) {
  const pair = new Pair({ choices: new SeededChoices(seed), faults: rates, faultSeed: seed });
  const judge = new FrameJudge({ complete: true });
  const bytes = new Uint8Array(FRAME_BYTES_MAX);
  pair.fabric.observe({
    sent: packet => judge.take(bytes.subarray(0, emitFrame(packet, bytes))),
    delivered() {},
    dropped() {},
  });
  const psns = [0xff_ffe0, 500_000].map(psn => ({
    pathMtu,
    timeout: 4,
    rnrRetry: 7,
    sqPsn: psn,
    rqPsn: psn,
  }));
  const connections = [pair.rc(psns[0]), unreliable ? pair.uc(psns[1]) : pair.rc(psns[1])];
  const post = (from: number, to: number): void => {
    for (const [qa, qb] of connections)
      for (let i = from; i < to; i++)
        for (const [side, qp] of [
          [pair.a, qa],
          [pair.b, qb],
        ] as const)
          side.recv(qp, i, [side.sge(131_072, 4096)]);
  };
  post(0, receives);
  for (const [i, { opcode, length, connection, fromA, solicited, pause }] of requests.entries()) {
    for (let step = 0; step < pause; step++) pair.scheduler.step();
    if (connection === 1 && unreliable && opcode === WrOpcode.RDMA_READ) continue;
    const [side, peer, qp]: [Side, Side, (typeof connections)[0][0]] = fromA
      ? [pair.a, pair.b, connections[connection][0]]
      : [pair.b, pair.a, connections[connection][1]];
    side.send(qp, i, {
      opcode,
      sendFlags: SendFlag.SIGNALED | (solicited ? SendFlag.SOLICITED : 0),
      immData: i,
      sges: [side.sge(0, length)],
      remoteAddr: 8192,
      rkey: peer.mr.rkey,
    });
  }
  pair.settle();
  post(receives, 40);
  for (let steps = 0; pair.scheduler.endlessWaiting > 0 && steps < 100; steps++) {
    pair.scheduler.step();
    pair.settle();
  }
  return judge.report();
}
