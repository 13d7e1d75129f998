/** Agents for tests: started by a command, judged in this process. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { AgentMachines } from '../../src/conformance/agent/index.js';
import { AgentArenaFile, AgentLauncher } from '../../src/transports/agent/index.js';

const nativeAgent = fileURLToPath(new URL('fixtures/native-agent.mjs', import.meta.url));
if (!existsSync(new URL('../../dist/index.js', import.meta.url)))
  throw new Error('dist/ is missing: run `npm run build` before these tests');

/** The command of the agent around the reference HCA. */
export function native(...flags: readonly string[]): string {
  return ['node', nativeAgent, ...flags].join(' ');
}

export const pythonAgent = `python3 ${fileURLToPath(new URL('../../examples/python-agent/agent.py', import.meta.url))}`;

export const hasPython = spawnSync('python3', ['--version']).status === 0;
if (!hasPython)
  process.stderr.write('no python3 on this machine: the tests of examples/python-agent are skipped\n');

export interface StartOptions {
  readonly limitMs?: number;
  readonly log?: string;
  readonly trace?: string;
  onProcess?(pid: number): void;
}

/** A generous limit: no test depends on the machine's speed. */
const LIMIT_MS = 60_000;

/** Starts an agent that is gone after the test. */
export function startAgent(command: string, options: StartOptions = {}): AgentMachines {
  const { limitMs = LIMIT_MS, ...rest } = options;
  const launcher = new AgentLauncher({ command, limitMs, ...rest });
  onTestFinished(() => launcher.close());
  const host = {
    start: () => launcher.start(),
    setLimit: (ms: number) => void (launcher.limitMs = ms),
    arenaFile: (bytes: number) => new AgentArenaFile(bytes),
    close: () => launcher.close(),
  };
  return AgentMachines.start({ host, limitMs, kitVersion: 'test' });
}
