/** Sets up every virtqueue that the driver uses, before DRIVER_OK, and says which one an interrupt came from. */
import { VerbsError } from '../verbs/index.js';
import { indirectAreaBytes, layOutRing, newDriverQueue, ringBytes } from '../virtio/index.js';
import type { DriverQueue } from '../virtio/index.js';
import type { QueueSizes, Session } from './session.js';

/** A command has at most four parts: header, data, ack, result. */
export const COMMAND_PARTS = 4;

const defaultSizes: QueueSizes = { control: 64, cq: 4096, sq: 1024, rq: 1024 };

export interface Queues {
  readonly control: DriverQueue;
  /** By completion queue number. */
  readonly cqs: readonly DriverQueue[];
  /** By queue pair number; pair 0 is set up like the others and never used. */
  readonly sqs: readonly DriverQueue[];
  readonly rqs: readonly DriverQueue[];
  /** The smallest of each kind. */
  readonly cqSize: number;
  readonly sqSize: number;
  readonly rqSize: number;
}

export function setUpQueues(session: Session): Queues {
  const { queueMap, maxCqs, maxQps, options } = session;
  const sizes = { ...defaultSizes, ...options.queueSizes };
  const control = setUp(session, queueMap.control, sizes.control, COMMAND_PARTS);
  const cqs = Array.from({ length: maxCqs }, (_, cqn) => setUp(session, queueMap.cq(cqn), sizes.cq, 0));
  const sqs = Array.from({ length: maxQps }, (_, qpn) => setUp(session, queueMap.sq(qpn), sizes.sq, 0));
  const rqs = Array.from({ length: maxQps }, (_, qpn) => setUp(session, queueMap.rq(qpn), sizes.rq, 0));
  for (const queue of [...cqs, ...sqs, ...rqs]) queue.disableInterrupts();
  return { control, cqs, sqs, rqs, cqSize: smallest(cqs), sqSize: smallest(sqs), rqSize: smallest(rqs) };
}

function setUp(session: Session, index: number, wanted: number, indirectParts: number): DriverQueue {
  const { transport, memory, ringObserver } = session.options;
  const max = transport.queueSizeMax(index);
  if (max < 1) throw new VerbsError('ENODEV', 'start', `virtqueue ${index} does not exist`);
  const most = Math.min(max, wanted);
  const size = session.features.packed === true ? most : powerOfTwoAtMost(most);
  const ring = session.alloc(ringBytes(size, session.features), 16);
  const addresses = layOutRing(ring.address, size, session.features);
  const indirect = session.features.indirect && indirectParts > 0;
  const area = indirect ? session.alloc(indirectAreaBytes(size, indirectParts), 16) : undefined;
  const queue = newDriverQueue(
    memory,
    { index, size, ...addresses },
    session.features,
    ringObserver,
    area === undefined ? undefined : { address: area.address, entriesPerTable: indirectParts },
  );
  transport.enableQueue(index, size, addresses);
  return queue;
}

function powerOfTwoAtMost(value: number): number {
  return 2 ** Math.floor(Math.log2(value));
}

function smallest(queues: readonly DriverQueue[]): number {
  return Math.min(...queues.map(queue => queue.size));
}
