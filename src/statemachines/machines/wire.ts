/**
 * What a connection looks like to somebody in the middle of the wire, who sees every frame where it leaves and never knows which of them
 * arrives. The numbers are compared by who reports the events; the machines hold the order.
 */
import type {
  EventDefinition,
  MachineDefinition,
  Prohibition,
  StateDefinition,
  TransitionDefinition,
} from '../definition.js';

type Rules = readonly TransitionDefinition[];

const partEvents: readonly EventDefinition[] = ['SEND', 'WRITE'].flatMap(kind => [
  { name: `${kind}_FIRST`, doc: `A new first packet of a ${kind}` },
  { name: `${kind}_MIDDLE`, doc: `A new middle packet of a ${kind}` },
  { name: `${kind}_LAST`, doc: `A new last packet of a ${kind}` },
  { name: `${kind}_ONLY`, doc: `A new ${kind} of one packet` },
]);

const joinEvents: readonly EventDefinition[] = [
  { name: 'JOIN_SEND', doc: 'The first packet that was seen at all lies within a SEND' },
  { name: 'JOIN_WRITE', doc: 'The first packet that was seen at all lies within a WRITE' },
];

/** What no state allows. */
const faultEvents: readonly (EventDefinition & { readonly requirement: string })[] = [
  { name: 'GAP', doc: 'A packet whose number skips others', requirement: 'DATA-74' },
  {
    name: 'WRONG_SIZE',
    doc: 'A payload that does not fit the path MTU and the part',
    requirement: 'DATA-73',
  },
  { name: 'WRONG_LENGTH', doc: 'The length in the RETH is not that of the message', requirement: 'DATA-92' },
];

const eventOnly = ({ name, doc }: EventDefinition): EventDefinition => ({ name, doc });

function never(
  states: readonly string[],
  faults: readonly { name: string; requirement: string }[],
): Prohibition[] {
  return faults.flatMap(({ name, requirement }) => states.map(from => ({ from, event: name, requirement })));
}

/** The packets of a message one behind the other, from the states of one row to those of another. */
function parts(from: readonly [string, string, string], to: readonly [string, string, string]): Rules {
  const [between, inSend, inWrite] = from;
  const rule = (state: string, event: string, target: string): TransitionDefinition => ({
    from: state,
    event,
    to: target,
    requirement: 'DATA-73',
  });
  return [
    rule(between, 'SEND_FIRST', to[1]),
    rule(between, 'SEND_ONLY', to[0]),
    rule(between, 'WRITE_FIRST', to[2]),
    rule(between, 'WRITE_ONLY', to[0]),
    rule(inSend, 'SEND_MIDDLE', to[1]),
    rule(inSend, 'SEND_LAST', to[0]),
    rule(inWrite, 'WRITE_MIDDLE', to[2]),
    rule(inWrite, 'WRITE_LAST', to[0]),
  ];
}

/** The parts that do not follow, where nothing else is said about them. */
function outOfTurn(
  rules: Rules,
  states: readonly string[],
  events: readonly EventDefinition[],
): Prohibition[] {
  return states.flatMap(from =>
    events
      .filter(({ name }) => !rules.some(rule => rule.from === from && rule.event === name))
      .map(({ name }) => ({ from, event: name, requirement: 'DATA-73' })),
  );
}

const FRESH = ['BETWEEN', 'IN_SEND', 'IN_WRITE'] as const;
const AGAIN = ['BETWEEN_AGAIN', 'IN_SEND_AGAIN', 'IN_WRITE_AGAIN'] as const;

const requestFaults = [
  ...faultEvents,
  {
    name: 'CHANGED',
    doc: 'A number that was sent before goes again with another packet',
    requirement: 'DATA-87',
  },
  {
    name: 'WRONG_READ_PART',
    doc: 'A READ that goes again names neither its beginning nor the place of a response',
    requirement: 'DATA-80',
  },
  {
    name: 'TOO_OFTEN',
    doc: 'A packet goes a ninth time without an answer, and no retry_cnt is above 7',
    requirement: 'DATA-81',
  },
];

const requestRules: Rules = [
  ...parts(FRESH, FRESH),
  ...parts(AGAIN, FRESH),
  { from: 'BETWEEN', event: 'JOIN_SEND', to: 'IN_SEND', requirement: 'DATA-73' },
  { from: 'BETWEEN', event: 'JOIN_WRITE', to: 'IN_WRITE', requirement: 'DATA-73' },
  ...['READ', 'ATOMIC'].flatMap(event =>
    ['BETWEEN', 'BETWEEN_AGAIN'].map(from => ({ from, event, to: 'BETWEEN', requirement: 'DATA-74' })),
  ),
  ...FRESH.map((from, i) => ({ from, event: 'GO_BACK', to: AGAIN[i], requirement: 'DATA-61' })),
  ...AGAIN.flatMap(from => [
    { from, event: 'GO_BACK', to: from, requirement: 'DATA-61' },
    { from, event: 'GO_ON', to: from, requirement: 'DATA-74' },
  ]),
];

const requestStates: readonly StateDefinition[] = [
  { name: 'BETWEEN', doc: 'The newest packet ended a message, or was a READ', end: true },
  { name: 'IN_SEND', doc: 'The newest packet was the first or a middle one of a SEND', end: true },
  { name: 'IN_WRITE', doc: 'The newest packet was the first or a middle one of a WRITE', end: true },
  { name: 'BETWEEN_AGAIN', doc: 'As BETWEEN; older packets are being repeated', end: true },
  { name: 'IN_SEND_AGAIN', doc: 'As IN_SEND; older packets are being repeated', end: true },
  { name: 'IN_WRITE_AGAIN', doc: 'As IN_WRITE; older packets are being repeated', end: true },
];

const newRequestEvents: readonly EventDefinition[] = [
  ...partEvents,
  { name: 'READ', doc: 'A new READ request' },
  { name: 'ATOMIC', doc: 'A new atomic request' },
];

export const wireRequestsMachine: MachineDefinition = {
  name: 'WIRE.REQUESTS',
  purpose:
    'The request packets of one direction of a reliable connection, as they leave: numbered one by one, cut at the path MTU, and repeated as they were. A requester that goes back repeats what follows too, but for what was acknowledged meanwhile.',
  instance: 'one direction of a connection',
  initial: 'BETWEEN',
  states: requestStates,
  events: [
    ...newRequestEvents,
    { name: 'GO_BACK', doc: 'A packet that was sent before, and before the latest one' },
    { name: 'GO_ON', doc: 'The packet behind the one that was repeated last, acknowledged ones left out' },
    ...joinEvents,
    ...requestFaults.map(eventOnly),
  ],
  transitions: requestRules,
  forbidden: [
    ...outOfTurn(requestRules, [...FRESH, ...AGAIN], newRequestEvents),
    ...never([...FRESH, ...AGAIN], requestFaults),
  ],
};

const ANSWERING = ['EXPECTING', 'GAP_TOLD', 'NOT_READY'];

const answerFaults = [
  {
    name: 'ACK_BACKWARD',
    doc: 'An acknowledgement of less than was acknowledged before',
    requirement: 'DATA-77',
  },
  { name: 'NAK_OF_DONE', doc: 'A NAK of a packet that was acknowledged before', requirement: 'DATA-60' },
  { name: 'UNSENT', doc: 'An answer to a number that no request has had', requirement: 'DATA-90' },
  { name: 'WRONG_KIND', doc: 'A response to what was no READ or no atomic', requirement: 'DATA-90' },
  {
    name: 'AHEAD_OF_READ',
    doc: 'An answer to a packet behind a READ whose responses are not all sent',
    requirement: 'DATA-88',
  },
  {
    name: 'NOT_READY_FOR_WRITE',
    doc: 'Receiver not ready for a packet that needs no receive',
    requirement: 'DATA-44',
  },
  { name: 'WRONG_COUNT', doc: 'A count of messages that cannot be', requirement: 'DATA-91' },
];

const answers = [
  'ACK_NEW',
  'ACK_AGAIN',
  'GAP_NAK',
  'RECEIVER_NOT_READY',
  'REFUSAL',
  'RESPONSE_NEW',
  'RESPONSE_AGAIN',
];

export const wireAnswersMachine: MachineDefinition = {
  name: 'WIRE.ANSWERS',
  purpose:
    'The answers to the requests of one direction of a reliable connection, as they leave. They never go back behind what was acknowledged, ask for a missing packet once, and end with a refusal.',
  instance: 'the answers to one direction of a connection',
  initial: 'EXPECTING',
  states: [
    { name: 'EXPECTING', doc: 'Nothing is known to be missing', end: true },
    {
      name: 'GAP_TOLD',
      doc: 'A sequence error was told; the packet that is missing has not been seen to arrive',
      end: true,
    },
    { name: 'NOT_READY', doc: 'Receiver not ready was told', end: true },
    { name: 'REFUSED', doc: 'A request was refused; the queue pair is in error', end: true },
  ],
  events: [
    { name: 'ACK_NEW', doc: 'An acknowledgement of more than before' },
    { name: 'ACK_AGAIN', doc: 'The newest acknowledgement once more' },
    { name: 'GAP_NAK', doc: 'A NAK of sequence error' },
    {
      name: 'GAP_NAK_AGAIN',
      doc: 'A NAK of sequence error for the same packet, which cannot have come meanwhile',
    },
    { name: 'RECEIVER_NOT_READY', doc: 'A receiver-not-ready NAK' },
    { name: 'REFUSAL', doc: 'A NAK of invalid request, remote access or remote operation' },
    { name: 'RESPONSE_NEW', doc: 'A response of a READ or atomic that acknowledges more than before' },
    { name: 'RESPONSE_AGAIN', doc: 'A response of a READ or atomic that came again' },
    ...answerFaults.map(eventOnly),
  ],
  transitions: [
    ...ANSWERING.flatMap((from): Rules => [
      { from, event: 'ACK_NEW', to: 'EXPECTING', requirement: 'DATA-59' },
      { from, event: 'ACK_AGAIN', to: from, requirement: 'DATA-77' },
      { from, event: 'GAP_NAK', to: 'GAP_TOLD', requirement: 'DATA-75' },
      { from, event: 'RECEIVER_NOT_READY', to: 'NOT_READY', requirement: 'DATA-70' },
      { from, event: 'REFUSAL', to: 'REFUSED', requirement: 'QP-53' },
      { from, event: 'RESPONSE_NEW', to: 'EXPECTING', requirement: 'DATA-79' },
      { from, event: 'RESPONSE_AGAIN', to: from, requirement: 'DATA-78' },
    ]),
    // Behind receiver not ready it is noise, which the lenient reading of DATA-76 allows.
    { from: 'NOT_READY', event: 'GAP_NAK_AGAIN', to: 'GAP_TOLD', requirement: 'DATA-76' },
  ],
  forbidden: [
    { from: 'GAP_TOLD', event: 'GAP_NAK_AGAIN', requirement: 'DATA-75' },
    ...answers.map(event => ({ from: 'REFUSED', event, requirement: 'QP-53' })),
    ...never([...ANSWERING, 'REFUSED'], answerFaults),
  ],
};

const readFaults = [
  {
    name: 'OUT_OF_PLACE',
    doc: 'A response that neither follows the one before nor begins where a READ asked',
    requirement: 'DATA-88',
  },
  {
    name: 'WRONG_SIZE',
    doc: 'A payload that does not fit the path MTU and the part',
    requirement: 'DATA-73',
  },
];

export const wireReadsMachine: MachineDefinition = {
  name: 'WIRE.READS',
  purpose:
    'The responses of READs, as they leave: each answer begins where the READ asked and goes on without a gap. A READ that comes again is answered anew from the place that it asks for.',
  instance: 'the READ responses of one direction of a connection',
  initial: 'IDLE',
  states: [
    { name: 'IDLE', doc: 'The latest response was the last of its READ', end: true },
    { name: 'RESPONDING', doc: 'More responses of a READ are to come', end: true },
  ],
  events: [
    { name: 'FIRST', doc: 'The first of several responses, where a READ asked' },
    { name: 'MIDDLE', doc: 'The next response, not the last' },
    { name: 'LAST', doc: 'The last response' },
    { name: 'ONLY', doc: 'The single response, where a READ asked' },
    { name: 'MIDDLE_AGAIN', doc: 'An answer to a repeated READ begins with a middle packet' },
    { name: 'LAST_AGAIN', doc: 'An answer to a repeated READ is a last packet alone' },
    ...readFaults.map(eventOnly),
  ],
  transitions: ['IDLE', 'RESPONDING'].flatMap((from): Rules => [
    { from, event: 'FIRST', to: 'RESPONDING', requirement: 'DATA-73' },
    { from, event: 'ONLY', to: 'IDLE', requirement: 'DATA-73' },
    ...(from === 'IDLE'
      ? []
      : [
          { from, event: 'MIDDLE', to: 'RESPONDING', requirement: 'DATA-73' },
          { from, event: 'LAST', to: 'IDLE', requirement: 'DATA-73' },
        ]),
    // The lenient reading of DATA-89.
    { from, event: 'MIDDLE_AGAIN', to: 'RESPONDING', requirement: 'DATA-89' },
    { from, event: 'LAST_AGAIN', to: 'IDLE', requirement: 'DATA-89' },
  ]),
  forbidden: [
    { from: 'IDLE', event: 'MIDDLE', requirement: 'DATA-88' },
    { from: 'IDLE', event: 'LAST', requirement: 'DATA-88' },
    ...never(['IDLE', 'RESPONDING'], readFaults),
  ],
};

const unreliableFaults = [
  ...faultEvents,
  { name: 'AGAIN', doc: 'A number that was sent before', requirement: 'DATA-74' },
];

/** A message that failed half way is left, and the queue pair sends again once it is back in RTS. */
const abandoned: Rules = ['IN_SEND', 'IN_WRITE'].flatMap(from =>
  (
    [
      ['SEND_FIRST', 'IN_SEND'],
      ['SEND_ONLY', 'BETWEEN'],
      ['WRITE_FIRST', 'IN_WRITE'],
      ['WRITE_ONLY', 'BETWEEN'],
    ] as const
  ).map(([event, to]) => ({ from, event, to, requirement: 'QP-59' })),
);

const ucRules: Rules = [
  ...parts(FRESH, FRESH),
  ...abandoned,
  { from: 'BETWEEN', event: 'JOIN_SEND', to: 'IN_SEND', requirement: 'DATA-73' },
  { from: 'BETWEEN', event: 'JOIN_WRITE', to: 'IN_WRITE', requirement: 'DATA-73' },
];

export const wireUcMachine: MachineDefinition = {
  name: 'WIRE.UC',
  purpose:
    'The packets of one direction of an unreliable connection, as they leave: numbered one by one, cut at the path MTU, never repeated. A message may be left unfinished, when the queue pair stops in the middle of it.',
  instance: 'one direction of a connection',
  initial: 'BETWEEN',
  states: requestStates.slice(0, FRESH.length),
  events: [...partEvents, ...joinEvents, ...unreliableFaults.map(eventOnly)],
  transitions: ucRules,
  forbidden: [...outOfTurn(ucRules, FRESH, partEvents), ...never(FRESH, unreliableFaults)],
};

const datagramFaults = unreliableFaults.filter(({ name }) => name !== 'WRONG_LENGTH');

export const wireUdMachine: MachineDefinition = {
  name: 'WIRE.UD',
  purpose:
    'The datagrams of one queue pair, as they leave: each is one packet, and their numbers go up. Those that take another way are not seen, so a number may be skipped where not everything is seen.',
  instance: 'one sending queue pair and address',
  initial: 'SENDING',
  states: [{ name: 'SENDING', doc: 'Datagrams leave', end: true }],
  events: [
    { name: 'NEXT', doc: 'The next number' },
    { name: 'SKIP', doc: 'A later number, where not everything is seen' },
    ...datagramFaults.map(eventOnly),
  ],
  transitions: ['NEXT', 'SKIP'].map(event => ({
    from: 'SENDING',
    event,
    to: 'SENDING',
    requirement: 'DATA-74',
  })),
  forbidden: never(['SENDING'], datagramFaults),
};
