/** `vrdma check --device vhost-user:PATH`: somebody's device in another process is judged, and survives being judged. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { CheckReport } from '../../src/conformance/report.js';
import { readReports } from '../../src/report/index.js';
import { closeFd } from '../../src/transports/vhost-user/descriptors.js';
import { listenUnix } from '../../src/transports/vhost-user/sockets.js';
import { openFds, skipped } from '../transports/vhost-user/support.js';
import { builtKit, fixture, temporaryDirectory, vrdma } from './support.js';

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const scripted = fileURLToPath(
  new URL('../transports/vhost-user/fixtures/scripted-back-end.mjs', import.meta.url),
);

interface Checked {
  readonly code: number;
  readonly report: CheckReport;
  readonly log: string;
  readonly socket: string;
}

/** Checks the device that a command with `PATH` in it starts. */
async function check(command: string, ...argv: string[]): Promise<Checked> {
  const directory = temporaryDirectory();
  const socket = join(directory, 'device.sock');
  const log = join(directory, 'device.log');
  const { code, out, err } = await vrdma(
    [
      'check',
      '--json',
      '--quiet',
      '--seed=1',
      `--out=${directory}`,
      `--device=vhost-user:${socket}`,
      `--device-cmd=exec ${process.execPath} ${command.replaceAll('PATH', socket)}`,
      `--device-log=${log}`,
      ...argv,
    ],
    {},
    builtKit(),
  );
  expect(out, err).not.toBe('');
  const [report] = readReports(out, 'the output');
  return { code, report, log: readFileSync(log, 'utf8'), socket };
}

function faulty(fault: string): string {
  return `${fixture('faulty-back-end.mjs')} PATH ${fault}`;
}

/** A back-end that follows a script. */
function back(script: unknown): string {
  return `${scripted} PATH '${JSON.stringify(script)}'`;
}

function gradesOf({ cases }: CheckReport): Record<string, string> {
  return Object.fromEntries(
    cases.filter(({ grade }) => grade !== 'skipped').map(({ id, grade }) => [id, grade]),
  );
}

describe.skipIf(skipped !== undefined)('a device behind a vhost-user socket', () => {
  it('conforms when it is the bundled one, in every kind of suite', async () => {
    const before = openFds();
    const { code, report, log, socket } = await check(
      faulty('none'),
      '--runs=2',
      '--suite=probes,scenarios,settled,racing',
      '--only=FEAT/negotiate/*,CTRL/destroy-cq/*,OVR/law/*',
    );
    const failed = report.cases.filter(({ grade }) => grade === 'fail');
    expect(failed.map(({ id, message }) => `${id}: ${message}`)).toEqual([]);
    expect(report.findings).toEqual([]);
    const asked = report.suites.filter(({ programs }) => programs > 0).map(({ suite }) => suite);
    expect(asked).toEqual(expect.arrayContaining(['probes', 'scenarios', 'settled']));
    expect(code).toBe(0);
    expect(log).toBe('a device with the fault none\n');
    expect(existsSync(socket)).toBe(false);
    expect(openFds()).toBe(before);
  });

  it('conforms with each of the options that a peer may need', async () => {
    for (const options of [
      ['memory=regions'],
      ['reset=device', 'memoryAfterReset=again'],
      ['reset=reconnect', 'withoutProtocolFeatures=STATUS,REPLY_ACK,MQ', 'withoutFeatures=28,29'],
    ]) {
      const { code, report } = await check(
        faulty('none'),
        '--suite=settled,racing',
        '--runs=2',
        ...options.map(option => `--device-option=${option}`),
      );
      expect(report.findings.map(({ message }) => message)).toEqual([]);
      expect(code).toBe(0);
    }
  });

  it.each([
    ['crashes', 'an implementation never crashes', 'its process ended with SIGSEGV'],
    ['exits', 'an implementation never crashes', 'its process ended with exit code 7'],
    ['hangs', 'an implementation answers', 'its process goes on'],
  ])('%s at a command: that case fails, and the others are asked all the same', async (fault, law, how) => {
    const { code, report, log } = await check(
      faulty(fault),
      '--device-option=answerMs=1500',
      '--only=CTRL/create-pd/and-destroy,CTRL/destroy-cq/again,CTRL/create-cq/too-deep,CTRL/del-gid/empty',
    );
    expect(gradesOf(report)).toEqual({
      'CTRL/create-cq/too-deep': 'pass',
      'CTRL/create-pd/and-destroy': 'pass',
      'CTRL/del-gid/empty': 'pass',
      'CTRL/destroy-cq/again': 'fail',
    });
    const failed = report.cases.find(({ grade }) => grade === 'fail');
    expect(failed).toMatchObject({ law, requirements: ['HOST-01', 'HOST-34'] });
    expect(failed?.message).toContain(how);
    // It was started again each time.
    expect(log.trim().split('\n').length).toBeGreaterThan(1);
    expect(code).toBe(1);
  });

  it('is found out with the shortest program when it crashes in a generated one', async () => {
    const { code, report } = await check(faulty('exits'), '--suite=settled', '--runs=25');
    const [finding] = report.findings;
    expect(finding?.law).toBe('an implementation never crashes');
    expect(finding?.program.actions.map(({ op }) => op)).toEqual(['createCq', 'destroyCq']);
    expect(code).toBe(1);
  });

  it('is found out when it answers wrongly', async () => {
    const { code, report } = await check(faulty('refuses'), '--suite=settled', '--runs=25');
    const [finding] = report.findings;
    expect(finding?.law).toBe('machine GID');
    expect(finding?.program.actions.map(({ op }) => op)).toEqual(['addGid', 'delGid']);
    expect(code).toBe(1);
  });

  it('is not waited for for ever when it does not come back', async () => {
    const { code, report } = await check(
      faulty('answers-once'),
      '--device-option=reconnectMs=1500',
      '--only=CTRL/destroy-cq/*',
      '--only=CTRL/create-pd/*',
    );
    expect(report.cases.filter(({ grade }) => grade === 'fail').length).toBeGreaterThan(0);
    expect(report.interrupted).toBe(true);
    expect(code).toBe(1);
  });
});

/** Checks what is at a socket, or is not. Returns the exit code and what is said. */
async function verdictOn(socket: string, ...argv: string[]): Promise<{ code: number; reason: string }> {
  const { code, out, err } = await vrdma(
    ['check', '--json', '--quiet', `--out=${temporaryDirectory()}`, `--device=vhost-user:${socket}`, ...argv],
    {},
    builtKit(),
  );
  if (out === '') return { code, reason: err };
  const [report] = readReports(out, 'the output');
  return { code, reason: report.reason ?? '' };
}

describe.skipIf(skipped !== undefined)('a socket that no device is behind', () => {
  const startIt = 'start the device first, or give --device-cmd';

  it('gives no verdict when there is none, and says in one line what to do', async () => {
    const socket = join(temporaryDirectory(), 'none.sock');
    const { code, reason } = await verdictOn(socket);
    expect(reason).toBe(`no device listens at ${socket}: there is no such file; ${startIt}`);
    expect(code).toBe(3);
  });

  it('gives no verdict when whoever made it is gone', async () => {
    const socket = join(temporaryDirectory(), 'stale.sock');
    closeFd(listenUnix(socket, 1));
    const { code, reason } = await verdictOn(socket, '--device-option=connectMs=100');
    expect(reason).toBe(
      `no device listens at ${socket}: a stale socket is there: whoever made it has ended, and nobody listens on it; ${startIt}`,
    );
    expect(code).toBe(3);
  });

  it('gives no verdict when it is a file', async () => {
    const file = join(temporaryDirectory(), 'file');
    writeFileSync(file, '');
    const { code, reason } = await verdictOn(file, '--device-option=connectMs=100');
    expect(reason).toContain(`no device listens at ${file}: what is there is no socket`);
    expect(code).toBe(3);
  });

  it('gives no verdict when the command that was to make it does not', async () => {
    const socket = join(temporaryDirectory(), 'none.sock');
    const { code, reason } = await verdictOn(
      socket,
      '--device-cmd=exit 7',
      '--device-option=reconnectMs=100',
    );
    expect(reason).toBe(
      `no device listens at ${socket}: there is no such file; its process ended with exit code 7`,
    );
    expect(code).toBe(3);
  });

  it.each([
    [{ at: 'GET_FEATURES', does: 'foreign' }, 'the peer does not speak vhost-user'],
    [{ at: 'GET_FEATURES', does: 'hang' }, 'no answer to GET_FEATURES within 800 ms'],
    [{ at: 'GET_CONFIG', does: 'oversized' }, 'GET_CONFIG has a payload of 2147483647 bytes'],
    [{ features: '0x100000000' }, 'bits 17, 55 of profile roce are missing'],
  ])('%j: gives no verdict and says why', async (script, why) => {
    const before = openFds();
    const { code, report } = await check(back(script), '--device-option=answerMs=800');
    expect(report.reason).toContain(why);
    expect(code).toBe(3);
    expect(openFds()).toBe(before);
  });
});

describe.skipIf(skipped !== undefined)('a device on which no driver starts', () => {
  it.each([
    [{ config: 0 }, 'CONF-02', 'max_rdma_qps is 0, expected 1..16384'],
    [{ features: '0x80000040020000' }, 'FEAT-21', 'feature bits 32 are required and not offered'],
    [{ at: 'SET_MEM_TABLE', does: 'refuse' }, 'HOST-01', 'the back-end refused SET_MEM_TABLE'],
    [{ at: 'GET_STATUS', does: 'hang' }, 'HOST-01', 'no answer to GET_STATUS within 800 ms'],
    [{}, 'FEAT-21', 'the driver never resolved its start'],
  ])('%j: is at fault, and the report says how', async (script, requirement, why) => {
    const before = openFds();
    const { code, report } = await check(
      back(script),
      '--device-option=answerMs=800',
      '--only=FEAT/offer/what-is-needed',
    );
    const [first] = report.findings;
    expect(first.message).toContain(why);
    expect(first.requirements).toContain(requirement);
    expect(report.verdict).toBe('fail');
    expect(code).toBe(1);
    expect(openFds()).toBe(before);
  });

  it.each([
    ['device/ring-reset-required', 'FEAT-11', 'the device refused feature bits'],
    ['device/missing-last-queue', 'HOST-01', 'connection reset by peer'],
    ['ring/asleep-with-kicks-off', 'HOST-01', 'the driver never resolved its start'],
  ])('served with the fault %s: fails cases for %s, and no more than a few', async (fault, id, why) => {
    const { code, report } = await check(
      `${main} serve --socket PATH --fault ${fault}`,
      '--device-option=answerMs=300',
    );
    const [first] = report.findings;
    const failed = report.cases.filter(({ grade }) => grade === 'fail');
    expect(first.program).toMatchObject({ name: 'first-start', actions: [] });
    expect(first.message).toContain(why);
    expect(report.reason).toContain(
      'no driver started on the device; the rest was not asked after 8 failures',
    );
    expect(failed.flatMap(({ requirements }) => requirements)).toContain(id);
    expect(failed.length).toBeLessThanOrEqual(8);
    expect(report.interrupted).toBe(false);
    expect(code).toBe(1);
  });
});

describe('options about a device in another process', () => {
  it.each([
    [['--device-cmd=true'], '--device vhost-user:PATH, which is missing'],
    [['--device=vhost-user:'], 'needs the path of a socket'],
    [['--device=vhost-user:/tmp/x', '--device-log=x'], '--device-log is for what --device-cmd prints'],
    [['--device=vhost-user:/tmp/x', '--device-option=ring=start'], "did you mean 'rings'?"],
    [['--device=vhost-user:/tmp/x', '--device-option=rings=later'], 'device option rings'],
    [['--device=vhost-user:/tmp/x', '--device-option=queueSize=3'], 'a power of two'],
    [['--device=vhost-user:/tmp/x', '--device-profile=nothing.json'], 'there is no such file'],
  ])('%j are refused with a reason', async (argv, why) => {
    const { code, err } = await vrdma(['check', ...argv], {}, builtKit());
    expect(err.toLowerCase()).toContain(why.toLowerCase());
    expect(code).toBe(2);
  });

  it('come from a profile, and from the command line on top of it', async () => {
    const directory = temporaryDirectory();
    const profile = join(directory, 'peer.json');
    writeFileSync(profile, JSON.stringify({ answerMs: 700, connectMs: 60_000, withoutFeatures: [29] }));
    const { code, reason } = await verdictOn(
      join(directory, 'none.sock'),
      `--device-profile=${profile}`,
      '--device-option=connectMs=100',
    );
    expect(reason).toContain('there is no such file');
    expect(code).toBe(3);
  });
});
