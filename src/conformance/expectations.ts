/** What a program expects, held against what came: completions, attributes, how often a request is meant. */
import { wcOpcodes, wcStatuses } from '../abi/index.js';
import type { QpSnapshot, WorkCompletion } from '../verbs/index.js';
import { LawBroken, laws } from './laws.js';
import type { ActionOf, ExpectedAttributes } from './program.js';

export type WantedCompletion = NonNullable<ActionOf<'pollCq'>['expectWc']>[number];
export type CompletionWords = Omit<WantedCompletion, 'status' | 'opcode'> & {
  status: string;
  opcode?: string | undefined;
  qp?: number | undefined;
};

/** Each request as often as its `times` says. */
export function repeated<T extends { times?: number | undefined }>(specs: readonly T[]): readonly T[] {
  if (specs.every(spec => spec.times === undefined)) return specs;
  return specs.flatMap(spec => Array.from({ length: spec.times ?? 1 }, () => spec));
}

/** The same for completions, whose request numbers go up. */
export function* numbered(entries: readonly WantedCompletion[]): Iterable<WantedCompletion> {
  for (const entry of entries)
    for (let i = 0; i < (entry.times ?? 1); i++)
      yield entry.wr === undefined ? entry : { ...entry, wr: entry.wr + i };
}

export function unexpected(index: number, seen: string, expected: string): LawBroken {
  return new LawBroken(laws.expected, `action ${index}: ${seen}, expected ${expected}`);
}

export function expectAttributes(index: number, snapshot: QpSnapshot, expected: ExpectedAttributes): void {
  const seen: Record<keyof ExpectedAttributes, number | boolean> = {
    ...snapshot,
    draining: snapshot.sqDraining,
    access: snapshot.qpAccessFlags,
  };
  for (const [name, wanted] of Object.entries(expected)) {
    const found = seen[name as keyof ExpectedAttributes];
    if (wanted !== undefined && found !== wanted)
      throw unexpected(index, `${name} is ${found}`, String(wanted));
  }
}

/** A completion in words, with just the members that the expectation names. */
export function describeCompletion(completion: WorkCompletion, wanted: CompletionWords | undefined): string {
  const { wrId, status, opcode, byteLen, immData, wcFlags, srcQp } = completion;
  return describeWanted({
    status: wcStatuses.nameOf(status) ?? `status ${status}`,
    opcode: wanted?.opcode && (wcOpcodes.nameOf(opcode) ?? `opcode ${opcode}`),
    byteLen: wanted?.byteLen === undefined ? undefined : byteLen,
    imm: wanted?.imm === undefined ? undefined : immData,
    flags: wanted?.flags === undefined ? undefined : wcFlags,
    qp: wanted?.from === undefined ? undefined : srcQp,
    wr: wanted?.wr === undefined ? undefined : wrId,
  });
}

export function describeWanted({ status, opcode, byteLen, imm, flags, qp, wr }: CompletionWords): string {
  const parts = [status];
  if (opcode !== undefined) parts.push(opcode);
  if (byteLen !== undefined) parts.push(`${byteLen} bytes`);
  if (imm !== undefined) parts.push(`imm ${imm}`);
  if (flags !== undefined) parts.push(`flags ${flags}`);
  if (qp !== undefined) parts.push(`from queue pair ${qp}`);
  if (wr !== undefined) parts.push(`wr ${wr}`);
  return parts.join(' ');
}
