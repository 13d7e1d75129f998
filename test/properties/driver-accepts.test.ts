/**
 * Law: the driver makes no refusal up. Over any sequence of control verbs, with arguments at and beyond every limit, each
 * verb that the adapter alone accepts is accepted through driver and device too. The adapter stands for what a device has to
 * accept; that it refuses no more than that is what the scenarios and the table of states are for.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bundledDriver } from '../../src/conformance/bundled.js';
import type { Implementation } from '../../src/conformance/implementation.js';
import { RunObserver } from '../../src/conformance/observer.js';
import type { Action, AttributesSpec, Program } from '../../src/conformance/program.js';
import { programSchema } from '../../src/conformance/program.js';
import { Run } from '../../src/conformance/run/run.js';
import { emptyProgram } from '../../src/conformance/suites/leaks.js';
import { bareMetalWorld, paravirtualWorld } from '../../src/conformance/world.js';
import type { World } from '../../src/conformance/world.js';
import { VerbsError } from '../../src/verbs/index.js';
import type { Verbs } from '../../src/verbs/index.js';

const RUNS = 300;
const ARENA = emptyProgram.arenaBytes;
const profile = 'roce';

/** One verb of which objects are still picked by number, since what exists depends on the verbs before it. */
type Pick = (kind: 'pd' | 'cq' | 'qp' | 'mr' | 'ah') => string;
type Move = (pick: Pick, fresh: string) => Action | readonly Action[];

const vm = 0;
const edge = (...values: readonly number[]): fc.Arbitrary<number> => fc.constantFrom(...values);
const states = ['RESET', 'INIT', 'RTR', 'RTS', 'SQD', 'SQE', 'ERR'] as const;
const types = ['RC', 'UC', 'UD', 'GSI', 'SMI'] as const;
const caps = fc.record({
  sendWr: edge(0, 1, 64, 65),
  recvWr: edge(0, 1, 64, 65),
  sendSge: edge(0, 1, 8, 9),
  recvSge: edge(0, 1, 8, 9),
  inline: edge(0, 1, 512, 513),
});
const soundCaps = { sendWr: 4, recvWr: 4, sendSge: 1, recvSge: 1, inline: 16 };
const route = fc.record({ vm: fc.constant(vm), gid: edge(0, 1), sgidIndex: edge(0, 1, 7, 8, 255) });

/** Any attributes at all: what makes sense together is left to chance and to `walk`. */
const anyAttributes = fc.record(
  {
    state: fc.constantFrom(...states),
    curState: fc.constantFrom(...states),
    pathMtu: edge(0, 1, 3, 4, 5, 6, 255),
    maxRdAtomic: edge(0, 1, 8, 9, 255),
    maxDestRdAtomic: edge(0, 8, 9, 255),
    minRnrTimer: edge(0, 31, 32, 255),
    timeout: edge(0, 31, 32, 255),
    retryCnt: edge(0, 7, 8, 255),
    rnrRetry: edge(0, 7, 8, 255),
    qkey: edge(0, 5, 0x8000_0000, 0xffff_ffff),
    rqPsn: edge(0, 0xff_ffff, 0x100_0000),
    sqPsn: edge(0, 0xff_ffff, 0x100_0000),
    dest: edge(0, 2, 0xff_ffff, 0x100_0000),
    access: edge(0, 1, 7, 8),
    to: route,
  },
  { requiredKeys: [] },
);

const to = { vm, gid: 0 };
/** The way from RESET to RTS for each kind of service; every step is legal behind the one before it. */
const walks: Readonly<Record<'connected' | 'datagram', readonly AttributesSpec[]>> = {
  connected: [
    { state: 'INIT', access: 7 },
    { state: 'RTR', to, pathMtu: 3, dest: 2, rqPsn: 0, maxDestRdAtomic: 8, minRnrTimer: 31 },
    { state: 'RTS', sqPsn: 0xff_ffff, timeout: 31, retryCnt: 7, rnrRetry: 7, maxRdAtomic: 8 },
    { state: 'SQD' },
    { state: 'RTS' },
    { minRnrTimer: 0 },
  ],
  datagram: [
    { state: 'INIT', qkey: 0xffff_ffff },
    { state: 'RTR' },
    { state: 'RTS', sqPsn: 0 },
    { qkey: 1 },
    { state: 'ERR' },
    { state: 'RESET' },
  ],
};
/** The same step for UC, which has no retries and no reads. */
function withoutRc(set: AttributesSpec): AttributesSpec {
  const { state, access, to: target, pathMtu, dest, rqPsn, sqPsn } = set;
  const all = { state, access, to: target, pathMtu, dest, rqPsn, sqPsn };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

const walkStep = fc.constantFrom(...walks.connected, ...walks.datagram);

const move: fc.Arbitrary<Move> = fc.oneof(
  fc.constant<Move>((_, fresh) => ({ op: 'createPd', vm, as: `pd${fresh}` })),
  edge(0, 1, 2, 63, 64, 65, 0xffff_ffff).map<Move>(cqe => (_, fresh) => ({
    op: 'createCq',
    vm,
    as: `cq${fresh}`,
    cqe,
  })),
  fc
    .record({
      at: edge(-1, 0, 1, 4095, 4096, ARENA - 1, ARENA),
      length: edge(0, 1, 4096, 4097, ARENA - 4096, ARENA - 1, ARENA, 2 ** 40),
      access: fc.nat({ max: 8 }),
    })
    .map<Move>(fields => (pick, fresh) => ({ op: 'regMr', vm, as: `mr${fresh}`, pd: pick('pd'), ...fields })),
  fc
    .nat({ max: 8 })
    .map<Move>(access => (pick, fresh) => ({ op: 'getDmaMr', vm, as: `mr${fresh}`, pd: pick('pd'), access })),
  {
    weight: 3,
    arbitrary: fc
      .record({
        type: fc.constantFrom(...types),
        cap: fc.oneof({ weight: 3, arbitrary: fc.constant(soundCaps) }, caps),
        sigAll: fc.boolean(),
      })
      .map<Move>(fields => (pick, fresh) => {
        const objects = { pd: pick('pd'), sendCq: pick('cq'), recvCq: pick('cq') };
        return { op: 'createQp', vm, as: `qp${fresh}`, ...objects, ...fields };
      }),
  },
  { weight: 8, arbitrary: walkStep.map<Move>(set => pick => ({ op: 'modifyQp', vm, qp: pick('qp'), set })) },
  {
    weight: 4,
    arbitrary: anyAttributes.map<Move>(set => pick => ({ op: 'modifyQp', vm, qp: pick('qp'), set })),
  },
  {
    weight: 3,
    arbitrary: fc
      .record({ type: fc.constantFrom('RC', 'UC', 'UD'), steps: fc.nat({ max: 6 }), sigAll: fc.boolean() })
      .map<Move>(({ type, steps, sigAll }) => (pick, fresh) => {
        const as = `qp${fresh}`;
        const objects = { pd: pick('pd'), sendCq: pick('cq'), recvCq: pick('cq') };
        const walk = walks[type === 'UD' ? 'datagram' : 'connected'].slice(0, steps);
        return [
          { op: 'createQp', vm, as, type, ...objects, cap: soundCaps, sigAll },
          ...walk.map((set): Action => ({
            op: 'modifyQp',
            vm,
            qp: as,
            set: type === 'UC' ? withoutRc(set) : set,
          })),
        ];
      }),
  },
  fc.constant<Move>(pick => ({ op: 'queryQp', vm, qp: pick('qp') })),
  route.map<Move>(there => (pick, fresh) => ({
    op: 'createAh',
    vm,
    as: `ah${fresh}`,
    pd: pick('pd'),
    to: there,
  })),
  fc
    .record({ index: edge(0, 1, 7, 8, 255, 256, 65_535), gid: edge(0, 1, 2) })
    .map<Move>(fields => () => ({ op: 'addGid', vm, ...fields })),
  edge(0, 1, 7, 8, 65_535).map<Move>(index => () => ({ op: 'delGid', vm, index })),
  fc.boolean().map<Move>(solicitedOnly => pick => ({ op: 'reqNotifyCq', vm, cq: pick('cq'), solicitedOnly })),
  fc.constant<Move>(() => ({ op: 'queryDevice', vm })),
  fc.constant<Move>(() => ({ op: 'queryPort', vm })),
  fc.constant<Move>(pick => ({ op: 'destroyPd', vm, pd: pick('pd') })),
  fc.constant<Move>(pick => ({ op: 'destroyCq', vm, cq: pick('cq') })),
  fc.constant<Move>(pick => ({ op: 'deregMr', vm, mr: pick('mr') })),
  fc.constant<Move>(pick => ({ op: 'destroyQp', vm, qp: pick('qp') })),
  fc.constant<Move>(pick => ({ op: 'destroyAh', vm, ah: pick('ah') })),
);

/** Names are numbered by the moves that make them; a pick chooses one of all that were made before. */
const program: fc.Arbitrary<Program> = fc
  .tuple(fc.array(fc.tuple(move, fc.nat()), { minLength: 1, maxLength: 60, size: 'max' }))
  .map(([moves]) => {
    const made = new Map<string, string[]>();
    const actions: Action[] = [
      { op: 'createPd', vm, as: 'pd1000' },
      { op: 'createCq', vm, as: 'cq1000', cqe: 8 },
      { op: 'addGid', vm, index: 0, gid: 0 },
    ];
    for (const [index, [make, number]] of moves.entries()) {
      const pick: Pick = kind => {
        const names = made.get(kind) ?? [];
        return names.length === 0 ? `${kind}1000` : names[number % names.length];
      };
      for (const action of [make(pick, String(index))].flat()) {
        actions.push(action);
        if (!('as' in action)) continue;
        const kind = action.as.replace(/[0-9]+$/, '');
        made.set(kind, [...(made.get(kind) ?? []), action.as]);
      }
    }
    return { ...emptyProgram, name: 'control verbs', actions };
  });

/** The outcome of each action: an errno, or ok. */
class Outcomes extends RunObserver {
  readonly list: string[] = [];
  override actionEnded(index: number, { op }: Action, errno: string | undefined): void {
    this.list[index] = `${op} ${errno ?? 'ok'}`;
  }
}

async function outcomesOf(of: Program, world: World): Promise<readonly string[]> {
  const outcomes = new Outcomes();
  await new Run(of, world, [outcomes]).execute();
  return outcomes.list;
}

/** The first verb that the adapter alone accepts and the driver does not. */
async function firstMadeUp(of: Program, implementation?: Implementation): Promise<string | undefined> {
  const bare = await outcomesOf(of, bareMetalWorld(of, { profile }));
  const through = await outcomesOf(of, await paravirtualWorld(of, { profile, implementation }));
  const index = bare.findIndex((outcome, i) => outcome?.endsWith(' ok') && through[i] !== outcome);
  return index < 0 ? undefined : `action ${index}: ${through[index]}, alone ${bare[index]}`;
}

describe('control verbs that a device has to accept', () => {
  it('[ERR-05] are refused by no driver that adds nothing of its own', async () => {
    const accepted = new Set<string>();
    await fc.assert(
      fc.asyncProperty(program, async of => {
        for (const outcome of await outcomesOf(of, bareMetalWorld(of, { profile }))) {
          if (outcome?.endsWith(' ok')) accepted.add(outcome);
        }
        expect(await firstMadeUp(of)).toBeUndefined();
      }),
      { numRuns: RUNS, seed: 5 },
    );
    // Every control verb was accepted at least once, so none is judged by refusals alone.
    expect(accepted.size).toBe(18);
  });

  it('[ERR-05] come to light when a driver refuses one by itself', async () => {
    const timid = (refuses: (verb: keyof Verbs, args: readonly unknown[]) => boolean): Implementation => ({
      driver: async context => {
        const driver = await bundledDriver(context);
        return new Proxy<Verbs>(driver, {
          get: (target, name) => {
            const member: unknown = Reflect.get(target, name);
            if (typeof member !== 'function') return member;
            return (...args: readonly unknown[]): unknown =>
              refuses(name as keyof Verbs, args)
                ? Promise.reject(new VerbsError('EINVAL', String(name), 'out of caution'))
                : Reflect.apply(member, target, args);
          },
        });
      },
    });
    const faults = [
      timid((verb, [cqe]) => verb === 'createCq' && cqe === 64),
      timid(
        (verb, [, set]) =>
          verb === 'modifyQp' &&
          typeof set === 'object' &&
          set !== null &&
          'timeout' in set &&
          set.timeout === 31,
      ),
      timid((verb, [index]) => verb === 'addGid' && index === 7),
    ];
    for (const fault of faults) {
      const result = await fc.check(
        fc.asyncProperty(program, async of => (await firstMadeUp(of, fault)) === undefined),
        { numRuns: RUNS, seed: 5, endOnFailure: true },
      );
      expect(result.failed).toBe(true);
    }
  });

  it('are programs as the schema has them', () => {
    fc.assert(
      fc.property(program, of => programSchema.safeParse(of).success),
      { numRuns: 50, seed: 5 },
    );
  });
});
