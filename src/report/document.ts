/** A report file from outside: its text checked and read as runs, or one message that says where it is wrong. */
import type { z } from 'zod';
import { REPORT_VERSION, type CheckReport } from '../conformance/report.js';
import { mergedSchema, reportSchema } from './schema.js';

/** Several runs side by side, as `vrdma merge` writes them. */
export interface MergedReport {
  readonly version: typeof REPORT_VERSION;
  readonly runs: readonly CheckReport[];
}

/** A file is not a report that this kit reads. The message names the file, the place in it, what is there and what to try. */
export class ReportError extends Error {
  /** Place in the document, such as `runs[1].cases[3].grade`; empty for the whole. */
  readonly path: string;

  constructor(fileName: string, path: string, problem: string) {
    super(`${fileName}: ${path === '' ? '' : `${path}: `}${problem}`);
    this.name = 'ReportError';
    this.path = path;
  }
}

const EXPECTED = 'expected a report of `vrdma check --json` or `vrdma merge`';

/**
 * The runs in the text of a report: one of a check, all of a merged report.
 * @param fileName is only shown
 * @throws ReportError
 */
export function readReports(text: string, fileName: string): readonly CheckReport[] {
  const document = parsedJson(text, fileName);
  if (typeof document !== 'object' || document === null || Array.isArray(document))
    throw new ReportError(fileName, '', `it holds ${kindOf(document)}; ${EXPECTED}`);
  checkVersion('version' in document ? document.version : undefined, fileName);
  if ('runs' in document) return valid(mergedSchema, document, fileName).runs.map(asReport);
  return [asReport(valid(reportSchema, document, fileName))];
}

function parsedJson(text: string, fileName: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ReportError(fileName, '', `it is not JSON (${reason}); ${EXPECTED}`);
  }
}

function checkVersion(version: unknown, fileName: string): void {
  if (version === REPORT_VERSION) return;
  if (typeof version !== 'number')
    throw new ReportError(fileName, 'version', `found ${kindOf(version)}; ${EXPECTED}`);
  const advice =
    version > REPORT_VERSION ? 'a newer vrdma wrote it; update this one' : 'run the check again to renew it';
  throw new ReportError(
    fileName,
    'version',
    `it is ${version}, and this vrdma reads ${REPORT_VERSION}: ${advice}`,
  );
}

function valid<T>(schema: z.ZodType<T>, document: object, fileName: string): T {
  const result = schema.safeParse(document);
  if (result.success) return result.data;
  const [first] = result.error.issues;
  const more = result.error.issues.length - 1;
  throw new ReportError(
    fileName,
    placeOf(first.path),
    `${first.message}; ${EXPECTED}${more > 0 ? ` (and ${more} more such ${more === 1 ? 'place' : 'places'})` : ''}`,
  );
}

/** `runs[1].cases[3].grade` */
function placeOf(path: readonly PropertyKey[]): string {
  return path.reduce<string>((place, key) => {
    if (typeof key === 'number') return `${place}[${key}]`;
    return place === '' ? String(key) : `${place}.${String(key)}`;
  }, '');
}

/** JSON leaves out what is undefined. */
function asReport(read: z.infer<typeof reportSchema>): CheckReport {
  return { ...read, reason: read.reason, bounds: read.bounds };
}

function kindOf(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  return Array.isArray(value) ? 'an array' : `a ${typeof value}`;
}
