/** The tests that break laws, machines and the comparison on purpose: what must notice when the judge itself is changed. */
import { defineConfig } from 'vitest/config';

const { BREAKING_TESTS } = process.env;

export default defineConfig({
  test: {
    include:
      BREAKING_TESTS === undefined
        ? [
            'test/conformance/{invariants,invariants-edges,monitors,oracle,judge}.test.ts',
            'test/conformance/invariants/*.test.ts',
            'test/statemachines/{engine,monitor,tables}.test.ts',
            'test/properties/machines.test.ts',
          ]
        : BREAKING_TESTS.split(','),
    setupFiles: ['test/setup.ts'],
    testTimeout: 120_000,
  },
});
