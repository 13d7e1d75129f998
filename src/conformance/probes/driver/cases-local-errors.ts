/** Chapter 10, section 10.1, the driver's own checks: what does not fit a field, what is outside a limit, what is gone. */
import { Command, QpType } from '../../../abi/index.js';
import type { Verbs } from '../../../verbs/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import type { Bench } from './bench.js';
import { words } from './encode.js';
import { makeAddress, makeObjects, makeRegion, smallCap, someAddress, stepTo } from './objects.js';
import type { Objects } from './objects.js';
import { probeStarted } from './probe-case.js';
import { ARENA_BASE, ARENA_BYTES, PAGE_BYTES } from './probe-guest.js';

/**
 * Calls a verb that must fail. `silent`: no command may go out. Otherwise the driver may leave the check to the device,
 * which refuses; the errno is the same.
 */
export async function refusal(
  bench: Bench,
  what: string,
  errno: string,
  run: (verbs: Verbs) => Promise<unknown>,
  how: 'silent' | 'either',
  requirements?: readonly string[],
): Promise<void> {
  const call = bench.call(what, run);
  await bench.run();
  if (how === 'silent' && bench.pending.length > 0)
    throw bench.broken(
      `${what} sent ${bench.pending[0].name}, expected ${errno} and no command`,
      requirements,
    );
  for (let left = 4; left > 0 && call.state === 'pending' && bench.pending.length > 0; left--) {
    bench.refuse(bench.pending[0]);
    await bench.run();
  }
  await bench.fails(call, errno, requirements);
}

type Wrong = readonly [string, (verbs: Verbs, objects: Objects) => Promise<unknown>];

function cap(
  verbs: Verbs,
  { pd, sendCq, recvCq }: Objects,
  change: Partial<typeof smallCap>,
  type: QpType = QpType.RC,
) {
  return verbs.createQp(pd, { type, sqSigAll: false, sendCq, recvCq, cap: { ...smallCap, ...change } });
}
function ah(verbs: Verbs, { pd }: Objects, change: Partial<typeof someAddress>) {
  return verbs.createAh(pd, { ...someAddress, ...change });
}
function mr(
  verbs: Verbs,
  { pd }: Objects,
  change: Partial<{ addr: number; length: number; access: number }>,
) {
  return verbs.regMr(pd, { addr: ARENA_BASE, length: 64, access: 1, ...change });
}

const TOO_LARGE = 2 ** 32;
/** What no unsigned field holds. */
const never: readonly number[] = [-1, 1.5, Number.NaN];

/** Arguments that do not fit their fields; nothing may be sent for any of them. */
const unfit: Readonly<Record<string, readonly Wrong[]>> = {
  'create-cq': [TOO_LARGE, ...never].map(cqe => [`createCq(${cqe})`, verbs => verbs.createCq(cqe)]),
  'add-gid-index': [65536, ...never].map(i => [`addGid(${i})`, verbs => verbs.addGid(i, someAddress.dgid)]),
  'del-gid-index': [65536, ...never].map(i => [`delGid(${i})`, verbs => verbs.delGid(i)]),
  'add-gid-text': ['', '00', '0'.repeat(31), '0'.repeat(33), 'g'.repeat(32), `${'0'.repeat(31)} `].map(
    gid => [`addGid(0, '${gid}')`, verbs => verbs.addGid(0, gid)],
  ),
  'create-ah': [
    ...[TOO_LARGE, ...never].map((flowLabel): Wrong => [
      `flowLabel ${flowLabel}`,
      (verbs, o) => ah(verbs, o, { flowLabel }),
    ]),
    ...[256, ...never].flatMap((value): Wrong[] => [
      [`sgidIndex ${value}`, (verbs, o) => ah(verbs, o, { sgidIndex: value })],
      [`hopLimit ${value}`, (verbs, o) => ah(verbs, o, { hopLimit: value })],
      [`trafficClass ${value}`, (verbs, o) => ah(verbs, o, { trafficClass: value })],
    ]),
    ['dgid of 30 digits', (verbs, o) => ah(verbs, o, { dgid: '0'.repeat(30) })],
  ],
  'create-qp': [TOO_LARGE, ...never].flatMap((value): Wrong[] =>
    (['maxSendWr', 'maxRecvWr', 'maxSendSge', 'maxRecvSge', 'maxInlineData'] as const).map(name => [
      `createQp with ${name} ${value}`,
      (verbs, o) => cap(verbs, o, { [name]: value }),
    ]),
  ),
  'reg-mr': [
    ...[2 ** 53, ...never].map((addr): Wrong => [`regMr at ${addr}`, (verbs, o) => mr(verbs, o, { addr })]),
    ...never.map((length): Wrong => [`regMr of ${length} bytes`, (verbs, o) => mr(verbs, o, { length })]),
    ...[TOO_LARGE, ...never].map((access): Wrong => [
      `regMr with access ${access}`,
      (verbs, o) => mr(verbs, o, { access }),
    ]),
  ],
  'get-dma-mr': [TOO_LARGE, ...never].map(access => [
    `getDmaMr(${access})`,
    (verbs, { pd }) => verbs.getDmaMr(pd, access),
  ]),
  'modify-qp-bytes': [256, -1, 0.5].flatMap((value): Wrong[] =>
    (['minRnrTimer', 'timeout', 'retryCnt', 'rnrRetry', 'maxRdAtomic', 'maxDestRdAtomic'] as const).map(
      name => [`modifyQp with ${name} ${value}`, (verbs, { qp }) => verbs.modifyQp(qp, { [name]: value })],
    ),
  ),
  'modify-qp-words': [TOO_LARGE, -1, 0.5].flatMap((value): Wrong[] => [
    [`modifyQp with qpAccessFlags ${value}`, (verbs, { qp }) => verbs.modifyQp(qp, { qpAccessFlags: value })],
    [
      `modifyQp with sgidIndex ${value}`,
      (verbs, { qp }) => verbs.modifyQp(qp, { ahAttr: { ...someAddress, sgidIndex: value } }),
    ],
    [
      `modifyQp with flowLabel ${value}`,
      (verbs, { qp }) => verbs.modifyQp(qp, { ahAttr: { ...someAddress, flowLabel: value } }),
    ],
  ]),
};

/** Arguments that fit, and that no device accepts: refused here or there, with EINVAL. */
const illegal: Readonly<Record<string, readonly Wrong[]>> = {
  'create-cq-zero': [['createCq(0)', verbs => verbs.createCq(0)]],
  'create-cq-too-deep': [['createCq(9)', verbs => verbs.createCq(9)]],
  'create-qp-send-slots': [['maxSendWr 9', (verbs, o) => cap(verbs, o, { maxSendWr: 9 })]],
  'create-qp-receive-slots': [['maxRecvWr 9', (verbs, o) => cap(verbs, o, { maxRecvWr: 9 })]],
  'create-qp-send-elements': [['maxSendSge 5', (verbs, o) => cap(verbs, o, { maxSendSge: 5 })]],
  'create-qp-receive-elements': [['maxRecvSge 4', (verbs, o) => cap(verbs, o, { maxRecvSge: 4 })]],
  'create-qp-inline': [['maxInlineData 513', (verbs, o) => cap(verbs, o, { maxInlineData: 513 })]],
  'create-qp-smi': [['type SMI', (verbs, o) => cap(verbs, o, {}, QpType.SMI)]],
  'reg-mr-empty': [['0 bytes', (verbs, o) => mr(verbs, o, { length: 0 })]],
  'reg-mr-too-long': [['2^20 + 1 bytes', (verbs, o) => mr(verbs, o, { length: 2 ** 20 + 1 })]],
  'reg-mr-unknown-right': [['access 8', (verbs, o) => mr(verbs, o, { access: 8 })]],
  'reg-mr-remote-write-alone': [['access 2', (verbs, o) => mr(verbs, o, { access: 2 })]],
  'get-dma-mr-unknown-right': [['access 0x100', (verbs, { pd }) => verbs.getDmaMr(pd, 0x100)]],
  'get-dma-mr-remote-write-alone': [['access 6', (verbs, { pd }) => verbs.getDmaMr(pd, 6)]],
  'create-ah-flow-label': [['flowLabel 2^20', (verbs, o) => ah(verbs, o, { flowLabel: 2 ** 20 })]],
  'modify-qp-capacities': [['cap', (verbs, { qp }) => verbs.modifyQp(qp, { cap: smallCap })]],
  'modify-qp-rate-limit': [['rateLimit', (verbs, { qp }) => verbs.modifyQp(qp, { rateLimit: 1 })]],
};

function each(name: string, wrong: readonly Wrong[], how: 'silent' | 'either'): ConformanceCase {
  const doc =
    how === 'silent'
      ? 'Arguments that do not fit their fields fail with EINVAL, and no command goes out.'
      : 'Arguments that no device accepts fail with EINVAL, whether the driver refuses them or leaves that to the device.';
  return probeStarted({
    id: `ERR/${how === 'silent' ? 'does-not-fit' : 'illegal'}/${name}`,
    doc,
    requirements: how === 'silent' ? ['ERR-01'] : ['ERR-04'],
    ask: async bench => {
      const objects = await makeObjects(bench);
      for (const [what, run] of wrong)
        await refusal(bench, what, 'EINVAL', verbs => run(verbs, objects), how);
      await bench.do('queryPort()', verbs => verbs.queryPort());
    },
  });
}

/** A handle that is gone, what can be tried with it, and how another object gets its number. */
interface Gone {
  readonly wrong: readonly Wrong[];
  readonly again: () => Promise<unknown>;
}

/** Answers the next create with a number of the case's own. */
async function made<T>(
  bench: Bench,
  code: number,
  answer: Uint8Array,
  what: string,
  run: (verbs: Verbs) => Promise<T>,
): Promise<T> {
  const call = bench.call(what, run);
  bench.accept(await bench.expectCommand(code), answer);
  return bench.value(call);
}

const stale: Readonly<Record<string, (bench: Bench, objects: Objects) => Promise<Gone>>> = {
  domain: async bench => {
    const again = () => made(bench, Command.CREATE_PD, words(77), 'createPd()', verbs => verbs.createPd());
    const pd = await again();
    await bench.do('destroyPd()', verbs => verbs.destroyPd(pd));
    const wrong: readonly Wrong[] = [
      ['destroyPd', verbs => verbs.destroyPd(pd)],
      ['regMr', verbs => verbs.regMr(pd, { addr: ARENA_BASE, length: 1, access: 0 })],
      ['getDmaMr', verbs => verbs.getDmaMr(pd, 0)],
      ['createAh', verbs => verbs.createAh(pd, someAddress)],
      ['createQp', (verbs, o) => cap(verbs, { ...o, pd }, {})],
    ];
    return { wrong, again };
  },
  'completion-queue': async bench => {
    const again = () => bench.do('createCq(1)', verbs => verbs.createCq(1));
    const cq = await again();
    await bench.do('destroyCq()', verbs => verbs.destroyCq(cq));
    const wrong: readonly Wrong[] = [
      ['destroyCq', verbs => verbs.destroyCq(cq)],
      ['reqNotifyCq', verbs => verbs.reqNotifyCq(cq, false)],
      ['createQp, its send queue', (verbs, o) => cap(verbs, { ...o, sendCq: cq }, {})],
      ['createQp, its receive queue', (verbs, o) => cap(verbs, { ...o, recvCq: cq }, {})],
    ];
    return { wrong, again };
  },
  region: async (bench, { pd }) => {
    const init = { addr: ARENA_BASE, length: 1, access: 0 };
    const again = () =>
      made(bench, Command.REG_USER_MR, words(77, 0x7700, 0), 'regMr()', verbs => verbs.regMr(pd, init));
    const region = await again();
    await bench.do('deregMr()', verbs => verbs.deregMr(region));
    return { wrong: [['deregMr', verbs => verbs.deregMr(region)]], again };
  },
  'queue-pair': async (bench, objects) => {
    const { qp } = objects;
    await bench.do('destroyQp()', verbs => verbs.destroyQp(qp));
    const wrong: readonly Wrong[] = [
      ['destroyQp', verbs => verbs.destroyQp(qp)],
      ['modifyQp', verbs => verbs.modifyQp(qp, stepTo(QpType.RC, 1))],
      ['queryQp', verbs => verbs.queryQp(qp)],
    ];
    return { wrong, again: () => bench.do('createQp()', verbs => cap(verbs, objects, {})) };
  },
  'address-handle': async (bench, { pd }) => {
    const again = () =>
      made(bench, Command.CREATE_AH, words(77), 'createAh()', verbs => verbs.createAh(pd, someAddress));
    const handle = await again();
    await bench.do('destroyAh()', verbs => verbs.destroyAh(handle));
    return { wrong: [['destroyAh', verbs => verbs.destroyAh(handle)]], again };
  },
};

export const localErrorCases: readonly ConformanceCase[] = [
  ...Object.entries(unfit).map(([name, wrong]) => each(name, wrong, 'silent')),
  ...Object.entries(illegal).map(([name, wrong]) => each(name, wrong, 'either')),
  ...Object.entries(stale).map(([kind, gone]) =>
    probeStarted({
      id: `ERR/gone/${kind}`,
      doc: `The handle of a ${kind.replace('-', ' ')} that is destroyed fails with EINVAL in every verb; when its number is another's, no command names it.`,
      requirements: ['ERR-04', 'OVR-11'],
      ask: async bench => {
        const objects = await makeObjects(bench);
        const { wrong, again } = await gone(bench, objects);
        for (const [what, run] of wrong)
          await refusal(
            bench,
            `${what} with a ${kind} that is gone`,
            'EINVAL',
            verbs => run(verbs, objects),
            'either',
          );
        await again();
        for (const [what, run] of wrong)
          await refusal(
            bench,
            `${what} with the old handle of a number in use again`,
            'EINVAL',
            verbs => run(verbs, objects),
            'silent',
            ['OVR-11', 'ERR-04'],
          );
      },
    }),
  ),
  probeStarted({
    id: 'ERR/foreign/handles',
    doc: 'Objects of another driver on another device fail with EINVAL, and no command names their numbers.',
    requirements: ['ERR-04', 'OVR-11'],
    ask: foreignHandles,
  }),
  ...[
    ['not-mapped', ARENA_BASE + ARENA_BYTES, PAGE_BYTES],
    ['below-the-mapping', ARENA_BASE - 1, 2],
    ['end-not-mapped', ARENA_BASE + ARENA_BYTES - 1, 2],
    ['far-end-not-mapped', ARENA_BASE, ARENA_BYTES + 1],
  ].map(([what, addr, length]) =>
    probeStarted({
      id: `ERR/unmapped/${what}`,
      doc: 'Memory that is not mapped, wholly or in part, is not registered: EFAULT, and no command.',
      requirements: ['ERR-01', 'ERR-06'],
      ask: async bench => {
        const { pd } = await makeObjects(bench);
        await refusal(
          bench,
          'regMr()',
          'EFAULT',
          verbs => verbs.regMr(pd, { addr: Number(addr), length: Number(length), access: 1 }),
          'silent',
        );
        await makeRegion(bench, pd);
        bench.equal(bench.log.at(-1), Command.REG_USER_MR, 'the last command');
      },
    }),
  ),
];

async function foreignHandles(bench: Bench): Promise<void> {
  const objects = await makeObjects(bench);
  const other = bench.another();
  try {
    await other.start();
    const theirs = await makeObjects(other);
    const region = await makeRegion(other, theirs.pd);
    const handle = await makeAddress(other, theirs.pd);
    const wrong: readonly Wrong[] = [
      ['destroyPd', verbs => verbs.destroyPd(theirs.pd)],
      ['destroyCq', verbs => verbs.destroyCq(theirs.sendCq)],
      ['reqNotifyCq', verbs => verbs.reqNotifyCq(theirs.sendCq, true)],
      ['deregMr', verbs => verbs.deregMr(region)],
      ['destroyAh', verbs => verbs.destroyAh(handle)],
      ['queryQp', verbs => verbs.queryQp(theirs.qp)],
      ['modifyQp', verbs => verbs.modifyQp(theirs.qp, { qpState: 6 })],
      ['destroyQp', verbs => verbs.destroyQp(theirs.qp)],
      ['createQp, its domain', (verbs, o) => cap(verbs, { ...o, pd: theirs.pd }, {})],
      ['createQp, its send queue', (verbs, o) => cap(verbs, { ...o, sendCq: theirs.sendCq }, {})],
      ['regMr', verbs => verbs.regMr(theirs.pd, { addr: ARENA_BASE, length: 1, access: 0 })],
    ];
    for (const [what, run] of wrong)
      await refusal(bench, `${what} of another driver`, 'EINVAL', verbs => run(verbs, objects), 'silent');
    other.finish();
  } finally {
    other.guest.release();
  }
}
