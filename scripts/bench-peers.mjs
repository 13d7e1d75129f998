/**
 * Figures of peers in other processes, all in one run and side by side: frames of DPDK's testpmd through `vrdma serve`, judged
 * and not; control commands and judged verbs over vhost-user beside the same programs in one process; how long a kick takes to
 * reach its handler; what polling costs. Run after a build; docs/performance.md says what the figures mean.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { judge } from '../dist/conformance/index.js';
import { MonitorBook } from '../dist/conformance/monitors/book.js';
import { Run } from '../dist/conformance/run/run.js';
import { vhostUserDevice } from '../dist/conformance/vhost-user-device.js';
import { paravirtualWorld } from '../dist/conformance/world.js';
import { defaultPeerOptions } from '../dist/transports/vhost-user/peer-options.js';
import { commandProgram, trafficProgram } from './bench-programs.mjs';
import { kickTimes } from './bench-kick.mjs';

const SECONDS = Number(process.env.BENCH_SECONDS ?? 2);
const PROFILE = 'roce';
const cli = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
let sockets = 0;
const directory = mkdtempSync(join(tmpdir(), 'vrdma-bench-'));

try {
  console.log(`\npeers in other processes; load ${readFileSync('/proc/loadavg', 'utf8').split(' ')[0]}`);
  await frames();
  await programs();
  await kicks();
} finally {
  rmSync(directory, { recursive: true, force: true });
}

// ------------------------------------------------------------------ frames

/** A packet is counted as testpmd shows it: once received and once sent. 256 frames go round. */
async function frames() {
  console.log('\ntestpmd as driver of serve --device loop: packets a second, received and sent');
  if (spawnSync('dpdk-testpmd', ['--version']).error !== undefined) {
    console.log('  SKIPPED: there is no dpdk-testpmd here (Debian: apt-get install dpdk)');
    return;
  }
  for (const [title, vdev] of [
    ['split', 'mrg_rxbuf=1,in_order=0'],
    ['packed', 'packed_vq=1,mrg_rxbuf=1,in_order=0'],
  ]) {
    const plain = await testpmd(vdev, await serve('loop', []));
    const judged = await testpmd(vdev, await serve('loop', ['--judge']));
    const polled = await testpmd(vdev, await serve('loop', ['--poll']));
    const native = await testpmd(vdev, await dpdkLoop());
    console.log(
      `  ${title.padEnd(6)}  unjudged ${rate(plain)}  judged ${rate(judged)}  ratio ${(judged / plain).toFixed(2)}  polling ${rate(polled)}  DPDK's own vhost ${rate(native)}`,
    );
  }
}

/** Another testpmd as the device: what two processors of this machine can do at all. */
async function dpdkLoop() {
  const socket = newSocket();
  const port = `net_vhost0,iface=${socket},queues=1`;
  // Its main thread stays out of the way of the one that moves frames.
  const child = startTestpmd('loop', port, ['--main-lcore', '1'], ['--auto-start']);
  for (const stream of [child.stdout, child.stderr]) stream.resume();
  const ended = new Promise(resolve => child.once('exit', resolve));
  await until(() => existsSync(socket), 60);
  return {
    socket,
    end: () => {
      child.stdin.write('stop\nquit\n');
      return ended;
    },
  };
}

function startTestpmd(name, port, ealOptions, options) {
  return spawn(
    'stdbuf',
    [
      ['-oL', 'dpdk-testpmd', '--no-huge', '-m', '256', '--single-file-segments', '-l', '0,1', '--no-pci'],
      ['--no-telemetry', '--file-prefix', `vrdma-bench-${name}-${process.pid}`, ...ealOptions],
      ['--vdev', port, '--', '-i', '--total-num-mbufs=16384', ...options],
    ].flat(),
    { stdio: ['pipe', 'pipe', 'pipe'] },
  );
}

async function testpmd(vdev, served) {
  const port = `net_virtio_user0,path=${served.socket},queues=1,queue_size=256,vectorized=0,${vdev}`;
  const pmd = startTestpmd('driver', port, [], []);
  let text = '';
  for (const stream of [pmd.stdout, pmd.stderr]) stream.on('data', chunk => (text += chunk));
  const ended = new Promise(resolve => pmd.once('exit', resolve));
  try {
    // A line of its own; the prompt comes letter by letter, and what it complains of may stand in between.
    await until(() => text.includes('Checking link statuses'), 60);
    pmd.stdin.write('start tx_first 8\n');
    await sleep(1500);
    const counted = () => [
      ...text.matchAll(/RX-packets: (\d+)\s+RX-missed[^]*?TX-packets: (\d+)\s+TX-errors/g),
    ];
    const look = async () => {
      const before = counted().length;
      pmd.stdin.write('show port stats 0\n');
      await until(() => counted().length > before, 30);
      const [, received, sent] = counted().at(-1);
      return { packets: Number(received) + Number(sent), atMs: performance.now() };
    };
    const first = await look();
    await sleep(SECONDS * 1000);
    const second = await look();
    pmd.stdin.write('stop\nquit\n');
    await ended;
    return ((second.packets - first.packets) * 1000) / (second.atMs - first.atMs);
  } finally {
    pmd.kill('SIGKILL');
    await served.end();
  }
}

// ------------------------------------------------------------------ programs

/**
 * The same programs on a device in this process and on one that is served: control commands, several of them on the control
 * queue at a time, and judged verbs. Wall-clock rates, and what the serving process takes of a processor.
 */
async function programs() {
  const book = new MonitorBook();
  const judged = async (program, implementation) => {
    const { broken, calls } = await judge(program, { profile: PROFILE, book, implementation });
    if (broken !== undefined) throw new Error(`a law was broken: ${broken.message}`);
    return calls;
  };
  const plain = async (program, implementation) => {
    const world = await paravirtualWorld(program, { profile: PROFILE, implementation });
    const run = new Run(program, world, []);
    await run.execute();
    world.release();
    return run.calls;
  };
  const cases = [
    ['control commands, unjudged', plain, commandProgram('racing', 4000)],
    ['control commands, judged', judged, commandProgram('settled', 1000)],
    ['verbs of steady traffic, judged', judged, trafficProgram('settled', 1, 4000)],
    ['the same, racing', judged, trafficProgram('racing', 1, 4000)],
  ];
  console.log('\ncalls a second of wall-clock time, the device in this process and behind vhost-user');
  const inProcess = [];
  for (const [, how, program] of cases) inProcess.push(await paced(() => how(program)));
  for (const flags of [[], ['--poll']]) {
    const served = await serve('roce', flags);
    const device = await vhostUserDevice({
      profile: PROFILE,
      path: served.socket,
      options: defaultPeerOptions,
      beat: () => undefined,
    });
    console.log(`  ${flags.length === 0 ? 'woken by kicks' : 'polling'}`);
    for (const [i, [title, how, program]] of cases.entries()) {
      const before = served.cpuSeconds();
      const there = await paced(() => how(program, device.implementation));
      const cpu = (served.cpuSeconds() - before) / there.seconds;
      console.log(
        `    ${title.padEnd(32)}  here ${rate(inProcess[i].rate)}  there ${rate(there.rate)}  ratio ${(there.rate / inProcess[i].rate).toFixed(2)}  its processor ${(100 * cpu).toFixed(0)} %, ${((1e6 * cpu) / there.rate).toFixed(1)} us a call`,
      );
    }
    device.close();
    await served.end();
  }
}

async function paced(work) {
  for (const end = performance.now() + 500; performance.now() < end;) await work();
  const start = performance.now();
  let calls = 0;
  while (performance.now() < start + SECONDS * 1000) calls += await work();
  const seconds = (performance.now() - start) / 1000;
  return { rate: calls / seconds, seconds: seconds + 0.5 };
}

// ------------------------------------------------------------------ kicks

async function kicks() {
  console.log('\nfrom a kick in one process to its handler in another, microseconds');
  for (const how of ['event', 'blocking', 'polling']) {
    const times = await kickTimes(how);
    const at = share => times[Math.floor(times.length * share)].toFixed(1).padStart(7);
    console.log(`  ${how.padEnd(8)}  p50 ${at(0.5)}  p90 ${at(0.9)}  p99 ${at(0.99)}`);
  }
}

// ------------------------------------------------------------------ helpers

async function serve(device, flags) {
  const socket = newSocket();
  const child = spawn(process.execPath, [cli, 'serve', '--socket', socket, '--device', device, ...flags], {
    stdio: 'ignore',
  });
  const ended = new Promise(resolve => child.once('exit', resolve));
  await until(() => existsSync(socket), 30);
  return {
    socket,
    cpuSeconds: () => cpuSecondsOf(child.pid),
    end: () => {
      child.kill('SIGINT');
      return ended;
    },
  };
}

function newSocket() {
  return join(directory, `${sockets++}.sock`);
}

/** Of a process and of those that it started. */
function cpuSecondsOf(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean);
  const own = (Number(fields[11]) + Number(fields[12])) / 100;
  return children.reduce((sum, each) => sum + cpuSecondsOf(each), own);
}

async function until(condition, seconds) {
  for (const end = performance.now() + seconds * 1000; !condition(); await sleep(20))
    if (performance.now() > end) throw new Error(`nothing came within ${seconds} s`);
}

function sleep(ms) {
  return new Promise(resolve => setTimeout(resolve, ms));
}

function rate(value) {
  return Math.round(value).toLocaleString('en').padStart(9);
}
