/** What a run of the mutants has shown, as it is kept in git: `spec/mutants.json`, and `docs/mutants.md` for people. */
import { z } from 'zod';
import { argued } from './argued.js';
import type { Detection } from './detect.js';
import { equivalents } from './equivalents.js';
import type { Mutant, MutantChapter } from './mutant.js';
import { mutantChapters } from './mutant.js';

const recordSchema = z.array(
  z.strictObject({
    id: z.string(),
    doc: z.string(),
    requirements: z.array(z.string()),
    /** Cases that caught it first, one for each seed; a case that did so more than once stands here once. */
    caughtBy: z.array(z.string()),
    /** Cases and programs that the first seed took. */
    runs: z.int(),
    /** Actions of the smallest program that shows it to the first seed, if a program does. */
    actions: z.int().optional(),
    /** What the hand-written peer does in the exchange that shows it, if one does. */
    steps: z.int().optional(),
  }),
);
export type MutantRecord = z.infer<typeof recordSchema>[number];

export function parseMutantRecord(text: string): readonly MutantRecord[] {
  return recordSchema.parse(JSON.parse(text));
}

/** @param detections of one mutant, one for each seed */
export function recordOf({ id, doc, requirements }: Mutant, detections: readonly Detection[]): MutantRecord {
  const [first] = detections;
  return {
    id,
    doc,
    requirements: [...requirements],
    caughtBy: [...new Set(detections.flatMap(({ by }) => by.slice(0, 1).map(each => each.case)))],
    runs: first.runs,
    actions: first.actions,
    steps: first.steps,
  };
}

export function renderMutantRecord(records: readonly MutantRecord[]): string {
  const lines = records.map(record => `  ${JSON.stringify(record)}`);
  return `[\n${lines.join(',\n')}\n]\n`;
}

/** The middle of a list of numbers, the lower one of two; 0 of none. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) / 2)] ?? 0;
}

/** `docs/mutants.md` behind its prose: figures, the table by chapter, equivalent mutants, what no mutant can break. */
export function renderMutantTables(mutants: readonly Mutant[], records: readonly MutantRecord[]): string {
  const byId = new Map(records.map(record => [record.id, record]));
  const chapters = mutantChapters.flatMap(chapter => chapterTable(chapter, mutants, byId));
  const unbreakable = Object.entries(argued);
  return [
    ...figures(mutants, records),
    ...chapters,
    '## Equivalent mutants',
    '',
    'Changes that were tried and that nobody can see, with the reason. They are not counted.',
    '',
    ...equivalents.map(({ change, reason }) => `- **${change}** ${reason}`),
    '',
    '## Obligations that no mutant breaks',
    '',
    '| requirement | why |',
    '| --- | --- |',
    ...unbreakable.map(([id, reason]) => `| ${id} | ${reason} |`),
    '',
  ].join('\n');
}

function figures(mutants: readonly Mutant[], records: readonly MutantRecord[]): string[] {
  const caught = records.filter(({ caughtBy }) => caughtBy.length > 0);
  const needs = (kind: Mutant['needs']): number => mutants.filter(each => each.needs === kind).length;
  const requirements = new Set(mutants.flatMap(each => each.requirements));
  const actions = records.flatMap(record => record.actions ?? []);
  const steps = records.flatMap(record => record.steps ?? []);
  const runs = median(records.map(record => record.runs));
  const rest = records.length - actions.length - steps.length;
  return [
    `${mutants.length} mutants, ${caught.length} caught; ${needs('race')} need a race and ${needs('history')} a long history to show.`,
    `They break ${requirements.size} obligations. Median: ${runs} ${runs === 1 ? 'run' : 'runs'} until the catch. ${actions.length} are shown by a program, made small:`,
    `median ${median(actions)} ${median(actions) === 1 ? 'action' : 'actions'}, at most ${Math.max(0, ...actions)}. ${steps.length} are shown by a hand-written peer in an exchange that is not shrunk: median ${median(steps)} steps, at most ${Math.max(0, ...steps)}.`,
    `Over both: median ${median([...actions, ...steps])}.`,
    `${rest} ${rest === 1 ? 'shows' : 'show'} in the counts of a campaign or as a crash, and have neither.`,
    '',
  ];
}

function chapterTable(
  chapter: MutantChapter,
  mutants: readonly Mutant[],
  byId: ReadonlyMap<string, MutantRecord>,
): string[] {
  const rows = mutants
    .filter(each => each.chapter === chapter)
    .map(({ id, doc, needs, requirements }) => {
      const record = byId.get(id);
      const caughtBy = record === undefined ? '' : record.caughtBy.join(', ');
      const cells = [
        id,
        doc,
        needs ?? '',
        requirements.join(' '),
        caughtBy,
        record?.runs ?? '',
        record?.actions ?? '',
        record?.steps ?? '',
      ];
      return `| ${cells.map(cell => String(cell).replaceAll('|', '\\|')).join(' | ')} |`;
    });
  if (rows.length === 0) return [];
  return [
    `## ${chapter[0].toUpperCase()}${chapter.slice(1)}`,
    '',
    '| mutant | what is wrong | needs | breaks | caught by | runs | actions | steps |',
    '| --- | --- | --- | --- | --- | --: | --: | --: |',
    ...rows,
    '',
  ];
}
