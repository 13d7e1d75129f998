/** Drivers that do not notice, each in one way, that their device is broken: they see something legal in its place. */
import {
  Ack,
  Command,
  WcStatus,
  commandHeader,
  cqReq,
  createQpCommand,
  wcOpcodes,
} from '../../../abi/index.js';
import { Used } from '../../../virtio/index.js';
import { mutant } from '../mutant.js';
import type { Mutant, MutantFacts } from '../mutant.js';
import { driverRings, messages, transport, usedElements, verbs } from '../seams/driver.js';
import type { Part } from '../seams/driver.js';
import { isElement, isSlot } from '../seams/rings.js';
import type { Ring, RingKind } from '../seams/rings.js';
import { bundledDriver } from '../../bundled.js';
import type { DriverContext } from '../../implementation.js';

type Returned = (parts: readonly Part[], ring: Ring, written: number) => void;

function blind(
  name: string,
  breaks: string,
  doc: string,
  implementation: Mutant['implementation'],
  facts: Partial<MutantFacts> = {},
): Mutant {
  return mutant('driver', name, { chapter: 'broken peers', breaks, ...facts }, doc, implementation);
}

/** What came back is understood as something else. */
function seen(name: string, breaks: string, doc: string, make: (context: DriverContext) => Returned): Mutant {
  return blind(
    name,
    breaks,
    doc,
    messages(context => ({ returned: make(context) })),
  );
}

/** What of an answer to a command is wrong is taken for something right. */
function answers(
  name: string,
  breaks: string,
  doc: string,
  code: Command | undefined,
  make: (context: DriverContext) => (result: Part, ack: Part, request: Part) => void,
): Mutant {
  return seen(name, breaks, doc, context => {
    const change = make(context);
    return (parts, { kind }) => {
      const [header] = parts;
      if (kind !== 'control' || (code !== undefined && header.bytes[commandHeader.offsets.command] !== code))
        return;
      const ack = parts.find(({ writable }) => writable);
      const result = parts.at(-1);
      if (ack === undefined || result === undefined) return;
      change(result, ack, parts[1]);
      ack.save();
      if (result !== ack) result.save();
    };
  });
}

const { offsets } = cqReq;

function completions(
  name: string,
  breaks: string,
  doc: string,
  make: () => (view: DataView) => void,
): Mutant {
  return seen(name, breaks, doc, () => {
    const change = make();
    return ([part], { kind }, written) => {
      if (kind !== 'cq' || part.length < cqReq.size || written === 0) return;
      change(part.view);
      part.save();
    };
  });
}

const rings: readonly Mutant[] = [
  blind(
    'unknown-used-id-taken-for-the-oldest',
    'VQ-42 HOST-35',
    'A used id that is too high is taken modulo the size of the queue.',
    usedElements(({ id }, { size }) => ({ id: id % size })),
  ),
  blind(
    'any-used-length',
    'VQ-43',
    'A used length above the writable bytes of a chain is cut to the least that is sound.',
    usedElements(({ length }, { kind }) =>
      kind === 'control' ? {} : kind === 'cq' ? { length: Math.min(length, 48) } : { length: 0 },
    ),
  ),
  blind(
    'used-index-clamped',
    'VQ-44',
    'A used index that has passed too much is taken for the one seen before.',
    driverRings((window, area, { size }) => {
      if (area !== 'used') return {};
      let last = 0;
      return {
        load16(offset) {
          const value = window.load16(offset);
          if (offset !== Used.IDX) return value;
          if (((value - last) & 0xffff) > size) return last;
          last = value;
          return value;
        },
      };
    }),
  ),
  blind(
    'command-returned-empty',
    'HOST-10',
    'A command that comes back with a used length of 0 is taken for one of 1.',
    usedElements(({ length }, { kind }) => (kind === 'control' && length === 0 ? { length: 1 } : {})),
  ),
  blind(
    'completion-of-any-length',
    'HOST-19',
    'A completion buffer that comes back with another used length than 48 is taken for full.',
    usedElements(({ length }, { kind }) => (kind === 'cq' && length !== 0 ? { length: 48 } : {})),
  ),
  blind(
    'requests-back-in-any-order',
    'HOST-25',
    'Requests are taken to come back in order whatever their ids say.',
    oldestFirst('send', 'recv'),
  ),
];

/** Sees the heads of queues of some kinds in the order in which they were published. */
export function oldestFirst(...kinds: readonly RingKind[]): Mutant['implementation'] {
  return {
    reports: true,
    driver: context => {
      const published = new Map<number, number[]>();
      const { driver } = driverRings((window, area, { queue, size, kind }) => {
        if (!kinds.includes(kind)) return {};
        const heads = published.get(queue) ?? [];
        published.set(queue, heads);
        if (area === 'available') {
          return {
            set16(offset, value) {
              if (isSlot(offset, size)) heads.push(value);
              window.set16(offset, value);
            },
          };
        }
        return area === 'descriptors'
          ? {}
          : {
              get32(offset) {
                const value = window.get32(offset);
                return isElement(offset, Used.ID, size) ? (heads.shift() ?? value) : value;
              },
            };
      });
      return (driver ?? bundledDriver)(context);
    },
  };
}

/** The number of a new object that cannot be is taken for the next one that can. */
function number(
  name: string,
  breaks: string,
  doc: string,
  code: Command,
  at: number,
  isBad: (value: number, seen: ReadonlySet<number>, request: Part, limits: Limits) => boolean,
  good: (seen: ReadonlySet<number>) => number,
): Mutant {
  return answers(name, breaks, doc, code, ({ transport: line, profile }) => {
    const seenNumbers = new Set<number>();
    return (result, ack, request) => {
      if (ack.bytes[0] !== Ack.OK || result.length < at + 4) return;
      const value = result.view.getUint32(at, true);
      const limits = profile.config.decode(line.readConfig(), 0);
      if (isBad(value, seenNumbers, request, limits)) result.view.setUint32(at, good(seenNumbers), true);
      seenNumbers.add(result.view.getUint32(at, true));
    };
  });
}

function lowestBut(known: ReadonlySet<number>, first: number): number {
  let number_ = first;
  while (known.has(number_)) number_++;
  return number_;
}

interface Limits {
  readonly max_rdma_qps: number;
  readonly max_rdma_cqs: number;
}

const commands: readonly Mutant[] = [
  answers(
    'any-ack-is-err',
    'HOST-11',
    'An ack that is neither 0 nor 1 is taken for 1.',
    undefined,
    () => (_result, ack) => {
      if (ack.bytes[0] > 1) ack.bytes[0] = 1;
    },
  ),
  blind(
    'short-answer-accepted',
    'HOST-12 CTRL-18',
    'An ack of 0 with a used length that is too short is taken for a whole answer.',
    usedElements(({ length, room }, { kind }) =>
      kind === 'control' && length > 1 && length < room ? { length: room } : {},
    ),
  ),
  number(
    'pd-number-twice',
    'HOST-13',
    'A protection domain number that is given twice is taken for the next free one.',
    Command.CREATE_PD,
    0,
    (value, known) => known.has(value),
    known => Math.max(0, ...known) + 1,
  ),
  number(
    'ah-number-twice',
    'HOST-13',
    'An address handle number that is given twice is taken for the next free one.',
    Command.CREATE_AH,
    0,
    (value, known) => known.has(value),
    known => Math.max(0, ...known) + 1,
  ),
  number(
    'cq-number-too-high',
    'HOST-14 HOST-35',
    'A completion queue number that is too high is taken for the lowest free one.',
    Command.CREATE_CQ,
    0,
    (value, _known, _request, { max_rdma_cqs: most }) => value >= most,
    known => lowestBut(known, 0),
  ),
  number(
    'qp-number-too-high',
    'HOST-15 HOST-35',
    'A queue pair number that is too high is taken for the lowest free one.',
    Command.CREATE_QP,
    0,
    (value, _known, _request, { max_rdma_qps: most }) => value >= most,
    known => lowestBut(known, 2),
  ),
  number(
    'gsi-number-of-another',
    'HOST-15',
    'A GSI queue pair with another number than 1 is taken for number 1.',
    Command.CREATE_QP,
    0,
    (value, _known, request) => request.view.getUint8(createQpCommand.offsets.qp_type) === 1 && value !== 1,
    () => 1,
  ),
  number(
    'lkey-zero-accepted',
    'HOST-16',
    'An lkey of 0 is taken for a key.',
    Command.REG_USER_MR,
    4,
    value => value === 0,
    () => 0x77,
  ),
  number(
    'lkey-twice',
    'HOST-16',
    'An lkey that a living region has is taken for another.',
    Command.REG_USER_MR,
    4,
    (value, known) => known.has(value),
    known => Math.max(0, ...known) + 0x100,
  ),
  answers(
    'rkey-unasked',
    'HOST-17',
    'An rkey of a region without remote rights is taken for 0.',
    Command.REG_USER_MR,
    () => (result, _ack, request) => {
      if ((request.view.getUint32(4, true) & 6) === 0 && result.length >= 12)
        result.view.setUint32(8, 0, true);
    },
  ),
  answers(
    'rkey-missing',
    'HOST-17',
    'An rkey of 0 of a region with remote rights is taken for its lkey.',
    Command.REG_USER_MR,
    () => (result, _ack, request) => {
      const remote = (request.view.getUint32(4, true) & 6) !== 0 && result.length >= 12;
      if (remote && result.view.getUint32(8, true) === 0)
        result.view.setUint32(8, result.view.getUint32(4, true), true);
    },
  ),
  answers(
    'state-seven-is-err',
    'HOST-18',
    'A state above 6 in the answer of QUERY_QP is taken for ERR.',
    Command.QUERY_QP,
    () => (result, ack) => {
      if (ack.bytes[0] === Ack.OK && result.bytes[0] > 6) result.bytes[0] = 6;
    },
  ),
];

const completed: readonly Mutant[] = [
  completions(
    'unknown-status-is-general',
    'HOST-20',
    'A status that is not in the table is taken for GENERAL_ERR.',
    () => view => {
      if (view.getUint8(offsets.status) > 15) view.setUint8(offsets.status, WcStatus.GENERAL_ERR);
    },
  ),
  completions(
    'unknown-opcode-is-send',
    'HOST-21',
    'An opcode that is not in the table is taken for SEND.',
    () => view => {
      if (view.getUint8(offsets.opcode) >= wcOpcodes.names.length) view.setUint8(offsets.opcode, 0);
    },
  ),
  completions(
    'unknown-completion-flags-ignored',
    'HOST-21',
    'Completion flags that are not in the table are ignored.',
    () => view => view.setUint32(offsets.wc_flags, view.getUint32(offsets.wc_flags, true) & 3, true),
  ),
  completions(
    'completion-of-any-queue-pair',
    'HOST-22 HOST-35',
    'A completion of a queue pair number that is too high is taken for one of number 2.',
    () => view => {
      if (view.getUint32(offsets.qp_num, true) >= 16) view.setUint32(offsets.qp_num, 2, true);
    },
  ),
  completions(
    'completion-of-what-was-completed',
    'HOST-23',
    'A wr_id that was completed last before is taken for the one after it.',
    () => {
      let last = -1;
      return view => {
        const id = view.getUint32(offsets.wr_id, true);
        if (id === last) view.setUint32(offsets.wr_id, id + 1, true);
        last = view.getUint32(offsets.wr_id, true);
      };
    },
  ),
  completions(
    'receive-of-any-length',
    'HOST-24',
    'A receive with more than 64 KiB is taken for one of no bytes.',
    () => view => {
      if (view.getUint32(offsets.byte_len, true) > 0x1_0000) view.setUint32(offsets.byte_len, 0, true);
    },
  ),
];

const afterwards: readonly Mutant[] = [
  blind(
    'broken-device-not-given-up',
    'HOST-28',
    'FAILED is not set when the device is found broken.',
    transport(inner => ({
      writeStatus(status) {
        if ((status & 0x80) === 0) inner.writeStatus(status);
      },
    })),
  ),
  blind(
    'kicks-a-broken-device',
    'ERR-26',
    'A verb that fails because the device was given up notifies the control queue.',
    verbs((inner, context) => ({
      async createPd() {
        try {
          return await inner.createPd();
        } catch (error) {
          if ((context.transport.readStatus() & 0xc0) !== 0) context.transport.notify(2);
          throw error;
        }
      },
    })),
  ),
  blind(
    'succeeds-on-a-broken-device',
    'ERR-26 HOST-29',
    'A move to ERR on a device that was given up is reported as done.',
    verbs((inner, context) => ({
      async modifyQp(qp, attributes) {
        try {
          await inner.modifyQp(qp, attributes);
        } catch (error) {
          if ((context.transport.readStatus() & 0x80) === 0) throw error;
        }
      },
    })),
  ),
  blind(
    'pending-verbs-left-pending',
    'ERR-25 RST-38',
    'The oldest pending verb is left pending when the device is given up.',
    verbs((inner, context) => ({
      async createPd() {
        try {
          return await inner.createPd();
        } catch (error) {
          if ((context.transport.readStatus() & 0xc0) === 0) throw error;
          return new Promise(() => undefined);
        }
      },
    })),
  ),
];

export const brokenDeviceMutants: readonly Mutant[] = [...rings, ...commands, ...completed, ...afterwards];
