/**
 * The guest driver: `Verbs` over a virtio transport. It owns the life of a session, from negotiation to reset, and passes
 * every verb on to its object family; what a verb does stands there.
 */
import { VerbsError } from '../verbs/index.js';
import type {
  AddressHandle,
  AhAttributes,
  CompletionHandler,
  CompletionQueue,
  DeviceAttributes,
  Gid,
  MemoryRegion,
  MrInit,
  PortAttributes,
  ProtectionDomain,
  QpAttributes,
  QpInit,
  QpSnapshot,
  QueuePair,
  RecvWorkRequest,
  SendWorkRequest,
  Verbs,
  WorkCompletion,
} from '../verbs/index.js';
import { DeviceStatus, markFailed, resetDevice, startDriver } from '../virtio/index.js';
import { createAh, destroyAh } from './ah.js';
import { CommandEngine } from './command-engine.js';
import { DriverContext } from './context.js';
import { createCq, destroyCq, interruptCq, pollCq, reqNotifyCq } from './cq.js';
import { queryDevice, queryPort } from './device-query.js';
import { addGid, delGid } from './gid.js';
import type { Task } from './guest-os.js';
import { deregMr, getDmaMr, regMr } from './mr.js';
import { negotiate } from './negotiate.js';
import { createPd, destroyPd } from './pd.js';
import { createQp, destroyQp, modifyQp, queryQp } from './qp.js';
import { setUpQueues } from './queues.js';
import type { Queues } from './queues.js';
import { postRecv } from './recv-path.js';
import { postSend } from './send-path.js';
import type { DriverOptions, Session } from './session.js';

/** A device that is set up: its session, its command engine and the task that looks at answers. */
interface Running {
  readonly session: Session;
  readonly queues: Queues;
  readonly engine: CommandEngine;
  readonly answers: AnswerTask;
  /** There once the limits are known. */
  context: DriverContext | undefined;
}

/** Bottom half of the control queue's interrupt. */
class AnswerTask implements Task {
  readonly #engine: CommandEngine;
  deferred = false;

  constructor(engine: CommandEngine) {
    this.#engine = engine;
  }

  run(): void {
    // Cleared first: an interrupt during the drain defers the task again.
    this.deferred = false;
    this.#engine.drain();
  }
}

export class RdmaDriver implements Verbs {
  readonly #options: DriverOptions;
  #running: Running | undefined;
  #starting = false;

  constructor(options: DriverOptions) {
    this.#options = options;
    options.transport.onInterrupt(source => this.#interrupt(source));
  }

  /** Why the device was given up; undefined while it is sound or stopped. */
  get failure(): string | undefined {
    return this.#running?.session.failure;
  }

  /**
   * Sets the device up and asks for its limits; verbs may be called when it resolves. Rejects when the device cannot be
   * used; FAILED is set then.
   */
  async start(): Promise<void> {
    if (this.#running !== undefined || this.#starting)
      throw new VerbsError('EBUSY', 'start', 'the driver runs already');
    this.#starting = true;
    try {
      const running = this.#setUp();
      this.#running = running;
      const { session, engine, queues } = running;
      startDriver(this.#options.transport);
      const limits = await queryDevice(session, engine, queues);
      running.context = new DriverContext(session, engine, queues, limits);
    } finally {
      this.#starting = false;
    }
  }

  /** Resets the device. Pending verbs reject with EIO; all DMA memory is given back; every object is gone. */
  async stop(): Promise<void> {
    const running = this.#running;
    resetDevice(this.#options.transport);
    if (running === undefined) return;
    this.#running = undefined;
    running.session.stopped();
    running.engine.abandon(verb => new VerbsError('EIO', verb, 'the device was reset'));
    running.session.freeAll();
  }

  /** Looks at the answers that are there, for a driver in `polling` mode; harmless in the other one. */
  pollControl(): void {
    this.#running?.engine.drain();
  }

  async queryDevice(): Promise<DeviceAttributes> {
    const { session, engine, queues } = this.#live('queryDevice');
    return queryDevice(session, engine, queues);
  }
  async queryPort(): Promise<PortAttributes> {
    const { session, engine } = this.#live('queryPort');
    return queryPort(session, engine);
  }

  async createPd(): Promise<ProtectionDomain> {
    return createPd(this.#live('createPd'));
  }
  async destroyPd(pd: ProtectionDomain): Promise<void> {
    return destroyPd(this.#live('destroyPd'), pd);
  }

  async createCq(cqe: number, onEvent?: CompletionHandler): Promise<CompletionQueue> {
    return createCq(this.#live('createCq'), cqe, onEvent);
  }
  async destroyCq(cq: CompletionQueue): Promise<void> {
    return destroyCq(this.#live('destroyCq'), cq);
  }
  async reqNotifyCq(cq: CompletionQueue, solicitedOnly: boolean): Promise<void> {
    return reqNotifyCq(this.#live('reqNotifyCq'), cq, solicitedOnly);
  }

  async regMr(pd: ProtectionDomain, init: MrInit): Promise<MemoryRegion> {
    return regMr(this.#live('regMr'), pd, init);
  }
  async getDmaMr(pd: ProtectionDomain, access: number): Promise<MemoryRegion> {
    return getDmaMr(this.#live('getDmaMr'), pd, access);
  }
  async deregMr(mr: MemoryRegion): Promise<void> {
    return deregMr(this.#live('deregMr'), mr);
  }

  async createQp(pd: ProtectionDomain, init: QpInit): Promise<QueuePair> {
    return createQp(this.#live('createQp'), pd, init);
  }
  async modifyQp(qp: QueuePair, attributes: QpAttributes): Promise<void> {
    return modifyQp(this.#live('modifyQp'), qp, attributes);
  }
  async queryQp(qp: QueuePair): Promise<QpSnapshot> {
    return queryQp(this.#live('queryQp'), qp);
  }
  async destroyQp(qp: QueuePair): Promise<void> {
    return destroyQp(this.#live('destroyQp'), qp);
  }

  async createAh(pd: ProtectionDomain, attributes: AhAttributes): Promise<AddressHandle> {
    return createAh(this.#live('createAh'), pd, attributes);
  }
  async destroyAh(ah: AddressHandle): Promise<void> {
    return destroyAh(this.#live('destroyAh'), ah);
  }

  async addGid(index: number, gid: Gid): Promise<void> {
    return addGid(this.#live('addGid'), index, gid);
  }
  async delGid(index: number): Promise<void> {
    return delGid(this.#live('delGid'), index);
  }

  postSend(qp: QueuePair, request: SendWorkRequest): void {
    postSend(this.#live('postSend'), qp, request);
  }
  postRecv(qp: QueuePair, request: RecvWorkRequest): void {
    postRecv(this.#live('postRecv'), qp, request);
  }
  pollCq(cq: CompletionQueue, completions: WorkCompletion[], max: number): number {
    return pollCq(this.#live('pollCq'), cq, completions, max);
  }

  #setUp(): Running {
    const session = negotiate(this.#options);
    try {
      const queues = setUpQueues(session);
      const engine = new CommandEngine(session, queues.control);
      session.onFailure = () => engine.abandon(verb => session.failed(verb));
      return { session, queues, engine, answers: new AnswerTask(engine), context: undefined };
    } catch (error) {
      markFailed(this.#options.transport);
      resetDevice(this.#options.transport);
      session.freeAll();
      throw error;
    }
  }

  #live(verb: string): DriverContext {
    const context = this.#running?.context;
    if (context === undefined) throw new VerbsError('ENODEV', verb, 'the driver is not started');
    if (context.session.failure !== undefined) throw context.session.failed(verb);
    return context;
  }

  /** Top half: says what is due, and leaves the work to the bottom half. Stray interrupts do nothing. */
  #interrupt(source: number | 'config'): void {
    const running = this.#running;
    if (running === undefined || running.session.failure !== undefined) return;
    const { session, answers, context } = running;
    if (source === 'config') {
      const needsReset = (this.#options.transport.readStatus() & DeviceStatus.DEVICE_NEEDS_RESET) !== 0;
      if (needsReset) session.fault('interrupt', 'the device says that it needs a reset');
    } else if (source === session.queueMap.control) {
      if (answers.deferred || this.#options.controlMode === 'polling') return;
      answers.deferred = true;
      this.#options.os.defer(answers);
    } else if (context !== undefined) interruptCq(context, source - session.queueMap.cq(0));
  }
}
