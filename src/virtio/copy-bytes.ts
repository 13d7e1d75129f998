/**
 * Copies between buffers. A block copy needs views that cost more to make than a short copy itself, and copying byte by byte
 * takes four times as long as by words; so short copies between buffers that are used again and again go by words.
 */

/** Copies up to this many bytes go one by one where words cannot be used, and by words a little further. */
const SMALL_COPY_BYTES = 128;
const WORD_COPY_BYTES = 192;

/** Copies `length` bytes of `source` from `from` on into `target` from `to` on. */
export function copyBytes(
  source: Uint8Array,
  from: number,
  target: Uint8Array,
  to: number,
  length: number,
): void {
  if (length > SMALL_COPY_BYTES) {
    target.set(source.subarray(from, from + length), to);
    return;
  }
  for (let i = 0; i < length; i++) target[to + i] = source[from + i];
}

/** As `copyBytes`; the words are those of the two buffers, counted from their first bytes. */
export function copyByWords(
  source: Uint8Array,
  sourceWords: Int32Array,
  from: number,
  target: Uint8Array,
  targetWords: Int32Array,
  to: number,
  length: number,
): void {
  if (((from ^ to) & 3) !== 0 || length > WORD_COPY_BYTES) {
    copyBytes(source, from, target, to, length);
    return;
  }
  const end = from + length;
  const shift = to - from;
  let at = from;
  for (; (at & 3) !== 0 && at < end; at++) target[at + shift] = source[at];
  const wordShift = shift >> 2;
  const lastWord = end >>> 2;
  let word = at >>> 2;
  for (; word < lastWord; word++) targetWords[word + wordShift] = sourceWords[word];
  for (at = Math.max(at, word << 2); at < end; at++) target[at + shift] = source[at];
}

/** The words of a buffer that was handed in twice running; others are not worth the view. */
export class WordsOfSame {
  #bytes: Uint8Array | undefined;
  #words: Int32Array | undefined;

  of(bytes: Uint8Array): Int32Array | undefined {
    if (bytes !== this.#bytes) {
      this.#bytes = bytes;
      this.#words = undefined;
      return undefined;
    }
    if (this.#words === undefined && bytes.byteOffset % 4 === 0)
      this.#words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2);
    return this.#words;
  }
}
