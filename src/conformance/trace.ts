/**
 * The trace: what was seen of a run, as events at four points of observation. In process it is plain objects; on disk it is
 * JSON Lines, one event a line, the first line a header.
 */
import { z } from 'zod';
import { commands, wcStatuses } from '../abi/index.js';
import { packetOpcodeName } from '../fabric/index.js';
import type { DropReason, Packet, WireObserver } from '../fabric/index.js';
import type { WorkCompletion } from '../verbs/index.js';
import type { ControlObserver, RingObserver } from '../virtio/index.js';
import { RunObserver } from './observer.js';
import { actionLine } from './script.js';
import type { Action } from './program.js';
import type { CqRecord, WrRecord } from './records.js';
import type { ChartEvent } from './report.js';
import type { WorldObservers } from './world.js';

export const TRACE_VERSION = 1;

const common = { t: z.int().min(0), vm: z.int().min(0).max(3) };

export const traceEventSchema = z.discriminatedUnion('point', [
  z.strictObject({
    point: z.literal('verbs'),
    ...common,
    what: z.enum(['call', 'result', 'completion', 'event']),
    /** Index of the action in the program; -1 for what comes by itself. */
    action: z.int(),
    text: z.string(),
  }),
  z.strictObject({
    point: z.literal('ring'),
    ...common,
    queue: z.int().min(0),
    what: z.enum(['available', 'published', 'taken', 'used', 'interrupt', 'consumed', 'asleep']),
    /** Head of the chain, or the index published. */
    value: z.int(),
    /** Bytes written or readable; 1 or 0 for a notification sent or not. */
    extra: z.int(),
  }),
  z.strictObject({
    point: z.literal('control'),
    ...common,
    what: z.enum(['command', 'answer']),
    id: z.int(),
    command: z.string(),
    ack: z.int(),
  }),
  z.strictObject({
    point: z.literal('wire'),
    t: z.int().min(0),
    what: z.enum(['sent', 'delivered', 'dropped']),
    packet: z.string(),
    from: z.string(),
    to: z.string(),
    destQpn: z.int(),
    psn: z.int(),
    bytes: z.int(),
    why: z.string(),
  }),
]);
export type TraceEvent = z.infer<typeof traceEventSchema>;

/** The events as JSON Lines with their header. */
export function traceToText(events: readonly TraceEvent[]): string {
  const header = JSON.stringify({ vrdmaTrace: TRACE_VERSION });
  return [header, ...events.map(event => JSON.stringify(event)), ''].join('\n');
}

/** Writes everything that happens into a list. */
export class TraceRecorder extends RunObserver {
  readonly events: TraceEvent[] = [];
  readonly worldObservers: WorldObservers;
  #now: () => number = () => 0;

  constructor() {
    super();
    this.worldObservers = {
      wire: this.#wire(),
      ring: vm => this.#ring(vm),
      control: vm => this.#control(vm),
    };
  }

  /** Where the virtual time comes from; set when the world is there. */
  useClock(now: () => number): void {
    this.#now = now;
  }

  override actionStarted(action: number, what: Action): void {
    this.#verbs(what.vm, 'call', action, actionLine(what));
  }

  override actionEnded(action: number, what: Action, errno: string | undefined): void {
    this.#verbs(what.vm, 'result', action, `${what.op} ${errno ?? 'ok'}`);
  }

  override completed(cq: CqRecord, completion: WorkCompletion, request: WrRecord | undefined): void {
    const status = wcStatuses.nameOf(completion.status) ?? `status ${completion.status}`;
    const queue =
      request === undefined ? 'nobody' : `${request.qp.name} ${request.send ? 'send' : 'receive'}`;
    this.#verbs(cq.vm, 'completion', -1, `${cq.name}: ${queue} ${completion.wrId} ${status}`);
  }

  override event(cq: CqRecord): void {
    this.#verbs(cq.vm, 'event', -1, `event of ${cq.name}`);
  }

  #verbs(vm: number, what: 'call' | 'result' | 'completion' | 'event', action: number, text: string): void {
    this.events.push({ point: 'verbs', t: this.#now(), vm, what, action, text });
  }

  #ring(vm: number): RingObserver {
    const put = (
      queue: number,
      what: 'available' | 'published' | 'taken' | 'used' | 'interrupt' | 'consumed' | 'asleep',
      value: number,
      extra: number,
    ): void => {
      this.events.push({ point: 'ring', t: this.#now(), vm, queue, what, value, extra });
    };
    return {
      available: (queue, head, readable) => put(queue, 'available', head, readable),
      published: (queue, idx, notify) => put(queue, 'published', idx, notify ? 1 : 0),
      taken: (queue, head) => put(queue, 'taken', head, 0),
      used: (queue, head, written) => put(queue, 'used', head, written),
      interrupt: (queue, idx, sent) => put(queue, 'interrupt', idx, sent ? 1 : 0),
      consumed: (queue, head, written) => put(queue, 'consumed', head, written),
      asleep: (queue, side) => put(queue, 'asleep', 0, side === 'driver' ? 0 : 1),
    };
  }

  #control(vm: number): ControlObserver {
    const name = (command: number): string => commands.nameOf(command) ?? `command ${command}`;
    return {
      command: (id, command) => {
        this.events.push({
          point: 'control',
          t: this.#now(),
          vm,
          what: 'command',
          id,
          command: name(command),
          ack: -1,
        });
      },
      answer: (id, command, ack) => {
        this.events.push({
          point: 'control',
          t: this.#now(),
          vm,
          what: 'answer',
          id,
          command: name(command),
          ack,
        });
      },
    };
  }

  #wire(): WireObserver {
    const put = (what: 'sent' | 'delivered' | 'dropped', packet: Packet, why: string): void => {
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
        why,
      });
    };
    return {
      sent: packet => put('sent', packet, ''),
      delivered: packet => put('delivered', packet, ''),
      dropped: (packet, why: DropReason) => put('dropped', packet, why),
    };
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
  const timeNs = event.t;
  switch (event.point) {
    case 'verbs': {
      const [program, driver] = [`program ${event.vm}`, `driver ${event.vm}`];
      const down = event.what === 'call';
      return { timeNs, from: down ? program : driver, to: down ? driver : program, text: event.text };
    }
    case 'ring': {
      const [driver, device] = [`driver ${event.vm}`, `device ${event.vm}`];
      if (event.what === 'published' && event.extra === 1) {
        return { timeNs, from: driver, to: device, text: `notify queue ${event.queue}` };
      }
      if (event.what === 'available') {
        return {
          timeNs,
          from: driver,
          to: device,
          text: `queue ${event.queue}: chain ${event.value}, ${event.extra} bytes`,
        };
      }
      if (event.what === 'used') {
        return {
          timeNs,
          from: device,
          to: driver,
          text: `queue ${event.queue}: chain ${event.value} used, ${event.extra} bytes`,
        };
      }
      return undefined;
    }
    case 'control': {
      const text =
        event.what === 'command' ? event.command : `${event.command}: ${event.ack === 0 ? 'OK' : 'ERR'}`;
      const [device, hca] = [`device ${event.vm}`, `hca ${event.vm}`];
      return event.what === 'command'
        ? { timeNs, from: device, to: hca, text }
        : { timeNs, from: hca, to: device, text };
    }
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
