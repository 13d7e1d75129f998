/** Devices that are wrong about what stands in a completion. */
import { WcFlag, WcOpcode, WcStatus, cqReq, wcStatuses } from '../../../abi/index.js';
import { mutant } from '../mutant.js';
import type { Mutant, MutantFacts } from '../mutant.js';
import { deviceBytes } from '../seams/device.js';
import { every, from } from '../seams/overlay.js';

type Facts = Omit<MutantFacts, 'chapter'> & Partial<MutantFacts>;

const { offsets } = cqReq;

/** A field of a completion is written wrongly. `change` is made for each device. */
function entry(
  name: string,
  facts: Facts,
  doc: string,
  make: () => (view: DataView, ok: boolean) => void,
): Mutant {
  return mutant(
    'device',
    name,
    { chapter: 'completions', ...facts },
    doc,
    deviceBytes(() => {
      const change = make();
      return {
        completion: view => change(view, view.getUint8(offsets.status) === WcStatus.SUCCESS),
      };
    }),
  );
}

const contents: readonly Mutant[] = [
  entry(
    'wr-id-of-32-bits',
    { chapter: 'wraps', breaks: 'CQ-18' },
    'Of a wr_id only the low 32 bits come back.',
    () => view => view.setUint32(offsets.wr_id + 4, 0, true),
  ),
  entry(
    'wr-id-of-53-bits',
    { chapter: 'wraps', breaks: 'CQ-18' },
    'Of a wr_id the highest 11 bits are lost.',
    () => view =>
      view.setUint32(offsets.wr_id + 4, view.getUint32(offsets.wr_id + 4, true) & 0x1f_ffff, true),
  ),
  entry(
    'wr-id-of-the-next',
    { breaks: 'CQ-18', needs: 'history' },
    'Every eighth completion has the number of the next request.',
    () => {
      const due = every(8);
      return view => {
        if (due()) view.setUint32(offsets.wr_id, view.getUint32(offsets.wr_id, true) + 1, true);
      };
    },
  ),
  entry(
    'qp-num-one-too-high',
    { breaks: 'CQ-19' },
    'The number of the queue pair is one too high.',
    () => view => view.setUint32(offsets.qp_num, view.getUint32(offsets.qp_num, true) + 1, true),
  ),
  entry('status-not-in-the-table', { breaks: 'CQ-20' }, 'A flushed request has status 100.', () => view => {
    if (view.getUint8(offsets.status) === WcStatus.WR_FLUSH_ERR) view.setUint8(offsets.status, 100);
  }),
  entry(
    'verbs-opcode-of-a-receive',
    { breaks: 'CQ-21' },
    'A receive has the opcode 128 of the verbs.',
    () => (view, ok) => {
      if (ok && view.getUint8(offsets.opcode) === WcOpcode.RECV) view.setUint8(offsets.opcode, 128);
    },
  ),
  entry(
    'receive-of-a-write-is-a-receive',
    { breaks: 'CQ-21' },
    'A receive that a write used has the opcode of any receive.',
    () => (view, ok) => {
      if (ok && view.getUint8(offsets.opcode) === WcOpcode.RECV_RDMA_WITH_IMM)
        view.setUint8(offsets.opcode, WcOpcode.RECV);
    },
  ),
  entry(
    'read-is-a-write',
    { breaks: 'CQ-21' },
    'The completion of a read has the opcode of a write.',
    () => (view, ok) => {
      if (ok && view.getUint8(offsets.opcode) === WcOpcode.RDMA_READ)
        view.setUint8(offsets.opcode, WcOpcode.RDMA_WRITE);
    },
  ),
  entry(
    'byte-len-one-too-large',
    { chapter: 'lengths', breaks: 'CQ-22' },
    'A receive says one byte more than came.',
    () => (view, ok) => {
      if (ok && view.getUint8(offsets.opcode) === WcOpcode.RECV)
        view.setUint32(offsets.byte_len, view.getUint32(offsets.byte_len, true) + 1, true);
    },
  ),
  entry(
    'byte-len-of-16-bits',
    { chapter: 'wraps', breaks: 'CQ-22' },
    'Of byte_len only the low 15 bits are given.',
    () => view => view.setUint32(offsets.byte_len, view.getUint32(offsets.byte_len, true) & 0x7fff, true),
  ),
  entry(
    'byte-len-without-the-route',
    { chapter: 'lengths', breaks: 'CQ-22 DATA-49' },
    'The byte_len of a datagram leaves its 40 bytes of route out.',
    () => (view, ok) => {
      const flags = view.getUint32(offsets.wc_flags, true);
      if (ok && (flags & WcFlag.GRH) !== 0)
        view.setUint32(offsets.byte_len, view.getUint32(offsets.byte_len, true) - 40, true);
    },
  ),
  entry(
    'with-imm-not-set',
    { breaks: 'CQ-23' },
    'WITH_IMM is never set.',
    () => view =>
      view.setUint32(offsets.wc_flags, view.getUint32(offsets.wc_flags, true) & ~WcFlag.WITH_IMM, true),
  ),
  entry(
    'grh-not-set',
    { breaks: 'CQ-23' },
    'GRH is never set.',
    () => view =>
      view.setUint32(offsets.wc_flags, view.getUint32(offsets.wc_flags, true) & ~WcFlag.GRH, true),
  ),
  entry(
    'grh-of-a-connected-receive',
    { breaks: 'CQ-23' },
    'GRH is set on every receive.',
    () => (view, ok) => {
      if (ok && view.getUint8(offsets.opcode) >= WcOpcode.RECV)
        view.setUint32(offsets.wc_flags, view.getUint32(offsets.wc_flags, true) | WcFlag.GRH, true);
    },
  ),
  entry(
    'immediate-little-endian',
    { breaks: 'CQ-24 OVR-01' },
    'The immediate data is written in little-endian order.',
    () => view => view.setUint32(offsets.imm_data, view.getUint32(offsets.imm_data, false), true),
  ),
  entry(
    'src-qp-is-the-own',
    { breaks: 'CQ-25' },
    'The sender of a datagram is said to be the receiver.',
    () => view => {
      if (view.getUint32(offsets.src_qp, true) !== 0)
        view.setUint32(offsets.src_qp, view.getUint32(offsets.qp_num, true), true);
    },
  ),
  ...(['opcode', 'byte_len', 'imm_data', 'src_qp', 'wc_flags'] as const).map(field =>
    entry(
      `${field.replaceAll('_', '-')}-of-an-error`,
      { chapter: 'reserved fields', breaks: 'CQ-26' },
      `A completion with an error has something in ${field}.`,
      () => (view, ok) => {
        if (!ok) view.setUint8(offsets[field], 1);
      },
    ),
  ),
  entry(
    'padding-of-a-completion',
    { chapter: 'reserved fields', breaks: 'OVR-05' },
    'The padding of a completion is not zero.',
    () => view => view.setUint16(offsets.padding, 0xdead, true),
  ),
  entry(
    'reserved-words-of-a-completion',
    { chapter: 'reserved fields', breaks: 'OVR-05', needs: 'history' },
    'The last reserved word of a completion counts completions from the fifth on.',
    () => {
      const due = from(5);
      return view => view.setUint32(offsets.reserved + 8, due() ? 5 : 0, true);
    },
  ),
  entry(
    'qp-num-big-endian',
    { breaks: 'OVR-01 CQ-19' },
    'The number of the queue pair is written in big-endian order.',
    () => view => view.setUint32(offsets.qp_num, view.getUint32(offsets.qp_num, true), false),
  ),
  entry(
    'byte-len-and-qp-num-exchanged',
    { breaks: 'OVR-03 CQ-19 CQ-22' },
    'qp_num stands where src_qp belongs.',
    () => view => {
      view.setUint32(offsets.src_qp, view.getUint32(offsets.qp_num, true), true);
      view.setUint32(offsets.qp_num, 0, true);
    },
  ),
];

/** Which obligation each status other than success is about, and what is given in its place. */
const mapped: readonly (readonly [keyof typeof WcStatus, keyof typeof WcStatus, string])[] = [
  ['LOC_LEN_ERR', 'LOC_PROT_ERR', 'ERR-13 ERR-16'],
  ['LOC_QP_OP_ERR', 'LOC_LEN_ERR', 'DATA-13 DATA-14 DATA-15 DATA-16 DATA-17 DATA-18 DATA-19 HOST-04'],
  ['LOC_PROT_ERR', 'LOC_ACCESS_ERR', 'ERR-11 ERR-12 ERR-17'],
  ['WR_FLUSH_ERR', 'GENERAL_ERR', 'QP-48 QP-49'],
  ['LOC_ACCESS_ERR', 'LOC_PROT_ERR', 'DATA-82'],
  ['REM_INV_REQ_ERR', 'REM_ACCESS_ERR', 'ERR-14 ERR-16'],
  ['REM_ACCESS_ERR', 'REM_INV_REQ_ERR', 'ERR-14 ERR-15'],
  ['REM_OP_ERR', 'REM_ACCESS_ERR', 'ERR-17'],
  ['RETRY_EXC_ERR', 'RNR_RETRY_EXC_ERR', 'ERR-19'],
  ['RNR_RETRY_EXC_ERR', 'RETRY_EXC_ERR', 'ERR-18'],
];

const statusMapping = mapped.map(([status, shown, breaks]) =>
  entry(
    `${status.toLowerCase().replaceAll('_', '-')}-mapped-wrongly`,
    { chapter: 'errors and statuses', breaks },
    `${status} is given to the driver as ${shown}.`,
    () => view => {
      if (view.getUint8(offsets.status) === WcStatus[status]) view.setUint8(offsets.status, WcStatus[shown]);
    },
  ),
);

const errorsAsSuccess: readonly Mutant[] = [
  entry(
    'error-is-success',
    { chapter: 'errors and statuses', breaks: 'ERR-22 ERR-15 ERR-14' },
    'REM_ACCESS_ERR is given to the driver as SUCCESS.',
    () => view => {
      if (view.getUint8(offsets.status) === WcStatus.REM_ACCESS_ERR)
        view.setUint8(offsets.status, WcStatus.SUCCESS);
    },
  ),
  entry(
    'verbs-numbers-of-statuses',
    { chapter: 'errors and statuses', breaks: 'CQ-20 OVR-10' },
    'Statuses from WR_FLUSH_ERR on have the numbers of the verbs, which are one higher.',
    () => view => {
      const status = view.getUint8(offsets.status);
      if (status >= WcStatus.WR_FLUSH_ERR && status + 1 < wcStatuses.names.length)
        view.setUint8(offsets.status, status + 1);
    },
  ),
];

export const completionFieldMutants: readonly Mutant[] = [...contents, ...statusMapping, ...errorsAsSuccess];
