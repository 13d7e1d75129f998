/** What is wrong with an answer, told so that the author of an agent finds the place. */

/** An answer that the protocol does not allow. */
export class BadAnswer extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'BadAnswer';
  }
}

const EXCERPT = 120;

export function shown(value: unknown): string {
  const text = typeof value === 'string' ? JSON.stringify(value) : (JSON.stringify(value) ?? String(value));
  return text.length > EXCERPT ? `${text.slice(0, EXCERPT)}...` : text;
}

export type Fields = Readonly<Record<string, unknown>>;

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A whole number 0..max of an answer. */
export function numberOf(fields: Fields, name: string, max: number, where: string): number {
  const value = fields[name];
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= max) return value;
  throw new BadAnswer(`${name} of ${where} is ${shown(value)}; expected a whole number 0..${max}`);
}

export const U8 = 0xff;
export const U16 = 0xffff;
export const U32 = 0xffff_ffff;
export const NATURAL = Number.MAX_SAFE_INTEGER;
