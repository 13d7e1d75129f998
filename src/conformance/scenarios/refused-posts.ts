/** Posts that are refused at once, with an errno, and leave nothing behind. */
import { scenario } from './scenario.js';
import type { Scenario } from './scenario.js';

const testQpex = { source: 'rdma-core tests/test_qpex.py' };

export const refusedPostScenarios: readonly Scenario[] = [
  scenario(
    'ERR/post/too-many-elements',
    'A request with one element more than the capacity is refused at once, and nothing is posted.',
    { ...testQpex, requirements: ['ERR-08', 'ERR-09'] },
    script => {
      const [near, far] = script.pair('RC');
      const sges = Array.from({ length: 3 }, () => ({ at: 0, length: 8, mr: near.mr }));
      near.send({ sges }, 'EINVAL');
      far.recv({ sges: sges.map(sge => ({ ...sge, mr: far.mr })) }, 'EINVAL');
      near.sends();
      far.receives();
      far.recv();
      near.send();
      near.sent();
      far.received();
    },
  ),
  scenario(
    'ERR/post/inline-too-long',
    'Inline data one byte longer than the capacity is refused at once.',
    { requirements: ['ERR-08', 'ERR-09'] },
    script => {
      const [near] = script.pair('RC', { cap: { inline: 32 } });
      near.write({ inline: 33 }, 'EINVAL');
      near.write({ inline: 32 });
      near.sent();
    },
  ),
  scenario('ERR/post/inline-read', 'A read cannot be inline.', { requirements: ['ERR-08'] }, script => {
    const [near] = script.pair('RC');
    near.read({ inline: 8 }, 'EINVAL');
    near.read({ bytes: 8 });
    near.sent();
  }),
  scenario(
    'ERR/post/opcode-of-another-type',
    'Reads on UC, and writes and reads on UD, are refused at once.',
    { requirements: ['ERR-08'] },
    script => {
      const [connected] = script.pair('UC');
      connected.read({}, 'EINVAL');
      const [datagram] = script.pair('UD');
      datagram.write({ bytes: 8 }, 'EINVAL');
      datagram.write({ bytes: 8, imm: 1 }, 'EINVAL');
      datagram.read({ bytes: 8 }, 'EINVAL');
      datagram.is('RTS');
    },
  ),
  scenario(
    'ERR/post/no-reads-allowed',
    'A read on a queue pair that may have none outstanding is refused at once.',
    { requirements: ['ERR-08'] },
    script => {
      const [near] = script.pair('RC', { rts: { maxRdAtomic: 0 } });
      near.read({}, 'EINVAL');
      near.write();
      near.sent();
    },
  ),
  scenario(
    'ERR/post/send-queue-full',
    'As many sends outstanding as the capacity, and one more is refused; there is room again when they are done.',
    { source: 'rdma-core tests/test_qp.py', requirements: ['ERR-08', 'ERR-10', 'DATA-31', 'DATA-32'] },
    script => {
      const [near, far] = script.pair('RC', { cap: { sendWr: 4 } });
      near.send({ times: 4 });
      near.send({}, 'ENOMEM');
      far.recv({ times: 4 });
      near.sent(4);
      far.received(1024, 4);
      near.send({ times: 4 });
      near.send({}, 'ENOMEM');
    },
  ),
  scenario(
    'ERR/post/receive-queue-full',
    'As many receives outstanding as the capacity, and one more is refused; each message makes room for one.',
    { source: 'rdma-core tests/test_qp.py', requirements: ['ERR-08', 'ERR-10', 'DATA-31', 'DATA-32'] },
    script => {
      const [near, far] = script.pair('RC', { cap: { recvWr: 3 } });
      far.recv({ times: 3 });
      far.recv({}, 'ENOMEM');
      near.send();
      near.sent();
      far.received();
      far.recv();
      far.recv({}, 'ENOMEM');
    },
  ),
  scenario(
    'ERR/post/list-with-a-bad-one',
    'Of a list the requests before the refused one stay posted.',
    { source: 'libibverbs man ibv_post_send', requirements: ['ERR-09'] },
    script => {
      const [near, far] = script.pair('RC');
      far.recv({ times: 3 });
      near.post([near.sendOf({ times: 2 }), near.sendOf({ inline: 100 })], 'EINVAL');
      near.sent(2);
      far.received(1024, 2);
    },
  ),
];
