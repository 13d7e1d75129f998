/**
 * The driver's side of each verbs object. A handle that a program holds is one of these; whether it is of this driver and
 * still alive is checked whenever it comes back. Use counts make EBUSY a local answer.
 */
import type { QpState, QpType } from '../abi/index.js';
import type {
  AddressHandle,
  CompletionHandler,
  CompletionQueue,
  MemoryRegion,
  ProtectionDomain,
  QpCap,
  QueuePair,
} from '../verbs/index.js';
import type { DriverQueue } from '../virtio/index.js';
import { refuse } from './checks.js';
import type { CqReader } from './cq-reader.js';
import type { DmaBuffer } from './guest-os.js';
import type { PinnedPages } from './pinned-pages.js';
import type { Session } from './session.js';
import type { WorkLog } from './work-log.js';

/** What the device's number and the counting have in common. */
class DriverObject {
  readonly session: Session;
  /** As the device named it. */
  readonly number: number;
  /** False from the moment its destruction is asked for; true again when that is refused. */
  alive = true;
  /** Objects that were created on it, those in creation included. */
  users = 0;

  constructor(session: Session, number: number) {
    this.session = session;
    this.number = number;
  }
}

export class DriverPd extends DriverObject implements ProtectionDomain {
  readonly kind = 'pd';
}

export class DriverCq extends DriverObject implements CompletionQueue {
  readonly kind = 'cq';
  readonly cqe: number;
  readonly reader: CqReader;
  readonly onEvent: CompletionHandler | undefined;
  /** Events that the device may still raise: one for each arming that no interrupt has answered. */
  armed = 0;
  /** Interrupts that answered an arming and whose handler calls are due. */
  eventsDue = 0;
  eventDeferred = false;
  /** Destroyed for good: no event reaches the program any more. */
  closed = false;

  constructor(session: Session, number: number, cqe: number, reader: CqReader, onEvent?: CompletionHandler) {
    super(session, number);
    this.cqe = cqe;
    this.reader = reader;
    this.onEvent = onEvent;
  }

  /** Bottom half of the queue's interrupt. */
  run(): void {
    this.eventDeferred = false;
    while (this.eventsDue > 0 && !this.closed && this.session.failure === undefined) {
      this.eventsDue--;
      this.onEvent?.(this);
    }
    this.eventsDue = 0;
  }
}

export class DriverMr extends DriverObject implements MemoryRegion {
  readonly kind = 'mr';
  readonly pd: DriverPd;
  readonly lkey: number;
  readonly rkey: number;
  /** The program's pages in it; undefined for a region over all memory. */
  readonly pages: PinnedPages | undefined;

  constructor(pd: DriverPd, init: Pick<DriverMr, 'number' | 'lkey' | 'rkey' | 'pages'>) {
    super(pd.session, init.number);
    this.pd = pd;
    this.lkey = init.lkey;
    this.rkey = init.rkey;
    this.pages = init.pages;
  }
}

/** One half of a queue pair: its ring, its request memory and what was posted on it. */
export interface WorkQueue {
  readonly queue: DriverQueue;
  readonly memory: DmaBuffer;
  /** Bytes of one request slot. */
  readonly stride: number;
  /** Request slots, used round and round. */
  readonly slots: number;
  /** Slot of the next request, and of the oldest that is with the device. */
  next: number;
  oldest: number;
  /** Posts that no polled completion has accounted for. */
  readonly log: WorkLog;
}

export class DriverQp extends DriverObject implements QueuePair {
  readonly kind = 'qp';
  readonly type: QpType;
  readonly cap: QpCap;
  readonly pd: DriverPd;
  readonly sendCq: DriverCq;
  readonly recvCq: DriverCq;
  readonly send: WorkQueue;
  readonly recv: WorkQueue;
  /** State learnt last, from an answer or an error completion; the device may have moved on to SQE or ERR since. */
  state: QpState = 0;
  maxRdAtomic = 0;
  /** Changes of attributes in flight, and those of them that move to RESET: nothing may be posted until their answer is there. */
  modifying = 0;
  resetting = 0;
  /** Commands about the state that were submitted, and the newest that was learnt from: answers may overtake each other. */
  submitted = 0;
  learnt = 0;

  constructor(
    number: number,
    parts: Pick<DriverQp, 'type' | 'cap' | 'pd' | 'sendCq' | 'recvCq' | 'send' | 'recv'>,
  ) {
    super(parts.pd.session, number);
    this.type = parts.type;
    this.cap = parts.cap;
    this.pd = parts.pd;
    this.sendCq = parts.sendCq;
    this.recvCq = parts.recvCq;
    this.send = parts.send;
    this.recv = parts.recv;
  }

  get qpNum(): number {
    return this.number;
  }
}

export class DriverAh extends DriverObject implements AddressHandle {
  readonly kind = 'ah';
  readonly pd: DriverPd;

  constructor(pd: DriverPd, number: number) {
    super(pd.session, number);
    this.pd = pd;
  }
}

export function claimPd(session: Session, verb: string, handle: ProtectionDomain): DriverPd {
  return claim(session, verb, handle, handle instanceof DriverPd ? handle : undefined);
}
export function claimCq(session: Session, verb: string, handle: CompletionQueue): DriverCq {
  return claim(session, verb, handle, handle instanceof DriverCq ? handle : undefined);
}
export function claimMr(session: Session, verb: string, handle: MemoryRegion): DriverMr {
  return claim(session, verb, handle, handle instanceof DriverMr ? handle : undefined);
}
export function claimQp(session: Session, verb: string, handle: QueuePair): DriverQp {
  return claim(session, verb, handle, handle instanceof DriverQp ? handle : undefined);
}
export function claimAh(session: Session, verb: string, handle: AddressHandle): DriverAh {
  return claim(session, verb, handle, handle instanceof DriverAh ? handle : undefined);
}

function claim<T extends DriverObject>(
  session: Session,
  verb: string,
  handle: { readonly kind: string },
  object: T | undefined,
): T {
  if (object?.session === session && object.alive) return object;
  throw refuse(verb, `the ${handle.kind} was destroyed, or belongs to another driver`);
}
