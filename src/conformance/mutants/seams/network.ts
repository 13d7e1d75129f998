/** The seams below a sound device: another adapter, and a network that changes what it carries. */
import { PacketOperation, operationOf } from '../../../fabric/index.js';
import type { Packet } from '../../../fabric/index.js';
import type { HcaFunction } from '../../../reference/index.js';
import type { Implementation } from '../../implementation.js';
import { overlay } from './overlay.js';

/** Another adapter than the reference one. */
export function adapter(change: (inner: HcaFunction, vm: number) => Partial<HcaFunction>): Implementation {
  return { adapter: (inner, vm) => overlay(inner, change(inner, vm)) };
}

/** Meddles with packets as they leave. */
export function sent(make: () => (packet: Packet) => void): Implementation {
  return {
    network(fabric) {
      fabric.observe({ sent: make(), delivered: () => undefined, dropped: () => undefined });
    },
  };
}

/** Meddles with packets as they arrive. */
export function arrived(make: () => (packet: Packet) => void): Implementation {
  return {
    network(fabric) {
      fabric.observe({ sent: () => undefined, delivered: make(), dropped: () => undefined });
    },
  };
}

/** Nobody has it: a packet for it is lost. */
export const NOBODY = 'fe80000000000000ffffffffffffffff';

export function isAnswer({ opcode }: Packet): boolean {
  return operationOf(opcode) === PacketOperation.ACKNOWLEDGE;
}
/** Receiver not ready. */
export function isRnr(packet: Packet): boolean {
  return isAnswer(packet) && packet.syndrome >>> 5 === 1;
}
export function isNak(packet: Packet): boolean {
  return isAnswer(packet) && packet.syndrome >>> 5 === 3;
}
export function isDatagram({ opcode }: Packet): boolean {
  return opcode >= 0x60;
}
export function isReliable({ opcode }: Packet): boolean {
  return opcode < 0x20;
}
/** A packet of a request: no response and no acknowledgement. */
export function isRequest({ opcode }: Packet): boolean {
  return operationOf(opcode) <= PacketOperation.READ_REQUEST;
}
export function isReadResponse({ opcode }: Packet): boolean {
  const operation = operationOf(opcode);
  return operation >= PacketOperation.READ_RESPONSE_FIRST && operation <= PacketOperation.READ_RESPONSE_ONLY;
}
