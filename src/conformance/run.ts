/**
 * Runs one verbs program on one world and tells the judges what happened. The same code drives the para-virtual stack, the
 * bare-metal HCA and anybody else's implementation: it knows only `Verbs`.
 */
import { QpState, QpType, SendFlag, WrOpcode, qpStates } from '../abi/index.js';
import { VerbsError, emptyCompletion } from '../verbs/index.js';
import type {
  AddressHandle,
  AhAttributes,
  CompletionQueue,
  MemoryRegion,
  ProtectionDomain,
  QpAttributes,
  QueuePair,
  SendWorkRequest,
  Sge,
  Verbs,
  WorkCompletion,
} from '../verbs/index.js';
import { qpAttrMaskOf } from './attributes.js';
import { LawBroken } from './observer.js';
import type { RequestSpec, RunObserver } from './observer.js';
import { gidOf, patternByte } from './patterns.js';
import {
  describeCompletion,
  describeWanted,
  expectAttributes,
  numbered,
  repeated,
  unexpected,
} from './expectations.js';
import type { WantedCompletion } from './expectations.js';
import { Observation } from './observation.js';
import type {
  Action,
  ActionOf,
  AttributesSpec,
  KeySpec,
  Program,
  SendRequestSpec,
  SgeSpec,
} from './program.js';
import type { CqRecord, ObjectRecord, QpRecord, WrRecord } from './records.js';
import type { Machine, World } from './world.js';

/** Steps that one settling may take before the run is called endless. */
const STEPS_MAX = 2_000_000;
/** Turns of the microtask queue after which a silent promise is called lost. */
const TURNS_MAX = 64;

type Slot =
  | { readonly state: 'pending' }
  | { readonly state: 'absent' }
  | { readonly state: 'ready'; readonly record: ObjectRecord };
const PENDING: Slot = { state: 'pending' };
const ABSENT: Slot = { state: 'absent' };

const defaultCap = { sendWr: 16, recvWr: 16, sendSge: 2, recvSge: 2, inline: 64 };

export class Run {
  readonly observation = new Observation();
  readonly #program: Program;
  readonly #world: World;
  readonly #observers: readonly RunObserver[];
  readonly #slots: Map<string, Slot>[];
  readonly #requests: (WrRecord | undefined)[][];
  readonly #completions: WorkCompletion[] = [];
  readonly #counts = { pd: 0, cq: 0, mr: 0, qp: 0, ah: 0, wr: 0 };
  readonly #cqs: CqRecord[] = [];
  /** Completion queues whose sleepers wake at the end of the action. */
  readonly #woken = new Set<CqRecord>();
  #pending = 0;
  /** Verbs calls made, posts counted one by one. */
  calls = 0;

  constructor(program: Program, world: World, observers: readonly RunObserver[]) {
    this.#program = program;
    this.#world = world;
    this.#observers = observers;
    this.#slots = program.hosts.map(() => new Map());
    this.#requests = program.hosts.map(() => []);
    for (let i = 0; i < 64; i++) this.#completions.push(emptyCompletion());
  }

  /** Runs the whole program to the end and polls what is left. Throws LawBroken. */
  async execute(): Promise<void> {
    if (this.#program.mode === 'settled') await this.#executeSettled();
    else await this.#executeRacing();
    for (const cq of this.#cqs) if (cq.alive) this.#drain(cq);
    await this.#settle();
    for (const observer of this.#observers) observer.ended();
  }

  async #executeSettled(): Promise<void> {
    const { actions } = this.#program;
    for (let index = 0; index < actions.length; index++) {
      this.observation.action = index;
      this.#issue(index, actions[index]);
      await this.#settle();
      this.#wake();
    }
  }

  async #executeRacing(): Promise<void> {
    const { actions } = this.#program;
    const { scheduler } = this.#world;
    const { choices } = scheduler;
    let next = 0;
    let steps = 0;
    while (next < actions.length) {
      const free = !this.#blocked(actions[next]);
      const busy = !scheduler.quiet;
      if (free && (!busy || choices.pick(3) === 2)) {
        this.#issue(next, actions[next]);
        next++;
      } else if (busy) {
        scheduler.step();
        if (++steps > STEPS_MAX) throw endless(STEPS_MAX);
      } else await this.#waitForAnswer();
      if (this.#pending > 0) await undefined;
    }
    await this.#settle();
  }

  /** Runs until nothing moves: every answer is there and only retries without end are left, which bring nothing new. */
  async #settle(): Promise<void> {
    const { scheduler } = this.#world;
    for (;;) {
      this.#world.runUntilQuiet(STEPS_MAX, endless);
      if (this.#pending === 0) {
        if (scheduler.quiet) return;
      } else await this.#waitForAnswer();
    }
  }

  /** Lets promises move. Throws when the world is quiet and the answer still does not come. */
  async #waitForAnswer(): Promise<void> {
    const { scheduler } = this.#world;
    const before = this.#pending;
    for (let turn = 0; turn < TURNS_MAX; turn++) {
      await undefined;
      if (this.#pending !== before || !scheduler.quiet) return;
    }
    throw new LawBroken(
      'every command is answered exactly once',
      ['CTRL-01'],
      `${before} control verb(s) never settled although nothing is left to happen`,
    );
  }

  // ---------------------------------------------------------------- names

  #slot(vm: number, name: string): Slot {
    return this.#slots[vm]?.get(name) ?? ABSENT;
  }

  #find<K extends ObjectRecord['kind']>(
    vm: number,
    name: string,
    kind: K,
  ): Extract<ObjectRecord, { kind: K }> | undefined {
    const slot = this.#slot(vm, name);
    if (slot.state !== 'ready' || slot.record.kind !== kind) return undefined;
    return slot.record as Extract<ObjectRecord, { kind: K }>;
  }

  /** True while an object that the action names is still being created. */
  #blocked(action: Action): boolean {
    const waiting = (name: string | undefined, vm = action.vm): boolean =>
      name !== undefined && this.#slot(vm, name).state === 'pending';
    const dest = (to: { vm: number; qp: string } | number | undefined): boolean =>
      typeof to === 'object' && waiting(to.qp, to.vm);
    const keyed = (key: KeySpec, vm = action.vm): boolean =>
      typeof key === 'string' ? waiting(key, vm) : 'of' in key && waiting(key.of, vm);
    const elements = (sges: readonly SgeSpec[]): boolean => sges.some(sge => keyed(sge.mr));
    switch (action.op) {
      case 'queryDevice':
      case 'queryPort':
      case 'createPd':
      case 'createCq':
      case 'addGid':
      case 'delGid':
      case 'writeMemory':
      case 'expectMemory':
        return false;
      case 'destroyPd':
      case 'regMr':
      case 'getDmaMr':
      case 'createAh':
        return waiting(action.pd);
      case 'destroyCq':
      case 'reqNotifyCq':
      case 'pollCq':
      case 'waitCq':
        return waiting(action.cq);
      case 'deregMr':
        return waiting(action.mr);
      case 'createQp':
        return waiting(action.pd) || waiting(action.sendCq) || waiting(action.recvCq);
      case 'modifyQp':
        return waiting(action.qp) || dest(action.set.dest);
      case 'queryQp':
      case 'destroyQp':
        return waiting(action.qp);
      case 'destroyAh':
        return waiting(action.ah);
      case 'postRecv':
        return waiting(action.qp) || action.requests.some(request => elements(request.sges));
      case 'postSend':
        return (
          waiting(action.qp) ||
          action.requests.some(
            request =>
              elements(request.sges) ||
              waiting(request.ah) ||
              dest(request.dest) ||
              (request.remote !== undefined && keyed(request.remote.mr, request.remote.vm)),
          )
        );
    }
  }

  // ---------------------------------------------------------------- actions

  #issue(index: number, action: Action): void {
    const machine = this.#world.machines[action.vm];
    if (machine === undefined) return;
    for (const observer of this.#observers) observer.actionStarted(index, action);
    this.#act(index, action, machine, machine.verbs);
  }

  #act(index: number, action: Action, machine: Machine, verbs: Verbs): void {
    switch (action.op) {
      case 'queryDevice':
        return this.#control(index, action, () => verbs.queryDevice());
      case 'queryPort':
        return this.#control(index, action, () => verbs.queryPort());
      case 'createPd':
        return this.#createPd(index, action, verbs);
      case 'destroyPd':
        return this.#destroy(index, action, this.#find(action.vm, action.pd, 'pd'), record =>
          verbs.destroyPd(record.handle as ProtectionDomain),
        );
      case 'createCq':
        return this.#createCq(index, action, verbs);
      case 'destroyCq':
        return this.#destroy(index, action, this.#find(action.vm, action.cq, 'cq'), record =>
          verbs.destroyCq(record.handle as CompletionQueue),
        );
      case 'regMr':
      case 'getDmaMr':
        return this.#createMr(index, action, machine, verbs);
      case 'deregMr':
        return this.#destroy(index, action, this.#find(action.vm, action.mr, 'mr'), record =>
          verbs.deregMr(record.handle as MemoryRegion),
        );
      case 'createQp':
        return this.#createQp(index, action, verbs);
      case 'modifyQp':
        return this.#modifyQp(index, action, verbs);
      case 'queryQp':
        return this.#queryQp(index, action, verbs);
      case 'destroyQp':
        return this.#destroy(index, action, this.#find(action.vm, action.qp, 'qp'), record =>
          verbs.destroyQp(record.handle as QueuePair),
        );
      case 'createAh':
        return this.#createAh(index, action, verbs);
      case 'destroyAh':
        return this.#destroy(index, action, this.#find(action.vm, action.ah, 'ah'), record =>
          verbs.destroyAh(record.handle as AddressHandle),
        );
      case 'addGid':
        return this.#control(index, action, () =>
          verbs.addGid(action.index, gidOf(action.of ?? action.vm, action.gid)),
        );
      case 'delGid':
        return this.#control(index, action, () => verbs.delGid(action.index));
      case 'reqNotifyCq':
        return this.#arm(index, action, verbs);
      case 'postSend':
        return this.#postSend(index, action, machine, verbs);
      case 'postRecv':
        return this.#postRecv(index, action, machine, verbs);
      case 'pollCq':
        return this.#pollCq(index, action);
      case 'waitCq':
        return this.#arm(index, action, verbs);
      case 'writeMemory':
        return this.#writeMemory(index, action, machine);
      case 'expectMemory':
        return this.#expectMemory(index, action, machine);
    }
  }

  /** Calls a control verb, and when it settles records the outcome and tells the judges. */
  #control<T>(
    index: number,
    action: Action,
    call: () => Promise<T>,
    accepted?: (value: T) => void,
    refused?: (errno: string) => void,
  ): void {
    this.calls++;
    this.#pending++;
    let settled = false;
    const settle = (): void => {
      if (settled)
        throw new LawBroken(
          'every command is answered exactly once',
          ['CTRL-01'],
          `${action.op} settled twice`,
        );
      settled = true;
      this.#pending--;
    };
    let promise: Promise<T>;
    try {
      promise = call();
    } catch (error) {
      promise = Promise.reject(error);
    }
    promise
      .then(
        value => {
          settle();
          this.#end(index, action, undefined);
          accepted?.(value);
        },
        (error: unknown) => {
          settle();
          const errno = errnoOf(error, action.op);
          this.#end(index, action, errno);
          refused?.(errno);
        },
      )
      .catch((error: unknown) => this.#world.fail(error));
  }

  /** The action came to its end: told to the judges, noted for the comparison, held against what the program expects. */
  #end(index: number, action: Action, errno: string | undefined): void {
    for (const observer of this.#observers) observer.actionEnded(index, action, errno);
    const data = action.op === 'postSend' || action.op === 'postRecv';
    this.observation.note(
      index,
      data ? `${action.op} ${errno ?? 'ok'}` : `${action.op} ${errno === undefined ? 'ok' : 'refused'}`,
    );
    const expected = 'expect' in action ? action.expect : undefined;
    if (expected === undefined) return;
    const seen = errno ?? 'ok';
    const agrees = expected === 'refused' ? errno !== undefined : expected === seen;
    if (!agrees) throw unexpected(index, `${action.op} came to ${seen}`, expected);
  }

  /** An action whose objects were never made. It cannot come to what the program expects of it. */
  #skip(index: number, action: Action): void {
    this.observation.note(index, `${action.op} skipped`);
    const expected = 'expect' in action ? action.expect : undefined;
    if (expected !== undefined || (action.op === 'pollCq' && action.expectWc !== undefined))
      throw unexpected(index, `${action.op} names an object that does not exist`, expected ?? 'one');
  }

  #base<K extends 'pd' | 'cq' | 'mr' | 'qp' | 'ah', H>(kind: K, vm: number, name: string, handle: H) {
    return { kind, vm, name, id: this.#counts[kind]++, handle, alive: true, destroying: false } as const;
  }

  /** Runs a creating verb under a name; the name is pending until it settles. */
  #create<T>(
    index: number,
    action: Action & { as: string },
    call: () => Promise<T>,
    record: (value: T) => ObjectRecord,
  ): void {
    const slots = this.#slots[action.vm];
    slots.set(action.as, PENDING);
    this.#control(
      index,
      action,
      call,
      value => {
        const made = record(value);
        slots.set(action.as, { state: 'ready', record: made });
        for (const observer of this.#observers) observer.created(made);
      },
      () => slots.set(action.as, ABSENT),
    );
  }

  #destroy<R extends ObjectRecord>(
    index: number,
    action: Action,
    record: R | undefined,
    call: (record: R) => Promise<void>,
  ): void {
    if (record === undefined) return this.#skip(index, action);
    const first = record.alive && !record.destroying;
    if (first) record.destroying = true;
    for (const observer of this.#observers) observer.destroyStarted(record);
    this.#control(
      index,
      action,
      () => call(record),
      () => {
        for (const observer of this.#observers) observer.destroyed(record);
        record.alive = false;
        if (record.kind === 'qp') this.#discard(record);
      },
      errno => {
        if (first) record.destroying = false;
        for (const observer of this.#observers) observer.destroyRefused(record, errno);
      },
    );
  }

  #createPd(index: number, action: ActionOf<'createPd'>, verbs: Verbs): void {
    this.#create(
      index,
      action,
      () => verbs.createPd(),
      pd => ({ ...this.#base('pd', action.vm, action.as, pd), children: 0 }),
    );
  }

  #createCq(index: number, action: ActionOf<'createCq'>, verbs: Verbs): void {
    let made: CqRecord | undefined;
    const call = (): Promise<CompletionQueue> =>
      verbs.createCq(action.cqe, () => {
        if (made !== undefined) this.#event(made);
      });
    this.#create(index, action, call, cq => {
      made = {
        ...this.#base('cq', action.vm, action.as, cq),
        cqe: cq.cqe,
        users: 0,
        armed: 'no',
        events: 0,
        sleeper: 'no',
        overran: false,
        polled: 0,
      };
      this.#cqs.push(made);
      this.observation.note(index, `cqe ${cq.cqe}`);
      return made;
    });
  }

  #createMr(
    index: number,
    action: ActionOf<'regMr'> | ActionOf<'getDmaMr'>,
    machine: Machine,
    verbs: Verbs,
  ): void {
    const pd = this.#find(action.vm, action.pd, 'pd');
    if (pd === undefined) return this.#skip(index, action);
    const handle = pd.handle as ProtectionDomain;
    const dma = action.op === 'getDmaMr';
    const call = (): Promise<MemoryRegion> =>
      dma
        ? verbs.getDmaMr(handle, action.access)
        : verbs.regMr(handle, {
            addr: machine.guest.arenaAddress(action.at),
            length: action.length,
            access: action.access,
          });
    const at = dma ? 0 : action.at;
    const length = dma ? this.#program.arenaBytes : action.length;
    this.#create(index, action, call, mr => ({
      ...this.#base('mr', action.vm, action.as, mr),
      pd,
      at,
      length,
      access: action.access,
      dma,
      lkey: mr.lkey,
      rkey: mr.rkey,
    }));
  }

  #createQp(index: number, action: ActionOf<'createQp'>, verbs: Verbs): void {
    const pd = this.#find(action.vm, action.pd, 'pd');
    const sendCq = this.#find(action.vm, action.sendCq, 'cq');
    const recvCq = this.#find(action.vm, action.recvCq, 'cq');
    if (pd === undefined || sendCq === undefined || recvCq === undefined) return this.#skip(index, action);
    const wanted = action.cap ?? defaultCap;
    const type = QpType[action.type];
    const cap = {
      maxSendWr: wanted.sendWr,
      maxRecvWr: wanted.recvWr,
      maxSendSge: wanted.sendSge,
      maxRecvSge: wanted.recvSge,
      maxInlineData: wanted.inline,
    };
    const sigAll = action.sigAll ?? false;
    const call = (): Promise<QueuePair> =>
      verbs.createQp(pd.handle as ProtectionDomain, {
        type,
        sqSigAll: sigAll,
        sendCq: sendCq.handle,
        recvCq: recvCq.handle,
        cap,
      });
    this.#create(index, action, call, qp => ({
      ...this.#base('qp', action.vm, action.as, qp),
      type,
      pd,
      sendCq,
      recvCq,
      sigAll,
      state: QpState.RESET,
      attributes: {},
      sends: [],
      recvs: [],
      sendsDone: 0,
      recvsDone: 0,
      sendFailed: false,
      recvFailed: false,
    }));
  }

  #createAh(index: number, action: ActionOf<'createAh'>, verbs: Verbs): void {
    const pd = this.#find(action.vm, action.pd, 'pd');
    if (pd === undefined) return this.#skip(index, action);
    this.#create(
      index,
      action,
      () => verbs.createAh(pd.handle as ProtectionDomain, route(action.to)),
      ah => ({ ...this.#base('ah', action.vm, action.as, ah), pd }),
    );
  }

  #modifyQp(index: number, action: ActionOf<'modifyQp'>, verbs: Verbs): void {
    const qp = this.#find(action.vm, action.qp, 'qp');
    if (qp === undefined) return this.#skip(index, action);
    const attributes = this.#attributes(action.set, qp);
    const mask = qpAttrMaskOf(attributes);
    const to = attributes.qpState ?? qp.state;
    for (const observer of this.#observers) observer.modifyStarted(qp, to, mask);
    this.#control(
      index,
      action,
      () => verbs.modifyQp(qp.handle, attributes),
      () => {
        const from = qp.state;
        if (attributes.qpState !== undefined) qp.state = attributes.qpState;
        qp.attributes = to === QpState.RESET ? {} : { ...qp.attributes, ...attributes };
        for (const observer of this.#observers) observer.modified(qp, from, to, mask);
        if (to === QpState.RESET && attributes.qpState !== undefined) this.#discard(qp);
      },
      errno => {
        for (const observer of this.#observers) observer.modifyRefused(qp, to, mask, errno);
      },
    );
  }

  #discard(qp: QpRecord): void {
    for (const list of [qp.sends, qp.recvs]) {
      for (const request of list) if (request.state === 'posted') request.state = 'discarded';
      list.length = 0;
    }
    qp.sendsDone = 0;
    qp.recvsDone = 0;
    qp.sendFailed = false;
    qp.recvFailed = false;
  }

  #attributes(set: AttributesSpec, qp: QpRecord): QpAttributes {
    const all: QpAttributes = {
      qpState: set.state && QpState[set.state],
      curQpState: set.curState && QpState[set.curState],
      qpAccessFlags: set.access,
      qkey: set.qkey,
      ahAttr: set.to && route(set.to),
      pathMtu: set.pathMtu,
      timeout: set.timeout,
      retryCnt: set.retryCnt,
      rnrRetry: set.rnrRetry,
      rqPsn: set.rqPsn,
      maxRdAtomic: set.maxRdAtomic,
      minRnrTimer: set.minRnrTimer,
      sqPsn: set.sqPsn,
      maxDestRdAtomic: set.maxDestRdAtomic,
      cap: set.cap && qp.handle.cap,
      destQpNum: set.dest === undefined ? undefined : this.#qpNumber(set.dest),
      rateLimit: set.rateLimit,
    };
    // Presence is what puts an attribute in the mask, so what is undefined must be absent.
    return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
  }

  #qpNumber(dest: { vm: number; qp: string } | number): number {
    if (typeof dest === 'number') return dest;
    return this.#find(dest.vm, dest.qp, 'qp')?.handle.qpNum ?? 0xffffff;
  }

  #queryQp(index: number, action: ActionOf<'queryQp'>, verbs: Verbs): void {
    const qp = this.#find(action.vm, action.qp, 'qp');
    if (qp === undefined) return this.#skip(index, action);
    this.#control(
      index,
      action,
      () => verbs.queryQp(qp.handle),
      snapshot => {
        const { qpState, sqDraining, pathMtu, maxRdAtomic, maxDestRdAtomic, minRnrTimer, timeout } = snapshot;
        this.observation.note(
          index,
          `state ${qpState} draining ${sqDraining} ${pathMtu} ${maxRdAtomic} ${maxDestRdAtomic} ${minRnrTimer} ${timeout} ` +
            `${snapshot.retryCnt} ${snapshot.rnrRetry} ${snapshot.qkey} ${snapshot.rqPsn} ${snapshot.sqPsn} ${snapshot.qpAccessFlags}`,
        );
        for (const observer of this.#observers) observer.queried(qp, qpState);
        const { expectState, expectSet } = action;
        if (expectState !== undefined && QpState[expectState] !== qpState)
          throw unexpected(index, `${action.qp} is in ${qpStates.nameOf(qpState) ?? qpState}`, expectState);
        if (expectSet !== undefined) expectAttributes(index, snapshot, expectSet);
      },
    );
  }

  // ---------------------------------------------------------------- data path

  #sges(sges: readonly SgeSpec[], machine: Machine, vm: number): Sge[] {
    return sges.map(sge => ({
      addr: this.#address(sge.mr, vm, machine, sge.at),
      length: sge.length,
      lkey: this.#key(sge.mr, vm, 'lkey'),
    }));
  }

  #address(key: KeySpec, vm: number, machine: Machine, at: number): number {
    const name = typeof key === 'string' ? key : 'of' in key ? key.of : undefined;
    const mr = name === undefined ? undefined : this.#find(vm, name, 'mr');
    return mr?.dma === true ? machine.dmaAddress(at) : machine.guest.arenaAddress(at);
  }

  #key(key: KeySpec, vm: number, which: 'lkey' | 'rkey'): number {
    if (typeof key === 'object' && 'raw' in key) return key.raw;
    const [name, delta] = typeof key === 'string' ? [key, 0] : [key.of, key.delta];
    const mr = this.#find(vm, name, 'mr');
    return ((mr === undefined ? 0 : mr[which]) + delta) >>> 0;
  }

  #postSend(index: number, action: ActionOf<'postSend'>, machine: Machine, verbs: Verbs): void {
    const qp = this.#find(action.vm, action.qp, 'qp');
    if (qp === undefined) return this.#skip(index, action);
    let errno: string | undefined;
    for (const spec of repeated(action.requests)) {
      const request = this.#sendRequest(spec, qp, machine);
      const signaled = qp.sigAll || (spec.signaled ?? true);
      errno = this.#post(qp, true, request.opcode, signaled, request.wrId, spec, () =>
        verbs.postSend(qp.handle, request),
      );
      if (errno !== undefined) break;
    }
    this.#end(index, action, errno);
  }

  #sendRequest(spec: SendRequestSpec, qp: QpRecord, machine: Machine): SendWorkRequest {
    const { vm } = qp;
    const wrId = this.#requests[vm].length;
    const flags =
      ((spec.signaled ?? true) ? SendFlag.SIGNALED : 0) |
      (spec.solicited === true ? SendFlag.SOLICITED : 0) |
      (spec.fence === true ? SendFlag.FENCE : 0) |
      (spec.inline === undefined ? 0 : SendFlag.INLINE);
    const { remote } = spec;
    const peer = remote === undefined ? undefined : this.#world.machines[remote.vm];
    const ah = spec.ah === undefined ? undefined : this.#find(vm, spec.ah, 'ah');
    return {
      wrId,
      opcode: WrOpcode[spec.opcode],
      sendFlags: flags,
      sges: spec.inline === undefined ? this.#sges(spec.sges, machine, vm) : [],
      inlineData: spec.inline === undefined ? undefined : inlineData(wrId, spec.inline),
      immData: spec.imm,
      remoteAddr: remote && peer ? this.#address(remote.mr, remote.vm, peer, remote.at) : undefined,
      rkey: remote && this.#key(remote.mr, remote.vm, 'rkey'),
      ah: ah?.handle as AddressHandle | undefined,
      remoteQpn: spec.dest === undefined ? undefined : this.#qpNumber(spec.dest),
      remoteQkey: spec.qkey,
    };
  }

  #postRecv(index: number, action: ActionOf<'postRecv'>, machine: Machine, verbs: Verbs): void {
    const qp = this.#find(action.vm, action.qp, 'qp');
    if (qp === undefined) return this.#skip(index, action);
    let errno: string | undefined;
    for (const spec of repeated(action.requests)) {
      const wrId = this.#requests[action.vm].length;
      const sges = this.#sges(spec.sges, machine, action.vm);
      errno = this.#post(qp, false, 0, true, wrId, spec, () => verbs.postRecv(qp.handle, { wrId, sges }));
      if (errno !== undefined) break;
    }
    this.#end(index, action, errno);
  }

  #post(
    qp: QpRecord,
    send: boolean,
    opcode: number,
    signaled: boolean,
    wrId: number,
    spec: RequestSpec,
    call: () => void,
  ): string | undefined {
    this.calls++;
    const requests = this.#requests[qp.vm];
    const request: WrRecord = { wrId, qp, send, opcode, signaled, id: this.#counts.wr++, state: 'posted' };
    requests.push(request);
    try {
      call();
    } catch (error) {
      requests[wrId] = undefined;
      const errno = errnoOf(error, send ? 'postSend' : 'postRecv');
      for (const observer of this.#observers) observer.postRefused(qp, send, errno);
      return errno;
    }
    (send ? qp.sends : qp.recvs).push(request);
    for (const observer of this.#observers) observer.posted(request, spec);
    return undefined;
  }

  // ---------------------------------------------------------------- completions

  #pollCq(index: number, action: ActionOf<'pollCq'>): void {
    const cq = this.#find(action.vm, action.cq, 'cq');
    if (cq === undefined) return this.#skip(index, action);
    if (action.expectWc === undefined) {
      const count = this.#poll(cq, action.max ?? 16);
      this.observation.note(index, `polled ${count}`);
    } else this.#pollExpected(index, cq, action.expectWc);
    const { expectEvents } = action;
    if (expectEvents !== undefined && expectEvents !== cq.events)
      throw unexpected(index, `${cq.name} raised ${cq.events} event(s)`, String(expectEvents));
    for (const observer of this.#observers) observer.actionEnded(index, action, undefined);
  }

  #pollExpected(index: number, cq: CqRecord, expectWc: readonly WantedCompletion[]): void {
    const wanted = [...numbered(expectWc)].map(entry => ({
      ...entry,
      qp: entry.from && this.#find(entry.from.vm, entry.from.qp, 'qp')?.handle.qpNum,
    }));
    const seen: string[] = [];
    this.#poll(cq, wanted.length + 1, completion =>
      seen.push(describeCompletion(completion, wanted[seen.length])),
    );
    const first = wanted.findIndex((entry, i) => seen[i] !== describeWanted(entry));
    if (first < 0 && seen.length === wanted.length) return;
    const at = first < 0 ? wanted.length : first;
    const what = wanted[at] === undefined ? 'nothing' : describeWanted(wanted[at]);
    throw unexpected(index, `completion ${at} of ${cq.name} is ${seen[at] ?? 'missing'}`, what);
  }

  #drain(cq: CqRecord): void {
    let count = 0;
    for (let round = 0; round < 4096; round++) {
      const polled = this.#poll(cq, 64);
      count += polled;
      if (polled === 0) break;
    }
    if (cq.sleeper === 'next' && count > 0) {
      throw new LawBroken(
        'no wake-up is lost',
        ['CQ-01'],
        `a program sleeps on ${cq.name} of machine ${cq.vm} with ${count} completion(s) in it and no event on the way`,
      );
    }
    this.observation.note(this.#program.actions.length, `${cq.vm}.${cq.name} drained ${count}`);
  }

  #poll(cq: CqRecord, max: number, seen?: (completion: WorkCompletion) => void): number {
    this.calls++;
    const machine = this.#world.machines[cq.vm];
    const completions = this.#completions;
    while (completions.length < max) completions.push(emptyCompletion());
    let count: number;
    try {
      count = machine.verbs.pollCq(cq.handle, completions, max);
    } catch (error) {
      errnoOf(error, 'pollCq');
      return 0;
    }
    if (!(count >= 0 && count <= max)) {
      throw new LawBroken(
        'poll returns what it was asked for',
        ['CQ-01'],
        `pollCq returned ${count} for at most ${max}`,
      );
    }
    cq.polled += count;
    for (let i = 0; i < count; i++) {
      const completion = completions[i];
      const request = this.#requests[cq.vm][completion.wrId];
      this.observation.completion(cq, completion, request);
      for (const observer of this.#observers) observer.completed(cq, completion, request);
      seen?.(completion);
    }
    return count;
  }

  #arm(index: number, action: ActionOf<'reqNotifyCq'> | ActionOf<'waitCq'>, verbs: Verbs): void {
    const cq = this.#find(action.vm, action.cq, 'cq');
    if (cq === undefined) return this.#skip(index, action);
    const solicitedOnly = action.solicitedOnly ?? false;
    for (const observer of this.#observers) observer.armStarted(cq, solicitedOnly);
    const eventsBefore = cq.events;
    this.#control(
      index,
      action,
      () => verbs.reqNotifyCq(cq.handle, solicitedOnly),
      () => {
        for (const observer of this.#observers) observer.armed(cq, solicitedOnly);
        // An event that came before the answer has used the arming up: this program would look again, not sleep.
        if (action.op !== 'waitCq' || cq.events !== eventsBefore) return;
        if (this.#poll(cq, 64) === 0 && cq.sleeper !== 'next')
          cq.sleeper = solicitedOnly ? 'solicited' : 'next';
      },
    );
  }

  /** A completion event reached the program: a sleeper wakes and polls. */
  #event(cq: CqRecord): void {
    cq.events++;
    this.observation.event(cq);
    for (const observer of this.#observers) observer.event(cq);
    if (cq.sleeper === 'no') return;
    cq.sleeper = 'no';
    // When a wake-up comes within an action is a matter of time, which a comparison leaves out: settled programs wake at its end.
    if (this.#program.mode === 'settled') this.#woken.add(cq);
    else if (cq.alive) this.#poll(cq, 64);
  }

  #wake(): void {
    for (const cq of this.#woken) if (cq.alive) this.#poll(cq, 64);
    this.#woken.clear();
  }

  // ---------------------------------------------------------------- memory

  #writeMemory(index: number, action: ActionOf<'writeMemory'>, machine: Machine): void {
    if (action.at + action.length > this.#program.arenaBytes) return this.#skip(index, action);
    machine.guest.writeArena(action.at, patternBytes(action.fill, action.length));
    for (const observer of this.#observers) observer.actionEnded(index, action, undefined);
  }

  #expectMemory(index: number, action: ActionOf<'expectMemory'>, machine: Machine): void {
    const seen = machine.guest.readArena(action.at, action.length);
    const { fill } = action;
    const listed = typeof fill === 'string' ? Buffer.from(fill, 'hex') : undefined;
    for (let i = 0; i < seen.length; i++) {
      const wanted = typeof fill === 'number' ? patternByte(fill, i) : listed?.[i % listed.length];
      if (seen[i] !== wanted)
        throw unexpected(
          index,
          `byte ${action.at + i} of machine ${action.vm} is ${seen[i]}`,
          String(wanted),
        );
    }
    for (const observer of this.#observers) observer.actionEnded(index, action, undefined);
  }
}

function endless(steps: number): LawBroken {
  return new LawBroken('work is bounded', ['HOST-01'], `still busy after ${steps} steps`);
}

/** The errno of a refusal; anything that is not a VerbsError is a crash of the implementation. */
function errnoOf(error: unknown, verb: string): string {
  if (error instanceof LawBroken) throw error;
  const errno = error instanceof VerbsError ? error.errno : (error as { errno?: unknown } | undefined)?.errno;
  if (errno === 'EIO') {
    throw new LawBroken(
      'driver and device get along',
      ['HOST-01'],
      `${verb}: the driver gave the device up: ${String(error)}`,
    );
  }
  if (typeof errno === 'string') return errno;
  throw new LawBroken('an implementation never crashes', ['HOST-01'], `${verb} threw ${String(error)}`);
}

function route(to: { vm: number; gid: number; sgidIndex?: number | undefined }): AhAttributes {
  return {
    dgid: gidOf(to.vm, to.gid),
    sgidIndex: to.sgidIndex ?? 0,
    flowLabel: 0,
    hopLimit: 64,
    trafficClass: 0,
  };
}

function patternBytes(fill: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => patternByte(fill, i));
}

function inlineData(wrId: number, length: number): Uint8Array {
  return patternBytes(wrId & 0xff, length);
}
