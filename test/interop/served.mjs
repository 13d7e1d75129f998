/** A device that the kit serves, and what its judge says in the end. */

/**
 * Starts `vrdma serve` and waits until it listens.
 * @param {import('./part.mjs').Part} part
 * @param {{ name: string, device: 'net' | 'loop', judge?: boolean, poll?: boolean, more?: string[] }} options
 */
export async function serveDevice(part, { name, device, judge = true, poll = false, more = [] }) {
  const socket = part.socket(`${name}.sock`);
  const flags = [...(judge ? ['--judge'] : []), ...(poll ? ['--poll'] : []), ...more];
  const server = part.vrdma(name, ['serve', '--socket', socket, '--device', device, ...flags]);
  await part.listening(socket, server);
  return { socket, server };
}

/** Interrupts a server. Its exit code and all that it printed. */
export async function endServing({ server }) {
  server.signal('SIGINT');
  const exit = await server.ended(30);
  return { exit, text: server.text() };
}

/**
 * Throws unless the judge looked at something and found nothing.
 * @returns the sentence that the report ends with
 */
export function judgedClean({ exit, text }) {
  const line = /judge: (.*)/.exec(text)?.[1];
  if (line === undefined)
    throw new Error(`the judge says nothing: ${text.trim().split('\n').slice(-3).join(' | ')}`);
  if (exit !== 0) throw new Error(`exit ${exit}: ${line}`);
  return line;
}
