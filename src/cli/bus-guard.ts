/**
 * A process that maps somebody else's memory file ends with SIGBUS when its owner makes the file shorter, and nothing in the
 * process can prevent that. So `vrdma serve`, which maps such files, does it in a process of its own, and this one says what
 * happened to that process, and prints what it has left.
 */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { ExitCode } from './exit-code.js';
import type { Io } from './io.js';

/** Set in the process that is guarded. */
const GUARDED = 'VRDMA_GUARDED';
const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

const SHORTENED =
  'vrdma: a peer made a memory file shorter that it had shared, and the process that had it mapped ended with SIGBUS. A file sealed with F_SEAL_SHRINK cannot be made shorter.';
const NOTHING_LEFT = ' It has left no report.';

/** This process is guarded. */
let guarded = false;

/**
 * Leaves with the guard what is to be printed should this process be ended by SIGBUS; the last that was left counts. Nothing is
 * written where nobody guards.
 */
export function leaveWithGuard(report: () => string): void {
  if (guarded) process.send?.(report());
}

/** Runs the command line in a process of its own, if it may map a peer's memory. Undefined: it is to be run in this one. */
export function runGuarded(
  argv: readonly string[],
  { out, err }: Pick<Io, 'out' | 'err'>,
): Promise<number> | undefined {
  if (process.env[GUARDED] !== undefined) {
    // What this process starts is not guarded by it.
    delete process.env[GUARDED];
    guarded = true;
    endWithGuard();
    return undefined;
  }
  if (process.platform !== 'linux' || !mapsPeersMemory(argv)) return undefined;
  return new Promise((resolve, reject) => {
    // A group of its own: the terminal interrupts this process, which passes it on once.
    const child = spawn(process.execPath, [...process.execArgv, process.argv[1], ...argv], {
      stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
      env: { ...process.env, [GUARDED]: '1' },
      detached: true,
    });
    const forwards = FORWARDED.map(signal => {
      const forward = (): void => void child.kill(signal);
      process.on(signal, forward);
      return () => process.off(signal, forward);
    });
    let left: string | undefined;
    child.on('message', message => {
      if (typeof message === 'string') left = message;
    });
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      for (const forget of forwards) forget();
      if (signal !== 'SIGBUS') {
        resolve(signal === null ? (code ?? ExitCode.couldNotJudge) : 128 + constants.signals[signal]);
        return;
      }
      const end = (): void => {
        err(`${SHORTENED}${left === undefined ? NOTHING_LEFT : ''}\n`);
        out(left ?? '');
        // A peer that ends the process has broken something.
        resolve(ExitCode.violations);
      };
      // What was left last may not have been read yet.
      if (child.connected) child.on('disconnect', end);
      else end();
    });
  });
}

/** Only a front-end's memory is mapped as a file of somebody else's. A check gives its peers memory of its own, whose length nobody can change. */
function mapsPeersMemory(argv: readonly string[]): boolean {
  return argv.find(arg => !arg.startsWith('-')) === 'serve';
}

/** Whoever guards this process may be ended by force, and it is not to outlive that. */
function endWithGuard(): void {
  process.channel?.unref();
  process.on('disconnect', () => void process.kill(process.pid, 'SIGTERM'));
}
