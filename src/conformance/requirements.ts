/**
 * The requirements of `spec/` as data, the places that check them, and what is wrong between the two. Everything here is
 * text in, data out: reading files is the caller's business.
 */

export type Bearer = 'device' | 'driver';
export type Keyword = 'MUST' | 'MUST NOT' | 'SHOULD' | 'SHOULD NOT' | 'MAY';

/** A file as its caller read it. `path` is relative to the project and is only shown. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

/** One obligation, which is one list item of a chapter. */
export interface Requirement {
  /** Chapter prefix, hyphen, number. */
  readonly id: string;
  /** The prefix: the capital letters before the hyphen. */
  readonly chapter: string;
  readonly bearer: Bearer;
  readonly keyword: Keyword;
  /** A lenient reading of the public record exists, and the text near by names it. */
  readonly strict: boolean;
  /** The sentence, without id and marks. */
  readonly text: string;
  readonly path: string;
  /** 1-based. */
  readonly line: number;
}

export type CheckKind = 'test' | 'machine' | 'law';

/** A place that cites an id and so claims to check it. */
export interface Check {
  readonly id: string;
  readonly path: string;
  /** 1-based. */
  readonly line: number;
  readonly kind: CheckKind;
}

export type ProblemKind =
  | 'malformed'
  | 'collision'
  | 'out-of-order'
  | 'wrong-chapter'
  | 'unknown-id'
  | 'no-check'
  | 'no-case'
  | 'no-mutant'
  | 'stale-argument'
  | 'stale-record'
  | 'dangling-reference';

/** What is wrong, where. `message` is one sentence without a full stop. */
export interface Problem {
  readonly kind: ProblemKind;
  readonly path: string;
  readonly line: number;
  readonly message: string;
}

/** A requirement with all that checks it. */
export interface TraceRow {
  readonly requirement: Requirement;
  readonly checks: readonly Check[];
}

export interface ParsedSpec {
  /** In the order of the chapters' paths, then of their lines. */
  readonly requirements: readonly Requirement[];
  readonly problems: readonly Problem[];
}

export interface Traceability {
  readonly rows: readonly TraceRow[];
  readonly problems: readonly Problem[];
}

const ID = /[A-Z]{2,5}-[0-9]{2,3}/;
const ITEM = new RegExp(`^- \\[(${ID.source})\\](?: (\\{strict\\}))? (.+)$`);
const BEARER = /^The (device|driver) /;
const KEYWORDS = /\b(?:MUST NOT|MUST|SHOULD NOT|SHOULD|MAY)\b/g;

/**
 * Reads the obligations of the chapters. A list item that begins like an obligation and is not one, an id used twice or
 * out of order, and a reference to an id that does not exist are problems.
 */
export function parseSpec(files: readonly SourceFile[]): ParsedSpec {
  const requirements: Requirement[] = [];
  const problems: Problem[] = [];
  const inOrder = files.toSorted((a, b) => (a.path < b.path ? -1 : 1));
  for (const file of inOrder) {
    for (const [index, line] of file.text.split('\n').entries()) {
      if (!line.startsWith('- [') || line.startsWith('- [ ]')) continue;
      const parsed = parseItem(line, file.path, index + 1);
      if ('problem' in parsed) problems.push(parsed.problem);
      else if (parsed.requirement !== undefined) requirements.push(parsed.requirement);
    }
  }
  problems.push(...orderProblems(requirements), ...referenceProblems(inOrder, requirements, problems));
  return { requirements, problems };
}

type ParsedItem = { readonly requirement: Requirement | undefined } | { readonly problem: Problem };

function parseItem(line: string, path: string, lineNumber: number): ParsedItem {
  // A list item that is a Markdown link is prose.
  if (/^- \[[^\]]*\]\(/.test(line)) return { requirement: undefined };
  const malformed = (message: string): ParsedItem => ({
    problem: { kind: 'malformed', path, line: lineNumber, message },
  });
  const match = ITEM.exec(line);
  if (match === null) {
    return malformed(`expected "- [ID] The device MUST ..." and found "${line.slice(0, 60)}"`);
  }
  const [, id, strictMark, text] = match;
  const bearer = BEARER.exec(text)?.[1];
  if (bearer !== 'device' && bearer !== 'driver') {
    return malformed(`${id} must begin with "The device" or "The driver"`);
  }
  const keywords = [...text.matchAll(KEYWORDS)].map(([word]) => word);
  const [keyword] = keywords;
  if (keywords.length !== 1 || !isKeyword(keyword)) {
    return malformed(`${id} must hold exactly one keyword and holds ${keywords.length}`);
  }
  if (!/[.)]$/.test(text)) return malformed(`${id} must end with a full stop`);
  const chapter = id.slice(0, id.indexOf('-'));
  const strict = strictMark !== undefined;
  return { requirement: { id, chapter, bearer, keyword, strict, text, path, line: lineNumber } };
}

function isKeyword(word: string | undefined): word is Keyword {
  return word !== undefined && ['MUST', 'MUST NOT', 'SHOULD', 'SHOULD NOT', 'MAY'].includes(word);
}

/** Ids are unique, ascend within a chapter, and one prefix lives in one file. */
function orderProblems(requirements: readonly Requirement[]): Problem[] {
  const problems: Problem[] = [];
  const seen = new Map<string, Requirement>();
  const last = new Map<string, Requirement>();
  for (const requirement of requirements) {
    const { id, chapter, path, line } = requirement;
    const twin = seen.get(id);
    const before = last.get(chapter);
    if (twin !== undefined) {
      problems.push({
        kind: 'collision',
        path,
        line,
        message: `${id} is already taken at ${twin.path}:${twin.line}`,
      });
      continue;
    }
    seen.set(id, requirement);
    if (before !== undefined && before.path !== path) {
      problems.push({
        kind: 'wrong-chapter',
        path,
        line,
        message: `${id} stands outside ${before.path}, the chapter of ${chapter}`,
      });
    } else if (before !== undefined && idNumber(before.id) > idNumber(id)) {
      problems.push({ kind: 'out-of-order', path, line, message: `${id} stands after ${before.id}` });
    }
    last.set(chapter, requirement);
  }
  return problems;
}

function idNumber(id: string): number {
  return Number(id.slice(id.indexOf('-') + 1));
}

/**
 * Every id in brackets must exist. Question numbers such as `[Q-01]` have one letter and are no ids; a line that is
 * malformed already is not reported twice.
 */
function referenceProblems(
  files: readonly SourceFile[],
  requirements: readonly Requirement[],
  malformed: readonly Problem[],
): Problem[] {
  const known = new Set(requirements.map(({ id }) => id));
  const bad = new Set(malformed.map(({ path, line }) => `${path}:${line}`));
  return files.flatMap(({ path, text }) =>
    citations(text)
      .filter(({ id, line, quoted }) => !quoted && !known.has(id) && !bad.has(`${path}:${line}`))
      .map(({ id, line }) => ({ kind: 'dangling-reference', path, line, message: `${id} does not exist` })),
  );
}

/** Section and paragraph in which a requirement stands, for people: `Section: the last paragraph of prose before it`. */
export function contextOf(
  files: readonly SourceFile[],
  requirements: readonly Requirement[],
  id: string,
): string {
  const found = requirements.find(requirement => requirement.id === id);
  const lines = files.find(({ path }) => path === found?.path)?.text.split('\n') ?? [];
  const above = lines.slice(0, found === undefined ? 0 : found.line - 1);
  const heading = above.findLast(line => line.startsWith('#')) ?? '';
  const section = above.slice(above.lastIndexOf(heading) + 1);
  const isProse = (line: string): boolean => line !== '' && !/^(?:- |\||<!--|#|```|Size of |\s)/.test(line);
  const last = section.findLastIndex(isProse);
  const first = section.findLastIndex((line, at) => at < last && !isProse(line)) + 1;
  const prose = last < 0 ? '' : `: ${section.slice(first, last + 1).join(' ')}`;
  return `${heading.replace(/^#+ /, '')}${prose}`;
}

/** What stands here breaks obligations and checks none. */
const MUTANTS = 'src/conformance/mutants/';

/**
 * Finds the ids that tests, machines and laws cite, in brackets (titles, comments) or in quotes (data).
 * The kind follows from the path: `test/`, `src/statemachines/`, else a law.
 */
export function collectChecks(files: readonly SourceFile[]): readonly Check[] {
  return files
    .filter(({ path }) => !path.startsWith(MUTANTS))
    .flatMap(({ path, text }) =>
      citations(text).map(({ id, line }) => ({ id, path, line, kind: kindOf(path) })),
    )
    .toSorted(byIdThenPlace);
}

function kindOf(path: string): CheckKind {
  if (path.startsWith('test/')) return 'test';
  return path.startsWith('src/statemachines/') ? 'machine' : 'law';
}

interface Citation {
  readonly id: string;
  readonly line: number;
  readonly quoted: boolean;
}

/** Ids in brackets, one or a list with commas, or one id in quotes. */
const CITATION = /\[((?:[A-Z]{2,5}-[0-9]{2,3}(?:, )?)+)\]|(['"`])([A-Z]{2,5}-[0-9]{2,3})\2/g;

/** Each id once a line. */
function citations(text: string): Citation[] {
  return text.split('\n').flatMap((line, index) => {
    const found = new Map<string, Citation>();
    for (const [, bracketed, , quoted] of line.matchAll(CITATION)) {
      for (const id of (bracketed ?? quoted).split(', ')) {
        found.set(id, { id, line: index + 1, quoted: bracketed === undefined });
      }
    }
    return [...found.values()];
  });
}

function byIdThenPlace(a: Check, b: Check): number {
  if (a.id !== b.id) return a.id < b.id ? -1 : 1;
  if (a.path !== b.path) return a.path < b.path ? -1 : 1;
  return a.line - b.line;
}

/**
 * Joins requirements with their checks. A requirement without a check and a check of an id that no chapter has are
 * problems.
 */
export function traceability(requirements: readonly Requirement[], checks: readonly Check[]): Traceability {
  const byId = new Map<string, Check[]>(requirements.map(({ id }) => [id, []]));
  const problems: Problem[] = [];
  for (const check of checks) {
    const found = byId.get(check.id);
    if (found !== undefined) found.push(check);
    else {
      const message = `${check.id} is cited and no chapter has it`;
      problems.push({ kind: 'unknown-id', path: check.path, line: check.line, message });
    }
  }
  const rows = requirements.map(requirement => ({ requirement, checks: byId.get(requirement.id) ?? [] }));
  for (const { requirement, checks: found } of rows) {
    if (found.length > 0) continue;
    const { id, path, line } = requirement;
    problems.push({ kind: 'no-check', path, line, message: `nothing checks ${id}` });
  }
  return { rows, problems };
}
