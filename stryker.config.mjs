/**
 * Mutation testing of the judge itself: what is changed is the code that decides (laws, monitors, oracle, machines' engine);
 * what must notice are the tests that break each law on purpose. `node scripts/mutation.mjs` goes file by file and names both
 * in the environment; docs/how-we-know.md has the scores.
 */
const { MUTATED } = process.env;

export default {
  packageManager: 'npm',
  testRunner: 'vitest',
  vitest: { configFile: 'vitest.judge.config.ts' },
  mutate:
    MUTATED === undefined
      ? [
          'src/conformance/invariants/*.ts',
          'src/conformance/monitors/*.ts',
          'src/conformance/{observation,compare-memory,expectations}.ts',
          'src/statemachines/{compile,monitor}.ts',
        ]
      : MUTATED.split(','),
  // Words of messages are for people: a changed text is no weaker judge.
  mutator: { excludedMutations: ['StringLiteral'] },
  reporters: ['clear-text', 'progress-append-only', 'json'],
  clearTextReporter: { allowColor: false, logTests: false, reportTests: false },
  jsonReporter: { fileName: 'coverage/mutation.json' },
  coverageAnalysis: 'perTest',
  // What is changed when a module loads needs every test in a fresh process; tables are tested by comparison with the spec.
  ignoreStatic: true,
  concurrency: 1,
  // A changed loop that never ends must not be taken for a slow machine, nor the other way round.
  timeoutMS: 20_000,
  tempDirName: '.stryker-tmp',
  ignorePatterns: ['dist', 'coverage', 'findings', '.stryker-tmp'],
};
