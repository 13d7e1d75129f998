/** Cases that judge a driver from outside: hand-written devices opposite it. */
import type { ConformanceCase } from '../../cases/case.js';
import { configurationCases } from './cases-configuration.js';

export { Bench } from './bench.js';
export type { BenchOptions } from './bench-options.js';

/** All of them, by chapter. */
export const driverCases: readonly ConformanceCase[] = [...configurationCases];
