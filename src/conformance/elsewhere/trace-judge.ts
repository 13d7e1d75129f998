/**
 * Judges a trace line by line and in bounded memory: the machines, and the laws of completions. What no machine follows is
 * checked for its form, and counted as that.
 */
import type { z } from 'zod';
import { LawBroken } from '../laws.js';
import { MachineBroken, MonitorBook } from '../monitors/book.js';
import { ControlTrace } from './control-trace.js';
import {
  controlSchema,
  headerSchema,
  machineSchema,
  ringSchema,
  TRACE_VERSION,
  tracePoints,
  verbsSchemas,
  wireSchema,
} from './format.js';
import type { TraceEvent, TraceHeader, TracePoint, VerbsEvent } from './format.js';
import { Names } from './instances.js';
import { MachineTrace } from './machine-trace.js';
import { RingTrace } from './ring-trace.js';
import { Unjudged } from './unjudged.js';
import type { UnjudgedReason } from './unjudged.js';
import { VerbsTrace } from './verbs-trace.js';
import { metText } from './violation-text.js';

/** A law or machine that the trace broke. */
export interface TraceFinding {
  /** 1-based. */
  readonly line: number;
  /** The line itself; cut when it is long. */
  readonly text: string;
  /** The law in a sentence, or `machine NAME`. */
  readonly law: string;
  readonly requirements: readonly string[];
  /** What was seen, and what was expected. */
  readonly message: string;
  /** Of a machine. */
  readonly violation?:
    | {
        readonly machine: string;
        readonly instance: string;
        /** The states that were possible; none when there was no such instance. */
        readonly states: readonly string[];
        readonly met: string;
        readonly expected: readonly string[];
      }
    | undefined;
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
  /** `inconclusive`: no law was broken, and the trace was not read to its end or nothing of it was judged. */
  readonly verdict: 'pass' | 'fail' | 'inconclusive';
  /** Read to its end. */
  readonly whole: boolean;
  readonly header: TraceHeader;
  readonly lines: number;
  /** Events, by point. */
  readonly events: Readonly<Partial<Record<TracePoint, number>>>;
  /** The first ones; `findingsInAll` counts the others too. */
  readonly findings: readonly TraceFinding[];
  readonly findingsInAll: number;
  /** Events that were read and not judged, by reason. */
  readonly unjudged: Readonly<Record<UnjudgedReason, number>>;
}

/** Findings that are kept. */
const FINDINGS_KEPT = 100;
const FINDINGS_ENOUGH = 10_000;
/** Characters of a line that a finding keeps. */
const TEXT_MAX = 400;

/** Takes the lines one by one with {@link line}; {@link finish} gives the verdict. */
export class TraceJudge {
  #line = 0;
  #text = '';
  #blank = 0;
  #header: TraceHeader | undefined;
  #parts: Parts | undefined;
  readonly #events: Partial<Record<TracePoint, number>> = {};
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

  /**
   * Judges a line. `ended`: a line end stood behind it; the last one may be without.
   * @throws TraceError when it cannot be understood
   */
  line(text: string, ended = true): void {
    const { length } = text;
    if (length < 3 && text.trim() === '') return this.#emptyLine();
    if (this.#blank > 0) throw new TraceError(this.#blank, 'an empty line; only the last one may be empty');
    this.#line++;
    this.#text = text;
    const json = this.#parsed(text, ended);
    if (this.#parts === undefined) this.#begin(json);
    else this.#event(this.#parts, json);
  }

  /** The first of them. */
  get found(): readonly TraceFinding[] {
    return this.#findings;
  }

  /** So much is broken that there is no need to read on. */
  get enough(): boolean {
    return this.#findingsInAll >= FINDINGS_ENOUGH;
  }

  /**
   * What came of it. `whole`: the trace has ended, and all of it was given to {@link line}.
   * @throws TraceError when it did not even begin
   */
  finish(whole = true): TraceVerdict {
    if (this.#parts === undefined || this.#header === undefined)
      throw new TraceError(1, `the trace is empty; expected a header such as ${EXAMPLE}`);
    const { unjudged, books } = this.#parts;
    const events = Object.values(this.#events).reduce((sum, count) => sum + count, 0);
    const judged = events - Object.values(unjudged.counts).reduce((sum, count) => sum + count, 0);
    // A trace may stop at any time: what is outstanding then is no fault.
    return {
      verdict: this.#findingsInAll > 0 ? 'fail' : whole && judged > 0 ? 'pass' : 'inconclusive',
      whole,
      header: this.#header,
      lines: this.#line,
      events: this.#events,
      findings: this.#findings,
      findingsInAll: this.#findingsInAll,
      unjudged: { ...unjudged.counts, spoilt: books.reduce((sum, book) => sum + book.unjudged, 0) },
    };
  }

  #emptyLine(): void {
    if (this.#blank > 0) throw new TraceError(this.#blank, 'an empty line; only the last one may be empty');
    this.#blank = this.#line + 1;
  }

  #parsed(text: string, ended: boolean): unknown {
    try {
      return JSON.parse(text);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const cut = ended ? '' : '; no line end follows: the trace was cut off here';
      throw new TraceError(this.#line, `this is not JSON (${why}); expected one whole object a line${cut}`);
    }
  }

  #begin(json: unknown): void {
    const version = member(json, 'vrdmaTrace');
    if (version === undefined) throw new TraceError(this.#line, noHeader(json));
    if (version !== TRACE_VERSION) {
      const hint =
        typeof version === 'number' && version > TRACE_VERSION
          ? 'use a newer vrdma'
          : 'record it again (docs/traces.md)';
      throw new TraceError(
        this.#line,
        `a trace of version ${JSON.stringify(version)}; this vrdma reads version ${TRACE_VERSION}: ${hint}`,
      );
    }
    const header = this.#checked(headerSchema, json);
    if (header.from === 'middle' && header.points.includes('ring'))
      throw new TraceError(
        this.#line,
        'from "middle" and point ring; a trace of rings begins with empty rings',
      );
    this.#header = header;
    this.#parts = this.#partsFor(header);
  }

  #partsFor(header: TraceHeader): Parts {
    const names = new Names();
    const namesOfMachines = new Names();
    const book = new TraceBook(broken => this.#found(broken, names));
    // A recorder's own instances are not those of the other points.
    const machineBook = new TraceBook(broken => this.#found(broken, namesOfMachines));
    const unjudged = new Unjudged();
    return {
      points: new Set<string>(header.points),
      unjudged,
      books: [book, machineBook],
      names,
      verbs: new VerbsTrace(book, header, unjudged, names),
      control: new ControlTrace(book, header, unjudged, names),
      ring: new RingTrace(book, header, unjudged, names),
      machine: new MachineTrace(machineBook, header, unjudged, namesOfMachines),
    };
  }

  #event(parts: Parts, json: unknown): void {
    const said = member(json, 'point');
    const point = tracePoints.find(each => each === said);
    if (point === undefined || !parts.points.has(point))
      throw new TraceError(
        this.#line,
        `point ${shown(said)}; the header has ${[...parts.points].join(', ')}`,
      );
    this.#events[point] = (this.#events[point] ?? 0) + 1;
    let complaint: string | undefined;
    try {
      complaint = this.#judge(parts, point, json);
    } catch (error) {
      if (!(error instanceof LawBroken)) throw error;
      this.#found(error, parts.names);
    }
    if (complaint !== undefined) throw new TraceError(this.#line, complaint);
  }

  /** Returns what makes the line impossible to understand, if anything does. @throws LawBroken */
  #judge(parts: Parts, point: TracePoint, json: unknown): string | undefined {
    switch (point) {
      case 'verbs':
        return parts.verbs.event(this.#verbsEvent(json));
      case 'control':
        return parts.control.event(this.#checked(controlSchema, json));
      case 'ring':
        return parts.ring.event(this.#checked(ringSchema, json));
      case 'machine':
        return parts.machine.event(this.#checked(machineSchema, json));
      case 'wire':
        this.#checked(wireSchema, json);
        parts.unjudged.count('form');
        return undefined;
    }
  }

  #verbsEvent(json: unknown): VerbsEvent {
    const what = member(json, 'what');
    switch (what) {
      case 'call':
        return this.#checked(verbsSchemas.call, json);
      case 'result':
        return this.#checked(verbsSchemas.result, json);
      case 'post':
        return this.#checked(verbsSchemas.post, json);
      case 'completion':
        return this.#checked(verbsSchemas.completion, json);
      case 'event':
        return this.#checked(verbsSchemas.event, json);
      case 'note':
        return this.#checked(verbsSchemas.note, json);
      default:
        throw new TraceError(
          this.#line,
          `what ${shown(what)}; expected ${Object.keys(verbsSchemas).join(', ')}`,
        );
    }
  }

  #checked<T extends TraceEvent | TraceHeader>(schema: z.ZodType<T>, json: unknown): T {
    const result = schema.safeParse(json);
    if (result.success) return result.data;
    const [issue] = result.error.issues;
    const where = issue.path.length === 0 ? 'the top' : issue.path.join('.');
    throw new TraceError(this.#line, `at ${where}: ${expectedText(issue)}`);
  }

  #found(broken: LawBroken, names: Names): void {
    this.#findingsInAll++;
    if (this.#findings.length < FINDINGS_KEPT)
      this.#findings.push(findingOf(broken, this.#line, this.#text, names));
  }
}

interface Parts {
  readonly points: ReadonlySet<string>;
  readonly unjudged: Unjudged;
  readonly books: readonly MonitorBook[];
  readonly names: Names;
  readonly verbs: VerbsTrace;
  readonly control: ControlTrace;
  readonly ring: RingTrace;
  readonly machine: MachineTrace;
}

/** Hands each broken law on as it is found, in place of keeping the first one. */
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

function findingOf(broken: LawBroken, line: number, text: string, names: Names): TraceFinding {
  const { law, requirements, message } = broken;
  const cut = text.length <= TEXT_MAX ? text : `${text.slice(0, TEXT_MAX)}...`;
  // A copy: a part of a string keeps the whole of it alive.
  const common = { line, text: Buffer.from(cut).toString(), law, requirements };
  if (!(broken instanceof MachineBroken)) return { ...common, message };
  const { violation } = broken;
  const { machine, key, states, expected } = violation;
  const instance = names.of(machine, key);
  const met = metText(violation);
  const where = states.length === 0 ? 'which does not exist' : `in state ${states.join(' or ')}`;
  const allowed = expected.length === 0 ? 'nothing' : expected.join(', ');
  return {
    ...common,
    message: `${machine}, ${instance}, ${where}, met ${met}; it allows ${allowed}`,
    violation: { machine, instance, states, met, expected },
  };
}

const EXAMPLE = `{"vrdmaTrace":${TRACE_VERSION},"points":["verbs"]}`;

/** What was expected; of a member that may be one of several things, each of them. */
function expectedText(issue: z.core.$ZodIssue): string {
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return issue.message;
  return issue.errors.flatMap(branch => branch.map(each => each.message)).join('; or ');
}

function noHeader(json: unknown): string {
  const expected = `expected a header such as ${EXAMPLE}`;
  if (member(json, 'actions') !== undefined || member(json, 'program') !== undefined)
    return `this is a verbs program and no trace; ${expected}. vrdma replay runs programs.`;
  if (member(json, 'report') !== undefined || member(json, 'suites') !== undefined)
    return `this is a report and no trace; ${expected}. vrdma diff and merge read reports.`;
  return `no header; ${expected}`;
}

function member(json: unknown, name: string): unknown {
  if (typeof json !== 'object' || json === null || !Object.hasOwn(json, name)) return undefined;
  return Reflect.get(json, name);
}

function shown(value: unknown): string {
  return value === undefined ? 'is missing' : JSON.stringify(value);
}
