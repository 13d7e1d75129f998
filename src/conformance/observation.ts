/**
 * What a program can see of a run, in a form that two runs can be compared by: the outcome of each action, the completions
 * of each queue in order, the events of each completion queue. Numbers that an implementation is free to choose (keys, queue
 * pair numbers) and the order of completions across queue pairs are left out.
 */
import { WcFlag, WcOpcode, WcStatus, wcStatuses } from '../abi/index.js';
import type { WorkCompletion } from '../verbs/index.js';
import type { CqRecord, WrRecord } from './records.js';

export class Observation {
  /** Index of the action that runs; completions and events are noted under it. */
  action = 0;
  /** Per action, in order: what came of it. */
  readonly outcomes: string[] = [];
  /** Per completion queue, queue pair and direction: completions in order. */
  readonly streams = new Map<string, string[]>();

  note(action: number, text: string): void {
    this.outcomes.push(`${action}: ${text}`);
  }

  event(cq: CqRecord): void {
    this.#stream(`events of ${cq.vm}.${cq.name}`).push(`during action ${this.action}`);
  }

  completion(cq: CqRecord, completion: WorkCompletion, request: WrRecord | undefined): void {
    const key =
      request === undefined
        ? `${cq.vm}.${cq.name}: completions of nobody`
        : `${cq.vm}.${cq.name}: ${request.qp.name} ${request.send ? 'sends' : 'receives'}`;
    this.#stream(key).push(completionText(completion));
  }

  #stream(key: string): string[] {
    let stream = this.streams.get(key);
    if (stream === undefined) {
      stream = [];
      this.streams.set(key, stream);
    }
    return stream;
  }
}

function completionText(completion: WorkCompletion): string {
  const { wrId, status, opcode, byteLen, immData, wcFlags } = completion;
  if (status !== WcStatus.SUCCESS) return `wr ${wrId} ${wcStatuses.nameOf(status) ?? status}`;
  const receive = opcode === WcOpcode.RECV || opcode === WcOpcode.RECV_RDMA_WITH_IMM;
  const counted = receive || opcode === WcOpcode.RDMA_READ;
  const imm = (wcFlags & WcFlag.WITH_IMM) === 0 ? '' : ` imm ${immData}`;
  return `wr ${wrId} ok ${opcode}${counted ? ` ${byteLen} bytes` : ''}${receive ? ` flags ${wcFlags}` : ''}${imm}`;
}

/** The first thing in which two observations differ, in words; undefined when they agree. */
export function firstDifference(ours: Observation, bare: Observation): string | undefined {
  const outcomes = Math.max(ours.outcomes.length, bare.outcomes.length);
  for (let i = 0; i < outcomes; i++) {
    if (ours.outcomes[i] !== bare.outcomes[i]) {
      return `outcome of action ${ours.outcomes[i] ?? 'missing'}; on bare metal ${bare.outcomes[i] ?? 'missing'}`;
    }
  }
  for (const key of new Set([...ours.streams.keys(), ...bare.streams.keys()])) {
    const a = ours.streams.get(key) ?? [];
    const b = bare.streams.get(key) ?? [];
    const length = Math.max(a.length, b.length);
    for (let i = 0; i < length; i++) {
      if (a[i] !== b[i])
        return `${key}, number ${i}: ${a[i] ?? 'missing'}; on bare metal ${b[i] ?? 'missing'}`;
    }
  }
  return undefined;
}
