/** The mutants for people: a line for each as it is caught, and what they came to. */
import { mutantChapters } from '../../conformance/mutants/mutant.js';
import type { Mutant } from '../../conformance/mutants/mutant.js';
import type { Detection } from '../../conformance/mutants/detect.js';
import { median } from '../../conformance/mutants/record.js';
import { count, duration, plural, table, wrap } from './text.js';
import type { Colours } from './text.js';

/** A mutant with what came of it, a detection for each seed that was run. */
export interface MutantRow {
  readonly mutant: Mutant;
  readonly detections: readonly Detection[];
}

const ID_WIDTH = 44;

/** `caught  device/any-class  CTRL/frame/class  1 run  0.01 s  3 actions` */
export function mutantLine({ mutant, detections }: MutantRow, c: Colours): string {
  const [first] = detections;
  const gotAway = detections.filter(({ by }) => by.length === 0);
  const verdict = gotAway.length === 0 ? c.green('caught') : c.red('missed');
  const by = [...new Set(detections.flatMap(({ by }) => by.map(each => each.case)))].join(', ');
  const seconds = `${(Math.max(...detections.map(({ elapsedMs }) => elapsedMs)) / 1000).toFixed(2)} s`;
  const seeds = gotAway.length === 0 ? '' : `, not with seed ${gotAway.map(({ seed }) => seed).join(', ')}`;
  return `${verdict}  ${mutant.id.padEnd(ID_WIDTH)}  ${by === '' ? 'nothing' : by}${seeds}  ${plural(first.runs, 'run')}, ${seconds}${sizeOf(first)}\n`;
}

/** How long that is which shows it: of a program its actions, of an exchange its steps. */
function sizeOf({ actions, steps }: Detection): string {
  if (actions !== undefined) return `, ${plural(actions, 'action')}`;
  return steps === undefined ? '' : `, ${plural(steps, 'step')}`;
}

/** Mutants by chapter, each with its sentence. */
export function mutantList(mutants: readonly Mutant[], width: number, c: Colours): string {
  return mutantChapters
    .map(chapter => ({ chapter, found: mutants.filter(each => each.chapter === chapter) }))
    .filter(({ found }) => found.length > 0)
    .map(({ chapter, found }) => {
      const entries = found.map(({ id, doc, needs, requirements }) => {
        const facts = [requirements.join(', '), ...(needs === undefined ? [] : [`needs a ${needs}`])].join(
          '; ',
        );
        return [`  ${c.bold(id)}  ${c.dim(facts)}`, ...wrap(doc, width, '    ')].join('\n');
      });
      return `${c.bold(`${chapter} (${found.length})`)}\n${entries.join('\n')}\n`;
    })
    .join('\n');
}

/** @param asked how many there were to hunt; fewer rows are a hunt that was cut off, which proves nothing of the rest */
export function mutantSummary(
  rows: readonly MutantRow[],
  asked: number,
  elapsedMs: number,
  c: Colours,
): string {
  const caught = rows.filter(isCaught);
  const seeds = new Set(rows.flatMap(({ detections }) => detections.map(({ seed }) => seed)));
  const times = rows.flatMap(({ detections }) => detections.map(each => each.elapsedMs));
  const shown = rows.map(({ detections: [first] }) => first);
  const actions = shown.flatMap(each => each.actions ?? []);
  const steps = shown.flatMap(each => each.steps ?? []);
  const chapters = mutantChapters
    .map(chapter => rows.filter(({ mutant }) => mutant.chapter === chapter))
    .filter(found => found.length > 0)
    .map(found => [found[0].mutant.chapter, count(found.length), count(found.filter(isCaught).length)]);
  const needs = (kind: Mutant['needs']): number => rows.filter(({ mutant }) => mutant.needs === kind).length;
  const reached = rows.length < asked ? `, ${count(rows.length)} of ${count(asked)} hunted` : '';
  return [
    '',
    ...table([['chapter', 'mutants', 'caught'], ...chapters], [1, 2]),
    '',
    `needing a race ${needs('race')}, a history ${needs('history')}`,
    `median ${duration(median(times))}; ${plural(actions.length, 'program')}, median ${plural(median(actions), 'action')}; ${plural(steps.length, 'exchange')}, median ${plural(median(steps), 'step')}`,
    '',
    `${verdictOf(caught.length, rows.length, asked, c)}  ${caught.length} of ${plural(rows.length, 'mutant')} on ${plural(seeds.size, 'seed')}${reached}, ${duration(elapsedMs)}`,
    ...rows.filter(row => !isCaught(row)).map(({ mutant }) => `  ${mutant.id}: ${mutant.doc}`),
    '',
  ].join('\n');
}

function verdictOf(caught: number, hunted: number, asked: number, c: Colours): string {
  if (caught < hunted) return c.red('SOME GOT AWAY');
  return hunted < asked ? c.red('CUT OFF') : c.green('ALL CAUGHT');
}

export function isCaught({ detections }: MutantRow): boolean {
  return detections.every(({ by }) => by.length > 0);
}
