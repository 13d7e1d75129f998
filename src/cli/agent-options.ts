/** The options that put a verbs agent in place: a program of anybody's that speaks the line protocol. */
import type { Command } from 'commander';
import { usageError } from './exit-code.js';
import type { AgentModule } from './job.js';

export interface AgentOptions {
  readonly driverCmd?: string;
  readonly driverLog?: string;
  readonly agentTrace?: string;
}

export function addAgentOptions(command: Command): Command {
  return command
    .option(
      '--driver-cmd <command>',
      'judge the verbs agent that this command starts (docs/agent-protocol.md)',
    )
    .option('--driver-log <file>', "where that command's standard error is appended")
    .option('--agent-trace <file>', 'write the conversation with the agent, a line each');
}

/** @throws CliError (usage) for options that do not go together */
export function agentOf(
  options: AgentOptions & {
    readonly driver?: string;
    readonly device?: string;
    readonly hangTimeout: number;
  },
  kit: string,
): AgentModule | undefined {
  const { driverCmd, driverLog: log, agentTrace: trace, driver, device, hangTimeout: limitMs } = options;
  if (driverCmd === undefined) {
    if (log !== undefined || trace !== undefined)
      throw usageError('--driver-log and --agent-trace say more about --driver-cmd, which is missing.');
    return undefined;
  }
  if (driverCmd.trim() === '') throw usageError('--driver-cmd is empty; expected a command for /bin/sh.');
  if (driver !== undefined || device !== undefined)
    throw usageError(
      '--driver-cmd puts a driver with a device of its own in place; it does not go with --driver or --device.',
    );
  return { command: driverCmd, log, trace, limitMs, kit };
}

/**
 * How long a worker may be silent: one that waits for an agent gives no sign of life, and the agent's own limit has to end
 * that wait first.
 */
export function workerHangMs(hangMs: number, agent: AgentModule | undefined): number {
  return agent === undefined ? hangMs : 2 * hangMs + 5000;
}
