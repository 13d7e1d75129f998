/** The choices that a program brings along. */
import { SeededChoices, firstChoice } from '../fabric/index.js';
import type { Choices } from '../fabric/index.js';
import type { Program } from './program.js';

/** The list of a program first, then its seed or always the first option. */
export function choicesOf(program: Program): Choices {
  const { list, only } = program.choices;
  const rest = only ? firstChoice : new SeededChoices(program.seed);
  if (list.length === 0) return rest;
  let next = 0;
  return { pick: count => (next < list.length ? list[next++] % count : rest.pick(count)) };
}
