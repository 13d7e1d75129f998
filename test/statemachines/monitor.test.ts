import { describe, expect, it } from 'vitest';
import { QpAttrMask } from '../../src/abi/index.js';
import { compile, machineByName, machines, monitor } from '../../src/statemachines/index.js';
import type { Monitor, Violation } from '../../src/statemachines/index.js';
import { LIMIT, walks } from './support.js';

const STATE = QpAttrMask.STATE;
const initMask = STATE | QpAttrMask.ACCESS_FLAGS;
const rtrMask =
  STATE |
  QpAttrMask.AV |
  QpAttrMask.PATH_MTU |
  QpAttrMask.RQ_PSN |
  QpAttrMask.MIN_RNR_TIMER |
  QpAttrMask.MAX_DEST_RD_ATOMIC |
  QpAttrMask.DEST_QPN;
const rtsMask =
  STATE |
  QpAttrMask.TIMEOUT |
  QpAttrMask.RETRY_CNT |
  QpAttrMask.RNR_RETRY |
  QpAttrMask.MAX_QP_RD_ATOMIC |
  QpAttrMask.SQ_PSN;

/** A monitor with events by name. */
function judgeOf(name: string) {
  const machine = compile(machineByName(name));
  const seen: Violation[] = [];
  const judge = monitor(machine, violation => seen.push(violation));
  const id = (event: string) => machine.eventId(event);
  return {
    judge,
    machine,
    seen,
    event: (key: number, event: string, arg = 0) => judge.event(key, id(event), arg),
    begin: (key: number, event: string, arg = 0) => judge.begin(key, id(event), arg),
    refused: (key: number, event: string, arg = 0) => judge.refused(key, id(event), arg),
    states: (key: number) => machine.namesOf(judge.possible(key)),
    taken: (state: string, event: string) => judge.coverage[machine.transitionId(state, event)],
  };
}

function readyToSend(name = 'QP.RC') {
  const qp = judgeOf(name);
  qp.judge.open(0);
  const masks =
    name === 'QP.RC'
      ? [initMask, rtrMask, rtsMask]
      : [STATE | QpAttrMask.QKEY, STATE, STATE | QpAttrMask.SQ_PSN];
  qp.event(0, 'MODIFY_TO_INIT', masks[0]);
  qp.event(0, 'MODIFY_TO_RTR', masks[1]);
  qp.event(0, 'MODIFY_TO_RTS', masks[2]);
  expect(qp.seen).toEqual([]);
  return qp;
}

describe('a monitor', () => {
  it('reckons with faults that nobody sees, and forgets them when the state is shown', () => {
    const qp = readyToSend();
    expect(qp.states(0)).toEqual(['RTS', 'ERR', 'ERR_SEND_FAULT', 'ERR_RECV_FAULT']);
    qp.event(0, 'OBSERVED_RTS');
    expect(qp.states(0)).toEqual(['RTS', 'ERR', 'ERR_SEND_FAULT', 'ERR_RECV_FAULT']);
    qp.event(0, 'OBSERVED_ERR');
    expect(qp.states(0)).toEqual(['ERR', 'ERR_SEND_FAULT', 'ERR_RECV_FAULT']);
    expect(qp.event(0, 'COMPLETION_SUCCESS_SEND')).toBe(false);
  });

  it('[QP-48] reports a success behind a flush, with the obligation, the states and what could have come', () => {
    const qp = readyToSend();
    qp.event(0, 'COMPLETION_FLUSH_SEND');
    expect(qp.event(0, 'COMPLETION_SUCCESS_SEND')).toBe(false);
    expect(qp.seen).toHaveLength(1);
    expect(qp.seen[0]).toMatchObject({
      machine: 'QP.RC',
      key: 0,
      states: ['ERR', 'ERR_RECV_FAULT'],
      event: 'COMPLETION_SUCCESS_SEND',
      requirements: ['QP-48'],
    });
    expect(qp.seen[0].expected).toContain('COMPLETION_FLUSH_SEND');
    expect(qp.seen[0].expected).not.toContain('HCA_FAULT');
  });

  it('[QP-50] allows one completion with an error status on the way into ERR, before the flushes of its queue', () => {
    const first = readyToSend();
    expect(first.event(0, 'OBSERVED_ERR')).toBe(true);
    expect(first.event(0, 'COMPLETION_FLUSH_RECV')).toBe(true);
    expect(first.event(0, 'COMPLETION_ERROR_SEND')).toBe(true);
    expect(first.event(0, 'COMPLETION_ERROR_SEND')).toBe(false);
    const late = readyToSend();
    expect(late.event(0, 'COMPLETION_FLUSH_SEND')).toBe(true);
    expect(late.event(0, 'COMPLETION_ERROR_SEND')).toBe(false);
    const asked = readyToSend();
    expect(asked.event(0, 'OBSERVED_RTS')).toBe(true);
    expect(asked.event(0, 'MODIFY_TO_ERR', STATE)).toBe(true);
    expect(asked.states(0)).toContain('ERR');
  });

  it('[QP-59] [QP-60] [QP-61] follows a datagram queue pair into SQE and back', () => {
    const qp = readyToSend('QP.UD');
    expect(qp.event(0, 'COMPLETION_ERROR_SEND')).toBe(true);
    expect(qp.event(0, 'COMPLETION_FLUSH_SEND')).toBe(true);
    expect(qp.event(0, 'COMPLETION_SUCCESS_RECV')).toBe(true);
    expect(qp.event(0, 'OBSERVED_SQE')).toBe(true);
    expect(qp.event(0, 'MODIFY_TO_RTS', STATE)).toBe(true);
    expect(qp.event(0, 'COMPLETION_SUCCESS_SEND')).toBe(true);
  });

  it('[QP-45] does not let a reliable queue pair send on after a failed send', () => {
    const qp = readyToSend();
    qp.event(0, 'COMPLETION_ERROR_SEND');
    expect(qp.states(0)).toEqual(['ERR']);
    expect(qp.event(0, 'COMPLETION_SUCCESS_SEND')).toBe(false);
  });

  it('[QP-54] [QP-55] [QP-56] lets a draining queue pair finish what it started, and nothing after it is drained', () => {
    const qp = readyToSend();
    qp.event(0, 'MODIFY_TO_SQD', STATE);
    expect(qp.event(0, 'COMPLETION_SUCCESS_SEND')).toBe(true);
    expect(qp.event(0, 'OBSERVED_SQD_DRAINING')).toBe(true);
    expect(qp.event(0, 'OBSERVED_SQD_DRAINED')).toBe(true);
    expect(qp.event(0, 'COMPLETION_SUCCESS_SEND')).toBe(false);
    expect(qp.seen[0].requirements).toEqual(['QP-55']);
  });

  it('says nothing more of an instance that has failed, and counts what it did not judge', () => {
    const qp = readyToSend();
    qp.event(0, 'COMPLETION_ERROR_SEND');
    qp.event(0, 'COMPLETION_ERROR_SEND');
    qp.event(0, 'POST_RECV_REFUSED_STATE');
    expect(qp.seen).toHaveLength(1);
    expect(qp.judge.unjudged).toBe(1);
    qp.judge.open(0);
    expect(qp.event(0, 'POST_RECV_REFUSED_STATE')).toBe(true);
  });

  it('reports an event of an instance that is not there, whatever its number', () => {
    const qp = judgeOf('QP.RC');
    expect(qp.event(3, 'POST_SEND')).toBe(false);
    expect(qp.event(5000, 'POST_SEND')).toBe(false);
    expect(qp.seen.map(violation => violation.key)).toEqual([3, 5000]);
    expect(qp.seen[0].states).toEqual([]);
  });

  it('keeps thousands of instances apart', () => {
    const qp = judgeOf('QP.RC');
    for (let key = 0; key < 5000; key++) qp.judge.open(key);
    for (let key = 0; key < 5000; key += 2) qp.event(key, 'MODIFY_TO_INIT', initMask);
    expect(qp.states(4998)).toEqual(['INIT']);
    expect(qp.states(4999)).toEqual(['RESET']);
    expect(qp.judge.finish(2500)).toEqual([]);
  });

  it('will not end when it has not consumed the whole trace', () => {
    const qp = readyToSend();
    expect(qp.judge.consumed).toBe(3);
    expect(() => qp.judge.finish(4)).toThrow(/4 events offered, 3 consumed/);
    expect(qp.judge.finish(3)).toEqual([]);
  });

  it('reports an instance that the trace leaves in the middle', () => {
    const command = judgeOf('COMMAND');
    command.judge.open(0);
    command.judge.open(1);
    command.event(1, 'TAKE');
    command.event(1, 'ANSWER_OK');
    command.event(1, 'SEE_OK');
    const violations = command.judge.finish();
    expect(violations.map(({ key, event }) => [key, event])).toEqual([[0, 'end of trace']]);
  });

  it('judges the end of an instance that is closed, and not of one that is dropped', () => {
    const command = judgeOf('COMMAND');
    command.judge.open(0);
    command.judge.open(1);
    command.judge.close(0);
    command.judge.drop(1);
    expect(command.seen).toHaveLength(1);
    expect(command.judge.isOpen(0)).toBe(false);
    expect(command.judge.isOpen(1)).toBe(false);
  });
});

describe('a monitor with a command in flight', () => {
  it('allows what came before and what came after the command', () => {
    const qp = judgeOf('QP.UD');
    qp.judge.open(0);
    qp.event(0, 'MODIFY_TO_INIT', STATE | QpAttrMask.QKEY);
    qp.begin(0, 'MODIFY_TO_RTR', STATE);
    expect(qp.states(0)).toContain('INIT');
    expect(qp.states(0)).toContain('RTR');
    expect(qp.event(0, 'POST_RECV')).toBe(true);
    expect(qp.states(0)).toContain('INIT');
    expect(qp.event(0, 'COMPLETION_SUCCESS_RECV')).toBe(true);
    expect(qp.states(0)).not.toContain('INIT');
    expect(qp.judge.commit(0)).toBe(true);
    expect(qp.states(0)).toContain('RTR');
    expect(qp.taken('INIT', 'MODIFY_TO_RTR')).toBe(1);
  });

  it('counts a command that took effect unseen once', () => {
    const qp = judgeOf('QP.UD');
    qp.judge.open(0);
    qp.begin(0, 'MODIFY_TO_INIT', STATE | QpAttrMask.QKEY);
    qp.judge.commit(0);
    expect(qp.taken('RESET', 'MODIFY_TO_INIT')).toBe(1);
  });

  it('reports a refusal of a command whose effect has been seen', () => {
    const qp = judgeOf('QP.UD');
    qp.judge.open(0);
    qp.event(0, 'MODIFY_TO_INIT', STATE | QpAttrMask.QKEY);
    qp.begin(0, 'MODIFY_TO_RTR', STATE);
    qp.event(0, 'COMPLETION_SUCCESS_RECV');
    expect(qp.judge.abort(0)).toBe(false);
    expect(qp.seen[0].event).toBe('MODIFY_TO_RTR refused');
  });

  it('[QP-24] [QP-32] reports a command that was never legal and taken, or always legal and refused', () => {
    const taken = judgeOf('QP.RC');
    taken.judge.open(0);
    taken.begin(0, 'MODIFY_TO_ERR', STATE);
    expect(taken.judge.commit(0)).toBe(false);
    expect(taken.seen[0].requirements).toEqual(['QP-24']);

    const refused = judgeOf('QP.RC');
    refused.judge.open(0);
    refused.begin(0, 'MODIFY_TO_INIT', initMask);
    expect(refused.judge.abort(0, true)).toBe(false);

    const rightly = judgeOf('QP.RC');
    rightly.judge.open(0);
    rightly.begin(0, 'MODIFY_TO_INIT', STATE);
    expect(rightly.judge.abort(0, true)).toBe(true);
    expect(rightly.states(0)).toEqual(['RESET']);
  });

  it('excuses a refusal when the queue pair can have failed unseen, and has learnt from it', () => {
    const qp = readyToSend();
    expect(qp.refused(0, 'MODIFY_TO_SQD', STATE)).toBe(true);
    expect(qp.states(0)).not.toContain('RTS');
    expect(qp.event(0, 'COMPLETION_SUCCESS_SEND')).toBe(false);
    const reset = judgeOf('QP.RC');
    reset.judge.open(0);
    expect(reset.refused(0, 'MODIFY_TO_RESET', STATE)).toBe(false);
  });

  it('[QP-11] allows completions until a destroy is answered, and none after it', () => {
    const qp = readyToSend();
    qp.begin(0, 'DESTROY');
    expect(qp.event(0, 'COMPLETION_SUCCESS_SEND')).toBe(true);
    expect(qp.judge.commit(0)).toBe(true);
    expect(qp.states(0)).toEqual(['DESTROYED']);
    expect(qp.event(0, 'COMPLETION_SUCCESS_SEND')).toBe(false);
    expect(qp.seen[0].requirements).toEqual(['QP-11']);
  });

  it('refuses two commands in flight at a time, and one that counts', () => {
    const qp = readyToSend();
    qp.begin(0, 'DESTROY');
    expect(() => qp.begin(0, 'DESTROY')).toThrow(/another is in flight/);
    const pd = judgeOf('PD');
    pd.judge.open(0);
    expect(() => pd.begin(0, 'USER_CREATED')).toThrow(/it counts/);
  });

  it('reports an answer to no command', () => {
    const qp = readyToSend();
    expect(qp.judge.commit(0)).toBe(false);
  });
});

describe.each(machines)('monitor of $name', definition => {
  const machine = compile(definition);

  it('takes a walk to every transition without a violation, and counts the transition as covered', () => {
    const judge: Monitor = monitor(machine);
    let offered = 0;
    for (const walk of walks(machine)) {
      judge.open(0, LIMIT);
      for (const { event, arg } of walk ?? []) {
        expect(judge.event(0, event, arg)).toBe(true);
        offered++;
      }
    }
    judge.drop(0);
    expect(judge.finish(offered)).toEqual([]);
    const missed = definition.transitions.filter((_, index) => judge.coverage[index] === 0);
    expect(missed).toEqual([]);
  });

  it('reports every forbidden event in its state, with the obligation that it breaks', () => {
    for (const { from, event, requirement } of definition.forbidden) {
      const walk = [...walkTo(from)];
      const judge = monitor(machine);
      judge.open(0, LIMIT);
      for (const step of walk) judge.event(0, step.event, step.arg);
      const alone = judge.possible(0) === 1 << machine.stateId(from);
      const rejected =
        machine.allowing(1 << machine.stateId(from), machine.eventId(event), 1, 1, LIMIT) === 0;
      expect(rejected, `${from} ${event}`).toBe(true);
      if (!alone) continue;
      expect(judge.event(0, machine.eventId(event), 1)).toBe(false);
      expect(judge.finish()[0].requirements).toContain(requirement);
    }
  });

  it('reports a trace that ends in a state where it may not', () => {
    for (const state of definition.states.filter(candidate => !candidate.end)) {
      const judge = monitor(machine);
      judge.open(0, LIMIT);
      for (const { event, arg } of walkTo(state.name)) judge.event(0, event, arg);
      if ((judge.possible(0) & machine.endStates) !== 0) continue;
      expect(judge.finish()).toMatchObject([
        { event: 'end of trace', requirements: [definition.endRequirement] },
      ]);
    }
  });

  function walkTo(state: string) {
    if (state === definition.initial) return [];
    const found = walks(machine).filter(
      (walk, index) => walk !== undefined && definition.transitions[index].to === state,
    );
    const shortest = found.toSorted((a, b) => (a?.length ?? 0) - (b?.length ?? 0))[0];
    if (shortest === undefined) throw new Error(`${definition.name}: no walk to ${state}`);
    return shortest;
  }
});
