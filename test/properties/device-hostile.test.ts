/**
 * Law: whatever a machine does to its own rings, memory, commands and requests, its device neither throws nor runs for
 * ever, and two other machines that talk to each other on the same host see exactly what they see without it: the same
 * completions, the same states, the same bytes in all of their memory.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { QpState, QpType, cqReq, sqReq } from '../../src/abi/index.js';
import { SeededChoices } from '../../src/fabric/index.js';
import { FeatureBit } from '../../src/virtio/index.js';
import { Guest, World, defined, recvRequest, sendRequest, viewOf } from '../device/guest.js';
import { pairOfGuests } from '../device/pairs.js';
import type { Side } from '../device/pairs.js';

const QUEUE_SIZE = 16;
/** Steps in which everything must have come to rest. */
const STEPS_MAX = 20_000;

/** One thing that a hostile machine does. */
type Act =
  | { readonly kind: 'chain'; readonly queue: number; readonly chain: Chain }
  | { readonly kind: 'command'; readonly code: number; readonly chain: Chain }
  | { readonly kind: 'scribble'; readonly area: number; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: 'notify'; readonly queue: number }
  | { readonly kind: 'steps'; readonly count: number }
  | { readonly kind: 'status'; readonly status: number }
  | { readonly kind: 'resetQueue'; readonly queue: number; readonly enable: boolean };

interface Chain {
  readonly readable: Uint8Array;
  readonly writable: number;
  readonly cut: number;
  readonly head: number;
  /** How far the available index goes on. */
  readonly jump: number;
  /** Overwrites one byte of the first descriptor. */
  readonly twist: { readonly at: number; readonly value: number } | undefined;
}

const chain: fc.Arbitrary<Chain> = fc.record({
  readable: fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.uint8Array({ minLength: sqReq.size, maxLength: sqReq.size + 64 }),
    plausibleRequest(),
  ),
  writable: fc.oneof(fc.nat({ max: 160 }), fc.constant(cqReq.size)),
  cut: fc.nat({ max: 100 }),
  head: fc.nat({ max: QUEUE_SIZE - 1 }),
  jump: fc.oneof(
    { weight: 30, arbitrary: fc.constant(1) },
    { weight: 1, arbitrary: fc.nat({ max: 0xffff }) },
  ),
  twist: fc.option(fc.record({ at: fc.nat({ max: 15 }), value: fc.nat({ max: 255 }) }), {
    nil: undefined,
    freq: 12,
  }),
});

/** A request whose fixed part makes sense, with keys and addresses that may. */
function plausibleRequest(): fc.Arbitrary<Uint8Array> {
  return fc
    .record({
      opcode: fc.nat({ max: 5 }),
      flags: fc.nat({ max: 16 }),
      sges: fc.array(
        fc.record({
          addr: fc.oneof(fc.constant(0x1_0000), fc.nat()),
          length: fc.oneof(fc.nat({ max: 5000 }), fc.constant(0xffff_ffff)),
          lkey: fc.nat({ max: 0x500 }),
        }),
        { maxLength: 4 },
      ),
      rdma: fc.record({ remote_addr: fc.nat(), rkey: fc.nat({ max: 0x500 }) }),
    })
    .map(fields => sendRequest(fields));
}

const queueIndex = fc.nat({ max: 17 });
/** Small numbers are the numbers of objects, so little-endian words of them make commands that get far. */
const commandData = fc
  .array(fc.oneof({ weight: 6, arbitrary: fc.nat({ max: 7 }) }, fc.nat({ max: 0xffff_ffff })), {
    maxLength: 34,
  })
  .map(words => {
    const bytes = new Uint8Array(4 * words.length);
    words.forEach((word, i) => viewOf(bytes).setUint32(4 * i, word, true));
    return bytes;
  });

const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('chain' as const), queue: queueIndex, chain }) },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('command' as const),
      code: fc.nat({ max: 19 }),
      chain: fc.tuple(chain, commandData).map(([base, readable]) => ({ ...base, readable })),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('scribble' as const),
      area: fc.nat({ max: 60 }),
      at: fc.nat({ max: 300 }),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 8 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('notify' as const), queue: fc.integer() }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('steps' as const), count: fc.nat({ max: 20 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('status' as const), status: fc.nat({ max: 255 }) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('resetQueue' as const),
      queue: queueIndex,
      enable: fc.boolean(),
    }),
  },
);

/** A machine that writes its rings itself, well or badly. */
class HostileGuest {
  readonly #guest: Guest;
  readonly #availIdx = new Map<number, number>();
  readonly #victim: Side;

  constructor(world: World, victim: Side) {
    this.#guest = new Guest(world, { indirect: true, eventIdx: true, extraFeature: FeatureBit.RING_RESET });
    this.#victim = victim;
    this.#equip();
  }

  /** Makes objects, so that there is something to misuse; one queue pair claims to be connected with a victim's. */
  #equip(): void {
    const guest = this.#guest;
    this.#availIdx.clear();
    guest.addGid(0, guest.world.newGid());
    const pdn = defined(guest.createPd());
    const buffer = guest.alloc(4096, 4096);
    guest.registerAt(pdn, buffer, 4096);
    guest.addBuffers(0, 4);
    const cqn = defined(guest.createCq(8));
    const common = { pdn, send_cqn: cqn, recv_cqn: cqn };
    const rc = defined(guest.createQp(common));
    guest.connectRc(rc, this.#victim.gid, this.#victim.qpn);
    const ud = defined(guest.createQp({ ...common, qp_type: QpType.UD }));
    guest.startUd(ud, 1);
    guest.createAh(pdn, this.#victim.gid);
    for (let index = 0; index < guest.device.queueCount; index++) {
      this.#availIdx.set(index, guest.queue(index).state().availIdx);
    }
  }

  do(action: Act): void {
    const guest = this.#guest;
    if (guest.needsReset) this.#restart();
    switch (action.kind) {
      case 'chain':
        return this.#chain(action.queue % guest.device.queueCount, action.chain, action.chain.readable);
      case 'command':
        return this.#chain(
          guest.queues.control,
          action.chain,
          guest.commandBytes(action.code, action.chain.readable),
        );
      case 'scribble':
        return this.#scribble(action.area, action.at, action.bytes);
      case 'notify':
        return guest.device.notified(action.queue);
      case 'steps':
        for (let i = 0; i < action.count; i++) guest.world.scheduler.step();
        return;
      case 'status':
        guest.device.writeStatus(action.status);
        if (guest.device.readStatus() === 0 || (action.status & 128) !== 0) this.#restart();
        return;
      case 'resetQueue': {
        const index = action.queue % guest.device.queueCount;
        guest.device.resetQueue(index);
        if (action.enable && !guest.device.queueEnabled(index)) {
          guest.enable(index);
          this.#availIdx.set(index, 0);
        }
      }
    }
  }

  #restart(): void {
    this.#guest.device.writeStatus(0);
    this.#guest.start();
    this.#equip();
  }

  #scribble(area: number, at: number, bytes: Uint8Array): void {
    const addresses = this.#guest.addresses.get(Math.floor(area / 3));
    if (addresses === undefined) return;
    const places = [addresses.descriptors, addresses.driver, addresses.device];
    this.#guest.memory.write(places[area % 3] + at, bytes, 0, bytes.length);
  }

  /** Writes two readable descriptors and a writable one, and raises the available index. */
  #chain(index: number, { writable, cut, head, jump, twist }: Chain, readable: Uint8Array): void {
    const guest = this.#guest;
    const { memory } = guest;
    const { descriptors, driver } = defined(guest.addresses.get(index));
    const data = guest.place(readable);
    const answer = guest.place(new Uint8Array(writable));
    const first = Math.min(cut, readable.length);
    const parts = [
      [data, first, 0],
      [data + first, readable.length - first, 0],
      [answer, writable, 2],
    ];
    parts.forEach(([address, length, flags], i) => {
      const bytes = new Uint8Array(16);
      const view = viewOf(bytes);
      view.setUint32(0, address, true);
      view.setUint32(8, length, true);
      view.setUint16(12, flags | (i < 2 ? 1 : 0), true);
      view.setUint16(14, (head + i + 1) % QUEUE_SIZE, true);
      if (i === 0 && twist !== undefined) bytes[twist.at] = twist.value;
      memory.write(descriptors + 16 * ((head + i) % QUEUE_SIZE), bytes, 0, 16);
    });
    const idx = this.#availIdx.get(index) ?? 0;
    const next = (idx + jump) & 0xffff;
    memory.write(driver + 4 + 2 * (idx % QUEUE_SIZE), Uint8Array.of(head, 0), 0, 2);
    memory.write(driver + 2, Uint8Array.of(next & 0xff, next >>> 8), 0, 2);
    this.#availIdx.set(index, next);
    guest.device.notified(index);
  }
}

const ROUNDS = 4;

/** What the two other machines see of one round of talking; `settle` runs until all is quiet. */
function talk({ a, b }: { a: Side; b: Side }, round: number, settle: () => void): unknown[] {
  const sges = [{ addr: b.buffer + 64 * round, length: 64, lkey: b.lkey }];
  b.guest.postRecv(b.qpn, recvRequest(round, sges));
  a.guest.postSend(a.qpn, sendRequest({ wrId: round, inline: new Uint8Array(40).fill(round + 1) }));
  const rdma = { remote_addr: b.buffer + 2048, rkey: b.rkey };
  const local = [{ addr: b.buffer, length: 256, lkey: a.lkey }];
  a.guest.postSend(a.qpn, sendRequest({ wrId: 100 + round, opcode: 4, sges: local, rdma }));
  settle();
  return [a, b].map(s => ({ completions: s.guest.poll(s.cqn), state: s.guest.queryQp(s.qpn)?.qp_state }));
}

function settle(world: World): void {
  for (let steps = 0; !world.scheduler.quiet; steps++) {
    if (steps > STEPS_MAX) throw new Error(`not at rest after ${STEPS_MAX} steps`);
    world.scheduler.step();
  }
}

/** The whole run: the talk of two machines, with acts of a third between its rounds. */
function run(acts: readonly (readonly Act[])[], seed: number, hostile: boolean) {
  const world = new World(new SeededChoices(seed));
  const pair = pairOfGuests(world);
  const guest = hostile ? new HostileGuest(world, pair.b) : undefined;
  const rounds: unknown[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    for (const action of acts[round]) guest?.do(action);
    rounds.push(talk(pair, round, () => settle(world)));
  }
  const memories = [pair.a.guest.everything(), pair.b.guest.everything()];
  return { rounds, memories };
}

describe('a hostile machine', () => {
  const quiet = run([[], [], [], []], 1, false);

  it('the talk of the others is worth listening to', () => {
    expect(quiet.rounds[ROUNDS - 1]).toMatchObject([{ state: QpState.RTS }, { state: QpState.RTS }]);
    expect(quiet.rounds.flatMap(round => round)).not.toContainEqual({ completions: [], state: QpState.RTS });
  });

  it('[ISO-14] [ISO-06] [HOST-01] [CTRL-14] [VQ-57] [VQ-58] does not crash or hang its device, and nobody else notices', () => {
    const acts = fc.array(fc.array(act, { maxLength: 12 }), { minLength: ROUNDS, maxLength: ROUNDS });
    fc.assert(
      fc.property(acts, fc.nat(), (list, seed) => {
        const seen = run(list, seed, true);
        expect(seen.rounds).toEqual(quiet.rounds);
        expect(seen.memories.map((memory, i) => memory.equals(quiet.memories[i]))).toEqual([true, true]);
      }),
      { numRuns: 150 },
    );
  });
});
