/** Actions that poll and arm completion queues, and what happens when an event wakes a program. */
import { emptyCompletion } from '../../verbs/index.js';
import type { WorkCompletion } from '../../verbs/index.js';
import { describeCompletion, describeWanted, numbered, unexpected } from '../expectations.js';
import type { WantedCompletion } from '../expectations.js';
import { LawBroken, laws } from '../laws.js';
import type { ActionOf } from '../program.js';
import type { CqRecord } from '../records.js';
import { errnoOf } from './stage.js';
import type { Stage } from './stage.js';

/** Completions that a waking or draining program polls at a time. */
const POLL_BATCH = 64;

export function pollCq(stage: Stage, index: number, action: ActionOf<'pollCq'>): void {
  const cq = stage.names.find(action.vm, action.cq, 'cq');
  if (cq === undefined) {
    stage.skip(index, action);
    if (action.expectWc === undefined) return;
    throw unexpected(index, `${action.cq} does not exist`, 'completions');
  }
  if (action.expectWc === undefined)
    stage.observation.note(index, 'polled', poll(stage, cq, action.max ?? 16));
  else pollExpected(stage, index, cq, action.expectWc);
  const { expectEvents } = action;
  if (expectEvents !== undefined && expectEvents !== cq.events) {
    throw unexpected(index, `${cq.name} raised ${cq.events} event(s)`, String(expectEvents));
  }
  for (const observer of stage.observers) observer.actionEnded(index, action, undefined);
}

/** Arms; `waitCq` then looks once more and sleeps if there is nothing. */
export function armCq(
  stage: Stage,
  index: number,
  action: ActionOf<'reqNotifyCq'> | ActionOf<'waitCq'>,
): void {
  const cq = stage.names.find(action.vm, action.cq, 'cq');
  if (cq === undefined) return stage.skip(index, action);
  const { verbs } = stage.world.machines[action.vm];
  const solicitedOnly = action.solicitedOnly ?? false;
  const eventsBefore = cq.events;
  stage.control(
    index,
    action,
    () => verbs.reqNotifyCq(cq.handle, solicitedOnly),
    () => {
      // An event that came before the answer has used the arming up: this program would look again, not sleep.
      if (action.op !== 'waitCq' || cq.events !== eventsBefore) return;
      if (poll(stage, cq, POLL_BATCH) === 0 && cq.sleeper !== 'next') {
        cq.sleeper = solicitedOnly ? 'solicited' : 'next';
      }
    },
  );
}

/** A completion event reached the program: a sleeper wakes and polls. */
export function eventArrived(stage: Stage, cq: CqRecord): void {
  cq.events++;
  stage.observation.event(cq);
  for (const observer of stage.observers) observer.event(cq);
  if (cq.sleeper === 'no') return;
  cq.sleeper = 'no';
  // When a wake-up comes within an action is a matter of time, which a comparison leaves out: settled programs wake at its end.
  if (stage.program.mode === 'settled') stage.woken.add(cq);
  else if (cq.alive) poll(stage, cq, POLL_BATCH);
}

/** Lets the sleepers poll whose events have come. */
export function wakeSleepers(stage: Stage): void {
  if (stage.woken.size === 0) return;
  for (const cq of stage.woken) if (cq.alive) poll(stage, cq, POLL_BATCH);
  stage.woken.clear();
}

/** Polls a queue empty at the end of a program. A sleeper that finds something was not woken. */
export function drain(stage: Stage, cq: CqRecord): void {
  let count = 0;
  for (let polled = POLL_BATCH; polled > 0; count += polled) polled = poll(stage, cq, POLL_BATCH);
  if (cq.sleeper === 'next' && count > 0) {
    throw new LawBroken(
      laws.losesNoWakeUp,
      `a program sleeps on ${cq.name} of machine ${cq.vm} with ${count} completion(s) in it and no event on the way`,
    );
  }
  stage.observation.note(stage.program.actions.length, `drained ${cq.name}`, count);
}

/** Polls once, and hands each completion to the judges. Returns how many there were. */
function poll(stage: Stage, cq: CqRecord, max: number, seen?: (completion: WorkCompletion) => void): number {
  stage.calls++;
  const { verbs } = stage.world.machines[cq.vm];
  const { completions } = stage;
  while (completions.length < max) completions.push(emptyCompletion());
  let count: number;
  try {
    count = verbs.pollCq(cq.handle, completions, max);
  } catch (error) {
    errnoOf(error, 'pollCq');
    return 0;
  }
  if (!(count >= 0 && count <= max)) {
    throw new LawBroken(laws.pollsWhatIsAsked, `pollCq returned ${count} for at most ${max}`);
  }
  const requests = stage.requests[cq.vm];
  for (let i = 0; i < count; i++) {
    const completion = completions[i];
    const request = requests[completion.wrId];
    stage.observation.completion(cq, completion, request);
    for (const observer of stage.observers) observer.completed(cq, completion, request);
    seen?.(completion);
  }
  return count;
}

function pollExpected(
  stage: Stage,
  index: number,
  cq: CqRecord,
  expectWc: readonly WantedCompletion[],
): void {
  const wanted = [...numbered(expectWc)].map(entry => ({
    ...entry,
    qp: entry.from && stage.names.find(entry.from.vm, entry.from.qp, 'qp')?.handle.qpNum,
  }));
  const seen: string[] = [];
  poll(stage, cq, wanted.length + 1, completion =>
    seen.push(describeCompletion(completion, wanted[seen.length])),
  );
  const first = wanted.findIndex((entry, i) => seen[i] !== describeWanted(entry));
  if (first < 0 && seen.length === wanted.length) return;
  const at = first < 0 ? wanted.length : first;
  const what = wanted[at] === undefined ? 'nothing' : describeWanted(wanted[at]);
  throw unexpected(index, `completion ${at} of ${cq.name} is ${seen[at] ?? 'missing'}`, what);
}
