/** Each monitor can fail: a hand-made sequence breaks its machine. */
import { describe, expect, it } from 'vitest';
import { Ack, Command, QpState, QpType } from '../../src/abi/index.js';
import { MonitorBook } from '../../src/conformance/monitors/book.js';
import { InstanceNumbers, WatchedFunction } from '../../src/conformance/monitors/hca-monitors.js';
import { CommandMonitors, RingMonitors } from '../../src/conformance/monitors/ring-monitors.js';
import { TransportMonitors } from '../../src/conformance/monitors/transport-monitors.js';
import { VerbsMonitors } from '../../src/conformance/monitors/verbs-monitors.js';
import type { AhRecord, PdRecord } from '../../src/conformance/records.js';
import { emptyProgram } from '../../src/conformance/suites/leaks.js';
import { bareMetalWorld } from '../../src/conformance/world.js';
import type { HcaCqOwner, HcaQpOwner } from '../../src/reference/index.js';
import { emptyCompletion } from '../../src/verbs/index.js';
import { overlay } from './faults/fault.js';

const QUEUES = 8;
const COMPLETIONS = 3;

function rings(book: MonitorBook): RingMonitors {
  return new RingMonitors(book, {
    vm: 0,
    queueCount: QUEUES,
    queueSizeMax: 16,
    isCompletionQueue: queue => queue === COMPLETIONS,
  });
}

function transport(book: MonitorBook, commandsTold = true): TransportMonitors {
  const isCompletionQueue = (queue: number): boolean => queue === COMPLETIONS;
  return new TransportMonitors(book, { vm: 0, queueCount: QUEUES, isCompletionQueue, commandsTold });
}

const addresses = { descriptors: 0, driver: 0, device: 0 };

/** From reset to DRIVER_OK with one queue. */
function bringUp(monitors: TransportMonitors): void {
  for (const status of [0, 1, 3]) monitors.statusWritten(status);
  monitors.featuresWritten(0n);
  monitors.statusWritten(11);
  monitors.statusRead(11);
  monitors.enabling({ index: 0, size: 16, ...addresses });
  monitors.statusWritten(15);
}

describe('rings', () => {
  it('[VQ-35] a chain is not used twice', () => {
    const book = new MonitorBook();
    const monitors = rings(book);
    monitors.available(0, 1);
    monitors.published(0, 1, true);
    monitors.taken(0, 1);
    monitors.used(0, 1);
    expect(book.broken).toBeUndefined();
    monitors.used(0, 1);
    expect(book.broken?.law).toBe('machine CHAIN');
  });

  it('[VQ-31] the device takes no more than was published', () => {
    const book = new MonitorBook();
    const monitors = rings(book);
    monitors.available(0, 1);
    monitors.taken(0, 1);
    expect(book.broken?.law).toBe('machine NOTIFY_DEVICE');
  });

  it('[VQ-61] a sleeping device is notified', () => {
    const book = new MonitorBook();
    const monitors = rings(book);
    monitors.asleep(0, 'device');
    monitors.available(0, 1);
    monitors.published(0, 1, false);
    expect(book.broken?.law).toBe('machine NOTIFY_DEVICE');
  });

  it('[VQ-65] a sleeping driver is interrupted, but for completion queues', () => {
    const outcome = (queue: number): string | undefined => {
      const book = new MonitorBook();
      const monitors = rings(book);
      monitors.available(queue, 1);
      monitors.published(queue, 1, true);
      monitors.taken(queue, 1);
      monitors.asleep(queue, 'driver');
      monitors.used(queue, 1);
      monitors.interrupt(queue, 1, false);
      return book.broken?.law;
    };
    expect(outcome(0)).toBe('machine NOTIFY_DRIVER');
    expect(outcome(COMPLETIONS)).toBeUndefined();
  });

  it('counts what waits and what is held', () => {
    const monitors = rings(new MonitorBook());
    for (const head of [1, 2, 3]) monitors.available(0, head);
    monitors.published(0, 3, true);
    monitors.taken(0, 1);
    monitors.taken(0, 2);
    monitors.used(0, 1);
    expect([monitors.unread(0), monitors.held(0)]).toEqual([1, 1]);
  });
});

describe('commands', () => {
  it('[CTRL-01] the driver sees the answer that the device gave', () => {
    const book = new MonitorBook();
    const { driver, device } = new CommandMonitors(book, 0);
    driver.command(1, Command.CREATE_PD);
    device.command(7, Command.CREATE_PD);
    device.answer(7, Command.CREATE_PD, Ack.ERR);
    expect(book.broken).toBeUndefined();
    driver.answer(1, Command.CREATE_PD, Ack.OK);
    expect(book.broken?.law).toBe('machine COMMAND');
  });

  it('[CTRL-03] a command that was taken is answered', () => {
    const book = new MonitorBook();
    const { driver, device } = new CommandMonitors(book, 0);
    driver.command(1, Command.CREATE_PD);
    device.command(7, Command.CREATE_PD);
    expect(book.finish()?.law).toBe('machine COMMAND');
  });
});

describe('transport', () => {
  it('[FEAT-21] a driver that keeps the order is let be', () => {
    const book = new MonitorBook();
    const monitors = transport(book);
    bringUp(monitors);
    monitors.notifying(0);
    monitors.published(0);
    monitors.taken(0);
    monitors.used(0);
    expect(book.broken).toBeUndefined();
    expect([...monitors.enabled].map(queue => queue.index)).toEqual([0]);
  });

  it('[FEAT-24] no notification before DRIVER_OK', () => {
    const book = new MonitorBook();
    const monitors = transport(book);
    for (const status of [0, 1, 3]) monitors.statusWritten(status);
    monitors.notifying(0);
    expect(book.broken?.law).toBe('machine DEVICE_STATUS');
  });

  it('[FEAT-21] no queue is enabled before FEATURES_OK', () => {
    const book = new MonitorBook();
    const monitors = transport(book);
    for (const status of [0, 1, 3]) monitors.statusWritten(status);
    monitors.enabling({ index: 0, size: 16, ...addresses });
    expect(book.broken?.law).toBe('machine DEVICE_STATUS');
  });

  it('[VQ-75] nothing is taken from a queue that is not enabled', () => {
    const book = new MonitorBook();
    const monitors = transport(book);
    bringUp(monitors);
    monitors.taken(5);
    expect(book.broken?.law).toBe('machine VIRTQUEUE');
  });

  it('[FEAT-33] nothing is used once the device needs a reset', () => {
    const book = new MonitorBook();
    const monitors = transport(book);
    bringUp(monitors);
    monitors.interrupted('config', 15 | 64);
    monitors.used(0);
    expect(book.broken?.law).toMatch(/machine (DEVICE_STATUS|VIRTQUEUE)/);
  });

  it('[VQ-76] a queue may be reset and enabled again', () => {
    const book = new MonitorBook();
    const monitors = transport(book);
    bringUp(monitors);
    monitors.resetting(0);
    monitors.resetDone(0);
    monitors.enabling({ index: 0, size: 16, ...addresses });
    monitors.taken(0);
    expect(book.broken).toBeUndefined();
    monitors.resetting(0);
    monitors.taken(0);
    expect(book.broken?.law).toBe('machine VIRTQUEUE');
  });

  it('[CQ-09] an interrupt of a completion queue needs an arming', () => {
    const book = new MonitorBook();
    const monitors = transport(book);
    bringUp(monitors);
    monitors.commandTaken(Command.REQ_NOTIFY_CQ);
    monitors.interrupted(COMPLETIONS, 15);
    expect(book.broken).toBeUndefined();
    monitors.interrupted(COMPLETIONS, 15);
    expect(book.broken?.law).toBe('an event needs an arming');
  });

  it('[CQ-09] is not judged of a device that does not tell its commands', () => {
    const book = new MonitorBook();
    const monitors = transport(book, false);
    bringUp(monitors);
    monitors.interrupted(COMPLETIONS, 15);
    expect(book.broken).toBeUndefined();
  });
});

describe('adapter', () => {
  const cap = { maxSendWr: 4, maxRecvWr: 4, maxSendSge: 1, maxRecvSge: 1, maxInlineData: 0 };

  /** A watched function whose owners can be told anything. */
  function watched(book: MonitorBook) {
    const [machine] = bareMetalWorld(emptyProgram, { profile: 'roce' }).machines;
    let cqOwner: HcaCqOwner | undefined;
    let qpOwner: HcaQpOwner | undefined;
    const inner = overlay(machine.function, {
      createCq(cqe, owner) {
        cqOwner = owner;
        return machine.function.createCq(cqe, owner);
      },
      createQp(pd, init, owner, qpNum) {
        qpOwner = owner;
        return machine.function.createQp(pd, init, owner, qpNum);
      },
    });
    const hca = new WatchedFunction(inner, book, new InstanceNumbers());
    const silent = {
      completionAdded() {},
      eventRaised() {},
      unconsumed: () => 0,
      overran() {},
      sendRetired() {},
      recvRetired() {},
    };
    const cq = hca.createCq(2, silent);
    const pd = hca.createPd();
    const qp = hca.createQp(pd, { type: QpType.UD, sqSigAll: false, sendCq: cq, recvCq: cq, cap }, silent);
    if (cqOwner === undefined || qpOwner === undefined) throw new Error('no owners');
    return { hca, cq, qp, cqOwner, qpOwner };
  }

  it('[CQ-37] an event needs an armed queue', () => {
    const book = new MonitorBook();
    const { cq, cqOwner } = watched(book);
    cqOwner.eventRaised(cq);
    expect(book.broken?.law).toBe('machine CQ');
  });

  it('[CQ-06] a full queue takes nothing', () => {
    const book = new MonitorBook();
    const { cq, cqOwner } = watched(book);
    for (let i = 0; i < 2; i++) cqOwner.completionAdded(cq, emptyCompletion(), false);
    expect(book.broken).toBeUndefined();
    cqOwner.completionAdded(cq, emptyCompletion(), false);
    expect(book.broken?.law).toBe('machine CQ');
  });

  it('[QP-21] a queue pair in INIT completes no receive with success', () => {
    const book = new MonitorBook();
    const { hca, cq, qp, cqOwner, qpOwner } = watched(book);
    hca.modifyQp(qp, { qpState: QpState.INIT, qkey: 5 });
    hca.postRecv(qp, { wrId: 1, sges: [] }, 0);
    expect(book.broken).toBeUndefined();
    qpOwner.recvRetired(qp, 0);
    cqOwner.completionAdded(cq, emptyCompletion(), false);
    expect(book.broken?.law).toBe('machine QP.UD');
  });

  it('[CQ-01] a receive whose chain is back is completed', () => {
    const book = new MonitorBook();
    const { hca, qp, qpOwner } = watched(book);
    hca.modifyQp(qp, { qpState: QpState.INIT, qkey: 5 });
    hca.postRecv(qp, { wrId: 1, sges: [] }, 0);
    expect(book.finish()).toBeUndefined();
    qpOwner.recvRetired(qp, 0);
    expect(book.finish()?.law).toBe('machine RECV_WR');
  });
});

describe('verbs', () => {
  const base = { vm: 0, id: 0, alive: true, destroying: false, handle: undefined } as const;
  const pd: PdRecord = { ...base, kind: 'pd', name: 'pd0' };
  const ah: AhRecord = { ...base, kind: 'ah', name: 'ah0', pd };

  function verbs(book: MonitorBook): VerbsMonitors {
    const monitors = new VerbsMonitors(emptyProgram, book, 8);
    monitors.created(pd);
    monitors.created(ah);
    return monitors;
  }

  it('[RST-01] a domain in use is not destroyed', () => {
    const book = new MonitorBook();
    verbs(book).destroyed(pd);
    expect(book.broken?.law).toBe('machine PD');
  });

  it('[RST-01] a free domain is not refused its destruction', () => {
    const book = new MonitorBook();
    const monitors = verbs(book);
    monitors.destroyed(ah);
    expect(book.broken).toBeUndefined();
    monitors.destroyRefused(pd);
    expect(book.broken?.law).toBe('machine PD');
  });

  it('[RST-03] an address handle is not destroyed twice', () => {
    const book = new MonitorBook();
    const monitors = verbs(book);
    monitors.destroyed(ah);
    monitors.destroyed(ah);
    expect(book.broken?.law).toBe('machine AH');
  });

  it('[CTRL-107] an empty GID entry is not deleted', () => {
    const book = new MonitorBook();
    verbs(book).actionEnded(0, { op: 'delGid', vm: 0, index: 3 }, undefined);
    expect(book.broken?.law).toBe('machine GID');
  });
});
