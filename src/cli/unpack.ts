/** Bytes that may be compressed: what begins as gzip is unpacked, all of it. */
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { LineError } from '../conformance/elsewhere/index.js';

const CHUNK_BYTES = 1 << 20;

/** @throws LineError when the compressed data is damaged, cut off, or not all of the source */
export async function* unpacked(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const iterator = source[Symbol.asyncIterator]();
  let first = new Uint8Array();
  while (first.length < 2) {
    const next = await iterator.next();
    if (next.done === true) break;
    first = Buffer.concat([first, next.value]);
  }
  const all = behind(first, iterator);
  if (first[0] === 0x1f && first[1] === 0x8b) yield* gunzipped(all);
  else yield* all;
}

async function* behind(
  first: Uint8Array,
  rest: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array, undefined> {
  if (first.length > 0) yield first;
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
}

async function* gunzipped(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let given = 0;
  const counted = async function* (): AsyncGenerator<Uint8Array> {
    for await (const chunk of source) {
      given += chunk.length;
      yield chunk;
    }
  };
  const gunzip = createGunzip({ chunkSize: CHUNK_BYTES });
  const input = Readable.from(counted());
  input.on('error', error => gunzip.destroy(error));
  input.pipe(gunzip);
  try {
    for await (const chunk of gunzip) yield chunk as Uint8Array;
  } catch (error) {
    if (error instanceof LineError || !(error instanceof Error)) throw error;
    throw new LineError(`the compressed data ends here or is damaged: ${error.message}`);
  }
  // What stands behind the compressed data is dropped by zlib without a word.
  if (gunzip.bytesWritten < given)
    throw new LineError(`${given - gunzip.bytesWritten} bytes behind the compressed data that are not gzip`);
}
