/** What several faults of networks and adapters need. */
import { PacketOperation, operationOf } from '../../../fabric/index.js';
import type { Packet } from '../../../fabric/index.js';
import { mutant } from '../mutant.js';
import type { Mutant, MutantFacts } from '../mutant.js';
import { arrived } from '../seams/network.js';

export type Facts = Omit<MutantFacts, 'chapter'> & Partial<MutantFacts>;

/** Packets are changed as they arrive. */
export function arriving(
  name: string,
  facts: Facts,
  doc: string,
  make: () => (packet: Packet) => void,
): Mutant {
  return mutant('network', name, { chapter: 'data path', ...facts }, doc, arrived(make));
}

/** Takes a packet that has arrived for one to no queue pair. */
export function ignore(packet: Packet): void {
  packet.destQpn = 0;
}

export const isFirstOfWrite = (packet: Packet): boolean => {
  const operation = operationOf(packet.opcode);
  return (
    operation === PacketOperation.WRITE_FIRST ||
    operation === PacketOperation.WRITE_ONLY ||
    operation === PacketOperation.WRITE_ONLY_IMM
  );
};

export const isRead = ({ opcode }: Packet): boolean => operationOf(opcode) === PacketOperation.READ_REQUEST;
