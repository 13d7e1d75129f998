/** What the monitors of rings, commands, transport and verbs tell their machines: for each thing that happens, which events of which instance. */
import { describe, expect, it } from 'vitest';
import { Ack, Command, QpType, WcStatus, WrOpcode } from '../../src/abi/index.js';
import { MonitorBook } from '../../src/conformance/monitors/book.js';
import { CommandMonitors, RingMonitors } from '../../src/conformance/monitors/ring-monitors.js';
import { TransportMonitors } from '../../src/conformance/monitors/transport-monitors.js';
import { VerbsMonitors } from '../../src/conformance/monitors/verbs-monitors.js';
import { gidOf } from '../../src/conformance/patterns.js';
import type { Program, SgeSpec } from '../../src/conformance/program.js';
import type { AhRecord, MrRecord, QpRecord, WrRecord } from '../../src/conformance/records.js';
import { paravirtualWorld } from '../../src/conformance/world.js';
import type { InterruptHandler, VirtioTransport } from '../../src/virtio/index.js';
import { overlay } from './faults/fault.js';
import { completion, cqRecord, mrRecord, pdRecord, program, qpRecord } from './hand-made.js';
import { Told } from './told.js';

const QUEUES = 4;
const COMPLETIONS = 3;
const isCompletionQueue = (queue: number): boolean => queue === COMPLETIONS;

describe('the monitors of rings', () => {
  function rings() {
    const told = new Told('CHAIN', 'NOTIFY_DEVICE', 'NOTIFY_DRIVER');
    const passed: string[] = [];
    const transport = {
      published: (queue: number) => void passed.push(`published ${queue}`),
      taken: (queue: number) => void passed.push(`taken ${queue}`),
      used: (queue: number) => void passed.push(`used ${queue}`),
    };
    const options = { vm: 1, queueCount: QUEUES, queueSizeMax: 8, isCompletionQueue, transport };
    const monitors = new RingMonitors(told.book, options);
    return { told, monitors, passed };
  }

  it('begin with both sides of each queue, numbered from machine to machine', () => {
    const { told } = rings();
    expect(told.heard).toEqual(
      [4, 5, 6, 7].flatMap(queue => [`NOTIFY_DEVICE ${queue} opened`, `NOTIFY_DRIVER ${queue} opened`]),
    );
  });

  it('[VQ-30] [VQ-35] follow a chain on its way, each head of each queue by itself', () => {
    const { told, monitors, passed } = rings();
    expect(told.by(() => monitors.available(2, 5))).toEqual(['CHAIN 53 opened', 'CHAIN 53 MAKE_AVAILABLE']);
    expect(told.by(() => monitors.published(2, 1, true))).toEqual(['NOTIFY_DEVICE 6 WRITE_NOTIFY 1']);
    expect(told.by(() => monitors.notified(2))).toEqual(['NOTIFY_DEVICE 6 WAKE']);
    expect(told.by(() => monitors.taken(2, 5))).toEqual(['NOTIFY_DEVICE 6 READ', 'CHAIN 53 TAKE']);
    expect(told.by(() => monitors.used(2, 5))).toEqual(['CHAIN 53 USE']);
    expect(told.by(() => monitors.interrupt(2, 1, true))).toEqual([
      'NOTIFY_DRIVER 6 WRITE_NOTIFY 1',
      'NOTIFY_DRIVER 6 WAKE',
    ]);
    expect(told.by(() => monitors.consumed(2, 5))).toEqual(['CHAIN 53 CONSUME', 'NOTIFY_DRIVER 6 READ']);
    expect(passed).toEqual(['published 2', 'taken 2', 'used 2']);
    expect(told.by(() => monitors.available(2, 5))).toEqual(['CHAIN 53 MAKE_AVAILABLE']);
    expect(told.book.broken).toBeUndefined();
  });

  it('[VQ-61] [VQ-62] tell of all that was put since the last decision at once, and of nothing when it was none', () => {
    const { told, monitors, passed } = rings();
    for (const head of [1, 2, 3]) monitors.available(0, head);
    expect(monitors.unread(0)).toBe(3);
    expect(told.by(() => monitors.published(0, 3, false))).toEqual(['NOTIFY_DEVICE 4 WRITE_SILENT 3']);
    expect(told.by(() => monitors.published(0, 3, false))).toEqual([]);
    expect(passed).toEqual(['published 0']);
    for (const head of [1, 2]) monitors.taken(0, head);
    expect([monitors.unread(0), monitors.held(0)]).toEqual([1, 2]);
    for (const head of [1, 2]) monitors.used(0, head);
    expect([monitors.unread(0), monitors.held(0), monitors.held(1)]).toEqual([1, 0, 0]);
    expect(told.by(() => monitors.interrupt(0, 2, false))).toEqual(['NOTIFY_DRIVER 4 WRITE_SILENT 2']);
    expect(told.by(() => monitors.interrupt(0, 2, false))).toEqual([]);
  });

  it('[VQ-66] take a driver that looks before the device has decided for one that was awake', () => {
    const { told, monitors } = rings();
    for (const head of [1, 2]) monitors.available(0, head);
    monitors.published(0, 2, true);
    for (const head of [1, 2]) monitors.taken(0, head);
    monitors.used(0, 1);
    expect(told.by(() => monitors.consumed(0, 1))).toEqual([
      'CHAIN 33 CONSUME',
      'NOTIFY_DRIVER 4 WRITE_SILENT 1',
      'NOTIFY_DRIVER 4 READ',
    ]);
    expect(told.by(() => monitors.interrupt(0, 1, false))).toEqual([]);
  });

  it('[CQ-09] say nothing of interrupts and sleep of a driver where arming rules', () => {
    const { told, monitors } = rings();
    monitors.available(COMPLETIONS, 1);
    monitors.published(COMPLETIONS, 1, true);
    monitors.taken(COMPLETIONS, 1);
    monitors.used(COMPLETIONS, 1);
    expect(told.by(() => monitors.interrupt(COMPLETIONS, 1, true))).toEqual([]);
    expect(told.by(() => monitors.asleep(COMPLETIONS, 'driver'))).toEqual([]);
    expect(told.by(() => monitors.consumed(COMPLETIONS, 1))).toEqual(['CHAIN 57 CONSUME']);
    expect(told.by(() => monitors.asleep(COMPLETIONS, 'device'))).toEqual([
      'NOTIFY_DEVICE 7 WAKE',
      'NOTIFY_DEVICE 7 SLEEP',
    ]);
  });

  it('[VQ-59] [VQ-60] know of sleep and waking on either side', () => {
    const { told, monitors } = rings();
    expect(told.by(() => monitors.asleep(1, 'driver'))).toEqual([
      'NOTIFY_DRIVER 5 WAKE',
      'NOTIFY_DRIVER 5 SLEEP',
    ]);
    expect(told.by(() => monitors.woke(1, 'driver'))).toEqual(['NOTIFY_DRIVER 5 WAKE']);
    expect(told.by(() => monitors.woke(1, 'device'))).toEqual(['NOTIFY_DEVICE 5 WAKE']);
  });

  it('[RST-37] forget all of a queue at its reset, and nothing of another', () => {
    const { told, monitors } = rings();
    for (const queue of [0, 1]) {
      for (const head of [0, 7]) monitors.available(queue, head);
      monitors.published(queue, 2, true);
      monitors.taken(queue, 0);
      monitors.used(queue, 0);
      monitors.taken(queue, 7);
      monitors.available(queue, 3);
    }
    expect(told.by(() => monitors.reset(1))).toEqual([
      ...Array.from({ length: 8 }, (_, head) => `CHAIN ${40 + head} dropped`),
      'NOTIFY_DEVICE 5 opened',
      'NOTIFY_DRIVER 5 opened',
    ]);
    expect([0, 1].map(queue => [monitors.unread(queue), monitors.held(queue)])).toEqual([
      [1, 1],
      [0, 0],
    ]);
    expect(told.by(() => monitors.published(1, 1, true))).toEqual([]);
    expect(told.by(() => monitors.interrupt(1, 1, false))).toEqual([]);
    expect(told.by(() => monitors.available(1, 7))).toEqual(['CHAIN 47 opened', 'CHAIN 47 MAKE_AVAILABLE']);
    expect(told.book.broken).toBeUndefined();
  });
});

describe('the monitors of commands', () => {
  it('[ORD-16] take the n-th command issued for the n-th taken, whatever each side calls it', () => {
    const told = new Told('COMMAND');
    const { driver, device } = new CommandMonitors(told.book, 2);
    expect(told.by(() => driver.command(70, Command.CREATE_PD))).toEqual(['COMMAND 2 opened']);
    expect(told.by(() => driver.command(71, Command.CREATE_PD))).toEqual(['COMMAND 6 opened']);
    expect(told.by(() => device.command(5, Command.CREATE_PD))).toEqual(['COMMAND 2 TAKE']);
    expect(told.by(() => device.command(6, Command.CREATE_PD))).toEqual(['COMMAND 6 TAKE']);
    expect(told.by(() => device.answer(6, Command.CREATE_PD, Ack.OK))).toEqual(['COMMAND 6 ANSWER_OK']);
    expect(told.by(() => device.answer(5, Command.CREATE_PD, Ack.ERR))).toEqual(['COMMAND 2 ANSWER_ERR']);
    expect(told.by(() => driver.answer(71, Command.CREATE_PD, Ack.OK))).toEqual(['COMMAND 6 SEE_OK']);
    expect(told.by(() => driver.answer(70, Command.CREATE_PD, Ack.ERR))).toEqual(['COMMAND 2 SEE_ERR']);
    expect(told.by(() => driver.answer(70, Command.CREATE_PD, Ack.ERR))).toEqual([]);
    expect(told.book.finish()).toBeUndefined();
  });

  it('use numbers again when a run issues very many', () => {
    const book = new MonitorBook();
    const { driver, device } = new CommandMonitors(book, 1);
    for (let i = 0; i < 1 << 16; i++) {
      driver.command(1, Command.CREATE_PD);
      device.command(1, Command.CREATE_PD);
      device.answer(1, Command.CREATE_PD, Ack.OK);
      driver.answer(1, Command.CREATE_PD, Ack.OK);
    }
    const monitor = book.get('COMMAND');
    const stateOf = (key: number): string => monitor.machine.namesOf(monitor.possible(key)).join();
    const last = 4 * 65_535 + 1;
    expect([stateOf(1), stateOf(last), monitor.isOpen(last + 4)]).toEqual(['SEEN_OK', 'SEEN_OK', false]);
    driver.command(1, Command.CREATE_PD);
    expect(stateOf(1)).toBe('ISSUED');
    device.command(1, Command.CREATE_PD);
    expect([stateOf(1), stateOf(last)]).toEqual(['TAKEN', 'SEEN_OK']);
    expect(book.broken).toBeUndefined();
  });
});

describe('the monitors of a transport', () => {
  const addresses = { descriptors: 1, driver: 2, device: 3 };
  const queue = (index: number) => ({ index, size: 16, ...addresses });

  function transport(commandsTold = true) {
    const told = new Told('DEVICE_STATUS', 'VIRTQUEUE');
    const monitors = new TransportMonitors(told.book, {
      vm: 1,
      queueCount: QUEUES,
      isCompletionQueue,
      commandsTold,
    });
    return { told, monitors };
  }
  function live() {
    const both = transport();
    const { told, monitors } = both;
    for (const value of [0, 1, 3]) monitors.statusWritten(value);
    monitors.featuresWritten(0n);
    monitors.statusWritten(11);
    monitors.statusRead(11);
    monitors.enabling(queue(0));
    monitors.enabling(queue(2));
    monitors.statusWritten(15);
    void told.heard;
    return both;
  }

  it('begin with the device and each of its queues', () => {
    expect(transport().told.heard).toEqual([
      'DEVICE_STATUS 1 opened',
      ...[4, 5, 6, 7].map(key => `VIRTQUEUE ${key} opened`),
    ]);
  });

  it('[FEAT-21] tell of each bit of the status when it is added, and of the first reading of FEATURES_OK', () => {
    const { told, monitors } = transport();
    const status = (value: number) => told.by(() => monitors.statusWritten(value));
    const read = (value: number) => told.by(() => monitors.statusRead(value));
    expect(status(0)).toEqual([
      'DEVICE_STATUS 1 WRITE_RESET',
      ...[4, 5, 6, 7].map(key => `VIRTQUEUE ${key} RESET_DEVICE`),
    ]);
    expect(status(1)).toEqual(['DEVICE_STATUS 1 WRITE_ACKNOWLEDGE']);
    expect(status(1)).toEqual([]);
    expect(read(1)).toEqual([]);
    expect(status(3)).toEqual(['DEVICE_STATUS 1 WRITE_DRIVER']);
    expect(told.by(() => monitors.featuresWritten(1n))).toEqual(['DEVICE_STATUS 1 WRITE_FEATURES']);
    expect(status(11)).toEqual(['DEVICE_STATUS 1 WRITE_FEATURES_OK']);
    expect(read(11)).toEqual(['DEVICE_STATUS 1 READ_FEATURES_OK']);
    expect(read(11)).toEqual([]);
    expect(told.by(() => monitors.enabling(queue(0)))).toEqual([
      'DEVICE_STATUS 1 ENABLE_QUEUE',
      'VIRTQUEUE 4 ENABLE',
    ]);
    expect(status(15)).toEqual(['DEVICE_STATUS 1 WRITE_DRIVER_OK', 'VIRTQUEUE 4 GO_LIVE']);
    expect(status(143)).toEqual(['DEVICE_STATUS 1 WRITE_FAILED']);
    expect(told.book.broken).toBeUndefined();
    status(0);
    for (const value of [1, 3, 11]) status(value);
    expect(read(3)).toEqual(['DEVICE_STATUS 1 READ_FEATURES_REFUSED']);
  });

  it('[VQ-31] [FEAT-26] tell of what moves, by queue; of queues that are not there nothing', () => {
    const { told, monitors } = live();
    expect(told.by(() => monitors.published(2))).toEqual(['VIRTQUEUE 6 PUBLISH']);
    expect(told.by(() => monitors.notifying(2))).toEqual(['DEVICE_STATUS 1 NOTIFY', 'VIRTQUEUE 6 NOTIFY']);
    expect(told.by(() => monitors.taken(2))).toEqual(['VIRTQUEUE 6 TAKE']);
    expect(told.by(() => monitors.used(2))).toEqual(['VIRTQUEUE 6 USE', 'DEVICE_STATUS 1 USE']);
    expect(told.by(() => monitors.taken(QUEUES))).toEqual([]);
    expect(told.by(() => monitors.sizeRead(1, 16))).toEqual([]);
    expect(told.by(() => monitors.sizeRead(1, 0))).toEqual(['VIRTQUEUE 5 FOUND_ABSENT']);
    expect(told.by(() => monitors.sizeRead(1, 0))).toEqual([]);
    expect(told.by(() => monitors.sizeRead(QUEUES, 0))).toEqual([]);
    expect([...monitors.enabled].map(({ index }) => index)).toEqual([0, 2]);
    expect(told.book.broken).toBeUndefined();
  });

  it('[VQ-75] [VQ-76] follow a queue through its reset, and know it when it comes again', () => {
    const { told, monitors } = live();
    expect(told.by(() => monitors.resetting(1))).toEqual([]);
    expect(told.by(() => monitors.resetDone(1))).toEqual([]);
    expect(told.by(() => monitors.resetting(2))).toEqual(['VIRTQUEUE 6 RESET_QUEUE']);
    expect([...monitors.enabled].map(({ index }) => index)).toEqual([0]);
    expect(told.by(() => monitors.resetDone(2))).toEqual(['VIRTQUEUE 6 RESET_QUEUE_DONE']);
    expect(told.by(() => monitors.enabling(queue(2)))).toEqual([
      'DEVICE_STATUS 1 REENABLE_QUEUE',
      'VIRTQUEUE 6 ENABLE',
      'VIRTQUEUE 6 GO_LIVE',
    ]);
    expect(told.book.broken).toBeUndefined();
    expect(told.by(() => monitors.enabling(queue(1)))[0]).toBe('DEVICE_STATUS 1 ENABLE_QUEUE');
  });

  it('[FEAT-28] forget everything at a reset', () => {
    const { told, monitors } = live();
    monitors.resetting(2);
    monitors.sizeRead(1, 0);
    monitors.commandTaken(Command.REQ_NOTIFY_CQ);
    monitors.interrupted('config', 15 | 64);
    monitors.statusWritten(0);
    expect([...monitors.enabled]).toEqual([]);
    expect(told.by(() => monitors.sizeRead(1, 0))).toEqual(['VIRTQUEUE 5 FOUND_ABSENT']);
    for (const value of [1, 3, 11]) monitors.statusWritten(value);
    monitors.statusRead(11);
    expect(told.by(() => monitors.enabling(queue(2)))).toEqual([
      'DEVICE_STATUS 1 ENABLE_QUEUE',
      'VIRTQUEUE 6 ENABLE',
    ]);
    expect(told.by(() => monitors.interrupted('config', 75))).toEqual([
      'DEVICE_STATUS 1 SET_NEEDS_RESET',
      'VIRTQUEUE 6 BREAK',
    ]);
    monitors.interrupted(COMPLETIONS, 15);
    expect(told.book.broken?.message).toContain('VIRTQUEUE number 6');
  });

  it('[FEAT-32] break every enabled queue, once, when the device needs a reset', () => {
    const { told, monitors } = live();
    expect(told.by(() => monitors.interrupted('config', 15))).toEqual([]);
    expect(told.by(() => monitors.interrupted(0, 15 | 64))).toEqual([
      'DEVICE_STATUS 1 SET_NEEDS_RESET',
      'VIRTQUEUE 4 BREAK',
      'VIRTQUEUE 6 BREAK',
    ]);
    expect(told.by(() => monitors.interrupted('config', 15 | 64))).toEqual([]);
  });

  it('[CQ-09] count armings against interrupts of completion queues', () => {
    const unarmed = 'machine 1: an interrupt of completion virtqueue 3, and every arming has had its own';
    const { told, monitors } = live();
    for (let i = 0; i < 2; i++) monitors.commandTaken(Command.REQ_NOTIFY_CQ);
    monitors.commandTaken(Command.CREATE_CQ);
    monitors.interrupted(0, 15);
    monitors.interrupted('config', 15);
    for (let i = 0; i < 2; i++) monitors.interrupted(COMPLETIONS, 15);
    expect(told.book.broken).toBeUndefined();
    monitors.interrupted(COMPLETIONS, 15);
    expect(told.book.broken?.message).toBe(unarmed);
    // One too many does not eat up the arming behind it.
    told.book.begin();
    monitors.commandTaken(Command.REQ_NOTIFY_CQ);
    monitors.interrupted(COMPLETIONS, 15);
    expect(told.book.broken).toBeUndefined();
    monitors.statusWritten(0);
    told.book.begin();
    monitors.commandTaken(Command.REQ_NOTIFY_CQ);
    monitors.statusWritten(0);
    told.book.begin();
    monitors.interrupted(COMPLETIONS, 0);
    expect(told.book.broken?.message).toBe(unarmed);
    const silent = transport(false);
    silent.monitors.interrupted(COMPLETIONS, 15);
    expect(silent.told.book.broken).toBeUndefined();
  });

  it('stand between driver and transport without a change: each call goes on, and is told first', async () => {
    const { told, monitors } = live();
    const calls: string[] = [];
    let handler: InterruptHandler = () => undefined;
    const config = new DataView(new ArrayBuffer(8));
    const inner: VirtioTransport = {
      deviceId: 42,
      queueCount: QUEUES,
      deviceFeatures: 5n,
      configGeneration: 9,
      notify: (index, next) => void calls.push(`notify ${index} ${next} after ${told.heard.join()}`),
      onInterrupt: given => void (handler = given),
      setDriverFeatures: features => void calls.push(`features ${features} after ${told.heard.join()}`),
      readStatus: () => 15,
      writeStatus: value => void calls.push(`status ${value} after ${told.heard.length}`),
      readConfig: () => config,
      queueSizeMax: index => (index === 1 ? 0 : 32),
      enableQueue: (index, size, { descriptors, driver, device }) =>
        void calls.push(
          `enable ${index} ${size} ${descriptors} ${driver} ${device} after ${told.heard.join()}`,
        ),
      queueEnabled: index => index === 0,
      resetQueue: index => void calls.push(`reset ${index} after ${told.heard.join()}`),
    };
    const [{ device }] = (await paravirtualWorld(program, { profile: 'roce' })).machines;
    if (device === undefined) throw new Error('no device');
    const watched = monitors.watch(inner, overlay(device, { readStatus: () => 15 | 64 }));
    expect([watched.deviceId, watched.queueCount, watched.deviceFeatures, watched.configGeneration]).toEqual([
      42,
      QUEUES,
      5n,
      9,
    ]);
    expect([watched.readConfig(), watched.queueEnabled(0), watched.queueEnabled(1)]).toEqual([
      config,
      true,
      false,
    ]);
    watched.notify(2, 7);
    watched.resetQueue(2);
    expect(told.heard).toEqual(['VIRTQUEUE 6 RESET_QUEUE_DONE']);
    watched.enableQueue(2, 8, addresses);
    expect([...monitors.enabled].find(({ index }) => index === 2)).toEqual({
      index: 2,
      size: 8,
      ...addresses,
    });
    watched.setDriverFeatures(6n);
    expect([watched.queueSizeMax(0), watched.queueSizeMax(1), watched.readStatus()]).toEqual([32, 0, 15]);
    expect(told.heard).toEqual(['VIRTQUEUE 5 FOUND_ABSENT']);
    const raised: unknown[] = [];
    watched.onInterrupt(source => raised.push(source, told.heard.length));
    handler('config');
    expect(raised).toEqual(['config', 3]);
    watched.writeStatus(0);
    watched.writeStatus(1);
    watched.writeStatus(3);
    watched.writeStatus(11);
    void told.heard;
    expect(watched.readStatus()).toBe(15);
    expect(told.heard).toEqual(['DEVICE_STATUS 1 READ_FEATURES_OK']);
    expect(calls).toEqual([
      'notify 2 7 after DEVICE_STATUS 1 NOTIFY,VIRTQUEUE 6 NOTIFY',
      'reset 2 after VIRTQUEUE 6 RESET_QUEUE',
      'enable 2 8 1 2 3 after DEVICE_STATUS 1 REENABLE_QUEUE,VIRTQUEUE 6 ENABLE,VIRTQUEUE 6 GO_LIVE',
      'features 6 after DEVICE_STATUS 1 WRITE_FEATURES',
      'status 0 after 5',
      'status 1 after 1',
      'status 3 after 1',
      'status 11 after 1',
    ]);
  });
});

describe('the monitors of verbs', () => {
  const GIDS = 2;
  const two: Program = { ...program, hosts: [0, 0] };
  const pd = { ...pdRecord(), id: 7 };
  const [sendCq, recvCq] = [
    { ...cqRecord(), id: 1 },
    { ...cqRecord(), id: 2 },
  ];
  const qp: QpRecord = { ...qpRecord(QpType.RC), id: 4, pd, sendCq, recvCq };
  const mr: MrRecord = { ...mrRecord(pd), id: 5 };
  const ah: AhRecord = { ...pdRecord(), kind: 'ah', name: 'ah0', id: 6, pd };

  function verbs(change: Partial<Program> = {}) {
    const told = new Told('PD', 'CQ_USE', 'MR', 'AH', 'GID');
    const monitors = new VerbsMonitors({ ...two, ...change }, told.book, GIDS);
    const opened = told.heard;
    for (const each of [pd, sendCq, recvCq]) monitors.created(each);
    return { told, monitors, opened };
  }

  it('begin with the GID tables of all machines', () => {
    expect(verbs().opened).toEqual(['GID 0 opened', 'GID 1 opened', 'GID 256 opened', 'GID 257 opened']);
  });

  it('[RST-01] [RST-02] [RST-24] count the users of domains and completion queues', () => {
    const { told, monitors } = verbs();
    expect(told.heard).toEqual(['PD 7 opened', 'CQ_USE 1 opened', 'CQ_USE 2 opened']);
    expect(told.by(() => monitors.created(mr))).toEqual(['MR 5 opened', 'PD 7 USER_CREATED']);
    expect(told.by(() => monitors.created(ah))).toEqual(['AH 6 opened', 'PD 7 USER_CREATED']);
    expect(told.by(() => monitors.created(qp))).toEqual([
      'CQ_USE 1 USER_CREATED',
      'CQ_USE 2 USER_CREATED',
      'PD 7 USER_CREATED',
    ]);
    expect(told.by(() => monitors.destroyed(mr))).toEqual(['MR 5 DEREGISTER', 'PD 7 USER_DESTROYED']);
    expect(told.by(() => monitors.destroyed(ah))).toEqual(['AH 6 DESTROY', 'PD 7 USER_DESTROYED']);
    expect(told.by(() => monitors.destroyed(qp))).toEqual([
      'CQ_USE 1 USER_DESTROYED',
      'CQ_USE 2 USER_DESTROYED',
      'PD 7 USER_DESTROYED',
    ]);
    expect(told.by(() => monitors.destroyed(sendCq))).toEqual(['CQ_USE 1 DESTROY']);
    expect(told.by(() => monitors.destroyed(pd))).toEqual(['PD 7 DESTROY']);
    expect(told.book.broken).toBeUndefined();
  });

  it('[RST-01] judge a refused destroy of what lives, in settled programs', () => {
    const { told, monitors } = verbs();
    const refused = (...args: Parameters<VerbsMonitors['destroyRefused']>) =>
      told.by(() => monitors.destroyRefused(...args));
    expect(refused(pd)).toEqual(['PD 7 DESTROY_REFUSED']);
    expect(refused(recvCq)).toEqual(['CQ_USE 2 DESTROY_REFUSED']);
    for (const each of [mr, ah, qp, { ...pd, alive: false }]) expect(refused(each)).toEqual([]);
    const racing = verbs({ mode: 'racing' });
    expect(racing.told.by(() => racing.monitors.destroyRefused(pd))).toEqual([]);
  });

  it('[MEM-20] [RST-16] see an access in each successful send of a region, but in one that ended meanwhile', () => {
    const access = (
      sges: readonly SgeSpec[],
      how: {
        readonly send?: boolean;
        readonly status?: WcStatus;
        readonly before?: boolean;
        readonly behind?: boolean;
        readonly vm?: number;
      } = {},
    ): readonly string[] => {
      const { told, monitors } = verbs();
      const region = { ...mr, alive: how.before ?? true };
      monitors.created(region);
      monitors.created({ ...mr, id: 15, name: 'mr1' });
      monitors.created({ ...mr, id: 25, vm: 1 });
      const request: WrRecord = {
        wrId: 0,
        qp: { ...qp, vm: how.vm ?? 0 },
        send: how.send ?? true,
        opcode: WrOpcode.SEND,
        signaled: true,
        id: 0,
        state: 'posted',
      };
      monitors.posted(request, { sges });
      region.alive = how.behind ?? true;
      const done = completion(0, { status: how.status ?? WcStatus.SUCCESS });
      return told.by(() => {
        monitors.completed(sendCq, done, undefined);
        monitors.completed(sendCq, done, request);
        monitors.completed(sendCq, done, request);
      });
    };
    const sge = { at: 0, length: 8, mr: 'mr0' };
    expect(access([sge])).toEqual(['MR 5 ACCESS']);
    expect(access([sge, { ...sge, mr: 'mr1' }])).toEqual(['MR 5 ACCESS', 'MR 15 ACCESS']);
    expect(access([sge], { vm: 1 })).toEqual(['MR 25 ACCESS']);
    expect(
      access([
        { ...sge, length: 0 },
        { ...sge, mr: { raw: 5 } },
        { ...sge, mr: 'mr9' },
      ]),
    ).toEqual([]);
    expect(access([sge], { send: false })).toEqual([]);
    expect(access([sge], { status: WcStatus.WR_FLUSH_ERR })).toEqual([]);
    expect(access([sge], { behind: false })).toEqual([]);
    expect(access([sge], { before: false, behind: false })).toEqual(['MR 5 ACCESS']);
  });

  it('[CTRL-105] [CTRL-107] [CTRL-95] follow each entry of each GID table that there is, in settled programs', () => {
    const { told, monitors } = verbs();
    const to = { vm: 0, gid: 0 };
    const ended = (...[action, errno]: [Parameters<VerbsMonitors['actionEnded']>[1], string?]) =>
      told.by(() => monitors.actionEnded(0, action, errno));
    expect(ended({ op: 'delGid', vm: 1, index: 1 }, 'EINVAL')).toEqual(['GID 257 DEL_REFUSED']);
    expect(ended({ op: 'addGid', vm: 1, index: 1, gid: 3 }, 'EINVAL')).toEqual(['GID 257 ADD_REFUSED']);
    expect(ended({ op: 'addGid', vm: 1, index: 1, gid: 3 })).toEqual(['GID 257 ADD']);
    expect(ended({ op: 'createAh', vm: 1, as: 'ah0', pd: 'pd0', to: { ...to, sgidIndex: 1 } })).toEqual([
      'GID 257 NAME',
    ]);
    expect(ended({ op: 'delGid', vm: 1, index: 1 })).toEqual(['GID 257 DEL']);
    expect(ended({ op: 'addGid', vm: 0, index: 0, gid: 3 })).toEqual(['GID 0 ADD']);
    expect(ended({ op: 'createAh', vm: 0, as: 'ah0', pd: 'pd0', to })).toEqual(['GID 0 NAME']);
    expect(ended({ op: 'createAh', vm: 0, as: 'ah0', pd: 'pd0', to }, 'EINVAL')).toEqual([]);
    expect(ended({ op: 'createAh', vm: 0, as: 'ah0', pd: 'pd0', to: { ...to, sgidIndex: GIDS } })).toEqual(
      [],
    );
    expect(ended({ op: 'addGid', vm: 0, index: GIDS, gid: 3 }, 'EINVAL')).toEqual([]);
    expect(ended({ op: 'createPd', vm: 0, as: 'pd0' })).toEqual([]);
    const ahAttr = { dgid: gidOf(1, 0), sgidIndex: 0, flowLabel: 0, hopLimit: 1, trafficClass: 0 };
    expect(told.by(() => monitors.modified({ ...qp, attributes: { ahAttr } }))).toEqual(['GID 0 NAME']);
    expect(told.by(() => monitors.modified(qp))).toEqual([]);
    expect(told.book.broken).toBeUndefined();
    const racing = verbs({ mode: 'racing' });
    expect(
      racing.told.by(() => {
        racing.monitors.actionEnded(0, { op: 'delGid', vm: 0, index: 0 }, undefined);
        racing.monitors.actionEnded(0, { op: 'createAh', vm: 0, as: 'ah0', pd: 'pd0', to }, undefined);
        racing.monitors.modified({ ...qp, attributes: { ahAttr } });
      }),
    ).toEqual([]);
  });
});
