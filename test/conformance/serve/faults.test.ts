/** `vrdma serve --fault KIND`: whatever is wrong with the device, it is served, and it is the device that is wrong. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mutants } from '../../../src/conformance/mutants/index.js';
import { LiveJudge, deviceKinds, serve } from '../../../src/conformance/serve/index.js';
import type { ConnectionEnded } from '../../../src/transports/vhost-user/connection.js';
import { ScriptedFront } from '../../transports/vhost-user/scripted-front.js';
import { skipped } from '../../transports/vhost-user/support.js';

const CONTROL = 2;
const TURNS = 300;
/** Command headers with what the shortest of their data are. */
const commands = [
  Uint8Array.of(6, 0, 0, 0, 0, 0, 0, 0),
  Uint8Array.of(6, 5, 0, 0, 0, 0, 0, 0),
  Uint8Array.of(6, 255, 0, 0, 0, 0, 0, 0),
];
const faults = mutants.filter(({ implementation }) => implementation.driver === undefined);

let directory: string;

interface Outcome {
  readonly broken: readonly string[];
  /** How connections ended, and what was complained of. */
  readonly ends: readonly string[];
  readonly complaints: readonly string[];
  /** The driver got as far as asking. */
  readonly ready: boolean;
}

/** Serves a device to one driver that asks a few things. What the judge found, and how the connection ended. */
async function served(id: string): Promise<Outcome> {
  const faulty = faults.find(mutant => mutant.id === id)?.implementation;
  const host = deviceKinds.roce.host({
    profile: 'roce',
    ringFeatures: { indirect: true, eventIdx: true, packed: true, inOrder: true },
    polling: false,
    faulty,
  });
  const judge = new LiveJudge(host.rdma, () => undefined);
  const ends: string[] = [];
  const complaints: string[] = [];
  const path = join(directory, 'fault.sock');
  const server = serve({
    path,
    host,
    polling: false,
    judge,
    listener: {
      connected: () => undefined,
      complaint: (_vm, message) => void complaints.push(message),
      disconnected: (_vm, why: ConnectionEnded) => void ends.push(why.kind),
    },
  });
  const front = ScriptedFront.connect(path);
  let ready = false;
  try {
    ready = await front.setUp({ queue: CONTROL }).then(
      () => true,
      () => false,
    );
    for (let i = 0; ready && i < 4; i++)
      for (const command of commands) await front.tryCommand(command, TURNS);
  } finally {
    front.close();
    server.close();
  }
  const broken = judge.outcomes
    .filter(({ breaches }) => breaches > 0)
    .map(({ observation }) => observation.id);
  return { broken, ends, complaints, ready };
}

describe.skipIf(skipped !== undefined)('a device with a fault that is served', () => {
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'vrdma-faults-'));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  it('is there by many names', () => {
    expect(faults.length).toBeGreaterThan(50);
  });

  it.each(faults.map(({ id }) => id))('%s', async id => {
    const { ends, complaints, ready } = await served(id);
    expect(ends).not.toContain('crashed');
    // A device that cannot be set up says why.
    expect(ready || complaints.length > 0).toBe(true);
  });

  it('shows in its rings where that is where it is wrong', async () => {
    const shown: string[] = [];
    for (const { id } of faults.filter(fault => fault.id.includes('used')).slice(0, 6))
      shown.push(...(await served(id)).broken);
    expect(shown).not.toEqual([]);
  });
});
