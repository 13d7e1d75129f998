/** Every machine, in the order in which the documentation lists them. */
import type { MachineDefinition } from './definition.js';
import { completionQueueMachine } from './machines/completion-queue.js';
import { commandMachine } from './machines/control.js';
import { deviceStatusMachine, virtqueueMachine } from './machines/device.js';
import { qpMachines } from './machines/qp.js';
import {
  addressHandleMachine,
  completionQueueUseMachine,
  gidEntryMachine,
  memoryRegionMachine,
  protectionDomainMachine,
} from './machines/resources.js';
import { chainMachine, notifyDeviceMachine, notifyDriverMachine } from './machines/rings.js';
import {
  wireAnswersMachine,
  wireReadsMachine,
  wireRequestsMachine,
  wireUcMachine,
  wireUdMachine,
} from './machines/wire.js';
import { recvRequestMachine, sendRequestMachine } from './machines/work-requests.js';

export const machines: readonly MachineDefinition[] = [
  deviceStatusMachine,
  virtqueueMachine,
  chainMachine,
  notifyDeviceMachine,
  notifyDriverMachine,
  commandMachine,
  ...qpMachines,
  sendRequestMachine,
  recvRequestMachine,
  completionQueueMachine,
  completionQueueUseMachine,
  protectionDomainMachine,
  memoryRegionMachine,
  addressHandleMachine,
  gidEntryMachine,
  wireRequestsMachine,
  wireAnswersMachine,
  wireReadsMachine,
  wireUcMachine,
  wireUdMachine,
];

/** The machine of a name such as `QP.RC`. Throws when there is none. */
export function machineByName(name: string): MachineDefinition {
  const found = machines.find(machine => machine.name === name);
  if (found !== undefined) return found;
  throw new Error(
    `no machine is called ${name}; there are ${machines.map(machine => machine.name).join(', ')}`,
  );
}
