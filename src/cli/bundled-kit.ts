/** The kit that ships with the package. */
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import type { Engine } from './engine.js';
import type { Kit } from './kit.js';
import { readSpecBook } from './spec-book.js';

export function bundledKit(): Kit {
  const engineUrl = new URL('../conformance/index.js', import.meta.url);
  return {
    version: packageVersion(),
    workerUrl: new URL('./worker.js', import.meta.url),
    engineUrl,
    engine: async () => (await import(engineUrl.href)) as Engine,
    spec: once(readSpecBook),
  };
}

function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return z.object({ version: z.string() }).parse(JSON.parse(text)).version;
}

/** Reads at the first call only. */
function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}
