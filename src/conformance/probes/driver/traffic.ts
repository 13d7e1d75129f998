/** Posts, requests and completions: what a case does with the data path, and how it reads what the driver put there. */
import { cqReq, readLe64, rqReq, sge, sqReq } from '../../../abi/index.js';
import type { StructValue } from '../../../abi/index.js';
import { emptyCompletion } from '../../../verbs/index.js';
import type {
  CompletionQueue,
  QueuePair,
  RecvWorkRequest,
  SendWorkRequest,
  Sge,
  WorkCompletion,
} from '../../../verbs/index.js';
import { RemoteVerbs } from '../../agent/remote-verbs.js';
import type { Bench } from './bench.js';
import { errnoOf } from './call.js';
import { completionBytes } from './encode.js';
import type { CompletionFields } from './encode.js';
import type { Chain } from './pen.js';

/** A send or receive request as it stands in the ring. */
export interface Request {
  readonly chain: Chain;
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

export function post(
  bench: Bench,
  qp: QueuePair,
  request: SendWorkRequest,
  requirements?: readonly string[],
): void {
  bench.step('program', 'driver', `postSend(${request.wrId}, opcode ${request.opcode})`);
  attempt(bench, 'postSend', requirements, () => bench.verbs.postSend(qp, request));
}
/** Posts many sends, in one line where the driver is another process. Throws what the first refusal says. */
export function postMany({ verbs }: Bench, qp: QueuePair, requests: readonly SendWorkRequest[]): void {
  if (!(verbs instanceof RemoteVerbs)) {
    for (const request of requests) verbs.postSend(qp, request);
    return;
  }
  const { refused } = verbs.postSends(qp, requests);
  if (refused !== undefined) throw refused;
}

export function postReceive(
  bench: Bench,
  qp: QueuePair,
  request: RecvWorkRequest,
  requirements?: readonly string[],
): void {
  bench.step('program', 'driver', `postRecv(${request.wrId})`);
  attempt(bench, 'postRecv', requirements, () => bench.verbs.postRecv(qp, request));
}

function attempt<T>(
  bench: Bench,
  verb: string,
  requirements: readonly string[] | undefined,
  run: () => T,
): T {
  bench.actions++;
  try {
    return run();
  } catch (error) {
    throw bench.broken(`${verb} threw ${String(error)}, expected it to succeed`, requirements);
  }
}

/** A data verb must throw with this errno. */
export function throws(
  bench: Bench,
  what: string,
  errno: string,
  run: () => unknown,
  requirements?: readonly string[],
): void {
  bench.actions++;
  bench.step('program', 'driver', what);
  try {
    run();
  } catch (error) {
    const seen = errnoOf(error);
    bench.expect(seen === errno, `${what} threw ${seen ?? String(error)}, expected ${errno}`, requirements);
    return;
  }
  throw bench.broken(`${what} succeeded, expected ${errno}`, requirements);
}

/** The requests that are in a queue now, oldest first. */
export function takeRequests(bench: Bench, queue: number): Request[] {
  return bench.device
    .pen(queue)
    .takeAll()
    .map(chain => ({
      chain,
      bytes: chain.readable,
      view: new DataView(chain.readable.buffer),
    }));
}
export function takeSends(bench: Bench, qpn: number): Request[] {
  return takeRequests(bench, bench.map.sq(qpn));
}
export function takeReceives(bench: Bench, qpn: number): Request[] {
  return takeRequests(bench, bench.map.rq(qpn));
}
/** The one request that must be there. */
export function theRequest(bench: Bench, queue: number, requirements: readonly string[]): Request {
  const found = takeRequests(bench, queue);
  bench.expect(found.length === 1, `${found.length} requests are in the ring after one post`, requirements);
  return found[0];
}

/** Returns requests with a used length of 0, the first one first. */
export function giveBack(bench: Bench, requests: readonly Request[]): void {
  for (const { chain } of requests) bench.device.pen(chain.queue).giveBack(chain, 0);
}

/** Takes all that is on a queue and returns it. */
export function consume(bench: Bench, queue: number): void {
  giveBack(bench, takeRequests(bench, queue));
}

export function elementsOf({ view, bytes }: Request, from: number): Sge[] {
  const count = Math.floor((bytes.length - from) / sge.size);
  return Array.from({ length: count }, (_, i) => sge.decode(view, from + i * sge.size));
}
export function decodeSend(request: Request): StructValue<typeof sqReq> {
  return sqReq.decode(request.view, 0);
}
export function decodeReceive(request: Request): StructValue<typeof rqReq> {
  return rqReq.decode(request.view, 0);
}
export function wrIdOf({ view }: Request): number {
  return readLe64(view, 0);
}

/** Puts a completion into the next buffer of a completion queue. Fails the case when the driver has put none there. */
export function complete(bench: Bench, cqn: number, fields: Partial<CompletionFields>): void {
  completeBytes(bench, cqn, completionBytes(fields));
}
export function completeBytes(
  bench: Bench,
  cqn: number,
  bytes: Uint8Array,
  written: number = cqReq.size,
): void {
  const ring = bench.device.pen(bench.map.cq(cqn));
  const chain = ring.take();
  if (chain === undefined)
    throw bench.broken(`completion queue ${cqn} has no buffer for a completion`, ['CQ-14', 'CQ-16']);
  bench.expect(
    chain.writableBytes >= cqReq.size,
    `a completion buffer has ${chain.writableBytes} writable bytes, expected ${cqReq.size}`,
    ['CQ-10'],
  );
  bench.step('device', 'driver', `completion on queue ${cqn}`);
  ring.write(chain, 0, bytes);
  ring.giveBack(chain, written);
}

export function emptyCompletions(count: number): WorkCompletion[] {
  return Array.from({ length: count }, emptyCompletion);
}

/** Polls once; what it threw is a failure of the case. */
export function poll(
  bench: Bench,
  cq: CompletionQueue,
  max = 16,
  requirements?: readonly string[],
): WorkCompletion[] {
  const into = emptyCompletions(max);
  bench.step('program', 'driver', `pollCq(${max})`);
  const count = attempt(bench, 'pollCq', requirements, () => bench.verbs.pollCq(cq, into, max));
  bench.expect(
    Number.isInteger(count) && count >= 0 && count <= max,
    `pollCq returned ${count}, asked for at most ${max}`,
    ['CQ-53'],
  );
  return into.slice(0, count);
}
