/** Cases about what arrives: once, on both ways at a time, wherever the two ends are, and at no more than its cost. */
import { WrOpcode } from '../../../abi/index.js';
import type { CaseContext, ConformanceCase } from '../../cases/case.js';
import { patternBytes } from '../../patterns.js';
import type { Program } from '../../program.js';
import { WatchedMemory } from '../../ring-watch/watched-memory.js';
import type { SimulatedGuest } from '../../simulated-guest.js';
import type { MachineViews } from '../../world.js';
import { WireBench } from './bench.js';
import { QKEY, pairOf, successes } from './end.js';
import type { End } from './end.js';
import { isAcknowledge, isRequest } from './packets.js';
import { wireCase } from './wire-case.js';

const MESSAGES = 24;
const BYTES = 300;
const SLOT = 512;
const RECEIVED_AT = 32 * 1024;

/** What the network does to the messages of a connection. */
interface Trouble {
  readonly name: string;
  readonly faults?: Program['faults'];
  readonly lose?: (bench: WireBench) => void;
}

const troubles: readonly Trouble[] = [
  { name: 'packets lost, doubled and delayed', faults: { drop: 120, duplicate: 120, reorder: 120 } },
  { name: 'every packet doubled', faults: { drop: 0, duplicate: 1024, reorder: 0 } },
  {
    name: 'the first acknowledgement of each message lost',
    lose(bench) {
      const seen = new Set<number>();
      bench.lose(packet => isAcknowledge(packet) && seen.size < seen.add(packet.psn).size);
    },
  },
];

async function underTrouble(context: CaseContext, { name, faults, lose }: Trouble): Promise<WireBench> {
  const bench = await WireBench.of(context, faults === undefined ? {} : { faults });
  const [a, b] = await pairOf(bench, { timeout: 10 });
  lose?.(bench);
  const numbers = Array.from({ length: MESSAGES }, (_, i) => i);
  for (const i of numbers) {
    a.guest.writeArena(SLOT * i, patternBytes(i, BYTES));
    b.recv(i, b.sges(RECEIVED_AT + SLOT * i, SLOT));
    a.send(i, { sges: a.sges(SLOT * i, BYTES) });
  }
  await bench.rest();
  const ids = ['DATA-60', 'DATA-61'];
  bench.same(ids, `sends, ${name}`, a.sends(), successes(...numbers));
  bench.same(ids, `receives, ${name}`, b.receives(), successes(...numbers));
  for (const i of numbers) {
    const wanted = a.guest.readArena(SLOT * i, BYTES);
    if (b.guest.differenceFrom(RECEIVED_AT + SLOT * i, wanted, 0, BYTES) >= 0)
      bench.accuse(ids, `receive ${i}, ${name}: not the bytes of message ${i}`);
  }
  return bench;
}

const exactlyOnce = wireCase(
  {
    id: 'DATA/wire/exactly-once',
    doc: 'Each of 24 messages arrives once and in order on a network that loses, doubles and delays packets, and on one that loses acknowledgements.',
    requirements: ['DATA-60', 'DATA-61'],
  },
  async context => {
    const benches: WireBench[] = [];
    for (const trouble of troubles) benches.push(await underTrouble(context, trouble));
    return benches;
  },
);

const bothWays = wireCase(
  {
    id: 'DATA/wire/both-directions',
    doc: 'Long messages that both ends of a connection post at one time travel at one time, and both arrive without a retry.',
    requirements: ['DATA-65'],
  },
  async context => {
    const LENGTH = 16 * 1024;
    const bench = await WireBench.of(context);
    const [a, b] = await pairOf(bench, { retryCnt: 0 });
    for (const end of [a, b]) {
      end.recv(1, end.sges(RECEIVED_AT, LENGTH));
      end.send(2, { sges: end.sges(0, LENGTH) });
    }
    await bench.rest();
    const done = [a, b].map(end => [end.sends(), end.receives()]);
    const both = [successes(2), successes(1)];
    bench.same(['DATA-65'], 'sends and receives of each end', done, [both, both]);
    const requests = bench.heard(isRequest);
    const times = [a, b].map(({ gid }) =>
      requests.filter(({ sourceGid }) => sourceGid === gid).map(({ atNs }) => atNs),
    );
    const [firstOfA, firstOfB] = times.map(([first]) => first);
    const [lastOfA, lastOfB] = times.map(all => all.at(-1) ?? 0);
    if (firstOfA > lastOfB || firstOfB > lastOfA)
      bench.accuse(
        ['DATA-65'],
        `one end sent from ${firstOfA} to ${lastOfA} ns, the other from ${firstOfB} to ${lastOfB} ns, expected both at one time`,
      );
    return bench;
  },
);

const places: readonly (readonly [where: string, hosts: readonly number[]])[] = [
  ['one machine', [0]],
  ['two machines of one host', [0, 0]],
  ['two hosts', [0, 1]],
];

const anywhere = wireCase(
  {
    id: 'DATA/wire/one-machine-one-host-two-hosts',
    doc: 'Sends, writes and reads come to the same in one machine, between two machines of one host and between two hosts.',
    requirements: ['DATA-66'],
    services: ['RC', 'UC'],
  },
  async context => {
    const benches: WireBench[] = [];
    for (const [where, hosts] of places) {
      for (const service of ['RC', 'UC'] as const) {
        const bench = await WireBench.of(context, { hosts });
        benches.push(bench);
        const [a, b] = await pairOf(bench, { retryCnt: 1, timeout: 8 }, service);
        a.guest.writeArena(0, patternBytes(1, BYTES));
        b.recv(9, b.sges(RECEIVED_AT, SLOT));
        a.send(1, { sges: a.sges(0, BYTES) });
        a.send(2, {
          opcode: WrOpcode.RDMA_WRITE,
          sges: a.sges(0, BYTES),
          ...b.remote(RECEIVED_AT + SLOT),
        });
        if (service === 'RC') a.read(3, RECEIVED_AT + 2 * SLOT, BYTES, b.remote(RECEIVED_AT + SLOT));
        await bench.rest();
        const what = `${service} on ${where}`;
        const sends = service === 'RC' ? successes(1, 2, 3) : successes(1, 2);
        bench.same(['DATA-66'], `completions, ${what}`, [a.sends(), b.receives()], [sends, successes(9)]);
        const wanted = patternBytes(1, BYTES);
        const found = [
          b.guest.differenceFrom(RECEIVED_AT, wanted, 0, BYTES),
          b.guest.differenceFrom(RECEIVED_AT + SLOT, wanted, 0, BYTES),
          service === 'RC' ? a.guest.differenceFrom(RECEIVED_AT + 2 * SLOT, wanted, 0, BYTES) : -1,
        ];
        bench.same(
          ['DATA-66'],
          `the first wrong byte of the send, the write and the read, ${what}`,
          found,
          [-1, -1, -1],
        );
      }
    }
    return benches;
  },
);

/** Counts what a device reads and writes of its program's memory. */
class Meter {
  read = 0;
  written = 0;

  views(guest: SimulatedGuest): MachineViews {
    const [{ address, length }] = guest.memory.regions;
    const arena = address + length - guest.arenaBytes;
    const deviceMemory = new WatchedMemory({
      read: (at, bytes) => {
        if (at >= arena) this.read += bytes;
      },
      written: (at, bytes) => {
        if (at >= arena) this.written += bytes;
      },
    });
    guest.shareWith(deviceMemory);
    return { driverMemory: guest.memory, deviceMemory, os: guest, watch: device => device };
  }

  /** Since the last time. */
  take(): readonly [read: number, written: number] {
    const taken = [this.read, this.written] as const;
    this.read = this.written = 0;
    return taken;
  }
}

const cost = wireCase(
  {
    id: 'PERF/wire/payload-is-moved-once',
    doc: 'A message of n bytes costs n bytes read on one side and n written on the other, a datagram 40 more written.',
    requirements: ['PERF-15'],
    services: ['RC', 'UC', 'UD'],
  },
  async context => {
    const LENGTH = 1000;
    const benches: WireBench[] = [];
    for (const service of ['RC', 'UC', 'UD'] as const) {
      const meters = [new Meter(), new Meter()];
      const bench = await WireBench.of(context, { views: (vm, guest) => meters[vm].views(guest) });
      benches.push(bench);
      const [a, b] = await pairOf(bench, {}, service);
      // A region may be looked at when it is registered.
      for (const meter of meters) meter.take();
      const spent = async (what: string, ofA: readonly number[], ofB: readonly number[]): Promise<void> => {
        await bench.rest();
        bench.same(['OVR-10'], `completions of ${what}`, a.sends(), successes(1));
        bench.same(
          ['PERF-15'],
          `bytes of payload read and written at each side of ${what} of ${LENGTH} bytes`,
          meters.map(meter => meter.take()),
          [ofA, ofB],
        );
      };
      b.recv(2, b.sges(RECEIVED_AT, LENGTH + 40));
      a.send(1, { sges: a.sges(0, LENGTH), ...(service === 'UD' ? await datagramTo(a, b) : {}) });
      await spent(`a send on ${service}`, [LENGTH, 0], [0, service === 'UD' ? LENGTH + 40 : LENGTH]);
      if (service === 'UD') continue;
      a.send(1, { opcode: WrOpcode.RDMA_WRITE, sges: a.sges(0, LENGTH), ...b.remote(RECEIVED_AT) });
      await spent(`a write on ${service}`, [LENGTH, 0], [0, LENGTH]);
      if (service === 'UC') continue;
      a.read(1, RECEIVED_AT, LENGTH, b.remote(0));
      await spent(`a read on ${service}`, [0, LENGTH], [LENGTH, 0]);
    }
    return benches;
  },
);

/** What a datagram needs beside its bytes. */
export async function datagramTo(a: End, b: End) {
  return { ah: await a.handleTo(b.gid), remoteQpn: b.qpn, remoteQkey: QKEY };
}

export const deliveryCases: readonly ConformanceCase[] = [exactlyOnce, bothWays, anywhere, cost];
