/** Devices that read a request wrongly, or are wrong about one that makes no sense. */
import { SendFlag, WcStatus, WrOpcode, cqReq, rqReq, sqReq, wrRdma } from '../../../abi/index.js';
import { bundledDevice } from '../../bundled.js';
import { mutant } from '../mutant.js';
import type { Mutant, MutantFacts } from '../mutant.js';
import { deviceBytes, perDevice, useOfAdapter } from '../seams/device.js';
import { overlay } from '../seams/overlay.js';

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

export const requestReadingMutants: readonly Mutant[] = [...decoding];
