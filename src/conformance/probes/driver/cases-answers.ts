/** Chapter 1: numbers and keys are handed on unread, and answers reach the program field by field. */
import {
  AccessFlag,
  Command,
  destroyPdCommand,
  queryDeviceAck,
  queryPortAck,
  queryQpAck,
} from '../../../abi/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import type { Bench } from './bench.js';
import { bytesOf, hex, words } from './encode.js';
import { makeObjects, smallCap, someAddress } from './objects.js';
import { probeStarted } from './probe-case.js';
import { ARENA_BASE } from './probe-guest.js';
import { soundLimits } from './sound-answers.js';

/** A protection domain with a number of the case's choice. */
export async function domain(bench: Bench, number: number) {
  const call = bench.call('createPd()', verbs => verbs.createPd());
  bench.accept(await bench.expectCommand(Command.CREATE_PD), words(number));
  return bench.value(call);
}

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

export const answerCases: readonly ConformanceCase[] = answers;
