/**
 * The cases of the wire: each passes on the bundled stack, and fails for the right reason where a fault is planted in the
 * adapter or the network.
 */
import { describe, expect, it } from 'vitest';
import type { ProfileName } from '../../src/abi/index.js';
import { CaseBroken } from '../../src/conformance/cases/case.js';
import type { ConformanceCase } from '../../src/conformance/cases/index.js';
import type { Implementation } from '../../src/conformance/implementation.js';
import { mutants as others } from '../../src/conformance/mutants/index.js';
import { wireMutants } from '../../src/conformance/mutants/wire.js';
import { wireCases } from '../../src/conformance/probes/wire/index.js';

function run({ how }: ConformanceCase, implementation: Implementation, profile: ProfileName, seed: number) {
  if (how.kind !== 'probe') throw new Error(`cannot be run: ${how.kind}`);
  return how.run({ profile, implementation, seed });
}

describe.each<ProfileName>(['roce', 'rdma'])('the bundled stack in the profile %s', profile => {
  it.each(wireCases.map(each => [each.id, each] as const))('keeps %s', async (_, each) => {
    // Only the case with faults of the network depends on the seed.
    const seeds = each.id === 'DATA/wire/exactly-once' ? [1, 2, 3, 4] : [1];
    for (const seed of seeds) {
      const effort = await run(each, {}, profile, seed);
      expect(effort.runs).toBeGreaterThan(0);
      expect(effort.actions).toBeGreaterThan(0);
    }
  });
});

/** By case: the faults that it sees, and what it says is broken. */
const seen: readonly (readonly [
  id: string,
  ...faults: (readonly [mutant: string, requirement: string])[],
])[] = [
  ['DATA/wire/rc-packets-of-the-path-mtu', ['network/packet-of-more-than-the-mtu', 'DATA-73']],
  ['DATA/wire/uc-packets-of-the-path-mtu', ['network/packet-of-more-than-the-mtu', 'DATA-73']],
  ['DATA/wire/numbers-modulo-2-24', ['adapter/numbers-begin-with-zero', 'DATA-74']],
  ['DATA/wire/a-gap-is-asked-for-once', ['network/gap-asked-for-with-each-packet', 'DATA-75']],
  [
    'DATA/wire/silence-while-not-ready',
    ['network/gap-behind-receiver-not-ready', 'DATA-76'],
    ['network/receiver-not-ready-timer-ignored', 'DATA-69'],
  ],
  [
    'DATA/wire/a-repeated-request-is-only-acknowledged',
    ['network/repeated-request-acknowledged-by-its-number', 'DATA-77'],
  ],
  [
    'DATA/wire/a-repeated-read-is-read-anew',
    ['network/repeated-read-answered-as-before', 'DATA-78'],
    ['network/repeated-read-past-its-key', 'DATA-78'],
  ],
  ['DATA/wire/reads-answered-together', ['network/reads-one-at-a-time', 'DATA-64']],
  ['DATA/wire/uc-takes-any-first-number', ['network/uc-sequence-checked', 'DATA-58']],
  ['DATA/wire/uc-drops-a-message-with-a-hole', ['network/rest-of-a-uc-message-taken-for-all', 'DATA-57']],
  [
    'DATA/wire/an-acknowledgement-is-one-of-all-before',
    ['network/acknowledgement-of-one-alone', 'DATA-79'],
    ['network/read-done-by-an-acknowledgement', 'DATA-79'],
    ['network/completed-when-sent', 'DATA-59'],
  ],
  ['DATA/wire/a-read-goes-on-where-it-broke-off', ['network/read-begun-anew', 'DATA-80']],
  [
    'DATA/wire/reads-under-way',
    ['adapter/one-read-too-many', 'DATA-62'],
    ['adapter/sends-overtake-waiting-reads', 'DATA-63'],
  ],
  [
    'DATA/wire/tries-without-an-answer',
    ['adapter/one-try-too-many', 'DATA-81'],
    ['network/asked-again-too-early', 'DATA-67'],
  ],
  ['DATA/wire/wait-while-not-ready', ['network/receiver-not-ready-timer-ignored', 'DATA-69']],
  ['DATA/wire/retries-are-given-anew', ['network/retries-for-life', 'DATA-71']],
  [
    'DATA/wire/exactly-once',
    ['network/repeated-packet-carried-out-again', 'DATA-60'],
    ['network/retransmissions-lost', 'DATA-61'],
  ],
  ['DATA/wire/both-directions', ['network/one-direction-at-a-time', 'DATA-65']],
  ['DATA/wire/one-machine-one-host-two-hosts', ['network/no-packets-to-oneself', 'DATA-66']],
  ['PERF/wire/payload-is-moved-once', ['adapter/payload-read-twice', 'PERF-15']],
  ['ISO/wire/source-gid-of-the-own-table', ['network/source-gid-of-nobody', 'ISO-09']],
  ['OVR/wire/between-hosts-in-packets', ['adapter/writes-by-the-back-door', 'OVR-12']],
  ['DATA/wire/ipv4-header-before-a-datagram', ['adapter/ipv4-header-in-front', 'DATA-51']],
  ['RST/wire/packets-of-an-earlier-queue-pair', ['adapter/any-peer', 'RST-29']],
  ['ORD/wire/requests-behind-a-command', ['adapter/region-gone-when-it-is-idle', 'ORD-18']],
];

describe('a planted fault', () => {
  const mutants = new Map([...others, ...wireMutants].map(each => [each.id, each]));
  const rows = seen.flatMap(([id, ...faults]) =>
    faults.map(([mutant, requirement]) => [mutant, requirement, id] as const),
  );

  it.each(rows)('%s breaks %s in %s', async (name, requirement, id) => {
    const each = wireCases.find(wire => wire.id === id);
    const mutant = mutants.get(name);
    if (each === undefined || mutant === undefined) throw new Error(`no ${id} or no ${name}`);
    const broken: unknown = await run(each, mutant.implementation, 'roce', 1).catch(
      (error: unknown) => error,
    );
    if (!(broken instanceof CaseBroken)) throw new Error(`not seen: ${String(broken)}`);
    expect(broken.requirements).toContain(requirement);
    expect(each.requirements).toContain(requirement);
    expect(mutant.requirements).toContain(requirement);
    expect(broken.message).toMatch(/expected|although|refused|not sent/);
    expect(broken.steps.length).toBeGreaterThan(0);
  });

  it('is there for every case, and every planted fault of the transport is seen', () => {
    expect(seen.map(([id]) => id)).toEqual(wireCases.map(({ id }) => id));
    const used = new Set(rows.map(([name]) => name));
    expect(wireMutants.map(({ id }) => id).filter(id => !used.has(id))).toEqual([]);
  });
});
