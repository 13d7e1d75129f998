/** Chapter 5: each command as its struct says, with the values that the verb was given; numbers and keys handed on unread. */
import {
  AccessFlag,
  Command,
  NotifyFlag,
  QpType,
  addGidCommand,
  createAhCommand,
  createCqCommand,
  createQpCommand,
  delGidCommand,
  deregMrCommand,
  destroyAhCommand,
  destroyCqCommand,
  destroyPdCommand,
  destroyQpCommand,
  getDmaMrCommand,
  queryQpCommand,
  regUserMrCommand,
  reqNotifyCommand,
} from '../../../abi/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import type { Bench } from './bench.js';
import type { Call } from './call.js';
import type { TakenCommand } from './commands.js';
import { words } from './encode.js';
import { domain } from './cases-answers.js';
import { makeObjects, someAddress } from './objects.js';
import { probeStarted } from './probe-case.js';
import { ARENA_BASE } from './probe-guest.js';

/** Numbers that mean nothing, with every byte different, or at an edge. */
const NUMBER = 0xfedc_ba98;
const OTHER = 0x0102_0304;

/** One command whose whole struct is compared. */
function layout(
  what: string,
  doc: string,
  code: number,
  ask: (bench: Bench) => Promise<{ call: Call<unknown>; check: (command: TakenCommand) => void }>,
): ConformanceCase {
  return probeStarted({
    id: `CTRL/${what}/layout`,
    doc,
    requirements: ['OVR-04', 'OVR-02', 'OVR-06', 'CTRL-17'],
    options: [{}, { indirect: true }],
    ask: async bench => {
      const { call, check } = await ask(bench);
      const command = await bench.expectCommand(code);
      check(command);
      await bench.value(call);
      bench.equal(bench.log.at(-1), code, 'the last command', ['PERF-08']);
    },
  });
}

function sameFields(bench: Bench, seen: object, expected: object): void {
  const [a, b] = [JSON.stringify(seen), JSON.stringify(expected)];
  bench.expect(a === b, `the command says ${a}, expected ${b}`);
}

const layouts: readonly ConformanceCase[] = [
  layout(
    'query-device',
    'QUERY_DEVICE has no struct and room for 128 bytes of result.',
    Command.QUERY_DEVICE,
    async bench => ({
      call: bench.call('queryDevice()', verbs => verbs.queryDevice()),
      check: () => {},
    }),
  ),
  layout(
    'query-port',
    'QUERY_PORT has no struct and room for 32 bytes of result.',
    Command.QUERY_PORT,
    async bench => ({
      call: bench.call('queryPort()', verbs => verbs.queryPort()),
      check: () => {},
    }),
  ),
  layout('create-cq', 'CREATE_CQ says how many entries are wanted.', Command.CREATE_CQ, async bench => ({
    call: bench.call('createCq(7)', verbs => verbs.createCq(7)),
    check: command => sameFields(bench, command.decode(createCqCommand), { cqe: 7 }),
  })),
  layout('destroy-cq', 'DESTROY_CQ names the completion queue.', Command.DESTROY_CQ, async bench => {
    await bench.do('createCq(2)', verbs => verbs.createCq(2));
    const cq = await bench.do('createCq(2)', verbs => verbs.createCq(2));
    return {
      call: bench.call('destroyCq()', verbs => verbs.destroyCq(cq)),
      check: command => sameFields(bench, command.decode(destroyCqCommand), { cqn: 1 }),
    };
  }),
  layout('create-pd', 'CREATE_PD has no struct.', Command.CREATE_PD, async bench => ({
    call: bench.call('createPd()', verbs => verbs.createPd()),
    check: () => {},
  })),
  layout(
    'destroy-pd',
    'DESTROY_PD names the protection domain as the device did.',
    Command.DESTROY_PD,
    async bench => {
      const pd = await domain(bench, NUMBER);
      return {
        call: bench.call('destroyPd()', verbs => verbs.destroyPd(pd)),
        check: command => sameFields(bench, command.decode(destroyPdCommand), { pdn: NUMBER }),
      };
    },
  ),
  layout('get-dma-mr', 'GET_DMA_MR names the domain and the rights.', Command.GET_DMA_MR, async bench => {
    const pd = await domain(bench, NUMBER);
    return {
      call: bench.call('getDmaMr(7)', verbs => verbs.getDmaMr(pd, 7)),
      check: command => sameFields(bench, command.decode(getDmaMrCommand), { pdn: NUMBER, access_flags: 7 }),
    };
  }),
  layout(
    'reg-user-mr',
    'REG_USER_MR names domain, rights, address, length and pages.',
    Command.REG_USER_MR,
    async bench => {
      const pd = await domain(bench, NUMBER);
      const init = { addr: ARENA_BASE + 4095, length: 4098, access: AccessFlag.REMOTE_READ };
      return {
        call: bench.call('regMr()', verbs => verbs.regMr(pd, init)),
        check: command => {
          const expected = { pdn: NUMBER, access_flags: 4, virt_addr: init.addr, length: 4098, npages: 3 };
          sameFields(bench, command.decode(regUserMrCommand), expected);
          bench.equal(command.pages().length, 3, 'entries of the page list');
        },
      };
    },
  ),
  layout('dereg-mr', 'DEREG_MR names the region as the device did.', Command.DEREG_MR, async bench => {
    const pd = await domain(bench, 1);
    const made = bench.call('regMr()', verbs => verbs.regMr(pd, { addr: ARENA_BASE, length: 1, access: 0 }));
    bench.accept(await bench.expectCommand(Command.REG_USER_MR), words(NUMBER, OTHER, 0));
    const mr = await bench.value(made);
    return {
      call: bench.call('deregMr()', verbs => verbs.deregMr(mr)),
      check: command => sameFields(bench, command.decode(deregMrCommand), { mrn: NUMBER }),
    };
  }),
  layout(
    'create-qp',
    'CREATE_QP names its objects, its type and the capacities, each where it belongs.',
    Command.CREATE_QP,
    async bench => {
      const pd = await domain(bench, NUMBER);
      const sendCq = await bench.do('createCq(2)', verbs => verbs.createCq(2));
      const recvCq = await bench.do('createCq(3)', verbs => verbs.createCq(3));
      const cap = { maxSendWr: 5, maxRecvWr: 6, maxSendSge: 4, maxRecvSge: 3, maxInlineData: 511 };
      const init = { type: QpType.UC, sqSigAll: true, sendCq, recvCq, cap };
      const expected = {
        pdn: NUMBER,
        qp_type: 3,
        sq_sig_all: 1,
        send_cqn: 0,
        recv_cqn: 1,
        cap: { max_send_wr: 5, max_recv_wr: 6, max_send_sge: 4, max_recv_sge: 3, max_inline_data: 511 },
      };
      return {
        call: bench.call('createQp()', verbs => verbs.createQp(pd, init)),
        check: command => sameFields(bench, command.decode(createQpCommand), expected),
      };
    },
  ),
  layout('query-qp', 'QUERY_QP names the queue pair.', Command.QUERY_QP, async bench => {
    const { qp, qpn } = await makeObjects(bench);
    return {
      call: bench.call('queryQp()', verbs => verbs.queryQp(qp)),
      check: command => bench.equal(command.decode(queryQpCommand).qpn, qpn, 'qpn of QUERY_QP'),
    };
  }),
  layout('destroy-qp', 'DESTROY_QP names the queue pair.', Command.DESTROY_QP, async bench => {
    const { qp, qpn } = await makeObjects(bench);
    return {
      call: bench.call('destroyQp()', verbs => verbs.destroyQp(qp)),
      check: command => sameFields(bench, command.decode(destroyQpCommand), { qpn }),
    };
  }),
  layout(
    'create-ah',
    'CREATE_AH carries the address vector field by field.',
    Command.CREATE_AH,
    async bench => {
      const pd = await domain(bench, NUMBER);
      return {
        call: bench.call('createAh()', verbs => verbs.createAh(pd, someAddress)),
        check: command => {
          const { pdn, ah_attr: address } = command.decode(createAhCommand);
          const { dgid, ...route } = address.grh;
          bench.equal(pdn, NUMBER, 'pdn');
          bench.equal(Buffer.from(dgid).toString('hex'), someAddress.dgid, 'dgid');
          sameFields(bench, route, {
            flow_label: 0xabcde,
            sgid_index: 2,
            hop_limit: 63,
            traffic_class: 0x5a,
          });
        },
      };
    },
  ),
  layout(
    'destroy-ah',
    'DESTROY_AH names the handle and its domain as the device did.',
    Command.DESTROY_AH,
    async bench => {
      const pd = await domain(bench, OTHER);
      const made = bench.call('createAh()', verbs => verbs.createAh(pd, someAddress));
      bench.accept(await bench.expectCommand(Command.CREATE_AH), words(NUMBER));
      const ah = await bench.value(made);
      return {
        call: bench.call('destroyAh()', verbs => verbs.destroyAh(ah)),
        check: command => sameFields(bench, command.decode(destroyAhCommand), { pdn: OTHER, ah: NUMBER }),
      };
    },
  ),
  layout(
    'add-gid',
    'ADD_GID carries index and GID, its bytes in network order.',
    Command.ADD_GID,
    async bench => ({
      call: bench.call('addGid()', verbs => verbs.addGid(0x0102, someAddress.dgid)),
      check: command => {
        const { index, gid } = command.decode(addGidCommand);
        bench.equal(index, 0x0102, 'index');
        bench.equal(Buffer.from(gid).toString('hex'), someAddress.dgid, 'gid');
      },
    }),
  ),
  layout('del-gid', 'DEL_GID carries the index.', Command.DEL_GID, async bench => ({
    call: bench.call('delGid()', verbs => verbs.delGid(0x0304)),
    check: command => sameFields(bench, command.decode(delGidCommand), { index: 0x0304 }),
  })),
  ...[false, true].map(solicited =>
    layout(
      `req-notify-cq-${solicited ? 'solicited' : 'any'}`,
      `REQ_NOTIFY_CQ arms for ${solicited ? 'solicited completions' : 'any completion'} with one flag.`,
      Command.REQ_NOTIFY_CQ,
      async bench => {
        await bench.do('createCq(1)', verbs => verbs.createCq(1));
        const cq = await bench.do('createCq(1)', verbs => verbs.createCq(1));
        const flags = solicited ? NotifyFlag.SOLICITED : NotifyFlag.NEXT_COMPLETION;
        return {
          call: bench.call('reqNotifyCq()', verbs => verbs.reqNotifyCq(cq, solicited)),
          check: command => sameFields(bench, command.decode(reqNotifyCommand), { cqn: 1, flags }),
        };
      },
    ),
  ),
];

export const commandCases: readonly ConformanceCase[] = layouts;
