/**
 * The program that goes on working while its device attacks: it holds handles, calls verbs, posts and polls, and keeps its own
 * record of what it may be handed.
 */
import {
  QpType,
  SendFlag,
  WcOpcode,
  WcStatus,
  WrOpcode,
  wcFlags,
  wcOpcodes,
  wcStatuses,
} from '../../../abi/index.js';
import type {
  AddressHandle,
  CompletionQueue,
  MemoryRegion,
  ProtectionDomain,
  QueuePair,
  Verbs,
  WorkCompletion,
} from '../../../verbs/index.js';
import { describe, errnoOf } from '../../probes/driver/call.js';
import type { Call } from '../../probes/driver/call.js';
import type { Bench } from '../../probes/driver/bench.js';
import { makeObjects, smallCap, someAddress, stepTo } from '../../probes/driver/objects.js';
import { emptyCompletions } from '../../probes/driver/traffic.js';
import { ARENA_BASE } from '../../probes/driver/probe-guest.js';

/** Entries of each completion queue. */
const CQE = 4;
/**
 * Requests of one half that a driver must be able to tell from others: those with the device, and those that fill the completion
 * queue. A device that returns more of them without a word gets past any record; see HOST-23.
 */
const RECORD = { send: smallCap.maxSendWr + CQE, receive: smallCap.maxRecvWr + CQE };

/** Bytes that each receive has room for. */
export const ROOM = 64;
const KNOWN_FLAGS = wcFlags.names.reduce((mask, name) => mask | wcFlags.values[name], 0);

type Side = 'send' | 'receive';

interface Posted {
  readonly side: Side;
  done: boolean;
}

export class Victim {
  readonly #bench: Bench;
  readonly pds: ProtectionDomain[] = [];
  readonly cqs: CompletionQueue[] = [];
  readonly mrs: MemoryRegion[] = [];
  readonly ahs: AddressHandle[] = [];
  readonly qps: QueuePair[] = [];
  /** Verbs that were called and are not looked at yet. */
  readonly calls: Call<unknown>[] = [];
  readonly #posted = new Map<number, Posted>();
  /** What a driver's own record holds at least: the youngest requests that no completion has accounted for, oldest first. */
  readonly #record: Record<Side, { readonly wrIds: number[]; whole: boolean }> = {
    send: { wrIds: [], whole: true },
    receive: { wrIds: [], whole: true },
  };
  readonly #completions = emptyCompletions(8);
  #wrId = 0;
  #armings = 0;
  #events = 0;

  constructor(bench: Bench) {
    this.#bench = bench;
  }

  /** Two completion queues, or one, and a queue pair that is ready. */
  async prepare(oneCq: boolean): Promise<void> {
    const { pd, sendCq, recvCq, qp } = await makeObjects(this.#bench, { oneCq, cqe: CQE });
    this.pds.push(pd);
    this.cqs.push(sendCq, ...(oneCq ? [] : [recvCq]));
    this.qps.push(qp);
  }

  /** After a start of the driver: nothing of before is there. */
  forget(): void {
    for (const list of [this.pds, this.cqs, this.mrs, this.ahs, this.qps, this.calls]) list.length = 0;
    this.#posted.clear();
    for (const side of ['send', 'receive'] as const) this.#record[side] = { wrIds: [], whole: true };
  }

  verb(which: number, at: number): void {
    const all = this.#verbs(at);
    const [what, run] = all[which % all.length];
    this.calls.push(this.#bench.call(what, run));
    if (this.calls.length > 64) this.lookAtCalls();
  }

  #verbs(at: number): readonly (readonly [string, (verbs: Verbs) => Promise<unknown>])[] {
    const [pd, cq, mr, ah, qp] = [
      of(this.pds, at),
      of(this.cqs, at),
      of(this.mrs, at),
      of(this.ahs, at),
      of(this.qps, at),
    ];
    const access = [0, 1, 3, 4, 7][at % 5];
    const type = [QpType.RC, QpType.UC, QpType.UD][at % 3];
    return [
      ['queryPort', verbs => verbs.queryPort()],
      ['queryDevice', verbs => verbs.queryDevice()],
      ['createPd', async verbs => void this.pds.push(await verbs.createPd())],
      [
        'createCq',
        async verbs => void this.cqs.push(await verbs.createCq(1 + (at % 4), () => this.#event())),
      ],
      ['addGid', verbs => verbs.addGid(at % 8, someAddress.dgid)],
      ['delGid', verbs => verbs.delGid(at % 8)],
      ...(pd === undefined ? [] : this.#onDomain(pd, cq, type, access)),
      ...(cq === undefined ? [] : this.#onQueue(cq, at)),
      ...(mr === undefined ? [] : ([['deregMr', verbs => verbs.deregMr(mr)]] as const satisfies Verb[])),
      ...(ah === undefined ? [] : ([['destroyAh', verbs => verbs.destroyAh(ah)]] as const satisfies Verb[])),
      ...(qp === undefined ? [] : this.#onQueuePair(qp, at)),
    ];
  }

  #onDomain(pd: ProtectionDomain, cq: CompletionQueue | undefined, type: QpType, access: number): Verb[] {
    const init = { addr: ARENA_BASE + 5, length: 5000, access };
    const on: Verb[] = [
      ['destroyPd', verbs => verbs.destroyPd(pd)],
      ['regMr', async verbs => void this.mrs.push(await verbs.regMr(pd, init))],
      ['getDmaMr', async verbs => void this.mrs.push(await verbs.getDmaMr(pd, access))],
      ['createAh', async verbs => void this.ahs.push(await verbs.createAh(pd, someAddress))],
    ];
    if (cq === undefined) return on;
    const qp = { type, sqSigAll: false, sendCq: cq, recvCq: cq, cap: smallCap };
    return [...on, ['createQp', async verbs => void this.qps.push(await verbs.createQp(pd, qp))]];
  }

  #onQueue(cq: CompletionQueue, at: number): Verb[] {
    return [
      ['destroyCq', verbs => verbs.destroyCq(cq)],
      [
        'reqNotifyCq',
        verbs => {
          this.#armings++;
          return verbs.reqNotifyCq(cq, at % 2 === 0);
        },
      ],
    ];
  }

  #onQueuePair(qp: QueuePair, at: number): Verb[] {
    const state = ([0, 1, 2, 3, 4, 6] as const)[at % 6];
    return [
      ['destroyQp', verbs => verbs.destroyQp(qp)],
      ['queryQp', verbs => verbs.queryQp(qp)],
      [`modifyQp(to ${state})`, verbs => verbs.modifyQp(qp, stepTo(qp.type, state))],
    ];
  }

  post(side: Side, count: number): void {
    const qp = of(this.qps, 0);
    if (qp === undefined) return;
    for (let i = 0; i < count; i++) {
      const wrId = ++this.#wrId;
      this.#posted.set(wrId, { side, done: false });
      const sges = [{ addr: 0, length: ROOM, lkey: 1 }];
      const accepted = this.#try(`post a ${side}`, () => {
        if (side === 'receive') this.#bench.verbs.postRecv(qp, { wrId, sges });
        else
          this.#bench.verbs.postSend(qp, { wrId, opcode: WrOpcode.SEND, sendFlags: SendFlag.SIGNALED, sges });
      });
      if (accepted) this.#note(side, wrId);
      else this.#posted.delete(wrId);
    }
  }

  poll(at: number, max: number): void {
    const cq = of(this.cqs, at);
    if (cq === undefined) return;
    let count = 0;
    this.#try('poll', () => {
      count = this.#bench.verbs.pollCq(cq, this.#completions, max);
    });
    const bench = this.#bench;
    bench.expect(count >= 0 && count <= max, `pollCq returned ${count}, asked for at most ${max}`, ['CQ-53']);
    for (let i = 0; i < count; i++) this.#judge(this.#completions[i]);
  }

  #note(side: Side, wrId: number): void {
    const record = this.#record[side];
    record.wrIds.push(wrId);
    if (record.wrIds.length <= RECORD[side]) return;
    record.wrIds.shift();
    record.whole = false;
  }

  /** Whether a driver may be unable to say that a request was not posted; if it is not, it is accounted for from here on. */
  #isOutOfReach({ wrId, status, opcode }: WorkCompletion): boolean {
    const { send, receive } = this.#record;
    const isSuccess = status === WcStatus.SUCCESS;
    const isReceive = opcode === WcOpcode.RECV || opcode === WcOpcode.RECV_RDMA_WITH_IMM;
    const records = isSuccess ? [isReceive ? receive : send] : [send, receive];
    const unsure = records.some(({ whole }) => !whole);
    // On an error the opcode means nothing: only two whole records tell which half it was.
    if (unsure && !isSuccess) return true;
    const record = records.find(({ wrIds }) => wrIds.includes(wrId));
    if (record === undefined) return unsure;
    record.wrIds.splice(0, record.wrIds.indexOf(wrId) + 1);
    record.whole = true;
    return false;
  }

  /** A completion is of something that was posted and has not completed, and says nothing that cannot be. */
  #judge(completion: WorkCompletion): void {
    const bench = this.#bench;
    if (!this.#isOutOfReach(completion)) this.#judgeRequest(completion);
    const { status, opcode, wcFlags: flags } = completion;
    bench.expect(
      wcStatuses.nameOf(status) !== undefined,
      `a completion with status ${status} was handed out`,
      ['HOST-20', 'HOST-29'],
    );
    if (status !== WcStatus.SUCCESS) return;
    bench.expect(
      wcOpcodes.nameOf(opcode) !== undefined,
      `a completion with opcode ${opcode} was handed out`,
      ['HOST-21', 'HOST-29'],
    );
    bench.expect((flags & ~KNOWN_FLAGS) === 0, `a completion with flags ${flags} was handed out`, [
      'HOST-21',
      'HOST-29',
    ]);
  }

  #judgeRequest({ wrId, status, opcode, byteLen }: WorkCompletion): void {
    const bench = this.#bench;
    const posted = this.#posted.get(wrId);
    if (posted === undefined)
      throw bench.broken(`a completion of request ${wrId} was handed out, which was not posted`, [
        'HOST-23',
        'HOST-29',
      ]);
    bench.expect(!posted.done, `a second completion of request ${wrId} was handed out`, ['HOST-23', 'CQ-05']);
    posted.done = true;
    if (status !== WcStatus.SUCCESS || opcode !== WcOpcode.RECV) return;
    bench.expect(byteLen <= ROOM, `a receive of ${byteLen} bytes into ${ROOM} was handed out`, [
      'HOST-24',
      'HOST-29',
    ]);
  }

  #event(): void {
    this.#events++;
    // One call more than armings cannot be told from a stray interrupt that came while one was pending.
    this.#bench.expect(this.#events <= this.#armings, `${this.#events} events for ${this.#armings} armings`, [
      'CQ-46',
    ]);
  }

  /** Whatever a verb throws is an error of verbs. */
  #try(what: string, run: () => void): boolean {
    this.#bench.actions++;
    try {
      run();
      return true;
    } catch (error) {
      this.#bench.expect(errnoOf(error) !== undefined, `the verb to ${what} threw ${String(error)}`, [
        'HOST-34',
        'HOST-35',
      ]);
      return false;
    }
  }

  /** Verbs that settled did so with a value or an error of verbs. Those that are pending stay in the list. */
  lookAtCalls(): void {
    const pending: Call<unknown>[] = [];
    for (const call of this.calls) {
      if (call.state === 'pending') pending.push(call);
      else if (call.state === 'rejected')
        this.#bench.expect(
          errnoOf(call.error) !== undefined,
          `${call.what} ${describe(call)}, which is no error of verbs`,
          ['HOST-34', 'HOST-35'],
        );
    }
    this.calls.splice(0, this.calls.length, ...pending);
  }
}

type Verb = readonly [string, (verbs: Verbs) => Promise<unknown>];

function of<T>(list: readonly T[], at: number): T | undefined {
  return list.length === 0 ? undefined : list[at % list.length];
}
