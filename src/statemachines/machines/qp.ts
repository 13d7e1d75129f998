/** The queue pair, one machine for each service. GSI is UD. */
import { QpAttrMask } from '../../abi/index.js';
import type {
  EventDefinition,
  MachineDefinition,
  Prohibition,
  StateDefinition,
  TransitionDefinition,
} from '../definition.js';
import { qpAttrBits, qpTransitionRows } from '../qp-table.js';
import type { QpService, QpStateName, QpTransitionRow } from '../qp-table.js';

/**
 * The state of the specification that each state of these machines belongs to. SQD is split by the drain, ERR and SQE by
 * the completion with an error status that may still be on its way.
 */
export const qpStateOf: Readonly<Record<string, QpStateName | undefined>> = {
  RESET: 'RESET',
  INIT: 'INIT',
  RTR: 'RTR',
  RTS: 'RTS',
  SQD_DRAINING: 'SQD',
  SQD_DRAINED: 'SQD',
  SQE: 'SQE',
  SQE_FAULT: 'SQE',
  ERR: 'ERR',
  ERR_SEND_FAULT: 'ERR',
  ERR_RECV_FAULT: 'ERR',
};

const states: readonly StateDefinition[] = [
  { name: 'RESET', doc: 'Created or reset; nothing may be posted', end: true },
  { name: 'INIT', doc: 'Receives may be posted; none is used', end: true },
  { name: 'RTR', doc: 'Ready to receive', end: true },
  { name: 'RTS', doc: 'Ready to send', end: true },
  { name: 'SQD_DRAINING', doc: 'SQD; a send that was started is not finished', end: true },
  { name: 'SQD_DRAINED', doc: 'SQD; every started send is finished', end: true },
  { name: 'SQE', doc: 'Send queue error; receiving goes on', end: true },
  { name: 'SQE_FAULT', doc: 'SQE by a failed send whose completion is still to come', shadeOf: 'SQE' },
  { name: 'ERR', doc: 'Error; all work is flushed', end: true },
  { name: 'ERR_SEND_FAULT', doc: 'ERR by a failed send whose completion is still to come', shadeOf: 'ERR' },
  {
    name: 'ERR_RECV_FAULT',
    doc: 'ERR by a failed receive whose completion is still to come',
    shadeOf: 'ERR',
  },
  { name: 'DESTROYED', doc: 'Gone; the number may be used again', end: true },
];

const maskArgument = 'attr_mask, with STATE';
const events: readonly EventDefinition[] = [
  { name: 'MODIFY_TO_RESET', doc: 'MODIFY_QP to RESET took effect', argument: maskArgument },
  { name: 'MODIFY_TO_INIT', doc: 'MODIFY_QP to INIT took effect', argument: maskArgument },
  { name: 'MODIFY_TO_RTR', doc: 'MODIFY_QP to RTR took effect', argument: maskArgument },
  { name: 'MODIFY_TO_RTS', doc: 'MODIFY_QP to RTS took effect', argument: maskArgument },
  { name: 'MODIFY_TO_SQD', doc: 'MODIFY_QP to SQD took effect', argument: maskArgument },
  {
    name: 'MODIFY_TO_SQE',
    doc: 'MODIFY_QP to SQE took effect, which no state allows',
    argument: maskArgument,
  },
  { name: 'MODIFY_TO_ERR', doc: 'MODIFY_QP to ERR took effect', argument: maskArgument },
  {
    name: 'MODIFY_ATTRIBUTES',
    doc: 'MODIFY_QP without STATE took effect',
    argument: 'attr_mask, without STATE',
  },
  { name: 'DESTROY', doc: 'DESTROY_QP took effect' },
  { name: 'POST_SEND', doc: 'A send was accepted' },
  { name: 'POST_SEND_REFUSED_STATE', doc: 'A send was refused for the state' },
  { name: 'POST_RECV', doc: 'A receive was accepted' },
  { name: 'POST_RECV_REFUSED_STATE', doc: 'A receive was refused for the state' },
  {
    name: 'COMPLETION_SUCCESS_SEND',
    doc: 'A send completion with SUCCESS was added to its completion queue',
  },
  { name: 'COMPLETION_ERROR_SEND', doc: 'A send completion with an error status, not a flush, was added' },
  { name: 'COMPLETION_FLUSH_SEND', doc: 'A send completion with WR_FLUSH_ERR was added' },
  { name: 'COMPLETION_SUCCESS_RECV', doc: 'A receive completion with SUCCESS was added' },
  { name: 'COMPLETION_ERROR_RECV', doc: 'A receive completion with an error status, not a flush, was added' },
  { name: 'COMPLETION_FLUSH_RECV', doc: 'A receive completion with WR_FLUSH_ERR was added' },
  { name: 'CQ_OVERRUN', doc: 'A completion queue of the queue pair overran' },
  { name: 'OBSERVED_RESET', doc: 'QUERY_QP showed RESET, or an accepted MODIFY_QP claimed it' },
  { name: 'OBSERVED_INIT', doc: 'The same for INIT' },
  { name: 'OBSERVED_RTR', doc: 'The same for RTR' },
  { name: 'OBSERVED_RTS', doc: 'The same for RTS' },
  { name: 'OBSERVED_SQD', doc: 'The same for SQD, drained or not' },
  { name: 'OBSERVED_SQD_DRAINING', doc: 'QUERY_QP showed SQD with sq_draining 1' },
  { name: 'OBSERVED_SQD_DRAINED', doc: 'QUERY_QP showed SQD with sq_draining 0' },
  { name: 'OBSERVED_SQE', doc: 'QUERY_QP showed SQE, or an accepted MODIFY_QP claimed it' },
  { name: 'OBSERVED_ERR', doc: 'QUERY_QP showed ERR' },
  { name: 'HCA_DRAINED', doc: 'Unseen: the last started send is finished' },
  { name: 'HCA_FAULT', doc: 'Unseen: a fault that gives no completion of its own' },
  { name: 'HCA_FAULT_SEND', doc: 'Unseen: a send failed' },
  { name: 'HCA_FAULT_RECV', doc: 'Unseen: a receive failed' },
];

const sqd = ['SQD_DRAINING', 'SQD_DRAINED'];
const err = ['ERR', 'ERR_SEND_FAULT', 'ERR_RECV_FAULT'];
const receiving = ['RTR', 'RTS', ...sqd];

type Rules = readonly TransitionDefinition[];
const stay = (from: readonly string[], event: string, requirement: string): Rules =>
  from.map(state => ({ from: state, event, to: state, requirement }));
const lead = (from: readonly string[], event: string, to: string, requirement: string): Rules =>
  from.map(state => ({ from: state, event, to, requirement }));
const unseen = (from: readonly string[], event: string, to: string, requirement: string): Rules =>
  from.map(state => ({ from: state, event, to, requirement, internal: true }));

/** The states of the machine that belong to a state of the specification and exist for the service. */
function split(state: QpStateName, service: QpService): string[] {
  const existing = Object.keys(qpStateOf).filter(name => qpStateOf[name] === state);
  return service === 'RC' ? existing.filter(name => !name.startsWith('SQE')) : existing;
}

function modifyRules(row: QpTransitionRow): Rules {
  const required = qpAttrBits(row.required);
  const optional = qpAttrBits(row.optional);
  return split(row.from, row.type).flatMap(from => {
    const drainRefuses = from === 'SQD_DRAINING' && row.to !== 'ERR' && row.to !== 'RESET';
    const moving: TransitionDefinition = {
      from,
      event: `MODIFY_TO_${row.to}`,
      to: targetOf(from, row),
      requirement: moveRequirement(row),
      guard: { kind: 'mask', required: required | QpAttrMask.STATE, optional },
    };
    const staying: TransitionDefinition = {
      from,
      event: 'MODIFY_ATTRIBUTES',
      to: from,
      requirement: 'QP-28',
      guard: { kind: 'mask', required, optional },
    };
    return [...(drainRefuses ? [] : [moving]), ...(row.from === row.to ? [staying] : [])];
  });
}

function targetOf(from: string, row: QpTransitionRow): string {
  if (row.from === row.to) return from;
  return row.to === 'SQD' ? 'SQD_DRAINING' : row.to;
}

function moveRequirement(row: QpTransitionRow): string {
  if (row.to === 'RESET') return 'QP-44';
  if (row.from === 'SQD' && row.to === 'RTS') return 'QP-58';
  if (row.from === 'SQE' && row.to === 'RTS') return 'QP-62';
  return row.required.length > 0 ? 'QP-25' : 'QP-32';
}

/** What is seen of posted work, the same for every service. */
function workRules(all: readonly string[], sqe: readonly string[]): Rules {
  const settled = sqe.filter(state => state !== 'SQE_FAULT');
  const posting = ['RTS', ...sqd, ...sqe, ...err];
  return [
    ...stay(posting, 'POST_SEND', 'QP-15'),
    // The driver goes by what it has learnt: in ERR it may still believe in RTR.
    ...stay(['RESET', 'INIT', 'RTR', ...err], 'POST_SEND_REFUSED_STATE', 'QP-13'),
    ...stay(
      all.filter(state => state !== 'RESET'),
      'POST_RECV',
      'QP-16',
    ),
    ...stay(['RESET'], 'POST_RECV_REFUSED_STATE', 'QP-14'),
    ...stay(['RTS', 'SQD_DRAINING'], 'COMPLETION_SUCCESS_SEND', 'QP-54'),
    ...stay([...receiving, ...sqe], 'COMPLETION_SUCCESS_RECV', 'QP-21'),
    ...stay(['ERR', 'ERR_RECV_FAULT'], 'COMPLETION_FLUSH_SEND', 'QP-48'),
    ...stay(['ERR', 'ERR_SEND_FAULT'], 'COMPLETION_FLUSH_RECV', 'QP-48'),
    ...lead(['ERR_SEND_FAULT'], 'COMPLETION_ERROR_SEND', 'ERR', 'QP-47'),
    ...lead([...receiving, ...settled, 'ERR_RECV_FAULT'], 'COMPLETION_ERROR_RECV', 'ERR', 'QP-47'),
    ...lead(['INIT', ...receiving, ...settled], 'CQ_OVERRUN', 'ERR', 'QP-52'),
    ...stay(['RESET', ...err], 'CQ_OVERRUN', 'QP-52'),
    ...lead(all, 'DESTROY', 'DESTROYED', 'QP-10'),
    ...unseen(['SQD_DRAINING'], 'HCA_DRAINED', 'SQD_DRAINED', 'QP-56'),
    ...unseen([...receiving, ...settled], 'HCA_FAULT_RECV', 'ERR_RECV_FAULT', 'QP-47'),
  ];
}

function observationRules(all: readonly string[]): Rules {
  return all.flatMap(state => {
    const rules = stay([state], `OBSERVED_${qpStateOf[state]}`, 'QP-23');
    return sqd.includes(state) ? [...rules, ...stay([state], `OBSERVED_${state}`, 'QP-56')] : rules;
  });
}

/** Faults of a connected, reliable queue pair: every one ends in ERR. */
const reliableFaults: Rules = [
  ...lead(['RTS', 'SQD_DRAINING'], 'COMPLETION_ERROR_SEND', 'ERR', 'QP-45'),
  ...unseen(receiving, 'HCA_FAULT', 'ERR', 'QP-53'),
  ...unseen(['RTS', 'SQD_DRAINING'], 'HCA_FAULT_SEND', 'ERR_SEND_FAULT', 'QP-45'),
];

/** Faults of UC and UD: a failed send stops the send queue only. */
const unreliableFaults: Rules = [
  ...lead(['RTS', 'SQD_DRAINING'], 'COMPLETION_ERROR_SEND', 'SQE', 'QP-59'),
  ...lead(['SQE_FAULT'], 'COMPLETION_ERROR_SEND', 'SQE', 'QP-59'),
  ...stay(['SQE'], 'COMPLETION_FLUSH_SEND', 'QP-60'),
  ...lead(['SQE_FAULT'], 'COMPLETION_ERROR_RECV', 'ERR_SEND_FAULT', 'QP-46'),
  ...lead(['SQE_FAULT'], 'CQ_OVERRUN', 'ERR_SEND_FAULT', 'QP-52'),
  ...unseen(['RTS', 'SQD_DRAINING'], 'HCA_FAULT_SEND', 'SQE_FAULT', 'QP-59'),
];

const prohibitions: readonly Prohibition[] = [
  { from: 'INIT', event: 'COMPLETION_SUCCESS_RECV', requirement: 'QP-19' },
  { from: 'SQD_DRAINED', event: 'COMPLETION_SUCCESS_SEND', requirement: 'QP-55' },
  { from: 'ERR', event: 'COMPLETION_SUCCESS_SEND', requirement: 'QP-48' },
  { from: 'ERR', event: 'COMPLETION_SUCCESS_RECV', requirement: 'QP-48' },
  { from: 'ERR', event: 'COMPLETION_ERROR_SEND', requirement: 'QP-50' },
  { from: 'ERR', event: 'COMPLETION_ERROR_RECV', requirement: 'QP-50' },
  { from: 'RESET', event: 'COMPLETION_FLUSH_SEND', requirement: 'QP-41' },
  { from: 'RESET', event: 'COMPLETION_FLUSH_RECV', requirement: 'QP-41' },
  { from: 'DESTROYED', event: 'COMPLETION_SUCCESS_SEND', requirement: 'QP-11' },
  { from: 'DESTROYED', event: 'COMPLETION_SUCCESS_RECV', requirement: 'QP-11' },
  { from: 'DESTROYED', event: 'COMPLETION_FLUSH_SEND', requirement: 'QP-11' },
  { from: 'DESTROYED', event: 'COMPLETION_FLUSH_RECV', requirement: 'QP-11' },
];

const targets: readonly QpStateName[] = ['RESET', 'INIT', 'RTR', 'RTS', 'SQD', 'SQE', 'ERR'];

/** The pairs of states that the table does not have for the service; while the queue pair drains, that is what refuses. */
function refusedMoves(service: QpService, all: readonly string[]): readonly Prohibition[] {
  const rows = qpTransitionRows.filter(row => row.type === service);
  return all.flatMap(from =>
    targets.flatMap((to): Prohibition[] => {
      const event = `MODIFY_TO_${to}`;
      if (from === 'SQD_DRAINING' && to !== 'ERR' && to !== 'RESET')
        return [{ from, event, requirement: 'QP-57' }];
      const inTable = rows.some(row => row.from === qpStateOf[from] && row.to === to);
      return inTable ? [] : [{ from, event, requirement: 'QP-24' }];
    }),
  );
}

const purposes: Readonly<Record<QpService, string>> = {
  RC: 'The life of a reliable connected queue pair, with the attribute masks of MODIFY_QP as guards. Every fault of either queue ends in ERR, which the driver may learn only later.',
  UC: 'The life of an unreliable connected queue pair, with the attribute masks of MODIFY_QP as guards. A failed send stops the send queue (SQE), a failed receive stops both (ERR).',
  UD: 'The life of a datagram queue pair (UD, and GSI with number 1), with the attribute masks of MODIFY_QP as guards. A failed send stops the send queue (SQE), a failed receive stops both (ERR).',
};

/** The machine of one service. */
export function qpMachine(service: QpService): MachineDefinition {
  const own = service === 'RC' ? states.filter(state => !state.name.startsWith('SQE')) : states;
  const all = own.map(state => state.name).filter(name => name !== 'DESTROYED');
  const sqe = all.filter(name => name.startsWith('SQE'));
  return {
    name: `QP.${service}`,
    purpose: purposes[service],
    instance: 'one queue pair, from CREATE_QP to DESTROY_QP',
    initial: 'RESET',
    states: own,
    events: service === 'RC' ? events.filter(event => event.name !== 'OBSERVED_SQE') : events,
    transitions: [
      ...qpTransitionRows.filter(row => row.type === service).flatMap(modifyRules),
      ...workRules(all, sqe),
      ...(service === 'RC' ? reliableFaults : unreliableFaults),
      ...observationRules(all),
    ],
    forbidden: [...refusedMoves(service, all), ...prohibitions],
    endRequirement: 'QP-47',
  };
}

export const qpMachines: readonly MachineDefinition[] = [qpMachine('RC'), qpMachine('UC'), qpMachine('UD')];
