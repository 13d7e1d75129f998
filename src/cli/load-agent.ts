/** Starts the verbs agent in the worker thread that judges it. */
import { AgentArenaFile, AgentLauncher } from '../transports/agent/index.js';
import { nativeFault } from '../transports/vhost-user/native.js';
import type { Implementation } from '../conformance/index.js';
import type { Engine } from './engine.js';
import { Signal, type AgentModule } from './job.js';
import { LoadError } from './load-module.js';

/** Who is judged, and what ends it. */
export interface LoadedAgent {
  readonly implementation: Implementation;
  close(): void;
}

/** @throws LoadError when the agent cannot be started or does not speak the protocol */
export function loadAgent(
  engine: Pick<Engine, 'AgentMachines' | 'DrivenMachines' | 'greet'>,
  agent: AgentModule,
  signals: Int32Array,
): LoadedAgent {
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
    const machines = engine.AgentMachines.start({ host, limitMs, kitVersion: kit });
    if (!machines.drives) return { implementation: { remote: machines }, close: () => machines.close() };
    machines.close();
    return driven(engine, agent, signals);
  } catch (error) {
    launcher?.close();
    const reason = error instanceof Error ? error.message : String(error);
    throw new LoadError(
      `--driver-cmd ${JSON.stringify(command)}: no agent: ${reason}. docs/agent-protocol.md says what is expected.`,
    );
  }
}

/** An agent that drives the kit's device: one process for each machine of a program. */
function driven(
  { DrivenMachines, greet }: Pick<Engine, 'DrivenMachines' | 'greet'>,
  { command, log, trace, limitMs, kit }: AgentModule,
  signals: Int32Array,
): LoadedAgent {
  const fault = nativeFault();
  if (fault !== undefined) throw new Error(`it drives a device, which needs native calls: ${fault}`);
  const launchers: AgentLauncher[] = [];
  const machines = new DrivenMachines({
    start() {
      const launcher = new AgentLauncher({
        command,
        limitMs,
        log,
        // One conversation a file.
        trace: trace === undefined || launchers.length === 0 ? trace : `${trace}.${launchers.length}`,
        onProcess: pid => void Atomics.store(signals, Signal.agent, pid),
      });
      launchers.push(launcher);
      const line = launcher.start();
      greet(line, kit);
      return {
        exchange(text, meanwhile) {
          // Each answer is a sign of life: a case may need very many, and the launcher ends an agent that gives none.
          Atomics.add(signals, Signal.heartbeat, 1);
          return line.exchange(text, meanwhile);
        },
        stop: () => line.stop(),
      };
    },
  });
  return {
    implementation: machines.implementation,
    close() {
      machines.close();
      for (const launcher of launchers) launcher.close();
    },
  };
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
