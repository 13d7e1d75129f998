/** What a check has reached: plain counters that many runs add to. */
import { QpState, QpType, WcFlag, WcStatus, WrOpcode, qpTypes, wcStatuses } from '../abi/index.js';
import type { WorkCompletion } from '../verbs/index.js';
import { RunObserver } from './observer.js';
import type { Action } from './program.js';
import type { CqRecord, QpRecord, WrRecord } from './records.js';
import type { CoverageTable } from './report.js';

/** Deep states that a good set of programs reaches; a law whose state is never reached says nothing. */
const witnesses = [
  'traffic on a connected pair',
  'send flushed',
  'receive flushed',
  'error completion that is no flush',
  'completion after RESET or destroy',
  'destroy refused because in use',
  'queue pair destroyed with work outstanding',
  'modify refused',
  'post refused: queue full',
  'post refused: not allowed',
  'send queue drained state entered',
  'send queue error state seen',
  'completion event delivered',
  'datagram received',
  'immediate data received',
  'read completed',
] as const;

export class Coverage extends RunObserver {
  readonly commands = new Counter();
  readonly statuses = new Counter();
  readonly pairs = new Counter();
  readonly sometimes = new Counter(witnesses);
  #last = 'start';

  /** Call before each program. */
  begin(): void {
    this.#last = 'start';
  }

  override actionStarted(_index: number, action: Action): void {
    this.pairs.add2(this.#last, action.op);
    this.#last = action.op;
  }

  override actionEnded(_index: number, action: Action, errno: string | undefined): void {
    this.commands.add2(action.op, errno ?? 'ok');
    if (errno === 'EBUSY') this.sometimes.add('destroy refused because in use');
  }

  override completed(_cq: CqRecord, completion: WorkCompletion, request: WrRecord | undefined): void {
    const { status } = completion;
    if (request === undefined) return;
    const { qp, send } = request;
    this.statuses.add2(qpTypes.nameOf(qp.type) ?? '?', wcStatuses.nameOf(status) ?? '?');
    if (request.state === 'discarded') this.sometimes.add('completion after RESET or destroy');
    if (status === WcStatus.WR_FLUSH_ERR) this.sometimes.add(send ? 'send flushed' : 'receive flushed');
    else if (status !== WcStatus.SUCCESS) this.sometimes.add('error completion that is no flush');
    else {
      if (qp.type === QpType.RC || qp.type === QpType.UC) this.sometimes.add('traffic on a connected pair');
      else if (!send) this.sometimes.add('datagram received');
      if ((completion.wcFlags & WcFlag.WITH_IMM) !== 0) this.sometimes.add('immediate data received');
      if (send && request.opcode === WrOpcode.RDMA_READ) this.sometimes.add('read completed');
    }
  }

  override destroyStarted(object: { kind: string }): void {
    if (object.kind !== 'qp') return;
    const qp = object as QpRecord;
    const left = qp.sends.length - qp.sendsDone + qp.recvs.length - qp.recvsDone;
    if (left > 0) this.sometimes.add('queue pair destroyed with work outstanding');
  }

  override modified(_qp: QpRecord, to: number | undefined): void {
    if (to === QpState.SQD) this.sometimes.add('send queue drained state entered');
  }

  override queried(_qp: QpRecord, state: number): void {
    if (state === QpState.SQE) this.sometimes.add('send queue error state seen');
  }

  override modifyRefused(): void {
    this.sometimes.add('modify refused');
  }

  override postRefused(_qp: QpRecord, _send: boolean, errno: string): void {
    this.sometimes.add(errno === 'ENOMEM' ? 'post refused: queue full' : 'post refused: not allowed');
  }

  override event(): void {
    this.sometimes.add('completion event delivered');
  }

  tables(): CoverageTable[] {
    return [
      { name: 'commands x results', open: true, counts: this.commands.toRecord() },
      { name: 'transports x statuses', open: true, counts: this.statuses.toRecord() },
      { name: 'pairs of actions', open: true, counts: this.pairs.toRecord() },
      { name: 'sometimes', counts: this.sometimes.toRecord() },
    ];
  }
}

/** Counts by name, without building the name of a pair anew each time. */
class Counter {
  readonly #single = new Map<string, number>();
  readonly #double = new Map<string, Map<string, number>>();

  constructor(known: readonly string[] = []) {
    for (const name of known) this.#single.set(name, 0);
  }

  add(name: string): void {
    this.#single.set(name, (this.#single.get(name) ?? 0) + 1);
  }

  add2(first: string, second: string): void {
    let inner = this.#double.get(first);
    if (inner === undefined) this.#double.set(first, (inner = new Map<string, number>()));
    inner.set(second, (inner.get(second) ?? 0) + 1);
  }

  toRecord(): Record<string, number> {
    const pairs = [...this.#double].flatMap(([first, inner]) =>
      [...inner].map(([second, count]): [string, number] => [`${first} ${second}`, count]),
    );
    return Object.fromEntries([...this.#single, ...pairs].toSorted(([a], [b]) => (a < b ? -1 : 1)));
  }
}
