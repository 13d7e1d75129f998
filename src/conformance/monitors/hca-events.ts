/** The events of the HCA's machines by name: what a completion, a modify and a query are called there. */
import { QpState, QpType, WcStatus, qpStates } from '../../abi/index.js';
import type { WcStatus as Status } from '../../abi/index.js';
import type { CompiledMachine, Monitor } from '../../statemachines/index.js';
import type { QpSnapshot } from '../../verbs/index.js';
import type { MonitorBook } from './book.js';

type QpMachineName = 'QP.RC' | 'QP.UC' | 'QP.UD';

/** The machine of a transport service. */
export function qpMachineName(type: number): QpMachineName {
  if (type === QpType.RC) return 'QP.RC';
  return type === QpType.UC ? 'QP.UC' : 'QP.UD';
}

const eventIds = new WeakMap<CompiledMachine, ReadonlyMap<string, number>>();

function idsOf(machine: CompiledMachine): ReadonlyMap<string, number> {
  let ids = eventIds.get(machine);
  if (ids === undefined)
    eventIds.set(machine, (ids = new Map(machine.eventNames.map((name, id) => [name, id]))));
  return ids;
}

/** One machine's monitor with its events by name; lookups are done when the reporter is made. */
export class Reporter {
  readonly monitor: Monitor;
  readonly #ids: ReadonlyMap<string, number>;

  constructor(book: MonitorBook, machine: string) {
    this.monitor = book.get(machine);
    this.#ids = idsOf(this.monitor.machine);
  }

  /** Throws when there is no event of that name. */
  idOf(name: string): number {
    return this.#ids.get(name) ?? this.monitor.machine.eventId(name);
  }

  report(key: number, name: string, arg = 0): void {
    const id = this.#ids.get(name);
    if (id !== undefined) this.monitor.event(key, id, arg);
  }
}

export interface CompletionEvents {
  readonly ofSend: string;
  readonly ofRecv: string;
  readonly ofRequest: string;
}

function completionEvents(kind: string): CompletionEvents {
  return {
    ofSend: `COMPLETION_${kind}_SEND`,
    ofRecv: `COMPLETION_${kind}_RECV`,
    ofRequest: `COMPLETE_${kind}`,
  };
}

const succeeded = completionEvents('SUCCESS');
const flushed = completionEvents('FLUSH');
const failed = completionEvents('ERROR');

/** What a completion of that status is called. */
export function kindOf(status: Status): CompletionEvents {
  if (status === WcStatus.SUCCESS) return succeeded;
  return status === WcStatus.WR_FLUSH_ERR ? flushed : failed;
}

const modifyEvents = new Map<number, string>(
  qpStates.names.map(name => [qpStates.values[name], `MODIFY_TO_${name}`]),
);

const observedEvents = new Map<number, string>(
  qpStates.names.map(name => [qpStates.values[name], `OBSERVED_${name}`]),
);

/** What a query that showed this is called. */
export function observedEvent({ qpState, sqDraining }: QpSnapshot): string {
  if (qpState === QpState.SQD) return sqDraining ? 'OBSERVED_SQD_DRAINING' : 'OBSERVED_SQD_DRAINED';
  return observedEvents.get(qpState) ?? 'OBSERVED_?';
}

/** What a modify to that state is called; undefined: one without a state. */
export function modifyEvent(state: number | undefined): string {
  return state === undefined ? 'MODIFY_ATTRIBUTES' : (modifyEvents.get(state) ?? 'MODIFY_TO_?');
}
