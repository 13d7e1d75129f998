/** Devices whose answers are wrong, or which are wrong about the GID table. */
import {
  Command,
  createPdAck,
  createQpAck,
  createQpCommand,
  getDmaMrAck,
  getDmaMrCommand,
  queryDeviceAck,
  queryPortAck,
  queryQpAck,
  regUserMrAck,
  regUserMrCommand,
} from '../../../abi/index.js';
import { VerbsError } from '../../../verbs/index.js';
import { mutant } from '../mutant.js';
import type { Mutant } from '../mutant.js';
import { answersWith, commands, misreads, perDevice, useOfAdapter } from '../seams/device.js';
import { every } from '../seams/overlay.js';

const answers: readonly Mutant[] = [
  mutant(
    'device',
    'ack-without-result',
    { chapter: 'control', breaks: 'CTRL-01' },
    'CREATE_PD makes a protection domain and does not write its number.',
    commands(
      ({ run }) => ({
        run: (objects, request, result, pages) =>
          run(objects, request, new DataView(new ArrayBuffer(result.byteLength)), pages),
      }),
      Command.CREATE_PD,
    ),
  ),
  mutant(
    'device',
    'query-device-changes',
    { chapter: 'limits', breaks: 'CTRL-31 CTRL-27', needs: 'history' },
    'Every third QUERY_DEVICE says that there is room for one region less.',
    perDevice(() => {
      const due = every(3);
      return answersWith(Command.QUERY_DEVICE, queryDeviceAck, r => (due() ? { max_mr: r.max_mr - 1 } : {}));
    }),
  ),
  mutant(
    'device',
    'query-port-changes',
    { chapter: 'limits', breaks: 'CTRL-31', needs: 'history' },
    'Every second QUERY_PORT gives a longer GID table.',
    perDevice(() => {
      const due = every(2);
      return answersWith(Command.QUERY_PORT, queryPortAck, r =>
        due() ? { gid_tbl_len: r.gid_tbl_len + 1 } : {},
      );
    }),
  ),
  mutant(
    'device',
    'gid-table-of-none',
    { chapter: 'limits', breaks: 'CTRL-32' },
    'QUERY_PORT gives a GID table of 0 entries.',
    answersWith(Command.QUERY_PORT, queryPortAck, () => ({ gid_tbl_len: 0 })),
  ),
  mutant(
    'device',
    'max-msg-above-two-gigabytes',
    { chapter: 'limits', breaks: 'CTRL-32' },
    'QUERY_PORT gives a max_msg_sz above 2^31.',
    answersWith(Command.QUERY_PORT, queryPortAck, () => ({ max_msg_sz: 2 ** 31 + 1 })),
  ),
  mutant(
    'device',
    'page-size-cap-without-4096',
    { chapter: 'limits', breaks: 'CTRL-29' },
    'QUERY_DEVICE does not say that pages of 4096 bytes are supported.',
    answersWith(Command.QUERY_DEVICE, queryDeviceAck, () => ({ page_size_cap: 0x20_0000 })),
  ),
  mutant(
    'device',
    'no-rnr-nak-capability',
    { chapter: 'limits', breaks: 'CTRL-30' },
    'QUERY_DEVICE does not say that the responder sends receiver-not-ready NAKs.',
    answersWith(Command.QUERY_DEVICE, queryDeviceAck, () => ({ device_cap_flags: 0 })),
  ),
  mutant(
    'device',
    'limits-above-the-virtqueues',
    { chapter: 'limits', breaks: 'CTRL-28 CTRL-27' },
    'QUERY_DEVICE gives limits of queues that are above their virtqueues.',
    answersWith(Command.QUERY_DEVICE, queryDeviceAck, r => ({
      max_cqe: r.max_cqe * 2,
      max_qp_wr: r.max_qp_wr * 2,
    })),
  ),
  mutant(
    'device',
    'query-qp-by-its-mask',
    { chapter: 'queue pair states and masks', breaks: 'CTRL-90' },
    'QUERY_QP fills in only what the mask asks for.',
    answersWith(Command.QUERY_QP, queryQpAck, (r, _objects, request) => {
      const mask = request.getUint32(4, true);
      const zero = queryQpAck.zero();
      return mask === 0 ? zero : (mask & 1) === 0 ? { qp_state: 0 } : (mask & 8) === 0 ? { qkey: 0 } : r;
    }),
  ),
  mutant(
    'device',
    'query-qp-stale-address',
    { chapter: 'stale state', breaks: 'CTRL-91' },
    'QUERY_QP of a queue pair without an address vector shows a flow label all the same.',
    answersWith(Command.QUERY_QP, queryQpAck, ({ ah_attr }) =>
      ah_attr.grh.dgid.some(byte => byte !== 0)
        ? {}
        : { ah_attr: { ...ah_attr, grh: { ...ah_attr.grh, flow_label: 7 } } },
    ),
  ),
  mutant(
    'device',
    'query-qp-other-capacities',
    { chapter: 'limits', breaks: 'CTRL-92' },
    'QUERY_QP shows one send more than CREATE_QP granted.',
    answersWith(Command.QUERY_QP, queryQpAck, ({ cap }) => ({
      cap: { ...cap, max_send_wr: cap.max_send_wr + 1 },
    })),
  ),
  mutant(
    'device',
    'lkey-zero',
    { chapter: 'keys and bounds', breaks: 'CTRL-68' },
    'REG_USER_MR of a region without remote rights answers with lkey 0.',
    answersWith(Command.REG_USER_MR, regUserMrAck, ({ rkey }) => (rkey === 0 ? { lkey: 0 } : {})),
  ),
  mutant(
    'device',
    'rkey-without-rights',
    { chapter: 'keys and bounds', breaks: 'CTRL-68' },
    'REG_USER_MR of a region without remote rights answers with an rkey.',
    answersWith(Command.REG_USER_MR, regUserMrAck, ({ rkey, lkey }) => (rkey === 0 ? { rkey: lkey } : {})),
  ),
  mutant(
    'device',
    'dma-mr-without-rkey',
    { chapter: 'keys and bounds', breaks: 'CTRL-68' },
    'GET_DMA_MR with REMOTE_READ alone answers with rkey 0.',
    answersWith(Command.GET_DMA_MR, getDmaMrAck, (_r, _o, request) =>
      getDmaMrCommand.decode(request, 0).access_flags === 4 ? { rkey: 0 } : {},
    ),
  ),
  mutant(
    'device',
    'pdn-above-the-others',
    { chapter: 'control', breaks: 'CTRL-20' },
    'The third protection domain gets the number of the second.',
    answersWith(Command.CREATE_PD, createPdAck, ({ pdn }) => (pdn === 3 ? { pdn: 2 } : {})),
  ),
  mutant(
    'device',
    'mrn-of-a-neighbour',
    { chapter: 'control', breaks: 'CTRL-20' },
    'The second region gets the number of the first.',
    answersWith(Command.REG_USER_MR, regUserMrAck, ({ mrn }) => (mrn === 2 ? { mrn: 1 } : {})),
  ),
  mutant(
    'device',
    'key-of-a-neighbour',
    { chapter: 'keys and bounds', breaks: 'RST-28', needs: 'history' },
    'The third region is answered with the lkey of the first.',
    perDevice(() => {
      let count = 0;
      let first = 0;
      return answersWith(Command.REG_USER_MR, regUserMrAck, ({ lkey }) => {
        if (++count === 1) first = lkey;
        return count === 3 ? { lkey: first } : {};
      });
    }),
  ),
  mutant(
    'device',
    'gsi-is-number-two',
    { chapter: 'queue pair states and masks', breaks: 'QP-04' },
    'A queue pair of type GSI is answered with number 2.',
    answersWith(Command.CREATE_QP, createQpAck, ({ qpn }) => (qpn === 1 ? { qpn: 2 } : {})),
  ),
  mutant(
    'device',
    'equal-cqs-refused',
    { chapter: 'control', breaks: 'CTRL-83' },
    'CREATE_QP with one completion queue for both directions is refused.',
    misreads(Command.CREATE_QP, createQpCommand, r =>
      r.send_cqn === r.recv_cqn ? { qp_type: 0 } : undefined,
    ),
  ),
  mutant(
    'device',
    'gid-of-another-machine',
    { chapter: 'isolation', breaks: 'CTRL-102 ISO-10' },
    'ADD_GID of a GID that another machine has is answered OK.',
    useOfAdapter(hca => ({
      addGid(index, gid) {
        try {
          hca.addGid(index, gid);
        } catch (error) {
          if (!(error instanceof VerbsError && error.errno === 'EADDRINUSE')) throw error;
        }
      },
    })),
  ),
  mutant(
    'device',
    'gid-twice-in-the-table',
    { chapter: 'control', breaks: 'CTRL-103' },
    'ADD_GID of a GID that another entry has moves it.',
    useOfAdapter(hca => {
      const table = new Map<number, string>();
      return {
        addGid(index, gid) {
          for (const [other, there] of table) {
            if (there === gid && other !== index) {
              hca.delGid(other);
              table.delete(other);
            }
          }
          hca.addGid(index, gid);
          table.set(index, gid);
        },
        delGid(index) {
          hca.delGid(index);
          table.delete(index);
        },
      };
    }),
  ),
  mutant(
    'device',
    'set-entry-not-replaced',
    { chapter: 'control', breaks: 'CTRL-105' },
    'ADD_GID of an entry that is set is answered OK and leaves it as it is.',
    useOfAdapter(hca => {
      const set = new Set<number>();
      return {
        addGid(index, gid) {
          if (set.has(index)) return;
          hca.addGid(index, gid);
          set.add(index);
        },
        delGid(index) {
          hca.delGid(index);
          set.delete(index);
        },
        reset() {
          hca.reset();
          set.clear();
        },
      };
    }),
  ),
  mutant(
    'device',
    'del-gid-of-nothing',
    { chapter: 'control', breaks: 'CTRL-107' },
    'DEL_GID of an empty entry is answered OK.',
    useOfAdapter(hca => ({
      delGid(index) {
        try {
          hca.delGid(index);
        } catch (error) {
          if (index >= hca.port.gidTableLength) throw error;
        }
      },
    })),
  ),
  mutant(
    'device',
    'del-gid-in-use-refused',
    { chapter: 'control', breaks: 'CTRL-108' },
    'DEL_GID is refused once an address handle has been made.',
    useOfAdapter(hca => {
      let used = false;
      return {
        createAh(pd, attributes) {
          used = true;
          return hca.createAh(pd, attributes);
        },
        delGid(index) {
          if (used) throw new VerbsError('EBUSY', 'delGid', 'in use');
          hca.delGid(index);
        },
      };
    }),
  ),
  mutant(
    'device',
    'gid-never-free-again',
    { chapter: 'leaks', breaks: 'CTRL-109 RST-36', needs: 'history' },
    'A GID that was deleted cannot be added again.',
    useOfAdapter(hca => {
      const table = new Map<number, string>();
      const burnt = new Set<string>();
      return {
        addGid(index, gid) {
          if (burnt.has(gid)) throw new VerbsError('EADDRINUSE', 'addGid', 'burnt');
          hca.addGid(index, gid);
          table.set(index, gid);
        },
        delGid(index) {
          hca.delGid(index);
          burnt.add(table.get(index) ?? '');
        },
      };
    }),
  ),
  mutant(
    'device',
    'ah-of-nobody-refused',
    { chapter: 'control', breaks: 'CTRL-98' },
    'CREATE_AH is refused when the dgid is not in the own GID table.',
    useOfAdapter(hca => {
      const own = new Set<string>();
      return {
        addGid(index, gid) {
          hca.addGid(index, gid);
          own.add(gid);
        },
        createAh(pd, attributes) {
          if (!own.has(attributes.dgid)) throw new VerbsError('EINVAL', 'createAh', 'nobody has it');
          return hca.createAh(pd, attributes);
        },
      };
    }),
  ),
  mutant(
    'device',
    'overlapping-regions-refused',
    { chapter: 'keys and bounds', breaks: 'MEM-06' },
    'A region that begins where another one does is refused.',
    perDevice(() => {
      const starts = new Set<number>();
      return misreads(Command.REG_USER_MR, regUserMrCommand, r => {
        const twice = starts.has(r.virt_addr);
        starts.add(r.virt_addr);
        return twice ? { length: 0 } : undefined;
      });
    }),
  ),
];

export const commandAnswerMutants: readonly Mutant[] = [...answers];
