/** What the rings of served devices have shown, as text. */
import type { LiveOutcome } from '../../conformance/serve/index.js';
import { count, plural, wrap, type Colours } from './text.js';

export interface ServeFormat {
  readonly width: number;
  readonly colours: Colours;
  requirementText(id: string): string | undefined;
}

/** What a run has come to; none that looked at nothing says anything. */
export type ServeVerdict = 'pass' | 'fail' | 'inconclusive';

/** `cut`: a peer has ended the run, which breaks something by itself. */
export function serveVerdict(outcomes: readonly LiveOutcome[], cut = false): ServeVerdict {
  if (cut || outcomes.some(({ observation, breaches }) => observation.verdict === 'fail' && breaches > 0))
    return 'fail';
  return outcomes.some(({ looks }) => looks > 0) ? 'pass' : 'inconclusive';
}

export interface ServeRun {
  readonly machines: number;
  readonly notJudged: number;
  /** A peer has ended the run by SIGBUS. */
  readonly cut?: boolean;
}

export function serveText(
  outcomes: readonly LiveOutcome[],
  { machines, notJudged, cut }: ServeRun,
  format: ServeFormat,
): string {
  const { colours: c } = format;
  const looks = outcomes.reduce((sum, outcome) => sum + outcome.looks, 0);
  const broken = outcomes.filter(({ breaches }) => breaches > 0);
  const seen = outcomes.filter(outcome => outcome.looks > 0).length;
  const lines = [
    ...broken.flatMap(outcome => [...outcomeLines(outcome, format), '']),
    `${seen} of ${outcomes.length} observations were made in the rings of ${plural(machines, 'machine')}, ${count(looks)} looks in all`,
    c.dim(`${notJudged} more need the driver in this process (docs/peers.md)`),
    ...(cut === true ? ['cut short by SIGBUS: what was judged in the last moment may be missing'] : []),
  ];
  switch (serveVerdict(outcomes, cut)) {
    case 'fail':
      lines.push(c.red(c.bold('NOT CONFORMANT')));
      break;
    case 'pass':
      lines.push(c.green('no obligation was broken'));
      break;
    case 'inconclusive':
      lines.push(c.yellow('NO VERDICT: no ring was used'));
  }
  return `${lines.join('\n')}\n`;
}

function outcomeLines({ observation, breaches, first }: LiveOutcome, format: ServeFormat): string[] {
  const { width, colours: c } = format;
  const { id, doc, judges, verdict, requirements } = observation;
  const title =
    verdict === 'fail' ? c.red(c.bold(`BROKEN  ${id}`)) : c.yellow(`COUNTED  ${id}, which binds nobody`);
  return [
    `${title}  (judges the ${judges === 'both' ? 'driver and the device' : judges}; ${plural(breaches, 'time')})`,
    ...wrap(doc, width, '  '),
    ...wrap(first?.message ?? '', width, '  '),
    ...requirements.flatMap(each =>
      wrap(`[${each}] ${format.requirementText(each) ?? '(no chapter has this id)'}`, width, '  '),
    ),
    ...(first?.rings ?? []).map(line => c.dim(`    ${line}`)),
  ];
}
