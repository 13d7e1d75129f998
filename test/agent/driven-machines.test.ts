/**
 * Drivers in another process, seen from the kit: what an agent is told of its machine, when interrupts reach it, and what becomes of one
 * that breaks the conversation. The agent is a function here; what it does to the device's socket it does before it answers.
 */
import { closeSync, ftruncateSync, openSync, readFileSync, statSync } from 'node:fs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { profiles } from '../../src/abi/index.js';
import { DrivenMachines } from '../../src/conformance/agent/index.js';
import { ARENA_BASE, PAGE_BYTES, SimulatedGuest } from '../../src/conformance/simulated-guest.js';
import { LawBroken, laws } from '../../src/conformance/laws.js';
import type { Law } from '../../src/conformance/laws.js';
import type { DriverContext } from '../../src/conformance/implementation.js';
import { Scheduler, firstChoice } from '../../src/fabric/index.js';
import { Connection } from '../../src/transports/vhost-user/connection.js';
import { closeFd, newEvent, signalEvent } from '../../src/transports/vhost-user/descriptors.js';
import { encodePayload } from '../../src/transports/vhost-user/messages.js';
import { Request } from '../../src/transports/vhost-user/protocol.js';
import { connectUnix } from '../../src/transports/vhost-user/sockets.js';
import { VerbsError } from '../../src/verbs/index.js';
import type { Verbs } from '../../src/verbs/index.js';
import type { InterruptHandler, VirtioTransport } from '../../src/virtio/index.js';
import { mappingsOf, openFds, skipped } from '../transports/vhost-user/support.js';

type Answer = Record<string, unknown>;
interface Line {
  readonly id: number;
  readonly open?: { readonly machines: readonly [Machine] };
  readonly calls?: readonly [Answer & { readonly call: string }];
}
interface Machine {
  readonly arena: { readonly bytes: number; readonly base: number };
  readonly device: {
    readonly socket: string;
    readonly type: number;
    readonly queueSizes: readonly number[];
    readonly memory: {
      readonly file: string;
      readonly bytes: number;
      readonly address: number;
      readonly dmaAt: number;
      readonly dmaBytes: number;
      readonly pages: readonly number[];
    };
  };
}

/** An agent: what it answers to a line, without the id; what is no object is sent as it is. */
type Agent = (line: Line, serve: () => void) => Answer | string;

/** Pages of the program's memory. */
const ARENA_PAGES = 8;
const opened: Answer = { open: { machines: [{}] } };

/** An agent that answers calls with these, one after the other, and goes on with the last. */
function answering(...answers: readonly (Answer | string)[]): Agent {
  let at = 0;
  return ({ open }) => (open === undefined ? answers[Math.min(at++, answers.length - 1)] : opened);
}

function machineOf({ open }: Line): Machine {
  if (open === undefined) throw new Error('the line opens no machine');
  return open.machines[0];
}

/** Machines of which agent number n is `agents(n)`, and what has become of them. */
function machinesOf(agents: (n: number) => Agent): {
  machines: DrivenMachines;
  lines: Line[];
  started: () => number;
  stopped: () => number;
} {
  const lines: Line[] = [];
  let [started, stopped] = [0, 0];
  const machines = new DrivenMachines({
    start() {
      const agent = agents(started++);
      const answerable = newEvent();
      return {
        exchange(text, meanwhile) {
          const line = JSON.parse(text) as Line;
          lines.push(line);
          const answer = agent(line, () => {
            signalEvent(answerable);
            meanwhile(answerable);
          });
          return typeof answer === 'string' ? answer : JSON.stringify({ id: line.id, ...answer });
        },
        stop() {
          stopped++;
          closeFd(answerable);
        },
      };
    },
  });
  onTestFinished(() => machines.close());
  return { machines, lines, started: () => started, stopped: () => stopped };
}

/** A machine with a transport behind which there is nothing, so that what reaches it can be counted and interrupts made by hand. */
class Bench {
  readonly scheduler = new Scheduler(firstChoice);
  readonly guest: SimulatedGuest;
  readonly kicked: number[] = [];
  interrupt: InterruptHandler = () => {};
  readonly #machines: DrivenMachines;

  constructor(machines: DrivenMachines) {
    this.#machines = machines;
    this.guest = new SimulatedGuest({
      scheduler: this.scheduler,
      memoryBytes: 64 * PAGE_BYTES,
      arenaBytes: ARENA_PAGES * PAGE_BYTES,
      scatterSeed: 1,
      pool: machines.implementation.memories,
    });
  }

  /** Starts a driver of the agents on this machine. */
  async start(): Promise<Verbs> {
    const { driver } = this.#machines.implementation;
    if (driver === undefined) throw new Error('there is no driver');
    const context: DriverContext = {
      profile: profiles.roce,
      transport: this.#transport(),
      os: this.guest,
      memory: this.guest.memory,
      ringFeatures: { indirect: false, eventIdx: false },
      ringObserver: undefined,
      controlObserver: undefined,
    };
    return driver(context);
  }

  run(): void {
    while (this.scheduler.step());
  }

  #transport(): VirtioTransport {
    return {
      deviceId: 1,
      deviceFeatures: 0n,
      setDriverFeatures: () => {},
      readStatus: () => 0,
      writeStatus: () => {},
      configGeneration: 0,
      readConfig: () => new DataView(new ArrayBuffer(0)),
      queueCount: 3,
      queueSizeMax: index => 16 << index,
      enableQueue: () => {},
      queueEnabled: () => false,
      resetQueue: () => {},
      notify: index => void this.kicked.push(index),
      onInterrupt: handler => (this.interrupt = handler),
    };
  }
}

async function broken(promise: Promise<unknown>, law: Law, says: RegExp): Promise<void> {
  const error: unknown = await promise.then(
    () => undefined,
    (why: unknown) => why,
  );
  expect(error).toBeInstanceOf(LawBroken);
  if (!(error instanceof LawBroken)) return;
  expect(error.law).toBe(law.name);
  expect(error.message).toMatch(says);
}

describe.skipIf(skipped !== undefined)('what an agent is told of its machine', () => {
  it('is a file that holds the whole guest memory, and where the pages of the program lie in it', async () => {
    const { machines, lines } = machinesOf(() => answering({ results: [{}] }));
    const bench = new Bench(machines);
    await bench.start();
    const { arena, device } = machineOf(lines[0]);
    const { memory } = device;
    expect(arena).toEqual({ base: ARENA_BASE, bytes: ARENA_PAGES * PAGE_BYTES });
    expect(device).toMatchObject({ type: profiles.roce.deviceId, queueSizes: [16, 32, 64] });
    expect(statSync(memory.file).size).toBe(memory.bytes);
    expect(memory.pages).toHaveLength(ARENA_PAGES);
    // Each page of the program is told at its own place: what the program writes is found there in the file.
    memory.pages.forEach((offset, n) => {
      bench.guest.writeArena(n * PAGE_BYTES, Uint8Array.of(n + 1));
      expect(readFileSync(memory.file)[offset]).toBe(n + 1);
    });
  });

  it('is a file whose length the agent cannot change: memory that is gone would end the kit', async () => {
    const { machines, lines } = machinesOf(() => answering({ results: [{}] }));
    await new Bench(machines).start();
    const { file, bytes } = machineOf(lines[0]).device.memory;
    const own = openSync(file, 'r+');
    onTestFinished(() => closeSync(own));
    for (const length of [0, bytes - PAGE_BYTES, bytes + PAGE_BYTES])
      expect(() => ftruncateSync(own, length)).toThrow('EPERM');
    expect(statSync(file).size).toBe(bytes);
  });

  it('leaves no DMA memory to anybody else, and none of it is a page of the program', async () => {
    const { machines, lines } = machinesOf(() => answering({ results: [{}] }));
    const bench = new Bench(machines);
    await bench.start();
    const { dmaAt, dmaBytes, pages } = machineOf(lines[0]).device.memory;
    expect(() => bench.guest.allocDma(PAGE_BYTES, PAGE_BYTES)).toThrow(VerbsError);
    expect(dmaBytes).toBeGreaterThanOrEqual(32 * PAGE_BYTES);
    for (const page of pages) expect(page < dmaAt || page >= dmaAt + dmaBytes).toBe(true);
  });

  it('stays the same when a driver is started once more on the same machine', async () => {
    const { machines, lines } = machinesOf(() => answering({ results: [{}] }));
    const bench = new Bench(machines);
    await bench.start();
    await bench.start();
    const [first, second] = lines.map(line => machineOf(line).device.memory);
    expect(second).toEqual(first);
  });
});

describe.skipIf(skipped !== undefined)('agents and programs', () => {
  it('each machine of a program has an agent of its own, and the next program goes on with them', async () => {
    const { machines, started, stopped, lines } = machinesOf(() => answering({ results: [{}] }));
    for (let n = 0; n < 8; n++) await new Bench(machines).start();
    expect([started(), stopped()]).toEqual([4, 0]);
    // Lines of one agent are numbered on over programs.
    expect(lines.map(({ id }) => id)).toEqual([1, 1, 1, 1, 2, 2, 2, 2]);
    machines.close();
    expect(stopped()).toBe(4);
  });

  it('an agent that broke the conversation is stopped and replaced before the next program', async () => {
    const { machines, started, stopped } = machinesOf(n =>
      answering(n === 0 ? 'rubbish' : { results: [{}] }),
    );
    const verbs = await new Bench(machines).start();
    await broken(verbs.createPd(), laws.answers, /not JSON/);
    for (let n = 0; n < 3; n++) await new Bench(machines).start();
    expect([started(), stopped()]).toEqual([4, 0]);
    const again = await new Bench(machines).start();
    expect([started(), stopped()]).toEqual([5, 1]);
    await expect(again.createPd()).resolves.toMatchObject({ kind: 'pd' });
  });

  it('nothing is left open when they are closed', async () => {
    const [fds, files] = [openFds(), mappingsOf('vrdma-machine')];
    const { machines, lines } = machinesOf(() => answering({ results: [{}] }));
    for (let n = 0; n < 6; n++) await new Bench(machines).start();
    expect(openFds()).toBeGreaterThan(fds);
    machines.close();
    expect(openFds()).toBe(fds);
    expect(mappingsOf('vrdma-machine')).toBe(files);
    expect(statSync(machineOf(lines[0]).device.socket, { throwIfNoEntry: false })).toBeUndefined();
  });

  it('a driver that cannot start says so with EIO', async () => {
    const { machines } = machinesOf(() => () => ({ error: 'a feature that is needed is not offered' }));
    await expect(new Bench(machines).start()).rejects.toMatchObject({ errno: 'EIO', message: /not offered/ });
  });
});

describe.skipIf(skipped !== undefined)('verbs and what comes later', () => {
  it('a call that is pending is settled by a later answer, and by no other', async () => {
    const { machines } = machinesOf(() =>
      answering(
        { results: [{ pending: 7 }] },
        { results: [{ pending: 8 }] },
        { results: [{}], done: [{ pending: 8, result: { errno: 'ENOMEM', text: 'full' } }] },
        { results: [{}], done: [{ pending: 7, result: {} }] },
      ),
    );
    const verbs = await new Bench(machines).start();
    const [first, second] = [verbs.createPd(), verbs.createPd()];
    const order: string[] = [];
    void first.then(() => order.push('first'));
    second.catch(() => order.push('second'));
    await verbs.createPd();
    await verbs.createPd();
    await expect(second).rejects.toMatchObject({ errno: 'ENOMEM' });
    await expect(first).resolves.toMatchObject({ kind: 'pd' });
    expect(order).toEqual(['second', 'first']);
  });

  it('a call that is pending ends once', async () => {
    const done = [{ pending: 7, result: {} }];
    const { machines } = machinesOf(() =>
      answering({ results: [{ pending: 7 }] }, { results: [{}], done }, { results: [{}], done }),
    );
    const verbs = await new Bench(machines).start();
    const first = verbs.createPd();
    await verbs.createPd();
    await expect(first).resolves.toMatchObject({ kind: 'pd' });
    await broken(verbs.createPd(), laws.answers, /no call is pending under the number 7/);
  });

  it('[CQ-50] an event that comes within a verb is handed on when the verb is over', async () => {
    const { machines } = machinesOf(() =>
      answering({ results: [{ cqe: 4 }] }, { results: [{ completions: [] }], events: [{ vm: 0, cq: 1 }] }),
    );
    const bench = new Bench(machines);
    const verbs = await bench.start();
    let events = 0;
    const cq = await verbs.createCq(4, () => events++);
    verbs.pollCq(cq, [], 4);
    expect(events).toBe(0);
    bench.run();
    expect(events).toBe(1);
  });

  it.each([
    [
      'an event of a queue that never was',
      { results: [{}], events: [{ vm: 0, cq: 99 }] },
      /completion queue 99/,
    ],
    [
      'an end of a call that is not pending',
      { results: [{}], done: [{ pending: 3, result: {} }] },
      /no call is pending/,
    ],
    ['two results for one call', { results: [{}, {}] }, /results .* for one call/],
    ['no results', {}, /results/],
    ['events that are no array', { results: [{}], events: 1 }, /not an array/],
    ['no JSON', 'ok', /not JSON/],
    ['the answer to another request', '{"id":77,"results":[{}]}', /answered by/],
  ])('%s breaks the law that an implementation answers', async (_name, answer, says) => {
    const { machines } = machinesOf(() => answering(answer));
    const bench = new Bench(machines);
    const verbs = await bench.start();
    // An event of a verb is looked at when the verb is over.
    const tried = verbs.createPd().then(() => bench.run());
    await broken(tried, laws.answers, says);
    // Nothing more is asked of such an agent.
    await broken(verbs.createPd(), laws.answers, /bad end before|answered by|never was/);
  });
});

describe.skipIf(skipped !== undefined)('the device of an agent', () => {
  /** An agent that tells where its interrupts and kicks go while it opens its machine. */
  const connected =
    (settled: () => void): Agent =>
    ({ open, calls }, serve) => {
      if (open === undefined) {
        if (calls?.[0].call === 'settle') settled();
        return { results: [{}] };
      }
      const connection = new Connection(connectUnix(open.machines[0].device.socket));
      const [call, kick] = [newEvent(), newEvent()];
      onTestFinished(() => {
        connection.close();
        closeFd(call);
        closeFd(kick);
      });
      const { SET_VRING_CALL, SET_VRING_KICK } = Request.values;
      const queue = encodePayload({ kind: 'u64', value: 2n });
      connection.send(SET_VRING_CALL, 0, queue, [call]);
      connection.send(SET_VRING_KICK, 0, queue, [kick]);
      signalEvent(kick);
      serve();
      return opened;
    };

  it('is served while an answer is waited for, and kicks are passed on behind the answer', async () => {
    const { machines } = machinesOf(() => connected(() => {}));
    const bench = new Bench(machines);
    await bench.start();
    expect(bench.kicked).toEqual([2]);
  });

  it('has the agent look at interrupts when the scheduler comes to it, once for many', async () => {
    let settled = 0;
    const { machines } = machinesOf(() => connected(() => settled++));
    const bench = new Bench(machines);
    await bench.start();
    bench.interrupt(2);
    bench.interrupt(2);
    bench.interrupt(1);
    expect(settled).toBe(0);
    bench.run();
    expect(settled).toBe(1);
    bench.interrupt(2);
    bench.run();
    expect(settled).toBe(2);
  });

  it('interrupts nobody any more once another driver has its place', async () => {
    let settled = 0;
    const { machines } = machinesOf(() => connected(() => settled++));
    const bench = new Bench(machines);
    await bench.start();
    const old = bench.interrupt;
    old(2);
    machines.close();
    bench.run();
    old(2);
    bench.run();
    expect(settled).toBe(0);
  });

  it('that is spoken to in another protocol breaks the law that driver and device get along', async () => {
    const { machines } = machinesOf(() => ({ open }, serve) => {
      if (open === undefined) return { results: [{}] };
      const connection = new Connection(connectUnix(open.machines[0].device.socket));
      onTestFinished(() => connection.close());
      connection.send(9999, 0, new Uint8Array(4));
      serve();
      return opened;
    });
    await broken(new Bench(machines).start(), laws.getsAlong, /vhost-user/);
  });
});
