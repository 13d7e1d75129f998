/** What a probe makes of commands and their answers: which objects they make and end, how they are cut, and how they are told. */
import { Ack, Command } from '../../../abi/index.js';
import type { Part } from './pen.js';

/** What every writable byte holds before the device writes. */
export const UNWRITTEN = 0xee;

/** What came back for a command. */
export interface Answer {
  readonly what: string;
  /** Undefined: the chain did not come back. */
  readonly used: number | undefined;
  /** The whole writable part. */
  readonly bytes: Uint8Array;
}

export type ObjectKind = 'pd' | 'mr' | 'ah' | 'cq' | 'qp';

/** Commands that make an object, whose number is the first word of the result. */
export const makes: ReadonlyMap<number, ObjectKind> = new Map([
  [Command.CREATE_PD, 'pd'],
  [Command.GET_DMA_MR, 'mr'],
  [Command.REG_USER_MR, 'mr'],
  [Command.CREATE_AH, 'ah'],
  [Command.CREATE_CQ, 'cq'],
  [Command.CREATE_QP, 'qp'],
]);
/** Commands that end one, whose number is at this offset of the struct. */
export const ends: ReadonlyMap<number, { readonly kind: ObjectKind; readonly at: number }> = new Map([
  [Command.DESTROY_PD, { kind: 'pd', at: 0 }],
  [Command.DEREG_MR, { kind: 'mr', at: 0 }],
  [Command.DESTROY_AH, { kind: 'ah', at: 4 }],
  [Command.DESTROY_CQ, { kind: 'cq', at: 0 }],
  [Command.DESTROY_QP, { kind: 'qp', at: 0 }],
]);

/** The descriptors into which cuts divide a string of bytes. */
export function pieces(address: number, length: number, cuts: readonly number[], writable: boolean): Part[] {
  const inside = cuts.filter(cut => cut > 0 && cut < length).toSorted((a, b) => a - b);
  const places = [0, ...inside, length];
  return places
    .slice(0, -1)
    .map((from, i) => ({ address: address + from, length: places[i + 1] - from, writable }))
    .filter(part => part.length > 0);
}

/** What was seen of an answer. */
export function seen({ used, bytes }: Answer): string {
  if (used === undefined) return 'the chain did not come back';
  const rest = bytes.subarray(1).some(byte => byte !== UNWRITTEN) ? ', and bytes behind it written' : '';
  return `ack ${bytes.length === 0 ? 'none' : bytes[0]}, used length ${used}${rest}`;
}

export function answerText(bytes: Uint8Array, used: number): string {
  const ack = bytes[0] === Ack.OK ? 'OK' : bytes[0] === Ack.ERR ? 'ERR' : `ack ${bytes[0] ?? 'none'}`;
  return `${ack}, used length ${used}`;
}

/** The numbers among a command's fields, for people. */
export function fieldsText(fields: object): string {
  if (fields instanceof Uint8Array) return `(${fields.length} bytes)`;
  return Object.entries(fields)
    .filter(([, value]) => typeof value === 'number')
    .map(([name, value]) => `${name}=${value}`)
    .join(' ');
}
