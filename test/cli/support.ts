/** Runs the command line in process, with everything it prints caught and a stub in place of the conformance kit. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { main } from '../../src/cli/app.js';
import type { Engine } from '../../src/cli/engine.js';
import type { Io } from '../../src/cli/io.js';
import { bundledKit } from '../../src/cli/bundled-kit.js';
import type { Kit } from '../../src/cli/kit.js';
import type { Program } from '../../src/conformance/program.js';
import { parseSpec, traceability } from '../../src/conformance/requirements.js';

/** Node runs no TypeScript in a worker thread, so the worker is the built one. */
export const workerUrl = new URL('../../dist/cli/worker.js', import.meta.url);
if (!existsSync(workerUrl)) throw new Error('dist/ is missing: run `npm run build` before these tests');

const stubEngineUrl = new URL('fixtures/stub-engine.mjs', import.meta.url);

/** What the stub kit does for a seed; see fixtures/stub-engine.mjs. */
export const Seed = { finding: 1001, throws: 1002, endless: 1003 };

export const program: Program = {
  version: 1,
  mode: 'settled',
  hosts: [0],
  arenaBytes: 4096,
  indirect: false,
  eventIdx: false,
  faults: { drop: 0, duplicate: 0, reorder: 0 },
  seed: 1,
  choices: { list: [], only: true },
  actions: [
    { op: 'createPd', vm: 0, as: 'pd0' },
    { op: 'destroyPd', vm: 0, pd: 'pd0' },
  ],
};

export interface Result {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface Terminal {
  readonly tty?: boolean;
  readonly columns?: number;
  readonly env?: Readonly<Record<string, string>>;
  /** What comes in on standard input, piece by piece. */
  readonly input?: Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
  /** Interrupts when this was printed on standard error for the first time. */
  readonly interruptAfter?: RegExp;
  /** How often; once by default. */
  readonly interrupts?: number;
}

export async function vrdma(
  argv: readonly string[],
  terminal: Terminal = {},
  kit = stubKit,
): Promise<Result> {
  const printed = { out: '', err: '' };
  const handlers = new Set<() => void>();
  let interrupted = false;
  const io: Io = {
    out: text => void (printed.out += text),
    err(text) {
      printed.err += text;
      if (interrupted || terminal.interruptAfter?.test(printed.err) !== true) return;
      interrupted = true;
      for (let times = terminal.interrupts ?? 1; times > 0; times--)
        setImmediate(() => handlers.forEach(handler => handler()));
    },
    outIsTty: terminal.tty ?? false,
    errIsTty: terminal.tty ?? false,
    columns: terminal.columns ?? 100,
    env: terminal.env ?? {},
    nowMs: () => performance.now(),
    randomSeed: () => 4_242,
    async *input() {
      yield* terminal.input ?? [];
    },
    onInterrupt(handler) {
      handlers.add(handler);
      return () => handlers.delete(handler);
    },
  };
  const code = await main(argv, io, kit);
  return { code, ...printed };
}

const specFile = {
  path: 'spec/05-control-commands.md',
  text: '- [CTRL-01] The device MUST answer every command.\n- [CTRL-02] {strict} The driver MUST wait.\n',
};
const trace = traceability(parseSpec([specFile]).requirements, [
  { id: 'CTRL-01', path: 'test/a.test.ts', line: 7, kind: 'test' },
]);

const stubKit: Kit = {
  version: '1.2.3',
  workerUrl,
  engineUrl: stubEngineUrl,
  engine: async () => (await import(stubEngineUrl.href)) as Engine,
  spec: () => ({
    rows: trace.rows,
    problems: trace.problems.map(({ path, line, message }) => `${path}:${line}: ${message}`),
    context: () => 'a section',
    mutants: [],
    text: id => trace.rows.find(({ requirement }) => requirement.id === id)?.requirement.text,
  }),
};

/** The kit as it was built, since a worker thread runs what was built. */
export function builtKit(): Kit {
  return {
    ...bundledKit(),
    workerUrl,
    engineUrl: new URL('../../dist/conformance/index.js', import.meta.url),
  };
}

export function fixture(name: string): string {
  return fileURLToPath(new URL(`fixtures/${name}`, import.meta.url));
}

/** A directory that is gone after the test. */
export function temporaryDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), 'vrdma-test-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}
