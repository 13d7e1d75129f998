/**
 * The line protocol changes nothing: an agent around the reference HCA comes to what bare metal comes to, whichever way
 * memory, rest and late answers are told. What the protocol lost or turned around would show as a difference.
 */
import { describe, expect, it } from 'vitest';
import { agentSchemas } from '../../src/conformance/agent/index.js';
import { writeProgram } from '../../src/conformance/generate/program-arbitrary.js';
import { judge } from '../../src/conformance/judge.js';
import { MonitorBook } from '../../src/conformance/monitors/book.js';
import { scenarios } from '../../src/conformance/scenarios/index.js';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryDirectory } from '../cli/support.js';
import { native, startAgent } from './support.js';

const ways: readonly (readonly [string, ...string[]])[] = [
  ['memory by calls'],
  ['memory in files', '--arena', 'file'],
  ['rest by what is expected', '--rest', 'expected'],
  ['late answers', '--pending'],
];

describe('an agent around the reference HCA', () => {
  it.each(ways)('is observed as bare metal, %s', { timeout: 300_000 }, async (_name, ...flags) => {
    const remote = startAgent(native(...flags));
    const book = new MonitorBook();
    for (let seed = 1; seed <= 12; seed++) {
      for (const mode of ['settled', 'racing'] as const) {
        const program = writeProgram(seed, { mode, actionsMax: 60 });
        const { broken } = await judge(program, { profile: 'roce', implementation: { remote }, book });
        expect(broken, `${mode} program ${seed}`).toBeUndefined();
      }
    }
  });

  it('comes to what the scenarios expect', { timeout: 300_000 }, async () => {
    const remote = startAgent(native());
    const asked = scenarios.filter(({ program }) => remote.missingFor(program) === undefined);
    expect(asked.length).toBeGreaterThan(200);
    const some = asked.filter((_, i) => i % 5 === 0);
    for (const { id, program } of some) {
      const { broken } = await judge(program, { profile: 'roce', implementation: { remote } });
      expect(broken, id).toBeUndefined();
    }
  });

  it('holds a conversation in which every line is as the schema says', { timeout: 300_000 }, async () => {
    const trace = join(temporaryDirectory(), 'trace.jsonl');
    const remote = startAgent(native('--pending'), { trace });
    for (const mode of ['settled', 'racing'] as const)
      for (let seed = 1; seed <= 4; seed++)
        await judge(writeProgram(seed, { mode, actionsMax: 60 }), {
          profile: 'roce',
          implementation: { remote },
        });
    const lines = readFileSync(trace, 'utf8').trimEnd().split('\n');
    expect(lines.length).toBeGreaterThan(100);
    for (const line of lines) {
      const schema = line.startsWith('> ') ? agentSchemas.request : agentSchemas.answer;
      const parsed = schema.safeParse(JSON.parse(line.slice(2)));
      expect(parsed.error?.message, line.slice(0, 400)).toBeUndefined();
    }
  });

  it('is not asked for what it says it lacks', { timeout: 300_000 }, async () => {
    const trace = join(temporaryDirectory(), 'trace.jsonl');
    const lacks = ['UC', 'UD', 'GSI', 'RDMA_READ', 'inline', 'reqNotifyCq', 'getDmaMr', 'queryQp', 'SQD'];
    const remote = startAgent(native('--hello', `'${JSON.stringify({ lacks })}'`), { trace });
    for (const mode of ['settled', 'racing'] as const) {
      for (let seed = 20; seed <= 26; seed++) {
        const program = writeProgram(seed, { mode, actionsMax: 80 });
        const { broken } = await judge(program, { profile: 'roce', implementation: { remote } });
        expect(broken, `${mode} program ${seed}`).toBeUndefined();
      }
    }
    const asked = readFileSync(trace, 'utf8')
      .split('\n')
      .filter(line => line.startsWith('> '));
    expect(asked.some(line => line.includes('"postSend"'))).toBe(true);
    const lacked = /"type":"(UC|UD|GSI)"|RDMA_READ|inlineData|reqNotifyCq|getDmaMr|"queryQp"|"SQD"/;
    expect(asked.filter(line => lacked.test(line)).map(line => line.slice(0, 200))).toEqual([]);
    const missing = scenarios.map(({ program }) => remote.missingFor(program));
    expect(missing).toContain('RDMA_READ, which the agent does not offer');
    expect(missing).toContain("faults of the network, and the network is the agent's");
  });
});
