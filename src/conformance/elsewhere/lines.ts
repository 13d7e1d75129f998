/** Cuts a stream of bytes into lines of text, whatever the chunks. */

/** No event is that long; a file that is no trace at all may be one line. */
const LINE_BYTES_MAX = 1 << 20;
const NEWLINE = 10;

/** What is wrong with the bytes, in the line behind those that were taken. */
export class LineError extends Error {}

export class Lines {
  readonly #take: (line: string, ended: boolean) => void;
  /** UTF-8 that is not valid is an error: a line that was mended was not read. */
  readonly #decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  /** The line that has begun: its bytes so far. */
  #rest: Uint8Array[] = [];
  #restBytes = 0;

  /** `ended`: a line end stood behind the line. */
  constructor(take: (line: string, ended: boolean) => void) {
    this.#take = take;
  }

  /** @throws LineError, and whatever `take` throws */
  push(chunk: Uint8Array): void {
    const cut = chunk.lastIndexOf(NEWLINE);
    if (cut < 0) {
      this.#keep(chunk);
      return;
    }
    const whole = chunk.subarray(0, cut);
    const bytes = this.#restBytes === 0 ? whole : Buffer.concat([...this.#rest, whole]);
    this.#rest = [];
    this.#restBytes = 0;
    this.#lines(bytes);
    this.#keep(chunk.subarray(cut + 1));
  }

  /** The stream has ended: what is left is a line without an end. */
  end(): void {
    if (this.#restBytes > 0) this.#take(this.#decoded(Buffer.concat(this.#rest)), false);
  }

  #keep(part: Uint8Array): void {
    this.#restBytes += part.length;
    if (this.#restBytes > LINE_BYTES_MAX)
      throw new LineError(`a line of more than ${LINE_BYTES_MAX} bytes; expected one event a line`);
    // A copy, since whoever reads may use the chunk again; the slice of a Buffer is none.
    if (part.length > 0) this.#rest.push(new Uint8Array(part));
  }

  /** Whole lines, the line end of the last left out. */
  #lines(bytes: Uint8Array): void {
    let text: string;
    try {
      text = this.#decoder.decode(bytes);
    } catch {
      this.#oneByOne(bytes);
      return;
    }
    let from = 0;
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', from)) {
      this.#take(text.slice(from, at), true);
      from = at + 1;
    }
    this.#take(text.slice(from), true);
  }

  /** Something in these lines is no UTF-8: those before it are taken, and then it is told. */
  #oneByOne(bytes: Uint8Array): void {
    let from = 0;
    for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, from)) {
      this.#take(this.#decoded(bytes.subarray(from, at)), true);
      from = at + 1;
    }
    this.#take(this.#decoded(bytes.subarray(from)), true);
  }

  #decoded(bytes: Uint8Array): string {
    try {
      return this.#decoder.decode(bytes);
    } catch {
      throw new LineError('bytes that are no UTF-8; expected JSON Lines');
    }
  }
}
