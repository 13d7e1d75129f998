/** An agent that breaks off, hangs or talks nonsense: one clear message, the law that it breaks, nothing left behind. */
import { readdirSync } from 'node:fs';
import { describe, expect, it, vi } from 'vitest';
import { judge } from '../../src/conformance/judge.js';
import { laws } from '../../src/conformance/laws.js';
import type { Program } from '../../src/conformance/program.js';
import { program as emptyProgram, temporaryDirectory } from '../cli/support.js';
import { native, startAgent } from './support.js';

const program: Program = {
  ...emptyProgram,
  actions: [
    { op: 'createPd', vm: 0, as: 'pd0' },
    { op: 'createCq', vm: 0, as: 'cq0', cqe: 4 },
    { op: 'pollCq', vm: 0, cq: 'cq0' },
    { op: 'queryDevice', vm: 0 },
  ],
};

const options = (command: string, limitMs?: number) => {
  const remote = startAgent(command, limitMs === undefined ? {} : { limitMs });
  return { profile: 'roce', implementation: { remote } } as const;
};

describe('an agent that breaks off in a program', () => {
  // Call 4 is createCq: writeMemory, createPd and its settle came before.
  it.each([
    ['dies', '--die-at 4', laws.neverCrashes, /exit status 42; its last words: agent: I die at createCq/],
    ['sends rubbish', '--rubbish-at 4', laws.answers, /not JSON: "what is this\?"/],
    [
      'ends in half a line',
      '--half-at 4',
      laws.neverCrashes,
      /exit status 0 in the middle of a line, after \d+ bytes/,
    ],
    ['answers with another id', '--wrong-id-at 4', laws.answers, /answered by a line with the id 4711/],
    ['sends megabytes without an end', '--long-at 4', laws.answers, /longer than 16777216 bytes/],
    ['gives up', '--give-up-at 4', laws.answers, /gave up at request 3: "the adapter is gone"/],
  ])(
    '%s: fails, and the next program finds a fresh one',
    { timeout: 120_000 },
    async (_name, flag, law, message) => {
      const judging = options(native(...flag.split(' ')));
      const { broken } = await judge(program, judging);
      expect(broken?.law).toBe(law.name);
      expect(broken?.message).toMatch(message);
      const again = await judge({ ...program, actions: [] }, judging);
      expect(again.broken).toBeUndefined();
    },
  );

  it('answers twice: fails at the next request', { timeout: 120_000 }, async () => {
    const { broken } = await judge(program, options(native('--twice-at', '4')));
    expect(broken?.law).toBe(laws.answers.name);
    expect(broken?.message).toMatch(/more than one line for a request|answered by a line with the id/);
  });

  it('hangs: is stopped after the limit', { timeout: 120_000 }, async () => {
    const { broken } = await judge(program, options(native('--hang-at', '4'), 3000));
    expect(broken?.law).toBe(laws.answers.name);
    expect(broken?.message).toMatch(/gave no answer for 3000 ms and was stopped/);
  });

  it.each([
    ['createCq', '{"cqe":"many"}', /cqe of createCq is "many"; expected a whole number/],
    ['createPd', '{"errno":"EWHAT"}', /createPd was refused with "EWHAT"/],
    ['pollCq', '{"completions":[{"wrId":1,"status":"FINE","qpNum":2}]}', /status of a completion is "FINE"/],
    ['pollCq', '{"completions":7}', /completions of pollCq is 7/],
    ['queryDevice', '{"maxQp":-1}', /maxMrSizeBytes of queryDevice is undefined/],
    ['createPd', 'null', /result \d+ is null; expected an object/],
  ])('answers %s with %s: fails, naming the place', { timeout: 120_000 }, async (call, result, message) => {
    const { broken } = await judge(program, options(native('--say', call, `'${result}'`)));
    expect(broken?.law).toBe(laws.answers.name);
    expect(broken?.message).toMatch(message);
  });
});

describe('a command that is no agent', () => {
  it.each([
    ['is not there', 'vrdma-no-such-command', /there is no such command \(exit status 127\)/],
    ['ends at once', 'exit 3', /ended with exit status 3/],
    ['is killed', 'kill -11 $$', /does not read its input any more|closed its output/],
    ['prints rubbish', 'echo hello; cat >&2', /not JSON: "hello"/],
    ['repeats what it hears', 'cat', /greeting does not fit: hello\.name/],
    [
      'speaks another version',
      native('--hello', `'{"version":2}'`),
      /speaks version 2 of the protocol; this kit speaks version 1/,
    ],
    [
      'lacks what nobody knows',
      native('--hello', `'{"lacks":["XX"]}'`),
      /greeting does not fit: hello\.lacks\.0/,
    ],
  ])('%s: cannot be started, and says so', { timeout: 120_000 }, (_name, command, message) => {
    expect(() => startAgent(command)).toThrow(message);
  });
});

describe('what an agent leaves behind', () => {
  it('is no process and no file', { timeout: 120_000 }, async () => {
    const directory = temporaryDirectory();
    vi.stubEnv('TMPDIR', directory);
    const groups: number[] = [];
    const remote = startAgent(native('--arena', 'file'), { onProcess: pid => void groups.push(pid) });
    const { broken } = await judge(program, { profile: 'roce', implementation: { remote } });
    expect(broken).toBeUndefined();
    remote.close();
    vi.unstubAllEnvs();
    expect(readdirSync(directory)).toEqual([]);
    expect(groups).toEqual([expect.any(Number), 0]);
    // It is gone once it was waited for.
    await vi.waitFor(() => expect(() => process.kill(-groups[0], 0)).toThrow(/ESRCH/), { timeout: 60_000 });
  });
});
