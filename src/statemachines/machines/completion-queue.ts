/** The completion queue: what it is armed for, the event that it owes, and its fill. */
import type { MachineDefinition, TransitionDefinition } from '../definition.js';

const arms = [
  { event: 'ARM_SOLICITED', requirement: 'CQ-03' },
  { event: 'ARM_NEXT', requirement: 'CQ-03' },
];
const adds = ['ADD', 'ADD_SOLICITED'];
const live = [
  'DISARMED',
  'ARMED_SOLICITED',
  'ARMED_NEXT',
  'EVENT_DUE',
  'EVENT_DUE_SOLICITED',
  'EVENT_DUE_NEXT',
];

/** What the queue turns into when it is armed: NEXT is wider than SOLICITED and stays. */
function armed(from: string, event: string): string {
  const next = event === 'ARM_NEXT' || from.endsWith('_NEXT');
  return `${from.startsWith('EVENT_DUE') ? 'EVENT_DUE' : 'ARMED'}_${next ? 'NEXT' : 'SOLICITED'}`;
}

/** What a completion makes of the queue: an armed queue with a match owes an event. */
function added(from: string, event: string): string {
  const matches = from.endsWith('_NEXT') || (from.endsWith('_SOLICITED') && event === 'ADD_SOLICITED');
  return matches ? 'EVENT_DUE' : from;
}

export const completionQueueMachine: MachineDefinition = {
  name: 'CQ',
  purpose:
    'A completion queue gives one event for each time that it is armed, at the first completion that matches. It holds as many completions as were granted; one more overruns it and ends it.',
  instance: 'one completion queue, from CREATE_CQ to DESTROY_CQ',
  counter: { name: 'fill', doc: 'completions that were added and not polled', limit: 'cqe granted' },
  initial: 'DISARMED',
  states: [
    { name: 'DISARMED', doc: 'No event will come', end: true },
    { name: 'ARMED_SOLICITED', doc: 'The next solicited completion or error gives an event', end: true },
    { name: 'ARMED_NEXT', doc: 'The next completion gives an event', end: true },
    { name: 'EVENT_DUE', doc: 'A match was added; the event must follow' },
    { name: 'EVENT_DUE_SOLICITED', doc: 'As EVENT_DUE, and armed again for a solicited one' },
    { name: 'EVENT_DUE_NEXT', doc: 'As EVENT_DUE, and armed again for any' },
    { name: 'OVERRUN', doc: 'A completion was lost; nothing is added any more', end: true },
    { name: 'DESTROYED', doc: 'Gone; the number may be used again', end: true },
  ],
  events: [
    { name: 'ARM_SOLICITED', doc: 'REQ_NOTIFY_CQ with SOLICITED took effect' },
    { name: 'ARM_NEXT', doc: 'REQ_NOTIFY_CQ with NEXT_COMPLETION took effect' },
    { name: 'ADD', doc: 'A completion was added that is a success and not solicited' },
    { name: 'ADD_SOLICITED', doc: 'A completion was added that is solicited or has an error status' },
    { name: 'EVENT', doc: 'The notification was sent' },
    { name: 'POLL', doc: 'The program took a completion' },
    { name: 'LOSE', doc: 'A completion found the queue full and was lost' },
    { name: 'DESTROY', doc: 'DESTROY_CQ took effect' },
  ],
  transitions: [
    ...live.flatMap((from): readonly TransitionDefinition[] => [
      ...arms.map(({ event, requirement }) => ({ from, event, to: armed(from, event), requirement })),
      ...adds.map((event): TransitionDefinition => {
        const guard = { kind: 'below-limit' } as const;
        return { from, event, to: added(from, event), requirement: 'CQ-04', guard, effect: 'inc' };
      }),
      { from, event: 'POLL', to: from, requirement: 'CQ-05', guard: { kind: 'positive' }, effect: 'dec' },
      { from, event: 'LOSE', to: 'OVERRUN', requirement: 'CQ-06', guard: { kind: 'at-limit' } },
      { from, event: 'DESTROY', to: 'DESTROYED', requirement: 'CQ-07' },
    ]),
    { from: 'EVENT_DUE', event: 'EVENT', to: 'DISARMED', requirement: 'CQ-08' },
    { from: 'EVENT_DUE_SOLICITED', event: 'EVENT', to: 'ARMED_SOLICITED', requirement: 'CQ-08' },
    { from: 'EVENT_DUE_NEXT', event: 'EVENT', to: 'ARMED_NEXT', requirement: 'CQ-08' },
    // The event that was due when the queue overran may still come.
    { from: 'OVERRUN', event: 'EVENT', to: 'OVERRUN', requirement: 'CQ-08' },
    { from: 'OVERRUN', event: 'ARM_SOLICITED', to: 'OVERRUN', requirement: 'CQ-06' },
    { from: 'OVERRUN', event: 'ARM_NEXT', to: 'OVERRUN', requirement: 'CQ-06' },
    { from: 'OVERRUN', event: 'LOSE', to: 'OVERRUN', requirement: 'CQ-06' },
    {
      from: 'OVERRUN',
      event: 'POLL',
      to: 'OVERRUN',
      requirement: 'CQ-06',
      guard: { kind: 'positive' },
      effect: 'dec',
    },
    { from: 'OVERRUN', event: 'DESTROY', to: 'DESTROYED', requirement: 'CQ-07' },
  ],
  forbidden: [
    { from: 'DISARMED', event: 'EVENT', requirement: 'CQ-09' },
    { from: 'ARMED_SOLICITED', event: 'EVENT', requirement: 'CQ-09' },
    { from: 'ARMED_NEXT', event: 'EVENT', requirement: 'CQ-09' },
    { from: 'OVERRUN', event: 'ADD', requirement: 'CQ-06' },
    { from: 'OVERRUN', event: 'ADD_SOLICITED', requirement: 'CQ-06' },
  ],
  endRequirement: 'CQ-08',
};
