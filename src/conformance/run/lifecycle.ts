/** How any object of a program comes and goes. */
import type { Action } from '../program.js';
import type { ObjectRecord, QpRecord } from '../records.js';
import { ABSENT, PENDING } from './names.js';
import type { Stage } from './stage.js';

/** Runs a creating verb under a name; the name is pending until it settles. */
export function create<T>(
  stage: Stage,
  index: number,
  action: Action & { as: string },
  call: () => Promise<T>,
  record: (value: T) => ObjectRecord,
): void {
  stage.names.set(action.vm, action.as, PENDING);
  stage.control(
    index,
    action,
    call,
    value => {
      const made = record(value);
      stage.names.set(action.vm, action.as, { state: 'ready', record: made });
      for (const observer of stage.observers) observer.created(made);
    },
    () => stage.names.set(action.vm, action.as, ABSENT),
  );
}

/** Runs a destroying verb; `record` is undefined when the name never became an object. */
export function destroy<R extends ObjectRecord>(
  stage: Stage,
  index: number,
  action: Action,
  record: R | undefined,
  call: (record: R) => Promise<void>,
): void {
  if (record === undefined) return stage.skip(index, action);
  const first = record.alive && !record.destroying;
  if (first) record.destroying = true;
  for (const observer of stage.observers) observer.destroyStarted(record);
  stage.control(
    index,
    action,
    () => call(record),
    () => {
      for (const observer of stage.observers) observer.destroyed(record);
      record.alive = false;
      if (record.kind === 'qp') discardRequests(record);
    },
    errno => {
      if (first) record.destroying = false;
      for (const observer of stage.observers) observer.destroyRefused(record, errno);
    },
  );
}

/** All requests that are left give no completion any more, but one that is in the completion queue already. */
export function discardRequests(qp: QpRecord): void {
  for (const list of [qp.sends, qp.recvs]) {
    for (const request of list) if (request.state === 'posted') request.state = 'discarded';
    list.length = 0;
  }
  qp.sendsDone = 0;
  qp.recvsDone = 0;
  qp.sendFailed = false;
  qp.recvFailed = false;
}
