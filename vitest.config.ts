import { configDefaults, defineConfig } from 'vitest/config';

/**
 * Tests that take a minute each and look at the whole from outside: every mutant of the record, drivers and devices in other
 * processes, the package as somebody installs it. They have a run of their own, so that the others stay under five minutes.
 */
export const longTests: readonly string[] = [
  'test/conformance/mutants.test.ts',
  'test/conformance/outside-rings.test.ts',
  'test/agent/python.test.ts',
  'test/agent/trouble.test.ts',
  'test/cli/installed.test.ts',
  'test/cli/serve.test.ts',
  'test/cli/vhost-user-device.test.ts',
  'test/cli/vhost-user-faults.test.ts',
  'test/examples/c-driver.test.ts',
  'test/examples/python-device.test.ts',
];

export const common = {
  setupFiles: ['test/setup.ts'],
  // Watchdogs; a busy machine may be slow, to start a browser too.
  testTimeout: 120_000,
  hookTimeout: 120_000,
  // By default one core is left alone; on two that would be half of what there is.
  maxWorkers: '100%',
};

export default defineConfig({
  test: {
    ...common,
    include: ['test/**/*.test.ts'],
    exclude: [...configDefaults.exclude, ...longTests],
    coverage: { provider: 'v8', include: ['src/**'] },
  },
});
