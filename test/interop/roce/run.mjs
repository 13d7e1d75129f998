/**
 * Soft-RoCE against the wire judge: two Linux guests, the kit as the cable between them. `node test/interop/roce/run.mjs [ID...]` runs the
 * scenarios (all, or those named), prints a line each and exits 1 when one failed. Needs `npm run build`. Logs and a capture are kept.
 */
import { appendFileSync, mkdtempSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { FrameJudge } from '../../../dist/conformance/index.js';
import { operationOf, pcapFileHeader, pcapRecord, transportOf } from '../../../dist/fabric/index.js';
import { scenarios } from './scenarios.mjs';
import { PACKAGES, TwoGuests, missingPrograms } from './two-guests.mjs';

/** One program in one scenario; a hung one ends here. */
const SCENARIO_MS = 60_000;

/** Shows frames to the judge and to the scenario that runs, and keeps them. */
class Watch {
  judge = new FrameJudge({ complete: true });
  scenario;
  seen = [];
  #strikes = () => false;
  #capture;
  #start = performance.now();

  constructor(capture) {
    this.#capture = capture;
    writeFileSync(capture, pcapFileHeader());
  }

  begin(scenario) {
    this.scenario = scenario;
    this.seen = [];
    this.#strikes = scenario?.fault?.() ?? (() => false);
  }

  frame(side, data) {
    appendFileSync(this.#capture, pcapRecord(data, Math.round((performance.now() - this.#start) * 1e6)));
    const { view } = this.judge;
    this.judge.take(data);
    if (view.kind !== 'roce') return 'pass';
    const { opcode, psn, syndrome, msn, dmaLength, virtualAddress } = view;
    const seen = {
      side,
      operation: operationOf(opcode),
      transport: transportOf(opcode),
      psn,
      syndrome,
      msn,
      dmaLength,
      virtualAddress,
    };
    seen.fate = this.#strikes(seen) ? this.scenario.action : 'pass';
    this.seen.push(seen);
    return seen.fate;
  }
}

/** Runs one scenario. Returns what went wrong, one line each; empty when nothing did. */
async function play(guests, watch, scenario) {
  const before = watch.judge.report();
  watch.begin(scenario);
  const { client, server } = await guests.runPair(scenario.command, scenario.port, SCENARIO_MS);
  const wrong = [];
  for (const [name, { code, output }] of Object.entries({ client, server }))
    if (code !== 0) wrong.push(`${name} ended with ${code}: ${output.split('\n').slice(-3).join(' | ')}`);
  if (watch.seen.length === 0) wrong.push('no RoCE frame was seen');
  try {
    scenario.expect?.(watch.seen);
  } catch (error) {
    wrong.push(error.message);
  }
  const report = watch.judge.report();
  const known = scenario.known ?? [];
  for (const finding of report.findings.slice(before.findings.length)) {
    if (known.includes(finding.event)) continue;
    const { frame, machine, states, event, detail, requirements, connection } = finding;
    wrong.push(
      `frame ${frame}: ${machine} ${states.join('/')} met ${event} (${detail}) on ${connection} [${requirements}]`,
    );
  }
  const met = report.findings.slice(before.findings.length).filter(({ event }) => known.includes(event));
  return { wrong, frames: watch.seen.length, known: met.map(({ event, detail }) => `${event}: ${detail}`) };
}

/**
 * @param {{ only?: string[], print?: (line: string) => void }} [options]
 * @returns {Promise<'pass' | 'fail' | 'skip'>}
 */
export async function runRoce({ only = [], print = console.log } = {}) {
  const missing = missingPrograms();
  if (missing.length > 0) {
    print(`SKIPPED soft-RoCE: ${missing.join(', ')} not installed; apt-get install ${PACKAGES.join(' ')}`);
    return 'skip';
  }
  const folder = mkdtempSync(path.join(os.tmpdir(), 'vrdma-interop-roce-'));
  const watch = new Watch(path.join(folder, 'cable.pcap'));
  const guests = new TwoGuests();
  let failed = 0;
  try {
    const started = performance.now();
    let release;
    try {
      release = await guests.start(folder, (side, data) => watch.frame(side, data));
    } catch (error) {
      if (error.code === undefined && !/apt|dpkg|unpack/i.test(String(error))) throw error;
      print(`SKIPPED soft-RoCE: no kernel could be had (${String(error).split('\n')[0]})`);
      return 'skip';
    }
    print(`two guests with Linux ${release} are up in ${seconds(started)}; logs and capture in ${folder}`);
    for (const scenario of scenarios) {
      if (only.length > 0 && !only.includes(scenario.id)) continue;
      const from = performance.now();
      const { wrong, frames, known } = await play(guests, watch, scenario);
      if (wrong.length > 0) failed++;
      const verdict = wrong.length === 0 ? 'ok  ' : 'FAIL';
      print(
        `${verdict}  roce/${scenario.id.padEnd(26)} ${String(frames).padStart(4)} frames  ${seconds(from)}  ${scenario.command}`,
      );
      for (const line of wrong) print(`        ${line}`);
      for (const line of known) print(`        known (docs/findings.md): ${line}`);
    }
  } finally {
    await guests.end();
  }
  summary(watch.judge.report(), print);
  return failed === 0 ? 'pass' : 'fail';
}

function summary({ packets, connections, findings, lenient, unjudged }, print) {
  print(`${packets} RoCE frames of ${connections} directions judged, ${findings.length} findings`);
  for (const { requirement, count, detail } of lenient)
    print(`  by a lenient reading of ${requirement}: ${count} times, first ${detail}`);
  for (const [reason, count] of Object.entries(unjudged)) print(`  not judged: ${count} times ${reason}`);
}

function seconds(from) {
  return `${((performance.now() - from) / 1000).toFixed(1)} s`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const verdict = await runRoce({ only: process.argv.slice(2) });
  process.exitCode = verdict === 'fail' ? 1 : 0;
}
