/** Machines with one rule changed: a sound implementation must break them. They test the judge from the other side. */
import { QpAttrMask } from '../../abi/index.js';
import { machineByName } from '../../statemachines/index.js';
import type { MachineDefinition, TransitionDefinition } from '../../statemachines/index.js';

export interface MachineMutant {
  readonly id: string;
  /** What is wrong, in a sentence. */
  readonly doc: string;
  readonly machine: MachineDefinition;
}

/** The machine with the transitions of an event from some states taken out, or changed. */
function changed(
  id: string,
  doc: string,
  [name, states, event]: readonly [machine: string, states: readonly string[], event: string],
  change?: Partial<TransitionDefinition>,
): MachineMutant {
  const sound = machineByName(name);
  const hit = (each: TransitionDefinition): boolean => states.includes(each.from) && each.event === event;
  if (!sound.transitions.some(hit)) throw new Error(`${name} has no ${event} in ${states.join(', ')}`);
  const transitions = sound.transitions.flatMap(each =>
    hit(each) ? (change === undefined ? [] : [{ ...each, ...change }]) : [each],
  );
  return { id: `machine/${id}`, doc, machine: { ...sound, transitions } };
}

const onlyState = { guard: { kind: 'mask', required: QpAttrMask.STATE, optional: 0 } } as const;

export const machineMutants: readonly MachineMutant[] = [
  changed(
    'rtr-without-attributes',
    'QP.RC goes to RTR with the state alone, and with nothing else.',
    ['QP.RC', ['INIT'], 'MODIFY_TO_RTR'],
    onlyState,
  ),
  changed(
    'rts-without-sq-psn',
    'QP.UD goes to RTS with the state alone, and with nothing else.',
    ['QP.UD', ['RTR'], 'MODIFY_TO_RTS'],
    onlyState,
  ),
  changed('no-receive-in-init', 'QP.UC takes no receive in INIT.', ['QP.UC', ['INIT'], 'POST_RECV']),
  changed(
    'chain-never-free',
    'CHAIN stays USED when the driver has taken the chain back.',
    ['CHAIN', ['USED'], 'CONSUME'],
    { to: 'USED' },
  ),
  changed('success-without-the-chain', 'SEND_WR knows no success once the chain is back.', [
    'SEND_WR',
    ['RETURNED_SIGNALED'],
    'COMPLETE_SUCCESS',
  ]),
  changed('queue-full-at-once', 'CQ takes only solicited completions.', ['CQ', ['DISARMED'], 'ADD']),
  changed('domain-without-members', 'PD takes no member.', ['PD', ['LIVE'], 'USER_CREATED']),
  changed('region-without-access', 'MR allows no access.', ['MR', ['REGISTERED'], 'ACCESS']),
  changed('no-queues', 'DEVICE_STATUS lets no queue be enabled.', [
    'DEVICE_STATUS',
    ['FEATURES_OK'],
    'ENABLE_QUEUE',
  ]),
  changed('queue-without-readers', 'VIRTQUEUE lets nothing be taken.', ['VIRTQUEUE', ['LIVE'], 'TAKE']),
  changed('sleep-without-end', 'NOTIFY_DEVICE knows no wake-up.', [
    'NOTIFY_DEVICE',
    ['ASLEEP'],
    'WRITE_NOTIFY',
  ]),
];
