/** What a run tells its judges, as it happens. Every method does nothing by default: a judge overrides what it needs. */
import type { WorkCompletion } from '../verbs/index.js';
import type { Action, SendRequestSpec, SgeSpec } from './program.js';
import type { CqRecord, ObjectRecord, QpRecord, WrRecord } from './records.js';

/** A work request as the program has it. */
export type RequestSpec = SendRequestSpec | { readonly sges: readonly SgeSpec[] };

export class RunObserver {
  actionStarted(_index: number, _action: Action): void {}
  /** The control verb of an action is called; an action whose objects never were is not. */
  called(_index: number, _action: Action): void {}
  /** A control verb or a post came back. `errno` is undefined on success. */
  actionEnded(_index: number, _action: Action, _errno: string | undefined): void {}

  created(_object: ObjectRecord): void {}
  destroyStarted(_object: ObjectRecord): void {}
  destroyed(_object: ObjectRecord): void {}
  destroyRefused(_object: ObjectRecord, _errno: string): void {}

  /** A modify took effect. `to` is the state it asked for, undefined when it asked for none. */
  modified(_qp: QpRecord, _to: number | undefined): void {}
  modifyRefused(_qp: QpRecord): void {}
  queried(_qp: QpRecord, _state: number): void {}

  posted(_request: WrRecord, _spec: RequestSpec): void {}
  postRefused(_qp: QpRecord, _send: boolean, _errno: string): void {}
  /** A completion was polled; `request` is what it is for, undefined when nothing was posted under its number. */
  completed(_cq: CqRecord, _completion: WorkCompletion, _request: WrRecord | undefined): void {}

  event(_cq: CqRecord): void {}

  /** Nothing moves any more and every completion has been polled. */
  ended(): void {}

  /** Whether something is still to come before the run may end, if only a time-out brings it. */
  owes(): boolean {
    return false;
  }
}
