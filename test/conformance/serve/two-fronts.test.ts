/** Two front-ends that talk RDMA to each other through one `vrdma serve`: each has a device of its own, on one network. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { judge, parseProgram } from '../../../src/conformance/index.js';
import { MonitorBook } from '../../../src/conformance/monitors/book.js';
import { vhostUserDevice } from '../../../src/conformance/vhost-user-device.js';
import { defaultPeerOptions } from '../../../src/transports/vhost-user/peer-options.js';
import { skipped } from '../../transports/vhost-user/support.js';

const main = fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url));
const cap = { sendWr: 4, recvWr: 4, sendSge: 1, recvSge: 1, inline: 0 };
const sges = (at: number, length: number) => [{ at, length, mr: 'mr0' }];

function end(vm: number): readonly object[] {
  return [
    { op: 'addGid', vm, index: 0, gid: 0 },
    { op: 'createPd', vm, as: 'pd0' },
    { op: 'createCq', vm, as: 'cq0', cqe: 16 },
    { op: 'regMr', vm, as: 'mr0', pd: 'pd0', at: 0, length: 16_384, access: 7 },
    { op: 'createQp', vm, as: 'qp0', pd: 'pd0', type: 'RC', sendCq: 'cq0', recvCq: 'cq0', cap },
  ];
}

function connected(vm: number): readonly object[] {
  const to = { pathMtu: 1, dest: { vm: 1 - vm, qp: 'qp0' }, rqPsn: 5, to: { vm: 1 - vm, gid: 0 } };
  const rts = { sqPsn: 5, timeout: 8, retryCnt: 3, rnrRetry: 7, maxRdAtomic: 3 };
  return [
    { op: 'modifyQp', vm, qp: 'qp0', set: { state: 'INIT', access: 7 } },
    { op: 'modifyQp', vm, qp: 'qp0', set: { state: 'RTR', ...to, maxDestRdAtomic: 4, minRnrTimer: 1 } },
    { op: 'modifyQp', vm, qp: 'qp0', set: { state: 'RTS', ...rts } },
  ];
}

/** Each sends, writes and reads what the other one has. */
function exchanged(vm: number): readonly object[] {
  const remote = { vm: 1 - vm, at: 4096, mr: 'mr0' };
  const poll = (of: number) => ({ op: 'pollCq', vm: of, cq: 'cq0' });
  return [
    { op: 'postRecv', vm: 1 - vm, qp: 'qp0', requests: [{ sges: sges(0, 512) }] },
    { op: 'postSend', vm, qp: 'qp0', requests: [{ opcode: 'SEND', sges: sges(1024, 100) }] },
    { op: 'postSend', vm, qp: 'qp0', requests: [{ opcode: 'RDMA_WRITE', sges: sges(2048, 300), remote }] },
    { op: 'postSend', vm, qp: 'qp0', requests: [{ opcode: 'RDMA_READ', sges: sges(8192, 256), remote }] },
    ...[vm, 1 - vm, vm, vm].map(poll),
  ];
}

describe.skipIf(skipped !== undefined)('two front-ends at one device', () => {
  let directory: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'vrdma-two-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it('talk to each other as two machines in one process do, and their rings are right', async () => {
    const path = join(directory, 'device.sock');
    const child = spawn(process.execPath, [main, 'serve', '--socket', path, '--judge']);
    onTestFinished(() => void child.kill('SIGKILL'));
    let text = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (data: Buffer) => (text += data.toString()));
    const ended = once(child, 'close');
    while (!text.includes('serving')) await once(child.stderr, 'data');
    const device = await vhostUserDevice({
      profile: 'roce',
      path,
      options: { ...defaultPeerOptions, answerMs: 60_000 },
      beat: () => undefined,
    });
    const program = parseProgram(
      JSON.stringify({
        version: 1,
        mode: 'settled',
        hosts: [0, 1],
        arenaBytes: 16_384,
        indirect: true,
        eventIdx: true,
        faults: { drop: 0, duplicate: 0, reorder: 0 },
        seed: 1,
        choices: { list: [], only: true },
        actions: [end(0), end(1), connected(0), connected(1), exchanged(0), exchanged(1)].flat(),
      }),
      'two-fronts.json',
    );
    const book = new MonitorBook();
    const { broken } = await judge(program, {
      profile: 'roce',
      book,
      implementation: device.implementation,
    });
    device.close();
    child.kill('SIGINT');
    await ended;
    expect(broken).toBeUndefined();
    expect(text).toContain('connection 1\n');
    expect(text).toContain('no obligation was broken');
    const { counts } = book.table();
    const completed = Object.entries(counts).filter(([name, count]) => /COMPLETE/.test(name) && count > 0);
    expect(completed).not.toEqual([]);
  });
});
