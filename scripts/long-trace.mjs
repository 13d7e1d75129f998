/**
 * Writes a long, plausible trace to standard output: some machines whose queue pairs come, work and go, with the control
 * commands and the rings behind them. For measuring `vrdma trace`: `node scripts/long-trace.mjs 10GB | vrdma trace -`.
 * The size is a number of bytes, or one with KB, MB or GB; the trace ends with the first whole round beyond it.
 */
import { writeSync } from 'node:fs';

const units = { '': 1, KB: 1e3, MB: 1e6, GB: 1e9 };
const [, amount, unit] = /^([0-9.]+)(KB|MB|GB)?$/.exec(process.argv[2] ?? '') ?? [];
if (amount === undefined) {
  console.error('usage: node scripts/long-trace.mjs SIZE, such as 500MB or 10GB');
  process.exit(2);
}
const bytesWanted = Number(amount) * units[unit ?? ''];

const MACHINES = 4;
/** Requests of a queue pair before it is destroyed. */
const ROUNDS = 200;
const BATCH = 16;
const INIT = 0x1 | 0x4;
const RTR = 0x1 | 0x10 | 0x20 | 0x200 | 0x800 | 0x2000 | 0x8000;
const RTS = 0x1 | 0x40 | 0x80 | 0x100 | 0x400 | 0x1000;

let lines = [];
let held = 0;
let written = 0;
let t = 0;
let calls = 0;
let commands = 0;
let requests = 0;

put({
  vrdmaTrace: 2,
  points: ['verbs', 'control', 'ring'],
  source: 'scripts/long-trace.mjs',
  completionQueues: [2, 6],
});
for (let vm = 0; vm < MACHINES; vm++) {
  for (let queue = 0; queue < 64; queue++)
    put({ point: 'ring', t, vm, queue, what: 'asleep', side: 'device' });
  call(vm, 'createPd', 'CREATE_PD', {}, 'pd0');
  call(vm, 'createCq', 'CREATE_CQ', {}, 'cq0');
}
for (let life = 0; written < bytesWanted; life++) {
  for (let vm = 0; vm < MACHINES; vm++) liveAndDie(vm, `qp${life}`, 8 + 2 * (life % 20));
  if (lines.length > 5000) flush();
}
flush();

function liveAndDie(vm, qp, queue) {
  const mr = `mr-of-${qp}`;
  call(vm, 'regMr', 'REG_USER_MR', { pd: 'pd0' }, mr);
  call(vm, 'createQp', 'CREATE_QP', { pd: 'pd0', sendCq: 'cq0', recvCq: 'cq0', type: 'RC' }, qp);
  call(vm, 'modifyQp', 'MODIFY_QP', { id: qp, to: 'INIT', mask: INIT });
  call(vm, 'modifyQp', 'MODIFY_QP', { id: qp, to: 'RTR', mask: RTR });
  call(vm, 'modifyQp', 'MODIFY_QP', { id: qp, to: 'RTS', mask: RTS });
  for (let round = 0; round < ROUNDS; round++) work(vm, qp, queue);
  call(vm, 'destroyQp', 'DESTROY_QP', { id: qp });
  call(vm, 'deregMr', 'DEREG_MR', { id: mr });
}

/** A batch of sends, one in four signaled, and its completions. */
function work(vm, qp, queue) {
  const first = requests;
  for (let i = 0; i < BATCH; i++) {
    put({ point: 'ring', t, vm, queue, what: 'available', head: i, bytes: 64 });
    put({ point: 'ring', t, vm, queue, what: 'published', notify: i === 0 });
    if (i === 0) put({ point: 'ring', t, vm, queue, what: 'notified' });
    put({
      point: 'verbs',
      t: ++t,
      vm,
      what: 'post',
      qp,
      queue: 'send',
      wr: requests++,
      signaled: i % 4 === 3,
    });
  }
  for (let i = 0; i < BATCH; i++) {
    put({ point: 'ring', t: ++t, vm, queue, what: 'taken', head: i });
    put({ point: 'ring', t, vm, queue, what: 'used', head: i, bytes: 0 });
    put({ point: 'ring', t, vm, queue, what: 'interrupt', notify: false });
    put({ point: 'ring', t, vm, queue, what: 'consumed', head: i });
  }
  put({ point: 'ring', t, vm, queue, what: 'asleep', side: 'device' });
  for (let i = 3; i < BATCH; i += 4)
    put({
      point: 'verbs',
      t: ++t,
      vm,
      what: 'completion',
      cq: 'cq0',
      qp,
      queue: 'send',
      wr: first + i,
      status: 'SUCCESS',
    });
}

function call(vm, verb, command, members, made) {
  const number = calls++;
  const id = commands++ % 65536;
  put({ point: 'verbs', t: ++t, vm, what: 'call', call: number, verb, ...members });
  for (const [what, side] of [
    ['command', 'driver'],
    ['command', 'device'],
    ['answer', 'device'],
    ['answer', 'driver'],
  ])
    put({
      point: 'control',
      t: ++t,
      vm,
      side,
      what,
      id,
      command,
      ...(what === 'answer' ? { ack: 'OK' } : {}),
    });
  put({
    point: 'verbs',
    t: ++t,
    vm,
    what: 'result',
    call: number,
    ok: true,
    ...(made === undefined ? {} : { id: made }),
  });
}

function put(event) {
  const line = JSON.stringify(event);
  lines.push(line);
  held += line.length + 1;
  if (held > 1 << 20) flush();
}

/** Waits until the reader has taken it. */
function flush() {
  if (lines.length === 0) return;
  const bytes = Buffer.from(`${lines.join('\n')}\n`);
  written += bytes.length;
  lines = [];
  held = 0;
  for (let from = 0; from < bytes.length;) {
    try {
      from += writeSync(1, bytes, from);
    } catch (error) {
      if (error.code === 'EPIPE') process.exit(0);
      if (error.code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}
