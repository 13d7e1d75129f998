/** Where the monitors are put: what of a world and its machines reaches which of them, and the recorder before them. */
import { describe, expect, it } from 'vitest';
import { Ack, Command, QpState, QpType, profiles } from '../../src/abi/index.js';
import type { Implementation } from '../../src/conformance/implementation.js';
import { laws } from '../../src/conformance/laws.js';
import { smallLimits } from '../../src/conformance/limits.js';
import { attach, attachBare } from '../../src/conformance/monitors/attach.js';
import type { AttachOptions } from '../../src/conformance/monitors/attach.js';
import { MonitorBook } from '../../src/conformance/monitors/book.js';
import { machineMonitors } from '../../src/conformance/monitors/machine.js';
import type { Action, Program } from '../../src/conformance/program.js';
import { observations } from '../../src/conformance/ring-watch/observations.js';
import { Run } from '../../src/conformance/run/run.js';
import { TraceRecorder } from '../../src/conformance/trace.js';
import { bareMetalWorld, paravirtualWorld } from '../../src/conformance/world.js';
import type { WorldObservers } from '../../src/conformance/world.js';
import type { HcaCqOwner, HcaFunction, HcaQpOwner } from '../../src/reference/index.js';
import type { InterruptHandler } from '../../src/virtio/index.js';
import { overlay } from './faults/fault.js';
import { program } from './hand-made.js';
import { plantedFaults } from './ring-watch-planted.js';
import { Told } from './told.js';
import { request } from './wire/packets.js';

const { maxQps, maxCqs, queueSizeMax } = smallLimits.device;
const map = profiles.roce.queues(maxQps, maxCqs);
const outside = { driverSeen: true };

function attached(book: MonitorBook, given: Partial<AttachOptions> = {}) {
  return attach({
    profile: 'roce',
    limits: smallLimits,
    book,
    rings: 'reported',
    recorder: undefined,
    ...given,
  });
}

/** A program of two machines that creates something on each. */
const pds: Program = {
  ...program,
  hosts: [0, 0],
  actions: [0, 1, 1].map((vm, i): Action => ({ op: 'createPd', vm, as: `pd${i}` })),
};

/** Runs a program under watch, and comes back with what was attached. */
async function run(asked: Program, options: AttachOptions, implementation?: Implementation) {
  const { profile, limits } = options;
  const found = attach(options);
  const world = await paravirtualWorld(asked, {
    profile,
    limits,
    implementation,
    observers: found.observers,
  });
  await new Run(asked, world, []).execute();
  return found;
}

/** Whether what was heard is of a chain of that queue, all machines' queues numbered through. */
function chainOf(heard: string, queue: number): boolean {
  return Math.floor(Number(heard.split(' ')[1]) / queueSizeMax) === queue;
}

describe('a world under watch', () => {
  const machines = ['CHAIN', 'COMMAND', 'DEVICE_STATUS', 'VIRTQUEUE', 'NOTIFY_DEVICE', 'NOTIFY_DRIVER'];

  async function heard(rings: AttachOptions['rings'], recorder?: TraceRecorder) {
    const told = new Told(...machines);
    const { profile, limits } = { profile: 'roce', limits: smallLimits } as const;
    const found = await run(pds, { profile, limits, book: told.book, rings, recorder });
    expect(told.book.broken).toBeUndefined();
    const all = told.heard;
    return { found, of: (name: string) => all.filter(each => each.startsWith(`${name} `)) };
  }

  it('tells as much of chains, commands, queues and status whether parties report it or it is seen in memory', async () => {
    const [reported, watched] = [await heard('reported'), await heard('watched')];
    // A raise of an index is seen in memory when somebody looks: the notification may come first.
    for (const name of ['CHAIN', 'COMMAND', 'DEVICE_STATUS', 'VIRTQUEUE'])
      expect(watched.of(name).toSorted()).toEqual(reported.of(name).toSorted());
    for (const { of } of [reported, watched]) {
      // Each driver asks for the limits first; then comes one command on machine 0, and two on machine 1.
      for (const key of [0, 4, 1, 5, 9])
        expect(of('COMMAND').filter(each => each.startsWith(`COMMAND ${key} `))).toEqual(
          ['opened', 'TAKE', 'ANSWER_OK', 'SEE_OK'].map(step => `COMMAND ${key} ${step}`),
        );
      for (const vm of [0, 1]) {
        const control = vm * map.count + map.control;
        const commands = vm === 0 ? 2 : 3;
        expect(of('CHAIN').filter(each => /USE|TAKE/.test(each) && chainOf(each, control))).toHaveLength(
          2 * commands,
        );
        for (const name of ['NOTIFY_DEVICE', 'NOTIFY_DRIVER'])
          expect(of(name).filter(each => each.startsWith(`${name} ${control} WRITE`))).toHaveLength(commands);
      }
    }
  });

  it.each(['reported', 'watched'] as const)(
    'knows rings and enabled queues of each machine: %s',
    async rings => {
      const { found } = await heard(rings);
      expect([...found.rings.keys()]).toEqual([0, 1]);
      for (const vm of [0, 1]) {
        const enabled = [...found.enabled(vm)].map(({ index }) => index);
        expect(enabled).toContain(map.control);
        const counts = found.rings.get(vm);
        expect([counts?.unread(map.control), counts?.held(map.control)]).toEqual([0, 0]);
      }
    },
  );

  it.each(['reported', 'watched'] as const)('is recorded, both sides of each machine: %s', async rings => {
    const recorder = new TraceRecorder();
    await heard(rings, recorder);
    const lines = recorder.events.map(event => {
      if (event.point === 'control') return `control ${event.vm} ${event.side} ${event.what}`;
      return event.point === 'ring' ? `ring ${event.vm} ${event.what}` : event.point;
    });
    for (const vm of [0, 1]) {
      for (const side of ['driver', 'device'])
        for (const what of ['command', 'answer']) expect(lines).toContain(`control ${vm} ${side} ${what}`);
      for (const what of [
        'available',
        'published',
        'notified',
        'taken',
        'used',
        'interrupt',
        'consumed',
        'asleep',
      ])
        expect(lines).toContain(`ring ${vm} ${what}`);
    }
  });
});

describe('the recorder', () => {
  it('has written down what breaks a law when it is found broken', () => {
    const recorder = new TraceRecorder();
    const book = new MonitorBook();
    const { observers } = attached(book, { recorder });
    const kept: unknown[] = [];
    book.report = ({ law }) => void kept.push(law, recorder.events.at(-1));
    const { used } = watchers(observers).ring;
    used(map.control, 3, 1);
    expect(kept.slice(0, 2)).toEqual([
      'machine VIRTQUEUE',
      { point: 'ring', t: 0, vm: 0, queue: map.control, what: 'used', head: 3, bytes: 1 },
    ]);
    kept.length = 0;
    watchers(observers).control.command(7, Command.CREATE_PD);
    expect(kept).toEqual(['machine COMMAND', expect.objectContaining({ side: 'device', id: 7 })]);
    kept.length = 0;
    observers.wire?.sent(request('SEND_MIDDLE', 4, 1024));
    observers.wire?.sent(request('SEND_ONLY', 9, 10));
    expect(kept).toEqual(['machine WIRE.REQUESTS', expect.objectContaining({ point: 'wire', psn: 9 })]);
  });

  it('is told of a notification where parties report, and the monitors after it', () => {
    const recorder = new TraceRecorder();
    const told = new Told('NOTIFY_DEVICE');
    const { observers } = attached(told.book, { recorder });
    watchers(observers);
    expect(told.by(() => observers.notified?.(0, 5))).toEqual(['NOTIFY_DEVICE 5 WAKE']);
    expect(recorder.events).toEqual([{ point: 'ring', t: 0, vm: 0, queue: 5, what: 'notified' }]);
  });
});

/** The observers of a machine, which a world of parties that report asks for. */
function watchers({ ring, control, driverControl }: WorldObservers, vm = 0) {
  const [found, device, driver] = [ring?.(vm), control?.(vm), driverControl?.(vm)];
  if (found === undefined || device === undefined || driver === undefined) throw new Error('not watched');
  return { ring: found, control: device, driver };
}

describe('interrupts', () => {
  const [first, last] = [map.cq(0), map.cq(maxCqs - 1)];

  /** A machine whose device raises interrupts at will. */
  async function raising(given: Partial<AttachOptions> = {}) {
    const told = new Told('NOTIFY_DRIVER');
    const { observers } = attached(told.book, given);
    const [{ transport, device }] = (await paravirtualWorld(program, { profile: 'roce' })).machines;
    if (transport === undefined || device === undefined) throw new Error('no device');
    let raise: InterruptHandler = () => undefined;
    const inner = overlay(transport, { onInterrupt: handler => void (raise = handler) });
    observers.transport?.(0, inner, device).onInterrupt(() => undefined);
    return { told, observers, raise: (queue: number) => raise(queue) };
  }

  it('[CQ-09] of completion queues, and of no others, are held against the armings that the device has taken', async () => {
    for (const queue of [first, last]) {
      const { told, observers, raise } = await raising();
      const { control, driver } = watchers(observers);
      driver.command(1, Command.REQ_NOTIFY_CQ);
      control.command(7, Command.REQ_NOTIFY_CQ);
      raise(queue);
      expect(told.book.broken).toBeUndefined();
      raise(queue);
      expect(told.book.broken?.law).toBe(laws.eventsAreArmed.name);
    }
    const { told, raise } = await raising();
    for (const queue of [first - 1, last + 1]) raise(queue);
    expect(told.book.broken).toBeUndefined();
  });

  it('[CQ-09] of a device outside are not, since nobody sees when it takes a command', async () => {
    const { told, raise } = await raising({ outside });
    for (const queue of [first, last]) raise(queue);
    expect(told.book.broken).toBeUndefined();
  });

  it('[VQ-65] of all other queues are decided for each used chain', async () => {
    const { told, observers } = await raising();
    const { ring } = watchers(observers);
    for (const queue of [first - 1, first, last, last + 1]) ring.used(queue, 0, 0);
    const decided = (queue: number) => told.by(() => ring.interrupt(queue, 1, false));
    expect([first - 1, first, last, last + 1].map(decided)).toEqual([
      [`NOTIFY_DRIVER ${first - 1} WRITE_SILENT 1`],
      [],
      [],
      [`NOTIFY_DRIVER ${last + 1} WRITE_SILENT 1`],
    ]);
  });
});

describe('commands', () => {
  it('[CTRL-01] that a device answers otherwise than its driver sees break the machine, on each machine', () => {
    for (const vm of [0, 1]) {
      const book = new MonitorBook();
      const { control, driver } = watchers(attached(book).observers, vm);
      driver.command(1, Command.CREATE_PD);
      control.command(7, Command.CREATE_PD);
      control.answer(7, Command.CREATE_PD, Ack.ERR);
      expect(book.broken).toBeUndefined();
      driver.answer(1, Command.CREATE_PD, Ack.OK);
      expect(book.broken?.message).toContain(`COMMAND number ${vm}`);
    }
  });
});

describe('a machine whose transport nobody watches', () => {
  it('is followed in its rings and commands all the same', () => {
    const told = new Told('CHAIN', 'COMMAND', 'VIRTQUEUE');
    const { device: limits } = smallLimits;
    const options = { vm: 1, profile: 'roce', limits, deviceOutside: false, recorder: undefined } as const;
    const { sink, rings, control } = machineMonitors(told.book, options);
    expect(sink).toBe(rings);
    control.driver.command(1, Command.REQ_NOTIFY_CQ);
    control.device.command(7, Command.REQ_NOTIFY_CQ);
    control.device.answer(7, Command.REQ_NOTIFY_CQ, Ack.OK);
    sink.available(map.control, 3, 0, 0);
    sink.published(map.control, 1, true);
    sink.taken(map.control, 3);
    const key = (map.count + map.control) * queueSizeMax + 3;
    expect(told.heard).toEqual([
      ...['opened', 'TAKE', 'ANSWER_OK'].map(step => `COMMAND 1 ${step}`),
      ...['opened', 'MAKE_AVAILABLE', 'TAKE'].map(step => `CHAIN ${key} ${step}`),
    ]);
  });
});

describe('the rings of a device outside', () => {
  it('are followed chain by chain; who raises, looks and sleeps is not', () => {
    const told = new Told('CHAIN', 'NOTIFY_DEVICE', 'NOTIFY_DRIVER');
    const { ring } = watchers(attached(told.book, { outside }).observers);
    void told.heard;
    ring.available(map.control, 3, 0, 0);
    ring.published(map.control, 1, true);
    ring.taken(map.control, 3);
    ring.used(map.control, 3, 0);
    ring.interrupt(map.control, 1, false);
    ring.consumed(map.control, 3, 0);
    ring.asleep(map.control, 'device');
    const key = map.control * queueSizeMax + 3;
    expect(told.heard).toEqual(
      ['opened', 'MAKE_AVAILABLE', 'TAKE', 'USE', 'CONSUME'].map(step => `CHAIN ${key} ${step}`),
    );
  });

  it('show in memory no more than memory can show', async () => {
    const told = new Told('CHAIN', 'NOTIFY_DEVICE', 'NOTIFY_DRIVER');
    const options = { profile: 'roce', limits: smallLimits, book: told.book, recorder: undefined } as const;
    await run(pds, { ...options, rings: 'watched', outside });
    expect(told.book.broken).toBeUndefined();
    const events = new Set(told.heard.map(each => each.split(' ')[2]));
    expect([...events].toSorted()).toEqual(['CONSUME', 'MAKE_AVAILABLE', 'TAKE', 'USE', 'opened']);
  });
});

describe('what is seen broken in a ring', () => {
  const brokenBy = async (implementation: Implementation | undefined) => {
    const book = new MonitorBook();
    const options = { profile: 'roce', limits: smallLimits, book, recorder: undefined } as const;
    await run(pds, { ...options, rings: 'watched' }, implementation).catch(() => undefined);
    return book.broken;
  };

  it('is a broken law with the requirements of the observation, unless it is only counted', async () => {
    const { usedLength, kickNeedless } = plantedFaults;
    const { id, slug, requirements } = observations.usedLength;
    const broken = await brokenBy(usedLength);
    expect([broken?.law, broken?.requirements]).toEqual([`ring ${id} ${slug}`, requirements]);
    expect(broken?.message).toMatch(/^machine 0, queue \d+: /);
    expect(observations.kickNeedless.verdict).toBe('count');
    expect(await brokenBy(kickNeedless)).toBeUndefined();
  });
});

describe.each([
  ['of a para-virtual world', (book: MonitorBook): WorldObservers => attached(book).observers],
  ['of bare metal', (book: MonitorBook): WorldObservers => attachBare(book)],
])('the adapters %s', (_where, observersOf) => {
  const cap = { maxSendWr: 1, maxRecvWr: 1, maxSendSge: 1, maxRecvSge: 1, maxInlineData: 0 };
  const silent: HcaCqOwner & HcaQpOwner = {
    completionAdded() {},
    eventRaised() {},
    unconsumed: () => 0,
    overran() {},
    sendRetired() {},
    recvRetired() {},
  };

  /** The adapters of two machines under watch, and their wire. */
  function adapters() {
    const told = new Told('QP.UD', 'CQ');
    const { function: watch, wire } = observersOf(told.book);
    if (watch === undefined || wire === undefined) throw new Error('not watched');
    const { machines } = bareMetalWorld(pds, { profile: 'roce' });
    return { told, wire, adapters: machines.map(({ function: inner, vm }) => watch(vm, inner)) };
  }
  function pair(adapter: HcaFunction) {
    const cq = adapter.createCq(1, silent);
    const init = { type: QpType.UD, sqSigAll: false, sendCq: cq, recvCq: cq, cap };
    return adapter.createQp(adapter.createPd(), init, silent);
  }

  it('are followed, their objects numbered over all machines', () => {
    const { told, adapters: both } = adapters();
    for (const adapter of both) pair(adapter);
    expect(told.heard).toEqual(['CQ 0 opened', 'QP.UD 0 opened', 'CQ 1 opened', 'QP.UD 1 opened']);
    const qp = pair(both[1]);
    both[1].modifyQp(qp, { qpState: QpState.INIT, qkey: 5 });
    const monitor = told.book.get('QP.UD');
    expect([0, 1, 2].map(key => monitor.machine.namesOf(monitor.possible(key)).join())).toEqual([
      'RESET',
      'RESET',
      'INIT',
    ]);
  });

  it('[DATA-74] send numbers without a gap, and a queue pair that is gone leaves none behind', () => {
    const { told, wire, adapters: both } = adapters();
    const qp = pair(both[0]);
    const from = { sourceQpn: qp.qpNum };
    wire.sent(request('SEND_ONLY', 4, 10, from));
    both[0].destroyQp(qp);
    wire.sent(request('SEND_ONLY', 9, 10, from));
    expect(told.book.broken).toBeUndefined();
    wire.sent(request('SEND_ONLY', 11, 10, from));
    expect(told.book.broken?.law).toBe('machine WIRE.REQUESTS');
  });
});
