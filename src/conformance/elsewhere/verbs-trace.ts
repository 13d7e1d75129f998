/**
 * The point `verbs` of a trace: what a program calls and sees. Objects and states are held against the machines; completions
 * against the laws of place, order, once and flushing, and events against what was armed. A program sees a completion only
 * when it polls, so the queue pair's own machine is told of calls and posts, not of completions.
 */
import { QpAttrMask } from '../../abi/index.js';
import type { Monitor } from '../../statemachines/index.js';
import { LawBroken, laws } from '../laws.js';
import { tablesOf } from '../monitors/book.js';
import type { MonitorBook } from '../monitors/book.js';
import { CompletionOrder } from './completion-order.js';
import type {
  CallEvent,
  CompletionEvent,
  CqEvent,
  Handle,
  PostEvent,
  ResultEvent,
  TracedVerb,
  TraceHeader,
  VerbsEvent,
} from './format.js';
import { Directory, Gone, Numbers } from './instances.js';
import type { Names } from './instances.js';
import type { Unjudged } from './unjudged.js';

type Kind = 'pd' | 'cq' | 'mr' | 'ah' | 'qp';

interface Basic {
  readonly vm: number;
  readonly handle: Handle;
  readonly key: number;
  readonly monitor: Monitor;
  /** False from the moment that its destruction has succeeded. */
  alive: boolean;
  /** Destructions under way. */
  leaving: number;
}

/** What others use. */
interface Pd extends Basic {
  readonly kind: 'pd';
}
interface Cq extends Basic {
  readonly kind: 'cq';
  /** Events that it may still raise. */
  arms: number;
}
interface Member extends Basic {
  readonly kind: 'mr' | 'ah';
  readonly uses: readonly (Pd | Cq)[];
}
interface Qp extends Basic {
  readonly kind: 'qp';
  readonly uses: readonly (Pd | Cq)[];
  readonly sendCq: Handle | undefined;
  readonly recvCq: Handle | undefined;
  readonly send: CompletionOrder;
  readonly recv: CompletionOrder;
  /** Modifies under way. */
  modifying: number;
  /** Counts what may change its state, so that a query is judged only when nothing did meanwhile. */
  changes: number;
}
type Traced = Pd | Cq | Member | Qp;

interface Call {
  readonly event: CallEvent;
  /** What the call names; undefined when it names nothing that is known. */
  readonly object: Traced | undefined;
  readonly uses: readonly (Pd | Cq)[];
  /** A modify of a queue pair whose machine follows it. */
  readonly followed: boolean;
  /** `changes` of the queue pair when it was called. */
  readonly changes: number;
}

/** Calls under way at one time; more mean that results are missing from the trace. */
const CALLS_MAX = 1 << 20;

/** What each verb that names or makes an object is about. */
const verbs: Readonly<Partial<Record<TracedVerb, { does: 'make' | 'end' | 'name'; kind: Kind }>>> = {
  createPd: { does: 'make', kind: 'pd' },
  createCq: { does: 'make', kind: 'cq' },
  regMr: { does: 'make', kind: 'mr' },
  getDmaMr: { does: 'make', kind: 'mr' },
  createAh: { does: 'make', kind: 'ah' },
  createQp: { does: 'make', kind: 'qp' },
  destroyPd: { does: 'end', kind: 'pd' },
  destroyCq: { does: 'end', kind: 'cq' },
  deregMr: { does: 'end', kind: 'mr' },
  destroyAh: { does: 'end', kind: 'ah' },
  destroyQp: { does: 'end', kind: 'qp' },
  reqNotifyCq: { does: 'name', kind: 'cq' },
  modifyQp: { does: 'name', kind: 'qp' },
  queryQp: { does: 'name', kind: 'qp' },
};

const kindNames: Readonly<Record<Kind, string>> = {
  pd: 'protection domain',
  cq: 'completion queue',
  mr: 'memory region',
  ah: 'address handle',
  qp: 'queue pair',
};

const eventIds = {
  USER_CREATED: tablesOf('PD').eventId('USER_CREATED'),
  USER_DESTROYED: tablesOf('PD').eventId('USER_DESTROYED'),
};
const endEvent: Readonly<Record<Kind, string>> = {
  pd: 'DESTROY',
  cq: 'DESTROY',
  mr: 'DEREGISTER',
  ah: 'DESTROY',
  qp: 'DESTROY',
};

export class VerbsTrace {
  readonly #book: MonitorBook;
  readonly #fromStart: boolean;
  readonly #unjudged: Unjudged;
  readonly #names: Names;
  readonly #calls: Map<number, Call>[] = [];
  readonly #numbers: Readonly<Record<Kind, Numbers>> = {
    pd: new Numbers(),
    cq: new Numbers(),
    mr: new Numbers(),
    ah: new Numbers(),
    qp: new Numbers(),
  };
  readonly #objects: Readonly<Record<Kind, Directory<Traced>>> = {
    pd: new Directory(),
    cq: new Directory(),
    mr: new Directory(),
    ah: new Directory(),
    qp: new Directory(),
  };
  readonly #gone = new Gone<Qp | Cq>();

  constructor(book: MonitorBook, { from }: TraceHeader, unjudged: Unjudged, names: Names) {
    this.#book = book;
    this.#fromStart = from === 'start';
    this.#unjudged = unjudged;
    this.#names = names;
  }

  /** Returns what makes the line impossible to understand. @throws LawBroken */
  event(event: VerbsEvent): string | undefined {
    // The frequent ones first.
    switch (event.what) {
      case 'completion':
        return this.#completion(event);
      case 'post':
        return this.#post(event);
      case 'call':
        return this.#call(event);
      case 'result':
        return this.#result(event);
      case 'event':
        return this.#event(event);
      case 'note':
        this.#unjudged.count('form');
        return undefined;
    }
  }

  // ---------------------------------------------------------------- calls

  #call(event: CallEvent): string | undefined {
    const { vm, call, verb, id } = event;
    const calls = (this.#calls[vm] ??= new Map<number, Call>());
    if (calls.has(call)) return `call ${call} is under way already; its result must come first`;
    if (calls.size >= CALLS_MAX) return `${CALLS_MAX} calls are under way; results must be missing`;
    const meant = verbs[verb];
    if (meant !== undefined && meant.does !== 'make' && id === undefined) return `${verb} without id`;
    if (verb === 'modifyQp') {
      if (event.mask === undefined) return 'modifyQp without mask; expected the attr_mask of the call';
      const asked = (event.mask & QpAttrMask.STATE) !== 0;
      if (asked !== (event.to !== undefined))
        return `modifyQp ${event.to === undefined ? 'without' : 'with'} to, and a mask ${asked ? 'with' : 'without'} STATE`;
    }
    const object =
      meant === undefined || id === undefined ? undefined : this.#objects[meant.kind].get(vm, id);
    const uses = meant?.does === 'make' ? this.#usesOf(event) : [];
    const changes = object?.kind === 'qp' ? object.changes : 0;
    const followed = verb === 'modifyQp' && object?.kind === 'qp' && this.#beginModify(object, event);
    calls.set(call, { event, object, uses, followed, changes });
    if (object === undefined) return undefined;
    // An arming may take effect at any time from now on, and so may the end of what stands in the way of another end.
    if (verb === 'reqNotifyCq' && object.kind === 'cq') object.arms++;
    if (meant?.does === 'end' && ++object.leaving === 1 && 'uses' in object) this.#release(object);
    return undefined;
  }

  #usesOf({ vm, pd, sendCq, recvCq }: CallEvent): readonly (Pd | Cq)[] {
    const uses: (Pd | Cq)[] = [];
    const add = (kind: 'pd' | 'cq', handle: Handle | undefined): void => {
      const object = handle === undefined ? undefined : this.#objects[kind].get(vm, handle);
      if (object?.kind === 'pd' || object?.kind === 'cq') uses.push(object);
    };
    add('pd', pd);
    add('cq', sendCq);
    add('cq', recvCq);
    return uses;
  }

  #result(result: ResultEvent): string | undefined {
    const { vm, call, ok } = result;
    const found = this.#calls[vm]?.get(call);
    if (found === undefined) {
      if (this.#fromStart)
        throw new LawBroken(laws.answersOnce, `a result of call ${call}, which is not under way`);
      this.#unjudged.count('older');
      return undefined;
    }
    this.#calls[vm].delete(call);
    const { event, object } = found;
    const meant = verbs[event.verb];
    if (object?.kind === 'qp' && event.verb === 'modifyQp') this.#endModify(object, found, ok);
    if (!ok) {
      if (meant?.does === 'end' && object !== undefined) this.#stays(object);
      if (object?.kind === 'cq' && event.verb === 'reqNotifyCq' && object.arms > 0) object.arms--;
      return undefined;
    }
    if (meant?.does === 'make') {
      if (result.id === undefined) return `${event.verb} succeeded without an id`;
      this.#made(found, result.id, meant.kind);
    } else if (meant !== undefined) {
      if (object === undefined) this.#unknown(vm, event.id ?? '', meant.kind);
      else if (meant.does === 'end') this.#ended(object);
      else if (event.verb === 'queryQp' && object.kind === 'qp') this.#observe(object, result, found.changes);
    } else this.#unjudged.count('form');
    return undefined;
  }

  // ---------------------------------------------------------------- objects

  #made({ event, uses }: Call, id: Handle, kind: Kind): void {
    const { vm, pd, sendCq, recvCq } = event;
    const before = this.#objects[kind].get(vm, id);
    const key = this.#numbers[kind].take();
    const monitor = this.#book.get(machineOf(kind, event.type));
    monitor.open(key);
    this.#names.set(monitor.machine.definition.name, key, `${kindNames[kind]} ${id} of machine ${vm}`);
    const basic = { vm, handle: id, key, monitor, alive: true, leaving: 0 };
    this.#objects[kind].set(vm, id, this.#newObject(kind, basic, uses, sendCq, recvCq));
    for (const each of uses) if (each.alive) each.monitor.event(each.key, eventIds.USER_CREATED);
    if (before !== undefined && before.leaving === 0)
      throw new LawBroken(
        laws.destroysOnce,
        `${kindNames[kind]} ${id} of machine ${vm} was made and exists already`,
      );
    for (const each of uses)
      if (!each.alive)
        throw new LawBroken(
          laws.destroysOnce,
          `${kindNames[kind]} ${id} was made in ${kindNames[each.kind]} ${each.handle}, which is gone`,
        );
    if (pd !== undefined && !uses.some(each => each.kind === 'pd')) this.#unknown(vm, pd, 'pd');
    const cqs = uses.filter(each => each.kind === 'cq').length;
    if (sendCq !== undefined && recvCq !== undefined && cqs < 2) this.#unknown(vm, sendCq, 'cq');
  }

  #newObject(
    kind: Kind,
    basic: Basic,
    uses: readonly (Pd | Cq)[],
    sendCq: Handle | undefined,
    recvCq: Handle | undefined,
  ): Traced {
    switch (kind) {
      case 'pd':
        return { ...basic, kind };
      case 'cq':
        return { ...basic, kind, arms: 0 };
      case 'mr':
      case 'ah':
        return { ...basic, kind, uses };
      case 'qp': {
        // What an earlier queue pair of the same name has left behind may still come.
        const earlier = this.#gone.get('qp', basic.vm, basic.handle);
        const [send, recv] =
          earlier?.kind === 'qp'
            ? [earlier.send, earlier.recv]
            : [new CompletionOrder('send'), new CompletionOrder('recv')];
        return { ...basic, kind, uses, sendCq, recvCq, send, recv, modifying: 0, changes: 0 };
      }
    }
  }

  /** From the call of its end on, a user stands in nobody's way. */
  #release({ uses }: Member | Qp): void {
    for (const each of uses) if (each.alive) each.monitor.event(each.key, eventIds.USER_DESTROYED);
  }

  /** Its end was refused. */
  #stays(object: Traced): void {
    if (!object.alive || --object.leaving > 0 || !('uses' in object)) return;
    for (const each of object.uses) {
      if (!each.alive)
        throw new LawBroken(
          laws.keepsUsed,
          `${kindNames[each.kind]} ${each.handle} is gone, and ${kindNames[object.kind]} ${object.handle} uses it`,
        );
      each.monitor.event(each.key, eventIds.USER_CREATED);
    }
  }

  #ended(object: Traced): void {
    const { vm, handle, kind, key, monitor } = object;
    if (!object.alive)
      throw new LawBroken(
        laws.destroysOnce,
        `${kindNames[kind]} ${handle} of machine ${vm} was destroyed twice`,
      );
    object.alive = false;
    // A queue pair whose modifies overlapped is not followed.
    if (monitor.isOpen(key)) monitor.event(key, monitor.machine.eventId(endEvent[kind]));
    monitor.drop(key);
    this.#numbers[kind].give(key);
    if (this.#objects[kind].get(vm, handle) === object) this.#objects[kind].delete(vm, handle);
    if (object.kind === 'qp') for (const queue of [object.send, object.recv]) queue.discard();
    const left = object.kind === 'qp' ? object.send.leftovers + object.recv.leftovers : 0;
    if (object.kind === 'qp' || object.kind === 'cq')
      this.#gone.add(object.kind, vm, handle, object, 1 + left);
  }

  /** Something is said of an object that the trace has not shown: it is older than the trace, or it does not exist. */
  #unknown(vm: number, handle: Handle, kind: Kind): undefined {
    if (!this.#fromStart) this.#unjudged.count('older');
    else
      throw new LawBroken(laws.destroysOnce, `${kindNames[kind]} ${handle} of machine ${vm} does not exist`);
    return undefined;
  }

  // ---------------------------------------------------------------- queue pairs

  /** Two modifies of a queue pair that overlap leave its state open: it is followed no more, until it is reset. */
  #beginModify(qp: Qp, { to, mask = 0 }: CallEvent): boolean {
    qp.changes++;
    if (to === 'RESET' || to === 'RTS') for (const queue of [qp.send, qp.recv]) queue.moves('way');
    if (++qp.modifying > 1) {
      qp.monitor.drop(qp.key);
      return false;
    }
    if (!qp.monitor.isOpen(qp.key)) return false;
    const { machine } = qp.monitor;
    qp.monitor.begin(
      qp.key,
      machine.eventId(to === undefined ? 'MODIFY_ATTRIBUTES' : `MODIFY_TO_${to}`),
      mask,
    );
    return true;
  }

  #endModify(qp: Qp, { event: { to }, followed }: Call, ok: boolean): void {
    qp.changes++;
    qp.modifying--;
    if (to === 'RESET' || to === 'RTS') for (const queue of [qp.send, qp.recv]) queue.moves('over');
    if (!qp.alive) return;
    if (ok && to === 'RESET') for (const queue of [qp.send, qp.recv]) queue.discard();
    const { monitor, key } = qp;
    if (followed && monitor.isOpen(key)) {
      if (ok) monitor.commit(key);
      else monitor.abort(key);
    } else this.#unjudged.count('overlapping');
    // Whatever it was before, it is in RESET now.
    if (ok && to === 'RESET' && qp.modifying === 0) monitor.open(key);
  }

  #observe(qp: Qp, { state }: ResultEvent, changes: number): void {
    if (state === undefined || !qp.alive || qp.changes !== changes || !qp.monitor.isOpen(qp.key)) {
      this.#unjudged.count(state === undefined ? 'form' : 'overlapping');
      return;
    }
    qp.changes++;
    const { machine } = qp.monitor;
    const name = `OBSERVED_${state}`;
    if (machine.eventNames.includes(name)) qp.monitor.event(qp.key, machine.eventId(name));
    else
      throw new LawBroken(
        { name: `machine ${machine.definition.name}`, requirements: ['QP-23'] },
        `queue pair ${qp.handle} of machine ${qp.vm} shows ${state}, which ${machine.definition.name} does not have`,
      );
  }

  // ---------------------------------------------------------------- work

  #post({ vm, qp: handle, queue, wr, signaled }: PostEvent): string | undefined {
    const qp = this.#objects.qp.get(vm, handle);
    if (qp?.kind !== 'qp') return this.#unknown(vm, handle, 'qp');
    const { machine } = qp.monitor;
    if (qp.monitor.isOpen(qp.key))
      qp.monitor.event(
        qp.key,
        queue === 'send' ? machine.eventId('POST_SEND') : machine.eventId('POST_RECV'),
      );
    if (qp[queue].posted(wr, queue === 'recv' || signaled)) return undefined;
    return `more is outstanding on the ${queue} queue of queue pair ${handle} than any queue holds; completions must be missing`;
  }

  #completion(completion: CompletionEvent): undefined {
    const { vm, qp: handle, queue, cq } = completion;
    const qp = this.#objects.qp.get(vm, handle);
    if (qp?.kind !== 'qp') {
      // What a queue pair that is gone has left in a completion queue may still be polled.
      if (this.#gone.get('qp', vm, handle) === undefined) return this.#unknown(vm, handle, 'qp');
      this.#unjudged.count('gone');
      return undefined;
    }
    const right = queue === 'send' ? qp.sendCq : qp.recvCq;
    qp[queue].completed(completion);
    if (right !== undefined && right !== cq)
      throw new LawBroken(
        laws.completesInPlace,
        `a completion of the ${queue} queue of queue pair ${handle} came from completion queue ${cq} instead of ${right}`,
      );
    return undefined;
  }

  #event({ vm, cq: handle }: CqEvent): undefined {
    const cq = this.#objects.cq.get(vm, handle) ?? this.#gone.get('cq', vm, handle);
    if (cq?.kind !== 'cq') return this.#unknown(vm, handle, 'cq');
    if (cq.arms === 0)
      throw new LawBroken(
        laws.eventsAreArmed,
        `completion queue ${handle} of machine ${vm} raised an event and was not armed`,
      );
    cq.arms--;
    return undefined;
  }
}

function machineOf(kind: Kind, type: CallEvent['type']): string {
  switch (kind) {
    case 'pd':
      return 'PD';
    case 'cq':
      return 'CQ_USE';
    case 'mr':
      return 'MR';
    case 'ah':
      return 'AH';
    case 'qp':
      return type === undefined || type === 'RC' || type === 'UC' ? `QP.${type ?? 'RC'}` : 'QP.UD';
  }
}
