/**
 * The benchmarks, on the built code: judged verbs calls a second and what judging costs, the compiled monitor against
 * XState, memory over a long run. `--long`: ten million calls for the memory. docs/performance.md says what the figures mean.
 */
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { setFlagsFromString } from 'node:v8';
import { Bench } from 'tinybench';
import { initialTransition, transition } from 'xstate';
import { writeProgram } from '../dist/conformance/generate/program-arbitrary.js';
import { judge } from '../dist/conformance/index.js';
import { MonitorBook, tablesOf } from '../dist/conformance/monitors/book.js';
import { Run } from '../dist/conformance/run/run.js';
import { MemoryPool } from '../dist/conformance/simulated-guest.js';
import { paravirtualWorld } from '../dist/conformance/world.js';
import { Monitor, machines, toXState } from '../dist/statemachines/index.js';
import { trafficProgram } from './bench-programs.mjs';

// As the worker thread of a check does; see docs/performance.md.
setFlagsFromString('--no-allocation-site-pretenuring');

const PROFILE = 'roce';
const long = process.argv.includes('--long');
const book = new MonitorBook();
/** Machines of unjudged runs use memory again, as those of judged runs do. */
const memories = new MemoryPool();
/** Programs that broke a law: none, or there is something to mend before anything is measured. */
const broke = [];

describeMachine();
await throughput('programs as the check makes them', 1500, (mode, i) =>
  writeProgram(1000 + i, { mode, actionsMax: 160 }),
);
await throughput('long programs of the same kind', 60, (mode, i) =>
  writeProgram(1000 + i, { mode, actionsMax: 1000 }),
);
await throughput('steady traffic on a connected pair', 60, (mode, i) => trafficProgram(mode, i, 4000));
await monitorAgainstXstate();
await memory(long ? 10_000_000 : 500_000);
if (broke.length > 0) {
  console.error(`\n${broke.length} programs broke a law, the first one: ${broke[0]}`);
  process.exitCode = 1;
}

function describeMachine() {
  const model = /^model name\s*: (.*)$/m.exec(readIfThere('/proc/cpuinfo'))?.[1] ?? cpus()[0]?.model;
  const load = readIfThere('/proc/loadavg').split(' ')[0];
  console.log(
    `Node ${process.versions.node}, V8 ${process.versions.v8}; ${cpus().length} x ${model}; load ${load}`,
  );
}

function readIfThere(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** Judged and unjudged runs of the same programs take turns, so that both see the same machine. */
async function throughput(title, count, make) {
  console.log(`\n${title}: verbs calls a second of processor time`);
  const sum = { judged: newTally(), unjudged: newTally() };
  for (const mode of ['settled', 'racing']) {
    const tally = { judged: newTally(), unjudged: newTally() };
    for (let i = -Math.ceil(count / 3); i < count; i++) {
      const program = make(mode, Math.abs(i));
      for (const kind of ['judged', 'unjudged']) {
        const spent = await timed(() => (kind === 'judged' ? runJudged(program) : runUnjudged(program)));
        // The first third again is for the compiler to warm up on.
        if (i >= 0) for (const total of [tally, sum]) addTo(total[kind], spent);
      }
    }
    printThroughput(mode, tally);
  }
  printThroughput('together', sum);
}

async function runJudged(program) {
  const { broken, calls } = await judge(program, { profile: PROFILE, book });
  if (broken !== undefined) broke.push(`${program.mode}, seed ${program.seed}: ${broken.message}`);
  return calls;
}

/** The same stack with nobody watching: no monitor, no invariant, no comparison. */
async function runUnjudged(program) {
  const world = await paravirtualWorld(program, { profile: PROFILE, memories });
  const run = new Run(program, world, []);
  await run.execute();
  world.release();
  return run.calls;
}

function newTally() {
  return { calls: 0, seconds: 0 };
}

async function timed(work) {
  const before = process.cpuUsage();
  const calls = await work();
  const { user, system } = process.cpuUsage(before);
  return { calls, seconds: (user + system) / 1e6 };
}

function addTo(total, { calls, seconds }) {
  total.calls += calls;
  total.seconds += seconds;
}

function printThroughput(name, { judged, unjudged }) {
  const [a, b] = [judged, unjudged].map(({ calls, seconds }) => calls / seconds);
  console.log(
    `  ${name.padEnd(8)}  judged ${count(a)}  unjudged ${count(b)}  ratio ${(a / b).toFixed(2)}  (${judged.calls} calls)`,
  );
}

function count(value) {
  return Math.round(value).toLocaleString('en').padStart(9);
}

/** A queue pair goes round its states, RESET to RTS and back. */
async function monitorAgainstXstate() {
  const definition = machines.find(machine => machine.name === 'QP.RC');
  const tables = tablesOf(definition.name);
  const lap = ['INIT', 'RTR', 'RTS', 'RESET'].map(state => {
    const type = `MODIFY_TO_${state}`;
    const { guard } = definition.transitions.find(each => each.event === type && each.to === state);
    return { type, id: tables.eventId(type), arg: guard?.kind === 'mask' ? guard.required : 0 };
  });
  const monitor = new Monitor(tables, violation => {
    throw new Error(`the monitor refused ${violation.event}`);
  });
  monitor.open(0);
  const machine = toXState(definition);
  let [snapshot] = initialTransition(machine, { limit: 1 });
  const bench = new Bench({ time: 1000 });
  bench.add('monitor', () => {
    for (const { id, arg } of lap) monitor.event(0, id, arg);
  });
  bench.add('xstate', () => {
    for (const { type, arg } of lap) [snapshot] = transition(machine, snapshot, { type, arg });
  });
  await bench.run();
  if (snapshot.value !== 'RESET') throw new Error('XState took another way round');
  const [ours, theirs] = bench.tasks.map(task => (lap.length * 1000) / task.result.latency.p50);
  console.log(`\none transition of ${definition.name}, a second`);
  console.log(
    `  monitor ${count(ours)}  XState transition() ${count(theirs)}  ratio ${(ours / theirs).toFixed(0)}`,
  );
}

/** Memory of the process while programs are judged one after the other, with one set of monitors as in a check. */
async function memory(calls) {
  console.log(`\nmemory while ${calls.toLocaleString('en')} calls are judged, MiB`);
  const before = process.cpuUsage();
  let done = 0;
  let most = 0;
  for (let step = 1; step <= 5; step++) {
    for (let i = 0; done < (calls * step) / 5; i++) {
      done += await runJudged(
        writeProgram(step * 1_000_000 + i, { mode: i % 2 ? 'racing' : 'settled', actionsMax: 160 }),
      );
      most = Math.max(most, process.memoryUsage.rss());
    }
    const { rss, heapUsed } = process.memoryUsage();
    const { user, system } = process.cpuUsage(before);
    const sizes = `resident ${mib(rss)}, heap ${mib(heapUsed)}, most resident so far ${mib(most)}`;
    console.log(
      `  ${count(done)} calls: ${sizes}; ${count(done / ((user + system) / 1e6))} calls a second, programs made included`,
    );
  }
}

function mib(bytes) {
  return (bytes / 2 ** 20).toFixed(0);
}
