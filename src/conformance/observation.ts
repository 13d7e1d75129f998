/**
 * What a program can see of a run, in a form that two runs can be compared by: the outcome of each action, the completions
 * of each queue in order, the events of each completion queue. Numbers that an implementation is free to choose (keys, queue
 * pair numbers) and the order of completions across queue pairs are left out. Nothing is put into words before two
 * observations differ.
 */
import { WcFlag, WcOpcode, WcStatus, wcOpcodes, wcStatuses } from '../abi/index.js';
import type { WorkCompletion } from '../verbs/index.js';
import type { CqRecord, WrRecord } from './records.js';

/** What is noted of a completion: wrId, status, and on success opcode, length, flags and immediate data. */
const WORDS = 6;

interface Stream {
  readonly name: string;
  readonly entries: number[];
}

export class Observation {
  /** Index of the action that runs; events are noted under it. */
  action = 0;
  /** Three entries a note: action, what, and how it came out. */
  readonly #notes: (number | string)[] = [];
  readonly #streams = new Map<number, Stream>();
  /** Two entries an event: the completion queue's number, and the action during which it came. */
  readonly #events: number[] = [];

  note(action: number, what: string, outcome: number | string): void {
    this.#notes.push(action, what, outcome);
  }

  event(cq: CqRecord): void {
    this.#events.push(cq.id, this.action);
  }

  completion(cq: CqRecord, completion: WorkCompletion, request: WrRecord | undefined): void {
    const { wrId, status, opcode, byteLen, immData, wcFlags } = completion;
    const entries = this.#stream(cq, request);
    if (status !== WcStatus.SUCCESS) {
      entries.push(wrId, status, 0, 0, 0, 0);
      return;
    }
    const receive = opcode === WcOpcode.RECV || opcode === WcOpcode.RECV_RDMA_WITH_IMM;
    const counted = receive || opcode === WcOpcode.RDMA_READ;
    const flags = receive ? wcFlags : 0;
    const imm = (flags & WcFlag.WITH_IMM) === 0 ? 0 : immData;
    entries.push(wrId, status, opcode, counted ? byteLen : 0, flags, imm);
  }

  #stream(cq: CqRecord, request: WrRecord | undefined): number[] {
    const queue = request === undefined ? 0 : 1 + request.qp.id * 2 + (request.send ? 1 : 0);
    const key = cq.id * 0x10000 + queue;
    let stream = this.#streams.get(key);
    if (stream === undefined) {
      const of =
        request === undefined ? 'nobody' : `${request.qp.name} ${request.send ? 'sends' : 'receives'}`;
      stream = { name: `${cq.name} of machine ${cq.vm}, ${of}`, entries: [] };
      this.#streams.set(key, stream);
    }
    return stream.entries;
  }

  /**
   * The first thing in which `bare` differs from this, in words; undefined when they agree. An adapter of somebody else's may
   * count the packets of a queue pair in its own way: QUERY_QP promises every attribute but its sequence numbers (QP-39).
   */
  difference(bare: Observation, adapter: 'ours' | 'theirs' = 'ours'): string | undefined {
    const place = this.#firstNote(bare, adapter === 'ours' ? none : sequenceNumbers);
    if (place >= 0) return this.#noteDifference(bare, place);
    for (const key of new Set([...this.#streams.keys(), ...bare.#streams.keys()])) {
      const a = this.#streams.get(key);
      const b = bare.#streams.get(key);
      const at = firstMismatch(a?.entries ?? [], b?.entries ?? []);
      if (at < 0) continue;
      const number = Math.floor(at / WORDS);
      const name = a?.name ?? b?.name ?? '';
      return `completion ${number} of ${name}: ${wordsOf(a, number)}; on bare metal ${wordsOf(b, number)}`;
    }
    const events = inPlace(this.#events);
    const bareEvents = inPlace(bare.#events);
    const event = firstMismatch(events, bareEvents);
    if (event < 0) return undefined;
    return `event ${event >> 1}: ${eventWords(events, event)}; on bare metal ${eventWords(bareEvents, event)}`;
  }

  #firstNote(bare: Observation, free: ReadonlySet<number | string>): number {
    for (let from = 0; ;) {
      const at = firstMismatch(this.#notes, bare.#notes, from);
      const outcome = at % 3 === 2;
      if (at < 0 || !outcome || !free.has(this.#notes[at - 1])) return at;
      from = at + 1;
    }
  }

  #noteDifference(bare: Observation, place: number): string {
    const start = place - (place % 3);
    return `${noteWords(this.#notes, start)}; on bare metal ${noteWords(bare.#notes, start)}`;
  }
}

const none: ReadonlySet<number | string> = new Set();
const sequenceNumbers: ReadonlySet<number | string> = new Set(['rqPsn', 'sqPsn']);

function firstMismatch<T>(a: readonly T[], b: readonly T[], from = 0): number {
  const length = Math.max(a.length, b.length);
  for (let i = from; i < length; i++) if (a[i] !== b[i]) return i;
  return -1;
}

/** Events by action, those of one action by their queues: which of two queues is first within it is a matter of time. */
function inPlace(events: readonly number[]): readonly number[] {
  const pairs: [number, number][] = [];
  for (let at = 0; at < events.length; at += 2) pairs.push([events[at], events[at + 1]]);
  return pairs.toSorted((a, b) => a[1] - b[1] || a[0] - b[0]).flat();
}

function noteWords(notes: readonly (number | string)[], start: number): string {
  if (start >= notes.length) return 'nothing';
  return `action ${notes[start]} ${notes[start + 1]} came to ${notes[start + 2]}`;
}

function eventWords(events: readonly number[], at: number): string {
  const start = at - (at % 2);
  if (start >= events.length) return 'none';
  return `of completion queue ${events[start]} during action ${events[start + 1]}`;
}

function wordsOf(stream: Stream | undefined, number: number): string {
  const words = stream?.entries.slice(number * WORDS, (number + 1) * WORDS) ?? [];
  if (words.length === 0) return 'missing';
  const [wrId, status, opcode, byteLen, flags, imm] = words;
  const name = wcStatuses.nameOf(status) ?? `status ${status}`;
  if (status !== WcStatus.SUCCESS) return `request ${wrId} ${name}`;
  return `request ${wrId} ${name} ${wcOpcodes.nameOf(opcode) ?? opcode} ${byteLen} bytes flags ${flags} imm ${imm}`;
}
