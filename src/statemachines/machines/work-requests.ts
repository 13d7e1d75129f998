/** One posted work request, from the post to its end. */
import type {
  EventDefinition,
  MachineDefinition,
  StateDefinition,
  TransitionDefinition,
} from '../definition.js';

const doneStates: readonly StateDefinition[] = [
  { name: 'COMPLETED_SUCCESS', doc: 'Completed with SUCCESS', end: true },
  { name: 'COMPLETED_ERROR', doc: 'Completed with the error status of its own', end: true },
  { name: 'FLUSHED', doc: 'Completed with WR_FLUSH_ERR', end: true },
  { name: 'DISCARDED', doc: 'Thrown away by a move to RESET or by DESTROY_QP; no completion', end: true },
  { name: 'LOST', doc: 'Its completion was lost when the completion queue overran', end: true },
];

const doneEvents: readonly EventDefinition[] = [
  { name: 'CHAIN_RETURNED', doc: 'Its descriptor chain came back as used' },
  { name: 'COMPLETE_SUCCESS', doc: 'Its completion was added, with SUCCESS' },
  { name: 'COMPLETE_ERROR', doc: 'Its completion was added, with an error status that is not a flush' },
  { name: 'COMPLETE_FLUSH', doc: 'Its completion was added, with WR_FLUSH_ERR' },
  { name: 'DISCARD', doc: 'A move to RESET or DESTROY_QP was answered' },
  { name: 'CQ_OVERRUN', doc: 'The completion queue overran' },
];

const once = ['COMPLETED_SUCCESS', 'COMPLETED_ERROR', 'FLUSHED', 'DISCARDED'].flatMap(from =>
  ['COMPLETE_SUCCESS', 'COMPLETE_ERROR', 'COMPLETE_FLUSH'].map(event => ({
    from,
    event,
    requirement: from === 'DISCARDED' ? 'QP-41' : 'CQ-01',
  })),
);

/** The chain comes back once, before the completion; that of a discarded request before the answer. */
const chainFirst = [
  ...['COMPLETED_SUCCESS', 'COMPLETED_ERROR', 'FLUSHED'].map(from => ({ from, requirement: 'ORD-15' })),
  { from: 'DISCARDED', requirement: 'QP-42' },
].map(rule => ({ ...rule, event: 'CHAIN_RETURNED' }));

/** What a completion with an error status, a flush, a discard and an overrun make of a request in one of these states. */
function endings(from: string, started: boolean): readonly TransitionDefinition[] {
  return [
    ...(started ? [{ from, event: 'COMPLETE_ERROR', to: 'COMPLETED_ERROR', requirement: 'QP-47' }] : []),
    { from, event: 'COMPLETE_FLUSH', to: 'FLUSHED', requirement: 'QP-48' },
    { from, event: 'DISCARD', to: 'DISCARDED', requirement: 'QP-41' },
    { from, event: 'CQ_OVERRUN', to: 'LOST', requirement: 'CQ-01' },
  ];
}

/** A discarded request's chain is back before the answer; a lost one may come back at any time. */
const after: readonly TransitionDefinition[] = [
  'COMPLETED_SUCCESS',
  'COMPLETED_ERROR',
  'FLUSHED',
  'DISCARDED',
].map(from => ({ from, event: 'CQ_OVERRUN', to: from, requirement: 'CQ-01' }));
const lost: readonly TransitionDefinition[] = ['CHAIN_RETURNED', 'DISCARD', 'CQ_OVERRUN'].map(event => ({
  from: 'LOST',
  event,
  to: 'LOST',
  requirement: 'CQ-01',
}));

export const sendRequestMachine: MachineDefinition = {
  name: 'SEND_WR',
  purpose:
    'A send work request gets exactly one completion if it is signaled or fails, and none if it is unsignaled and succeeds. Its descriptor chain comes back before its completion, and a discarded request gives no completion.',
  instance: 'one posted send',
  initial: 'NEW',
  states: [
    { name: 'NEW', doc: 'Not posted yet', end: true },
    { name: 'POSTED_SIGNALED', doc: 'Waits for its turn; a success will be completed', end: true },
    { name: 'POSTED_UNSIGNALED', doc: 'Waits for its turn; a success will be silent', end: true },
    { name: 'STARTED_SIGNALED', doc: 'Runs; a success will be completed', end: true },
    { name: 'STARTED_UNSIGNALED', doc: 'Runs; a success will be silent', end: true },
    { name: 'RETURNED_SIGNALED', doc: 'Its chain is back; its completion must follow' },
    {
      name: 'RETURNED_UNSIGNALED',
      doc: 'Its chain is back; done, or a failure will be completed',
      end: true,
    },
    ...doneStates,
  ],
  events: [
    { name: 'POST_SIGNALED', doc: 'Posted with SIGNALED, or on a queue pair with sq_sig_all' },
    { name: 'POST_UNSIGNALED', doc: 'Posted without' },
    ...doneEvents,
    { name: 'START', doc: 'Unseen: its turn has come' },
  ],
  transitions: [
    { from: 'NEW', event: 'POST_SIGNALED', to: 'POSTED_SIGNALED', requirement: 'QP-15' },
    { from: 'NEW', event: 'POST_UNSIGNALED', to: 'POSTED_UNSIGNALED', requirement: 'QP-15' },
    ...['SIGNALED', 'UNSIGNALED'].flatMap((kind): readonly TransitionDefinition[] => [
      { from: `POSTED_${kind}`, event: 'START', to: `STARTED_${kind}`, requirement: 'QP-22', internal: true },
      { from: `POSTED_${kind}`, event: 'CHAIN_RETURNED', to: `RETURNED_${kind}`, requirement: 'DATA-28' },
      { from: `STARTED_${kind}`, event: 'CHAIN_RETURNED', to: `RETURNED_${kind}`, requirement: 'DATA-28' },
      ...endings(`POSTED_${kind}`, false),
      ...endings(`STARTED_${kind}`, true),
      ...endings(`RETURNED_${kind}`, true),
    ]),
    { from: 'STARTED_SIGNALED', event: 'COMPLETE_SUCCESS', to: 'COMPLETED_SUCCESS', requirement: 'CQ-01' },
    { from: 'RETURNED_SIGNALED', event: 'COMPLETE_SUCCESS', to: 'COMPLETED_SUCCESS', requirement: 'CQ-01' },
    ...after,
    ...lost,
  ],
  forbidden: [
    ...once,
    ...chainFirst,
    { from: 'RETURNED_SIGNALED', event: 'CHAIN_RETURNED', requirement: 'VQ-35' },
    { from: 'RETURNED_UNSIGNALED', event: 'CHAIN_RETURNED', requirement: 'VQ-35' },
    ...['POSTED', 'STARTED', 'RETURNED'].map(stage => ({
      from: `${stage}_UNSIGNALED`,
      event: 'COMPLETE_SUCCESS',
      requirement: 'CQ-02',
    })),
  ],
  endRequirement: 'CQ-01',
};

export const recvRequestMachine: MachineDefinition = {
  name: 'RECV_WR',
  purpose:
    'A receive work request is filled by one message and gets exactly one completion. Its descriptor chain comes back before its completion, and a discarded request gives no completion.',
  instance: 'one posted receive',
  initial: 'NEW',
  states: [
    { name: 'NEW', doc: 'Not posted yet', end: true },
    { name: 'POSTED', doc: 'Waits for a message', end: true },
    { name: 'STARTED', doc: 'A message is arriving in it', end: true },
    { name: 'RETURNED', doc: 'Its chain is back; its completion must follow' },
    ...doneStates,
  ],
  events: [
    { name: 'POST', doc: 'Posted' },
    ...doneEvents,
    { name: 'START', doc: 'Unseen: a message has begun to fill it' },
    { name: 'REWIND', doc: 'Unseen: the message was dropped; the receive waits for the next' },
  ],
  transitions: [
    { from: 'NEW', event: 'POST', to: 'POSTED', requirement: 'QP-16' },
    { from: 'POSTED', event: 'START', to: 'STARTED', requirement: 'QP-21', internal: true },
    { from: 'STARTED', event: 'REWIND', to: 'POSTED', requirement: 'DATA-57', internal: true },
    { from: 'POSTED', event: 'CHAIN_RETURNED', to: 'RETURNED', requirement: 'DATA-28' },
    { from: 'STARTED', event: 'CHAIN_RETURNED', to: 'RETURNED', requirement: 'DATA-28' },
    ...endings('POSTED', false),
    ...endings('STARTED', true),
    ...endings('RETURNED', true),
    { from: 'STARTED', event: 'COMPLETE_SUCCESS', to: 'COMPLETED_SUCCESS', requirement: 'CQ-01' },
    { from: 'RETURNED', event: 'COMPLETE_SUCCESS', to: 'COMPLETED_SUCCESS', requirement: 'CQ-01' },
    ...after,
    ...lost,
  ],
  forbidden: [...once, ...chainFirst, { from: 'RETURNED', event: 'CHAIN_RETURNED', requirement: 'VQ-35' }],
  endRequirement: 'CQ-01',
};
