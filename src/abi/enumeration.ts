/** Enumerations and flag sets as tables: name, number and documentation in one place. */

/** A closed set of named numbers. */
export interface Enumeration<M extends Record<string, number>> {
  readonly name: string;
  readonly doc: string;
  readonly values: M;
  /** The members' names in numeric order. */
  readonly names: readonly (keyof M & string)[];
  /** The name of a number, or undefined when it names no member. */
  nameOf(value: number): (keyof M & string) | undefined;
  /** What each member means. */
  readonly docs: Readonly<Record<keyof M & string, string>>;
  /** Flags are bit masks that may be combined; otherwise one value at a time. */
  readonly kind: 'enum' | 'flags';
}

type Table = Record<string, readonly [value: number, doc: string]>;
type Members<T extends Table> = { readonly [K in keyof T]: T[K][0] };

function make<const T extends Table>(kind: 'enum' | 'flags', name: string, doc: string, table: T) {
  const entries = Object.entries(table).toSorted((a, b) => a[1][0] - b[1][0]);
  const byValue = new Map(entries.map(([member, [value]]) => [value, member]));
  const result: Enumeration<Members<T>> = {
    name,
    doc,
    kind,
    values: Object.fromEntries(entries.map(([member, [value]]) => [member, value])) as Members<T>,
    names: entries.map(([member]) => member),
    nameOf: value => byValue.get(value),
    docs: Object.fromEntries(entries.map(([member, [, text]]) => [member, text])) as Record<
      keyof T & string,
      string
    >,
  };
  return result;
}

/** Declares an enumeration from `{ NAME: [number, doc] }`. */
export function enumeration<const T extends Table>(
  name: string,
  doc: string,
  table: T,
): Enumeration<Members<T>> {
  return make('enum', name, doc, table);
}

/** Declares a flag set from `{ NAME: [mask, doc] }`. */
export function flagSet<const T extends Table>(name: string, doc: string, table: T): Enumeration<Members<T>> {
  return make('flags', name, doc, table);
}
