/** All cases, by chapter in the order of the spec, and how a person picks some of them. */
import { hostileDeviceCases } from '../hostile/device/index.js';
import { hostileDriverCases } from '../hostile/driver/index.js';
import { deviceCases } from '../probes/device/index.js';
import { driverCases } from '../probes/driver/index.js';
import { wireCases } from '../probes/wire/index.js';
import type { SuiteName } from '../report.js';
import { observationCases } from '../ring-watch/index.js';
import { chapterOf } from './case.js';
import type { ConformanceCase } from './case.js';
import { boundCases, programCases, propertyCases } from './static-cases.js';

/** Prefixes of the chapters in the order of the spec. */
export const chapters = [
  'OVR',
  'FEAT',
  'CONF',
  'VQ',
  'CTRL',
  'QP',
  'DATA',
  'CQ',
  'MEM',
  'ERR',
  'ORD',
  'RST',
  'ISO',
  'HOST',
  'PERF',
] as const;

export const catalogue: readonly ConformanceCase[] = [
  ...programCases,
  ...deviceCases,
  ...driverCases,
  ...wireCases,
  ...observationCases,
  ...hostileDeviceCases,
  ...hostileDriverCases,
  ...propertyCases,
  ...boundCases,
].toSorted((a, b) => placeOf(a.id) - placeOf(b.id) || (a.id < b.id ? -1 : 1));

function placeOf(id: string): number {
  return chapters.findIndex(chapter => chapter === chapterOf(id));
}

export function caseById(id: string): ConformanceCase | undefined {
  return byId.get(id);
}

const byId: ReadonlyMap<string, ConformanceCase> = new Map(catalogue.map(each => [each.id, each]));

/** The suites that a case is asked in. */
export function suitesOf({ how }: ConformanceCase): readonly SuiteName[] {
  return suitesByKind[how.kind];
}

const suitesByKind: Readonly<Record<ConformanceCase['how']['kind'], readonly SuiteName[]>> = {
  program: ['scenarios'],
  probe: ['probes'],
  hostile: ['hostile'],
  observation: ['rings'],
  bound: ['bounds'],
  property: ['settled', 'racing', 'leaks'],
};

/**
 * The cases that a pattern names: an id or a part of one with `*` for anything (`CTRL/*`, `*limit`), a chapter (`CTRL`), or
 * the id of a requirement (`CTRL-07`), which stands for the cases that cite it. Upper and lower case are one.
 */
export function casesMatching(pattern: string): readonly ConformanceCase[] {
  const wanted = pattern.trim().toUpperCase();
  if (/^[A-Z]+-[0-9]+$/.test(wanted)) return catalogue.filter(each => each.requirements.includes(wanted));
  if (chapters.some(chapter => chapter === wanted)) {
    return catalogue.filter(each => chapterOf(each.id) === wanted);
  }
  const expression = new RegExp(
    `^${wanted
      .split('*')
      .map(part => part.replaceAll(/[.+?^${}()|[\]\\]/g, String.raw`\$&`))
      .join('.*')}$`,
  );
  return catalogue.filter(each => expression.test(each.id.toUpperCase()));
}
