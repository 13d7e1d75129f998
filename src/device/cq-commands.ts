/** CREATE_CQ, DESTROY_CQ, REQ_NOTIFY_CQ. */
import {
  NotifyFlag,
  createCqAck,
  createCqCommand,
  destroyCqCommand,
  reqNotifyCommand,
} from '../abi/index.js';
import { commandWith, commandWithoutResult } from './command.js';
import { CompletionQueueBinding } from './completion-queue.js';

export const createCq = commandWith(createCqCommand, createCqAck, (objects, { cqe }, result) => {
  const { context } = objects;
  if (cqe === 0 || cqe > context.hca.attributes.maxCqe) return false;
  const cqn = objects.freeCqn();
  if (cqn < 0) return false;
  const queue = context.liveQueue(context.queueMap.cq(cqn));
  if (queue === undefined || cqe > queue.size) return false;
  const cq = new CompletionQueueBinding(context, {
    cqn,
    cqe,
    ids: objects.requestTools.ids,
    onOverrun: overrun => objects.completionQueueOverran(overrun),
  });
  objects.addCompletionQueue(cq);
  result.cqn = cqn;
  return true;
});

export const destroyCq = commandWithoutResult(destroyCqCommand, (objects, { cqn }) => {
  const cq = objects.completionQueue(cqn);
  if (cq === undefined) return false;
  cq.destroy();
  objects.removeCompletionQueue(cq);
  return true;
});

const anyNotifyFlag = NotifyFlag.SOLICITED | NotifyFlag.NEXT_COMPLETION;

export const reqNotifyCq = commandWithoutResult(reqNotifyCommand, (objects, { cqn, flags }) => {
  const cq = objects.completionQueue(cqn);
  if (cq === undefined || flags === 0 || (flags & ~anyNotifyFlag) !== 0) return false;
  cq.arm((flags & NotifyFlag.NEXT_COMPLETION) === 0);
  return true;
});
