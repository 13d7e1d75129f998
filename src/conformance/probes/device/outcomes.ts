/** Requests whose fate is known: what is posted on both sides, and the completions and states that must come of it. */
import { WcStatus } from '../../../abi/index.js';
import type { CaseNeeds, ConformanceCase } from '../../cases/case.js';
import type { BenchOptions } from './bench.js';
import { queryQp, sendRequest } from './messages.js';
import type { SendFields, SgeValue } from './messages.js';
import { probe } from './probe-case.js';
import { pairOf } from './site.js';
import type { Pair, Side, SideOptions } from './site.js';

export const status = WcStatus;

/** Statuses by wr_id, in the order of the completions. */
export type Statuses = readonly (readonly [wrId: number, status: number])[];

export interface Fate {
  readonly slug: string;
  readonly doc: string;
  readonly requirements: readonly string[];
  readonly options?: SideOptions & BenchOptions & { readonly peer?: SideOptions };
  readonly needs?: CaseNeeds;
  /** Chapter prefix and subject of the id. */
  readonly under: string;
  /** What side a posts, in order; and the scatter lists of what side b posts. */
  readonly post: (scene: Pair) => {
    readonly sends: readonly (SendFields | Uint8Array)[];
    readonly receives?: readonly (readonly SgeValue[])[];
  };
  /** Completions of a; of b; and the states of both queue pairs, where they are told. */
  readonly a: Statuses;
  readonly b?: Statuses;
  readonly states?: readonly [number, number];
  /** Looks at what else must hold. */
  readonly verify?: (scene: Pair) => void;
  /** Packets that side a may have caused in all; any number when absent. */
  readonly packets?: number;
}

/** Completions that have come; of those that are `due`, the ones that a time-out has yet to bring are waited for. */
export function statusesOf({ machine, cqn }: Side, due = 0): Statuses {
  const polled = machine.poll(cqn);
  while (polled.length < due && machine.runOn()) polled.push(...machine.poll(cqn));
  return polled.map(({ wr_id, status: code }) => [wr_id, code] as const);
}

export function stateOf({ machine, qpn }: Side): number {
  return machine.must(queryQp, { qpn, attr_mask: 0 }).qp_state;
}

export function fateCase(fate: Fate): ConformanceCase {
  const { under, slug, doc, requirements, needs = {} } = fate;
  return probe({ id: `${under}/${slug}`, doc, requirements, needs }, context => {
    const scene = pairOf(context, fate.options);
    const { bench, a, b } = scene;
    const { sends, receives = [] } = fate.post(scene);
    const before = bench.inHand ? bench.packets : 0;
    receives.forEach((sges, i) => b.machine.postRecv(b.qpn, 100 + i, sges));
    bench.run();
    for (const [i, send] of sends.entries()) {
      const numbered = send instanceof Uint8Array ? send : sendRequest({ wrId: i + 1, ...send });
      a.machine.postSend(a.qpn, numbered);
    }
    bench.run();
    const [ofA, ofB] = [statusesOf(a, fate.a.length), statusesOf(b, fate.b?.length)];
    bench.same(requirements, 'completions of the requester, as wr_id and status', ofA, fate.a);
    bench.same(requirements, 'completions of its peer, as wr_id and status', ofB, fate.b ?? []);
    if (fate.states !== undefined) {
      bench.same(requirements, 'states of both queue pairs', [stateOf(a), stateOf(b)], fate.states);
    }
    if (fate.packets !== undefined && bench.inHand) {
      bench.same(requirements, 'packets sent', bench.packets - before, fate.packets);
    }
    fate.verify?.(scene);
    return bench;
  });
}
