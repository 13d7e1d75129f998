/**
 * Holds what a program sees of its verbs against the machines of protection domain, completion queue use, memory region,
 * address handle and GID entry. Queue pairs and requests are judged at the HCA, where events have their true order.
 */
import { WcStatus } from '../../abi/index.js';
import type { WorkCompletion } from '../../verbs/index.js';
import type { CompiledMachine } from '../../statemachines/index.js';
import { RunObserver } from '../observer.js';
import type { RequestSpec } from '../observer.js';
import type { Action, Program } from '../program.js';
import type { CqRecord, MrRecord, ObjectRecord, QpRecord, WrRecord } from '../records.js';
import { tablesOf } from './book.js';
import type { MonitorBook } from './book.js';

const GID_ENTRIES = 256;

/** Numbers of the events that this judge reports, by machine. */
const pd = ids(tablesOf('PD'), ['USER_CREATED', 'USER_DESTROYED', 'DESTROY', 'DESTROY_REFUSED']);
const mrEvents = ids(tablesOf('MR'), ['ACCESS', 'DEREGISTER']);
const ahEvents = ids(tablesOf('AH'), ['USE', 'DESTROY']);
const gid = ids(tablesOf('GID'), ['ADD', 'ADD_REFUSED', 'DEL', 'DEL_REFUSED', 'NAME']);

function ids<const N extends string>(machine: CompiledMachine, names: readonly N[]): Record<N, number> {
  return Object.fromEntries(names.map(name => [name, machine.eventId(name)])) as Record<N, number>;
}

export class VerbsMonitors extends RunObserver {
  readonly #book: MonitorBook;
  readonly #settled: boolean;
  readonly #gidTableLength: number;
  /** Regions that each request names, and whether they were live when it was posted. */
  readonly #regions = new Map<WrRecord, readonly { readonly mr: MrRecord; readonly live: boolean }[]>();
  /** By machine, then by name. */
  readonly #mrs: readonly Map<string, MrRecord>[];

  constructor(program: Program, book: MonitorBook, gidTableLength: number) {
    super();
    this.#book = book;
    this.#settled = program.mode === 'settled';
    this.#gidTableLength = gidTableLength;
    this.#mrs = program.hosts.map(() => new Map<string, MrRecord>());
    const monitor = book.get('GID');
    for (let vm = 0; vm < program.hosts.length; vm++) {
      for (let index = 0; index < gidTableLength; index++) monitor.open(vm * GID_ENTRIES + index);
    }
  }

  override created(object: ObjectRecord): void {
    switch (object.kind) {
      case 'pd':
        this.#book.get('PD').open(object.id);
        return;
      case 'cq':
        this.#book.get('CQ_USE').open(object.id);
        return;
      case 'mr':
        this.#mrs[object.vm].set(object.name, object);
        this.#book.get('MR').open(object.id);
        break;
      case 'ah':
        this.#book.get('AH').open(object.id);
        break;
      case 'qp':
        this.#book.get('CQ_USE').event(object.sendCq.id, pd.USER_CREATED);
        this.#book.get('CQ_USE').event(object.recvCq.id, pd.USER_CREATED);
        break;
    }
    this.#book.get('PD').event(object.pd.id, pd.USER_CREATED);
  }

  override destroyed(object: ObjectRecord): void {
    switch (object.kind) {
      case 'pd':
        this.#book.get('PD').event(object.id, pd.DESTROY);
        return;
      case 'cq':
        this.#book.get('CQ_USE').event(object.id, pd.DESTROY);
        return;
      case 'mr':
        this.#book.get('MR').event(object.id, mrEvents.DEREGISTER);
        break;
      case 'ah':
        this.#book.get('AH').event(object.id, ahEvents.DESTROY);
        break;
      case 'qp':
        this.#book.get('CQ_USE').event(object.sendCq.id, pd.USER_DESTROYED);
        this.#book.get('CQ_USE').event(object.recvCq.id, pd.USER_DESTROYED);
        break;
    }
    this.#book.get('PD').event(object.pd.id, pd.USER_DESTROYED);
  }

  override destroyRefused(object: ObjectRecord): void {
    // While commands overlap, the user that stood in the way may be gone by the time the refusal is told.
    if (!this.#settled || !object.alive) return;
    if (object.kind === 'pd') this.#book.get('PD').event(object.id, pd.DESTROY_REFUSED);
    else if (object.kind === 'cq') this.#book.get('CQ_USE').event(object.id, pd.DESTROY_REFUSED);
  }

  override modified(qp: QpRecord): void {
    const named = qp.attributes.ahAttr;
    if (named !== undefined && this.#settled) this.#nameGid(qp.vm, named.sgidIndex);
  }

  override posted(request: WrRecord, spec: RequestSpec): void {
    const { qp } = request;
    const regions = [];
    for (const sge of spec.sges) {
      if (typeof sge.mr !== 'string' || sge.length === 0) continue;
      const mr = this.#mrs[qp.vm].get(sge.mr);
      if (mr !== undefined) regions.push({ mr, live: mr.alive });
    }
    if (regions.length > 0) this.#regions.set(request, regions);
  }

  override completed(_cq: CqRecord, completion: WorkCompletion, request: WrRecord | undefined): void {
    if (request === undefined) return;
    const regions = this.#regions.get(request);
    if (regions === undefined) return;
    this.#regions.delete(request);
    // A send of no bytes, and a receive that a shorter message left untouched, name regions without an access.
    if (completion.status !== WcStatus.SUCCESS || !request.send) return;
    const monitor = this.#book.get('MR');
    for (const { mr, live } of regions) if (mr.alive || !live) monitor.event(mr.id, mrEvents.ACCESS);
  }

  override actionEnded(_index: number, action: Action, errno: string | undefined): void {
    if (action.op !== 'addGid' && action.op !== 'delGid' && action.op !== 'createAh') return;
    if (action.op === 'createAh') {
      if (errno === undefined && this.#settled) this.#nameGid(action.vm, action.to.sgidIndex ?? 0);
      return;
    }
    if (action.index >= this.#gidTableLength || !this.#settled) return;
    const event =
      action.op === 'addGid'
        ? errno === undefined
          ? gid.ADD
          : gid.ADD_REFUSED
        : errno === undefined
          ? gid.DEL
          : gid.DEL_REFUSED;
    this.#book.get('GID').event(action.vm * GID_ENTRIES + action.index, event);
  }

  #nameGid(vm: number, index: number): void {
    if (index < this.#gidTableLength) this.#book.get('GID').event(vm * GID_ENTRIES + index, gid.NAME);
  }
}
