/** Chapter 14: storms of notifications, silence, reads that are made once, and a device that is not to blame. */
import { Command, QpType, WcFlag, WcOpcode, WcStatus } from '../../../abi/index.js';
import type { DmaBuffer } from '../../../driver/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import type { Bench } from './bench.js';
import { completionBytes } from './encode.js';
import { expectSound } from './given-up.js';
import { aRecv, aSend, makeObjects } from './objects.js';
import { probe, probeStarted } from './probe-case.js';
import { complete, completeBytes, consume, poll, post, postReceive } from './traffic.js';

import { SEND, posted } from './cases-broken-completions.js';

export const stormCases: readonly ConformanceCase[] = [
  probeStarted({
    id: 'HOST/notification/storm',
    doc: 'Thousands of notifications of every queue, of none and of the configuration: nothing happens, and everything works.',
    requirements: ['HOST-33', 'HOST-34', 'VQ-60'],
    ask: async bench => {
      const { sendCq } = await posted(bench);
      const before = bench.device.accessCount;
      for (let i = 0; i < 4000; i++) bench.interrupt(i % (bench.map.count + 5));
      for (let i = 0; i < 20; i++) bench.interrupt('config');
      for (let i = 0; i < 10; i++) await bench.run();
      bench.expect(
        bench.device.accessCount - before <= 4020,
        'the driver reads registers without need at stray notifications',
        ['HOST-33'],
      );
      expectSound(bench);
      complete(bench, 0, SEND);
      bench.equal(poll(bench, sendCq).length, 1, 'completions polled');
    },
  }),
  probe({
    id: 'HOST/notification/while-starting',
    doc: 'Notifications of every kind come while the driver starts: it does not throw, and starts.',
    requirements: ['HOST-34', 'VQ-60'],
    ask: async bench => {
      bench.device.onLive = () => {
        for (let index = 0; index < bench.map.count; index++) bench.interrupt(index);
        bench.interrupt('config');
        bench.lookSoon();
      };
      await bench.start();
      await makeObjects(bench);
    },
  }),
  probeStarted({
    id: 'HOST/silence/verbs-stay-pending',
    doc: 'A device that never answers leaves a verb pending: it is not settled by a notification, nor by time.',
    requirements: ['ERR-07'],
    ask: async bench => {
      const call = bench.call('createPd()', verbs => verbs.createPd());
      for (let i = 0; i < 10; i++) {
        bench.interrupt(bench.map.control);
        await bench.run();
      }
      bench.equal(call.state, 'pending', 'createPd() without an answer');
      await bench.value(call);
    },
  }),
  probe({
    id: 'HOST/reads/once',
    doc: 'No byte of an answer or a completion is read twice: what is there at the second look need not be what was there at the first.',
    requirements: ['HOST-32'],
    ask: readOnce,
  }),
  probeStarted({
    id: 'HOST/completion/device-blamed-only-when-sure',
    doc: 'An error of a request, where both halves share a queue and its number fits both, blames nobody.',
    requirements: ['HOST-23', 'ERR-24'],
    ask: async bench => {
      const objects = await makeObjects(bench, { oneCq: true, type: QpType.UC });
      post(bench, objects.qp, aSend(5));
      postReceive(bench, objects.qp, aRecv(5));
      consume(bench, bench.map.sq(2));
      consume(bench, bench.map.rq(2));
      complete(bench, 0, { wr_id: 5, qp_num: 2, status: WcStatus.WR_FLUSH_ERR });
      complete(bench, 0, {
        wr_id: 5,
        qp_num: 2,
        opcode: WcOpcode.RECV,
        byte_len: 64,
        wc_flags: WcFlag.WITH_IMM,
      });
      bench.equal(poll(bench, objects.sendCq).length, 2, 'completions polled');
      expectSound(bench);
    },
  }),
];

/** Counts the reads of each byte through the views of DMA memory; a driver that copies with the bytes is not seen here. */
async function readOnce(bench: Bench): Promise<void> {
  const reads = new Map<number, number>();
  bench.guest.onAlloc = buffer => watchReads(buffer, at => reads.set(at, (reads.get(at) ?? 0) + 1));
  await bench.start();
  const { sendCq } = await posted(bench);
  const twice = (what: string): void => {
    for (const [address, count] of reads)
      bench.expect(count <= 1, `${what}: the byte at ${address} was read ${count} times`);
    reads.clear();
  };
  completeBytes(bench, 0, completionBytes(SEND));
  reads.clear();
  bench.equal(poll(bench, sendCq).length, 1, 'completions polled');
  twice('a completion');
  const call = bench.call('queryDevice()', verbs => verbs.queryDevice());
  const command = await bench.expectCommand(Command.QUERY_DEVICE);
  reads.clear();
  bench.ok(command);
  await bench.value(call);
  twice('an answer');
}

function watchReads({ view, address }: DmaBuffer, read: (address: number) => void): void {
  const [getUint8, getUint32] = [view.getUint8.bind(view), view.getUint32.bind(view)];
  view.getUint8 = at => {
    read(address + at);
    return getUint8(at);
  };
  view.getUint32 = (at, littleEndian) => {
    for (let byte = 0; byte < 4; byte++) read(address + at + byte);
    return getUint32(at, littleEndian);
  };
}
