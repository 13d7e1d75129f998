/** The tests that break laws, machines and the comparison on purpose: what must notice when the judge itself is changed. */
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: [
      'test/conformance/{invariants,monitors,mutants-of-the-judge}.test.ts',
      'test/statemachines/{monitor,tables}.test.ts',
      'test/properties/machines.test.ts',
    ],
    setupFiles: ['test/setup.ts'],
    testTimeout: 120_000,
  },
});
