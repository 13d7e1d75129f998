/** Objects and completions as a run would have them, made by hand: what a law is broken with. */
import { QpState, QpType, WcOpcode } from '../../src/abi/index.js';
import type { Program } from '../../src/conformance/program.js';
import type { CqRecord, MrRecord, PdRecord, QpRecord } from '../../src/conformance/records.js';
import { emptyCompletion } from '../../src/verbs/index.js';
import type { WorkCompletion } from '../../src/verbs/index.js';

export const program: Program = {
  version: 1,
  mode: 'settled',
  hosts: [0],
  arenaBytes: 4096,
  indirect: false,
  eventIdx: false,
  faults: { drop: 0, duplicate: 0, reorder: 0 },
  seed: 1,
  choices: { list: [], only: true },
  actions: [],
};

const base = { vm: 0, id: 0, alive: true, destroying: false } as const;

export function pdRecord(): PdRecord {
  return { ...base, kind: 'pd', name: 'pd0', handle: undefined };
}

export function cqRecord(cqe = 8): CqRecord {
  const handle = { kind: 'cq', cqe } as const;
  return { ...base, kind: 'cq', name: 'cq0', handle, cqe, events: 0, sleeper: 'no', overran: false };
}

export function mrRecord(pd: PdRecord): MrRecord {
  return {
    ...base,
    kind: 'mr',
    name: 'mr0',
    handle: undefined,
    pd,
    at: 0,
    length: 64,
    access: 1,
    dma: false,
    lkey: 1,
    rkey: 0,
  };
}

export function qpRecord(type: QpType = QpType.RC, cq = cqRecord()): QpRecord {
  const cap = { maxSendWr: 4, maxRecvWr: 4, maxSendSge: 1, maxRecvSge: 1, maxInlineData: 64 };
  return {
    ...base,
    kind: 'qp',
    name: 'qp0',
    handle: { kind: 'qp', qpNum: 2, type, cap },
    type,
    pd: pdRecord(),
    sendCq: cq,
    recvCq: cq,
    sigAll: false,
    state: QpState.RTS,
    attributes: {},
    sends: [],
    recvs: [],
    sendsDone: 0,
    recvsDone: 0,
    sendFailed: false,
    recvFailed: false,
    resetting: 0,
  };
}

export function completion(wrId: number, change: Partial<WorkCompletion> = {}): WorkCompletion {
  return { ...emptyCompletion(), wrId, qpNum: 2, opcode: WcOpcode.SEND, ...change };
}
