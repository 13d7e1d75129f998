/**
 * Mutation testing of the judge: every law, monitor and oracle is changed, one file at a time, and the tests that break it on
 * purpose must notice. `node scripts/mutation.mjs [file...]`; without files all of them, which takes hours. The score of each
 * file is printed as it comes; `coverage/mutation/` holds each run, survivors included.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';

const edges = 'test/conformance/invariants-edges.test.ts';
const told = 'test/conformance/monitors-told.test.ts';
const book = 'test/conformance/monitors-book.test.ts';
const attached = 'test/conformance/monitors-attached.test.ts';
const wire = 'test/conformance/wire/judge.test.ts';
const onRings = name => `test/conformance/rings-by-hand/${name}.test.ts`;
const split = ['split-chains', 'split-driver', 'split-device', 'split-returns', 'split-wake-ups'].map(
  onRings,
);
const packed = ['packed-chains', 'packed-driver', 'packed-device', 'packed-returns', 'packed-wake-ups'].map(
  onRings,
);
const objects = ['objects', 'accesses'].map(onRings);

/** Source files, each with the tests that break it. */
const testsOf = {
  'src/conformance/invariants/events.ts': [edges],
  'src/conformance/invariants/exactly-once.ts': [edges],
  'src/conformance/invariants/use-counts.ts': [edges],
  'src/conformance/invariants/rest.ts': [edges],
  'src/conformance/invariants/reset.ts': ['test/conformance/invariants/reset.test.ts'],
  'src/conformance/invariants/memory.ts': ['test/conformance/invariants/memory.test.ts'],
  'src/conformance/invariants/writers.ts': ['test/conformance/invariants/writers.test.ts'],
  'src/conformance/invariants/data.ts': ['test/conformance/invariants/data.test.ts'],
  'src/conformance/compare-memory.ts': ['test/conformance/oracle.test.ts'],
  'src/conformance/observation.ts': ['test/conformance/oracle.test.ts'],
  'src/conformance/expectations.ts': ['test/conformance/oracle.test.ts'],
  'src/conformance/judge.ts': ['test/conformance/judge.test.ts', 'test/conformance/judge-edges.test.ts'],
  'src/conformance/bare-metal.ts': ['test/conformance/bare-metal.test.ts', 'test/conformance/judge.test.ts'],
  'src/conformance/depends-on-timing.ts': [
    'test/conformance/depends-on-timing.test.ts',
    'test/conformance/judge.test.ts',
  ],
  'src/conformance/monitors/book.ts': [book],
  'src/conformance/monitors/attach.ts': [attached],
  'src/conformance/monitors/machine.ts': [attached],
  'src/conformance/monitors/both.ts': [book],
  'src/conformance/monitors/hca-events.ts': [book],
  'src/conformance/monitors/hca-monitors.ts': ['test/conformance/monitors-adapter.test.ts'],
  'src/conformance/monitors/ring-monitors.ts': [told],
  'src/conformance/monitors/transport-monitors.ts': [told],
  'src/conformance/monitors/verbs-monitors.ts': [told],
  'src/conformance/ring-watch/driver-side.ts': split,
  'src/conformance/ring-watch/device-side.ts': split,
  'src/conformance/ring-watch/packed-driver-side.ts': packed,
  'src/conformance/ring-watch/packed-device-side.ts': packed,
  'src/conformance/ring-watch/wake-ups.ts': ['test/conformance/ring-watch-wake-ups.test.ts'],
  'src/conformance/wire/answers.ts': [wire],
  'src/conformance/wire/attach.ts': [wire, attached],
  'src/conformance/wire/path-mtu.ts': [wire],
  'src/conformance/wire/requests.ts': [wire],
  'src/conformance/wire/sent-packets.ts': [wire, 'test/conformance/wire/sent-packets.test.ts'],
  'src/conformance/wire/unreliable.ts': [wire],
  'src/conformance/wire/wire-judge.ts': [wire, 'test/conformance/wire/connections.test.ts'],
  'src/conformance/ring-watch/access-watch.ts': [...split, ...packed, ...objects],
  'src/conformance/ring-watch/objects-watch.ts': objects,
  'src/conformance/ring-watch/regions.ts': objects,
  'src/conformance/ring-watch/ring-state.ts': [...split, ...packed, ...objects, onRings('ring-life')],
  'src/conformance/ring-watch/split-state.ts': [...split, ...objects, onRings('ring-life')],
  'src/conformance/ring-watch/packed-state.ts': [...packed, onRings('ring-life')],
  'src/conformance/ring-watch/posted-chain.ts': [
    'split-driver',
    'split-device',
    'packed-driver',
    'chains',
  ].map(onRings),
  'src/conformance/ring-watch/packed-chain.ts': packed,
  'src/conformance/ring-watch/set-up.ts': [onRings('ring-life')],
  'src/conformance/ring-watch/places.ts': [onRings('ring-life'), onRings('accesses')],
  'src/conformance/ring-watch/outside/due-calls.ts': ['test/conformance/due-calls.test.ts'],
  'src/statemachines/compile.ts': ['test/statemachines/engine.test.ts', 'test/statemachines/tables.test.ts'],
  'src/statemachines/definition.ts': ['test/statemachines/tables.test.ts'],
  'src/statemachines/monitor.ts': ['test/statemachines/engine.test.ts', 'test/statemachines/monitor.test.ts'],
};

const directory = 'coverage/mutation';
const asked = process.argv.slice(2);
const unknown = asked.filter(file => testsOf[file] === undefined);
if (unknown.length > 0) {
  console.error(`no tests are named for ${unknown.join(', ')}; known: ${Object.keys(testsOf).join(', ')}`);
  process.exit(2);
}
mkdirSync(directory, { recursive: true });
// Files with the same tests go together: the tests are run once to see which of them reach which line.
const groups = new Map();
for (const file of asked.length > 0 ? asked : Object.keys(testsOf)) {
  const tests = testsOf[file].join(',');
  groups.set(tests, [...(groups.get(tests) ?? []), file]);
}
let failed = 0;
for (const [tests, files] of groups) {
  const env = { ...process.env, MUTATED: files.join(','), BREAKING_TESTS: tests };
  const { status } = spawnSync('npx', ['stryker', 'run', 'stryker.config.mjs'], { env, stdio: 'inherit' });
  if (status === 0) keep();
  else failed++;
}

console.log('\n| file | changes | noticed | score |\n| --- | --: | --: | --: |');
for (const report of readdirSync(directory).filter(name => name.endsWith('.json'))) {
  const { file, mutants } = JSON.parse(readFileSync(`${directory}/${report}`, 'utf8'));
  const counted = mutants.filter(({ status }) => status !== 'Ignored' && status !== 'CompileError');
  const noticed = counted.filter(({ status }) => status === 'Killed' || status === 'Timeout');
  const score = ((100 * noticed.length) / Math.max(1, counted.length)).toFixed(0);
  console.log(`| ${file} | ${counted.length} | ${noticed.length} | ${score} % |`);
}
process.exit(failed === 0 ? 0 : 1);

/** Keeps the result of each file by itself, so that a later run renews only what it changed. */
function keep() {
  const { files } = JSON.parse(readFileSync('coverage/mutation.json', 'utf8'));
  for (const [file, { mutants }] of Object.entries(files))
    writeFileSync(
      `${directory}/${basename(file, '.ts')}.json`,
      JSON.stringify({ file, mutants }, undefined, 1),
    );
}
