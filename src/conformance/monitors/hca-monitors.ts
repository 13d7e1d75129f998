/**
 * Stands between a device and its HCA function and holds what passes against the machines of queue pair, send and receive
 * work request and completion queue. Calls act at once here, so a machine sees every event in its true order.
 */
import { QpAttrMask, QpState, SendFlag } from '../../abi/index.js';
import type { WcStatus as Status } from '../../abi/index.js';
import { qpAttrMaskOf } from '../attributes.js';
import type {
  HcaAh,
  HcaCq,
  HcaCqOwner,
  HcaFunction,
  HcaMr,
  HcaMrInit,
  HcaPd,
  HcaQp,
  HcaQpOwner,
} from '../../reference/index.js';
import type {
  AhAttributes,
  DeviceAttributes,
  Gid,
  PortAttributes,
  QpAttributes,
  QpInit,
  QpSnapshot,
  RecvWorkRequest,
  SendWorkRequest,
  WorkCompletion,
} from '../../verbs/index.js';
import type { MonitorBook } from './book.js';
import { Reporter, kindOf, modifyEvent, observedEvent, qpMachineName } from './hca-events.js';

/** Numbers of instances, dense over all machines of a run. */
export class InstanceNumbers {
  qp = 0;
  wr = 0;
  cq = 0;
}

interface WatchedQp {
  readonly key: number;
  readonly reporter: Reporter;
  readonly type: number;
  readonly sigAll: boolean;
  readonly sendCq: WatchedCq;
  readonly recvCq: WatchedCq;
  /** Keys of the requests that are with the HCA, oldest first. */
  readonly sends: number[];
  readonly recvs: number[];
  /** Keys retired by a RESET or destroy that is going on; undefined while none is. */
  discarded: { readonly key: number; readonly send: boolean }[] | undefined;
}

interface WatchedCq {
  readonly key: number;
  readonly cqe: number;
  /** Completions with the HCA, not taken by the owner. */
  held: number;
  readonly qps: Set<WatchedQp>;
  overrun: boolean;
}

export class WatchedFunction implements HcaFunction {
  readonly #inner: HcaFunction;
  readonly #numbers: InstanceNumbers;
  readonly #book: MonitorBook;
  readonly #cqReporter: Reporter;
  readonly #sendReporter: Reporter;
  readonly #recvReporter: Reporter;
  readonly #cqs = new Map<HcaCq, WatchedCq>();
  readonly #qps = new Map<HcaQp, WatchedQp>();
  /** The request that left its queue last; a completion that follows is its own. */
  #retired: { qp: WatchedQp; key: number; send: boolean } | undefined;

  constructor(inner: HcaFunction, book: MonitorBook, numbers: InstanceNumbers) {
    this.#inner = inner;
    this.#book = book;
    this.#numbers = numbers;
    this.#cqReporter = new Reporter(book, 'CQ');
    this.#sendReporter = new Reporter(book, 'SEND_WR');
    this.#recvReporter = new Reporter(book, 'RECV_WR');
  }

  get attributes(): DeviceAttributes {
    return this.#inner.attributes;
  }
  get port(): PortAttributes {
    return this.#inner.port;
  }

  // ---------------------------------------------------------------- completion queues

  createCq(cqe: number, owner: HcaCqOwner): HcaCq {
    const watched: WatchedCq = { key: this.#numbers.cq++, cqe, held: 0, qps: new Set(), overrun: false };
    const cq = this.#inner.createCq(cqe, {
      completionAdded: (which, completion, solicited) => {
        this.#added(watched, owner.unconsumed(which), completion, solicited);
        owner.completionAdded(which, completion, solicited);
      },
      eventRaised: which => {
        this.#cqReporter.report(watched.key, 'EVENT');
        owner.eventRaised(which);
      },
      unconsumed: which => owner.unconsumed(which),
      overran: which => {
        this.#overran(watched, owner.unconsumed(which));
        owner.overran(which);
      },
    });
    this.#cqs.set(cq, watched);
    this.#cqReporter.monitor.open(watched.key, cq.cqe);
    return cq;
  }

  /** The program has polled what the owner no longer counts as unconsumed. */
  #catchUp(cq: WatchedCq, unconsumed: number): void {
    const fill = cq.held + unconsumed;
    const { monitor } = this.#cqReporter;
    while (monitor.count(cq.key) > fill) this.#cqReporter.report(cq.key, 'POLL');
  }

  #added(cq: WatchedCq, unconsumed: number, completion: Readonly<WorkCompletion>, solicited: boolean): void {
    this.#catchUp(cq, unconsumed);
    cq.held++;
    this.#cqReporter.report(cq.key, solicited ? 'ADD_SOLICITED' : 'ADD');
    const retired = this.#retired;
    this.#retired = undefined;
    if (retired === undefined) return;
    const { qp, key, send } = retired;
    const kind = kindOf(completion.status);
    qp.reporter.report(qp.key, send ? kind.ofSend : kind.ofRecv);
    (send ? this.#sendReporter : this.#recvReporter).report(key, kind.ofRequest);
  }

  #overran(cq: WatchedCq, unconsumed: number): void {
    this.#catchUp(cq, unconsumed);
    this.#cqReporter.report(cq.key, 'LOSE');
    cq.overrun = true;
    const retired = this.#retired;
    this.#retired = undefined;
    if (retired !== undefined) this.#lose(retired.key, retired.send);
    for (const qp of cq.qps) {
      qp.reporter.report(qp.key, 'CQ_OVERRUN');
      if (qp.sendCq === cq) for (const key of qp.sends) this.#lose(key, true);
      if (qp.recvCq === cq) for (const key of qp.recvs) this.#lose(key, false);
    }
  }

  #lose(key: number, send: boolean): void {
    (send ? this.#sendReporter : this.#recvReporter).report(key, 'CQ_OVERRUN');
  }

  destroyCq(cq: HcaCq): void {
    this.#inner.destroyCq(cq);
    const watched = this.#cqs.get(cq);
    if (watched === undefined) return;
    this.#cqReporter.report(watched.key, 'DESTROY');
    this.#cqs.delete(cq);
  }

  reqNotifyCq(cq: HcaCq, solicitedOnly: boolean): void {
    const watched = this.#cqs.get(cq);
    if (watched !== undefined)
      this.#cqReporter.report(watched.key, solicitedOnly ? 'ARM_SOLICITED' : 'ARM_NEXT');
    this.#inner.reqNotifyCq(cq, solicitedOnly);
  }

  pollCq(cq: HcaCq, completions: WorkCompletion[], max: number): number {
    const count = this.#inner.pollCq(cq, completions, max);
    const watched = this.#cqs.get(cq);
    if (watched !== undefined) watched.held -= count;
    return count;
  }

  // ---------------------------------------------------------------- queue pairs

  createQp(pd: HcaPd, init: QpInit<HcaCq>, owner: HcaQpOwner, qpNum?: number): HcaQp {
    const sendCq = this.#cqs.get(init.sendCq);
    const recvCq = this.#cqs.get(init.recvCq);
    if (sendCq === undefined || recvCq === undefined) return this.#inner.createQp(pd, init, owner, qpNum);
    const watched: WatchedQp = {
      key: this.#numbers.qp++,
      reporter: new Reporter(this.#book, qpMachineName(init.type)),
      type: init.type,
      sigAll: init.sqSigAll,
      sendCq,
      recvCq,
      sends: [],
      recvs: [],
      discarded: undefined,
    };
    const watchedOwner: HcaQpOwner = {
      sendRetired: (which, cookie) => {
        this.#leave(watched, true);
        owner.sendRetired(which, cookie);
      },
      recvRetired: (which, cookie) => {
        this.#leave(watched, false);
        owner.recvRetired(which, cookie);
      },
    };
    const qp = this.#inner.createQp(pd, init, watchedOwner, qpNum);
    sendCq.qps.add(watched);
    recvCq.qps.add(watched);
    this.#qps.set(qp, watched);
    watched.reporter.monitor.open(watched.key);
    return qp;
  }

  #leave(qp: WatchedQp, send: boolean): void {
    const key = (send ? qp.sends : qp.recvs).shift();
    if (key === undefined) return;
    (send ? this.#sendReporter : this.#recvReporter).report(key, 'CHAIN_RETURNED');
    if (qp.discarded !== undefined) qp.discarded.push({ key, send });
    else this.#retired = { qp, key, send };
  }

  modifyQp(qp: HcaQp, attributes: QpAttributes): void {
    const watched = this.#qps.get(qp);
    if (watched === undefined) return this.#inner.modifyQp(qp, attributes);
    const mask = qpAttrMaskOf(attributes);
    const { qpState } = attributes;
    if (qpState === QpState.RESET) watched.discarded = [];
    // Reported first: what the change sets off, such as a flush, comes behind it.
    const before = this.#inner.queryQp(qp).qpState;
    const probe = watched.reporter.monitor;
    probe.begin(watched.key, watched.reporter.idOf(modifyEvent(qpState)), mask);
    try {
      this.#inner.modifyQp(qp, attributes);
    } catch (error) {
      watched.discarded = undefined;
      probe.abort(watched.key, mask === QpAttrMask.STATE && before !== QpState.SQD);
      throw error;
    }
    probe.commit(watched.key);
    this.#discard(watched);
  }

  #discard(qp: WatchedQp): void {
    const { discarded } = qp;
    qp.discarded = undefined;
    if (discarded === undefined) return;
    for (const { key, send } of discarded)
      (send ? this.#sendReporter : this.#recvReporter).report(key, 'DISCARD');
  }

  queryQp(qp: HcaQp): QpSnapshot {
    const snapshot = this.#inner.queryQp(qp);
    const watched = this.#qps.get(qp);
    if (watched !== undefined) {
      watched.reporter.report(watched.key, observedEvent(snapshot));
    }
    return snapshot;
  }

  destroyQp(qp: HcaQp): void {
    const watched = this.#qps.get(qp);
    if (watched !== undefined) watched.discarded = [];
    this.#inner.destroyQp(qp);
    if (watched === undefined) return;
    this.#discard(watched);
    watched.reporter.report(watched.key, 'DESTROY');
    watched.sendCq.qps.delete(watched);
    watched.recvCq.qps.delete(watched);
    this.#qps.delete(qp);
  }

  postSend(qp: HcaQp, request: SendWorkRequest<HcaAh>, cookie: number): void {
    const signaled = (request.sendFlags & SendFlag.SIGNALED) !== 0;
    this.#post(qp, true, signaled, () => this.#inner.postSend(qp, request, cookie));
  }

  postRecv(qp: HcaQp, request: RecvWorkRequest, cookie: number): void {
    this.#post(qp, false, true, () => this.#inner.postRecv(qp, request, cookie));
  }

  postFaultySend(qp: HcaQp, wrId: number, status: Status, cookie: number): void {
    this.#post(qp, true, false, () => this.#inner.postFaultySend(qp, wrId, status, cookie));
  }

  postFaultyRecv(qp: HcaQp, wrId: number, status: Status, cookie: number): void {
    this.#post(qp, false, true, () => this.#inner.postFaultyRecv(qp, wrId, status, cookie));
  }

  /** The request is entered before the call, since a queue pair in error flushes it within the call. */
  #post(qp: HcaQp, send: boolean, signaled: boolean, call: () => void): void {
    const watched = this.#qps.get(qp);
    if (watched === undefined) return call();
    const key = this.#numbers.wr++;
    const list = send ? watched.sends : watched.recvs;
    const reporter = send ? this.#sendReporter : this.#recvReporter;
    reporter.monitor.open(key);
    list.push(key);
    const name = send ? (signaled || watched.sigAll ? 'POST_SIGNALED' : 'POST_UNSIGNALED') : 'POST';
    reporter.report(key, name);
    if ((send ? watched.sendCq : watched.recvCq).overrun) this.#lose(key, send);
    try {
      call();
    } catch (error) {
      list.pop();
      reporter.monitor.drop(key);
      throw error;
    }
    watched.reporter.report(watched.key, send ? 'POST_SEND' : 'POST_RECV');
  }

  // ---------------------------------------------------------------- the rest passes through

  createPd(): HcaPd {
    return this.#inner.createPd();
  }
  destroyPd(pd: HcaPd): void {
    this.#inner.destroyPd(pd);
  }
  registerMr(pd: HcaPd, init: HcaMrInit): HcaMr {
    return this.#inner.registerMr(pd, init);
  }
  deregisterMr(mr: HcaMr): void {
    this.#inner.deregisterMr(mr);
  }
  createAh(pd: HcaPd, attributes: AhAttributes): HcaAh {
    return this.#inner.createAh(pd, attributes);
  }
  destroyAh(ah: HcaAh): void {
    this.#inner.destroyAh(ah);
  }
  addGid(index: number, gid: Gid): void {
    this.#inner.addGid(index, gid);
  }
  delGid(index: number): void {
    this.#inner.delGid(index);
  }

  reset(): void {
    for (const { key } of this.#cqs.values()) this.#cqReporter.monitor.drop(key);
    for (const { key, reporter, sends, recvs } of this.#qps.values()) {
      reporter.monitor.drop(key);
      for (const request of sends) this.#sendReporter.monitor.drop(request);
      for (const request of recvs) this.#recvReporter.monitor.drop(request);
    }
    this.#cqs.clear();
    this.#qps.clear();
    this.#inner.reset();
  }
}

/** Events of a completion, in the machines of the queue pair and of the request. */
