/** `vrdma mutants`: does the judge see anything? It hunts drivers and devices with one deliberate fault each. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Command } from 'commander';
import type { Session } from '../session.js';
import type { Detection } from '../../conformance/mutants/detect.js';
import type { Mutant } from '../../conformance/mutants/mutant.js';
import {
  parseMutantRecord,
  recordOf,
  renderMutantRecord,
  renderMutantTables,
} from '../../conformance/mutants/record.js';
import { ExitCode, usageError } from '../exit-code.js';
import { isCaught, mutantLine, mutantList, mutantSummary } from '../format/mutants.js';
import type { MutantRow } from '../format/mutants.js';
import { hunt } from '../hunt.js';
import type { ProfileName } from '../job.js';
import type { MutantTask } from '../mutant-job.js';
import { unknownName } from '../nearest.js';
import { addOutputOptions, coloursFor, parseSeed, type OutputOptions } from '../options.js';

interface MutantsOptions extends OutputOptions {
  readonly seed: number;
  readonly seeds: number;
  readonly all?: boolean;
  readonly list?: boolean;
  readonly json?: boolean;
  readonly write?: string | true;
}

const PROFILE: ProfileName = 'roce';
const MARK = '<!-- mutants -->';

const EXAMPLES = `
A mutant is a sound driver, device, adapter or network with one deliberate fault. What caught it on the first
seed is asked first on the others; with --write and --all each seed begins anew. Exit code 1 when one gets away, 3 when
the hunt was cut off before that.

Examples:
  $ vrdma mutants                              every mutant, on three seeds
  $ vrdma mutants device/any-class --all       every case that catches it
  $ vrdma mutants 'ring/*' --seeds 1
  $ vrdma mutants --list`;

export function addMutantsCommand(root: Command, session: Session): void {
  const command = root
    .command('mutants')
    .summary('hunts drivers and devices with one deliberate fault each')
    .description('Shows what the cases and laws see: each mutant must be caught, on every seed.')
    .argument('[ids...]', 'mutants, with * for anything; all of them by default')
    .option('--seed <n>', 'the first seed', parseSeed, 1)
    .option('--seeds <n>', 'how many seeds, one behind the other', parseSeed, 3)
    .option('--all', 'ask everything, and name all that catches a mutant')
    .option('--list', 'print the mutants and hunt none')
    .option(
      '--write [directory]',
      'renew spec/mutants.json and docs/mutants.md below the directory; with ids, only their rows',
    )
    .option('--json', 'print as JSON');
  addOutputOptions(command)
    .addHelpText('after', EXAMPLES)
    .action((ids: string[], options: MutantsOptions) => run(ids, options, session));
}

async function run(ids: readonly string[], options: MutantsOptions, session: Session): Promise<void> {
  const { io, kit } = session;
  const { mutants } = await kit.engine();
  const chosen = ids.length === 0 ? mutants : ids.flatMap(id => mutantsNamed(id, mutants));
  const c = coloursFor(options, io);
  if (options.list === true) {
    io.out(options.json === true ? json(chosen.map(plain)) : mutantList(chosen, io.columns, c));
    return;
  }
  const started = io.nowMs();
  const seeds = Array.from({ length: Math.max(1, options.seeds) }, (_, i) => (options.seed + i) >>> 0);
  const { rows, complete } = await huntAll(chosen, seeds, options, session, row => {
    if (options.json !== true) io.out(mutantLine(row, c));
  });
  const elapsedMs = io.nowMs() - started;
  if (options.json === true)
    io.out(json(rows.map(({ mutant, detections }) => ({ ...plain(mutant), detections }))));
  else io.out(mutantSummary(rows, chosen.length, elapsedMs, c));
  if (!rows.every(isCaught)) session.exitCode = ExitCode.violations;
  else if (!complete) session.exitCode = ExitCode.couldNotJudge;
  if (complete && options.write !== undefined)
    write(options.write === true ? '.' : options.write, rows, mutants);
}

/** Every mutant on every seed; `onRow` gets each that is through, in the order of the mutants. */
async function huntAll(
  chosen: readonly Mutant[],
  seeds: readonly number[],
  options: MutantsOptions,
  { io, kit }: Session,
  onRow: (row: MutantRow) => void,
): Promise<{ rows: readonly MutantRow[]; complete: boolean }> {
  const found = new Map<string, Detection[]>(chosen.map(({ id }) => [id, []]));
  const rows: MutantRow[] = [];
  // What is written down is hunted from the start on every seed; else what caught a mutant once is asked first.
  const thorough = options.write !== undefined || options.all === true;
  const [firstSeed, ...otherSeeds] = seeds;
  const others = (id: string, first?: string): readonly MutantTask[] =>
    otherSeeds.map(seed => ({ id, seed, quick: true, first }));
  const tasks = chosen.flatMap(({ id }) => [
    { id, seed: firstSeed, quick: false },
    ...(thorough ? others(id) : []),
  ]);
  let stopListening: () => void = () => undefined;
  try {
    const complete = await hunt({
      workerUrl: new URL('mutant-worker.js', kit.workerUrl),
      data: { profile: PROFILE, all: options.all === true },
      tasks,
      onDetected(detection) {
        found.get(detection.mutant)?.push(detection);
        for (let next = chosen[rows.length]; next !== undefined; next = chosen[rows.length]) {
          const detections = found.get(next.id) ?? [];
          if (detections.length < seeds.length) break;
          const row = { mutant: next, detections: detections.toSorted((a, b) => a.seed - b.seed) };
          rows.push(row);
          onRow(row);
        }
        const again = !thorough && detection.seed === firstSeed;
        return again ? others(detection.mutant, detection.by.at(0)?.case) : [];
      },
      onStop(stop) {
        stopListening = io.onInterrupt(stop);
      },
    });
    return { rows, complete };
  } finally {
    stopListening();
  }
}

function mutantsNamed(wanted: string, mutants: readonly Mutant[]): readonly Mutant[] {
  const parts = wanted.split('*').map(part => part.replaceAll(/[.+?^${}()|[\]\\]/g, String.raw`\$&`));
  const pattern = new RegExp(`^${parts.join('.*')}$`);
  const found = mutants.filter(({ id, requirements }) => pattern.test(id) || requirements.includes(wanted));
  if (found.length > 0) return found;
  throw usageError(
    unknownName(
      'mutant',
      wanted,
      mutants.map(({ id }) => id),
    ),
  );
}

/** A mutant without what makes it wrong. */
function plain({ implementation: _code, ...facts }: Mutant): object {
  return facts;
}

function json(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

/** Renews the record and the tables; mutants that were not hunted keep the rows that they have, and the prose stays. */
function write(directory: string, rows: readonly MutantRow[], mutants: readonly Mutant[]): void {
  const recordFile = join(directory, 'spec', 'mutants.json');
  const hunted = new Map(
    rows.map(({ mutant, detections }) => [mutant.id, recordOf(mutant, detections)] as const),
  );
  const kept = hunted.size === mutants.length ? [] : parseMutantRecord(readFileSync(recordFile, 'utf8'));
  const earlier = new Map(kept.map(record => [record.id, record]));
  const records = mutants.flatMap(({ id }) => hunted.get(id) ?? earlier.get(id) ?? []);
  const document = join(directory, 'docs', 'mutants.md');
  const prose = readFileSync(document, 'utf8').split(MARK)[0];
  const tables = renderMutantTables(mutants, records);
  for (const [file, text] of [
    [recordFile, renderMutantRecord(records)],
    [document, `${prose}${MARK}\n\n${tables}`],
  ]) {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
}
