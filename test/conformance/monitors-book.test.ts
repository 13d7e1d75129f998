/** The book of the monitors: what adds up over runs and what is forgotten, what a violation says; and the names of what adapters do. */
import { describe, expect, it } from 'vitest';
import { Ack, Command, QpAttrMask, QpState, QpType, WcStatus } from '../../src/abi/index.js';
import { LawBroken, laws } from '../../src/conformance/laws.js';
import { MachineBroken, MonitorBook, tablesOf } from '../../src/conformance/monitors/book.js';
import { recordedControl, recordedRings, recordedWire } from '../../src/conformance/monitors/both.js';
import {
  Reporter,
  kindOf,
  modifyEvent,
  observedEvent,
  qpMachineName,
} from '../../src/conformance/monitors/hca-events.js';
import { Packet } from '../../src/fabric/index.js';
import type { WireObserver } from '../../src/fabric/index.js';
import type { RingSink } from '../../src/conformance/ring-watch/ring-state.js';
import { machineByName, machines } from '../../src/statemachines/index.js';
import { bareMetalWorld } from '../../src/conformance/world.js';
import { program } from './hand-made.js';

const pd = tablesOf('PD');
const created = pd.eventId('USER_CREATED');
const destroy = pd.eventId('DESTROY');

describe('the book of the monitors', () => {
  it('has a monitor for each machine, and tables; what has another name it does not have', () => {
    const book = new MonitorBook();
    for (const { name } of machines) {
      expect(book.get(name).machine.definition.name).toBe(name);
      expect(tablesOf(name).definition.name).toBe(name);
    }
    expect(() => book.get('QP.XRC')).toThrow('there is no machine QP.XRC');
    expect(() => tablesOf('QP.XRC')).toThrow('there is no machine QP.XRC');
  });

  it('keeps the first law that was broken, until the next run begins', () => {
    const book = new MonitorBook();
    const first = new LawBroken(laws.starts, 'first');
    expect(book.broken).toBeUndefined();
    book.report(first);
    book.report(new LawBroken(laws.answers, 'second'));
    expect(book.broken).toBe(first);
    expect(book.finish()).toBe(first);
    book.begin();
    expect([book.broken, book.finish()]).toEqual([undefined, undefined]);
  });

  it('says of a violation the machine, the instance, its states, the event and what could have come', () => {
    const book = new MonitorBook();
    const monitor = book.get('PD');
    monitor.open(3);
    monitor.event(3, created);
    monitor.event(3, destroy);
    expect(book.broken).toBeInstanceOf(MachineBroken);
    expect(book.broken?.law).toBe('machine PD');
    expect(book.broken?.requirements).toEqual(['RST-01']);
    expect(book.broken?.message).toBe(
      'PD number 3, in state LIVE, met DESTROY; it allows USER_CREATED, USER_DESTROYED, DESTROY, DESTROY_REFUSED',
    );
    expect(book.broken instanceof MachineBroken && book.broken.violation.key).toBe(3);
    const absent = new MonitorBook();
    absent.get('PD').event(4, destroy);
    expect(absent.broken?.message).toBe('PD number 4, which does not exist, met DESTROY');
    const unsure = new MonitorBook();
    const qp = unsure.get('QP.UD');
    qp.open(0);
    const step = (name: string, arg: number): boolean => qp.event(0, qp.machine.eventId(name), arg);
    for (const [name, arg] of [
      ['MODIFY_TO_INIT', QpAttrMask.STATE | QpAttrMask.QKEY],
      ['MODIFY_TO_RTR', QpAttrMask.STATE],
    ] as const)
      step(name, arg);
    step('COMPLETION_SUCCESS_SEND', 0);
    expect(unsure.broken?.message).toMatch(/in state RTR or ERR/);
  });

  it('ends a run where every instance may end, and counts what could not be judged', () => {
    const book = new MonitorBook();
    const command = book.get('COMMAND');
    command.open(0);
    expect(book.finish()?.law).toBe('machine COMMAND');
    book.begin();
    expect(book.unjudged).toBe(0);
    for (const name of ['PD', 'CQ_USE']) {
      const monitor = book.get(name);
      monitor.event(0, 0);
      monitor.event(0, 0);
      monitor.event(0, 0);
    }
    expect(book.unjudged).toBe(4);
    book.begin();
    expect(book.unjudged).toBe(0);
  });

  it('adds up which transitions were taken, over all runs', () => {
    const book = new MonitorBook();
    const total = machines.reduce((sum, { transitions }) => sum + transitions.length, 0);
    const before = book.transitionCoverage();
    expect(before.covered).toBe(0);
    expect(book.requirementsTouched().size).toBe(0);
    for (let run = 0; run < 2; run++) {
      book.begin();
      const monitor = book.get('PD');
      monitor.open(0);
      monitor.event(0, created);
      monitor.event(0, created);
    }
    expect(book.transitionCoverage()).toEqual({ covered: 1, total });
    expect([...book.requirementsTouched()]).toEqual(['RST-01']);
    const { name, counts } = book.table();
    expect(name).toBe('machine transitions');
    expect(counts['PD: LIVE USER_CREATED -> LIVE']).toBe(4);
    expect(Object.values(counts).reduce((sum, count) => sum + count, 0)).toBe(4);
    const carried = machines.flatMap(({ transitions }) => transitions.map(each => each.requirement));
    expect(book.requirementsTotal()).toBe(new Set(carried).size);
  });

  it('takes a changed machine in place of the one of its name', () => {
    const sound = machineByName('PD');
    const book = new MonitorBook([
      { ...sound, transitions: sound.transitions.filter(({ event }) => event !== 'DESTROY_REFUSED') },
    ]);
    const monitor = book.get('PD');
    monitor.open(0);
    monitor.event(0, created);
    monitor.event(0, pd.eventId('DESTROY_REFUSED'));
    expect(book.broken?.law).toBe('machine PD');
  });
});

describe('two observers in place of one', () => {
  it('of commands are both told, the recording one first; without one there is the judge alone', () => {
    const heard: string[] = [];
    const observer = (name: string) => ({
      command: (id: number, command: number) => void heard.push(`${name} command ${id} ${command}`),
      answer: (id: number, command: number, ack: number) =>
        void heard.push(`${name} answer ${id} ${command} ${ack}`),
    });
    const judging = observer('judge');
    expect(recordedControl(undefined, judging)).toBe(judging);
    const both = recordedControl(observer('record'), judging);
    both.command(7, Command.CREATE_PD);
    both.answer(7, Command.CREATE_PD, Ack.ERR);
    const [code, ack] = [Command.CREATE_PD, Ack.ERR];
    expect(heard).toEqual([
      `record command 7 ${code}`,
      `judge command 7 ${code}`,
      `record answer 7 ${code} ${ack}`,
      `judge answer 7 ${code} ${ack}`,
    ]);
  });

  it('of the wire are both told, the recording one first; without one there is the judge alone', () => {
    const heard: string[] = [];
    const observer = (name: string): WireObserver => ({
      sent: ({ psn }) => void heard.push(`${name} sent ${psn}`),
      delivered: ({ psn }) => void heard.push(`${name} delivered ${psn}`),
      dropped: ({ psn }, why) => void heard.push(`${name} dropped ${psn}: ${why}`),
    });
    const judging = observer('judge');
    expect(recordedWire(undefined, judging)).toBe(judging);
    const both = recordedWire(observer('record'), judging);
    const packet = Object.assign(new Packet(() => undefined), { psn: 3 });
    both.sent(packet);
    both.delivered(packet);
    both.dropped(packet, 'lost by the link');
    expect(heard).toEqual(
      ['sent 3', 'delivered 3', 'dropped 3: lost by the link'].flatMap(each => [
        `record ${each}`,
        `judge ${each}`,
      ]),
    );
  });

  it('of rings are both told of everything, the recording one first; without one there is the judge alone', () => {
    const heard: string[] = [];
    const sink = (name: string): RingSink => ({
      available: (...args) => void heard.push(`${name} available ${args.join()}`),
      published: (...args) => void heard.push(`${name} published ${args.join()}`),
      taken: (...args) => void heard.push(`${name} taken ${args.join()}`),
      used: (...args) => void heard.push(`${name} used ${args.join()}`),
      interrupt: (...args) => void heard.push(`${name} interrupt ${args.join()}`),
      consumed: (...args) => void heard.push(`${name} consumed ${args.join()}`),
      asleep: (...args) => void heard.push(`${name} asleep ${args.join()}`),
      notified: (...args) => void heard.push(`${name} notified ${args.join()}`),
      woke: (...args) => void heard.push(`${name} woke ${args.join()}`),
    });
    const judging = sink('judge');
    expect(recordedRings(undefined, judging)).toBe(judging);
    const both = recordedRings(sink('record'), judging);
    both.available(1, 2, 3, 4);
    both.published(1, 2, true);
    both.taken(1, 2);
    both.used(1, 2, 3);
    both.interrupt(1, 2, false);
    both.consumed(1, 2, 3);
    both.asleep(1, 'driver');
    both.notified(1);
    both.woke(1, 'device');
    const all = [
      'available 1,2,3,4',
      'published 1,2,true',
      'taken 1,2',
      'used 1,2,3',
      'interrupt 1,2,false',
      'consumed 1,2,3',
      'asleep 1,driver',
      'notified 1',
      'woke 1,device',
    ];
    expect(heard).toEqual(all.flatMap(each => [`record ${each}`, `judge ${each}`]));
  });
});

describe('what an adapter does', () => {
  const cap = { maxSendWr: 1, maxRecvWr: 1, maxSendSge: 1, maxRecvSge: 1, maxInlineData: 0 };
  const silent = {
    completionAdded() {},
    eventRaised() {},
    unconsumed: () => 0,
    overran() {},
    sendRetired() {},
    recvRetired() {},
  };

  it('is called by what completions, modifies and queries say', () => {
    expect([WcStatus.SUCCESS, WcStatus.WR_FLUSH_ERR, WcStatus.LOC_PROT_ERR].map(kindOf)).toEqual(
      ['SUCCESS', 'FLUSH', 'ERROR'].map(kind => ({
        ofSend: `COMPLETION_${kind}_SEND`,
        ofRecv: `COMPLETION_${kind}_RECV`,
        ofRequest: `COMPLETE_${kind}`,
      })),
    );
    expect([undefined, QpState.RESET, QpState.RTS, QpState.ERR, 77].map(modifyEvent)).toEqual([
      'MODIFY_ATTRIBUTES',
      'MODIFY_TO_RESET',
      'MODIFY_TO_RTS',
      'MODIFY_TO_ERR',
      'MODIFY_TO_?',
    ]);
    const { function: adapter } = bareMetalWorld(program, { profile: 'roce' }).machines[0];
    const cq = adapter.createCq(1, silent);
    const init = { type: QpType.UD, sqSigAll: false, sendCq: cq, recvCq: cq, cap };
    const shown = adapter.queryQp(adapter.createQp(adapter.createPd(), init, silent));
    const observed = (qpState: QpState, sqDraining = false): string =>
      observedEvent({ ...shown, qpState, sqDraining });
    const { SQD, RTS, SQE } = QpState;
    expect([observed(SQD), observed(SQD, true), observed(RTS), observed(RTS, true), observed(SQE)]).toEqual([
      'OBSERVED_SQD_DRAINED',
      'OBSERVED_SQD_DRAINING',
      'OBSERVED_RTS',
      'OBSERVED_RTS',
      'OBSERVED_SQE',
    ]);
    const { RC, UC, UD, GSI } = QpType;
    expect([RC, UC, UD, GSI].map(qpMachineName)).toEqual(['QP.RC', 'QP.UC', 'QP.UD', 'QP.UD']);
  });

  it('is reported by name; a name that the machine does not have is nothing to it', () => {
    const book = new MonitorBook();
    const reporter = new Reporter(book, 'PD');
    expect(reporter.monitor).toBe(book.get('PD'));
    expect(reporter.idOf('DESTROY')).toBe(destroy);
    expect(() => reporter.idOf('POST_SEND')).toThrow('POST_SEND is no event of PD');
    reporter.monitor.open(0);
    reporter.report(0, 'POST_SEND');
    expect(reporter.monitor.consumed).toBe(0);
    reporter.report(0, 'USER_CREATED');
    expect([reporter.monitor.consumed, reporter.monitor.count(0)]).toEqual([1, 1]);
    const mask = new Reporter(book, 'QP.UD');
    mask.monitor.open(0);
    mask.report(0, 'MODIFY_TO_INIT', QpAttrMask.STATE | QpAttrMask.QKEY);
    expect(book.broken).toBeUndefined();
  });
});
