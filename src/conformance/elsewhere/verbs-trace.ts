/**
 * The point `verbs` of a trace: what a program calls and sees. Objects and states are held against the machines; completions
 * against the laws of order, of once, of flushing, and events against what was armed. A program sees a completion only when
 * it polls, so the queue pair's own machine is told of calls and posts, not of completions.
 */
import { match } from 'ts-pattern';
import type { Monitor } from '../../statemachines/index.js';
import { LawBroken, laws } from '../laws.js';
import { tablesOf } from '../monitors/book.js';
import type { MonitorBook } from '../monitors/book.js';
import type { CallEvent, Handle, PostEvent, ResultEvent, TraceHeader, VerbsEvent } from './format.js';
import { Directory, Numbers } from './instances.js';
import { CompletionOrder } from './completion-order.js';

/** A protection domain or a completion queue: something that others use. */
interface Used {
  readonly key: number;
  /** Events that it may still raise, for a completion queue. */
  arms: number;
}

interface Member {
  readonly key: number;
  readonly pd: Used | undefined;
}

interface Qp {
  readonly key: number;
  readonly machine: Monitor;
  readonly pd: Used | undefined;
  readonly cqs: readonly (Used | undefined)[];
  readonly send: CompletionOrder;
  readonly recv: CompletionOrder;
  modifying: boolean;
}

interface Call {
  readonly event: CallEvent;
  /** The queue pair whose modify is being followed. */
  readonly following: Qp | undefined;
}

/** Queue pairs that are gone and remembered. */
const GONE_MAX = 65_536;

const events = {
  USER_CREATED: tablesOf('PD').eventId('USER_CREATED'),
  USER_DESTROYED: tablesOf('PD').eventId('USER_DESTROYED'),
  DESTROY: tablesOf('PD').eventId('DESTROY'),
  DEREGISTER: tablesOf('MR').eventId('DEREGISTER'),
  AH_DESTROY: tablesOf('AH').eventId('DESTROY'),
};

export class VerbsTrace {
  readonly #book: MonitorBook;
  readonly #fromStart: boolean;
  readonly #calls: Map<number, Call>[] = [];
  readonly #numbers = {
    pd: new Numbers(),
    cq: new Numbers(),
    mr: new Numbers(),
    ah: new Numbers(),
    qp: new Numbers(),
  };
  readonly #pds = new Directory<Used>();
  readonly #cqs = new Directory<Used>();
  readonly #mrs = new Directory<Member>();
  readonly #ahs = new Directory<Member>();
  readonly #qps = new Directory<Qp>();
  /** Queue pairs that were destroyed, the latest ones. */
  readonly #gone = new Set<string>();
  /** Events about objects older than the trace. */
  adopted = 0;

  constructor(book: MonitorBook, { from }: TraceHeader) {
    this.#book = book;
    this.#fromStart = from === 'start';
  }

  /** Returns what makes the line impossible to understand. @throws LawBroken */
  event(event: VerbsEvent): string | undefined {
    return match(event)
      .with({ what: 'call' }, call => this.#call(call))
      .with({ what: 'result' }, result => this.#result(result))
      .with({ what: 'post' }, post => this.#post(post))
      .with({ what: 'completion' }, completion => {
        const { vm, qp: handle, queue } = completion;
        // What a queue pair that is gone has left in a completion queue may still be polled.
        if (this.#qps.get(vm, handle) === undefined && this.#gone.has(`${vm} ${handle}`)) return undefined;
        this.#known(this.#qps, vm, handle, 'queue pair')?.[queue].completed(completion);
        return undefined;
      })
      .with({ what: 'event' }, ({ vm, cq: handle }) => {
        const cq = this.#known(this.#cqs, vm, handle, 'completion queue');
        if (cq === undefined) return undefined;
        if (cq.arms === 0)
          throw new LawBroken(
            laws.eventsAreArmed,
            `completion queue ${handle} raised an event and was not armed`,
          );
        cq.arms--;
        return undefined;
      })
      .exhaustive();
  }

  #call(event: CallEvent): string | undefined {
    const { vm, call, verb, id } = event;
    const calls = (this.#calls[vm] ??= new Map<number, Call>());
    if (calls.has(call)) return `call ${call} is under way already; its result must come first`;
    if (!verb.startsWith('create') && named.has(verb) && id === undefined) return `${verb} without id`;
    calls.set(call, { event, following: verb === 'modifyQp' ? this.#beginModify(event) : undefined });
    // An arming may take effect at any time from now on.
    if (verb === 'reqNotifyCq') {
      const cq = this.#known(this.#cqs, vm, id ?? '', 'completion queue');
      if (cq !== undefined) cq.arms++;
    }
    return undefined;
  }

  /** Two modifies of a queue pair that overlap leave its state open: it is followed no more. */
  #beginModify({ vm, id, to, mask = 0 }: CallEvent): Qp | undefined {
    const qp = this.#known(this.#qps, vm, id ?? '', 'queue pair');
    if (qp === undefined) return undefined;
    if (qp.modifying) {
      qp.machine.drop(qp.key);
      return undefined;
    }
    qp.modifying = true;
    for (const queue of [qp.send, qp.recv]) queue.moves('way');
    const event = qp.machine.machine.eventId(to === undefined ? 'MODIFY_ATTRIBUTES' : `MODIFY_TO_${to}`);
    qp.machine.begin(qp.key, event, mask);
    return qp;
  }

  #result(result: ResultEvent): string | undefined {
    const { vm, call, ok, id } = result;
    const found = this.#calls[vm]?.get(call);
    if (found === undefined) {
      if (this.#fromStart) return `a result of call ${call}, which is not under way`;
      this.adopted++;
      return undefined;
    }
    this.#calls[vm].delete(call);
    const { event, following } = found;
    if (following !== undefined) this.#endModify(following, event, ok);
    if (event.verb === 'reqNotifyCq' && !ok) this.#disarm(event);
    if (!ok) return undefined;
    if (event.verb === 'queryQp') return this.#observe(event, result);
    if (creating.has(event.verb)) {
      if (id === undefined) return `${event.verb} succeeded without an id`;
      this.#created(event, id);
    } else if (destroying.has(event.verb)) this.#destroyed(event);
    return undefined;
  }

  #disarm({ vm, id }: CallEvent): void {
    const cq = this.#cqs.get(vm, id ?? '');
    if (cq !== undefined && cq.arms > 0) cq.arms--;
  }

  #endModify(qp: Qp, { to }: CallEvent, ok: boolean): void {
    qp.modifying = false;
    for (const queue of [qp.send, qp.recv]) queue.moves('over');
    // What was dropped meanwhile is not followed.
    if (!qp.machine.isOpen(qp.key)) return;
    if (!ok) {
      qp.machine.abort(qp.key);
      return;
    }
    qp.machine.commit(qp.key);
    if (to === 'RESET') for (const queue of [qp.send, qp.recv]) queue.discard();
  }

  #observe({ vm, id }: CallEvent, { state }: ResultEvent): string | undefined {
    if (state === undefined) return undefined;
    const qp = this.#known(this.#qps, vm, id ?? '', 'queue pair');
    if (qp?.machine.isOpen(qp.key) === true)
      qp.machine.event(qp.key, qp.machine.machine.eventId(`OBSERVED_${state}`));
    return undefined;
  }

  #created(event: CallEvent, id: Handle): void {
    const { vm, verb } = event;
    const pd = event.pd === undefined ? undefined : this.#known(this.#pds, vm, event.pd, 'protection domain');
    switch (verb) {
      case 'createPd':
        this.#pds.set(vm, id, this.#open('PD', this.#numbers.pd));
        break;
      case 'createCq':
        this.#cqs.set(vm, id, this.#open('CQ_USE', this.#numbers.cq));
        break;
      case 'regMr':
      case 'getDmaMr':
        this.#mrs.set(vm, id, { ...this.#open('MR', this.#numbers.mr), pd });
        this.#uses('PD', pd);
        break;
      case 'createAh':
        this.#ahs.set(vm, id, { ...this.#open('AH', this.#numbers.ah), pd });
        this.#uses('PD', pd);
        break;
      default:
        this.#createdQp(event, id, pd);
    }
  }

  #createdQp({ vm, type = 'RC', sendCq, recvCq }: CallEvent, id: Handle, pd: Used | undefined): void {
    const machine = this.#book.get(type === 'RC' || type === 'UC' ? `QP.${type}` : 'QP.UD');
    const key = this.#numbers.qp.take();
    machine.open(key);
    const cqs = [sendCq, recvCq].map(handle =>
      handle === undefined ? undefined : this.#known(this.#cqs, vm, handle, 'completion queue'),
    );
    const send = new CompletionOrder(id, 'send');
    const recv = new CompletionOrder(id, 'recv');
    this.#qps.set(vm, id, { key, machine, pd, cqs, send, recv, modifying: false });
    this.#uses('PD', pd);
    for (const cq of cqs) this.#uses('CQ_USE', cq);
  }

  #destroyed({ vm, verb, id = '' }: CallEvent): void {
    switch (verb) {
      case 'destroyPd':
        this.#close(this.#pds, vm, id, 'PD', this.#numbers.pd, events.DESTROY, 'protection domain');
        break;
      case 'destroyCq':
        this.#close(this.#cqs, vm, id, 'CQ_USE', this.#numbers.cq, events.DESTROY, 'completion queue');
        break;
      case 'deregMr':
        this.#free(
          'PD',
          this.#close(this.#mrs, vm, id, 'MR', this.#numbers.mr, events.DEREGISTER, 'region')?.pd,
        );
        break;
      case 'destroyAh':
        this.#free(
          'PD',
          this.#close(this.#ahs, vm, id, 'AH', this.#numbers.ah, events.AH_DESTROY, 'address handle')?.pd,
        );
        break;
      default:
        this.#destroyedQp(vm, id);
    }
  }

  #destroyedQp(vm: number, id: Handle): void {
    const qp = this.#known(this.#qps, vm, id, 'queue pair');
    if (qp === undefined) return;
    const { machine, key } = qp;
    if (machine.isOpen(key)) machine.event(key, machine.machine.eventId('DESTROY'));
    machine.drop(key);
    this.#numbers.qp.give(key);
    this.#free('PD', qp.pd);
    for (const cq of qp.cqs) this.#free('CQ_USE', cq);
    this.#qps.delete(vm, id);
    this.#gone.add(`${vm} ${id}`);
    for (const oldest of this.#gone) {
      if (this.#gone.size <= GONE_MAX) break;
      this.#gone.delete(oldest);
    }
  }

  #post({ vm, qp: handle, queue, wr, signaled }: PostEvent): string | undefined {
    const qp = this.#known(this.#qps, vm, handle, 'queue pair');
    if (qp === undefined) return undefined;
    if (qp.machine.isOpen(qp.key)) {
      qp.machine.event(qp.key, qp.machine.machine.eventId(queue === 'send' ? 'POST_SEND' : 'POST_RECV'));
    }
    qp[queue].posted(wr, queue === 'recv' || signaled);
    return undefined;
  }

  #open(machine: 'PD' | 'CQ_USE' | 'MR' | 'AH', numbers: Numbers): Used {
    const key = numbers.take();
    this.#book.get(machine).open(key);
    return { key, arms: 0 };
  }

  #close<T extends { readonly key: number }>(
    directory: Directory<T>,
    vm: number,
    id: Handle,
    machine: 'PD' | 'CQ_USE' | 'MR' | 'AH',
    numbers: Numbers,
    event: number,
    kind: string,
  ): T | undefined {
    const found = this.#known(directory, vm, id, kind);
    if (found === undefined) return undefined;
    const monitor = this.#book.get(machine);
    monitor.event(found.key, event);
    monitor.drop(found.key);
    numbers.give(found.key);
    directory.delete(vm, id);
    return found;
  }

  #uses(machine: 'PD' | 'CQ_USE', used: Used | undefined): void {
    if (used !== undefined) this.#book.get(machine).event(used.key, events.USER_CREATED);
  }

  #free(machine: 'PD' | 'CQ_USE', used: Used | undefined): void {
    if (used !== undefined) this.#book.get(machine).event(used.key, events.USER_DESTROYED);
  }

  /** The object of a handle. One that nobody created is a broken law at the start of a trace, and older than it in the middle. */
  #known<T>(directory: Directory<T>, vm: number, handle: Handle, kind: string): T | undefined {
    const found = directory.get(vm, handle);
    if (found !== undefined) return found;
    if (this.#fromStart)
      throw new LawBroken(laws.destroysOnce, `${kind} ${handle} of machine ${vm} does not exist`);
    this.adopted++;
    return undefined;
  }
}

/** Verbs that mean an object that exists. */
const named: ReadonlySet<string> = new Set([
  'destroyPd',
  'destroyCq',
  'reqNotifyCq',
  'deregMr',
  'modifyQp',
  'queryQp',
  'destroyQp',
  'destroyAh',
]);
const creating: ReadonlySet<string> = new Set([
  'createPd',
  'createCq',
  'regMr',
  'getDmaMr',
  'createQp',
  'createAh',
]);
const destroying: ReadonlySet<string> = new Set([
  'destroyPd',
  'destroyCq',
  'deregMr',
  'destroyQp',
  'destroyAh',
]);
