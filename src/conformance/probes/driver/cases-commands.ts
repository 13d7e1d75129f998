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
  queryDeviceAck,
  queryPortAck,
  queryQpAck,
  queryQpCommand,
  regUserMrCommand,
  reqNotifyCommand,
} from '../../../abi/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import type { Bench } from './bench.js';
import type { Call } from './call.js';
import type { TakenCommand } from './commands.js';
import { bytesOf, hex, words } from './encode.js';
import { makeObjects, smallCap, someAddress } from './objects.js';
import { probeStarted } from './probe-case.js';
import { ARENA_BASE } from './probe-guest.js';
import { soundLimits } from './sound-answers.js';

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

/** A protection domain with a number of the case's choice. */
async function domain(bench: Bench, number: number) {
  const call = bench.call('createPd()', verbs => verbs.createPd());
  bench.accept(await bench.expectCommand(Command.CREATE_PD), words(number));
  return bench.value(call);
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

/** Numbers at the edges of 32 bits. */
const edges: readonly number[] = [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff];

const answers: readonly ConformanceCase[] = [
  probeStarted({
    id: 'OVR/numbers/any-domain-number',
    doc: 'Every 32-bit number is a good one for a protection domain, 0 and 2^32 - 1 included, and comes back as it was given.',
    requirements: ['OVR-09'],
    options: { limits: { max_pd: 16 } },
    ask: async bench => {
      for (const number of edges) {
        const pd = await domain(bench, number);
        const call = bench.call('destroyPd()', verbs => verbs.destroyPd(pd));
        const { pdn } = (await bench.expectCommand(Command.DESTROY_PD)).decode(destroyPdCommand);
        bench.equal(pdn, number, 'pdn of DESTROY_PD');
        await bench.value(call);
      }
    },
  }),
  probeStarted({
    id: 'OVR/numbers/any-key',
    doc: 'Keys reach the program exactly as the device gave them.',
    requirements: ['OVR-09'],
    options: { limits: { max_mr: 16 } },
    ask: async bench => {
      const pd = await domain(bench, 5);
      for (const [i, key] of edges.slice(1).entries()) {
        const access = AccessFlag.REMOTE_READ;
        const call = bench.call('regMr()', verbs => verbs.regMr(pd, { addr: ARENA_BASE, length: 1, access }));
        const rkey = (key ^ 0x5a5a) >>> 0;
        bench.accept(await bench.expectCommand(Command.REG_USER_MR), words(edges[i], key, rkey));
        const mr = await bench.value(call);
        bench.equal(mr.lkey, key, 'lkey');
        bench.equal(mr.rkey, rkey, 'rkey');
      }
    },
  }),
  probeStarted({
    id: 'OVR/numbers/kinds-apart',
    doc: 'A domain, a region and an address handle with the same number are different things.',
    requirements: ['OVR-09', 'ERR-05'],
    ask: async bench => {
      const pd = await domain(bench, 9);
      const regs = bench.call('regMr()', verbs =>
        verbs.regMr(pd, { addr: ARENA_BASE, length: 1, access: 0 }),
      );
      bench.accept(await bench.expectCommand(Command.REG_USER_MR), words(9, 9, 0));
      await bench.value(regs);
      const made = bench.call('createAh()', verbs => verbs.createAh(pd, someAddress));
      bench.accept(await bench.expectCommand(Command.CREATE_AH), words(9));
      const ah = await bench.value(made);
      await bench.do('destroyAh()', verbs => verbs.destroyAh(ah));
      await bench.do('deregMr()', verbs => verbs.deregMr(regs.value));
      await bench.do('destroyPd()', verbs => verbs.destroyPd(pd));
    },
  }),
  probeStarted({
    id: 'OVR/answers/query-device',
    doc: 'The limits of QUERY_DEVICE reach the program field by field; what is reserved is ignored.',
    requirements: ['OVR-02', 'OVR-04', 'OVR-08'],
    ask: async bench => {
      const call = bench.call('queryDevice()', verbs => verbs.queryDevice());
      const command = await bench.expectCommand(Command.QUERY_DEVICE);
      const answer = {
        ...soundLimits,
        max_mr_size: 0x1_0203_0405,
        max_qp_rd_atom: 0x1112_1314,
        max_qp_init_rd_atom: 0x2122_2324,
      };
      const bytes = bytesOf(queryDeviceAck, answer).fill(0xff, 69);
      bench.accept(command, bytes);
      const seen = await bench.value(call);
      const expected = {
        maxMrSizeBytes: 0x1_0203_0405,
        maxSendSge: 4,
        maxRecvSge: 3,
        maxSgeRd: 2,
        maxMr: 3,
        maxPd: 3,
        maxAh: 3,
        maxQpRdAtom: 0x1112_1314,
        maxQpInitRdAtom: 0x2122_2324,
        pageSizeCap: 4096,
        maxQp: 5,
        maxCq: 3,
      };
      for (const [name, value] of Object.entries(expected))
        bench.equal(Object.getOwnPropertyDescriptor(seen, name)?.value, value, name);
      // A driver with smaller rings than the device allows has to say so.
      bench.expect(seen.maxQpWr > 0 && seen.maxQpWr <= 8, `maxQpWr is ${seen.maxQpWr}, expected 1..8`);
      bench.expect(seen.maxCqe > 0 && seen.maxCqe <= 8, `maxCqe is ${seen.maxCqe}, expected 1..8`);
    },
  }),
  probeStarted({
    id: 'OVR/answers/query-port',
    doc: 'The limits of QUERY_PORT reach the program; what is reserved is ignored.',
    requirements: ['OVR-02', 'OVR-04', 'OVR-08'],
    ask: async bench => {
      const call = bench.call('queryPort()', verbs => verbs.queryPort());
      const command = await bench.expectCommand(Command.QUERY_PORT);
      bench.accept(
        command,
        bytesOf(queryPortAck, { gid_tbl_len: 0xab, max_msg_sz: 0x1234_5678 }).fill(0xff, 8),
      );
      const seen = await bench.value(call);
      bench.equal(seen.gidTableLength, 0xab, 'gidTableLength');
      bench.equal(seen.maxMsgSizeBytes, 0x1234_5678, 'maxMsgSizeBytes');
    },
  }),
  probeStarted({
    id: 'OVR/answers/query-qp',
    doc: 'The answer of QUERY_QP reaches the program field by field; what is reserved is ignored.',
    requirements: ['OVR-02', 'OVR-04', 'OVR-08'],
    ask: queryAnswer,
  }),
];

async function queryAnswer(bench: Bench): Promise<void> {
  const { qp } = await makeObjects(bench);
  const call = bench.call('queryQp()', verbs => verbs.queryQp(qp));
  const command = await bench.expectCommand(Command.QUERY_QP);
  const cap = { max_send_wr: 4, max_recv_wr: 5, max_send_sge: 3, max_recv_sge: 2, max_inline_data: 64 };
  const grh = {
    dgid: Buffer.from(someAddress.dgid, 'hex'),
    flow_label: 0xabcde,
    sgid_index: 2,
    hop_limit: 63,
    traffic_class: 0x5a,
  };
  const answer = {
    qp_state: 4,
    path_mtu: 2,
    sq_draining: 1,
    max_rd_atomic: 11,
    max_dest_rd_atomic: 12,
    min_rnr_timer: 13,
    timeout: 14,
    retry_cnt: 5,
    rnr_retry: 6,
    qkey: 0x8101_0203,
    rq_psn: 0x11_1213,
    sq_psn: 0x21_2223,
    dest_qp_num: 0x31_3233,
    qp_access_flags: 7,
    rate_limit: 0x4142_4344,
    cap,
    ah_attr: { grh, dmac: new Uint8Array(6) },
  };
  const bytes = bytesOf(queryQpAck, answer);
  bytes.fill(0xff, 9, 16).fill(0xff, 60, 64).fill(0xff, 87, 88).fill(0xff, 94);
  bench.accept(command, bytes);
  const seen = await bench.value(call);
  const flat = { ...seen, ...seen.ahAttr, ...seen.cap };
  const expected = {
    qpState: 4,
    sqDraining: true,
    pathMtu: 2,
    maxRdAtomic: 11,
    maxDestRdAtomic: 12,
    minRnrTimer: 13,
    timeout: 14,
    retryCnt: 5,
    rnrRetry: 6,
    qkey: 0x8101_0203,
    rqPsn: 0x11_1213,
    sqPsn: 0x21_2223,
    destQpNum: 0x31_3233,
    qpAccessFlags: 7,
    maxSendWr: smallCap.maxSendWr,
    maxRecvWr: 5,
    maxSendSge: 3,
    maxRecvSge: 2,
    maxInlineData: 64,
    ...someAddress,
  };
  for (const [name, value] of Object.entries(expected)) {
    const found: unknown = Object.getOwnPropertyDescriptor(flat, name)?.value;
    const shown = typeof found === 'number' ? hex(found) : String(found);
    bench.expect(found === value, `${name} is ${shown}, expected ${String(value)}`);
  }
}

export const commandCases: readonly ConformanceCase[] = [...layouts, ...answers];
