/** Chapter 9: what a registration tells the device, and how long the program's pages are held. */
import { AccessFlag, Command, regUserMrCommand } from '../../../abi/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import type { Bench } from './bench.js';
import { hex } from './encode.js';
import { makeObjects, makeRegion } from './objects.js';
import { probeStarted } from './probe-case.js';
import { ARENA_BASE, ARENA_BYTES, PAGE_BYTES } from './probe-guest.js';

/** Start in the arena and length of regions that touch pages in every way. */
const ranges: readonly (readonly [string, number, number])[] = [
  ['one-byte', 5, 1],
  ['one-page', 0, PAGE_BYTES],
  ['last-byte-of-a-page', PAGE_BYTES - 1, 1],
  ['two-bytes-on-two-pages', PAGE_BYTES - 1, 2],
  ['first-byte-of-a-page', PAGE_BYTES, 1],
  ['a-page-and-a-byte', PAGE_BYTES, PAGE_BYTES + 1],
  ['unaligned-both-ends', 100, 5 * PAGE_BYTES + 7],
  ['whole-pages', 2 * PAGE_BYTES, 7 * PAGE_BYTES],
  ['everything', 0, ARENA_BYTES],
];

function touchedPages(at: number, length: number): number {
  return Math.floor((at + length - 1) / PAGE_BYTES) - Math.floor(at / PAGE_BYTES) + 1;
}

async function register(bench: Bench, at: number, length: number): Promise<void> {
  const pd = await bench.do('createPd()', verbs => verbs.createPd());
  const before = bench.guest.translations.length;
  const call = bench.call('regMr()', verbs => verbs.regMr(pd, { addr: ARENA_BASE + at, length, access: 1 }));
  const command = await bench.expectCommand(Command.REG_USER_MR);
  const seen = command.decode(regUserMrCommand);
  bench.equal(seen.virt_addr, ARENA_BASE + at, 'virt_addr', ['MEM-02']);
  bench.equal(seen.length, length, 'length', ['MEM-02']);
  const pages = touchedPages(at, length);
  bench.equal(seen.npages, pages, 'npages', ['MEM-01']);
  const first = ARENA_BASE + Math.floor(at / PAGE_BYTES) * PAGE_BYTES;
  const listed = command.pages();
  bench.equal(listed.length, pages, 'entries of the page list', ['MEM-01']);
  for (const [i, page] of listed.entries()) {
    const place = bench.guest.placeOf(first + i * PAGE_BYTES);
    bench.expect(page === place, `page ${i} is listed at ${hex(page)}, expected ${hex(place)}`, ['MEM-01']);
  }
  if (!bench.seesOs) return void (await bench.value(call));
  const translated = bench.guest.translations.slice(before);
  const found = translated.map(address => Math.floor(address / PAGE_BYTES));
  bench.equal(new Set(found).size, found.length, 'pages translated once against translations', ['PERF-12']);
  bench.equal(found.length, pages, 'translations', ['PERF-12']);
  await bench.value(call);
}

const listCases: readonly ConformanceCase[] = ranges.map(([what, at, length]) =>
  probeStarted({
    id: `MEM/page-list/${what}`,
    doc: `A region of ${length} bytes from byte ${at} on lists the place of each page that it touches, in order, each translated once.`,
    requirements: ['MEM-01', 'MEM-02', 'PERF-12'],
    options: [{}, { scatterSeed: 99, indirect: true }],
    ask: async bench => register(bench, at, length),
  }),
);

export const memoryCases: readonly ConformanceCase[] = [
  ...listCases,
  probeStarted({
    id: 'MEM/pages/held-from-the-command-on',
    doc: 'The pages are held when the device sees the registration, and until it has acknowledged DEREG_MR.',
    requirements: ['MEM-03', 'RST-18'],
    ask: async bench => {
      const pd = await bench.do('createPd()', verbs => verbs.createPd());
      const init = { addr: ARENA_BASE + 10, length: 3 * PAGE_BYTES, access: 1 };
      const reg = bench.call('regMr()', verbs => verbs.regMr(pd, init));
      await bench.expectCommand(Command.REG_USER_MR);
      bench.equal(bench.guest.pinnedPages, 4, 'pages in use when the registration is with the device', [
        'MEM-03',
      ]);
      const mr = await bench.value(reg);
      bench.equal(bench.guest.pinnedPages, 4, 'pages in use while the region lives', ['MEM-03']);
      const dereg = bench.call('deregMr()', verbs => verbs.deregMr(mr));
      await bench.expectCommand(Command.DEREG_MR);
      bench.equal(bench.guest.pinnedPages, 4, 'pages in use while DEREG_MR is pending', ['RST-18']);
      bench.equal(dereg.state, 'pending', 'deregMr', ['RST-18', 'ERR-07']);
      await bench.value(dereg);
    },
  }),
  probeStarted({
    id: 'MEM/pages/held-after-refused-dereg',
    doc: 'A DEREG_MR that is refused gives no page back: the device can still reach them.',
    requirements: ['RST-18', 'MEM-03', 'ERR-06'],
    ask: async bench => {
      const pd = await bench.do('createPd()', verbs => verbs.createPd());
      const mr = await makeRegion(bench, pd, { length: 2 * PAGE_BYTES });
      const dereg = bench.call('deregMr()', verbs => verbs.deregMr(mr));
      bench.refuse(await bench.expectCommand(Command.DEREG_MR));
      await bench.fails(dereg, 'EINVAL', ['ERR-04']);
      bench.equal(bench.guest.pinnedPages, 2, 'pages in use after a refused DEREG_MR');
      await bench.do('deregMr()', verbs => verbs.deregMr(mr));
    },
  }),
  probeStarted({
    id: 'MEM/pages/held-for-each-region',
    doc: 'Two regions on one page hold it apart: the end of one leaves it in use for the other.',
    requirements: ['MEM-03', 'RST-18'],
    ask: async bench => {
      const pd = await bench.do('createPd()', verbs => verbs.createPd());
      const first = await makeRegion(bench, pd, { length: 10 });
      await makeRegion(bench, pd, { at: 20, length: 10 });
      const shared = bench.guest.inner.pinned[0];
      bench.expect(shared >= 1, 'the page of two regions is not in use');
      await bench.do('deregMr()', verbs => verbs.deregMr(first));
      bench.expect(bench.guest.inner.pinned[0] >= 1, 'the page of a living region was given back');
    },
  }),
  probeStarted({
    id: 'MEM/pages/list-unread-after-the-answer',
    doc: 'The memory of the command may be used again when the answer is there, and not before: it stays as it is.',
    requirements: ['VQ-29', 'MEM-01'],
    ask: async bench => {
      const pd = await bench.do('createPd()', verbs => verbs.createPd());
      const call = bench.call('regMr()', verbs =>
        verbs.regMr(pd, { addr: ARENA_BASE, length: ARENA_BYTES, access: 0 }),
      );
      const command = await bench.expectCommand(Command.REG_USER_MR);
      const ring = bench.device.ring(bench.map.control);
      const before = ring.snapshot(command.chain);
      const others = [0, 1].map(i => bench.call(`queryPort() ${i}`, verbs => verbs.queryPort()));
      await bench.run();
      const after = ring.snapshot(command.chain);
      bench.expect(
        after.every((byte, i) => byte === before[i]),
        'the command changed while it was with the device',
      );
      await bench.value(call);
      for (const other of others) await bench.value(other);
    },
  }),
  probeStarted({
    id: 'MEM/dma-region/all-of-memory',
    doc: 'getDmaMr translates nothing and pins nothing, whatever the rights.',
    requirements: ['PERF-12', 'OVR-04'],
    ask: async bench => {
      const pd = await bench.do('createPd()', verbs => verbs.createPd());
      for (const access of [0, AccessFlag.LOCAL_WRITE | AccessFlag.REMOTE_WRITE]) {
        const mr = await bench.do('getDmaMr()', verbs => verbs.getDmaMr(pd, access));
        bench.equal(mr.rkey !== 0, access !== 0, 'whether there is a remote key');
      }
      if (bench.seesOs) bench.equal(bench.guest.translations.length, 0, 'translations');
    },
  }),
  probeStarted({
    id: 'MEM/payload/untouched',
    doc: 'Posting translates no address and touches no byte of the program.',
    requirements: ['PERF-16'],
    ask: async bench => {
      const { qp } = await makeObjects(bench);
      const sges = [{ addr: ARENA_BASE, length: 4096, lkey: 1 }];
      bench.verbs.postSend(qp, { wrId: 1, opcode: 2, sendFlags: 2, sges });
      bench.verbs.postRecv(qp, { wrId: 2, sges });
      bench.equal(bench.guest.translations.length, 0, 'translations');
    },
  }),
];
