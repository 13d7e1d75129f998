/**
 * Records what happens in a run as a trace: plain objects in process, JSON Lines on disk (elsewhere/format.ts). Any trace of a
 * sound run is one that `vrdma trace` passes.
 */
import { acks, commands, profiles, qpStates, wcStatuses, WcOpcode } from '../abi/index.js';
import type { ProfileName } from '../abi/index.js';
import { TRACE_VERSION } from './elsewhere/format.js';
import type { CallEvent, RingEvent, TraceEvent, TraceHeader } from './elsewhere/format.js';
import { packetOpcodeName } from '../fabric/index.js';
import type { DropReason, Packet, WireCapture, WireObserver } from '../fabric/index.js';
import type { WorkCompletion } from '../verbs/index.js';
import type { ControlObserver } from '../virtio/index.js';
import { maskOfSpec } from './attributes.js';
import type { Limits } from './limits.js';
import { RunObserver } from './observer.js';
import type { RingSink } from './ring-watch/ring-state.js';
import { actionLine } from './script.js';
import type { Action } from './program.js';
import type { CqRecord, ObjectRecord, QpRecord, WrRecord } from './records.js';
import type { ChartEvent } from './chart-event.js';

export type { TraceEvent, TraceHeader } from './elsewhere/format.js';

/** The header of a trace that the kit records of its own runs. */
export function traceHeader(profile: ProfileName, { device }: Pick<Limits, 'device'>): TraceHeader {
  const { maxQps, maxCqs, queueSizeMax } = device;
  const map = profiles[profile].queues(maxQps, maxCqs);
  return {
    vrdmaTrace: TRACE_VERSION,
    points: ['verbs', 'control', 'ring', 'wire'],
    from: 'start',
    source: 'vrdma',
    queues: map.count,
    queueSizeMax,
    sides: ['driver', 'device'],
    completionQueues: [map.cq(0), maxCqs],
  };
}

/** A trace as JSON Lines. */
export function traceToText(header: TraceHeader, events: readonly TraceEvent[]): string {
  return [JSON.stringify(header), ...events.map(event => JSON.stringify(event)), ''].join('\n');
}

/** Writes everything that happens into a list. */
export class TraceRecorder extends RunObserver {
  readonly events: TraceEvent[] = [];
  /** Where in the list each action begins, oldest first. */
  readonly starts: { readonly action: number; readonly at: number }[] = [];
  readonly wire: WireObserver = this.#wire();
  /** Gets the packets that leave, where a capture of them is wanted. */
  readonly #capture: WireCapture | undefined;
  #now: () => number = () => 0;
  /** The query whose answer is about to be told. */
  #query: { readonly call: number; readonly vm: number } | undefined;
  /** Queue pairs by machine and number, the newest of each. */
  readonly #qps = new Map<string, QpRecord>();

  constructor(capture?: WireCapture) {
    super();
    this.#capture = capture;
  }

  /** Where the virtual time comes from; set when the world is there. */
  useClock(now: () => number): void {
    this.#now = now;
  }

  // ---------------------------------------------------------------- verbs

  override actionStarted(action: number, what: Action): void {
    this.starts.push({ action, at: this.events.length });
    if (!isCall(what)) this.#note(what.vm, 'program', actionLine(what));
  }

  override called(action: number, what: Action): void {
    if (!isCall(what)) return;
    const common = {
      point: 'verbs',
      t: this.#now(),
      vm: what.vm,
      text: actionLine(what),
      what: 'call',
    } as const;
    this.events.push({ ...common, call: action, ...callMembers(what) });
  }

  override actionEnded(action: number, what: Action, errno: string | undefined): void {
    const { vm } = what;
    const text = `${what.op} ${errno ?? 'ok'}`;
    if (!isCall(what)) return this.#note(vm, 'driver', text);
    // What a query shows comes with its result, which is told next.
    if (what.op === 'queryQp' && errno === undefined) {
      this.#query = { call: action, vm };
      return;
    }
    const id = 'as' in what && errno === undefined ? what.as : undefined;
    this.#result(vm, action, errno === undefined, text, id === undefined ? {} : { id });
  }

  override queried(_qp: QpRecord, state: number): void {
    const query = this.#query;
    this.#query = undefined;
    const shown = qpStates.nameOf(state);
    if (query !== undefined)
      this.#result(query.vm, query.call, true, 'queryQp ok', shown === undefined ? {} : { state: shown });
  }

  override created(object: ObjectRecord): void {
    if (object.kind === 'qp') this.#qps.set(`${object.vm} ${object.handle.qpNum}`, object);
  }

  override posted({ qp, send, wrId, signaled }: WrRecord): void {
    const { vm, name } = qp;
    const queue = send ? 'send' : 'recv';
    this.events.push({
      point: 'verbs',
      t: this.#now(),
      vm,
      what: 'post',
      qp: name,
      queue,
      wr: wrId,
      signaled,
    });
  }

  override completed(cq: CqRecord, completion: WorkCompletion, request: WrRecord | undefined): void {
    const { qpNum, wrId, opcode } = completion;
    const status = wcStatuses.nameOf(completion.status);
    const receive = opcode === WcOpcode.RECV || opcode === WcOpcode.RECV_RDMA_WITH_IMM;
    const queue = (request?.send ?? !receive) ? 'send' : 'recv';
    const named = request?.qp.handle.qpNum === qpNum ? request.qp : this.#qps.get(`${cq.vm} ${qpNum}`);
    const whose =
      request === undefined ? 'nobody' : `${request.qp.name} ${request.send ? 'send' : 'receive'}`;
    this.events.push({
      point: 'verbs',
      t: this.#now(),
      vm: cq.vm,
      text: `${cq.name}: ${whose} ${wrId} ${status ?? `status ${completion.status}`}`,
      what: 'completion',
      cq: cq.name,
      qp: named?.name ?? `number ${qpNum}`,
      queue,
      wr: Number.isSafeInteger(wrId) && wrId >= 0 ? wrId : String(wrId),
      status: status ?? completion.status,
    });
  }

  override event({ vm, name }: CqRecord): void {
    this.events.push({
      point: 'verbs',
      t: this.#now(),
      vm,
      text: `event of ${name}`,
      what: 'event',
      cq: name,
    });
  }

  #note(vm: number, by: 'program' | 'driver', text: string): void {
    this.events.push({ point: 'verbs', t: this.#now(), vm, what: 'note', by, text });
  }

  #result(vm: number, call: number, ok: boolean, text: string, members: object): void {
    this.events.push({ point: 'verbs', t: this.#now(), vm, text, what: 'result', call, ok, ...members });
  }

  // ---------------------------------------------------------------- below the verbs

  /** For the rings of a machine, both halves. */
  ring(vm: number): RingSink {
    const put = (queue: number, what: RingEvent['what'], more: Partial<RingEvent> = {}): void => {
      this.events.push({ point: 'ring', t: this.#now(), vm, queue, what, ...more });
    };
    return {
      available: (queue, head, bytes) => put(queue, 'available', { head, bytes }),
      published: (queue, _idx, notify) => put(queue, 'published', { notify }),
      notified: queue => put(queue, 'notified'),
      taken: (queue, head) => put(queue, 'taken', { head }),
      used: (queue, head, bytes) => put(queue, 'used', { head, bytes }),
      interrupt: (queue, _idx, notify) => put(queue, 'interrupt', { notify }),
      consumed: (queue, head, bytes) => put(queue, 'consumed', { head, bytes }),
      asleep: (queue, side) => put(queue, 'asleep', { side }),
      woke: (queue, side) => put(queue, 'woke', { side }),
    };
  }

  /** For one side of the control queue of a machine. */
  control(vm: number, side: 'driver' | 'device'): ControlObserver {
    const common = (id: number, command: number) =>
      ({
        point: 'control',
        t: this.#now(),
        vm,
        side,
        id,
        command: commands.nameOf(command) ?? command,
      }) as const;
    return {
      command: (id, command) => void this.events.push({ ...common(id, command), what: 'command' }),
      answer: (id, command, ack) =>
        void this.events.push({ ...common(id, command), what: 'answer', ack: acks.nameOf(ack) ?? 'ERR' }),
    };
  }

  #wire(): WireObserver {
    const put = (what: 'sent' | 'delivered' | 'dropped', packet: Packet, why?: string): void => {
      this.events.push({
        point: 'wire',
        t: this.#now(),
        what,
        packet: packetOpcodeName(packet.opcode),
        from: packet.sourceGid,
        to: packet.destinationGid,
        destQpn: packet.destQpn,
        psn: packet.psn,
        bytes: packet.payloadLength,
        ...(why === undefined ? {} : { why }),
      });
    };
    return {
      sent: packet => {
        put('sent', packet);
        this.#capture?.take(packet, this.#now());
      },
      delivered: packet => put('delivered', packet),
      dropped: (packet, why: DropReason) => put('dropped', packet, why),
    };
  }
}

/** Actions that are one control verb each. */
type CallAction = Exclude<
  Action,
  { op: 'postSend' | 'postRecv' | 'pollCq' | 'writeMemory' | 'expectMemory' }
>;

function isCall(action: Action): action is CallAction {
  const { op } = action;
  return !(
    op === 'postSend' ||
    op === 'postRecv' ||
    op === 'pollCq' ||
    op === 'writeMemory' ||
    op === 'expectMemory'
  );
}

/** The verb of a call, and what it names. */
function callMembers(action: CallAction): Pick<CallEvent, 'verb'> & Partial<CallEvent> {
  const { op } = action;
  switch (op) {
    case 'destroyPd':
      return { verb: op, id: action.pd };
    case 'destroyCq':
    case 'reqNotifyCq':
      return { verb: op, id: action.cq };
    case 'waitCq':
      return { verb: 'reqNotifyCq', id: action.cq };
    case 'deregMr':
      return { verb: op, id: action.mr };
    case 'destroyAh':
      return { verb: op, id: action.ah };
    case 'destroyQp':
    case 'queryQp':
      return { verb: op, id: action.qp };
    case 'modifyQp': {
      const { state } = action.set;
      const to = state === undefined ? {} : { to: state };
      return { verb: op, id: action.qp, ...to, mask: maskOfSpec(action.set) };
    }
    case 'regMr':
    case 'getDmaMr':
    case 'createAh':
      return { verb: op, pd: action.pd };
    case 'createQp': {
      const { pd, sendCq, recvCq, type } = action;
      return { verb: op, pd, sendCq, recvCq, type };
    }
    default:
      return { verb: op };
  }
}

/** The machine a GID belongs to, as programs make GIDs. */
function machineOfGid(gid: string): number {
  return Number.parseInt(gid.slice(16, 24), 16);
}

/** The last events of a trace as arrows between programs, drivers, devices and HCAs; ring events that carry nothing new left out. */
export function chart(events: readonly TraceEvent[], last: number): ChartEvent[] {
  const arrows: ChartEvent[] = [];
  for (let i = events.length - 1; i >= 0 && arrows.length < last; i--) {
    const arrow = arrowOf(events[i]);
    if (arrow !== undefined) arrows.push(arrow);
  }
  return arrows.toReversed();
}

function arrowOf(event: TraceEvent): ChartEvent | undefined {
  const timeNs = event.t ?? 0;
  switch (event.point) {
    case 'verbs': {
      if (event.what === 'post' || event.text === undefined) return undefined;
      const [program, driver] = [`program ${event.vm}`, `driver ${event.vm}`];
      const down = event.what === 'call' || (event.what === 'note' && event.by === 'program');
      return { timeNs, from: down ? program : driver, to: down ? driver : program, text: event.text };
    }
    case 'ring': {
      const [driver, device] = [`driver ${event.vm}`, `device ${event.vm}`];
      const { queue, what, head, bytes = 0 } = event;
      if (what === 'published' && event.notify === true)
        return { timeNs, from: driver, to: device, text: `notify queue ${queue}` };
      if (what === 'available')
        return { timeNs, from: driver, to: device, text: `queue ${queue}: chain ${head}, ${bytes} bytes` };
      if (what === 'used')
        return {
          timeNs,
          from: device,
          to: driver,
          text: `queue ${queue}: chain ${head} used, ${bytes} bytes`,
        };
      return undefined;
    }
    case 'control': {
      if (event.side === 'driver') return undefined;
      const { command, ack } = event;
      const name = typeof command === 'number' ? `command ${command}` : command;
      const [device, hca] = [`device ${event.vm}`, `hca ${event.vm}`];
      return event.what === 'command'
        ? { timeNs, from: device, to: hca, text: name }
        : { timeNs, from: hca, to: device, text: `${name}: ${ack}` };
    }
    case 'machine':
      return undefined;
    case 'wire': {
      if (event.what === 'delivered') return undefined;
      const lost = event.what === 'dropped' ? ` dropped: ${event.why}` : '';
      return {
        timeNs,
        from: `hca ${machineOfGid(event.from)}`,
        to: `hca ${machineOfGid(event.to)}`,
        text: `${event.packet} qp ${event.destQpn} psn ${event.psn}, ${event.bytes} bytes${lost}`,
      };
    }
  }
}
