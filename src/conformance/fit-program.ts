/** What of a program can be run when the device is outside: its machines share one host, and nobody meddles with its packets. */
import type { OutsideDevice } from './outside.js';
import type { Program } from './program.js';

/** The program as it can be run, or why it cannot. */
export function fitProgram(program: Program, device: OutsideDevice | undefined): Program | string {
  if (device === undefined) return program;
  const { hosts, faults } = program;
  if (hosts.length > device.machinesMax)
    return `it needs ${hosts.length} machines, and the device takes ${device.machinesMax}`;
  const lossy = faults.drop > 0 || faults.duplicate > 0 || faults.reorder > 0;
  if (lossy && program.mode === 'settled') return 'it needs the network of the kit, to lose packets on it';
  return { ...program, hosts: hosts.map(() => 0), faults: { drop: 0, duplicate: 0, reorder: 0 } };
}
