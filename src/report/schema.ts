/**
 * The JSON form of a report, version 2, as a schema: what `vrdma check --json` and `vrdma merge` write and what every reader
 * checks a file against. Members that it does not know are kept, so that a newer kit may add some within one version.
 */
import { z } from 'zod';
import { grades } from '../conformance/cases/case-report.js';
import { programSchema } from '../conformance/program.js';
import { boundNames, REPORT_VERSION, suiteNames } from '../conformance/report.js';

const natural = z.int().min(0);
const milliseconds = z.number().min(0).describe('Milliseconds of wall-clock time.');
const requirementIds = z
  .array(z.string())
  .describe('Ids of the requirements of spec/, the most telling first.');
const count = (what: string) => natural.describe(what);

const chartEvent = z
  .looseObject({
    timeNs: z.number().describe('Virtual time, nanoseconds.'),
    from: z.string().describe('The party that acts.'),
    to: z.string().describe('The party that it acts on; the same one for a note.'),
    text: z.string(),
  })
  .meta({ id: 'ChartEvent', description: 'One arrow or note of a sequence chart.' });

const verbsProgram = programSchema.meta({
  id: 'Program',
  description: 'A verbs program; saved in a file of its own, `vrdma replay` runs it.',
});

const caseResult = z
  .looseObject({
    id: z.string().min(1).describe('Stable: chapter of the spec, subject, what is special.'),
    doc: z.string().describe('One sentence: what is done, and what must come of it.'),
    judges: z.enum(['driver', 'device', 'both']),
    kind: z
      .enum(['program', 'probe', 'hostile', 'property', 'observation', 'bound'])
      .describe('How the case was run.'),
    grade: z.enum(grades),
    requirements: requirementIds.describe(
      'What the case shows when it passes, else what was broken, the most telling first.',
    ),
    message: z
      .string()
      .optional()
      .describe('What was seen and expected, or why there is no verdict; absent when it passed.'),
    law: z.string().optional().describe('Law or machine that was broken, if one was.'),
    known: z.string().optional().describe('The reason in the file of known failures.'),
    runs: count('Programs, commands or attacks tried.'),
    actions: count('Verbs calls, commands or ring elements in all of them.'),
    elapsedMs: milliseconds,
    program: verbsProgram.optional(),
    steps: z.array(chartEvent).optional().describe('The last steps before the failure, oldest first.'),
    rings: z.array(z.string()).optional().describe('What the rings held at the end, a line each.'),
  })
  .meta({ id: 'CaseResult', description: 'What came of one case.' });

const finding = z
  .looseObject({
    suite: z.enum(suiteNames),
    law: z.string(),
    requirements: requirementIds,
    message: z.string(),
    program: verbsProgram,
    actions: count('Actions of the program.'),
    shrinks: count('Steps that it took to make the program this short.'),
    tail: z.array(chartEvent).describe('The last events before the failure, oldest first.'),
  })
  .meta({ id: 'Finding', description: 'One broken law, with the shortest program found that breaks it.' });

const suite = z.looseObject({
  suite: z.enum(suiteNames),
  programs: natural,
  actions: natural,
  findings: natural,
  elapsedMs: milliseconds,
});

const coverage = z.looseObject({
  name: z.string(),
  open: z.literal(true).optional().describe('Only what was seen is listed; there is no total.'),
  counts: z.record(z.string(), z.number()).describe('How often each was reached; 0 means never.'),
});

const bounds = z.looseObject({
  rows: z.array(
    z.looseObject({
      name: z.enum(boundNames),
      requirement: z.string(),
      formula: z.string(),
      measured: z.number(),
      limit: z.number(),
      kind: z.enum(['most', 'least']),
    }),
  ),
  throughput: z.array(
    z.looseObject({
      depth: z.number(),
      messageBytes: z.number(),
      nativePerSecond: z.number(),
      paravirtualPerSecond: z.number(),
      ratio: z.number(),
      exitsPerMessage: z.number(),
    }),
  ),
});

const version = z
  .literal(REPORT_VERSION)
  .describe('Grows when a reader of the old form would misread the new one.');

export const reportSchema = z
  .looseObject({
    version,
    kit: z.string().describe('Version of the kit that judged.'),
    implementation: z.looseObject({
      name: z.string().describe('What people call it: `bundled`, `--name`, or the name of its file.'),
      driver: z.string().optional().describe('File of the driver; absent for the bundled one.'),
      device: z.string().optional().describe('File of the device; absent for the bundled one.'),
    }),
    verdict: z.enum(['pass', 'fail', 'inconclusive']),
    reason: z.string().optional().describe('Why the run could not judge, or why it ended early.'),
    seed: natural.describe('Everything random follows from it.'),
    profile: z.enum(['roce', 'rdma']),
    programs: natural,
    actions: natural,
    elapsedMs: milliseconds,
    interrupted: z.boolean(),
    suites: z.array(suite),
    findings: z.array(finding),
    cases: z.array(caseResult).describe('One result for each case of the catalogue, in its order.'),
    requirements: z.record(z.string(), z.string()).describe('Sentences of the requirements, by id.'),
    coverage: z.array(coverage),
    bounds: bounds.optional().describe('Absent when the bounds suite did not run.'),
  })
  .meta({ id: 'CheckReport', description: 'One run of `vrdma check`.' });

export const mergedSchema = z
  .looseObject({ version, runs: z.array(reportSchema) })
  .meta({ id: 'MergedReport', description: 'Several runs side by side, as `vrdma merge` writes them.' });

/** The JSON Schema of a report file, as the text of docs/report.schema.json. */
export function reportSchemaText(): string {
  const schema = z.toJSONSchema(z.union([reportSchema, mergedSchema]), { io: 'input' });
  const head = {
    title: `Report of vrdma, version ${REPORT_VERSION}`,
    description:
      'What `vrdma check --json` prints (CheckReport) and what `vrdma merge` prints (MergedReport).',
  };
  return `${JSON.stringify({ ...head, ...schema }, undefined, 2)}\n`;
}
