/**
 * Judges a trace that somebody else's system has recorded, line by line and in bounded memory: the machines, and the laws of
 * completions. What a line says that no machine follows is checked for its form and left at that.
 */
import { match } from 'ts-pattern';
import { z } from 'zod';
import { LawBroken } from '../laws.js';
import { MonitorBook } from '../monitors/book.js';
import { ControlTrace, RingTrace } from './below-verbs.js';
import {
  callSchema,
  completionSchema,
  controlSchema,
  ELSEWHERE_VERSION,
  eventSchema,
  headerSchema,
  machineSchema,
  postSchema,
  resultSchema,
  ringSchema,
} from './format.js';
import type { ElsewhereEvent, TraceHeader, VerbsEvent } from './format.js';
import { MachineTrace } from './machine-trace.js';
import { VerbsTrace } from './verbs-trace.js';

/** A law or machine that the trace broke. */
export interface TraceFinding {
  /** 1-based. */
  readonly line: number;
  readonly law: string;
  readonly requirements: readonly string[];
  /** The machine, the state it was in, what it met and what it allows; or what the law found. */
  readonly message: string;
}

/** A line that cannot be understood: the trace has no verdict. */
export class TraceError extends Error {
  /** 1-based. */
  readonly line: number;

  /** @param message what is wrong, where, and what was expected */
  constructor(line: number, message: string) {
    super(`line ${line}: ${message}`);
    this.name = 'TraceError';
    this.line = line;
  }
}

export interface TraceVerdict {
  readonly verdict: 'pass' | 'fail';
  readonly header: TraceHeader;
  readonly lines: number;
  /** Events, by point. */
  readonly events: Readonly<Record<string, number>>;
  /** The first ones; `findingsInAll` counts the others too. */
  readonly findings: readonly TraceFinding[];
  readonly findingsInAll: number;
  /** Events about objects older than the trace, which were not judged. */
  readonly unjudged: number;
}

/** Findings that are kept. */
const FINDINGS_KEPT = 100;
/** A trace that breaks this much is not read on for more: each finding costs memory. */
const FINDINGS_MAX = 10_000;

/** Hands each broken law on with the line, in place of keeping the first one. */
class TraceBook extends MonitorBook {
  readonly #report: (broken: LawBroken) => void;

  constructor(report: (broken: LawBroken) => void) {
    super();
    this.#report = report;
  }

  override report(broken: LawBroken): void {
    this.#report(broken);
  }
}

/** Takes the lines one by one with {@link line}; {@link finish} gives the verdict. */
export class TraceJudge {
  #line = 0;
  #header: TraceHeader | undefined;
  #parts: Parts | undefined;
  readonly #events: Record<string, number> = {};
  readonly #findings: TraceFinding[] = [];
  #findingsInAll = 0;

  /** Lines taken so far. */
  get lines(): number {
    return this.#line;
  }

  /** Findings so far. */
  get findings(): number {
    return this.#findingsInAll;
  }

  /** Judges a line. @throws TraceError when it cannot be understood */
  line(text: string): void {
    this.#line++;
    const json = this.#parsed(text);
    if (this.#parts === undefined) this.#begin(json);
    else this.#event(this.#parts, json);
  }

  /** The trace has ended, whole. @throws TraceError when it did not even begin */
  finish(): TraceVerdict {
    if (this.#parts === undefined || this.#header === undefined)
      throw new TraceError(1, `the trace is empty; expected a header such as ${EXAMPLE}`);
    // A trace may stop at any time: what is outstanding then is no fault.
    const { adopted } = this.#parts.verbs;
    return {
      verdict: this.#findingsInAll === 0 ? 'pass' : 'fail',
      header: this.#header,
      lines: this.#line,
      events: this.#events,
      findings: this.#findings,
      findingsInAll: this.#findingsInAll,
      unjudged: adopted,
    };
  }

  #parsed(text: string): unknown {
    try {
      return JSON.parse(text);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new TraceError(this.#line, `this is not JSON (${why}); expected one whole object a line`);
    }
  }

  #begin(json: unknown): void {
    const version =
      typeof json === 'object' && json !== null && 'vrdmaTrace' in json ? json.vrdmaTrace : undefined;
    if (version === undefined) throw new TraceError(this.#line, `no header; expected one such as ${EXAMPLE}`);
    if (version !== ELSEWHERE_VERSION) {
      const known = `this vrdma reads version ${ELSEWHERE_VERSION}`;
      throw new TraceError(this.#line, `a trace of version ${JSON.stringify(version)}; ${known}`);
    }
    const header = this.#checked(headerSchema, json);
    if (header.from === 'middle' && header.points.includes('ring')) {
      throw new TraceError(
        this.#line,
        'from "middle" and point ring; a trace of rings begins with empty rings',
      );
    }
    const book = new TraceBook(broken => this.#found(broken));
    this.#header = header;
    this.#parts = {
      points: new Set<string>(header.points),
      verbs: new VerbsTrace(book, header),
      control: new ControlTrace(book, header),
      ring: new RingTrace(book, header),
      machine: new MachineTrace(book),
    };
  }

  #event(parts: Parts, json: unknown): void {
    const { point, what } = pointOf(json);
    if (point === undefined || !parts.points.has(point)) {
      const said = [...parts.points].join(', ');
      throw new TraceError(this.#line, `point ${JSON.stringify(point)}; the header has ${said}`);
    }
    this.#events[point] = (this.#events[point] ?? 0) + 1;
    const complaint = this.#judge(parts, point, what, json);
    if (complaint !== undefined) throw new TraceError(this.#line, complaint);
  }

  /** Returns what makes the line impossible to understand, if anything does. */
  #judge(parts: Parts, point: string, what: unknown, json: unknown): string | undefined {
    try {
      switch (point) {
        case 'verbs':
          return parts.verbs.event(this.#verbsEvent(what, json));
        case 'control':
          return parts.control.event(this.#checked(controlSchema, json));
        case 'ring':
          return parts.ring.event(this.#checked(ringSchema, json));
        default:
          return parts.machine.event(this.#checked(machineSchema, json));
      }
    } catch (error) {
      if (!(error instanceof LawBroken)) throw error;
      this.#found(error);
      return undefined;
    }
  }

  #verbsEvent(what: unknown, json: unknown): VerbsEvent {
    return match(what)
      .with('call', () => this.#checked(callSchema, json))
      .with('result', () => this.#checked(resultSchema, json))
      .with('post', () => this.#checked(postSchema, json))
      .with('completion', () => this.#checked(completionSchema, json))
      .with('event', () => this.#checked(eventSchema, json))
      .otherwise(() => {
        throw new TraceError(
          this.#line,
          `what ${JSON.stringify(what)}; expected call, result, post, completion or event`,
        );
      });
  }

  #checked<T extends ElsewhereEvent | TraceHeader>(schema: z.ZodType<T>, json: unknown): T {
    const result = schema.safeParse(json);
    if (result.success) return result.data;
    const [{ path, message }] = result.error.issues;
    throw new TraceError(this.#line, `at ${path.length === 0 ? 'the top' : path.join('.')}: ${message}`);
  }

  #found({ law, requirements, message }: LawBroken): void {
    this.#findingsInAll++;
    if (this.#findings.length < FINDINGS_KEPT)
      this.#findings.push({ line: this.#line, law, requirements, message });
    if (this.#findingsInAll >= FINDINGS_MAX)
      throw new TraceError(this.#line, `${FINDINGS_MAX} laws were broken by now; the rest was not read`);
  }
}

interface Parts {
  readonly points: ReadonlySet<string>;
  readonly verbs: VerbsTrace;
  readonly control: ControlTrace;
  readonly ring: RingTrace;
  readonly machine: MachineTrace;
}

const EXAMPLE = `{"vrdmaTrace":${ELSEWHERE_VERSION},"points":["verbs"]}`;

function pointOf(json: unknown): { readonly point: string | undefined; readonly what: unknown } {
  if (typeof json !== 'object' || json === null || !('point' in json) || typeof json.point !== 'string')
    return { point: undefined, what: undefined };
  return { point: json.point, what: 'what' in json ? json.what : undefined };
}
