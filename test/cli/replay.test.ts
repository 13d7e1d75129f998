import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fixture, program, Seed, temporaryDirectory, vrdma } from './support.js';

function saved(seed: number): string {
  const file = join(temporaryDirectory(), 'program.json');
  writeFileSync(file, JSON.stringify({ ...program, seed }));
  return file;
}

describe('replay', () => {
  it('shows every action with what it caused, and the verdict', async () => {
    const { code, out } = await vrdma(['replay', saved(1)]);
    expect(code).toBe(0);
    expect(out).toMatchInlineSnapshot(`
      "0  vm0  pd0 = createPd()
              time     vm0    device
              0 ns      |------->|      createPd

      1  vm0  destroyPd(pd0)
              time     vm0    device
            1.5 us      |------->|      destroyPd

      PASS  no law broken in 2 steps
      "
    `);
  });

  it('ends with 1 when the law is broken again', async () => {
    const { code, out } = await vrdma(['replay', saved(Seed.finding), '--quiet']);
    expect(code).toBe(1);
    expect(out).toContain('BROKEN  answers every command');
    expect(out).toContain('[CTRL-01] The device MUST answer every command.');
    expect(out).toMatch(/FAIL {2}after 2 steps\n$/);
  });

  it('prints the same bytes each time', async () => {
    const file = saved(Seed.finding);
    const [first, second] = [await vrdma(['replay', file]), await vrdma(['replay', file])];
    expect(first).toEqual(second);
  });

  it('writes the trace', async () => {
    const file = join(temporaryDirectory(), 'trace.jsonl');
    await vrdma(['replay', saved(1), '--out', file]);
    expect(readFileSync(file, 'utf8')).toBe('{"at":"verbs"}\n');
  });

  it('writes a capture, and says what it leaves out', async () => {
    const file = join(temporaryDirectory(), 'roce.pcap');
    const { code, err } = await vrdma(['replay', saved(1), '--pcap', file]);
    expect([...readFileSync(file)]).toEqual([1, 2, 3]);
    expect(err).toBe(
      'vrdma: --pcap: 2 packets without a frame left out: not from IPv4 to IPv4 or IPv6 to IPv6\n',
    );
    expect(code).toBe(0);
  });

  it('prints the same with a capture and without', async () => {
    const argv = ['replay', saved(1), '--json'];
    const { out } = await vrdma([...argv, '--pcap', join(temporaryDirectory(), 'roce.pcap')]);
    expect(out).toBe((await vrdma(argv)).out);
  });

  it('a place that cannot be written is a matter of usage', async () => {
    const { code, err } = await vrdma(['replay', saved(1), '--pcap', '/nowhere/roce.pcap']);
    expect(err).toContain('cannot write --pcap /nowhere/roce.pcap');
    expect(code).toBe(2);
  });

  it.each([
    ['blocks-on-load.mjs', 3, 'could not be loaded: it blocks'],
    ['throws-on-load.mjs', 3, 'no hardware here'],
    ['never-resolves.mjs', 1, 'it waits for a promise that nothing can settle any more'],
    ['exits.mjs', 1, 'process.exit(7)'],
  ])('with %s ends with %i', async (name, wanted, message) => {
    const argv = ['replay', saved(1), '--hang-timeout', '2s', '--driver', fixture(name)];
    const { code, err } = await vrdma(argv);
    expect(err).toContain(message);
    expect(code).toBe(wanted);
  });
});
