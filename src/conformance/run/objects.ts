/** Actions on protection domains, completion queues, memory regions, address handles and GIDs. */
import type { CompletionQueue, MemoryRegion, ProtectionDomain } from '../../verbs/index.js';
import { gidOf } from '../patterns.js';
import type { ActionOf } from '../program.js';
import type { CqRecord } from '../records.js';
import type { VerbsMachine } from '../verbs-world.js';
import { eventArrived } from './completions.js';
import { create } from './lifecycle.js';
import { route } from './route.js';
import type { Stage } from './stage.js';

export function createPd(
  stage: Stage,
  index: number,
  action: ActionOf<'createPd'>,
  machine: VerbsMachine,
): void {
  create(
    stage,
    index,
    action,
    () => machine.verbs.createPd(),
    pd => ({
      kind: 'pd',
      vm: action.vm,
      name: action.as,
      id: stage.counts.pd++,
      handle: pd,
      alive: true,
      destroying: false,
    }),
  );
}

export function createCq(
  stage: Stage,
  index: number,
  action: ActionOf<'createCq'>,
  machine: VerbsMachine,
): void {
  let made: CqRecord | undefined;
  const call = (): Promise<CompletionQueue> =>
    machine.verbs.createCq(action.cqe, () => {
      if (made !== undefined) eventArrived(stage, made);
    });
  create(stage, index, action, call, cq => {
    made = {
      kind: 'cq',
      vm: action.vm,
      name: action.as,
      id: stage.counts.cq++,
      handle: cq,
      alive: true,
      destroying: false,
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
  machine: VerbsMachine,
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
    stage.keys.add(lkey).add(rkey);
    return {
      kind: 'mr',
      vm: action.vm,
      name: action.as,
      id: stage.counts.mr++,
      handle: mr,
      alive: true,
      destroying: false,
      pd,
      at,
      length,
      access,
      dma,
      lkey,
      rkey,
    };
  });
}

export function createAh(
  stage: Stage,
  index: number,
  action: ActionOf<'createAh'>,
  machine: VerbsMachine,
): void {
  const pd = stage.names.find(action.vm, action.pd, 'pd');
  if (pd === undefined) return stage.skip(index, action);
  create(
    stage,
    index,
    action,
    () => machine.verbs.createAh(pd.handle as ProtectionDomain, route(action.to)),
    ah => ({
      kind: 'ah',
      vm: action.vm,
      name: action.as,
      id: stage.counts.ah++,
      handle: ah,
      alive: true,
      destroying: false,
      pd,
    }),
  );
}

export function addGid(stage: Stage, index: number, action: ActionOf<'addGid'>, machine: VerbsMachine): void {
  const gid = gidOf(action.of ?? action.vm, action.gid);
  stage.control(index, action, () => machine.verbs.addGid(action.index, gid));
}
