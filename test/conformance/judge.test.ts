/** One program is judged: which law broke first, what counts as a call, and what bare metal says. */
import { describe, expect, it } from 'vitest';
import type { Implementation } from '../../src/conformance/implementation.js';
import { judge } from '../../src/conformance/judge.js';
import { LawBroken, laws } from '../../src/conformance/laws.js';
import type { Program } from '../../src/conformance/program.js';
import { VerbsError } from '../../src/verbs/index.js';
import { overlay } from './faults/fault.js';
import { program } from './hand-made.js';

describe('the judge', () => {
  const pds = (expect: 'EBUSY' | 'ok'): Program => ({
    ...program,
    actions: [
      { op: 'createPd', vm: 0, as: 'pd0' },
      { op: 'destroyPd', vm: 0, pd: 'pd0', expect },
    ],
  });

  it('counts the calls of both sides of a settled program, and of the one side of a racing one', async () => {
    expect(await judge(pds('ok'), { profile: 'roce' })).toEqual({ broken: undefined, calls: 4 });
    const racing = { ...pds('ok'), mode: 'racing' } as const;
    expect((await judge(racing, { profile: 'roce' })).calls).toBe(2);
    const sought = laws.completesOnce.name;
    expect((await judge(pds('ok'), { profile: 'roce', sought })).calls).toBe(2);
    expect((await judge(pds('ok'), { profile: 'roce', sought: laws.invisible.name })).calls).toBe(4);
  });

  it('names the law that a program expects in vain', async () => {
    const { broken } = await judge(pds('EBUSY'), { profile: 'roce' });
    expect(broken?.law).toBe(laws.expected.name);
  });

  it('takes what an implementation throws for a crash, with what it said', async () => {
    const driver = () => {
      throw new TypeError('no such thing');
    };
    const { broken, calls } = await judge(pds('ok'), { profile: 'roce', implementation: { driver } });
    expect(broken?.message).toContain('no such thing');
    expect([laws.neverCrashes.name, laws.starts.name]).toContain(broken?.law);
    expect(calls).toBe(0);
  });

  it('[OVR-11] sees on bare metal that a refusal is wrong', async () => {
    const implementation: Implementation = {
      adapter: inner =>
        overlay(inner, {
          createPd: () => {
            throw new VerbsError('ENOMEM', 'createPd', 'no room');
          },
        }),
    };
    const bare: Program = { ...program, actions: [{ op: 'createPd', vm: 0, as: 'pd0' }] };
    const { broken } = await judge(bare, { profile: 'roce', implementation });
    expect(broken).toBeInstanceOf(LawBroken);
    expect(broken?.law).toBe(laws.invisible.name);
    expect(broken?.message).toContain('on bare metal');
  });
});
