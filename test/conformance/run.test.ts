/** What the run notes about a program's objects, on which the laws rely. */
import { expect, it } from 'vitest';
import { writeProgram } from '../../src/conformance/generate/program-arbitrary.js';
import { judge } from '../../src/conformance/judge.js';

it('keeps the attributes of a queue pair when modifies overlap', async () => {
  // A send without a time-out waits for ever here; the law of completions must know that it may, although a modify without a
  // state was under way while the queue pair was still in RESET.
  const program = writeProgram(3_002_203, { mode: 'racing', actionsMax: 160 });
  const { broken } = await judge(program, { profile: 'roce' });
  expect(broken).toBeUndefined();
});
