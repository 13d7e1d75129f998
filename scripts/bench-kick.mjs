/**
 * How long a kick takes to reach its handler in another process: through an event descriptor and an event loop that waits; through
 * the same and a thread that blocks in poll(2), which is what the kernel takes to wake anybody; or through a word of shared memory
 * and a loop that polls. Times are of the system's monotonic clock, which both processes read.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import {
  closeFd,
  drainEvent,
  newEvent,
  onReadable,
  signalEvent,
  waitFor,
} from '../dist/transports/vhost-user/descriptors.js';
import { mapFile, newMemoryFile, unmap, viewMemory } from '../dist/transports/vhost-user/mappings.js';

const ROUNDS = 20_000;
/** The first rounds are for the compiler. */
const WARM = 2000;
const BYTES = 4096;
/** Words of the shared memory: number of the last kick, number of the last one handled. */
const KICKED = 0;
const HANDLED = 1;
/** Descriptors of the other process. */
const KICK = 3;
const MEMORY = 4;

/** Microseconds of each kick, ascending. */
export async function kickTimes(how) {
  const kick = newEvent();
  const file = newMemoryFile('kicks', BYTES);
  const words = new Int32Array(viewMemory({ address: mapFile(file, 0, BYTES), length: BYTES }));
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), how], {
    stdio: ['ignore', 'pipe', 'inherit', kick, file],
  });
  let text = '';
  child.stdout.on('data', chunk => (text += chunk));
  const ended = new Promise(resolve => child.once('exit', resolve));
  while (!text.includes('ready')) await new Promise(resolve => setTimeout(resolve, 10));
  const sent = [];
  for (let round = 1; round <= ROUNDS; round++) {
    // The other one has had its turn and waits, or polls, again.
    const quiet = process.hrtime.bigint() + 50_000n;
    while (process.hrtime.bigint() < quiet);
    sent.push(process.hrtime.bigint());
    Atomics.store(words, KICKED, round);
    if (how !== 'polling') signalEvent(kick);
    while (Atomics.load(words, HANDLED) !== round);
  }
  await ended;
  closeFd(kick);
  closeFd(file);
  const handled = JSON.parse(text.slice(text.indexOf('[')));
  return handled
    .map((at, i) => Number(BigInt(at) - sent[i]) / 1000)
    .slice(WARM)
    .toSorted((a, b) => a - b);
}

/** The other process. */
function handle(how) {
  const address = mapFile(MEMORY, 0, BYTES);
  const words = new Int32Array(viewMemory({ address, length: BYTES }));
  const handled = [];
  const took = () => {
    handled.push(process.hrtime.bigint().toString());
    Atomics.store(words, HANDLED, handled.length);
    return handled.length === ROUNDS;
  };
  const done = () => {
    unmap({ address, length: BYTES });
    process.stdout.write(JSON.stringify(handled));
  };
  if (how === 'blocking') {
    process.stdout.write('ready\n');
    do {
      waitFor([KICK], -1);
      drainEvent(KICK);
    } while (!took());
    return done();
  }
  if (how === 'event') {
    const watch = onReadable(KICK, () => {
      drainEvent(KICK);
      if (!took()) return;
      watch.close();
      done();
    });
  } else {
    const poll = () => {
      // As the server does: a few looks, then the event loop has its turn.
      for (let look = 0; look < 8; look++)
        if (Atomics.load(words, KICKED) !== handled.length && took()) return done();
      setImmediate(poll);
    };
    poll();
  }
  process.stdout.write('ready\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) handle(process.argv[2]);
