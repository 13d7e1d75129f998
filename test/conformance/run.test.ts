/** What the run notes about a program's objects, on which the laws rely. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { judge } from '../../src/conformance/judge.js';
import { parseProgram } from '../../src/conformance/replay.js';

it('keeps the attributes of a queue pair when modifies overlap', async () => {
  // A send without a time-out waits for ever here, and the law of completions must know that it may: a modify without a state
  // was under way while the queue pair was still in RESET, and took nothing away.
  const url = new URL('programs/overlapping-modifies.json', import.meta.url);
  const program = parseProgram(readFileSync(url, 'utf8'), 'overlapping-modifies.json');
  const { broken } = await judge(program, { profile: 'roce' });
  expect(broken).toBeUndefined();
});
