/** Completion queues: creation with their buffers, arming, events. */
import {
  Command,
  NotifyFlag,
  cqReq,
  createCqAck,
  createCqCommand,
  destroyCqCommand,
  reqNotifyCommand,
} from '../abi/index.js';
import { VerbsError } from '../verbs/index.js';
import type { CompletionHandler, CompletionQueue, WorkCompletion } from '../verbs/index.js';
import { judgeOf } from './accounting.js';
import { refuse } from './checks.js';
import { structData } from './command-engine.js';
import type { DriverContext } from './context.js';
import { CqReader } from './cq-reader.js';
import type { DmaBuffer } from './guest-os.js';
import { DriverCq, claimCq } from './objects.js';
import type { DriverQp } from './objects.js';

export async function createCq(
  context: DriverContext,
  cqe: number,
  onEvent?: CompletionHandler,
): Promise<DriverCq> {
  const verb = 'createCq';
  const { session, engine, cqs, limits } = context;
  if (!Number.isInteger(cqe) || cqe < 1 || cqe > limits.maxCqe) {
    throw refuse(verb, `cqe is ${cqe}, expected 1..${limits.maxCqe}`);
  }
  const memory = session.alloc(cqe * cqReq.size, 8);
  cqs.creating();
  return engine.run({
    verb,
    code: Command.CREATE_CQ,
    data: structData(createCqCommand, { cqe }),
    resultBytes: createCqAck.size,
    refused: () => {
      session.free(memory);
      return cqs.refused(verb, limits.maxCq);
    },
    accept: result => {
      const { cqn } = createCqAck.decode(result, 0);
      const cq = newCq(context, cqn, cqe, memory, onEvent);
      if (typeof cq === 'string') throw session.fault(verb, cq);
      cqs.created(cqn, cq);
      return cq;
    },
  });
}

/** The buffers go into the ring here, before anybody can create a queue pair that completes into it. */
function newCq(
  context: DriverContext,
  cqn: number,
  cqe: number,
  memory: DmaBuffer,
  onEvent: CompletionHandler | undefined,
): DriverCq | string {
  const { session, queues, cqs, qps } = context;
  if (cqn >= queues.cqs.length) return `completion queue number ${cqn} of ${queues.cqs.length}`;
  const taken = cqs.fault(cqn);
  if (taken !== undefined) return taken;
  const judge = judgeOf(cqn, qps);
  const reader = new CqReader(session, queues.cqs[cqn], memory, judge);
  return reader.fill(cqe) ?? new DriverCq(session, cqn, cqe, reader, onEvent);
}

export async function destroyCq(context: DriverContext, handle: CompletionQueue): Promise<void> {
  const verb = 'destroyCq';
  const { session, engine, cqs } = context;
  const cq = claimCq(session, verb, handle);
  if (cq.users > 0) throw new VerbsError('EBUSY', verb, `${cq.users} queue pairs use it`);
  cq.alive = false;
  return engine.run({
    verb,
    code: Command.DESTROY_CQ,
    data: structData(destroyCqCommand, { cqn: cq.number }),
    resultBytes: 0,
    refused: () => {
      cq.alive = true;
      return refuse(verb, 'the device refused');
    },
    accept: () => {
      const fault = cq.reader.close();
      if (fault !== undefined) throw session.fault(verb, `DESTROY_CQ: ${fault}`);
      cq.closed = true;
      cqs.destroyed(cq.number);
    },
  });
}

/**
 * Arms the queue. An event may be raised as soon as the command is with the device, so it is expected from now on; and since
 * an interrupt that comes before the answer may be a stray one, at least one more is expected after the answer.
 */
export async function reqNotifyCq(
  context: DriverContext,
  handle: CompletionQueue,
  solicitedOnly: boolean,
): Promise<void> {
  const verb = 'reqNotifyCq';
  const cq = claimCq(context.session, verb, handle);
  cq.armed++;
  return context.engine.run({
    verb,
    code: Command.REQ_NOTIFY_CQ,
    data: structData(reqNotifyCommand, {
      cqn: cq.number,
      flags: solicitedOnly ? NotifyFlag.SOLICITED : NotifyFlag.NEXT_COMPLETION,
    }),
    resultBytes: 0,
    refused: () => {
      cq.armed = Math.max(0, cq.armed - 1);
      return refuse(verb, 'the device refused');
    },
    accept: () => {
      cq.armed = Math.max(1, cq.armed);
    },
  });
}

/** Top half of a completion queue's interrupt: an arming is answered, or the interrupt is spurious. */
export function interruptCq(context: DriverContext, cqn: number): void {
  const cq = context.cqs.get(cqn);
  if (cq === undefined || cq.armed === 0) return;
  cq.armed--;
  cq.eventsDue++;
  if (cq.eventDeferred) return;
  cq.eventDeferred = true;
  context.session.options.os.defer(cq);
}

export function pollCq(
  context: DriverContext,
  handle: CompletionQueue,
  completions: readonly WorkCompletion[],
  max: number,
): number {
  return claimCq(context.session, 'pollCq', handle).reader.poll(completions, max);
}

/** Takes all that the queue pair has completed out of its completion queues while its number is still its own. */
export function harvest(qp: DriverQp): VerbsError | undefined {
  const error = qp.sendCq.reader.harvest();
  if (error !== undefined || qp.recvCq === qp.sendCq) return error;
  return qp.recvCq.reader.harvest();
}
