/** A case that hangs or kills the implementation fails, and a fresh worker asks the rest. */
import { describe, expect, it } from 'vitest';
import { main } from '../../src/cli/app.js';
import { bundledKit } from '../../src/cli/bundled-kit.js';
import type { CheckReport } from '../../src/conformance/report.js';
import { fixture, temporaryDirectory, workerUrl } from './support.js';
import { readSpecBook } from '../../src/cli/spec-book.js';
import type { Kit } from '../../src/cli/kit.js';

const engineUrl = new URL('../../dist/conformance/index.js', import.meta.url);

/** The kit as it was built, since the worker thread runs what was built. */
function builtKit(): Kit {
  const kit = bundledKit();
  return { ...kit, workerUrl, engineUrl, spec: () => readSpecBook() };
}

async function check(...argv: string[]): Promise<{ code: number; report: CheckReport; notes: string }> {
  let out = '';
  let notes = '';
  const code = await main(
    ['check', '--json', '--out', temporaryDirectory(), ...argv],
    {
      out: text => void (out += text),
      err: text => void (notes += text),
      outIsTty: false,
      errIsTty: false,
      columns: 100,
      env: {},
      nowMs: () => performance.now(),
      randomSeed: () => 7,
      onInterrupt: () => () => undefined,
    },
    builtKit(),
  );
  return { code, report: JSON.parse(out), notes };
}

describe('an implementation that a single case stops', () => {
  it.each([
    ['blocks', 'it blocks: no sign of life', 'an implementation answers'],
    ['exits', 'it ended its thread with process.exit(7)', 'an implementation answers'],
  ])('%s: that case fails, and the others are asked all the same', async (how, message, law) => {
    process.env.VRDMA_FIXTURE = how;
    const cases = ['CTRL/create-pd/and-destroy', 'CTRL/create-cq/no-entries', 'CTRL/create-cq/too-deep'];
    const { code, report, notes } = await check(
      ...['--only', cases.join(','), '--hang-timeout', '2s', '--seed', '1'],
      ...['--driver', fixture('stops-at-no-entries.mjs')],
    );
    const asked = report.cases.filter(({ grade }) => grade !== 'skipped');
    expect(Object.fromEntries(asked.map(({ id, grade }) => [id, grade]))).toEqual({
      'CTRL/create-cq/no-entries': 'fail',
      'CTRL/create-cq/too-deep': 'pass',
      'CTRL/create-pd/and-destroy': 'pass',
    });
    const failed = asked.find(({ grade }) => grade === 'fail');
    expect(failed).toMatchObject({ law, requirements: ['HOST-01', 'HOST-34'] });
    expect(failed?.message).toContain(message);
    expect(report.verdict).toBe('fail');
    expect(code).toBe(1);
    expect(notes).toContain('starting the implementation again');
    // The program that stopped it is saved like that of any other finding.
    expect(report.findings.map(({ program }) => program.name)).toEqual(['CTRL/create-cq/no-entries']);
  });
});
