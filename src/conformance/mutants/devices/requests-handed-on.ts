/** Devices that hand a request to the adapter with something changed. */
import { SendFlag, WcStatus, WrOpcode } from '../../../abi/index.js';
import type { HcaQp } from '../../../reference/index.js';
import type { RecvWorkRequest, SendWorkRequest } from '../../../verbs/index.js';
import { mutant } from '../mutant.js';
import type { Mutant, MutantFacts } from '../mutant.js';
import { useOfAdapter } from '../seams/device.js';
import { from } from '../seams/overlay.js';

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

export const handedOnMutants: readonly Mutant[] = [...handedOn];
