/** Devices that carry requests out wrongly: what they read of a request, what they hand to the adapter, in which order. */
import { SendFlag, WcStatus, WrOpcode, cqReq, rqReq, sqReq, wrRdma } from '../../../abi/index.js';
import type { HcaQp } from '../../../reference/index.js';
import { VerbsError } from '../../../verbs/index.js';
import type { RecvWorkRequest, SendWorkRequest } from '../../../verbs/index.js';
import { bundledDevice } from '../../bundled.js';
import { mutant } from '../mutant.js';
import type { Mutant, MutantFacts } from '../mutant.js';
import { deviceBytes, perDevice, queuePairOwners, useOfAdapter } from '../seams/device.js';
import { every, from, overlay } from '../seams/overlay.js';

type Send = SendWorkRequest<object & { readonly kind: 'hca-ah' }>;

/** Sends are handed on with something changed. */
function sends(
  name: string,
  facts: Omit<MutantFacts, 'chapter'> & Partial<MutantFacts>,
  doc: string,
  make: () => (request: Send) => Partial<Send>,
): Mutant {
  return mutant(
    'device',
    name,
    { chapter: 'data path', ...facts },
    doc,
    useOfAdapter(hca => {
      const change = make();
      return {
        postSend: (qp, request, cookie) => hca.postSend(qp, { ...request, ...change(request) }, cookie),
      };
    }),
  );
}

function receives(
  name: string,
  facts: Omit<MutantFacts, 'chapter'> & Partial<MutantFacts>,
  doc: string,
  make: () => (request: RecvWorkRequest) => Partial<RecvWorkRequest>,
): Mutant {
  return mutant(
    'device',
    name,
    { chapter: 'data path', ...facts },
    doc,
    useOfAdapter(hca => {
      const change = make();
      return {
        postRecv: (qp, request, cookie) => hca.postRecv(qp, { ...request, ...change(request) }, cookie),
      };
    }),
  );
}

/** What the device reads of a send request is other than what stands there. */
function sendBytes(
  name: string,
  facts: Omit<MutantFacts, 'chapter'> & Partial<MutantFacts>,
  doc: string,
  send: (view: DataView, length: number) => void,
): Mutant {
  return mutant(
    'device',
    name,
    { chapter: 'errors and statuses', ...facts },
    doc,
    deviceBytes(() => ({ send })),
  );
}

const { offsets } = sqReq;
const isInline = (view: DataView): boolean => (view.getUint8(offsets.send_flags) & SendFlag.INLINE) !== 0;

const handedOn: readonly Mutant[] = [
  sends(
    'signaled-taken-for-granted',
    { breaks: 'CQ-02 DATA-08' },
    'Every send gives a completion.',
    () => r => ({
      sendFlags: r.sendFlags | SendFlag.SIGNALED,
    }),
  ),
  sends('signaled-lost', { breaks: 'CQ-01' }, 'The SIGNALED flag of inline sends is lost.', () => r => ({
    sendFlags: (r.sendFlags & SendFlag.INLINE) === 0 ? r.sendFlags : r.sendFlags & ~SendFlag.SIGNALED,
  })),
  sends(
    'solicited-lost',
    { chapter: 'completions', breaks: 'CQ-39 DATA-08' },
    'The SOLICITED flag of a send is lost.',
    () => r => ({
      sendFlags: r.sendFlags & ~SendFlag.SOLICITED,
    }),
  ),
  sends(
    'fence-lost',
    { chapter: 'ordering', breaks: 'ORD-05', needs: 'race' },
    'The FENCE flag of a send is lost.',
    () => r => ({
      sendFlags: r.sendFlags & ~SendFlag.FENCE,
    }),
  ),
  sends(
    'flags-exclude-each-other',
    { breaks: 'DATA-08' },
    'With SOLICITED the FENCE and SIGNALED flags are lost.',
    () => r => ({
      sendFlags:
        (r.sendFlags & SendFlag.SOLICITED) === 0
          ? r.sendFlags
          : r.sendFlags & ~(SendFlag.FENCE | SendFlag.SIGNALED),
    }),
  ),
  sends(
    'write-with-immediate-is-a-write',
    { breaks: 'CQ-24 OVR-10' },
    'RDMA_WRITE_WITH_IMM is carried out as RDMA_WRITE.',
    () => r => ({
      opcode: r.opcode === WrOpcode.RDMA_WRITE_WITH_IMM ? WrOpcode.RDMA_WRITE : r.opcode,
    }),
  ),
  sends(
    'send-with-immediate-is-a-send',
    { breaks: 'CQ-23 CQ-24' },
    'SEND_WITH_IMM is carried out as SEND.',
    () => r => ({
      opcode: r.opcode === WrOpcode.SEND_WITH_IMM ? WrOpcode.SEND : r.opcode,
    }),
  ),
  sends(
    'write-is-a-write-with-immediate',
    { breaks: 'DATA-44' },
    'RDMA_WRITE is carried out as RDMA_WRITE_WITH_IMM.',
    () => r => ({
      opcode: r.opcode === WrOpcode.RDMA_WRITE ? WrOpcode.RDMA_WRITE_WITH_IMM : r.opcode,
      immData: r.immData ?? 0,
    }),
  ),
  sends(
    'immediate-swapped',
    { breaks: 'DATA-09 CQ-24 OVR-01' },
    'The four bytes of the immediate data are reversed.',
    () => r => ({
      immData: swapped(r.immData ?? 0),
    }),
  ),
  sends(
    'immediate-zero-is-none',
    { breaks: 'DATA-09 CQ-23' },
    'A message with immediate data 0 is sent without.',
    () => r => ({
      opcode: r.immData !== 0 ? r.opcode : r.opcode === WrOpcode.SEND_WITH_IMM ? WrOpcode.SEND : r.opcode,
    }),
  ),
  sends(
    'last-element-left-out',
    { breaks: 'DATA-37' },
    'Of a list of several elements the last is not gathered.',
    () => r => ({
      sges: r.sges.length > 1 ? r.sges.slice(0, -1) : r.sges,
    }),
  ),
  sends(
    'elements-backwards',
    { breaks: 'DATA-37' },
    'The elements of a list are gathered from the last to the first.',
    () => r => ({
      sges: r.sges.toReversed(),
    }),
  ),
  sends(
    'empty-element-is-a-byte',
    { breaks: 'DATA-42 DATA-40' },
    'An element of no bytes is gathered as one of one byte.',
    () => r => ({
      sges: r.sges.map(sge => (sge.length === 0 ? { ...sge, length: 1 } : sge)),
    }),
  ),
  sends(
    'remote-address-of-32-bits',
    { chapter: 'wraps', breaks: 'OVR-03' },
    'Of a remote address above 4 GiB only the low half is used.',
    () => r => ({
      remoteAddr: (r.remoteAddr ?? 0) % 2 ** 32,
    }),
  ),
  sends(
    'remote-address-one-too-far',
    { breaks: 'ERR-23 OVR-03', needs: 'history' },
    'From the third on, a write goes to the byte behind the right one.',
    () => {
      const due = from(3);
      return r =>
        r.opcode <= WrOpcode.RDMA_WRITE_WITH_IMM && due() ? { remoteAddr: (r.remoteAddr ?? 0) + 1 } : {};
    },
  ),
  sends(
    'inline-byte-lost',
    { breaks: 'DATA-47', needs: 'history' },
    'The first byte of inline data is wrong from the fourth send on.',
    () => {
      const due = from(4);
      return r => {
        if (r.inlineData === undefined || !due()) return {};
        const inlineData = r.inlineData.slice();
        if (inlineData.length > 0) inlineData[0] ^= 0xff;
        return { inlineData };
      };
    },
  ),
  sends(
    'inline-is-sixteen-bytes',
    { chapter: 'lengths', breaks: 'DATA-47 DATA-03' },
    'Inline data of more than 16 bytes is cut off.',
    () => r => ({
      inlineData: r.inlineData?.subarray(0, 16),
    }),
  ),
  sends(
    'qkey-of-the-request-always',
    { chapter: 'isolation', breaks: 'DATA-54' },
    'A Q_Key with bit 31 is sent as it is.',
    () => r => ({
      remoteQkey: (r.remoteQkey ?? 0) >>> 31 === 1 ? (r.remoteQkey ?? 0) & 0x7fff_ffff : r.remoteQkey,
    }),
  ),
  receives(
    'last-scatter-element-left-out',
    { breaks: 'DATA-38' },
    'Of a receive of several elements the last is not there.',
    () => r => ({
      sges: r.sges.length > 1 ? r.sges.slice(0, -1) : r.sges,
    }),
  ),
  receives(
    'scattered-backwards',
    { breaks: 'DATA-38' },
    'The elements of a receive are filled from the last to the first.',
    () => r => ({
      sges: r.sges.toReversed(),
    }),
  ),
  receives(
    'receive-room-rounded-up',
    { chapter: 'lengths', breaks: 'ERR-16 DATA-39 ERR-23 ERR-20 ERR-21' },
    'An element of a receive is taken to be one byte longer.',
    () => r => ({
      sges: r.sges.map(sge => ({ ...sge, length: sge.length + 1 })),
    }),
  ),
  mutant(
    'device',
    'receive-of-nothing-refused',
    { chapter: 'data path', breaks: 'DATA-26' },
    'A receive without elements is taken for a malformed one.',
    useOfAdapter(hca => ({
      postRecv(qp, request, cookie) {
        if (request.sges.length > 0) hca.postRecv(qp, request, cookie);
        else hca.postFaultyRecv(qp, request.wrId, WcStatus.LOC_QP_OP_ERR, cookie);
      },
    })),
  ),
  mutant(
    'device',
    'message-of-nothing-skipped',
    { chapter: 'data path', breaks: 'DATA-40 ERR-22' },
    'A SEND of no bytes completes and is not sent.',
    useOfAdapter(hca => {
      const owners = ownersOf();
      return {
        createQp: owners.createQp(hca),
        postSend(qp, request, cookie) {
          const empty = request.sges.length === 0 && (request.inlineData?.length ?? 0) === 0;
          const plain =
            empty && request.opcode === WrOpcode.SEND && (request.sendFlags & SendFlag.SIGNALED) === 0;
          if (plain) owners.retire(qp, cookie);
          else hca.postSend(qp, request, cookie);
        },
      };
    }),
  ),
];

function swapped(value: number): number {
  const [a, b, c, d] = [24, 16, 8, 0].map(shift => (value >>> shift) & 0xff);
  return ((d << 24) | (c << 16) | (b << 8) | a) >>> 0;
}

/** Tells the owner of a queue pair that a send left which the adapter never had. */
function ownersOf() {
  const told = new Map<HcaQp, (cookie: number) => void>();
  return {
    createQp:
      (hca: Parameters<Parameters<typeof useOfAdapter>[0]>[0]): typeof hca.createQp =>
      (pd, init, owner, qpNum) => {
        const qp = hca.createQp(pd, init, owner, qpNum);
        told.set(qp, cookie => owner.sendRetired(qp, cookie));
        return qp;
      },
    retire(qp: HcaQp, cookie: number): void {
      told.get(qp)?.(cookie);
    },
  };
}

const decoding: readonly Mutant[] = [
  sendBytes(
    'short-request-padded',
    { chapter: 'lengths', breaks: 'DATA-12' },
    'A send whose elements are cut off is carried out with those that are there.',
    (view, length) => {
      const there = Math.floor((length - sqReq.size) / 16);
      if (!isInline(view) && view.getUint32(offsets.num_sge, true) > there)
        view.setUint32(offsets.num_sge, there, true);
    },
  ),
  sendBytes('unknown-opcode-is-send', { breaks: 'DATA-13' }, 'An unknown opcode is taken for SEND.', view => {
    if (view.getUint8(offsets.opcode) > WrOpcode.RDMA_READ) view.setUint8(offsets.opcode, WrOpcode.SEND);
  }),
  sendBytes(
    'too-many-elements-cut',
    { chapter: 'limits', breaks: 'DATA-14' },
    'Of too many gather elements the first are taken.',
    view => {
      if (!isInline(view) && view.getUint32(offsets.num_sge, true) > 8)
        view.setUint32(offsets.num_sge, 1, true);
    },
  ),
  sendBytes(
    'too-much-inline-cut',
    { chapter: 'limits', breaks: 'DATA-15' },
    'Of too many inline bytes the first are taken.',
    view => {
      if (isInline(view) && view.getUint16(offsets.num_sge, true) > 64)
        view.setUint16(offsets.num_sge, 1, true);
    },
  ),
  sendBytes(
    'unknown-flags-ignored',
    { breaks: 'DATA-16' },
    'Send flags that are not in the table are ignored.',
    view => {
      view.setUint8(offsets.send_flags, view.getUint8(offsets.send_flags) & 0x0f);
    },
  ),
  sendBytes(
    'inline-read-is-a-read',
    { breaks: 'DATA-17' },
    'The INLINE flag of an RDMA_READ is ignored.',
    view => {
      if (view.getUint8(offsets.opcode) !== WrOpcode.RDMA_READ || !isInline(view)) return;
      view.setUint8(offsets.send_flags, view.getUint8(offsets.send_flags) & ~SendFlag.INLINE);
      view.setUint32(offsets.num_sge, 0, true);
    },
  ),
  sendBytes(
    'inline-length-of-four-bytes',
    { chapter: 'reserved fields', breaks: 'DATA-07 OVR-07' },
    'The inline length is read from all four bytes of num_sge.',
    view => {
      if (isInline(view) && view.getUint32(offsets.num_sge, true) > 0xffff) view.setUint8(offsets.opcode, 99);
    },
  ),
  sendBytes(
    'padding-must-be-zero',
    { chapter: 'reserved fields', breaks: 'OVR-07' },
    'A send request with something in its padding is malformed.',
    view => {
      if (view.getUint16(offsets.padding, true) !== 0) view.setUint8(offsets.opcode, 99);
    },
  ),
  sendBytes(
    'reserved-words-must-be-zero',
    { chapter: 'reserved fields', breaks: 'OVR-07' },
    'A send request with something in its reserved words is malformed.',
    view => {
      if (view.getUint32(offsets.reserved2, true) !== 0) view.setUint8(offsets.opcode, 99);
    },
  ),
  sendBytes(
    'immediate-of-a-plain-send',
    { breaks: 'DATA-07', chapter: 'data path' },
    'A SEND with something in imm_data is taken for SEND_WITH_IMM.',
    view => {
      if (view.getUint8(offsets.opcode) === WrOpcode.SEND && view.getUint32(offsets.imm_data, true) !== 0)
        view.setUint8(offsets.opcode, WrOpcode.SEND_WITH_IMM);
    },
  ),
  sendBytes(
    'key-of-a-plain-send',
    { breaks: 'DATA-07', chapter: 'data path' },
    'A connected SEND with an rkey in its overlay is malformed.',
    view => {
      const opcode = view.getUint8(offsets.opcode);
      const key = view.getUint32(offsets.wr + wrRdma.offsets.rkey, true);
      if (opcode === WrOpcode.SEND && key > 0xffff) view.setUint8(offsets.opcode, 99);
    },
  ),
  sendBytes(
    'bytes-behind-a-request',
    { chapter: 'lengths', breaks: 'DATA-05' },
    'A send with bytes behind its elements is malformed.',
    (view, length) => {
      const elements = isInline(view) ? 0 : view.getUint32(offsets.num_sge, true);
      if (length > sqReq.size + 16 * elements) view.setUint8(offsets.opcode, 99);
    },
  ),
  mutant(
    'device',
    'receive-elements-cut',
    { chapter: 'limits', breaks: 'DATA-24' },
    'Of too many scatter elements the first are taken.',
    deviceBytes(() => ({
      recv(view, length) {
        const there = Math.floor((length - rqReq.size) / 16);
        const count = view.getUint32(rqReq.offsets.num_sge, true);
        if (count > Math.min(there, 8)) view.setUint32(rqReq.offsets.num_sge, Math.min(there, 1), true);
      },
    })),
  ),
  mutant(
    'device',
    'receive-reserved-must-be-zero',
    { chapter: 'reserved fields', breaks: 'OVR-07' },
    'A receive with something in its reserved words is malformed.',
    deviceBytes(() => ({
      recv(view) {
        if (view.getUint32(rqReq.offsets.reserved, true) !== 0)
          view.setUint32(rqReq.offsets.num_sge, 99, true);
      },
    })),
  ),
  mutant(
    'device',
    'bad-request-vanishes',
    { chapter: 'errors and statuses', breaks: 'HOST-04 DATA-20 CQ-01' },
    'A malformed send is never completed.',
    useOfAdapter(() => ({ postFaultySend: () => undefined })),
  ),
  mutant(
    'device',
    'bad-request-is-a-length-error',
    { chapter: 'errors and statuses', breaks: 'HOST-04 DATA-13 DATA-16' },
    'A malformed send completes with LOC_LEN_ERR.',
    useOfAdapter(hca => ({
      postFaultySend: (qp, wrId, _status, cookie) =>
        hca.postFaultySend(qp, wrId, WcStatus.LOC_LEN_ERR, cookie),
    })),
  ),
  mutant(
    'device',
    'long-request-is-an-operation-error',
    { chapter: 'errors and statuses', breaks: 'ERR-13' },
    'A message that is too long completes with LOC_QP_OP_ERR.',
    useOfAdapter(hca => ({
      postFaultySend: (qp, wrId, _status, cookie) =>
        hca.postFaultySend(qp, wrId, WcStatus.LOC_QP_OP_ERR, cookie),
    })),
  ),
  mutant(
    'device',
    'bad-request-jumps-the-queue',
    { chapter: 'ordering', breaks: 'DATA-20 ORD-01', needs: 'race' },
    'A malformed send is completed at once and moves the queue pair to ERR, whatever is before it.',
    useOfAdapter(hca => ({
      postFaultySend(qp, wrId, status, cookie) {
        if (hca.queryQp(qp).qpState === 3) hca.modifyQp(qp, { qpState: 6 });
        hca.postFaultySend(qp, wrId, status, cookie);
      },
    })),
  ),
  mutant(
    'device',
    'bad-receive-vanishes',
    { chapter: 'errors and statuses', breaks: 'DATA-24 CQ-01' },
    'A malformed receive is never completed.',
    useOfAdapter(() => ({ postFaultyRecv: () => undefined })),
  ),
  mutant(
    'device',
    'bad-receive-at-once',
    { chapter: 'ordering', breaks: 'DATA-25' },
    'A malformed receive moves the queue pair to ERR as soon as it is read.',
    useOfAdapter(hca => ({
      postFaultyRecv(qp, wrId, status, cookie) {
        hca.postFaultyRecv(qp, wrId, status, cookie);
        if (hca.queryQp(qp).qpState > 1) hca.modifyQp(qp, { qpState: 6 });
      },
    })),
  ),
  mutant(
    'device',
    'request-read-twice',
    { chapter: 'broken peers', breaks: 'HOST-02', needs: 'race' },
    'A send request is read once to be judged and once more to be carried out.',
    perDevice(({ memory }) => ({
      device: context =>
        bundledDevice({
          ...context,
          memory: overlay(memory, {
            read(address, target, to, length) {
              const done = memory.read(address, target, to, length);
              return length === sqReq.size ? memory.read(address, target, to, length) : done;
            },
          }),
        }),
    })),
  ),
  mutant(
    'device',
    'completion-buffer-read',
    { chapter: 'broken peers', breaks: 'HOST-05' },
    'The device reads a completion buffer when it has filled it.',
    deviceBytes(({ memory }) => {
      const old = new Uint8Array(cqReq.size);
      return {
        accessed(kind, address, length) {
          if (kind === 'write' && length === cqReq.size) memory.read(address, old, 0, length);
        },
      };
    }),
  ),
];

const inOrder: readonly Mutant[] = [
  mutant(
    'device',
    'sends-reordered',
    { chapter: 'ordering', breaks: 'ORD-01 QP-22 ORD-03 VQ-31 ORD-06', needs: 'race' },
    'Of two sends that are there together the second goes first.',
    useOfAdapter((hca, context) => {
      const kept = new Map<HcaQp, () => void>();
      return {
        postSend(qp, request, cookie) {
          const copy = {
            ...request,
            sges: request.sges.map(sge => ({ ...sge })),
            inlineData: request.inlineData?.slice(),
          };
          const post = (): void => {
            try {
              hca.postSend(qp, copy, cookie);
            } catch (error) {
              if (!(error instanceof VerbsError)) throw error;
            }
          };
          const before = kept.get(qp);
          if (before !== undefined) {
            kept.delete(qp);
            post();
            return before();
          }
          kept.set(qp, post);
          const give = (): void => {
            if (kept.delete(qp)) post();
          };
          context.scheduler.post({ run: give });
        },
      };
    }),
  ),
  mutant(
    'device',
    'receives-reordered',
    { chapter: 'ordering', breaks: 'ORD-02', needs: 'race' },
    'Of two receives that are there together the second is used first.',
    useOfAdapter((hca, context) => {
      const kept = new Map<HcaQp, () => void>();
      return {
        postRecv(qp, request, cookie) {
          const copy = { ...request, sges: request.sges.map(sge => ({ ...sge })) };
          const post = (): void => {
            try {
              hca.postRecv(qp, copy, cookie);
            } catch (error) {
              if (!(error instanceof VerbsError)) throw error;
            }
          };
          const before = kept.get(qp);
          if (before !== undefined) {
            kept.delete(qp);
            post();
            return before();
          }
          kept.set(qp, post);
          context.scheduler.post({
            run: () => {
              if (kept.delete(qp)) post();
            },
          });
        },
      };
    }),
  ),
  mutant(
    'device',
    'chain-back-too-soon',
    { chapter: 'data path', breaks: 'DATA-27 DATA-34 ORD-11', needs: 'race' },
    'The chain of a send comes back as soon as it was posted.',
    useOfAdapter(hca => {
      const early = new Set<string>();
      const tell = new Map<HcaQp, (cookie: number) => void>();
      return {
        createQp(pd, init, owner, qpNum) {
          const late = {
            recvRetired: (qp: HcaQp, cookie: number) => owner.recvRetired(qp, cookie),
            sendRetired(qp: HcaQp, cookie: number) {
              if (!early.delete(`${qp.qpNum} ${cookie}`)) owner.sendRetired(qp, cookie);
            },
          };
          const qp = hca.createQp(pd, init, late, qpNum);
          tell.set(qp, cookie => owner.sendRetired(qp, cookie));
          return qp;
        },
        postSend(qp, request, cookie) {
          hca.postSend(qp, request, cookie);
          if (request.opcode === WrOpcode.RDMA_READ) return;
          early.add(`${qp.qpNum} ${cookie}`);
          tell.get(qp)?.(cookie);
        },
      };
    }),
  ),
  mutant(
    'device',
    'chain-back-after-its-completion',
    { chapter: 'ordering', breaks: 'ORD-15', needs: 'race' },
    'The chain of a send comes back one microsecond after its completion.',
    useOfAdapter((hca, { scheduler }) => ({
      createQp: (pd, init, owner, qpNum) =>
        hca.createQp(
          pd,
          init,
          {
            recvRetired: (qp, cookie) => owner.recvRetired(qp, cookie),
            sendRetired: (qp, cookie) =>
              void scheduler.schedule(1000, { run: () => owner.sendRetired(qp, cookie) }, 'timer'),
          },
          qpNum,
        ),
    })),
  ),
  mutant(
    'device',
    'waiting-request-forgotten',
    { chapter: 'data path', breaks: 'DATA-30 DATA-29', needs: 'history' },
    'Of more than eight sends that are under way the ninth is never sent.',
    useOfAdapter(hca => {
      const under = new Map<HcaQp, number>();
      return {
        createQp(pd, init, owner, qpNum) {
          return hca.createQp(
            pd,
            init,
            {
              recvRetired: (qp, cookie) => owner.recvRetired(qp, cookie),
              sendRetired(qp, cookie) {
                under.set(qp, (under.get(qp) ?? 1) - 1);
                owner.sendRetired(qp, cookie);
              },
            },
            qpNum,
          );
        },
        postSend(qp, request, cookie) {
          const count = under.get(qp) ?? 0;
          if (count >= 8) return;
          under.set(qp, count + 1);
          hca.postSend(qp, request, cookie);
        },
      };
    }),
  ),
  mutant(
    'device',
    'every-third-send-dropped',
    { chapter: 'data path', breaks: 'CQ-01 DATA-28 DATA-33', needs: 'history' },
    'Every third send is read and goes nowhere.',
    useOfAdapter(hca => {
      const due = every(3);
      return {
        postSend(qp, request, cookie) {
          if (!due()) hca.postSend(qp, request, cookie);
        },
      };
    }),
  ),
  mutant(
    'device',
    'receives-used-twice',
    { chapter: 'data path', breaks: 'DATA-46 CQ-01', needs: 'history' },
    'Every fifth receive is posted to the adapter twice.',
    useOfAdapter(hca => {
      const due = every(5);
      return {
        postRecv(qp, request, cookie) {
          hca.postRecv(qp, request, cookie);
          if (due()) hca.postRecv(qp, request, cookie);
        },
      };
    }),
  ),
  mutant(
    'device',
    'writes-to-its-requests',
    { chapter: 'rings', breaks: 'DATA-23 VQ-33 ISO-08' },
    'The device clears the first byte of a send request when it has read it.',
    deviceBytes(() => ({
      accessed(kind, address, length, memory) {
        if (kind === 'read' && length >= sqReq.size) memory.write(address, new Uint8Array(1), 0, 1);
      },
    })),
  ),
  mutant(
    'device',
    'retired-behind-the-next',
    { chapter: 'ordering', breaks: 'ORD-14', needs: 'history' },
    'Every third send comes back behind the one after it.',
    queuePairOwners(owner => {
      const due = every(3);
      let kept: number | undefined;
      return {
        sendRetired(qp, cookie) {
          const late = kept;
          kept = undefined;
          if (late === undefined && due()) {
            kept = cookie;
            return;
          }
          owner.sendRetired(qp, cookie);
          if (late !== undefined) owner.sendRetired(qp, late);
        },
      };
    }),
  ),
];

export const dataPathMutants: readonly Mutant[] = [...handedOn, ...decoding, ...inOrder];
