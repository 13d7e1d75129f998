/** Drivers that write a field of a request wrongly, or take one of an answer for another. */
import {
  Command,
  commandHeader,
  cqReq,
  queryDeviceAck,
  queryPortAck,
  rqReq,
  sge,
  sqReq,
  wrRdma,
  wrUd,
} from '../../../abi/index.js';
import { mutant } from '../mutant.js';
import type { Mutant } from '../mutant.js';
import { messages } from '../seams/driver.js';
import type { Messages, Part } from '../seams/driver.js';
import { every } from '../seams/overlay.js';
import { swap32 } from './field-support.js';
import type { Facts } from './field-support.js';

/** Send or receive requests are written wrongly. */
function request(
  which: 'send' | 'recv',
  name: string,
  facts: Facts,
  doc: string,
  make: () => (part: Part) => void,
): Mutant {
  return mutant(
    'driver',
    name,
    { chapter: 'data path', ...facts },
    doc,
    messages(() => {
      const change = make();
      return {
        published([part], { kind }) {
          if (kind !== which) return;
          change(part);
          part.save();
        },
      };
    }),
  );
}

/** The driver understands an answer or a completion wrongly. */
function answer(name: string, facts: Facts, doc: string, returned: Messages['returned']): Mutant {
  return mutant(
    'driver',
    name,
    { chapter: 'control', ...facts },
    doc,
    messages(() => ({ returned })),
  );
}

const { offsets: send } = sqReq;

const requestFields: readonly Mutant[] = [
  request(
    'send',
    'padding-of-a-send',
    { chapter: 'reserved fields', breaks: 'OVR-06' },
    'The padding of a send request is not zero.',
    () =>
      ({ view }) =>
        view.setUint16(send.padding, 1, true),
  ),
  request(
    'send',
    'reserved-words-of-a-send',
    { chapter: 'reserved fields', breaks: 'OVR-06', needs: 'history' },
    'The reserved words of every fifth send request are not zero.',
    () => {
      const due = every(5);
      return ({ view }) => view.setUint32(send.reserved2 + 8, due() ? 1 : 0, true);
    },
  ),
  request(
    'recv',
    'reserved-words-of-a-receive',
    { chapter: 'reserved fields', breaks: 'OVR-06' },
    'The reserved words of a receive request are not zero.',
    () =>
      ({ view }) =>
        view.setUint32(rqReq.offsets.reserved, 1, true),
  ),
  request(
    'send',
    'overlay-of-a-datagram-on-rc',
    { breaks: 'DATA-02' },
    'The remote key stands where the address handle of a datagram would.',
    () =>
      ({ view }) => {
        const at = send.wr;
        view.setUint32(at + wrUd.offsets.ah, view.getUint32(at + wrRdma.offsets.rkey, true), true);
        view.setUint32(at + wrRdma.offsets.rkey, 0, true);
      },
  ),
  request(
    'send',
    'remote-address-big-endian',
    { breaks: 'OVR-02' },
    'The low half of a remote address is written in big-endian order.',
    () =>
      ({ view }) => {
        if (view.getUint8(send.opcode) < 2 || view.getUint8(send.opcode) === 4) swap32(view, send.wr);
      },
  ),
  request(
    'send',
    'inline-length-missing',
    { chapter: 'lengths', breaks: 'DATA-03' },
    'The length of inline data is not written.',
    () =>
      ({ view }) => {
        if ((view.getUint8(send.send_flags) & 8) !== 0) view.setUint16(send.num_sge, 0, true);
      },
  ),
  request(
    'send',
    'inline-data-one-byte-off',
    { chapter: 'data path', breaks: 'DATA-03' },
    'Inline data stands one byte behind its place.',
    () =>
      ({ view, bytes }) => {
        if ((view.getUint8(send.send_flags) & 8) !== 0)
          bytes.copyWithin(send.inline_data + 1, send.inline_data, send.inline_data + 511);
      },
  ),
  request(
    'send',
    'immediate-data-little-endian',
    { breaks: 'OVR-02' },
    'Immediate data is written in little-endian order.',
    () =>
      ({ view }) =>
        swap32(view, send.imm_data),
  ),
  request(
    'send',
    'element-length-and-key-exchanged',
    { breaks: 'OVR-04' },
    'length and lkey of the first gather element are exchanged.',
    () =>
      ({ view, length }) => {
        const at = sqReq.size;
        if (length < at + sge.size) return;
        const bytes = view.getUint32(at + sge.offsets.length, true);
        view.setUint32(at + sge.offsets.length, view.getUint32(at + sge.offsets.lkey, true), true);
        view.setUint32(at + sge.offsets.lkey, bytes, true);
      },
  ),
  request(
    'recv',
    'one-element-too-few',
    { breaks: 'DATA-22' },
    'A receive of several elements says one too few.',
    () =>
      ({ view }) => {
        const count = view.getUint32(rqReq.offsets.num_sge, true);
        if (count > 1) view.setUint32(rqReq.offsets.num_sge, count - 1, true);
      },
  ),
  request(
    'send',
    'one-element-more',
    { breaks: 'DATA-01' },
    'Every fourth send says that it has one element more.',
    () => {
      const due = every(4);
      return ({ view }) => {
        const inline = (view.getUint8(send.send_flags) & 8) !== 0;
        if (!inline && due()) view.setUint32(send.num_sge, view.getUint32(send.num_sge, true) + 1, true);
      };
    },
  ),
  request(
    'send',
    'wr-id-of-32-bits',
    { chapter: 'wraps', breaks: 'OVR-04 OVR-11' },
    'Of a wr_id only the low 32 bits are written.',
    () =>
      ({ view }) =>
        view.setUint32(4, 0, true),
  ),
];

const answerFields: readonly Mutant[] = [
  answer(
    'max-qp-wr-misplaced',
    { chapter: 'limits', breaks: 'OVR-04' },
    'max_pd is read where max_mr stands.',
    (parts, { kind }) => {
      const result = resultOf(parts, kind, Command.QUERY_DEVICE);
      result?.view.setUint32(
        queryDeviceAck.offsets.max_pd,
        result.view.getUint32(queryDeviceAck.offsets.max_mr, true),
        true,
      );
      result?.save();
    },
  ),
  answer(
    'gid-table-big-endian',
    { chapter: 'limits', breaks: 'OVR-02' },
    'gid_tbl_len is read in big-endian order.',
    (parts, { kind }) => {
      const result = resultOf(parts, kind, Command.QUERY_PORT);
      if (result !== undefined) swap32(result.view, queryPortAck.offsets.gid_tbl_len);
      result?.save();
    },
  ),
  answer(
    'reserved-answer-must-be-zero',
    { chapter: 'reserved fields', breaks: 'OVR-08' },
    'A QUERY_PORT whose reserved words are not zero is taken for one that was refused.',
    (parts, { kind }) => {
      const result = resultOf(parts, kind, Command.QUERY_PORT);
      if (result === undefined || result.view.getUint32(queryPortAck.offsets.reserved, true) === 0) return;
      parts[parts.length - 2].bytes[0] = 1;
      parts[parts.length - 2].save();
    },
  ),
  answer(
    'reserved-completion-must-be-zero',
    { chapter: 'reserved fields', breaks: 'OVR-08' },
    'A completion whose reserved words are not zero is taken for a failed one.',
    ([part], { kind }) => {
      if (
        kind !== 'cq' ||
        part.length < cqReq.size ||
        part.view.getUint32(cqReq.offsets.reserved, true) === 0
      )
        return;
      part.view.setUint8(cqReq.offsets.status, 13);
      part.save();
    },
  ),
  answer(
    'meaning-in-a-failed-completion',
    { chapter: 'reserved fields', breaks: 'CQ-27' },
    'A completion with an error whose opcode is not in the table is taken for one with an unknown status.',
    ([part], { kind }) => {
      if (kind !== 'cq' || part.length < cqReq.size) return;
      const failed = part.view.getUint8(cqReq.offsets.status) !== 0;
      if (failed && part.view.getUint8(cqReq.offsets.opcode) > 4)
        part.view.setUint8(cqReq.offsets.status, 200);
      part.save();
    },
  ),
  answer(
    'padding-of-a-completion-is-opcode',
    { chapter: 'reserved fields', breaks: 'OVR-08' },
    'The opcode of a completion is read together with its padding.',
    ([part], { kind }) => {
      if (kind !== 'cq' || part.length < cqReq.size) return;
      part.view.setUint8(
        cqReq.offsets.opcode,
        Math.min(
          255,
          part.view.getUint8(cqReq.offsets.opcode) + part.view.getUint16(cqReq.offsets.padding, true),
        ),
      );
      part.save();
    },
  ),
  answer(
    'result-of-a-refusal-used',
    { chapter: 'broken peers', breaks: 'CTRL-18 HOST-29 VQ-40' },
    'A refused CREATE_PD is taken for done.',
    (parts, { kind }, written) => {
      const result = resultOf(parts, kind, Command.CREATE_PD);
      if (result === undefined || written !== 1) return;
      parts[parts.length - 2].bytes[0] = 0;
      parts[parts.length - 2].save();
    },
  ),
];

/** The result of a command, which stands in the last part of its chain. */
function resultOf(parts: readonly Part[], kind: string, code: Command): Part | undefined {
  if (kind !== 'control' || parts[0].bytes[commandHeader.offsets.command] !== code) return undefined;
  return parts.at(-1);
}

export const messageFieldMutants: readonly Mutant[] = [...requestFields, ...answerFields];
