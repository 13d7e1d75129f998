/** One program is judged: which law broke first, what counts as a call, and what bare metal says. */
import { describe, expect, it } from 'vitest';
import type { Implementation } from '../../src/conformance/implementation.js';
import { judge } from '../../src/conformance/judge.js';
import { LawBroken, laws } from '../../src/conformance/laws.js';
import { Coverage } from '../../src/conformance/coverage.js';
import { smallLimits } from '../../src/conformance/limits.js';
import { MonitorBook } from '../../src/conformance/monitors/book.js';
import type { Expected } from '../../src/conformance/outside.js';
import type { Action, Program } from '../../src/conformance/program.js';
import type { RemoteMachines } from '../../src/conformance/remote-machines.js';
import { TraceRecorder } from '../../src/conformance/trace.js';
import type { VerbsWorld } from '../../src/conformance/verbs-world.js';
import { bareMetalWorld } from '../../src/conformance/world.js';
import { bundledDevice, bundledDriver } from '../../src/conformance/bundled.js';
import { machineByName } from '../../src/statemachines/index.js';
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

describe('a program that is cut short by a reset', () => {
  const pds = (count: number): Program['actions'] =>
    Array.from({ length: count }, (_, i): Action => ({ op: 'createPd', vm: 0, as: `pd${i}` }));
  const racing = (seed: number, count = 3): Program => ({
    ...program,
    mode: 'racing',
    seed,
    actions: pds(count),
  });

  /** Worlds that were started for the program, and what came of it; from the second one on the adapter makes an object at a reset. */
  async function worldsOf(asked: Program, forgetful: boolean, sought?: string) {
    let worlds = 0;
    const implementation: Implementation = {
      driver: context => {
        worlds++;
        return bundledDriver(context);
      },
      adapter: inner =>
        forgetful && worlds > 0 ? overlay(inner, { reset: () => void inner.createPd() }) : inner,
    };
    const { broken, calls } = await judge(asked, { profile: 'roce', implementation, sought });
    return { worlds, broken, calls };
  }

  it('is every fourth racing one, behind a run in which all is well', async () => {
    for (const seed of [0, 4, 256]) expect((await worldsOf(racing(seed), false)).worlds).toBe(2);
    for (const seed of [1, 2, 3, 5]) expect((await worldsOf(racing(seed), false)).worlds).toBe(1);
    expect((await worldsOf({ ...racing(4), mode: 'settled' }, false)).worlds).toBe(1);
    expect((await worldsOf(racing(4), false)).calls).toBe(3);
  });

  it('[RST-30] is judged by what the reset leaves, at an action that the seed chooses', async () => {
    for (const [seed, count] of [
      [4, 1],
      [4 + 256, 2],
      [4 + 512, 3],
      [4 + 768, 1],
    ]) {
      const { broken } = await worldsOf(racing(seed), true);
      expect(broken?.law).toBe(laws.resetsClean.name);
      expect(broken?.message).toContain(`reset when ${count} action(s) were issued: the adapter still held`);
    }
    expect((await worldsOf(racing(4, 0), true)).broken?.message).toContain('reset when 1 action(s)');
  });

  it('is not run for a law that could not be found broken there, nor behind one that was', async () => {
    expect((await worldsOf(racing(4), false, laws.invisible.name)).worlds).toBe(1);
    expect((await worldsOf(racing(4), false, laws.resetsClean.name)).worlds).toBe(2);
    const wrong: Program = {
      ...racing(4),
      actions: [{ op: 'createPd', vm: 0, as: 'pd0', expect: 'EINVAL' }],
    };
    const { worlds, broken } = await worldsOf(wrong, false);
    expect([worlds, broken?.law]).toEqual([1, laws.expected.name]);
  });

  it('[RST-30] leaves nothing at its end either', async () => {
    const implementation: Implementation = { adapter: inner => overlay(inner, { reset: () => undefined }) };
    const { broken } = await judge({ ...racing(1), mode: 'settled' }, { profile: 'roce', implementation });
    expect(broken?.message).toContain('reset at the end: the adapter still held');
  });
});

describe('what the judge is given', () => {
  const one: Program = { ...program, actions: [{ op: 'createPd', vm: 0, as: 'pd0' }] };

  it('adds up in a book and in counters of what was reached, and is recorded with its times', async () => {
    const book = new MonitorBook();
    const coverage = new Coverage();
    const begun: number[] = [];
    coverage.begin = () => void begun.push(1);
    const recorder = new TraceRecorder();
    const clocks: (() => number)[] = [];
    recorder.useClock = clock => void clocks.push(clock);
    await judge(one, { profile: 'roce', book, coverage, recorder });
    await judge(one, { profile: 'roce', book, coverage });
    expect(begun).toHaveLength(2);
    expect(JSON.stringify(recorder.events)).toContain('createPd');
    expect(clocks.map(clock => typeof clock())).toEqual(['number']);
    expect(coverage.commands.toRecord()).toEqual({ 'createPd ok': 2 });
  });

  it('holds the party to limits of its own choice', async () => {
    const two: Program = {
      ...program,
      actions: [
        { op: 'createPd', vm: 0, as: 'pd0' },
        { op: 'createPd', vm: 0, as: 'pd1', expect: 'ENOMEM' },
      ],
    };
    const limits = { ...smallLimits, attributes: { ...smallLimits.attributes, maxPd: 1 } };
    expect((await judge(two, { profile: 'roce', limits })).broken).toBeUndefined();
    expect((await judge(two, { profile: 'roce' })).broken?.law).toBe(laws.expected.name);
  });

  it('takes anything that is thrown for a crash', async () => {
    for (const thrown of [new Error('first'), Object.assign(new Error('second'), { stack: undefined })]) {
      const implementation: Implementation = {
        adapter: inner =>
          overlay(inner, {
            createPd: () => {
              throw thrown;
            },
          }),
      };
      const { broken, calls } = await judge(one, { profile: 'roce', implementation });
      expect(broken?.law).toBe(laws.neverCrashes.name);
      expect(broken?.message).toContain(thrown.message);
      expect(calls).toBe(1);
    }
  });
});

describe('how close the judge looks', () => {
  const gid: Program = { ...program, actions: [{ op: 'addGid', vm: 0, index: 0, gid: 0 }] };

  it('is by what both parties report, else by what is seen in memory, at a device outside too', async () => {
    const seen: string[] = [];
    const driver: Implementation['driver'] = context => {
      seen.push(`${context.ringObserver !== undefined} ${context.looked !== undefined}`);
      return bundledDriver(context);
    };
    const device: Implementation['device'] = context => {
      seen.push(`${context.ringObserver !== undefined}`);
      return bundledDevice(context);
    };
    const outsideDevice = { limits: smallLimits, machinesMax: 1, showsStatus: true };
    for (const implementation of [
      { driver },
      { driver, reports: true },
      { driver, outsideDevice },
      { device },
      { device, reports: true },
      { device, driver },
    ])
      await judge(gid, { profile: 'roce', implementation });
    expect(seen).toEqual(['false true', 'true false', 'false true', 'false', 'true', 'false', 'false true']);
  });

  it('[RST-31] reaches the used rings of the queues that the driver has enabled, at the end and in flight', async () => {
    const late = (from: number): Implementation => {
      let made = 0;
      return {
        reports: true,
        device: context => {
          const inner = bundledDevice(context);
          const at = made++;
          let used: number | undefined;
          return overlay(inner, {
            enableQueue: (index, size, addresses) => {
              used = addresses.device;
              inner.enableQueue(index, size, addresses);
            },
            writeStatus: value => {
              inner.writeStatus(value);
              const address = used;
              if (value !== 0 || address === undefined || at < from) return;
              context.scheduler.post({ run: () => context.memory.write(address, Uint8Array.of(9), 0, 1) });
            },
          });
        },
      };
    };
    const ended = await judge(gid, { profile: 'roce', implementation: late(0) });
    expect(ended.broken?.message).toMatch(/reset at the end: the used ring of queue \d+ changed/);
    const racing = { ...gid, mode: 'racing', seed: 4 } as const;
    const flown = await judge(racing, { profile: 'roce', implementation: late(1) });
    expect(flown.broken?.message).toMatch(/reset when 1 action.* the used ring of queue \d+ changed/);
  });

  it('is as close as the machines are', async () => {
    const sound = machineByName('GID');
    const again = sound.transitions.filter(({ from, event }) => from !== 'SET' || event !== 'ADD');
    const book = new MonitorBook([{ ...sound, transitions: again }]);
    const twice: Program = { ...gid, actions: [...gid.actions, ...gid.actions] };
    expect((await judge(twice, { profile: 'roce', book })).broken?.law).toBe('machine GID');
    expect((await judge(twice, { profile: 'roce' })).broken).toBeUndefined();
  });

  it('[OVR-11] makes no allowance for time where the kit has the adapter in its hands', async () => {
    const objects: Action[] = [
      { op: 'createPd', vm: 0, as: 'pd0' },
      { op: 'createCq', vm: 0, as: 'cq0', cqe: 4 },
      { op: 'createQp', vm: 0, as: 'qp0', pd: 'pd0', type: 'RC', sendCq: 'cq0', recvCq: 'cq0' },
      { op: 'modifyQp', vm: 0, qp: 'qp0', set: { state: 'RTR', dest: { vm: 0, qp: 'qp0' } } },
      { op: 'addGid', vm: 0, index: 0, gid: 0 },
    ];
    const implementation: Implementation = {
      adapter: inner =>
        overlay(inner, {
          addGid: () => {
            throw new VerbsError('ENOMEM', 'addGid', 'no room');
          },
        }),
    };
    const { broken } = await judge({ ...program, actions: objects }, { profile: 'roce', implementation });
    expect(broken?.law).toBe(laws.invisible.name);
  });
});

describe('a party outside', () => {
  const one: Program = { ...program, actions: [{ op: 'createPd', vm: 0, as: 'pd0' }] };
  const outsideDevice = { limits: smallLimits, machinesMax: 1, showsStatus: true };

  /** The bundled pair, as if it worked elsewhere; keeps what it was told to wait for. */
  function outside(): { readonly implementation: Implementation; readonly told: (Expected | undefined)[] } {
    const told: (Expected | undefined)[] = [];
    const rest = (expected: Expected | undefined): boolean => {
      told.push(expected);
      return false;
    };
    return { implementation: { outside: { poll: () => false, rest }, outsideDevice }, told };
  }

  it('is not asked what it cannot run', async () => {
    const { implementation } = outside();
    const judged = await judge({ ...one, hosts: [0, 0] }, { profile: 'roce', implementation });
    expect(judged).toEqual({
      broken: undefined,
      calls: 0,
      unfit: 'it needs 2 machines, and the device takes 1',
    });
  });

  it('is told what bare metal comes to, in a settled program alone', async () => {
    const settled = outside();
    const judged = await judge(one, { profile: 'roce', implementation: settled.implementation });
    expect(judged).toEqual({ broken: undefined, calls: 2 });
    expect(settled.told.filter(expected => expected !== undefined)).not.toEqual([]);
    const racing = outside();
    await judge({ ...one, mode: 'racing' }, { profile: 'roce', implementation: racing.implementation });
    expect(racing.told.filter(expected => expected !== undefined)).toEqual([]);
  });

  it('is not asked what was written for other limits; in the hands of the kit that is a fault of the kit', async () => {
    const wanting: Program = {
      ...program,
      actions: [{ op: 'createCq', vm: 0, as: 'cq0', cqe: 1_000_000, expect: 'ok' }],
    };
    const { implementation } = outside();
    const { unfit, broken, calls } = await judge(wanting, { profile: 'roce', implementation });
    expect(unfit).toContain('it was written for other limits than those of the device: ');
    expect([broken, calls]).toEqual([undefined, 0]);
    const inside: Implementation = { outside: implementation.outside };
    await expect(judge(wanting, { profile: 'roce', implementation: inside })).rejects.toThrow(LawBroken);
  });
});

describe('machines that are elsewhere', () => {
  /** Bare metal, as if it were elsewhere, with something done to it. */
  function elsewhere(
    meddle: (world: VerbsWorld) => void = () => undefined,
    given: Partial<RemoteMachines> = {},
  ) {
    const opened: { readonly program: Program; readonly hasty: boolean; released: boolean }[] = [];
    const remote: RemoteMachines = {
      name: 'elsewhere',
      restsByExpected: false,
      missingFor: () => undefined,
      without: program => program,
      open(program, limits, hasty) {
        const world = bareMetalWorld(program, { profile: 'roce', limits });
        const entry = { program, hasty, released: false };
        opened.push(entry);
        const { machines, scheduler } = world;
        const seen: VerbsWorld = {
          machines,
          scheduler,
          outside: undefined,
          runUntilQuiet: (max, endless) => world.runUntilQuiet(max, endless),
          fail: error => world.fail(error),
          check: () => world.check(),
          release: () => void (entry.released = true),
        };
        meddle(seen);
        return seen;
      },
      close: () => undefined,
      ...given,
    };
    return { implementation: { remote }, opened };
  }
  const wrong = ({ machines }: VerbsWorld): void => {
    const { guest } = machines[0];
    guest.writeArena(99, Uint8Array.of(guest.readArena(99, 1)[0] ^ 1));
  };
  const one: Program = { ...program, actions: [{ op: 'createPd', vm: 0, as: 'pd0' }] };
  const sought = laws.invisible.name;

  it('are judged by their verbs, and not reset', async () => {
    const sound = elsewhere();
    expect(await judge(one, { profile: 'roce', implementation: sound.implementation })).toEqual({
      broken: undefined,
      calls: 2,
    });
    expect(sound.opened.map(({ hasty, released }) => [hasty, released])).toEqual([[false, true]]);
    const racing = { ...one, mode: 'racing', seed: 4 } as const;
    expect(await judge(racing, { profile: 'roce', implementation: sound.implementation, sought })).toEqual({
      broken: undefined,
      calls: 1,
    });
    expect(sound.opened.slice(1).map(({ hasty, released }) => [hasty, released])).toEqual([[true, true]]);
    const less = elsewhere(undefined, { without: asked => ({ ...asked, actions: [] }) });
    expect((await judge(one, { profile: 'roce', implementation: less.implementation })).calls).toBe(0);
  });

  it('are not run in the hands of the kit to be cut short, and what they break in the comparison is theirs', async () => {
    let started = 0;
    const driver: Implementation['driver'] = context => {
      started++;
      return bundledDriver(context);
    };
    const { remote } = elsewhere().implementation;
    const racing = { ...one, mode: 'racing', seed: 4 } as const;
    await judge(racing, { profile: 'roce', implementation: { remote, driver } });
    expect(started).toBe(0);
    const gone = elsewhere(({ machines: [{ guest }] }) => {
      guest.differenceFromGuest = () => {
        throw new LawBroken(laws.answers, 'gone');
      };
    });
    const { broken, calls } = await judge(one, { profile: 'roce', implementation: gone.implementation });
    expect([broken?.law, broken?.message, calls]).toEqual([laws.answers.name, 'gone', 2]);
    expect(gone.opened[0].released).toBe(true);
  });

  it('[OVR-11] are convicted of another outcome', async () => {
    const { implementation, opened } = elsewhere(wrong);
    const { broken, calls } = await judge(one, { profile: 'roce', implementation });
    expect([broken?.law, calls]).toEqual([laws.keepsMemory.name, 1]);
    const late = elsewhere(world => {
      const { machines } = world;
      // Not to be seen by a law of memory: the program writes there itself.
      world.release = () => undefined;
      const { guest } = machines[0];
      const write = guest.writeArena.bind(guest);
      guest.writeArena = (at, bytes) =>
        write(
          at,
          bytes.map(byte => byte ^ 1),
        );
    });
    const writing: Program = {
      ...program,
      actions: [{ op: 'writeMemory', vm: 0, at: 0, length: 4, fill: 3 }],
    };
    const compared = await judge(writing, { profile: 'roce', implementation: late.implementation });
    expect(compared.broken?.law).toBe(laws.invisible.name);
    expect(opened).toHaveLength(1);
  });

  it('are not convicted where the outcome is a matter of time: a queue pair that is its own peer', async () => {
    const peer = (vm: number, qp: string): Action => ({
      op: 'modifyQp',
      vm: 0,
      qp: 'qp0',
      set: { state: 'RTR', dest: { vm, qp } },
    });
    const late = () =>
      elsewhere(({ machines: [{ guest }] }) => {
        const write = guest.writeArena.bind(guest);
        guest.writeArena = (at, bytes) =>
          write(
            at,
            bytes.map(byte => byte ^ 1),
          );
      }).implementation;
    const lawOf = async (...actions: readonly Action[]): Promise<string | undefined> => {
      const writing: Action = { op: 'writeMemory', vm: 0, at: 0, length: 4, fill: 3 };
      const asked: Program = { ...program, hosts: [0, 0], actions: [...actions, writing] };
      return (await judge(asked, { profile: 'roce', implementation: late() })).broken?.law;
    };
    const objects: Action[] = [
      { op: 'createPd', vm: 0, as: 'pd0' },
      { op: 'createCq', vm: 0, as: 'cq0', cqe: 4 },
      { op: 'createQp', vm: 0, as: 'qp0', pd: 'pd0', type: 'RC', sendCq: 'cq0', recvCq: 'cq0' },
    ];
    expect(await lawOf(...objects, peer(0, 'qp0'))).toBeUndefined();
    expect(await lawOf(...objects, peer(1, 'qp0'))).toBe(laws.invisible.name);
    expect(await lawOf(...objects, peer(0, 'qp1'))).toBe(laws.invisible.name);
    expect(await lawOf(...objects)).toBe(laws.invisible.name);
  });
});
