/**
 * "Refused" means that nobody can tell the command from none, its answer excepted. So after a refusal everything is looked
 * at: guest memory, the state of every queue pair, traffic both ways, and how many more objects of each kind can be made.
 */
import { QpType, queryQpAck } from '../../../abi/index.js';
import type { ProbeMachine } from './machine.js';
import {
  createAh,
  createCq,
  createPd,
  createQp,
  addressVector,
  getDmaMr,
  queryDevice,
  queryQp,
} from './messages.js';
import { exchange, qpFields, smallCap } from './site.js';
import type { Pair, Side } from './site.js';

/** What is looked at before and after. */
export interface Before {
  readonly memories: readonly Uint8Array[];
  readonly queuePairs: readonly string[];
  readonly interrupts: readonly number[];
}

/** Takes note of all that a refused command must leave alone. */
export function noteBefore({ bench, a, b }: Pair): Before {
  return bench.scene('probe', 'notes the memories and every queue pair of both machines', () => ({
    queuePairs: [queuePairsOf(a.machine), queuePairsOf(b.machine)],
    interrupts: [dataInterrupts(a.machine), dataInterrupts(b.machine)],
    memories: [a.machine.memory.bytes.slice(), b.machine.memory.bytes.slice()],
  }));
}

/** Accuses if anything has changed but the bytes `except` of the first machine (addresses and lengths). */
export function expectUnchanged(
  pair: Pair,
  before: Before,
  requirements: readonly string[],
  what: string,
  except: readonly { readonly address: number; readonly length: number }[],
): void {
  const { bench, a, b } = pair;
  const { memory } = a.machine;
  for (const { address, length } of except) {
    before.memories[0].set(memory.copy(address, length), memory.at(address));
  }
  for (const [i, machine] of [a.machine, b.machine].entries()) {
    const at = firstDifference(before.memories[i], machine.memory.bytes);
    if (at >= 0) bench.accuse(requirements, `${what}: a byte of ${machine.name} at offset ${at} has changed`);
  }
  bench.same(
    requirements,
    `${what}: the queue pairs of both machines`,
    bench.scene('probe', 'asks for every queue pair of both machines', () => [
      queuePairsOf(a.machine),
      queuePairsOf(b.machine),
    ]),
    before.queuePairs,
  );
  exchange(pair, requirements);
  exchange({ bench, a: b, b: a }, requirements);
  const interrupts = [dataInterrupts(a.machine), dataInterrupts(b.machine)];
  bench.same(
    requirements,
    `${what}: events of completion queues, with traffic and nothing armed`,
    interrupts,
    before.interrupts,
  );
  const room = a.machine.scene('makes objects of every kind as long as there is room', () => roomOf(a));
  bench.same(requirements, `${what}: objects that can still be made`, room, expectedRoom(a.machine, room));
}

/** QUERY_QP of every number, as text. */
function queuePairsOf(machine: ProbeMachine): string {
  const numbers = Array.from({ length: machine.maxQps + 1 }, (_, qpn) => qpn);
  const textOf = (qpn: number): string => {
    const result = machine.ask(queryQp, { qpn, attr_mask: 0 });
    if (result === undefined) return `${qpn}: none`;
    const { ah_attr, cap, ...plain } = { ...queryQpAck.zero(), ...result };
    return `${qpn}: ${JSON.stringify(plain)} ${JSON.stringify(cap)} ${ah_attr.grh.dgid.join('.')} ${ah_attr.grh.sgid_index}`;
  };
  return numbers.map(textOf).join('; ');
}

/** Used-buffer notifications of all completion virtqueues. */
function dataInterrupts(machine: ProbeMachine): number {
  let sum = 0;
  for (let cqn = 0; cqn < machine.maxCqs; cqn++) sum += machine.interruptsOf(machine.queues.cq(cqn));
  return sum;
}

interface Room {
  readonly domains: number;
  readonly regions: number;
  readonly handles: number;
  readonly completionQueues: readonly number[];
  readonly queuePairs: readonly number[];
}

/** How many more objects of each kind the device lets this side make; numbers for those whose numbers are ruled. */
function roomOf({ machine, pdn, cqn, gid }: Side): Room {
  const most = 64;
  const count = (make: () => unknown): number => {
    let made = 0;
    while (made < most && make() !== undefined) made++;
    return made;
  };
  const numbers = (make: () => number | undefined): number[] => {
    const list: number[] = [];
    for (let number = make(); number !== undefined && list.length < most; number = make()) list.push(number);
    return list;
  };
  return {
    regions: count(() => machine.ask(getDmaMr, { pdn, access_flags: 0 })),
    handles: count(() => machine.ask(createAh, { pdn, ah_attr: addressVector(gid) })),
    queuePairs: [
      ...numbers(() => machine.ask(createQp, qpFields({ pdn, cqn }))?.qpn),
      ...numbers(() => machine.ask(createQp, qpFields({ pdn, cqn }, { qp_type: QpType.GSI }))?.qpn),
    ],
    completionQueues: numbers(() => machine.ask(createCq, { cqe: 1 })?.cqn),
    domains: count(() => machine.ask(createPd)),
  };
}

/** The same by the limits, by the queues that are set up, and by what the machine's own book says that there is. */
function expectedRoom(machine: ProbeMachine, made: Room): Room {
  const limits = machine.must(queryDevice);
  const { living, queues } = machine;
  const room = (most: number, kind: 'pd' | 'mr' | 'ah', newOnes: number): number =>
    Math.min(64, most - living[kind].size + newOnes);
  const usable = (index: number, entries: number): boolean =>
    (machine.rings.get(index)?.size ?? 0) >= entries;
  const isNew = (kind: 'cq' | 'qp', list: readonly number[], number: number): boolean =>
    !living[kind].has(number) || list.includes(number);
  const free = (from: number, to: number, may: (number: number) => boolean): number[] => {
    const list: number[] = [];
    for (let number = from; number < to; number++) if (may(number)) list.push(number);
    return list;
  };
  const pairUsable = (qpn: number): boolean =>
    usable(queues.sq(qpn), smallCap.max_send_wr) && usable(queues.rq(qpn), smallCap.max_recv_wr);
  const freePairs = free(2, machine.maxQps, qpn => isNew('qp', made.queuePairs, qpn));
  const freeCqs = free(0, machine.maxCqs, cqn => isNew('cq', made.completionQueues, cqn));
  return {
    regions: room(limits.max_mr, 'mr', made.regions),
    handles: room(limits.max_ah, 'ah', made.handles),
    queuePairs: [
      ...untilFirst(freePairs, qpn => !pairUsable(qpn)),
      ...(isNew('qp', made.queuePairs, 1) && pairUsable(1) ? [1] : []),
    ],
    completionQueues: untilFirst(freeCqs, cqn => !usable(queues.cq(cqn), 1)),
    domains: room(limits.max_pd, 'pd', made.domains),
  };
}

/** The numbers before the first one that stops it: the device tries the lowest free one and no other. */
function untilFirst(list: readonly number[], stops: (number: number) => boolean): number[] {
  const at = list.findIndex(stops);
  return at < 0 ? [...list] : list.slice(0, at);
}

function firstDifference(a: Uint8Array, b: Uint8Array): number {
  if (Buffer.compare(a, b) === 0) return -1;
  return a.findIndex((byte, i) => byte !== b[i]);
}
