/**
 * Faults of every chapter of the record, served in another process: a check of that device names the obligation that each
 * breaks, by a case that a device without faults passes in the same way. `vrdma check --device vhost-user:PATH` does it in a
 * worker of its own; here that is shown of one of them, and the others are checked in this process, which loads the kit once.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { check } from '../../src/conformance/check.js';
import { mutants } from '../../src/conformance/mutants/index.js';
import { vhostUserDevice } from '../../src/conformance/vhost-user-device.js';
import { defaultPeerOptions } from '../../src/transports/vhost-user/peer-options.js';
import type { CaseResult } from '../../src/conformance/cases/index.js';
import { readReports } from '../../src/report/index.js';
import { skipped } from '../transports/vhost-user/support.js';
import { builtKit, temporaryDirectory, vrdma } from './support.js';

const fixture = fileURLToPath(new URL('../transports/vhost-user/fixtures/devices.mjs', import.meta.url));

/** A fault, and a case that shows it. */
const faults: readonly (readonly [fault: string, id: string])[] = [
  ['device/version-1-added', 'FEAT/negotiate/no-version-1'],
  ['device/features-ok-taken-back', 'FEAT/status/keeps-bits'],
  ['device/commands-before-the-first-kick-unseen', 'FEAT/live/looks-at-driver-ok'],
  ['device/mtu-big-endian', 'CONF/mtu/active-mtu'],
  ['device/limits-change', 'CONF/reading/at-any-time'],
  ['device/cq-of-nothing', 'CTRL/create-cq/zero-depth'],
  ['device/query-port-changes', 'CTRL/query-device/unchanging'],
  ['device/too-many-elements-cut', 'DATA/malformed-send/many-more-elements'],
  ['device/user-mr-wraps', 'CTRL/reg-user-mr/end-above-2-64'],
  ['device/wr-id-of-32-bits', 'CQ/contents/wr-id'],
  ['device/user-mr-more-pages', 'CTRL/reg-user-mr/too-many-pages'],
  ['device/inline-is-sixteen-bytes', 'DATA/ud/inline'],
  ['device/user-mr-page-elsewhere', 'CTRL/reg-user-mr/page-outside-memory'],
  ['device/remote-write-is-remote-read', 'ERR/right/read-region'],
  ['device/query-qp-by-its-mask', 'CTRL/query-qp/every-field'],
  ['device/query-qp-stale-address', 'CTRL/query-qp/every-field'],
  ['device/destroy-flushes', 'QP/destroy/outstanding'],
  ['device/fence-lost', 'DATA/message/fence'],
  ['ring/chains-taken-backwards', 'VQ/order/several-commands-at-once'],
  ['device/buffers-of-a-destroyed-queue-kept', 'CQ/destroy/returns-buffers'],
  ['device/chains-of-nobody-returned', 'VQ/access/queues-without-object'],
  ['ring/table-read-in-order', 'VQ/indirect/next-in-any-order'],
  ['ring/packed-used-with-next', 'VQ/packed/in-order-watched'],
  ['device/flags-exclude-each-other', 'DATA/flags/every-set'],
  ['device/both-notify-flags-are-solicited', 'CQ/event/both-flags'],
  ['device/armed-by-nobody', 'CQ/event-any/not-armed'],
  ['adapter/any-peer', 'ISO/packets/uninvited'],
  ['device/unknown-opcode-is-send', 'DATA/malformed-send/opcode-255'],
  ['network/receiver-not-ready-is-an-error', 'ERR/rnr/endless'],
  ['device/padding-must-be-zero', 'DATA/request/bytes-behind'],
  ['device/spurious-kick-stops-the-device', 'VQ/kick/nothing-new'],
  ['ring/head-taken-modulo', 'VQ/broken-control-ring/head-out-of-range'],
  ['ring/kicks-never-off', 'PERF/kick/completion-buffers-flags'],
  ['device/endless-timeout-ends', 'ERR/silence/no-timeout'],
];

/** Place of the fault of which the command line tells too. */
const LIKE_THE_COMMAND = faults.findIndex(([fault]) => fault === 'device/fence-lost');
const soundPath = 'none.sock';
let directory: string;
let end = (): void => undefined;

beforeAll(async () => {
  if (skipped !== undefined) return;
  directory = mkdtempSync(join(tmpdir(), 'vrdma-'));
  const hosts = [
    { paths: [join(directory, soundPath)] },
    ...faults.map(([fault], i) => ({ paths: [join(directory, `${i}.sock`)], fault })),
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

const seed = 1;
const suites = ['probes', 'scenarios'] as const;

/** What came of the cases that were asked. */
async function asked(socket: string, ids: readonly string[]): Promise<readonly CaseResult[]> {
  const device = await vhostUserDevice({
    profile: 'roce',
    path: join(directory, socket),
    options: defaultPeerOptions,
    beat: () => undefined,
  });
  try {
    const report = await check({
      ...device.implementation,
      profile: 'roce',
      seed,
      suites,
      cases: new Set(ids),
      runs: 1,
      nowMs: () => performance.now(),
      onProgress: () => undefined,
      shouldStop: () => device.gone,
    });
    return report.cases.filter(({ id }) => ids.includes(id));
  } finally {
    device.close();
  }
}

/** The same by the command line. */
async function askedByCommand(socket: string, ids: readonly string[]): Promise<readonly CaseResult[]> {
  const { out, err } = await vrdma(
    [
      'check',
      '--json',
      '--quiet',
      '--strict',
      `--seed=${seed}`,
      `--suite=${suites.join(',')}`,
      `--only=${ids.join(',')}`,
      `--out=${temporaryDirectory()}`,
      `--device=vhost-user:${join(directory, socket)}`,
    ],
    {},
    builtKit(),
  );
  expect(out, err).not.toBe('');
  const [report] = readReports(out, 'the output');
  return report.cases.filter(({ id }) => ids.includes(id));
}

describe.skipIf(skipped !== undefined)('a fault of a device behind a vhost-user socket', () => {
  it('is of every chapter that a device can have one of', () => {
    const chapterOf = new Map(mutants.map(({ id, chapter }) => [id, chapter]));
    const ofDevices = mutants.filter(({ implementation }) => implementation.driver === undefined);
    const chapters = new Set(ofDevices.map(({ chapter }) => chapter));
    expect(new Set(faults.map(([fault]) => chapterOf.get(fault)))).toEqual(chapters);
  });

  it('is not seen where there is none', async () => {
    const ids = [...new Set(faults.map(([, id]) => id))];
    const results = await asked(soundPath, ids);
    expect(results.filter(({ grade }) => grade !== 'pass')).toEqual([]);
    expect(results).toHaveLength(ids.length);
  });

  it('is told by the command as it is here, with the same grade, obligations and message', async () => {
    const [, id] = faults[LIKE_THE_COMMAND];
    const socket = `${LIKE_THE_COMMAND}.sock`;
    const [[here], [there]] = [await asked(socket, [id]), await askedByCommand(socket, [id])];
    const { grade, requirements, message } = here;
    expect(there).toMatchObject({ grade, requirements, message });
    expect(grade).toBe('fail');
    expect(await askedByCommand(soundPath, [id])).toMatchObject([{ grade: 'pass' }]);
  });

  it.each(faults.map(([fault, id], i) => [fault, id, i] as const))('%s: %s fails', async (fault, id, i) => {
    const [{ grade, requirements }] = await asked(`${i}.sock`, [id]);
    expect(grade).toBe('fail');
    const broken = mutants.find(mutant => mutant.id === fault)?.requirements ?? [];
    expect(broken.some(requirement => requirements.includes(requirement))).toBe(true);
  });
});
