/** `vrdma serve` as a process: it serves, judges, records, and says what is wrong in one line. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { ScriptedFront } from '../transports/vhost-user/scripted-front.js';
import { skipped } from '../transports/vhost-user/support.js';

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const QUERY_DEVICE = Uint8Array.of(6, 0, 0, 0, 0, 0, 0, 0);

let directory: string;
let path: string;

interface Serving {
  readonly ended: Promise<{ readonly code: unknown; readonly out: string; readonly err: string }>;
}

/** Starts the command and waits until it listens or ends. */
async function serve(...more: readonly string[]): Promise<Serving> {
  const child = spawn(process.execPath, [main, 'serve', '--socket', path, ...more]);
  onTestFinished(() => void child.kill('SIGKILL'));
  let out = '';
  let err = '';
  child.stdout.on('data', (data: Buffer) => (out += data.toString()));
  const listening = new Promise<void>(resolve =>
    child.stderr.on('data', (data: Buffer) => {
      err += data.toString();
      if (err.includes('serving')) resolve();
    }),
  );
  const ended = once(child, 'close').then(([code]: unknown[]) => ({ code, out, err }));
  await Promise.race([listening, ended]);
  return { ended };
}

describe.skipIf(skipped !== undefined)('vrdma serve', () => {
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'vrdma-'));
    path = join(directory, 'device.sock');
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it('judges a driver in another process by its rings, and records a trace that passes', async () => {
    const trace = join(directory, 'trace.jsonl');
    const { ended } = await serve('--once', '--judge', '--trace', trace);
    const front = ScriptedFront.connect(path);
    await front.setUp({ queue: 2 });
    for (let i = 0; i < 20; i++) await front.command(QUERY_DEVICE);
    front.close();
    const { code, out } = await ended;
    expect(out).toContain('observations were made in the rings of 1 machine');
    expect(out).toContain('no obligation was broken');
    expect(code).toBe(0);
    const judged = spawn(process.execPath, [main, 'trace', '--quiet', trace]);
    expect(await once(judged, 'close')).toEqual([0, null]);
    expect(readFileSync(trace, 'utf8').split('\n').length).toBeGreaterThan(60);
  });

  it('convicts a driver whose available index jumps', async () => {
    const { ended } = await serve('--once', '--judge', '--json');
    const front = ScriptedFront.connect(path);
    await front.setUp({ queue: 2 });
    await front.command(QUERY_DEVICE);
    await front.jump();
    front.close();
    const { code, out } = await ended;
    expect(code).toBe(1);
    expect(out).toContain('the available index went from 1 to 1001');
  });

  it('has no verdict when nobody used a ring', async () => {
    const { ended } = await serve('--once', '--judge');
    const front = ScriptedFront.connect(path);
    await front.askNumber('GET_FEATURES');
    front.close();
    const { code, out } = await ended;
    expect(out).toContain('NO VERDICT: no ring was used');
    expect(code).toBe(3);
  });

  it.each([
    [['--socket', '/no/such/dir/x.sock'], 'make the directory'],
    [['--fault', 'device/access-flags-ignord'], "unknown fault 'device/access-flags-ignord'"],
    [['--device', 'loop', '--fault', 'x'], '--fault goes with --device roce'],
    [['--trace', '/no/such/dir/x'], 'cannot write /no/such/dir/x'],
  ])('says in one line what is wrong with %j', async (options, message) => {
    const { ended } = await serve(...options);
    const { code, err } = await ended;
    expect(code).toBe(2);
    expect(err).toContain(message);
    expect(err.trim().split('\n')).toHaveLength(1);
  });
});
