import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { machines } from '../../src/statemachines/index.js';
import { temporaryDirectory, vrdma } from './support.js';

describe('help', () => {
  it('names every command and every exit code', async () => {
    const { code, out } = await vrdma(['--help']);
    expect(code).toBe(0);
    for (const word of ['check', 'replay', 'machines', 'export', 'spec', 'Exit codes: 0', 'Examples:'])
      expect(out).toContain(word);
  });

  it.each(['check', 'replay', 'machines', 'export', 'spec'])('of %s shows examples', async command => {
    const { code, out } = await vrdma([command, '--help']);
    expect(code).toBe(0);
    expect(out).toContain(`$ vrdma ${command}`);
  });

  it('is what a bare vrdma prints, as a usage error', async () => {
    const { code, out, err } = await vrdma([]);
    expect(code).toBe(2);
    expect(out).toBe('');
    expect(err).toContain('Usage: vrdma');
  });

  it('prints the version', async () => {
    expect(await vrdma(['--version'])).toEqual({ code: 0, out: '1.2.3\n', err: '' });
  });
});

describe('a command line that cannot be understood ends with 2 and says what was meant', () => {
  it.each([
    [['chekc'], "unknown command 'chekc': did you mean 'check'?"],
    [['check', '--sede', '1'], 'Did you mean --seed?'],
    [['check', '--seed', 'x'], 'Expected a whole number from 0 to 4294967295'],
    [['check', '--seed', '4294967296'], 'Expected a whole number from 0 to 4294967295'],
    [['check', '--seed', '-1'], '--seed'],
    [['check', '--runs', '0'], 'Expected a whole number from 1'],
    [['check', '--time', 'soon'], 'Expected a time such as 30'],
    [['check', '--time', '0s'], 'Expected a time such as 30'],
    [['check', '--suite', 'setled'], "unknown suite 'setled': did you mean 'settled'?"],
    [['check', '--profile', 'tcp'], 'Allowed choices are roce, rdma'],
    [['check', 'extra'], 'too many arguments'],
    [['replay'], "missing required argument 'file'"],
    [['machines', 'QP.RD'], "unknown machine 'QP.RD': did you mean 'QP.RC'"],
    [['export', 'WINDOWS'], "unknown machine 'WINDOWS'. Known: "],
    [['export', 'QP.RC', '--format', 'png'], 'Allowed choices are mermaid, dot, stately, json'],
    [['spec', 'CTRL-1'], "unknown requirement 'CTRL-1': did you mean"],
  ])('%j', async (argv, message) => {
    const { code, out, err } = await vrdma(argv);
    expect(err).toContain(message);
    expect(code).toBe(2);
    expect(out).toBe('');
  });
});

describe('a file that cannot be used', () => {
  it('missing: 2, with its name', async () => {
    const { code, err } = await vrdma(['replay', '/nowhere/program.json']);
    expect(err).toBe('vrdma: cannot read /nowhere/program.json: there is no such file.\n');
    expect(code).toBe(2);
  });

  it('a directory: 2', async () => {
    const { code, err } = await vrdma(['replay', temporaryDirectory()]);
    expect(err).toContain('it is a directory');
    expect(code).toBe(2);
  });

  it('a program of another version: 2, with the kit’s own words', async () => {
    const file = join(temporaryDirectory(), 'newer.json');
    writeFileSync(file, '{"version": 2}');
    const { code, err } = await vrdma(['replay', file]);
    expect(err).toBe(`vrdma: ${file}: version: expected 1\n`);
    expect(code).toBe(2);
  });

  it.each(['--driver', '--device'])('a missing %s: 3, since nothing could be judged', async option => {
    const { code, err } = await vrdma(['check', option, './nowhere.js']);
    expect(err).toBe(`vrdma: ${option} ./nowhere.js: there is no such file; expected a JavaScript module.\n`);
    expect(code).toBe(3);
  });
});

describe('machines and export', () => {
  it('lists every machine', async () => {
    const { code, out } = await vrdma(['machines']);
    expect(code).toBe(0);
    for (const { name } of machines) expect(out).toContain(`${name}  `);
  });

  it('shows one, whatever the case of its name', async () => {
    const { code, out } = await vrdma(['machines', 'qp.rc']);
    expect(code).toBe(0);
    expect(out).toMatch(/^QP\.RC\n/);
    expect(out).toMatch(/\n {2}RESET +\S+ +-> INIT /);
  });

  it('prints JSON', async () => {
    const { out } = await vrdma(['machines', 'QP.RC', '--json']);
    expect(JSON.parse(out)).toEqual(machines.find(({ name }) => name === 'QP.RC'));
  });

  it.each([
    ['mermaid', 'stateDiagram-v2'],
    ['dot', 'digraph'],
    ['stately', 'createMachine'],
    ['json', '"name": "QP.RC"'],
  ])('exports as %s', async (format, mark) => {
    const { code, out } = await vrdma(['export', 'QP.RC', '--format', format]);
    expect(code).toBe(0);
    expect(out).toContain(mark);
  });

  it('says when --out cannot be written', async () => {
    const { code, err } = await vrdma(['export', 'QP.RC', '--out', '/nowhere/qp.mmd']);
    expect(err).toContain('cannot write --out /nowhere/qp.mmd');
    expect(code).toBe(2);
  });
});

describe('spec', () => {
  it('counts what is checked and fails when something is not', async () => {
    const { code, out } = await vrdma(['spec']);
    expect(code).toBe(1);
    expect(out).toMatchInlineSnapshot(`
      "chapter                      ids   requirements  checked  by tests  by machines  by laws  cases  mutants
      spec/05-control-commands.md  CTRL             2        1         1            0        0      1        0

      1 of 2 requirements checked

      spec/05-control-commands.md:2: nothing checks CTRL-02
      spec/05-control-commands.md:1: no mutant breaks CTRL-01, and nothing says why
      spec/05-control-commands.md:2: no case asks for CTRL-02
      spec/05-control-commands.md:2: no mutant breaks CTRL-02, and nothing says why
      src/conformance/cases/catalogue.ts:1: no mutant breaks what case CTRL/create-pd/and-destroy asks for
      "
    `);
  });

  it('shows a requirement with the places that check it', async () => {
    const { code, out } = await vrdma(['spec', 'ctrl-01']);
    expect(code).toBe(0);
    expect(out).toMatchInlineSnapshot(`
      "CTRL-01  spec/05-control-commands.md:1
        The device MUST answer every command.
        test: test/a.test.ts:7
        case: CTRL/create-pd/and-destroy
      "
    `);
  });

  it('shows a chapter', async () => {
    const { out } = await vrdma(['spec', 'CTRL', '--json']);
    expect(JSON.parse(out)).toMatchObject({
      rows: [{ requirement: { id: 'CTRL-01' } }, { requirement: { id: 'CTRL-02', strict: true } }],
    });
  });
});

it('prints colours on a terminal only, and not when they are declined', async () => {
  const coloured = '\u001b[';
  expect((await vrdma(['machines'], { tty: true })).out).toContain(coloured);
  expect((await vrdma(['machines'])).out).not.toContain(coloured);
  expect((await vrdma(['machines', '--no-color'], { tty: true })).out).not.toContain(coloured);
  expect((await vrdma(['machines'], { tty: true, env: { NO_COLOR: '1' } })).out).not.toContain(coloured);
  expect((await vrdma(['machines'], { env: { FORCE_COLOR: '1' } })).out).toContain(coloured);
});
