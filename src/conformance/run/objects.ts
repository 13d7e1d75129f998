/** Actions on protection domains, completion queues, memory regions, address handles and GIDs; how any object comes and goes. */
import type { CompletionQueue, MemoryRegion, ProtectionDomain } from '../../verbs/index.js';
import { gidOf } from '../patterns.js';
import type { Action, ActionOf } from '../program.js';
import type { CqRecord, ObjectKind, ObjectRecord } from '../records.js';
import type { Machine } from '../world.js';
import { eventArrived } from './completions.js';
import { ABSENT, PENDING } from './names.js';
import { discardRequests, route } from './queue-pairs.js';
import type { Stage } from './stage.js';

/** What every record begins with. */
export function baseRecord<K extends ObjectKind, H>(
  stage: Stage,
  kind: K,
  vm: number,
  name: string,
  handle: H,
) {
  return { kind, vm, name, id: stage.counts[kind]++, handle, alive: true, destroying: false } as const;
}

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

export function createPd(stage: Stage, index: number, action: ActionOf<'createPd'>, machine: Machine): void {
  create(
    stage,
    index,
    action,
    () => machine.verbs.createPd(),
    pd => ({ ...baseRecord(stage, 'pd', action.vm, action.as, pd), children: 0 }),
  );
}

export function createCq(stage: Stage, index: number, action: ActionOf<'createCq'>, machine: Machine): void {
  let made: CqRecord | undefined;
  const call = (): Promise<CompletionQueue> =>
    machine.verbs.createCq(action.cqe, () => {
      if (made !== undefined) eventArrived(stage, made);
    });
  create(stage, index, action, call, cq => {
    made = {
      ...baseRecord(stage, 'cq', action.vm, action.as, cq),
      cqe: cq.cqe,
      events: 0,
      sleeper: 'no',
      overran: false,
    };
    stage.cqs.push(made);
    stage.observation.note(index, 'entries granted', cq.cqe);
    return made;
  });
}

export function createMr(
  stage: Stage,
  index: number,
  action: ActionOf<'regMr'> | ActionOf<'getDmaMr'>,
  machine: Machine,
): void {
  const pd = stage.names.find(action.vm, action.pd, 'pd');
  if (pd === undefined) return stage.skip(index, action);
  const handle = pd.handle as ProtectionDomain;
  const { access } = action;
  const dma = action.op === 'getDmaMr';
  const [at, length] = dma ? [0, stage.program.arenaBytes] : [action.at, action.length];
  const call = (): Promise<MemoryRegion> =>
    dma
      ? machine.verbs.getDmaMr(handle, access)
      : machine.verbs.regMr(handle, { addr: machine.guest.arenaAddress(at), length, access });
  create(stage, index, action, call, mr => {
    const { lkey, rkey } = mr;
    return { ...baseRecord(stage, 'mr', action.vm, action.as, mr), pd, at, length, access, dma, lkey, rkey };
  });
}

export function createAh(stage: Stage, index: number, action: ActionOf<'createAh'>, machine: Machine): void {
  const pd = stage.names.find(action.vm, action.pd, 'pd');
  if (pd === undefined) return stage.skip(index, action);
  create(
    stage,
    index,
    action,
    () => machine.verbs.createAh(pd.handle as ProtectionDomain, route(action.to)),
    ah => ({ ...baseRecord(stage, 'ah', action.vm, action.as, ah), pd }),
  );
}

export function addGid(stage: Stage, index: number, action: ActionOf<'addGid'>, machine: Machine): void {
  const gid = gidOf(action.of ?? action.vm, action.gid);
  stage.control(index, action, () => machine.verbs.addGid(action.index, gid));
}
