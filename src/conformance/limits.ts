/**
 * The limits that the judged machines run under: small, so that programs reach them. Scenario files and benchmarks may ask
 * for more.
 */
import type { DeviceAttributes, PortAttributes } from '../verbs/index.js';

export interface DeviceLimits {
  /** Queue pair numbers 0 .. maxQps-1. */
  readonly maxQps: number;
  /** Completion queue numbers 0 .. maxCqs-1. */
  readonly maxCqs: number;
  /** Largest size of any virtqueue; a power of two. */
  readonly queueSizeMax: number;
}

export interface Limits {
  readonly attributes: DeviceAttributes;
  readonly port: PortAttributes;
  readonly device: DeviceLimits;
}

const MAX_QP = 16;
const MAX_CQ = 8;
const QUEUE_SIZE = 64;

export const smallLimits: Limits = {
  attributes: {
    maxMrSizeBytes: 64 * 1024 * 1024,
    pageSizeCap: 4096,
    maxQp: MAX_QP,
    maxQpWr: QUEUE_SIZE,
    maxSendSge: 8,
    maxRecvSge: 8,
    maxSgeRd: 8,
    maxCq: MAX_CQ,
    maxCqe: QUEUE_SIZE,
    maxMr: 16,
    maxPd: 8,
    maxAh: 8,
    maxQpRdAtom: 8,
    maxQpInitRdAtom: 8,
  },
  port: { gidTableLength: 8, maxMsgSizeBytes: 64 * 1024, activeMtu: 3 },
  device: { maxQps: MAX_QP, maxCqs: MAX_CQ, queueSizeMax: QUEUE_SIZE },
};

/** Deeper queues and longer messages, for traffic patterns of real tools. */
export const wideLimits: Limits = {
  attributes: {
    ...smallLimits.attributes,
    maxQpWr: 1024,
    maxCqe: 1024,
    maxMr: 64,
    maxSendSge: 16,
    maxRecvSge: 16,
  },
  port: { gidTableLength: 16, maxMsgSizeBytes: 16 * 1024 * 1024, activeMtu: 5 },
  device: { maxQps: MAX_QP, maxCqs: MAX_CQ, queueSizeMax: 1024 },
};

/** What the machines of a program offer where nothing else is asked for. A device outside has limits of its own. */
export function limitsOf(
  program: { readonly wide?: true | undefined },
  outside?: { readonly limits: Limits },
): Limits {
  return outside?.limits ?? (program.wide === true ? wideLimits : smallLimits);
}
