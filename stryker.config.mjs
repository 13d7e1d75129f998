/**
 * Mutation testing of the judge itself: what is changed is the code that decides (laws, monitors, oracle, machines' engine);
 * what must notice are the tests that break each law on purpose. Run by `npm run mutation`; docs/how-we-know.md has the score.
 */
export default {
  packageManager: 'npm',
  testRunner: 'vitest',
  vitest: { configFile: 'vitest.judge.config.ts' },
  mutate: [
    'src/conformance/invariants/*.ts',
    'src/conformance/monitors/*.ts',
    'src/conformance/{observation,compare-memory,expectations}.ts',
    'src/statemachines/{compile,monitor}.ts',
  ],
  // Words of messages are for people: a changed text is no weaker judge.
  mutator: { excludedMutations: ['StringLiteral'] },
  reporters: ['clear-text', 'progress', 'json'],
  clearTextReporter: { allowColor: false, logTests: false, reportTests: false },
  jsonReporter: { fileName: 'coverage/mutation.json' },
  coverageAnalysis: 'perTest',
  concurrency: 2,
  timeoutMS: 20_000,
  tempDirName: '.stryker-tmp',
  ignorePatterns: ['dist', 'coverage', 'findings', '.stryker-tmp'],
};
