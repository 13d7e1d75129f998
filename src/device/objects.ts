/**
 * All objects that one guest has made, by the numbers that the guest knows them by. Nothing here is reachable from another
 * guest's device.
 */
import type { HcaAh, HcaMr, HcaPd } from '../reference/hca.js';
import type { CompletionQueueBinding } from './completion-queue.js';
import type { DeviceContext } from './context.js';
import { HandleTable } from './handle-table.js';
import type { QueuePairBinding } from './queue-pair.js';
import type { QueueWorker } from './queue-worker.js';
import { RequestDecoder } from './request-decoder.js';
import { RequestIds } from './request-ids.js';
import type { RequestTools } from './request-queue.js';

export interface RegionEntry {
  readonly hcaMr: HcaMr;
  /** Entries of its page list. */
  readonly pages: number;
}

export interface AddressHandleEntry {
  readonly hcaAh: HcaAh;
  /** Number of its protection domain. */
  readonly pdn: number;
}

/** Pages of all regions together when the limits do not say. */
const MR_PAGES_MAX = 2 ** 20;

export class DeviceObjects {
  readonly context: DeviceContext;
  readonly requestTools: RequestTools;
  readonly pds: HandleTable<HcaPd>;
  readonly regions: HandleTable<RegionEntry>;
  readonly addressHandles: HandleTable<AddressHandleEntry>;
  readonly #queuePairs: (QueuePairBinding | undefined)[];
  readonly #completionQueues: (CompletionQueueBinding | undefined)[];
  /** Whoever works on a virtqueue, by queue index. */
  readonly #workers: (QueueWorker | undefined)[];
  #regionPages = 0;

  constructor(context: DeviceContext) {
    const { attributes } = context.hca;
    const { maxQps, maxCqs } = context.limits;
    this.context = context;
    this.pds = new HandleTable(attributes.maxPd);
    this.regions = new HandleTable(attributes.maxMr);
    this.addressHandles = new HandleTable(attributes.maxAh);
    this.#queuePairs = slots(maxQps);
    this.#completionQueues = slots(maxCqs);
    this.#workers = slots(context.queueMap.count);
    const maxSge = Math.max(attributes.maxSendSge, attributes.maxRecvSge);
    const ids = new RequestIds();
    this.requestTools = {
      decoder: new RequestDecoder(maxSge, ids),
      ids,
      findAh: number => this.addressHandles.get(number)?.hcaAh,
    };
  }

  /** Who works on the virtqueue, if it is bound to an object. */
  worker(queueIndex: number): QueueWorker | undefined {
    return this.#workers[queueIndex];
  }
  setWorker(worker: QueueWorker): void {
    this.#workers[worker.index] = worker;
  }

  completionQueue(cqn: number): CompletionQueueBinding | undefined {
    return this.#completionQueues[cqn];
  }
  /** The lowest number without a completion queue, -1 when all are taken. */
  freeCqn(): number {
    return this.#completionQueues.indexOf(undefined);
  }
  addCompletionQueue(cq: CompletionQueueBinding): void {
    this.#completionQueues[cq.cqn] = cq;
    this.#workers[cq.index] = cq;
  }
  removeCompletionQueue(cq: CompletionQueueBinding): void {
    this.#completionQueues[cq.cqn] = undefined;
    this.#workers[cq.index] = undefined;
  }

  queuePair(qpn: number): QueuePairBinding | undefined {
    return this.#queuePairs[qpn];
  }
  /** The lowest number from `first` on without a queue pair, -1 when all are taken. */
  freeQpn(first: number): number {
    return this.#queuePairs.indexOf(undefined, first);
  }
  addQueuePair(qp: QueuePairBinding): void {
    this.#queuePairs[qp.qpn] = qp;
    this.#workers[qp.sendQueue.index] = qp.sendQueue;
    this.#workers[qp.recvQueue.index] = qp.recvQueue;
  }
  removeQueuePair(qp: QueuePairBinding): void {
    this.#queuePairs[qp.qpn] = undefined;
    this.#workers[qp.sendQueue.index] = undefined;
    this.#workers[qp.recvQueue.index] = undefined;
  }
  /** The queue pairs of an overrun completion queue are in ERR now. */
  completionQueueOverran(cq: CompletionQueueBinding): void {
    for (const qp of this.#queuePairs) {
      if (qp !== undefined && (qp.sendCq === cq || qp.recvCq === cq)) qp.completionQueueOverran();
    }
  }

  /** True when page lists of `pages` more entries can be kept. */
  hasRoomForPages(pages: number): boolean {
    return this.#regionPages + pages <= (this.context.limits.maxMrPages ?? MR_PAGES_MAX);
  }
  /** Adds a region and returns its number. */
  addRegion(region: RegionEntry): number {
    this.#regionPages += region.pages;
    return this.regions.add(region);
  }
  removeRegion(mrn: number, region: RegionEntry): void {
    this.#regionPages -= region.pages;
    this.regions.delete(mrn);
  }

  /** Ends all work on the data queues of objects that the HCA has forgotten. */
  close(): void {
    for (const worker of this.#workers) worker?.close();
  }
}

function slots<T>(count: number): (T | undefined)[] {
  return new Array<T | undefined>(count).fill(undefined);
}
