/** Chapter 7: send and receive requests as they stand in the ring. */
import { QpType, SendFlag, WrOpcode, sqReq, wrOpcodes, wrRdma, wrUd } from '../../../abi/index.js';
import type { QpCap, SendWorkRequest, Sge } from '../../../verbs/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import type { Bench } from './bench.js';
import { firstDirtyByte } from './commands.js';
import { aRecv, aSend, makeAddress, makeObjects } from './objects.js';
import { probeStarted } from './probe-case.js';
import {
  decodeSend,
  elementsOf,
  giveBack,
  post,
  postReceive,
  takeReceives,
  takeSends,
  theRequest,
  wrIdOf,
} from './traffic.js';
import type { Request } from './traffic.js';

const layoutIds = ['DATA-01', 'DATA-02', 'OVR-04', 'OVR-02'];
export const elements: readonly Sge[] = [
  { addr: 0x1_0203_0405_0607, length: 0x0809_0a0b, lkey: 0xfeed_f00d },
  { addr: 0, length: 0, lkey: 0 },
  { addr: 2 ** 53 - 1, length: 0xffff_ffff, lkey: 0xffff_ffff },
];

/** Compares a send request in the ring with the post that it is of. */
function expectSend(
  bench: Bench,
  request: Request,
  posted: SendWorkRequest,
  number: number | undefined,
): void {
  const { bytes, view } = request;
  const inline = (posted.sendFlags & SendFlag.INLINE) !== 0;
  const list = inline ? [] : posted.sges;
  bench.equal(bytes.length, sqReq.size + 16 * list.length, 'readable bytes of the request', ['DATA-01']);
  bench.equal(request.chain.writableBytes, 0, 'writable bytes of the request', ['DATA-01']);
  const seen = decodeSend(request);
  bench.equal(seen.wr_id, posted.wrId, 'wr_id');
  bench.equal(seen.opcode, posted.opcode, 'opcode');
  bench.equal(seen.send_flags, posted.sendFlags, 'send_flags');
  const imm = view.getUint32(sqReq.offsets.imm_data, false);
  if (posted.immData !== undefined)
    bench.equal(imm, posted.immData, 'imm_data, its first byte the highest', ['OVR-02', 'DATA-01']);
  if (inline) expectInline(bench, request, posted.inlineData ?? new Uint8Array(0));
  else bench.equal(seen.num_sge, list.length, 'num_sge', ['DATA-01']);
  bench.equal(JSON.stringify(elementsOf(request, sqReq.size)), JSON.stringify(list), 'elements', ['DATA-01']);
  const dirty = firstDirtyByte(
    { ...sqReq, fields: sqReq.fields.filter(({ name }) => name !== 'wr' && name !== 'inline_data') },
    bytes,
    0,
  );
  bench.expect(dirty === undefined, `byte ${dirty} of the request is reserved and not zero`, ['OVR-06']);
  expectTarget(bench, request, posted, number);
}

function expectInline(bench: Bench, { bytes, view }: Request, data: Uint8Array): void {
  bench.equal(view.getUint16(sqReq.offsets.num_sge, true), data.length, 'the first two bytes of num_sge', [
    'DATA-03',
  ]);
  const at = data.findIndex((byte, i) => bytes[sqReq.offsets.inline_data + i] !== byte);
  bench.expect(at < 0, `byte ${at} of inline_data is not the one that was posted`, ['DATA-03']);
}

/** The overlay of opcode and service; what a request has no use for is zero. */
function expectTarget(
  bench: Bench,
  { bytes, view }: Request,
  posted: SendWorkRequest,
  number: number | undefined,
): void {
  const at = sqReq.offsets.wr;
  let used = 0;
  if (number !== undefined) {
    used = wrUd.size;
    const { remote_qpn: qpn, remote_qkey: qkey, ah } = wrUd.decode(view, at);
    bench.equal(qpn, posted.remoteQpn, 'remote_qpn', ['DATA-02']);
    bench.equal(qkey, posted.remoteQkey, 'remote_qkey', ['DATA-02']);
    bench.equal(ah, number, 'ah', ['DATA-02', 'OVR-09']);
  } else if (posted.opcode !== WrOpcode.SEND && posted.opcode !== WrOpcode.SEND_WITH_IMM) {
    used = wrRdma.size;
    const { remote_addr: address, rkey } = wrRdma.decode(view, at);
    bench.equal(address, posted.remoteAddr, 'remote_addr', ['DATA-02']);
    bench.equal(rkey, posted.rkey, 'rkey', ['DATA-02', 'OVR-09']);
  }
  const dirty = bytes.subarray(at + used, at + 32).findIndex(byte => byte !== 0);
  bench.expect(dirty < 0, `byte ${used + dirty} of wr has no meaning in this request and is not zero`, [
    'OVR-06',
  ]);
}

async function sendOn(
  bench: Bench,
  type: QpType,
  cap: Partial<QpCap>,
  requests: readonly SendWorkRequest[],
): Promise<void> {
  const { qp, qpn, pd } = await makeObjects(bench, { type, cap });
  const ah = type === QpType.UD || type === QpType.GSI ? await makeAddress(bench, pd) : undefined;
  // The fourth object that the honest device has numbered.
  const number = ah === undefined ? undefined : 0x301;
  for (const request of requests) {
    const posted = ah === undefined ? request : { ...request, ah };
    post(bench, qp, posted);
    const seen = theRequest(bench, bench.map.sq(qpn), ['DATA-01']);
    expectSend(bench, seen, posted, number);
    giveBack(bench, [seen]);
  }
}

const remote = { remoteAddr: 0x1f_0203_0405_0607, rkey: 0x8900_abcd };
const datagram = { remoteQpn: 0x00ab_cdef, remoteQkey: 0x8123_4567 };

const opcodes: readonly (readonly [string, QpType, WrOpcode])[] = [
  ...Object.values(WrOpcode).map(opcode => ['rc', QpType.RC, opcode] as const),
  ...Object.values(WrOpcode)
    .filter(opcode => opcode !== WrOpcode.RDMA_READ)
    .map(opcode => ['uc', QpType.UC, opcode] as const),
  ['ud', QpType.UD, WrOpcode.SEND],
  ['ud', QpType.UD, WrOpcode.SEND_WITH_IMM],
  ['gsi', QpType.GSI, WrOpcode.SEND],
];

const sendCases: readonly ConformanceCase[] = [
  ...opcodes.map(([service, type, opcode]) =>
    probeStarted({
      id: `DATA/send-${service}/${(wrOpcodes.nameOf(opcode) ?? '').toLowerCase().replaceAll('_', '-')}`,
      doc: 'The request stands in the ring as one readable chain, each field as it was posted, the overlay of its opcode filled in.',
      requirements: layoutIds,
      options: [{}, { indirect: true }],
      ask: async bench => {
        const withImm = opcode === WrOpcode.SEND_WITH_IMM || opcode === WrOpcode.RDMA_WRITE_WITH_IMM;
        const onWire = opcode === WrOpcode.SEND || opcode === WrOpcode.SEND_WITH_IMM;
        const isDatagram = type === QpType.UD || type === QpType.GSI;
        const small = [{ addr: 0x1234, length: 9, lkey: 0x8877_6655 }];
        const sges = opcode === WrOpcode.RDMA_READ ? elements.slice(0, 2) : isDatagram ? small : elements;
        await sendOn(bench, type, {}, [
          {
            wrId: 0x1f_1112_1314_1516,
            opcode,
            sendFlags: SendFlag.SIGNALED,
            sges,
            ...(withImm ? { immData: 0x1122_33f4 } : {}),
            ...(onWire ? {} : remote),
            ...(isDatagram ? datagram : {}),
          },
        ]);
      },
    }),
  ),
  probeStarted({
    id: 'DATA/send/flags',
    doc: 'Every set of the flags FENCE, SIGNALED, SOLICITED and INLINE stands in the request as it was posted.',
    requirements: ['DATA-01', 'OVR-04'],
    ask: async bench =>
      sendOn(
        bench,
        QpType.RC,
        {},
        Array.from({ length: 16 }, (_, sendFlags) =>
          aSend(sendFlags, { sendFlags, inlineData: Uint8Array.of(1, 2) }),
        ),
      ),
  }),
  probeStarted({
    id: 'DATA/send/numbers',
    doc: 'wr_id is handed to the device whole, up to 2^53 - 1.',
    requirements: ['DATA-01', 'OVR-02'],
    ask: async bench =>
      sendOn(
        bench,
        QpType.RC,
        {},
        [0, 1, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1].map(wrId => aSend(wrId)),
      ),
  }),
  probeStarted({
    id: 'DATA/send/element-counts',
    doc: 'A send has as many elements as were posted, from none to the capacity, behind its fixed part.',
    requirements: ['DATA-01'],
    ask: async bench =>
      sendOn(
        bench,
        QpType.RC,
        {},
        [3, 0, 2, 1, 3].map(count => aSend(count, { sges: elements.slice(0, count) })),
      ),
  }),
  ...[0, 1, 63, 64, 511, 512].map(length =>
    probeStarted({
      id: `DATA/send-inline/${length}-bytes`,
      doc: `${length} bytes of inline data stand in the request, their number in the first two bytes of num_sge.`,
      requirements: ['DATA-03', 'DATA-36'],
      ask: async bench =>
        sendOn(bench, QpType.RC, { maxInlineData: 512 }, [
          aSend(1, {
            sendFlags: SendFlag.INLINE,
            sges: [],
            inlineData: Uint8Array.from({ length }, (_, i) => (i * 31 + 5) & 0xff),
          }),
        ]),
    }),
  ),
  probeStarted({
    id: 'DATA/send-inline/copied-at-once',
    doc: 'The program changes its inline data right after the post: the request holds what was posted.',
    requirements: ['DATA-36', 'DATA-03'],
    ask: async bench => {
      const { qp, qpn } = await makeObjects(bench);
      const inlineData = Uint8Array.from({ length: 40 }, (_, i) => i + 1);
      const posted = inlineData.slice();
      post(bench, qp, aSend(1, { sendFlags: SendFlag.INLINE, inlineData, sges: [] }));
      inlineData.fill(0xee);
      const seen = theRequest(bench, bench.map.sq(qpn), ['DATA-01']);
      expectInline(bench, seen, posted);
    },
  }),
  probeStarted({
    id: 'DATA/send/elements-copied-at-once',
    doc: 'The program uses its list of elements again right after the post: the request holds what was posted.',
    requirements: ['DATA-01', 'DATA-35'],
    ask: async bench => {
      const { qp, qpn } = await makeObjects(bench);
      const element = { addr: 1, length: 2, lkey: 3 };
      post(bench, qp, aSend(1, { sges: [element] }));
      Object.assign(element, { addr: 9, length: 9, lkey: 9 });
      const [seen] = elementsOf(theRequest(bench, bench.map.sq(qpn), ['DATA-01']), sqReq.size);
      bench.equal(JSON.stringify(seen), '{"addr":1,"length":2,"lkey":3}', 'the element');
    },
  }),
  probeStarted({
    id: 'DATA/send/datagram-handle-gone',
    doc: 'A datagram that names a destroyed address handle is accepted and names a number that no handle has, although the old number is in use again.',
    requirements: ['ERR-10', 'DATA-02'],
    ask: handleGone,
  }),
  ...(['send', 'receive'] as const).map(side =>
    probeStarted({
      id: `DATA/order/${side}s`,
      doc: `The ${side}s of a queue stand in the ring in the order in which they were posted, round after round.`,
      requirements: ['DATA-04'],
      ask: async bench => {
        const { qp, qpn } = await makeObjects(bench);
        for (let round = 0; round < 12; round++) {
          const count = 1 + (round % 4);
          for (let i = 0; i < count; i++) {
            if (side === 'send') post(bench, qp, aSend(round * 10 + i));
            else postReceive(bench, qp, aRecv(round * 10 + i));
          }
          const requests = side === 'send' ? takeSends(bench, qpn) : takeReceives(bench, qpn);
          bench.equal(
            requests.map(wrIdOf).join(),
            Array.from({ length: count }, (_, i) => round * 10 + i).join(),
            'wr_ids in the ring',
          );
          giveBack(bench, requests);
        }
      },
    }),
  ),
];

async function handleGone(bench: Bench): Promise<void> {
  const { qp, qpn, pd } = await makeObjects(bench, { type: QpType.UD });
  const old = await makeAddress(bench, pd);
  const first = aSend(1, { ...datagram, ah: old });
  post(bench, qp, first);
  const number = wrUd.decode(theRequest(bench, bench.map.sq(qpn), ['DATA-01']).view, sqReq.offsets.wr).ah;
  await bench.do('destroyAh()', verbs => verbs.destroyAh(old));
  const again = bench.call('createAh()', verbs =>
    verbs.createAh(pd, { dgid: '1'.repeat(32), sgidIndex: 0, flowLabel: 0, hopLimit: 0, trafficClass: 0 }),
  );
  await bench.run();
  bench.accept(bench.pending[0], Uint8Array.of(number & 0xff, (number >> 8) & 0xff, 0, 0));
  await bench.value(again);
  post(bench, qp, aSend(2, { ...datagram, ah: old }), ['ERR-10']);
  const seen = wrUd.decode(theRequest(bench, bench.map.sq(qpn), ['DATA-01']).view, sqReq.offsets.wr).ah;
  bench.expect(seen !== number, `the request names handle ${seen}, which is another one's by now`, [
    'DATA-02',
  ]);
}

export const requestCases: readonly ConformanceCase[] = sendCases;
