/** Machines with one rule changed, to test the test: a sound implementation must break them. */
import { QpAttrMask } from '../../../src/abi/index.js';
import { machineByName } from '../../../src/statemachines/index.js';
import type { MachineDefinition, TransitionDefinition } from '../../../src/statemachines/index.js';
import type { Fault } from './fault.js';

/** The machine with the transitions of an event from some states taken out, or changed. */
function changed(
  name: string,
  states: readonly string[],
  event: string,
  change?: Partial<TransitionDefinition>,
): MachineDefinition {
  const machine = machineByName(name);
  const hit = (each: TransitionDefinition): boolean => states.includes(each.from) && each.event === event;
  if (!machine.transitions.some(hit)) throw new Error(`${name} has no ${event} in ${states.join(', ')}`);
  return {
    ...machine,
    transitions: machine.transitions.flatMap(each =>
      hit(each) ? (change === undefined ? [] : [{ ...each, ...change }]) : [each],
    ),
  };
}

function fault(machine: MachineDefinition, name: string, description: string): Fault {
  return {
    name,
    where: 'machine',
    description,
    machines: [machine],
    expectedLaws: [`machine ${machine.name}`],
  };
}

const onlyState = { guard: { kind: 'mask', required: QpAttrMask.STATE, optional: 0 } } as const;

export const machineFaults: readonly Fault[] = [
  fault(
    changed('QP.RC', ['INIT'], 'MODIFY_TO_RTR', onlyState),
    'RTR without attributes',
    'QP.RC goes to RTR with the state alone, and with nothing else.',
  ),
  fault(
    changed('QP.UD', ['RTR'], 'MODIFY_TO_RTS', onlyState),
    'RTS without sq_psn',
    'QP.UD goes to RTS with the state alone, and with nothing else.',
  ),
  fault(changed('QP.UC', ['INIT'], 'POST_RECV'), 'no receive in INIT', 'QP.UC takes no receive in INIT.'),
  fault(
    changed('CHAIN', ['USED'], 'CONSUME', { to: 'USED' }),
    'chain never free',
    'CHAIN stays USED when the driver has taken the chain back.',
  ),
  fault(
    changed('SEND_WR', ['RETURNED_SIGNALED'], 'COMPLETE_SUCCESS'),
    'success without the chain',
    'SEND_WR knows no success once the chain is back.',
  ),
  fault(changed('CQ', ['DISARMED'], 'ADD'), 'queue full at once', 'CQ takes only solicited completions.'),
  fault(changed('PD', ['LIVE'], 'USER_CREATED'), 'domain without members', 'PD takes no member.'),
  fault(changed('MR', ['REGISTERED'], 'ACCESS'), 'region without access', 'MR allows no access.'),
  fault(
    changed('DEVICE_STATUS', ['FEATURES_OK'], 'ENABLE_QUEUE'),
    'no queues',
    'DEVICE_STATUS lets no queue be enabled.',
  ),
  fault(changed('VIRTQUEUE', ['LIVE'], 'TAKE'), 'queue without readers', 'VIRTQUEUE lets nothing be taken.'),
  fault(
    changed('NOTIFY_DEVICE', ['ASLEEP'], 'WRITE_NOTIFY'),
    'sleep without end',
    'NOTIFY_DEVICE knows no wake-up.',
  ),
];
