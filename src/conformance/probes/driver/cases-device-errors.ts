/** Chapter 10, section 10.1: what a refusal by the device becomes, objects in use, limits, and records that stay as they were. */
import { Command, QpState, QpType } from '../../../abi/index.js';
import type { ProtectionDomain, Verbs } from '../../../verbs/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import type { Bench } from './bench.js';
import { refusal } from './cases-local-errors.js';
import { words } from './encode.js';
import { makeAddress, makeObjects, makeRegion, smallCap, someAddress, stepTo } from './objects.js';
import type { Objects } from './objects.js';
import { probeStarted } from './probe-case.js';
import { ARENA_BASE } from './probe-guest.js';

type Verb = (verbs: Verbs, objects: Objects) => Promise<unknown>;

const region = { addr: ARENA_BASE, length: 64, access: 1 };

function anotherQp(verbs: Verbs, { pd, sendCq, recvCq }: Objects, type: QpType = QpType.RC) {
  return verbs.createQp(pd, { type, sqSigAll: false, sendCq, recvCq, cap: smallCap });
}

/** A verb for each command, on objects that let the driver send it. */
const refusable: readonly (readonly [string, number, Verb])[] = [
  ['query-device', Command.QUERY_DEVICE, verbs => verbs.queryDevice()],
  ['query-port', Command.QUERY_PORT, verbs => verbs.queryPort()],
  ['create-cq', Command.CREATE_CQ, verbs => verbs.createCq(4)],
  ['req-notify-cq', Command.REQ_NOTIFY_CQ, (verbs, { sendCq }) => verbs.reqNotifyCq(sendCq, false)],
  ['create-pd', Command.CREATE_PD, verbs => verbs.createPd()],
  ['reg-mr', Command.REG_USER_MR, (verbs, { pd }) => verbs.regMr(pd, region)],
  ['get-dma-mr', Command.GET_DMA_MR, (verbs, { pd }) => verbs.getDmaMr(pd, 1)],
  ['create-qp', Command.CREATE_QP, (verbs, objects) => anotherQp(verbs, objects)],
  ['create-gsi', Command.CREATE_QP, (verbs, objects) => anotherQp(verbs, objects, QpType.GSI)],
  ['modify-qp', Command.MODIFY_QP, (verbs, { qp }) => verbs.modifyQp(qp, { minRnrTimer: 3 })],
  ['query-qp', Command.QUERY_QP, (verbs, { qp }) => verbs.queryQp(qp)],
  ['destroy-qp', Command.DESTROY_QP, (verbs, { qp }) => verbs.destroyQp(qp)],
  ['create-ah', Command.CREATE_AH, (verbs, { pd }) => verbs.createAh(pd, someAddress)],
  ['add-gid', Command.ADD_GID, verbs => verbs.addGid(1, someAddress.dgid)],
  ['del-gid', Command.DEL_GID, verbs => verbs.delGid(1)],
];

const refusedCases = refusable.map(([name, code, run]) =>
  probeStarted({
    id: `ERR/refused/${name}`,
    doc: 'A refusal by the device is EINVAL while nothing is used up, it changes nothing, and the same verb can be called again.',
    requirements: ['ERR-04', 'ERR-05', 'ERR-06'],
    ask: async bench => {
      const objects = await makeObjects(bench);
      for (let i = 0; i < 3; i++) {
        const call = bench.call(name, verbs => run(verbs, objects));
        bench.refuse(await bench.expectCommand(code, ['ERR-05']));
        await bench.fails(call, 'EINVAL');
      }
      await bench.value(
        bench.call(name, verbs => run(verbs, objects)),
        ['ERR-06'],
      );
    },
  }),
);

/** Objects whose destruction is refused live on. */
const refusedDestroys: readonly (readonly [
  string,
  number,
  (bench: Bench, pd: ProtectionDomain) => Promise<Verb>,
])[] = [
  [
    'domain',
    Command.DESTROY_PD,
    async bench => {
      const pd = await bench.do('createPd()', verbs => verbs.createPd());
      return verbs => verbs.destroyPd(pd);
    },
  ],
  [
    'completion-queue',
    Command.DESTROY_CQ,
    async bench => {
      const cq = await bench.do('createCq(2)', verbs => verbs.createCq(2));
      return verbs => verbs.destroyCq(cq);
    },
  ],
  [
    'region',
    Command.DEREG_MR,
    async (bench, pd) => {
      const mr = await makeRegion(bench, pd);
      return verbs => verbs.deregMr(mr);
    },
  ],
  [
    'address-handle',
    Command.DESTROY_AH,
    async (bench, pd) => {
      const ah = await makeAddress(bench, pd);
      return verbs => verbs.destroyAh(ah);
    },
  ],
];

const destroyCases = refusedDestroys.map(([name, code, make]) =>
  probeStarted({
    id: `ERR/refused-destroy/${name}`,
    doc: `A destroy of a ${name.replace('-', ' ')} that the device refuses is EINVAL, and the object is there still.`,
    requirements: ['ERR-04', 'ERR-06'],
    ask: async bench => {
      const objects = await makeObjects(bench);
      const run = await make(bench, objects.pd);
      for (let i = 0; i < 2; i++) {
        const call = bench.call(`destroy of a ${name}`, verbs => run(verbs, objects));
        bench.refuse(await bench.expectCommand(code, ['ERR-06']));
        await bench.fails(call, 'EINVAL');
      }
      await bench.value(
        bench.call('destroy', verbs => run(verbs, objects)),
        ['ERR-06'],
      );
      await refusal(bench, 'a second destroy', 'EINVAL', verbs => run(verbs, objects), 'silent');
    },
  }),
);

/** What uses what; the destroy of the used one is EBUSY until the user is gone. */
const uses: readonly (readonly [string, Verb, (bench: Bench, objects: Objects) => Promise<Verb>])[] = [
  [
    'domain-by-region',
    (verbs, { pd }) => verbs.destroyPd(pd),
    async (bench, { pd }) => {
      const mr = await makeRegion(bench, pd);
      return verbs => verbs.deregMr(mr);
    },
  ],
  [
    'domain-by-dma-region',
    (verbs, { pd }) => verbs.destroyPd(pd),
    async (bench, { pd }) => {
      const mr = await bench.do('getDmaMr()', verbs => verbs.getDmaMr(pd, 0));
      return verbs => verbs.deregMr(mr);
    },
  ],
  [
    'domain-by-address-handle',
    (verbs, { pd }) => verbs.destroyPd(pd),
    async (bench, { pd }) => {
      const ah = await makeAddress(bench, pd);
      return verbs => verbs.destroyAh(ah);
    },
  ],
  ['domain-by-queue-pair', (verbs, { pd }) => verbs.destroyPd(pd), user],
  ['send-cq-by-queue-pair', (verbs, { sendCq }) => verbs.destroyCq(sendCq), user],
  ['receive-cq-by-queue-pair', (verbs, { recvCq }) => verbs.destroyCq(recvCq), user],
];

async function user(bench: Bench, objects: Objects): Promise<Verb> {
  const qp = await bench.do('createQp()', verbs => anotherQp(verbs, objects));
  return verbs => verbs.destroyQp(qp);
}

const busyCases = uses.map(([name, destroy, use]) =>
  probeStarted({
    id: `ERR/busy/${name}`,
    doc: 'What another object uses is not destroyed: EBUSY. When the user is gone it is destroyed.',
    requirements: ['ERR-03', 'ERR-05'],
    ask: async bench => {
      const objects = await makeObjects(bench, { state: QpState.RESET });
      await bench.do('destroyQp()', verbs => verbs.destroyQp(objects.qp));
      const free = await use(bench, objects);
      for (let i = 0; i < 2; i++)
        await refusal(
          bench,
          `destroy of what is in use (${name})`,
          'EBUSY',
          verbs => destroy(verbs, objects),
          'either',
          ['ERR-03'],
        );
      await bench.do('destroy of the user', verbs => free(verbs, objects));
      await bench.value(
        bench.call('destroy', verbs => destroy(verbs, objects)),
        ['ERR-05', 'ERR-06'],
      );
    },
  }),
);

/** Limits of the device and of its configuration: how often the verb succeeds before it is ENOMEM. */
const limits: readonly (readonly [string, number, number, Verb])[] = [
  ['domains', 2, Command.CREATE_PD, verbs => verbs.createPd()],
  ['regions', 3, Command.REG_USER_MR, (verbs, { pd }) => verbs.regMr(pd, region)],
  ['dma-regions', 3, Command.GET_DMA_MR, (verbs, { pd }) => verbs.getDmaMr(pd, 0)],
  ['address-handles', 3, Command.CREATE_AH, (verbs, { pd }) => verbs.createAh(pd, someAddress)],
  ['completion-queues', 1, Command.CREATE_CQ, verbs => verbs.createCq(1)],
  ['queue-pairs', 2, Command.CREATE_QP, (verbs, objects) => anotherQp(verbs, objects)],
  ['gsi-queue-pairs', 1, Command.CREATE_QP, (verbs, objects) => anotherQp(verbs, objects, QpType.GSI)],
];

const limitCases = limits.map(([name, count, , run]) =>
  probeStarted({
    id: `ERR/limit/${name}`,
    doc: `As many ${name.replaceAll('-', ' ')} as the device advertises can be made; one more is ENOMEM, whether the driver refuses it or the device.`,
    requirements: ['ERR-02', 'ERR-05'],
    ask: async bench => {
      const objects = await makeObjects(bench);
      for (let i = 0; i < count; i++) {
        await bench.value(
          bench.call(`${name} ${i}`, verbs => run(verbs, objects)),
          ['ERR-05'],
        );
      }
      for (let i = 0; i < 2; i++)
        await refusal(bench, `one more of the ${name}`, 'ENOMEM', verbs => run(verbs, objects), 'either', [
          'ERR-02',
        ]);
    },
  }),
);

export const deviceErrorCases: readonly ConformanceCase[] = [
  ...refusedCases,
  ...destroyCases,
  ...busyCases,
  ...limitCases,
  probeStarted({
    id: 'ERR/limit/comes-free-again',
    doc: 'After ENOMEM and a destroy there is room for one again: the driver counts what lives.',
    requirements: ['ERR-05', 'ERR-06', 'ERR-02'],
    ask: async bench => {
      const pds: ProtectionDomain[] = [];
      for (let i = 0; i < 3; i++) pds.push(await bench.do('createPd()', verbs => verbs.createPd()));
      for (let round = 0; round < 3; round++) {
        await refusal(bench, 'createPd() at the limit', 'ENOMEM', verbs => verbs.createPd(), 'either', [
          'ERR-02',
        ]);
        const gone = pds.shift();
        if (gone !== undefined) await bench.do('destroyPd()', verbs => verbs.destroyPd(gone));
        const call = bench.call('createPd()', verbs => verbs.createPd());
        bench.refuse(await bench.expectCommand(Command.CREATE_PD, ['ERR-05']));
        await bench.fails(call, 'EINVAL', ['ERR-04']);
        pds.push(await bench.do('createPd()', verbs => verbs.createPd()));
      }
    },
  }),
  probeStarted({
    id: 'ERR/accepts/edges',
    doc: 'Values at the edge of what a device accepts are sent: the driver makes no limit up.',
    requirements: ['ERR-05'],
    ask: acceptsEdges,
  }),
  probeStarted({
    id: 'ERR/settles/own-answer',
    doc: 'Verbs of several kinds are under way at one time, are answered in another order where they are together with the device, and each settles once with its own answer.',
    requirements: ['ERR-07', 'VQ-39'],
    ask: ownAnswers,
  }),
  probeStarted({
    id: 'ERR/settles/refusal-of-another',
    doc: 'One of two verbs under way is refused: the other one is not.',
    requirements: ['ERR-07'],
    ask: async bench => {
      const calls = [3, 4].map(index =>
        bench.call(`addGid(${index})`, verbs => verbs.addGid(index, `${index}`.repeat(32))),
      );
      for (let left = 6; left > 0 && calls.some(({ state }) => state === 'pending'); left--) {
        await bench.run();
        while (bench.pending.length > 0) {
          const command = bench.pending[bench.pending.length - 1];
          // Byte 2 of the command is the low byte of the index.
          if (command.chain.readable[2] === 3) bench.refuse(command);
          else bench.ok(command);
        }
      }
      await bench.fails(calls[0], 'EINVAL');
      await bench.value(calls[1]);
    },
  }),
];

async function acceptsEdges(bench: Bench): Promise<void> {
  const pd = await bench.do('createPd()', verbs => verbs.createPd());
  const cqs = [];
  for (const cqe of [1, 8]) cqs.push(await bench.do(`createCq(${cqe})`, verbs => verbs.createCq(cqe)));
  const most = { maxSendWr: 8, maxRecvWr: 8, maxSendSge: 4, maxRecvSge: 3, maxInlineData: 512 };
  const least = { maxSendWr: 0, maxRecvWr: 0, maxSendSge: 0, maxRecvSge: 0, maxInlineData: 0 };
  for (const cap of [most, least]) {
    const init = { type: QpType.RC, sqSigAll: false, sendCq: cqs[0], recvCq: cqs[0], cap };
    const qp = await bench.do('createQp()', verbs => verbs.createQp(pd, init));
    bench.equal(JSON.stringify(qp.cap), JSON.stringify(cap), 'capacities granted');
    await bench.do('modifyQp(to INIT)', verbs =>
      verbs.modifyQp(qp, { ...stepTo(QpType.RC, QpState.INIT), qpAccessFlags: 7 }),
    );
    await bench.do('destroyQp()', verbs => verbs.destroyQp(qp));
  }
  const edge = {
    dgid: 'f'.repeat(32),
    sgidIndex: 255,
    flowLabel: 2 ** 20 - 1,
    hopLimit: 255,
    trafficClass: 255,
  };
  await bench.do('createAh()', verbs => verbs.createAh(pd, edge));
  for (const access of [0, 1, 3, 4, 5, 7]) {
    const mr = await bench.do(`getDmaMr(${access})`, verbs => verbs.getDmaMr(pd, access));
    const again = await bench.do(`regMr(${access})`, verbs => verbs.regMr(pd, { ...region, access }));
    await bench.do('deregMr()', verbs => verbs.deregMr(mr));
    await bench.do('deregMr()', verbs => verbs.deregMr(again));
  }
  await bench.do('addGid(7)', verbs => verbs.addGid(7, edge.dgid));
}

async function ownAnswers(bench: Bench): Promise<void> {
  const pd = bench.call('createPd()', verbs => verbs.createPd());
  const port = bench.call('queryPort()', verbs => verbs.queryPort());
  const cq = bench.call('createCq(3)', verbs => verbs.createCq(3));
  const device = bench.call('queryDevice()', verbs => verbs.queryDevice());
  const gid = bench.call('addGid()', verbs => verbs.addGid(0, someAddress.dgid));
  const calls = [pd, port, cq, device, gid];
  for (let left = 12; left > 0 && calls.some(({ state }) => state === 'pending'); left--) {
    await bench.run();
    while (bench.pending.length > 0) {
      const command = bench.pending[bench.pending.length - 1];
      if (command.code === Command.CREATE_PD) bench.accept(command, words(0xabcd));
      else bench.ok(command);
    }
  }
  for (const call of [port, cq, device, gid, pd]) bench.equal(call.state, 'resolved', call.what);
  bench.equal(port.value.gidTableLength, 8, 'gidTableLength');
  bench.equal(device.value.maxPd, 3, 'maxPd');
  bench.equal(cq.value.cqe, 3, 'cqe');
  bench.equal(
    bench.log.length - new Set(bench.log).size,
    bench.log.filter(code => code === Command.QUERY_DEVICE).length - 1,
    'commands sent twice',
    ['PERF-08'],
  );
}
