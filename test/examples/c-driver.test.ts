/**
 * The driver in C: it compiles without a warning, two machines of it exchange messages through `vrdma serve`, it conforms, and
 * each of the faults that can be planted in it is caught.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { DrivenMachines, greet } from '../../src/conformance/agent/index.js';
import { check } from '../../src/conformance/check.js';
import { judge } from '../../src/conformance/judge.js';
import type { Program } from '../../src/conformance/program.js';
import { programSchema } from '../../src/conformance/program.js';
import type { CheckReport } from '../../src/conformance/report.js';
import { AgentLauncher } from '../../src/transports/agent/index.js';
import { nativeFault } from '../../src/transports/vhost-user/native.js';

const path = (relative: string): string => fileURLToPath(new URL(`../../${relative}`, import.meta.url));
const folder = path('examples/c-driver');
const cli = path('dist/cli/main.js');
const driver = ['ring.c', 'driver.c', 'verbs.c', 'data.c', 'os-linux.c'];
const flags = ['-std=c11', '-D_GNU_SOURCE', '-O1', '-Wall', '-Wextra', '-Wno-unused-parameter', '-Werror'];
/** Only ends what hangs. */
const LIMIT_MS = 900_000;

function missing(): string | undefined {
  if (process.platform !== 'linux') return 'it runs on Linux only';
  if (spawnSync('cc', ['--version']).status !== 0) return 'there is no cc (apt-get install gcc)';
  return nativeFault();
}

const fault = missing();
if (fault !== undefined) process.stderr.write(`test/examples/c-driver: skipped: ${fault}\n`);

const built = mkdtempSync(join(tmpdir(), 'vrdma-c-driver-'));
afterAll(() => rmSync(built, { recursive: true, force: true }));

function compile(name: string, sources: readonly string[], ...options: readonly string[]): string {
  const target = join(built, name);
  const argv = [...flags, ...options, ...sources, ...driver, '-o', target];
  const { status, stderr } = spawnSync('cc', argv, { cwd: folder, encoding: 'utf8' });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return target;
}

/** Runs a program to its end. */
async function run(command: string, argv: readonly string[]): Promise<{ code: number | null; out: string }> {
  const child = spawn(command, argv, { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  let out = '';
  child.stdout.on('data', chunk => (out += String(chunk)));
  const code = await new Promise<number | null>((resolve, reject) =>
    child.on('error', reject).on('close', resolve),
  );
  return { code, out };
}

/** The device for the self-test, at the path that is returned. */
async function serve(profile: string): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), 'vrdma-served-'));
  const socket = join(directory, 'device');
  const argv = [cli, 'serve', '--socket', socket, '--profile', profile];
  const child = spawn(process.execPath, argv, { stdio: 'ignore' });
  onTestFinished(async () => {
    const over = new Promise(resolve => child.on('close', resolve));
    child.kill('SIGKILL');
    await over;
    rmSync(directory, { recursive: true, force: true });
  });
  while (!existsSync(socket)) await new Promise(resolve => setTimeout(resolve, 20));
  return socket;
}

/** A driver in C, as the kit judges it from within this process. */
function driven(command: string): DrivenMachines {
  const launchers: AgentLauncher[] = [];
  const machines = new DrivenMachines({
    start() {
      const launcher = new AgentLauncher({ command, limitMs: 60_000 });
      launchers.push(launcher);
      const line = launcher.start();
      greet(line, 'test');
      return line;
    },
  });
  onTestFinished(() => {
    machines.close();
    for (const launcher of launchers) launcher.close();
  });
  return machines;
}

interface Caught {
  /** The case that fails, or the program that breaks a law. */
  readonly by: string | Program;
  /** Requirement of which it is a breach. */
  readonly id: string;
  readonly says: RegExp;
}

const rcSend = programSchema.parse(
  JSON.parse(readFileSync(path('examples/programs/data-message-rc-send.json'), 'utf8')),
);
const registered = rcSend.actions.findIndex(({ op }) => op === 'regMr');
/** The same with a region that comes and goes first. */
const keyOnceUsed: Program = {
  ...rcSend,
  actions: [
    ...rcSend.actions.slice(0, registered),
    { op: 'regMr', vm: 0, as: 'mr9', pd: 'pd0', at: 0, length: 4096, access: 7 },
    { op: 'deregMr', vm: 0, mr: 'mr9' },
    ...rcSend.actions.slice(registered),
  ],
};

const faults: Record<string, Caught> = {
  FAULT_USED_INDEX_NOT_WRAPPED: { by: 'VQ/index/wraps', id: 'VQ-39', says: /expected 64 from 65472 on/ },
  FAULT_KICK_LEFT_OUT: { by: 'VQ/kick/send-wanted', id: 'VQ-61', says: /never settled/ },
  FAULT_EVENT_INDEX_OFF_BY_ONE: { by: 'VQ/kick/send-event-index', id: 'VQ-61', says: /never settled/ },
  FAULT_COMPLETION_TWICE: { by: 'CQ/poll/partial', id: 'CQ-05', says: /completed again/ },
  FAULT_ARMED_AT_THE_ANSWER: { by: 'CQ/event/before-the-answer', id: 'CQ-48', says: /event|call/ },
  FAULT_KEY_OF_A_FREED_REGION: { by: keyOnceUsed, id: 'OVR-11', says: /LOC_PROT_ERR|expected/ },
  FAULT_RESERVED_BYTES: { by: 'CTRL/create-qp/layout', id: 'OVR-06', says: /reserved/ },
  FAULT_PAGE_LIST_SHORT: { by: 'MEM/page-list/whole-pages', id: 'MEM-01', says: /npages is 6, expected 7/ },
  FAULT_NO_USE_COUNT: { by: 'CTRL/destroy-pd/with-region', id: 'ERR-03', says: /EINVAL, expected EBUSY/ },
  FAULT_SHARED_ACK: { by: 'VQ/used/any-order', id: 'ERR-07', says: /EIO/ },
  FAULT_POST_BEYOND_THE_QUEUE: { by: 'ERR/post/send-queue-full', id: 'VQ-30', says: /MAKE_AVAILABLE/ },
  FAULT_ELEMENT_BEFORE_INDEX: { by: 'CQ/poll/empty', id: 'OVR-10', says: /gave the device up|EIO/ },
};

describe.skipIf(fault !== undefined)('the driver in C', () => {
  let agent: string;
  beforeAll(() => {
    agent = compile('c-driver', ['agent.c', 'json.c']);
  });

  it.each(['roce', 'rdma'])(
    'exchanges messages between two machines on a served device, profile %s',
    async profile => {
      const selftest = compile(`selftest-${profile}`, ['selftest.c']);
      const socket = await serve(profile);
      const { code, out } = await run(selftest, [socket, socket, '200', profile]);
      expect(out).toMatch(/^selftest: 200 messages each way, \d+ events: ok\n$/);
      expect(code).toBe(0);
    },
    LIMIT_MS,
  );

  it(
    'conforms, and its rings are judged',
    async () => {
      const out = mkdtempSync(join(tmpdir(), 'vrdma-c-driver-out-'));
      onTestFinished(() => rmSync(out, { recursive: true, force: true }));
      const asked =
        'VQ/ring/*,VQ/kick/*,VQ/used/*,CQ/event/*,HOST/used/*,CTRL/destroy-pd/*,RST/*,DATA/verbs/*';
      const argv = [cli, 'check', '--driver-cmd', agent, '--only', asked, '--seed', '1', '--runs', '4'];
      const printed = await run(process.execPath, [...argv, '--json', '--quiet', '--out', out]);
      const report = JSON.parse(printed.out) as CheckReport;
      const broken = report.cases.filter(({ grade }) => grade === 'fail');
      expect(broken.map(({ id, message }) => `${id}: ${message}`)).toEqual([]);
      expect(report.verdict).toBe('pass');
      const rings = report.cases.filter(({ id, grade }) => id.startsWith('VQ/ring/') && grade === 'pass');
      expect(rings.length).toBeGreaterThan(15);
    },
    LIMIT_MS,
  );

  it(
    'loses no result when it tries to take the memory away from under the check',
    async () => {
      const out = mkdtempSync(join(tmpdir(), 'vrdma-c-driver-out-'));
      onTestFinished(() => rmSync(out, { recursive: true, force: true }));
      const asked = ['CTRL/create-cq/zero-depth', 'DATA/verbs/*', 'VQ/kick/send-wanted'];
      const log = join(out, 'log');
      const command = `${process.execPath} ${path('test/cli/fixtures/shortens-memory.mjs')} ${agent}`;
      const options = ['--only', asked.join(','), '--seed', '1', '--runs', '4', '--driver-log', log];
      const argv = [cli, 'check', '--driver-cmd', command, ...options, '--json', '--quiet', '--out', out];
      const { code, out: printed } = await run(process.execPath, argv);
      // In mid-check: a driver was running, and more programs came.
      const tried = readFileSync(log, 'utf8').trim().split('\n');
      expect(tried.length).toBeGreaterThan(20);
      expect(new Set(tried)).toEqual(new Set(['the file stays as long as it is: EPERM']));
      const report = JSON.parse(printed) as CheckReport;
      const results = report.cases.filter(({ grade }) => grade !== 'skipped');
      expect(results.filter(({ grade }) => grade !== 'pass')).toEqual([]);
      expect(results.length).toBeGreaterThan(asked.length);
      expect(report.verdict).toBe('pass');
      expect(code).toBe(0);
    },
    LIMIT_MS,
  );

  it(
    'keeps every bound of chapter 9 that is asked of it',
    async () => {
      const { implementation } = driven(agent);
      const report = await check({
        profile: 'roce',
        seed: 1,
        runs: 1,
        suites: ['bounds'],
        ...implementation,
        nowMs: () => performance.now(),
        onProgress: () => {},
        shouldStop: () => false,
      });
      expect(report.findings.map(({ law, message }) => `${law}: ${message}`)).toEqual([]);
      expect(report.bounds?.rows.map(({ name }) => name)).not.toContain('translations');
      const grades = report.cases
        .filter(({ id }) => id.startsWith('PERF/bound/'))
        .map(({ id, grade }) => `${grade} ${id.slice('PERF/bound/'.length)}`);
      expect(grades.sort()).toMatchInlineSnapshot(`
        [
          "pass commands-a-post",
          "pass commands-a-verb",
          "pass exits-a-message",
          "pass exits-a-poll",
          "pass kicks-a-command",
          "pass kicks-a-post",
          "pass request-interrupts",
          "skipped completion-interrupts",
          "skipped interrupts-a-command",
          "skipped throughput",
          "unsupported translations",
        ]
      `);
    },
    LIMIT_MS,
  );

  it.each(Object.entries(faults))(
    'is caught with %s',
    async (name, { by, id, says }) => {
      const machines = driven(compile(name, ['agent.c', 'json.c'], `-D${name}`));
      const { implementation } = machines;
      if (typeof by !== 'string') {
        const { broken } = await judge(by, { profile: 'roce', implementation });
        expect(broken?.message).toMatch(says);
        expect(broken?.requirements).toContain(id);
        return;
      }
      const report = await check({
        profile: 'roce',
        seed: 1,
        runs: 1,
        suites: ['probes', 'scenarios'],
        cases: new Set([by]),
        ...implementation,
        nowMs: () => performance.now(),
        onProgress: () => {},
        shouldStop: () => false,
      });
      const result = report.cases.find(each => each.id === by);
      expect(result?.grade).toBe('fail');
      expect(result?.message).toMatch(says);
      expect(result?.requirements).toContain(id);
    },
    LIMIT_MS,
  );
});
