/**
 * `node scripts/count-tests.mjs FILE`: of vitest's report in JSON, the tests that passed, failed and were skipped, in one line;
 * what failed goes to standard error, each with the first lines of why. An empty report counts as one failure.
 */
import { readFileSync } from 'node:fs';

const LINES = 3;

const text = readFileSync(process.argv[2], 'utf8');
const report = text === '' ? {} : JSON.parse(text);
const {
  numPassedTests = 0,
  numFailedTests = 0,
  numPendingTests = 0,
  numTodoTests = 0,
  testResults = [],
} = report;

for (const { name, message, assertionResults } of testResults) {
  const failed = assertionResults.filter(({ status }) => status === 'failed');
  if (failed.length === 0 && message) tell(name, message);
  for (const { fullName, failureMessages } of failed)
    tell(`${name}: ${fullName}`, failureMessages.join('\n'));
}
const ranNothing = numPassedTests === 0 ? 1 : 0;
console.log(numPassedTests, numFailedTests + ranNothing, numPendingTests + numTodoTests);

function tell(what, why) {
  console.error(`  ${what}\n    ${why.split('\n', LINES).join('\n    ')}`);
}
