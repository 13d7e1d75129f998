/** The long tests, apart from the others: `npm run test:long`. */
import { defineConfig } from 'vitest/config';
import { common, longTests } from './vitest.config.js';

export default defineConfig({ test: { ...common, include: [...longTests] } });
