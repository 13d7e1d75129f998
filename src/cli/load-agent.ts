/** Starts the verbs agent in the worker thread that judges it. */
import { AgentArenaFile, AgentLauncher } from '../transports/agent/index.js';
import type { RemoteMachines } from '../conformance/index.js';
import type { Engine } from './engine.js';
import { Signal, type AgentModule } from './job.js';
import { LoadError } from './load-module.js';

/** @throws LoadError when the agent cannot be started or does not speak the protocol */
export function loadAgent(
  { AgentMachines }: Pick<Engine, 'AgentMachines'>,
  agent: AgentModule,
  signals: Int32Array,
): RemoteMachines {
  const { command, log, trace, limitMs, kit } = agent;
  let launcher: AgentLauncher | undefined;
  try {
    const made = new AgentLauncher({
      command,
      limitMs,
      log,
      trace,
      onProcess: pid => void Atomics.store(signals, Signal.agent, pid),
    });
    launcher = made;
    const host = {
      start: () => made.start(),
      setLimit: (ms: number) => void (made.limitMs = ms),
      arenaFile: (bytes: number) => new AgentArenaFile(bytes),
      close: () => made.close(),
    };
    return AgentMachines.start({ host, limitMs, kitVersion: kit });
  } catch (error) {
    launcher?.close();
    const reason = error instanceof Error ? error.message : String(error);
    throw new LoadError(
      `--driver-cmd ${JSON.stringify(command)}: no agent: ${reason}. docs/agent-protocol.md says what is expected.`,
    );
  }
}

/** Ends the agent of a worker that was ended itself. */
export function endAgent(signals: Int32Array): void {
  const group = Atomics.exchange(signals, Signal.agent, 0);
  if (group === 0) return;
  try {
    process.kill(-group, 'SIGKILL');
  } catch {
    // It has ended already.
  }
}
