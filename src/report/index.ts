/** Reports: what a check came to, written for people and for other programs. Pure functions from reports to text. */
export { readReports, ReportError, type MergedReport } from './document.js';
export { githubAnnotations, type KnownNews } from './github.js';
export {
  byChapter,
  countGrades,
  findingsBesideCases,
  gradeOrder,
  inQuestion,
  isFailure,
  leftOut,
} from './grades.js';
export { junitXml } from './junit.js';
export { partiesOf } from './lanes.js';
export { reportSchemaText } from './schema.js';
export { firstLine, visible } from './text.js';
export { columnNames } from './columns.js';
export { htmlReport } from './html/report-page.js';
export {
  diffReports,
  isWorse,
  verdictIsWorse,
  type CaseChange,
  type ReportDiff,
  type RunDiff,
} from './diff.js';
export { mergedReport } from './merge.js';
