/** Devices that leave out one check of a command, and carry it out as if what it says were something legal. */
import {
  AccessFlag,
  Command,
  NotifyFlag,
  addGidCommand,
  createCqCommand,
  modifyQpCommand,
} from '../../../abi/index.js';
import { VerbsError } from '../../../verbs/index.js';
import { mutant } from '../mutant.js';
import type { Mutant } from '../mutant.js';
import { commands, otherPages, useOfAdapter } from '../seams/device.js';
import { createAh, createQp, getDmaMr, regUserMr, reqNotify, unchecked } from './check-support.js';

const { LOCAL_WRITE, REMOTE_WRITE, REMOTE_READ } = AccessFlag;

const ANY_ACCESS = LOCAL_WRITE | REMOTE_WRITE | REMOTE_READ;

const INLINE_MAX = 512;

const PAGE_BYTES = 4096;

const createCq = unchecked(Command.CREATE_CQ, createCqCommand);

const modifyQp = unchecked(Command.MODIFY_QP, modifyQpCommand);

const addGid = unchecked(Command.ADD_GID, addGidCommand);

const queueChecks: readonly Mutant[] = [
  createCq('cq-of-nothing', 'CTRL-33', 'CREATE_CQ with cqe 0 makes a queue of one entry.', ({ cqe }) =>
    cqe === 0 ? { cqe: 1 } : undefined,
  ),
  createCq(
    'cq-above-max-cqe',
    'CTRL-34 CTRL-35',
    'CREATE_CQ with a cqe that is too large makes a queue of the largest size.',
    ({ cqe }, { context }) => {
      const most = Math.min(context.hca.attributes.maxCqe, context.limits.queueSizeMax);
      return cqe > most ? { cqe: most } : undefined;
    },
    'limits',
  ),
  createCq(
    'cq-above-its-virtqueue',
    'CTRL-35',
    'CREATE_CQ with more entries than its virtqueue has makes a queue of as many as it has.',
    ({ cqe }, objects) => {
      const { context } = objects;
      const queue = context.liveQueue(context.queueMap.cq(objects.freeCqn()));
      return queue !== undefined && cqe > queue.size && cqe <= context.hca.attributes.maxCqe
        ? { cqe: queue.size }
        : undefined;
    },
    'limits',
  ),
  reqNotify('arming-for-nothing', 'CTRL-40', 'REQ_NOTIFY_CQ with flags 0 arms for any completion.', r =>
    r.flags === 0 ? { flags: NotifyFlag.NEXT_COMPLETION } : undefined,
  ),
  reqNotify('unknown-notify-flag', 'CTRL-41', 'REQ_NOTIFY_CQ ignores flags that it does not know.', r =>
    r.flags > 3 ? { flags: (r.flags & 3) === 0 ? NotifyFlag.SOLICITED : r.flags & 3 } : undefined,
  ),
  reqNotify(
    'both-notify-flags-are-solicited',
    'CTRL-42',
    'REQ_NOTIFY_CQ with both flags arms for solicited completions only.',
    r => (r.flags === 3 ? { flags: NotifyFlag.SOLICITED } : undefined),
    'completions',
  ),
];

function rights(access: number): { access_flags: number } | undefined {
  return access > ANY_ACCESS ? { access_flags: access & ANY_ACCESS & ~REMOTE_WRITE } : undefined;
}

function addedRight(access: number): { access_flags: number } | undefined {
  const lacks = (access & REMOTE_WRITE) !== 0 && (access & LOCAL_WRITE) === 0 && access <= ANY_ACCESS;
  return lacks ? { access_flags: access | LOCAL_WRITE } : undefined;
}

function pagesOf(address: number, length: number): number {
  return Math.floor((address + length - 1) / PAGE_BYTES) - Math.floor(address / PAGE_BYTES) + 1;
}

const regionChecks: readonly Mutant[] = [
  getDmaMr('dma-mr-unknown-right', 'CTRL-49', 'GET_DMA_MR ignores access flags that do not exist.', r =>
    rights(r.access_flags),
  ),
  getDmaMr(
    'dma-mr-remote-write-alone',
    'CTRL-50',
    'GET_DMA_MR adds the LOCAL_WRITE that REMOTE_WRITE lacks.',
    r => addedRight(r.access_flags),
  ),
  regUserMr('user-mr-unknown-right', 'CTRL-54', 'REG_USER_MR ignores access flags that do not exist.', r =>
    rights(r.access_flags),
  ),
  regUserMr(
    'user-mr-remote-write-alone',
    'CTRL-55',
    'REG_USER_MR adds the LOCAL_WRITE that REMOTE_WRITE lacks.',
    r => addedRight(r.access_flags),
  ),
  regUserMr('user-mr-empty', 'CTRL-56', 'REG_USER_MR with a length of 0 makes a region of one byte.', r =>
    r.length === 0 ? { length: 1, npages: 1 } : undefined,
  ),
  regUserMr(
    'user-mr-too-long',
    'CTRL-57',
    'REG_USER_MR above max_mr_size makes a region of max_mr_size bytes.',
    (r, { context }) => {
      const most = context.hca.attributes.maxMrSizeBytes;
      return r.length > most ? { length: most, npages: pagesOf(r.virt_addr, most) } : undefined;
    },
    'limits',
  ),
  regUserMr(
    'user-mr-wraps',
    'CTRL-58',
    'REG_USER_MR that goes past the end of the address space is taken for a region at address 0.',
    r =>
      r.virt_addr + r.length > 2 ** 63
        ? { virt_addr: 0, length: Math.min(r.length, r.npages * PAGE_BYTES) }
        : undefined,
    'wraps',
  ),
  regUserMr(
    'user-mr-fewer-pages',
    'CTRL-60',
    'REG_USER_MR with too few pages makes a region of those that are there.',
    r => {
      const room = r.npages * PAGE_BYTES - (r.virt_addr % PAGE_BYTES);
      return r.npages > 0 && r.length > room ? { length: room } : undefined;
    },
    'lengths',
  ),
  regUserMr(
    'user-mr-more-pages',
    'CTRL-61',
    'REG_USER_MR leaves pages out that the region does not need.',
    r => {
      const needed = r.length === 0 ? 0 : pagesOf(r.virt_addr, r.length);
      return needed > 0 && r.npages > needed ? { npages: needed } : undefined;
    },
    'lengths',
  ),
  mutant(
    'device',
    'user-mr-list-cut-off',
    { chapter: 'lengths', breaks: 'CTRL-62' },
    'REG_USER_MR takes the first page of memory for those behind the end of the page list.',
    commands(
      ({ run }) => ({
        run: (objects, request, result, list) =>
          run(objects, request, result, {
            count: 2 ** 20,
            read(target) {
              target.fill(objects.context.memory.regions[0].address);
              list.read(target.subarray(0, Math.min(target.length, list.count)));
            },
          }),
      }),
      Command.REG_USER_MR,
    ),
  ),
  mutant(
    'device',
    'user-mr-page-rounded',
    { chapter: 'keys and bounds', breaks: 'CTRL-63' },
    'REG_USER_MR rounds page addresses down to whole pages.',
    commands(
      otherPages(inner => ({
        count: inner.count,
        read(target) {
          inner.read(target);
          for (let i = 0; i < target.length; i++) target[i] -= target[i] % PAGE_BYTES;
        },
      })),
      Command.REG_USER_MR,
    ),
  ),
  mutant(
    'device',
    'user-mr-page-elsewhere',
    { chapter: 'keys and bounds', breaks: 'CTRL-64 ISO-06' },
    'REG_USER_MR takes page 0 for a page that is not in guest memory.',
    commands(
      inner => ({
        run: (objects, request, result, list) =>
          inner.run(objects, request, result, {
            count: list.count,
            read(target) {
              list.read(target);
              const { memory } = objects.context;
              const [first] = memory.regions;
              for (let i = 0; i < target.length; i++) {
                if (!memory.contains(target[i], PAGE_BYTES)) target[i] = first.address;
              }
            },
          }),
      }),
      Command.REG_USER_MR,
    ),
  ),
];

/** The five capacities of CREATE_QP, with the greatest that a device grants. */
const capacities = [
  ['max_send_wr', 'sends', 'CTRL-76 CTRL-77', 'maxQpWr'],
  ['max_recv_wr', 'receives', 'CTRL-76 CTRL-77', 'maxQpWr'],
  ['max_send_sge', 'gather-elements', 'CTRL-78', 'maxSendSge'],
  ['max_recv_sge', 'scatter-elements', 'CTRL-79', 'maxRecvSge'],
] as const;

const pairChecks: readonly Mutant[] = [
  createQp('qp-type-smi', 'CTRL-73', 'CREATE_QP of type SMI makes a queue pair of type UD.', r =>
    r.qp_type === 0 ? { qp_type: 4 } : undefined,
  ),
  createQp('qp-type-unknown', 'CTRL-74', 'CREATE_QP of an unknown type makes a queue pair of type RC.', r =>
    r.qp_type > 4 ? { qp_type: 2 } : undefined,
  ),
  createQp('qp-signal-all-any', 'CTRL-75', 'CREATE_QP takes every sq_sig_all but 0 for 1.', r =>
    r.sq_sig_all > 1 ? { sq_sig_all: 1 } : undefined,
  ),
  ...capacities.map(([field, name, breaks, limit]) =>
    createQp(
      `qp-too-many-${name}`,
      breaks,
      `CREATE_QP with a ${field} above the limit grants the limit.`,
      ({ cap }, { context }) => {
        const most = Math.min(context.hca.attributes[limit], context.limits.queueSizeMax);
        return cap[field] > most ? { cap: { ...cap, [field]: most } } : undefined;
      },
      'limits',
    ),
  ),
  createQp(
    'qp-too-much-inline',
    'CTRL-80',
    'CREATE_QP with a max_inline_data above 512 grants 512.',
    ({ cap }) =>
      cap.max_inline_data > INLINE_MAX ? { cap: { ...cap, max_inline_data: INLINE_MAX } } : undefined,
    'limits',
  ),
  createQp(
    'qp-second-gsi',
    'CTRL-81 QP-05 QP-04',
    'CREATE_QP of type GSI while one exists makes an ordinary datagram queue pair.',
    (r, objects) => (r.qp_type === 1 && objects.queuePair(1) !== undefined ? { qp_type: 4 } : undefined),
  ),
  modifyQp('modify-mask-unknown-bit', 'CTRL-85 QP-26', 'MODIFY_QP ignores mask bits that do not exist.', r =>
    r.attr_mask > 0x1_ffff ? { attr_mask: r.attr_mask & 0x1_ffff } : undefined,
  ),
  modifyQp('modify-mask-cap', 'CTRL-86 QP-26', 'MODIFY_QP ignores CAP in the mask.', r =>
    (r.attr_mask & 0x4000) !== 0 ? { attr_mask: r.attr_mask & ~0x4000 } : undefined,
  ),
  modifyQp('modify-mask-rate-limit', 'CTRL-87 QP-26', 'MODIFY_QP ignores RATE_LIMIT in the mask.', r =>
    (r.attr_mask & 0x1_0000) !== 0 ? { attr_mask: r.attr_mask & ~0x1_0000 } : undefined,
  ),
  modifyQp('modify-unknown-state', 'QP-29', 'MODIFY_QP takes a qp_state above 6 for RESET.', r =>
    (r.attr_mask & 1) !== 0 && r.qp_state > 6 ? { qp_state: 0, attr_mask: 1 } : undefined,
  ),
  modifyQp('modify-unknown-cur-state', 'QP-29', 'MODIFY_QP does not look at a cur_qp_state above 6.', r =>
    (r.attr_mask & 2) !== 0 && r.cur_qp_state > 6 ? { attr_mask: r.attr_mask & ~2 } : undefined,
  ),
];

const addressChecks: readonly Mutant[] = [
  mutant(
    'device',
    'ah-empty-sgid',
    { chapter: 'control', breaks: 'CTRL-95 RST-21' },
    'CREATE_AH with an sgid_index that names no GID takes one that does.',
    useOfAdapter(hca => ({
      createAh(pd, attributes) {
        for (let index = attributes.sgidIndex; index < hca.port.gidTableLength; index++) {
          try {
            return hca.createAh(pd, { ...attributes, sgidIndex: index });
          } catch (error) {
            if (!(error instanceof VerbsError)) throw error;
          }
        }
        return hca.createAh(pd, { ...attributes, sgidIndex: 0 });
      },
    })),
  ),
  createAh('ah-long-flow-label', 'CTRL-96', 'CREATE_AH cuts a flow_label to 20 bits.', ({ ah_attr }) =>
    ah_attr.grh.flow_label >= 2 ** 20
      ? { ah_attr: { ...ah_attr, grh: { ...ah_attr.grh, flow_label: ah_attr.grh.flow_label % 2 ** 20 } } }
      : undefined,
  ),
  addGid('gid-index-not-checked', 'CTRL-101', 'ADD_GID beyond the table goes to the last entry.', (r, o) => {
    const last = o.context.hca.port.gidTableLength - 1;
    return r.index > last ? { index: last } : undefined;
  }),
  addGid('gid-of-nobody', 'CTRL-104', 'ADD_GID of sixteen zero bytes takes an address of its own.', r =>
    r.gid.every(byte => byte === 0) ? { gid: r.gid.with(15, 77) } : undefined,
  ),
];

export const valueCheckMutants: readonly Mutant[] = [
  ...queueChecks,
  ...regionChecks,
  ...pairChecks,
  ...addressChecks,
];
