/**
 * A conformance case: one promise of the spec with a stable id, and the way in which an implementation is asked whether it
 * keeps it. Cases are data; `run-cases.ts` runs them, `grade.ts` says what came of each.
 */
import type { ProfileName } from '../../abi/index.js';
import type { Implementation } from '../implementation.js';
import type { Program } from '../program.js';
import type { ChartEvent } from '../chart-event.js';

/** Whose behaviour a case judges. A case about both needs the two together. */
export type Party = 'driver' | 'device' | 'both';

/** What an implementation must offer for a case to say anything. */
export interface CaseNeeds {
  readonly features?: readonly ('indirect' | 'event-idx' | 'ring-reset' | 'packed' | 'in-order')[];
  readonly services?: readonly ('RC' | 'UC' | 'UD' | 'GSI')[];
  /** The only profile in which the case makes sense. */
  readonly profile?: ProfileName;
  /** What of the kit's own world around the device it needs, so that it cannot be asked of a device outside. */
  readonly inside?: string;
}

/** How a case is run. */
export type CaseHow =
  /** A program with a known outcome, on the stack and on bare metal. */
  | { readonly kind: 'program'; readonly program: Program }
  /** A hand-written peer opposite the implementation. */
  | { readonly kind: 'probe'; readonly run: CaseRun }
  /** A peer that breaks rules on purpose, from a seed. */
  | { readonly kind: 'hostile'; readonly run: CaseRun }
  /** A law or machine, by its name, over the campaign of generated programs. */
  | { readonly kind: 'property'; readonly law: string }
  /** What the rings show while generated programs run, by the observation's id. */
  | { readonly kind: 'observation'; readonly observation: string }
  /** A promised cost, by the requirement id of its row. */
  | { readonly kind: 'bound'; readonly bound: string };

export interface ConformanceCase {
  /** `CTRL/create-cq/zero-depth`: chapter of the spec, subject, what is special; stable for ever. */
  readonly id: string;
  /** One sentence: what is done, and what must come of it. */
  readonly doc: string;
  /** Where the case is from: a public test suite, tool or manual page, or `derived` from the spec. */
  readonly source: string;
  /** What it shows, the most telling first; never empty. */
  readonly requirements: readonly string[];
  readonly judges: Party;
  readonly needs: CaseNeeds;
  /** Many tries or one long history, hundreds of times what the others cost: it waits where the order is free. */
  readonly long?: true;
  readonly how: CaseHow;
}

/** The chapter prefix of a case's id, which is its suite. */
export function chapterOf(id: string): string {
  return id.slice(0, id.indexOf('/'));
}

export interface CaseContext {
  readonly profile: ProfileName;
  /** Who is judged; the bundled driver or device stands where none is named. */
  readonly implementation: Implementation;
  /** 32 bits; everything random follows from it. */
  readonly seed: number;
}

/**
 * Asks the implementation. Resolves when it kept the promise; throws {@link CaseBroken} when it did not, and
 * {@link CaseUnsupported} when it does not offer what the case needs. What else is thrown counts as a crash.
 */
export type CaseRun = (context: CaseContext) => Promise<CaseEffort>;

/** What a case cost. */
export interface CaseEffort {
  /** Programs, commands or attacks tried: whatever a single try is. */
  readonly runs: number;
  /** Verbs calls, commands or ring elements in all of them. */
  readonly actions: number;
}

/** A promise that was broken, told so that a person sees what to mend. */
export class CaseBroken extends Error {
  /** Which promises, the most telling first. */
  readonly requirements: readonly string[];
  /** What went on, step by step, the failure last. */
  readonly steps: readonly ChartEvent[];
  /** What the kit's peer did up to then, steps that are shown no more among them; 0 where nobody counted. */
  readonly actions: number;

  /** @param message one line: what was seen, and what was expected */
  constructor(
    requirements: readonly string[],
    message: string,
    steps: readonly ChartEvent[] = [],
    actions = 0,
  ) {
    super(message);
    this.name = 'CaseBroken';
    this.requirements = requirements;
    this.steps = steps;
    this.actions = actions;
  }
}

/** The implementation does not offer what the case needs. */
export class CaseUnsupported extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'CaseUnsupported';
  }
}
