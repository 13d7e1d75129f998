/** Chapter 14: answers and used elements that no honest device gives. The driver gives such a device up, and nothing comes of the lie. */
import { AccessFlag, Command, QpType, queryQpAck } from '../../../abi/index.js';
import type { Verbs } from '../../../verbs/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import type { Bench } from './bench.js';
import { describe, errnoOf } from './call.js';
import { bytesOf, words } from './encode.js';
import { expectAllEio, expectFailed } from './given-up.js';
import { makeAddress, makeObjects, makeRegion, smallCap, someAddress } from './objects.js';
import type { Objects } from './objects.js';
import { probeStarted } from './probe-case.js';
import { ARENA_BASE } from './probe-guest.js';

interface Lie {
  readonly id: string;
  readonly doc: string;
  readonly requirement: string;
  readonly code: number;
  readonly run: (verbs: Verbs, objects: Objects) => Promise<unknown>;
  /** Ack and result; the used length where it is not theirs. */
  readonly answer: Uint8Array;
  readonly written?: number;
  /** Called before, with honest answers. */
  readonly before?: (bench: Bench, objects: Objects) => Promise<unknown>;
}

const region = { addr: ARENA_BASE, length: 1, access: 0 };
const ok = (...values: readonly number[]): Uint8Array => Uint8Array.of(0, ...words(...values));
const createPd = (verbs: Verbs) => verbs.createPd();
const createCq = (verbs: Verbs) => verbs.createCq(1);
const delGid = (verbs: Verbs) => verbs.delGid(0);
const createAh = (verbs: Verbs, { pd }: Objects) => verbs.createAh(pd, someAddress);
const regMr =
  (access: number) =>
  (verbs: Verbs, { pd }: Objects) =>
    verbs.regMr(pd, { ...region, access });
const getDmaMr =
  (access: number) =>
  (verbs: Verbs, { pd }: Objects) =>
    verbs.getDmaMr(pd, access);
const createQp =
  (type: QpType) =>
  (verbs: Verbs, { pd, sendCq }: Objects) =>
    verbs.createQp(pd, { type, sqSigAll: false, sendCq, recvCq: sendCq, cap: smallCap });
const queryQp = (verbs: Verbs, { qp }: Objects) => verbs.queryQp(qp);
const stateAnswer = (state: number): Uint8Array =>
  Uint8Array.of(0, ...bytesOf(queryQpAck, { ...queryQpAck.zero(), qp_state: state }));

const lies: readonly Lie[] = [
  {
    id: 'ack/no-byte',
    doc: 'A command comes back with a used length of 0',
    requirement: 'HOST-10',
    code: Command.DEL_GID,
    run: delGid,
    answer: ok(),
    written: 0,
  },
  {
    id: 'ack/no-byte-with-result',
    doc: 'A command with a result comes back with a used length of 0',
    requirement: 'HOST-10',
    code: Command.CREATE_PD,
    run: createPd,
    answer: ok(7),
    written: 0,
  },
  ...[2, 3, 0x80, 0xff].map(ack => ({
    id: `ack/${ack}`,
    doc: `The ack is ${ack}`,
    requirement: 'HOST-11',
    code: Command.DEL_GID,
    run: delGid,
    answer: Uint8Array.of(ack),
  })),
  {
    id: 'ack/2-with-result',
    doc: 'The ack is 2 and a result stands behind it',
    requirement: 'HOST-11',
    code: Command.CREATE_PD,
    run: createPd,
    answer: Uint8Array.of(2, 7, 0, 0, 0),
  },
  {
    id: 'length/ack-only',
    doc: 'An ack of 0 without the result',
    requirement: 'HOST-12',
    code: Command.CREATE_PD,
    run: createPd,
    answer: ok(7),
    written: 1,
  },
  {
    id: 'length/one-short',
    doc: 'An ack of 0 with a used length that lacks a byte',
    requirement: 'HOST-12',
    code: Command.CREATE_PD,
    run: createPd,
    answer: ok(7),
    written: 4,
  },
  {
    id: 'length/query-short',
    doc: 'An answer of QUERY_QP that lacks its last byte',
    requirement: 'HOST-12',
    code: Command.QUERY_QP,
    run: queryQp,
    answer: stateAnswer(3),
    written: 120,
  },
  {
    id: 'length/one-long',
    doc: 'A used length above the writable bytes, by one',
    requirement: 'VQ-43',
    code: Command.CREATE_PD,
    run: createPd,
    answer: ok(7),
    written: 6,
  },
  {
    id: 'length/no-result-long',
    doc: 'A used length above the one writable byte of a command without a result',
    requirement: 'VQ-43',
    code: Command.DEL_GID,
    run: delGid,
    answer: ok(),
    written: 2,
  },
  {
    id: 'length/absurd',
    doc: 'A used length of 2^32 - 1',
    requirement: 'VQ-43',
    code: Command.CREATE_PD,
    run: createPd,
    answer: ok(7),
    written: 0xffff_ffff,
  },
  {
    id: 'length/refusal-absurd',
    doc: 'A refusal with a used length above the writable bytes',
    requirement: 'VQ-43',
    code: Command.DEL_GID,
    run: delGid,
    answer: Uint8Array.of(1),
    written: 4096,
  },
  {
    id: 'number/domain-alive',
    doc: 'A new protection domain gets the number of a living one',
    requirement: 'HOST-13',
    code: Command.CREATE_PD,
    run: createPd,
    answer: ok(0x100),
  },
  {
    id: 'number/completion-queue-alive',
    doc: 'A new completion queue gets the number of a living one',
    requirement: 'HOST-13',
    code: Command.CREATE_CQ,
    run: createCq,
    answer: ok(1),
  },
  {
    id: 'number/queue-pair-alive',
    doc: 'A new queue pair gets the number of a living one',
    requirement: 'HOST-13',
    code: Command.CREATE_QP,
    run: createQp(QpType.UC),
    answer: ok(2),
  },
  {
    id: 'number/address-handle-alive',
    doc: 'A new address handle gets the number of a living one',
    requirement: 'HOST-13',
    code: Command.CREATE_AH,
    run: createAh,
    answer: ok(0x302),
    before: (bench, { pd }) => makeAddress(bench, pd),
  },
  {
    id: 'number/region-alive',
    doc: 'A new region gets the number of a living one',
    requirement: 'HOST-13',
    code: Command.REG_USER_MR,
    run: regMr(0),
    answer: ok(0x202, 0x9900, 0),
    before: (bench, { pd }) => makeRegion(bench, pd),
  },
  {
    id: 'number/dma-region-alive',
    doc: 'A region of all memory gets the number of a living one',
    requirement: 'HOST-13',
    code: Command.GET_DMA_MR,
    run: getDmaMr(0),
    answer: ok(0x202, 0x9900, 0),
    before: (bench, { pd }) => makeRegion(bench, pd),
  },
  ...[3, 4, 0x8000_0000, 0xffff_ffff].map(number => ({
    id: `number/completion-queue-${number}`,
    doc: `A new completion queue gets number ${number} of 3`,
    requirement: 'HOST-14',
    code: Command.CREATE_CQ,
    run: createCq,
    answer: ok(number),
  })),
  ...(
    [
      [QpType.RC, 0],
      [QpType.RC, 1],
      [QpType.UD, 5],
      [QpType.UC, 0xffff_ffff],
      [QpType.GSI, 2],
      [QpType.GSI, 0],
    ] as const
  ).map(([type, number]) => ({
    id: `number/queue-pair-${number}-of-type-${type}`,
    doc: `A new queue pair of type ${type} gets number ${number}, where there are pairs 1 to 4`,
    requirement: 'HOST-15',
    code: Command.CREATE_QP,
    run: createQp(type),
    answer: ok(number),
  })),
  {
    id: 'key/lkey-zero',
    doc: 'A new region has lkey 0',
    requirement: 'HOST-16',
    code: Command.REG_USER_MR,
    run: regMr(0),
    answer: ok(7, 0, 0),
  },
  {
    id: 'key/dma-lkey-zero',
    doc: 'A region of all memory has lkey 0',
    requirement: 'HOST-16',
    code: Command.GET_DMA_MR,
    run: getDmaMr(0),
    answer: ok(7, 0, 0),
  },
  {
    id: 'key/lkey-alive',
    doc: 'A new region has the lkey of a living one',
    requirement: 'HOST-16',
    code: Command.REG_USER_MR,
    run: regMr(0),
    answer: ok(7, 0x200, 0),
    before: (bench, { pd }) => makeRegion(bench, pd),
  },
  {
    id: 'key/rkey-without-rights',
    doc: 'A new region without remote rights has an rkey',
    requirement: 'HOST-17',
    code: Command.REG_USER_MR,
    run: regMr(AccessFlag.LOCAL_WRITE),
    answer: ok(7, 8, 8),
  },
  {
    id: 'key/no-rkey-with-read',
    doc: 'A new region with REMOTE_READ has no rkey',
    requirement: 'HOST-17',
    code: Command.REG_USER_MR,
    run: regMr(AccessFlag.REMOTE_READ),
    answer: ok(7, 8, 0),
  },
  {
    id: 'key/no-rkey-with-write',
    doc: 'A region of all memory with REMOTE_WRITE has no rkey',
    requirement: 'HOST-17',
    code: Command.GET_DMA_MR,
    run: getDmaMr(3),
    answer: ok(7, 8, 0),
  },
  ...[7, 8, 255].map(state => ({
    id: `query/state-${state}`,
    doc: `QUERY_QP answers state ${state}`,
    requirement: 'HOST-18',
    code: Command.QUERY_QP,
    run: queryQp,
    answer: stateAnswer(state),
  })),
];

/** One verb that is lied to, a bystander that is pending behind it, and all verbs afterwards. */
async function lie(bench: Bench, { code, run, answer, written, before, requirement }: Lie): Promise<void> {
  const objects = await makeObjects(bench);
  const mr = await makeRegion(bench, objects.pd);
  await bench.do('deregMr()', verbs => verbs.deregMr(mr));
  // Honest numbers so far: domain 0x100, region 0x201 with key 0x100; what `before` makes is the next one.
  await before?.(bench, objects);
  const held = bench.guest.inner.dmaBytesInUse;
  const call = bench.call('the verb that is lied to', verbs => run(verbs, objects));
  const command = await bench.expectCommand(code);
  const bystander = bench.call('a verb behind it', verbs => verbs.queryPort());
  await bench.run();
  bench.answer(command, answer, written ?? answer.length);
  await bench.run();
  const ids = [requirement, 'HOST-29'];
  bench.expect(
    call.state === 'rejected' && errnoOf(call.error) === 'EIO',
    `${call.what} ${describe(call)}, expected EIO`,
    ids,
  );
  expectFailed(bench);
  const { state, error } = bystander;
  bench.expect(
    state === 'rejected' && errnoOf(error) === 'EIO',
    `${bystander.what} ${describe(bystander)}, expected EIO`,
    ['ERR-25'],
  );
  bench.expect(
    bench.guest.inner.dmaBytesInUse >= held,
    'memory that a broken device was shown was given back',
    ['HOST-30'],
  );
  await expectAllEio(bench, { ...objects, mr, ah: { kind: 'ah' } });
}

export const brokenAnswerCases: readonly ConformanceCase[] = lies.map(each =>
  probeStarted({
    id: `HOST/answer/${each.id}`,
    doc: `${each.doc}: the verb and all that is pending fail with EIO, FAILED is set, no memory is given back, and every verb is EIO from then on.`,
    requirements: [each.requirement, 'HOST-28', 'HOST-29', 'ERR-26'],
    ask: async bench => lie(bench, each),
  }),
);
