/** The objects behind the data path: protection domain, memory region, address handle, GID table entry. */
import type { MachineDefinition } from '../definition.js';

/** An object that may not be destroyed while others use it. */
function useCountMachine(
  part: Pick<MachineDefinition, 'name' | 'purpose' | 'instance'>,
  /** `busy`: it is not destroyed while it is used. `gone`: it cannot be used once it is destroyed. */
  ids: { readonly busy: string; readonly gone: string },
): MachineDefinition {
  return {
    ...part,
    counter: { name: 'users', doc: 'objects that use it' },
    initial: 'LIVE',
    states: [
      { name: 'LIVE', doc: 'Exists; may be used', end: true },
      { name: 'DESTROYED', doc: 'Gone', end: true },
    ],
    events: [
      { name: 'USER_CREATED', doc: 'An object that uses it was created' },
      { name: 'USER_DESTROYED', doc: 'An object that uses it was destroyed' },
      { name: 'DESTROY', doc: 'It was destroyed' },
      { name: 'DESTROY_REFUSED', doc: 'Its destruction was refused' },
    ],
    transitions: [
      { from: 'LIVE', event: 'USER_CREATED', to: 'LIVE', requirement: ids.busy, effect: 'inc' },
      {
        from: 'LIVE',
        event: 'USER_DESTROYED',
        to: 'LIVE',
        requirement: 'RST-24',
        guard: { kind: 'positive' },
        effect: 'dec',
      },
      { from: 'LIVE', event: 'DESTROY', to: 'DESTROYED', requirement: ids.busy, guard: { kind: 'zero' } },
      {
        from: 'LIVE',
        event: 'DESTROY_REFUSED',
        to: 'LIVE',
        requirement: ids.busy,
        guard: { kind: 'positive' },
      },
    ],
    forbidden: [{ from: 'DESTROYED', event: 'USER_CREATED', requirement: ids.gone }],
  };
}

export const protectionDomainMachine = useCountMachine(
  {
    name: 'PD',
    purpose:
      'A protection domain counts the memory regions, queue pairs and address handles that were created in it. It can be destroyed only when none is left.',
    instance: 'one protection domain, from CREATE_PD to DESTROY_PD',
  },
  { busy: 'RST-01', gone: 'RST-26' },
);

export const completionQueueUseMachine = useCountMachine(
  {
    name: 'CQ_USE',
    purpose:
      'A completion queue counts the queue pairs that send their completions to it, once for each of the two directions. It can be destroyed only when none is left.',
    instance: 'one completion queue, from CREATE_CQ to DESTROY_CQ',
  },
  { busy: 'RST-02', gone: 'CTRL-71' },
);

export const memoryRegionMachine: MachineDefinition = {
  name: 'MR',
  purpose:
    'Memory can be reached through the keys of a region while it is registered. From the answer to DEREG_MR on nothing is reached through them, and a later region never answers to old keys.',
  instance: 'one memory region, from its registration on',
  initial: 'REGISTERED',
  states: [
    { name: 'REGISTERED', doc: 'Its keys give access', end: true },
    { name: 'DEREGISTERED', doc: 'Its keys give none', end: true },
  ],
  events: [
    { name: 'ACCESS', doc: 'Memory was read or written through its keys' },
    { name: 'ACCESS_REFUSED', doc: 'A request that named its keys failed for it' },
    { name: 'DEREGISTER', doc: 'DEREG_MR took effect' },
  ],
  transitions: [
    { from: 'REGISTERED', event: 'ACCESS', to: 'REGISTERED', requirement: 'MEM-20' },
    { from: 'REGISTERED', event: 'ACCESS_REFUSED', to: 'REGISTERED', requirement: 'MEM-21' },
    { from: 'REGISTERED', event: 'DEREGISTER', to: 'DEREGISTERED', requirement: 'RST-04' },
    { from: 'DEREGISTERED', event: 'ACCESS_REFUSED', to: 'DEREGISTERED', requirement: 'RST-17' },
  ],
  forbidden: [{ from: 'DEREGISTERED', event: 'ACCESS', requirement: 'RST-16' }],
};

export const addressHandleMachine: MachineDefinition = {
  name: 'AH',
  purpose:
    'An address handle says where datagrams go while it exists. It may be destroyed at any time, and sends that come to their turn later fail.',
  instance: 'one address handle, from CREATE_AH on',
  initial: 'LIVE',
  states: [
    { name: 'LIVE', doc: 'May be used', end: true },
    { name: 'DESTROYED', doc: 'Sends that name it fail', end: true },
  ],
  events: [
    { name: 'USE', doc: 'A datagram was sent with it' },
    { name: 'USE_REFUSED', doc: 'A send that names it completed with LOC_QP_OP_ERR' },
    { name: 'DESTROY', doc: 'DESTROY_AH took effect' },
  ],
  transitions: [
    { from: 'LIVE', event: 'USE', to: 'LIVE', requirement: 'DATA-53' },
    { from: 'LIVE', event: 'USE_REFUSED', to: 'LIVE', requirement: 'DATA-18' },
    { from: 'LIVE', event: 'DESTROY', to: 'DESTROYED', requirement: 'RST-04' },
    { from: 'DESTROYED', event: 'USE_REFUSED', to: 'DESTROYED', requirement: 'RST-19' },
  ],
  forbidden: [
    { from: 'DESTROYED', event: 'USE', requirement: 'RST-19' },
    { from: 'DESTROYED', event: 'DESTROY', requirement: 'RST-03' },
  ],
};

export const gidEntryMachine: MachineDefinition = {
  name: 'GID',
  purpose:
    'An entry of the GID table is empty or holds one GID. Queue pairs and address handles can name it only while it is set.',
  instance: 'one entry of the GID table of one device',
  initial: 'EMPTY',
  states: [
    { name: 'EMPTY', doc: 'Holds nothing', end: true },
    { name: 'SET', doc: 'Holds a GID', end: true },
  ],
  events: [
    { name: 'ADD', doc: 'ADD_GID took effect' },
    { name: 'ADD_REFUSED', doc: 'ADD_GID was refused: the GID is taken' },
    { name: 'DEL', doc: 'DEL_GID took effect' },
    { name: 'DEL_REFUSED', doc: 'DEL_GID was refused' },
    { name: 'NAME', doc: 'An address vector that names the entry was accepted' },
    { name: 'NAME_REFUSED', doc: 'An otherwise legal address vector that names the entry was refused' },
  ],
  transitions: [
    { from: 'EMPTY', event: 'ADD', to: 'SET', requirement: 'CTRL-109' },
    { from: 'SET', event: 'ADD', to: 'SET', requirement: 'CTRL-105' },
    { from: 'EMPTY', event: 'ADD_REFUSED', to: 'EMPTY', requirement: 'CTRL-102' },
    { from: 'SET', event: 'ADD_REFUSED', to: 'SET', requirement: 'CTRL-102' },
    { from: 'SET', event: 'DEL', to: 'EMPTY', requirement: 'CTRL-108' },
    { from: 'EMPTY', event: 'DEL_REFUSED', to: 'EMPTY', requirement: 'CTRL-107' },
    { from: 'SET', event: 'NAME', to: 'SET', requirement: 'CTRL-95' },
    { from: 'EMPTY', event: 'NAME_REFUSED', to: 'EMPTY', requirement: 'RST-21' },
  ],
  forbidden: [
    { from: 'EMPTY', event: 'DEL', requirement: 'CTRL-107' },
    { from: 'SET', event: 'DEL_REFUSED', requirement: 'CTRL-108' },
    { from: 'EMPTY', event: 'NAME', requirement: 'RST-21' },
    { from: 'SET', event: 'NAME_REFUSED', requirement: 'CTRL-95' },
  ],
};
