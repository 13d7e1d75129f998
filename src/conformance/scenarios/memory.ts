/** Memory regions: what may be registered, what their keys open, and that nothing opens once they are gone. */
import { AccessFlag } from '../../abi/index.js';
import { smallLimits } from '../limits.js';
import { patternByte } from '../patterns.js';
import { ALL_ACCESS, IN } from './guest.js';
import { scenario } from './scenario.js';
import type { Scenario } from './scenario.js';

const { LOCAL_WRITE, REMOTE_WRITE, REMOTE_READ } = AccessFlag;
const PAGE = 4096;
const one = { hosts: [0] };
const testMr = { ...one, source: 'rdma-core tests/test_mr.py' };

const registration: readonly Scenario[] = [
  scenario(
    'MEM/register/access',
    'Every combination of rights that includes local write where remote write is granted can be registered.',
    testMr,
    ({ guests: [guest] }) => {
      const pd = guest.pd();
      const legal = [
        0,
        LOCAL_WRITE,
        REMOTE_READ,
        LOCAL_WRITE | REMOTE_WRITE,
        LOCAL_WRITE | REMOTE_READ,
        ALL_ACCESS,
      ];
      for (const access of legal) guest.do({ op: 'deregMr', mr: guest.mr(pd, { access }) });
    },
  ),
  scenario(
    'MEM/register/remote-write-without-local',
    'Remote write without local write is refused.',
    testMr,
    ({ guests: [guest] }) => {
      const pd = guest.pd();
      guest.mr(pd, { access: REMOTE_WRITE }, 'EINVAL');
      guest.mr(pd, { access: REMOTE_WRITE | REMOTE_READ }, 'EINVAL');
      guest.dmaMr(pd, REMOTE_WRITE, 'EINVAL');
    },
  ),
  scenario(
    'MEM/register/unknown-right',
    'A right that does not exist is refused.',
    one,
    ({ guests: [guest] }) => {
      const pd = guest.pd();
      guest.mr(pd, { access: LOCAL_WRITE | 8 }, 'EINVAL');
      guest.mr(pd, { access: 0x80000000 }, 'EINVAL');
      guest.dmaMr(pd, ALL_ACCESS | 16, 'EINVAL');
    },
  ),
  scenario('MEM/register/empty', 'A region of no bytes is refused.', testMr, ({ guests: [guest] }) => {
    guest.mr(guest.pd(), { at: 100, length: 0 }, 'EINVAL');
  }),
  scenario(
    'MEM/register/one-byte',
    'A region of one byte at an odd address can be registered.',
    one,
    ({ guests: [guest] }) => {
      guest.mr(guest.pd(), { at: PAGE - 1, length: 1 });
    },
  ),
  scenario(
    'MEM/register/outside-memory',
    'Memory that the program does not have cannot be registered, nor a range that begins in it and ends outside.',
    { ...one, requirements: ['RST-25'] },
    ({ guests: [guest] }) => {
      const pd = guest.pd();
      guest.mr(pd, { at: 0, length: 65 * 1024 * 1024 }, 'refused');
      guest.mr(pd, { at: 0, length: Number.MAX_SAFE_INTEGER }, 'refused');
      guest.do({ op: 'destroyPd', pd });
    },
  ),
  scenario(
    'MEM/register/limit',
    'As many regions as advertised, no more, and room again when one is gone.',
    { ...one, requirements: ['ERR-02', 'RST-22', 'RST-23', 'RST-24'] },
    ({ guests: [guest] }) => {
      const pd = guest.pd();
      const all = Array.from({ length: smallLimits.attributes.maxMr }, () => guest.mr(pd));
      guest.mr(pd, {}, 'ENOMEM');
      guest.do({ op: 'deregMr', mr: all[7] });
      guest.mr(pd);
      guest.mr(pd, {}, 'ENOMEM');
    },
  ),
  scenario(
    'MEM/deregister/twice',
    'A second deregistration is refused.',
    { ...one, requirements: ['RST-03', 'RST-04'] },
    ({ guests: [guest] }) => {
      const mr = guest.mr(guest.pd());
      guest.do({ op: 'deregMr', mr });
      guest.do({ op: 'deregMr', mr, expect: 'EINVAL' });
    },
  ),
];

const use: readonly Scenario[] = [
  scenario(
    'MEM/region/several-on-one-buffer',
    'Three regions on one buffer have keys of their own; with two of them gone the third still works.',
    { source: 'rdma-core tests/test_mr.py', requirements: ['RST-28'] },
    script => {
      const [near, far] = script.pair('RC');
      const [second, third] = [near.guest.mr(near.pd), near.guest.mr(near.pd)];
      for (const mr of [near.mr, second, third]) {
        far.recv();
        near.send({ mr });
        near.sent();
        far.received();
      }
      near.guest.do({ op: 'deregMr', mr: near.mr });
      near.guest.do({ op: 'deregMr', mr: second });
      far.recv();
      near.send({ mr: third });
      near.sent();
      far.received();
    },
  ),
  scenario(
    'MEM/region/unaligned-range',
    'A region that begins and ends inside pages takes a write of exactly its bytes, over all its pages.',
    { source: 'rdma-core tests/test_mr.py', requirements: ['ERR-23'] },
    script => {
      const [near, far] = script.pair('RC');
      const [at, length] = [IN + 123, 3 * PAGE + 77];
      far.guest.fill(IN, 4 * PAGE, 1);
      const mr = far.guest.mr(far.pd, { at, length });
      near.guest.fill(0, length, 50);
      near.write({ bytes: length, remote: { mr, at } });
      near.sent();
      far.guest.holds(at, length, 50);
      far.guest.holds(IN, 123, 1);
    },
  ),
  scenario('MEM/region/last-byte', 'The first and the last byte of a region can be written.', {}, script => {
    const [near, far] = script.pair('RC');
    const [at, length] = [IN + 1000, 5000];
    const mr = far.guest.mr(far.pd, { at, length });
    near.guest.fill(0, 1, 17);
    near.write({ bytes: 1, remote: { mr, at } });
    near.write({ bytes: 1, remote: { mr, at: at + length - 1 } });
    near.sent(2);
    far.guest.holds(at, 1, 17);
    far.guest.holds(at + length - 1, 1, 17);
  }),
  scenario(
    'MEM/region/one-byte-past-the-end',
    'A write that ends one byte past its region is refused as a whole.',
    { requirements: ['ERR-15', 'ERR-23', 'MEM-21', 'CTRL-67'] },
    script => {
      const [near, far] = script.pair('RC');
      const [at, length] = [IN + 1000, 5000];
      far.guest.fill(at, length + 1, 1);
      const mr = far.guest.mr(far.pd, { at, length });
      near.write({ bytes: 64, remote: { mr, at: at + length - 63 } });
      near.sends('REM_ACCESS_ERR');
      far.guest.holds(at, length + 1, 1);
    },
  ),
  scenario(
    'MEM/region/one-byte-before-the-start',
    'A write that begins one byte before its region is refused as a whole.',
    { requirements: ['ERR-15', 'ERR-23', 'MEM-21', 'CTRL-67'] },
    script => {
      const [near, far] = script.pair('RC');
      far.guest.fill(IN, 100, 1);
      const mr = far.guest.mr(far.pd, { at: IN + 1, length: 5000 });
      near.write({ bytes: 64, remote: { mr, at: IN } });
      near.sends('REM_ACCESS_ERR');
      far.guest.holds(IN, 100, 1);
    },
  ),
  scenario(
    'MEM/region/read-only-for-the-peer',
    'A region with remote read and nothing else can be read.',
    {},
    script => {
      const [near, far] = script.pair('RC');
      far.guest.fill(0, 2000, 60);
      const mr = far.guest.mr(far.pd, { access: REMOTE_READ });
      near.read({ bytes: 2000, remote: { mr } });
      near.sent();
      near.guest.holds(IN, 2000, 60);
    },
  ),
  scenario(
    'MEM/region/all-of-memory',
    'A region over all memory works with the addresses that the device sees, for sends, receives and the peer.',
    { source: 'Linux kernel consumers (get_dma_mr)' },
    script => {
      const [near, far] = script.pair('RC');
      const [own, theirs] = [near, far].map(({ guest, pd }) => guest.dmaMr(pd));
      near.guest.fill(0, 512, 80);
      far.recv({ bytes: 512, mr: theirs });
      near.send({ bytes: 512, mr: own });
      near.write({ bytes: 512, mr: own, remote: { mr: theirs, at: IN + PAGE } });
      near.sent(2);
      far.received(512);
      far.guest.holds(IN, 512, 80);
      far.guest.holds(IN + PAGE, 512, 80);
    },
  ),
];

const goneKeys: readonly Scenario[] = [
  scenario(
    'MEM/deregistered/send',
    'A send that names the key of a region that is gone fails, and nothing arrives.',
    { requirements: ['ERR-11', 'RST-16'] },
    script => {
      const [near, far] = script.pair('RC');
      near.guest.do({ op: 'deregMr', mr: near.mr });
      far.recv();
      near.send();
      near.sends('LOC_PROT_ERR');
      far.receives();
    },
  ),
  scenario(
    'MEM/deregistered/posted-receive',
    'A receive whose region is deregistered after it was posted fails when the message comes; its memory is not touched.',
    { requirements: ['ERR-17', 'RST-16', 'RST-17'] },
    script => {
      const [near, far] = script.pair('RC');
      far.recv();
      far.guest.fill(IN, 1024, 4);
      far.guest.do({ op: 'deregMr', mr: far.mr });
      near.send();
      near.sends('REM_OP_ERR');
      far.receives('LOC_PROT_ERR');
      far.guest.holds(IN, 1024, 4);
    },
  ),
  scenario(
    'MEM/deregistered/peer-write',
    'A peer that still has the key of a region that is gone cannot write.',
    { requirements: ['ERR-15', 'RST-16'] },
    script => {
      const [near, far] = script.pair('RC');
      near.write();
      near.sent();
      far.guest.fill(IN, 1024, 4);
      far.guest.do({ op: 'deregMr', mr: far.mr });
      near.write();
      near.sends('REM_ACCESS_ERR');
      far.guest.holds(IN, 1024, 4);
    },
  ),
  scenario(
    'MEM/deregistered/slot-reused',
    'The key of a region that is gone does not open a new region in its place.',
    { requirements: ['RST-27', 'ERR-15'] },
    script => {
      const [near, far] = script.pair('RC');
      far.guest.fill(IN, 1024, 4);
      far.guest.do({ op: 'deregMr', mr: far.mr });
      far.guest.mr(far.pd);
      near.write();
      near.sends('REM_ACCESS_ERR');
      far.guest.holds(IN, 1024, 4);
    },
  ),
  scenario(
    'MEM/deregistered/waiting-send',
    'A send that waits for a receiver fails when its region has gone meanwhile.',
    { requirements: ['RST-17'] },
    script => {
      const [near, far] = script.pair('RC');
      near.send();
      near.guest.do({ op: 'deregMr', mr: near.mr });
      far.recv();
      near.sends('LOC_PROT_ERR');
      far.receives();
    },
  ),
];

const elements: readonly Scenario[] = [
  scenario(
    'MEM/region/two-in-one-request',
    'A message is gathered from two regions and scattered to two others.',
    { source: 'rdma-core tests/test_qpex.py' },
    script => {
      const [near, far] = script.pair('RC');
      const [nearLow, farLow] = [near, far].map(end => end.guest.mr(end.pd, { length: PAGE }));
      near.guest.fill(0, 512, 33);
      near.guest.fill(2 * PAGE, 512, patternByte(33, 512));
      const parts = (low: string, whole: string, base: number) => [
        { at: base, length: 512, mr: low },
        { at: base + 2 * PAGE, length: 512, mr: whole },
      ];
      far.recv({ sges: parts(farLow, far.mr, 1024) });
      near.send({ sges: parts(nearLow, near.mr, 0) });
      near.sent();
      far.received(1024);
      far.guest.holds(1024, 512, 33);
      far.guest.holds(1024 + 2 * PAGE, 512, patternByte(33, 512));
    },
  ),
  scenario(
    'MEM/region/empty-element',
    'An element of no bytes is skipped, and its key is not looked at.',
    {},
    script => {
      const [near, far] = script.pair('RC');
      near.guest.fill(0, 256, 90);
      far.recv({ bytes: 256 });
      near.send({
        sges: [
          { at: 0, length: 0, mr: { raw: 0xdeadbeef } },
          { at: 0, length: 256, mr: near.mr },
        ],
      });
      near.sent();
      far.received(256);
      far.guest.holds(IN, 256, 90);
    },
  ),
];

export const memoryScenarios: readonly Scenario[] = [...registration, ...use, ...goneKeys, ...elements];
