/**
 * Soft-RoCE in two Linux guests, the kit being the cable between them: every RoCE v2 frame is held against the machines of the wire, and
 * what happens to a frame on purpose must have the consequences that the spec gives it. The scenarios are in roce/scenarios.mjs.
 */
import { appendFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { FrameJudge } from '../../dist/conformance/index.js';
import { operationOf, pcapFileHeader, pcapRecord, transportOf } from '../../dist/fabric/index.js';
import { WATCHDOG_S } from './part.mjs';
import { scenarios } from './roce/scenarios.mjs';
import { TwoGuests, rocePackages } from './roce/two-guests.mjs';

export const softRoce = {
  name: 'soft-roce',
  about:
    "Linux's rdma_rxe in two guests, pingpongs and perftest, every frame judged; frames lost, corrupted, doubled, overtaken",
  packages: rocePackages,

  async run(part) {
    const capture = path.join(part.folder, 'cable.pcap');
    const watch = new Watch(capture);
    const guests = new TwoGuests();
    part.adopt(guests);
    const release = await guests.start(
      part.folder,
      (side, data) => watch.frame(side, data),
      name => part.socket(name),
    );
    part.note(`Linux ${release}; capture: ${capture}`);
    for (const scenario of scenarios)
      await part.check(`${scenario.id}: ${scenario.doc}, ${scenario.command}`, () =>
        play(part, guests, watch, scenario),
      );
    await part.check('every RoCE frame was judged', () => summary(part, watch.judge.report()));
    await guests.stop();
  },
};

/** Shows frames to the judge and to the scenario that runs, and keeps them. */
class Watch {
  judge = new FrameJudge({ complete: true });
  seen = [];
  #scenario;
  #strikes = () => false;
  #capture;
  #start = performance.now();

  constructor(capture) {
    this.#capture = capture;
    writeFileSync(capture, pcapFileHeader());
  }

  begin(scenario) {
    this.#scenario = scenario;
    this.seen = [];
    this.#strikes = scenario.fault?.() ?? (() => false);
  }

  frame(side, data) {
    appendFileSync(this.#capture, pcapRecord(data, Math.round((performance.now() - this.#start) * 1e6)));
    const { view } = this.judge;
    this.judge.take(data);
    if (view.kind !== 'roce') return 'pass';
    const { opcode, psn, syndrome, msn, dmaLength, virtualAddress } = view;
    const [operation, transport] = [operationOf(opcode), transportOf(opcode)];
    const seen = { side, operation, transport, psn, syndrome, msn, dmaLength, virtualAddress };
    seen.fate = this.#strikes(seen) ? this.#scenario.action : 'pass';
    this.seen.push(seen);
    return seen.fate;
  }
}

/** Runs one scenario; throws what went wrong. */
async function play(part, guests, watch, scenario) {
  const before = watch.judge.report().findings.length;
  watch.begin(scenario);
  const { client, server } = await guests.runPair(scenario.command, scenario.port, WATCHDOG_S * 1000);
  const wrong = [];
  for (const [name, { code, output }] of Object.entries({ client, server }))
    if (code !== 0) wrong.push(`${name} ended with ${code}: ${output.split('\n').slice(-3).join(' | ')}`);
  if (watch.seen.length === 0) wrong.push('no RoCE frame was seen');
  try {
    scenario.expect?.(watch.seen);
  } catch (error) {
    wrong.push(error.message);
  }
  const known = scenario.known ?? [];
  for (const finding of watch.judge.report().findings.slice(before)) {
    const { frame, machine, states, event, detail, requirements, connection } = finding;
    if (known.includes(event)) part.note(`known, docs/findings.md: ${event} ${detail}`);
    else
      wrong.push(
        `frame ${frame}: ${machine} ${states.join('/')} met ${event} (${detail}) on ${connection} [${requirements}]`,
      );
  }
  if (wrong.length > 0) throw new Error(wrong.join('; '));
  return `${watch.seen.length} frames`;
}

/** What only a lenient reading allows is told; a frame that was not judged is a gap of the judge. */
function summary(part, { packets, connections, lenient, unjudged }) {
  for (const { requirement, count, detail } of lenient)
    part.note(`by the lenient reading of ${requirement}, ${count} times: ${detail}`);
  const left = Object.entries(unjudged);
  if (left.length > 0) throw new Error(left.map(([reason, count]) => `${count} times ${reason}`).join('; '));
  return `${packets} frames of ${connections} flows`;
}
