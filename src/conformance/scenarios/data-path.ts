/** Requests that succeed: every opcode on every transport, element lists, inline data, immediate data, fences, segmentation. */
import { patternByte } from '../patterns.js';
import type { EndpointOptions } from './endpoint.js';
import { IN, OUT } from './guest.js';
import { scenario } from './scenario.js';
import type { Scenario } from './scenario.js';

const testQpex = { source: 'rdma-core tests/test_qpex.py' };
const IMM = 1234;
const connected = ['RC', 'UC'] as const;

const opcodes: readonly Scenario[] = [
  ...connected.flatMap(type => [
    scenario(
      `DATA/message/${type.toLowerCase()}-send`,
      `A message sent over ${type} arrives whole, in the oldest receive, with its length.`,
      { ...testQpex, requirements: ['CQ-01', 'CQ-18', 'CQ-21', 'CQ-22', 'ORD-07'] },
      script => {
        const [near, far] = script.pair(type);
        near.guest.fill(OUT, 1024, 20);
        far.recv({ bytes: 2000 });
        near.send();
        near.sent();
        far.received();
        far.guest.holds(IN, 1024, 20);
      },
    ),
    scenario(
      `DATA/message/${type.toLowerCase()}-send-imm`,
      `Immediate data sent over ${type} comes with the completion, marked as such.`,
      { ...testQpex, requirements: ['CQ-23', 'CQ-24'] },
      script => {
        const [near, far] = script.pair(type);
        far.recv({ times: 3 });
        for (const imm of [IMM, 0, 0xfedcba98]) near.send({ imm });
        near.sent(3);
        far.receives(...[IMM, 0, 0xfedcba98].map(imm => ({ bytes: 1024, imm })));
      },
    ),
    scenario(
      `DATA/message/${type.toLowerCase()}-write`,
      `A write over ${type} changes the peer's memory, uses no receive and completes nothing there.`,
      { ...testQpex, requirements: ['ORD-09'] },
      script => {
        const [near, far] = script.pair(type);
        near.guest.fill(OUT, 1024, 21);
        far.recv();
        near.write();
        near.sent();
        far.receives();
        far.guest.holds(IN, 1024, 21);
        near.send({ bytes: 8 });
        near.sent();
        far.received(8);
      },
    ),
    scenario(
      `DATA/message/${type.toLowerCase()}-write-imm`,
      `A write with immediate data over ${type} uses one receive, whose buffer it leaves alone, and completes it with the written length.`,
      { ...testQpex, requirements: ['DATA-43', 'CQ-21', 'CQ-22', 'CQ-23', 'CQ-24'] },
      script => {
        const [near, far] = script.pair(type);
        near.guest.fill(OUT, 1024, 22);
        far.guest.fill(0, 64, 1);
        far.recv({ bytes: 64, at: 0 });
        near.write({ imm: IMM });
        near.sent();
        far.receives({ bytes: 1024, imm: IMM, write: true });
        far.guest.holds(IN, 1024, 22);
        far.guest.holds(0, 64, 1);
      },
    ),
    scenario(
      `DATA/message/${type.toLowerCase()}-segmentation`,
      `Messages over ${type} of one byte less, just as many and one byte more than one and three packets arrive whole.`,
      { requirements: ['ORD-03', 'CQ-22'] },
      script => {
        const [near, far] = script.pair(type, { rtr: { pathMtu: 1 } });
        for (const bytes of [255, 256, 257, 767, 768, 769]) {
          near.guest.fill(OUT, bytes, bytes & 0xff);
          far.recv({ bytes });
          near.send({ bytes });
          near.write({ bytes, remote: { at: IN + 4096 } });
          near.sent(2);
          far.received(bytes);
          far.guest.holds(IN, bytes, bytes & 0xff);
          far.guest.holds(IN + 4096, bytes, bytes & 0xff);
        }
      },
    ),
    scenario(
      `DATA/message/${type.toLowerCase()}-empty`,
      `Messages and writes of no bytes succeed over ${type}; the key and place of an empty write are not looked at.`,
      { ...testQpex, requirements: ['DATA-26', 'DATA-40', 'DATA-41'] },
      script => {
        const [near, far] = script.pair(type);
        far.recv({ bytes: 0 });
        near.send({ bytes: 0 });
        near.write({ bytes: 0, remote: { mr: { raw: 0x12345 }, at: -4096 } });
        near.sent(2);
        far.received(0);
      },
    ),
  ]),
  scenario(
    'DATA/message/rc-read',
    "A read brings the peer's memory, and completes nothing there.",
    { ...testQpex, requirements: ['ORD-08', 'CQ-22'] },
    script => {
      const [near, far] = script.pair('RC');
      far.guest.fill(OUT, 5000, 23);
      near.read({ bytes: 5000 });
      near.sent();
      far.receives();
      near.guest.holds(IN, 5000, 23);
    },
  ),
  scenario(
    'DATA/message/rc-read-empty',
    'A read of no bytes succeeds; its key and place are not looked at.',
    testQpex,
    script => {
      const [near] = script.pair('RC');
      near.read({ bytes: 0, remote: { mr: { raw: 77 }, at: 0 } });
      near.sent();
    },
  ),
  scenario(
    'DATA/message/rc-read-scattered',
    'A read is scattered over several elements of odd lengths.',
    {},
    script => {
      const [near, far] = script.pair('RC', { cap: { sendSge: 4 }, rtr: { pathMtu: 1 } });
      far.guest.fill(OUT, 1024, 24);
      const { mr } = near;
      near.read({
        sges: [
          { at: IN, length: 256, mr },
          { at: IN + 4000, length: 512, mr },
          { at: IN + 9000, length: 256, mr },
        ],
      });
      near.sent();
      near.guest.holds(IN, 256, 24);
      near.guest.holds(IN + 4000, 512, patternByte(24, 256));
      near.guest.holds(IN + 9000, 256, patternByte(24, 768));
    },
  ),
];

const order: readonly Scenario[] = [
  scenario(
    'DATA/message/several-outstanding',
    'Several messages are posted, then all completions polled: in posting order, each in its own buffer.',
    { ...testQpex, requirements: ['ORD-01', 'ORD-02', 'ORD-03'] },
    script => {
      const [near, far] = script.pair('RC');
      for (let i = 0; i < 5; i++) {
        near.guest.fill(OUT + i * 512, 512, 30 + i);
        far.recv({ bytes: 512, at: IN + (4 - i) * 512 });
      }
      for (let i = 0; i < 5; i++) near.send({ bytes: 512, at: OUT + i * 512 });
      near.sent(5);
      far.received(512, 5);
      for (let i = 0; i < 5; i++) far.guest.holds(IN + (4 - i) * 512, 512, 30 + i);
    },
  ),
  scenario(
    'DATA/message/write-before-send',
    'When the receive of a send completes, the data of the write before it is there.',
    { requirements: ['ORD-10'] },
    script => {
      const [near, far] = script.pair('RC');
      near.guest.fill(OUT, 4096, 25);
      far.recv({ bytes: 4 });
      near.post([
        near.writeOf({ bytes: 4096, signaled: false, remote: { at: IN + 4096 } }),
        near.sendOf({ bytes: 4 }),
      ]);
      far.received(4);
      far.guest.holds(IN + 4096, 4096, 25);
      near.sent();
    },
  ),
  scenario(
    'DATA/message/read-after-write',
    'A read behind a write of the same place brings what was written.',
    { requirements: ['ORD-03'] },
    script => {
      const [near] = script.pair('RC');
      near.guest.fill(OUT, 700, 26);
      near.write({ bytes: 700 });
      near.read({ bytes: 700, remote: { at: IN } });
      near.sent(2);
      near.guest.holds(IN, 700, 26);
    },
  ),
  scenario(
    'DATA/message/fence',
    'A fenced send of the buffer that a read fills carries what was read.',
    { requirements: ['ORD-05'] },
    script => {
      const [near, far] = script.pair('RC');
      far.guest.fill(OUT, 2000, 27);
      far.recv({ bytes: 2000 });
      near.post([near.readOf({ bytes: 2000 }), near.sendOf({ bytes: 2000, at: IN, fence: true })]);
      near.sent(2);
      far.received(2000);
      far.guest.holds(IN, 2000, 27);
    },
  ),
  scenario(
    'DATA/message/mixed-requests',
    'Sends, writes and reads in one list complete in posting order, each with its own opcode.',
    { requirements: ['ORD-01', 'CQ-21'] },
    script => {
      const [near, far] = script.pair('RC', { rtr: { maxDestRdAtomic: 4 }, rts: { maxRdAtomic: 4 } });
      far.recv({ times: 2 });
      near.post([
        near.sendOf(),
        near.readOf({ bytes: 3000 }),
        near.writeOf({ remote: { at: IN + 8192 } }),
        near.readOf({ bytes: 10, at: IN + 4096 }),
        near.sendOf({ imm: 5 }),
      ]);
      near.sent(5);
      far.receives(1024, { bytes: 1024, imm: 5 });
    },
  ),
];

const content: readonly Scenario[] = [
  scenario(
    'DATA/message/element-lists',
    'A message gathered from eight elements is scattered to eight others, cut differently.',
    { ...testQpex, requirements: ['CQ-22'] },
    script => {
      const [near, far] = script.pair('RC', { cap: { sendSge: 8, recvSge: 8 } });
      near.guest.fill(OUT, 2048, 40);
      const parts = (base: number, sizes: readonly number[], mr: string) =>
        sizes.map((length, i) => ({
          at: base + sizes.slice(0, i).reduce((sum, size) => sum + size, 0),
          length,
          mr,
        }));
      far.recv({ sges: parts(IN, [1, 2, 5, 500, 40, 1000, 100, 400], far.mr) });
      near.send({ sges: parts(OUT, [900, 48, 50, 2, 1, 1, 6, 1040], near.mr) });
      near.sent();
      far.received(2048);
      far.guest.holds(IN, 2048, 40);
    },
  ),
  scenario(
    'DATA/message/inline',
    'Inline data of every length up to the capacity arrives; nothing is registered for it.',
    { ...testQpex },
    script => {
      const [near, far] = script.pair('RC', { cap: { inline: 512 } });
      for (const inline of [0, 1, 63, 64, 512]) {
        far.recv();
        const wr = near.send({ inline });
        near.sent();
        far.received(inline);
        if (inline > 0) far.guest.holds(IN, inline, wr);
      }
    },
  ),
  scenario('DATA/message/inline-write', 'A write carries inline data.', {}, script => {
    const [near, far] = script.pair('RC');
    const wr = near.write({ inline: 48 });
    near.sent();
    far.guest.holds(IN, 48, wr);
  }),
  scenario(
    'DATA/message/buffer-reused-after-completion',
    'Once a send has completed its buffer can be overwritten, also while the message has not been looked at.',
    { requirements: ['ORD-11'] },
    script => {
      const [near, far] = script.pair('RC');
      far.recv({ bytes: 600 });
      far.recv({ bytes: 600, at: IN + 1024 });
      for (const fill of [50, 51]) {
        near.guest.fill(OUT, 600, fill);
        near.send({ bytes: 600 });
        near.sent();
      }
      near.guest.fill(OUT, 600, 52);
      far.received(600, 2);
      far.guest.holds(IN, 600, 50);
      far.guest.holds(IN + 1024, 600, 51);
    },
  ),
  scenario(
    'DATA/message/receive-larger-than-message',
    'Of a receive that is larger than its message the rest is not touched.',
    { requirements: ['ERR-23'] },
    script => {
      const [near, far] = script.pair('RC');
      near.guest.fill(OUT, 100, 60);
      far.guest.fill(IN + 100, 900, 61);
      far.recv({ bytes: 1000 });
      near.send({ bytes: 100 });
      near.sent();
      far.received(100);
      far.guest.holds(IN, 100, 60);
      far.guest.holds(IN + 100, 900, 61);
    },
  ),
  scenario(
    'DATA/message/largest-message',
    'A message of exactly the largest length of the port arrives.',
    { arenaBytes: 128 * 1024, requirements: ['OVR-10', 'OVR-11', 'CQ-22'] },
    script => {
      const [near, far] = script.pair('RC');
      near.guest.fill(0, 65536, 62);
      far.recv({ bytes: 65536, at: 65536 });
      near.send({ bytes: 65536 });
      near.sent();
      far.received(65536);
      far.guest.holds(65536, 65536, 62);
    },
  ),
];

const loopback: EndpointOptions = { rtr: { pathMtu: 2 } };

const places: readonly Scenario[] = [
  scenario(
    'DATA/message/loopback',
    'Send, write and read between two queue pairs of one machine.',
    { hosts: [0], source: 'rdma-core tests/base.py' },
    script => {
      const [near, far] = script.pair('RC', loopback);
      near.guest.fill(OUT, 3000, 63);
      far.recv({ bytes: 3000 });
      near.send({ bytes: 3000 });
      near.write({ bytes: 3000, remote: { at: IN + 4096 } });
      near.read({ bytes: 3000, at: IN + 8192 });
      near.sent(3);
      far.received(3000);
      for (const at of [IN, IN + 4096, IN + 8192]) far.guest.holds(at, 3000, 63);
    },
  ),
  scenario(
    'DATA/message/three-machines',
    'One machine talks to two others, one of them on its own host, and each gets what is meant for it.',
    { hosts: [0, 0, 1], requirements: ['ISO-11', 'ISO-12'] },
    script => {
      const [first, second, third] = script.guests;
      for (const [fill, [from, to]] of [
        script.pairOn(first, second, 'RC'),
        script.pairOn(first, third, 'RC'),
      ].entries()) {
        from.guest.fill(OUT, 500, fill);
        to.recv({ bytes: 500 });
        from.send({ bytes: 500 });
        from.sent();
        to.received(500);
        to.guest.holds(IN, 500, fill);
      }
    },
  ),
  scenario(
    'DATA/message/gid-of-another-entry',
    'A connection through the second entry of the GID table.',
    {},
    script => {
      const [near, far] = script.pair('RC', { upTo: 'INIT' });
      for (const end of [near, far]) end.guest.do({ op: 'addGid', index: 3, gid: 3 });
      for (const end of [near, far]) {
        end.modify({ ...end.step('RTR'), to: { vm: end.peer.guest.vm, gid: 3, sgidIndex: 3 } });
        end.modify(end.step('RTS'));
      }
      far.recv();
      near.send();
      near.sent();
      far.received();
    },
  ),
];

export const dataPathScenarios: readonly Scenario[] = [...opcodes, ...order, ...content, ...places];
