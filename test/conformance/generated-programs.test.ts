/**
 * Generated programs see faults by themselves: no fixed case is asked here, the laws and machines alone convict. Whether all
 * cases together catch every mutant is `mutants.test.ts`; this is about the generator, the laws, and the shrinker.
 */
import { describe, expect, it } from 'vitest';
import { check, laws } from '../../src/conformance/index.js';
import type { CheckReport, Implementation } from '../../src/conformance/index.js';
import { mutants } from '../../src/conformance/mutants/index.js';

const PROGRAMS = 40;
/** A counterexample that a person takes in at a glance. */
const SHRUNK_MAX = 12;

function run(implementation: Implementation, shrinkRunsMax: number): Promise<CheckReport> {
  let clock = 0;
  return check({
    ...implementation,
    profile: 'roce',
    seed: 7,
    suites: ['settled', 'racing'],
    runs: PROGRAMS,
    // Short programs shrink fast.
    actionsMax: 60,
    shrinkRunsMax,
    stopAtFirst: true,
    nowMs: () => clock++,
    onProgress: () => undefined,
    shouldStop: () => false,
  });
}

/** A mutant for each law that programs can break, from every part of the stack. */
const seen: readonly (readonly [mutant: string, law: string])[] = [
  ['driver/completion-dropped', laws.completesInOrder.name],
  ['driver/completion-seen-twice', laws.completesOnce.name],
  ['driver/more-than-asked-for', laws.pollsWhatIsAsked.name],
  ['driver/flush-shown-as-success', laws.completesInPlace.name],
  ['driver/handler-not-called', laws.losesNoWakeUp.name],
  ['driver/handler-called-twice', laws.eventsAreArmed.name],
  ['transport/every-third-kick-lost', laws.answersOnce.name],
  ['device/move-to-err-not-executed', laws.invisible.name],
  ['device/returned-twice', laws.neverCrashes.name],
  ['device/reset-without-the-adapter', laws.resetsClean.name],
  ['ring/used-id-is-a-position', laws.getsAlong.name],
  ['ring/asleep-with-kicks-off', 'machine NOTIFY_DEVICE'],
  ['adapter/done-before-it-is-done', 'machine QP.UD'],
  ['adapter/flushes-forgotten', 'machine RECV_WR'],
  ['network/payload-byte-flipped', laws.dataArrives.name],
  ['network/write-one-byte-further', laws.keepsMemory.name],
];

function implementationOf(id: string): Implementation {
  const found = mutants.find(mutant => mutant.id === id);
  if (found === undefined) throw new Error(`there is no mutant ${id}`);
  return found.implementation;
}

describe('generated programs alone', () => {
  it.each(seen)('convict %s by: %s', async (id, law) => {
    const { findings } = await run(implementationOf(id), 0);
    expect(findings.map(finding => finding.law)).toEqual([law]);
  });

  it.each([
    'driver/flush-shown-as-success',
    'device/move-to-err-not-executed',
    'transport/every-third-kick-lost',
  ])('are made small: %s', async id => {
    const [finding] = (await run(implementationOf(id), 300)).findings;
    expect(finding.shrinks).toBeGreaterThan(0);
    expect(finding.actions).toBeLessThanOrEqual(SHRUNK_MAX);
  });

  it('convict nobody where nothing is wrong', async () => {
    const { findings, programs } = await run({}, 0);
    expect(findings).toEqual([]);
    expect(programs).toBe(PROGRAMS);
  });
});
