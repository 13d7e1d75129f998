/** A device that the kit serves, and what its judge says in the end. */
import { spawnSync } from 'node:child_process';
import { Skipped, cli } from './part.mjs';

let help;

/** Whether `vrdma serve` knows an option. */
export function serveKnows(option) {
  help ??= spawnSync(process.execPath, [cli, 'serve', '--help'], { encoding: 'utf8' }).stdout;
  return help.includes(option);
}

/**
 * Starts `vrdma serve` and waits until it listens.
 * @param {import('./part.mjs').Part} part
 * @param {{ name: string, device: 'net' | 'loop', judge?: boolean, poll?: boolean }} options
 */
export async function serveDevice(part, { name, device, judge = true, poll = false }) {
  const socket = part.socket(`${name}.sock`);
  const flags = [...(judge && serveKnows('--judge') ? ['--judge'] : []), ...(poll ? ['--poll'] : [])];
  const server = part.vrdma(name, ['serve', '--socket', socket, '--device', device, ...flags]);
  await part.listening(socket, server);
  return { socket, server };
}

/** Interrupts a server. Its exit code and all that it printed. */
export async function endServing({ server }) {
  server.signal('SIGINT');
  const exit = await server.ended();
  const text = server.text();
  if (exit !== 0 && exit !== 1) throw new Error(`vrdma serve ended with ${exit}: ${server.lastLines(3)}`);
  return { exit, text };
}

/** Throws unless the judge looked at something and found nothing. Returns what it says. */
export function judgedClean({ exit, text }) {
  if (!serveKnows('--judge')) throw new Skipped('this vrdma serve has no --judge');
  const line = /^.*\b\d+ (?:looks|observations).*$/m.exec(text)?.[0];
  if (exit !== 0) throw new Error(`exit ${exit}: ${text.trim().split('\n').slice(-6).join(' | ')}`);
  if (line === undefined) throw new Error('the judge says nothing of what it looked at');
  return line.trim();
}
