/** What the command line puts in front of people: the kit and the spec. One object, so that tests can put others in. */
import type { Engine } from './engine.js';
import type { SpecBook } from './spec-book.js';

export interface Kit {
  readonly version: string;
  readonly workerUrl: URL;
  /** Module of the {@link Engine} that the worker thread loads. */
  readonly engineUrl: URL;
  engine(): Promise<Engine>;
  spec(): SpecBook;
}
