/** Drivers that write a field of a command wrongly. */
import {
  Command,
  createQpCommand,
  modifyQpCommand,
  regUserMrCommand,
  reqNotifyCommand,
} from '../../../abi/index.js';
import type { Mutant } from '../mutant.js';
import { command, swap32 } from './field-support.js';

const commandFields: readonly Mutant[] = [
  command(
    Command.CREATE_CQ,
    'cqe-big-endian',
    { breaks: 'OVR-02' },
    'The cqe of CREATE_CQ is written in big-endian order.',
    ({ view }) => swap32(view, 0),
  ),
  command(
    Command.REG_USER_MR,
    'access-flags-and-pdn-exchanged',
    { breaks: 'OVR-04' },
    'pdn and access_flags of REG_USER_MR are exchanged.',
    ({ view }) => {
      const pdn = view.getUint32(0, true);
      view.setUint32(0, view.getUint32(4, true), true);
      view.setUint32(4, pdn, true);
    },
  ),
  command(
    Command.REG_USER_MR,
    'padding-of-reg-user-mr',
    { chapter: 'reserved fields', breaks: 'OVR-06' },
    'The padding of REG_USER_MR is not zero.',
    ({ view }) => view.setUint32(regUserMrCommand.offsets.padding, 1, true),
  ),
  command(
    Command.CREATE_QP,
    'padding-of-create-qp',
    { chapter: 'reserved fields', breaks: 'OVR-06' },
    'The padding of CREATE_QP is not zero.',
    ({ view }) => view.setUint16(createQpCommand.offsets.padding, 0xffff, true),
  ),
  command(
    Command.MODIFY_QP,
    'reserved-words-of-modify-qp',
    { chapter: 'reserved fields', breaks: 'OVR-06' },
    'The reserved words of MODIFY_QP are not zero.',
    ({ view }) => view.setUint32(modifyQpCommand.offsets.reserved, 0xdead, true),
  ),
  command(
    Command.CREATE_AH,
    'padding-of-create-ah',
    { chapter: 'reserved fields', breaks: 'OVR-06' },
    'The padding of CREATE_AH is not zero.',
    ({ view }) => view.setUint32(4, 7, true),
  ),
  command(
    Command.ADD_GID,
    'padding-of-add-gid',
    { chapter: 'reserved fields', breaks: 'OVR-06' },
    'The padding of ADD_GID is not zero.',
    ({ view }) => view.setUint16(4, 7, true),
  ),
  command(
    Command.REG_USER_MR,
    'region-rounded-to-pages',
    { chapter: 'keys and bounds', breaks: 'MEM-02' },
    'A region is registered from the first byte of its first page to the last byte of its last.',
    ({ view }) => {
      const { virt_addr: at, npages, length } = regUserMrCommand.offsets;
      const low = view.getUint32(at, true);
      view.setUint32(at, low - (low % 4096), true);
      view.setUint32(length, view.getUint32(npages, true) * 4096, true);
      view.setUint32(length + 4, 0, true);
    },
  ),
  command(
    Command.REG_USER_MR,
    'page-list-backwards',
    { chapter: 'keys and bounds', breaks: 'MEM-01' },
    'The first two pages of a list change places.',
    ({ view }) => {
      const at = regUserMrCommand.size;
      if (view.byteLength < at + 16) return;
      for (let i = 0; i < 8; i += 4) {
        const word = view.getUint32(at + i, true);
        view.setUint32(at + i, view.getUint32(at + 8 + i, true), true);
        view.setUint32(at + 8 + i, word, true);
      }
    },
  ),
  command(
    Command.CREATE_QP,
    'signal-all-not-passed-on',
    { chapter: 'data path', breaks: 'OVR-04 OVR-11' },
    'sq_sig_all is always 0.',
    ({ view }) => view.setUint8(createQpCommand.offsets.sq_sig_all, 0),
  ),
  command(
    Command.CREATE_QP,
    'receive-cq-is-the-send-cq',
    { chapter: 'control', breaks: 'OVR-09 OVR-11' },
    'A queue pair receives on its send completion queue.',
    ({ view }) =>
      view.setUint32(
        createQpCommand.offsets.recv_cqn,
        view.getUint32(createQpCommand.offsets.send_cqn, true),
        true,
      ),
  ),
  command(
    Command.DEREG_MR,
    'mrn-of-16-bits',
    { chapter: 'wraps', breaks: 'OVR-09' },
    'Of an mrn only the low 8 bits are handed back.',
    ({ view }) => view.setUint32(0, view.getUint32(0, true) & 0xff, true),
  ),
  command(
    Command.DESTROY_PD,
    'pdn-of-8-bits',
    { chapter: 'wraps', breaks: 'OVR-09' },
    'Of a pdn only the low 8 bits are handed back.',
    ({ view }) => view.setUint32(0, view.getUint32(0, true) & 0xff, true),
  ),
  command(
    Command.DESTROY_AH,
    'ah-of-8-bits',
    { chapter: 'wraps', breaks: 'OVR-09' },
    'Of an ah only the low 8 bits are handed back.',
    ({ view }) => view.setUint32(4, view.getUint32(4, true) & 0xff, true),
  ),
  command(
    Command.REQ_NOTIFY_CQ,
    'armed-for-both',
    { chapter: 'completions', breaks: 'OVR-11' },
    'An arming for solicited completions has both flags.',
    ({ view }) => {
      if (view.getUint32(reqNotifyCommand.offsets.flags, true) === 1)
        view.setUint32(reqNotifyCommand.offsets.flags, 3, true);
    },
  ),
  command(
    Command.MODIFY_QP,
    'attribute-not-in-the-mask',
    { chapter: 'queue pair states and masks', breaks: 'OVR-11' },
    'MODIFY_QP does not name RNR_RETRY in its mask.',
    ({ view }) => view.setUint32(4, view.getUint32(4, true) & ~0x100, true),
  ),
  command(
    Command.MODIFY_QP,
    'modify-that-the-table-refuses',
    { chapter: 'queue pair states and masks', breaks: 'QP-34' },
    'MODIFY_QP to INIT names a time-out.',
    ({ view }) => {
      if (view.getUint8(modifyQpCommand.offsets.qp_state) === 1 && (view.getUint32(4, true) & 1) !== 0)
        view.setUint32(4, view.getUint32(4, true) | 0x40, true);
    },
  ),
];

export const commandFieldMutants: readonly Mutant[] = [...commandFields];
