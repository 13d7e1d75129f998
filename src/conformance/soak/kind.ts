/** Which findings are one: told apart by the law that is broken and the shape of the smallest input that breaks it. */
import type { SoakInput } from './batch.js';
import type { Failure } from './trial.js';

/** The verbs of a program or the acts of attacks, in order and without their numbers: `createPd regMr*2 postSend`. */
export function shapeOf(input: SoakInput): string {
  const words =
    'program' in input
      ? input.program.actions.map(({ op }) => op)
      : input.attacks.flatMap(({ acts }) => acts.map(({ act }) => act));
  const runs: { word: string; times: number }[] = [];
  for (const word of words) {
    const last = runs.at(-1);
    if (last?.word === word) last.times++;
    else runs.push({ word, times: 1 });
  }
  return runs.map(({ word, times }) => (times === 1 ? word : `${word}*${times}`)).join(' ');
}

const SYMPTOM_CHARACTERS = 160;

/**
 * The law and what was seen, without the numbers in it. Failures of one symptom mostly have one cause, so that not each of
 * them needs to be made small to be told from the others.
 */
export function symptomOf({ law, message }: Failure): string {
  const seen = message
    .split('\n')[0]
    .replaceAll(/0x[0-9a-f]+|\b[a-z]+[0-9]+\b|-?[0-9]+/gi, '#')
    .slice(0, SYMPTOM_CHARACTERS);
  return `${law}: ${seen}`;
}

/** Every failure of a symptom up to this many is made small, and then each that doubles their number. */
const SHRUNK_AT_FIRST = 4;

/** @param seen how many failures of the symptom there were, this one included */
export function worthShrinking(seen: number): boolean {
  return seen <= SHRUNK_AT_FIRST || Number.isInteger(Math.log2(seen));
}
