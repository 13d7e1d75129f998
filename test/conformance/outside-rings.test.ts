/** The rings of a device in another process: what is wrong with them shows in memory, and nothing is seen in right ones. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runObservations } from '../../src/conformance/ring-watch/index.js';
import { unseenOutside } from '../../src/conformance/ring-watch/outside/unseen.js';
import { observationKeys, observations } from '../../src/conformance/ring-watch/observations.js';
import { vhostUserDevice } from '../../src/conformance/vhost-user-device.js';
import { defaultPeerOptions } from '../../src/transports/vhost-user/peer-options.js';
import { skipped } from '../transports/vhost-user/support.js';

const fixture = fileURLToPath(new URL('../transports/vhost-user/fixtures/devices.mjs', import.meta.url));

/** A fault of a device, and the observation that names it. */
const faults = [
  ['ring/used-index-runs-ahead', 'usedIndex'],
  ['ring/used-id-of-the-one-before', 'usedId'],
  ['ring/slot-cleared-when-read', 'foreignAreas'],
  ['ring/descriptor-cleared-when-read', 'foreignAreas'],
  ['ring/byte-outside-memory', 'writesWithin'],
  ['ring/used-length-of-a-request-is-one', 'usedLength'],
  ['ring/every-fourth-interrupt-lost', 'interruptMissing'],
  ['ring/requests-interrupt', 'interruptNeedless'],
  ['ring/used-flags-with-event-idx', 'deviceFlags'],
  ['device/reserved-words-of-a-completion', 'deviceReserved'],
  ['ring/in-order-newest-first', 'inOrder'],
  ['ring/packed-used-id-of-the-one-before', 'usedId'],
  ['ring/packed-writes-the-wish-of-the-driver', 'foreignAreas'],
  ['ring/packed-used-length-of-the-descriptor', 'answerLength'],
  ['ring/packed-used-with-next', 'deviceFlags'],
  ['ring/packed-asks-with-a-reserved-mode', 'deviceFlags'],
  ['ring/packed-used-at-the-end-of-the-chain', 'usedPlace'],
] as const;

const PROGRAMS = 36;
let directory: string;
let end = (): void => undefined;

beforeAll(async () => {
  if (skipped !== undefined) return;
  directory = mkdtempSync(join(tmpdir(), 'vrdma-'));
  const hosts = [
    { paths: [pathOf('none')] },
    ...faults.map(([fault]) => ({ paths: [pathOf(fault)], fault })),
  ];
  const child = spawn(process.execPath, [fixture, JSON.stringify(hosts)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  end = () => void child.kill('SIGKILL');
  await once(child.stdout, 'data');
});
afterAll(() => {
  end();
  if (skipped === undefined) rmSync(directory, { recursive: true });
});

function pathOf(fault: string): string {
  return join(directory, `${fault.replaceAll('/', '-')}.sock`);
}

/** Generated programs on a device, with its rings watched. */
async function watch(fault: string) {
  const device = await vhostUserDevice({
    profile: 'roce',
    path: pathOf(fault),
    options: { ...defaultPeerOptions, answerMs: 200 },
    beat: () => undefined,
  });
  try {
    const context = { profile: 'roce', seed: 1, implementation: device.implementation } as const;
    return await runObservations(context, { programs: PROGRAMS, seed: 1, shrinkRunsMax: 0 });
  } finally {
    device.close();
  }
}

describe.skipIf(skipped !== undefined)('the rings of a device in another process', () => {
  it('show nothing when it is right, and all that memory can show is looked at', async () => {
    const { outcomes, cutShort } = await watch('none');
    const broken = outcomes.filter(({ breaches }) => breaches > 0);
    expect(broken.map(({ observation, first }) => `${observation.id}: ${first?.message}`)).toEqual([]);
    expect(cutShort).toBe(0);
    const unseen = new Set([...unseenOutside.keys()].map(key => observations[key].id));
    const judged = outcomes.filter(
      ({ observation: { id, judges } }) => judges !== 'driver' && !unseen.has(id),
    );
    expect(judged.filter(({ looks }) => looks === 0).map(({ observation }) => observation.slug)).toEqual([]);
    expect(judged.length + unseen.size).toBeGreaterThan(observationKeys.length / 2);
    for (const { observation, looks } of outcomes) if (unseen.has(observation.id)) expect(looks).toBe(0);
  });

  it.each(faults)('%s is seen as %s', async (fault, key) => {
    const { outcomes } = await watch(fault);
    const found = outcomes.filter(({ breaches }) => breaches > 0).map(({ observation }) => observation.id);
    expect(found).toContain(observations[key].id);
  });
});
