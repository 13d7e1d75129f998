/** What a scenario is: a verbs program with a known outcome, where it is from, and what it speaks to in the spec. */
import type { Program } from '../program.js';
import { Script } from './builder.js';
import type { ScriptOptions } from './builder.js';

export interface Scenario {
  /** Stable, such as `CTRL/create-cq/zero-depth`: room, subject, case. */
  readonly id: string;
  /** One sentence: what is done and what must come of it. */
  readonly doc: string;
  /** Where the case is from: a public test suite or tool, a manual page, or `derived` from the spec. */
  readonly source: string;
  /** Obligations of the spec that the outcome shows. */
  readonly requirements: readonly string[];
  readonly program: Program;
}

export interface ScenarioFacts extends ScriptOptions {
  readonly source?: string;
  readonly requirements?: readonly string[];
}

/** What every program shows that comes to the same on the stack as on bare metal. */
const invisible = ['OVR-10', 'OVR-11'];

/** A scenario whose program is what `write` puts into the script. */
export function scenario(
  id: string,
  doc: string,
  facts: ScenarioFacts,
  write: (script: Script) => void,
): Scenario {
  const script = new Script(facts);
  write(script);
  const { source = 'derived', requirements = invisible } = facts;
  return { id, doc, source, requirements, program: script.program(id, doc) };
}
