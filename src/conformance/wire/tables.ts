/** The machines of the wire with the numbers of their events, and what a judge tells them and others. */
import { PacketOperation as Op, operationOf } from '../../fabric/index.js';
import type { Packet } from '../../fabric/index.js';
import type { Monitor } from '../../statemachines/index.js';
import { psnDistance } from './numbers.js';

/** The machines by name; a judge opens instances in them. */
export type MonitorOf = (machine: string) => Monitor;

export const WIRE_MACHINES = ['WIRE.REQUESTS', 'WIRE.ANSWERS', 'WIRE.READS', 'WIRE.UC', 'WIRE.UD'] as const;

/** Where a judge's observations go: events to machines, and what a lenient reading allows to the notes. */
export interface WireSink {
  /** `detail` says with which numbers; it is made only when the event breaks something. */
  event(machine: Monitor, key: number, event: number, detail?: () => string): void;
  /** Allowed by a lenient reading only. */
  lenient(requirement: string, detail: string): void;
  /** A packet of which something could not be judged. */
  unjudged(reason: string): void;
}

/** FIRST, MIDDLE, LAST, ONLY of SEND and WRITE, by operation; what invalidates counts with the SENDs. */
const parts = new Map<number, string>([
  [Op.SEND_FIRST, 'SEND_FIRST'],
  [Op.SEND_MIDDLE, 'SEND_MIDDLE'],
  [Op.SEND_LAST, 'SEND_LAST'],
  [Op.SEND_LAST_IMM, 'SEND_LAST'],
  [Op.SEND_LAST_INVALIDATE, 'SEND_LAST'],
  [Op.SEND_ONLY, 'SEND_ONLY'],
  [Op.SEND_ONLY_IMM, 'SEND_ONLY'],
  [Op.SEND_ONLY_INVALIDATE, 'SEND_ONLY'],
  [Op.WRITE_FIRST, 'WRITE_FIRST'],
  [Op.WRITE_MIDDLE, 'WRITE_MIDDLE'],
  [Op.WRITE_LAST, 'WRITE_LAST'],
  [Op.WRITE_LAST_IMM, 'WRITE_LAST'],
  [Op.WRITE_ONLY, 'WRITE_ONLY'],
  [Op.WRITE_ONLY_IMM, 'WRITE_ONLY'],
  [Op.READ_REQUEST, 'READ'],
  [Op.COMPARE_SWAP, 'ATOMIC'],
  [Op.FETCH_ADD, 'ATOMIC'],
]);

/** The event of a new request packet; undefined for answers. */
export function partOf(packet: Packet): string | undefined {
  return parts.get(operationOf(packet.opcode));
}

export function isAnswer(packet: Packet): boolean {
  const operation = operationOf(packet.opcode);
  return operation >= Op.READ_RESPONSE_FIRST && operation <= Op.ATOMIC_ACKNOWLEDGE;
}

export const endsMessage = (part: string): boolean => !part.endsWith('_FIRST') && !part.endsWith('_MIDDLE');
export const startsMessage = (part: string): boolean => !part.endsWith('_LAST') && !part.endsWith('_MIDDLE');

const NEW_CONNECTION_DISTANCE = 65_536;

/** A message that begins so far from the number expected is taken for the first of a new connection with the same numbers. */
export function beginsAnew(part: string, psn: number, expected: number): boolean {
  return startsMessage(part) && Math.abs(psnDistance(psn, expected)) > NEW_CONNECTION_DISTANCE;
}

/** Event numbers of a machine by name, looked up once. */
export function eventsOf(monitor: Monitor): (name: string) => number {
  const numbers = new Map(monitor.machine.eventNames.map((name, i) => [name, i]));
  return name => {
    const number = numbers.get(name);
    if (number === undefined) throw new Error(`${monitor.machine.definition.name} has no event ${name}`);
    return number;
  };
}
