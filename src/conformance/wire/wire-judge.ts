/**
 * Judges packets as somebody in the middle of the wire sees them, where they leave. It learns the connections from the packets: numbers of
 * queue pairs, first sequence numbers, path MTUs. Whether a packet arrived is not known, so what depends on it is not judged.
 */
import { PacketTransport, addressText, packetOpcodeName, transportOf } from '../../fabric/index.js';
import type { Packet } from '../../fabric/index.js';
import { compile, machineByName, monitor } from '../../statemachines/index.js';
import type { Monitor, Violation } from '../../statemachines/index.js';
import { Answers } from './answers.js';
import { psnDistance } from './numbers.js';
import { Requests } from './requests.js';
import { WIRE_MACHINES, isAnswer, partOf } from './tables.js';
import type { MonitorOf, WireSink } from './tables.js';
import { Datagrams, UnreliableRequests } from './unreliable.js';

/** A broken rule, or one that a lenient reading bends. Plain data. */
export interface WireFinding {
  /** The frame at which it showed, counted from 1. */
  readonly frame: number;
  readonly machine: string;
  /** Such as `RC 10.0.0.1 > 10.0.0.2 qp 17`. */
  readonly connection: string;
  readonly states: readonly string[];
  readonly event: string;
  readonly detail: string;
  /** The packet as one line. */
  readonly packet: string;
  readonly expected: readonly string[];
  readonly requirements: readonly string[];
}

export interface WireLeniency {
  readonly requirement: string;
  readonly count: number;
  /** The first time. */
  readonly frame: number;
  readonly detail: string;
}

export interface WireReport {
  /** Packets taken. */
  readonly packets: number;
  readonly connections: number;
  readonly findings: readonly WireFinding[];
  /** What only a lenient reading allows. */
  readonly lenient: readonly WireLeniency[];
  /** How many packets could not be judged in part or at all, by the reason. */
  readonly unjudged: Readonly<Record<string, number>>;
}

export interface WireJudgeOptions {
  /** The source queue pair of every packet is known, as in the fabric of the kit; on a wire it is not. */
  readonly sourceKnown?: boolean;
  /** Every packet that leaves is seen: datagrams may not skip a number. */
  readonly complete?: boolean;
  /** Where the machines are; without it the judge has its own, and keeps findings. */
  readonly monitorOf?: MonitorOf;
}

interface Connection {
  readonly key: string;
  readonly sourceGid: string;
  readonly destinationGid: string;
  readonly destQpn: number;
  readonly sourceQpn: number | undefined;
  readonly requests: Requests;
  readonly answers: Answers;
  /** The answers go to this queue pair; learned, unless the source is known. */
  answersTo: number | undefined;
  /** An end was reset while packets of it may have been under way: answers may belong to before. */
  readonly answersJudged: boolean;
}

export class WireJudge implements WireSink {
  readonly #options: WireJudgeOptions;
  readonly #monitors: ReadonlyMap<string, Monitor>;
  readonly #connections = new Map<string, Connection>();
  readonly #unreliable = new Map<
    string,
    { readonly sourceQpn: number; destQpn: number; flow: UnreliableRequests }
  >();
  readonly #datagrams = new Map<string, { readonly sourceQpn: number; readonly flow: Datagrams }>();
  /** Connections that were forgotten after packets had been seen. */
  readonly #forgotten = new Set<string>();
  readonly #findings: WireFinding[] = [];
  readonly #lenient = new Map<
    string,
    { requirement: string; count: number; frame: number; detail: string }
  >();
  readonly #unjudged: Record<string, number> = {};
  #keys = 0;
  #packets = 0;
  #frame = 0;
  #packet: Packet | undefined;
  #detail: (() => string) | undefined;

  constructor(options: WireJudgeOptions = {}) {
    this.#options = options;
    const own = (name: string): Monitor =>
      monitor(compile(machineByName(name)), violation => this.#found(violation));
    this.#monitors = new Map(WIRE_MACHINES.map(name => [name, (options.monitorOf ?? own)(name)]));
  }

  /** Takes the next packet in the order in which they left. `frame` is its number for the findings; by default they are counted. */
  take(packet: Packet, frame = this.#packets + 1): void {
    this.#packets++;
    this.#frame = frame;
    this.#packet = packet;
    const transport = transportOf(packet.opcode);
    if (transport === PacketTransport.UD) return this.#datagram(packet);
    if (isAnswer(packet)) return this.#answer(packet);
    const part = partOf(packet);
    if (part === undefined) return this.unjudged(`packets of ${packetOpcodeName(packet.opcode)}`);
    if (transport === PacketTransport.UC) this.#unreliableRequest(packet, part);
    else this.#request(packet, part);
  }

  /** A queue pair was reset or destroyed: what was learned of its connections holds no longer. */
  forget(qpn: number): void {
    for (const [key, connection] of this.#connections) {
      if (connection.destQpn !== qpn && connection.sourceQpn !== qpn && connection.answersTo !== qpn)
        continue;
      this.#connections.delete(key);
      this.#forgotten.add(key);
    }
    for (const [key, { sourceQpn, destQpn }] of this.#unreliable)
      if (sourceQpn === qpn || destQpn === qpn) this.#unreliable.delete(key);
    for (const [key, { sourceQpn }] of this.#datagrams) if (sourceQpn === qpn) this.#datagrams.delete(key);
  }

  /** The same for every queue pair. */
  forgetAll(): void {
    for (const key of this.#connections.keys()) this.#forgotten.add(key);
    this.#connections.clear();
    this.#unreliable.clear();
    this.#datagrams.clear();
  }

  /** What was found so far. */
  report(): WireReport {
    return {
      packets: this.#packets,
      connections: this.#keys,
      findings: [...this.#findings],
      lenient: [...this.#lenient.values()].map(note => ({ ...note })),
      unjudged: { ...this.#unjudged },
    };
  }

  event(machine: Monitor, key: number, event: number, detail?: () => string): void {
    this.#detail = detail;
    machine.event(key, event);
  }

  lenient(requirement: string, detail: string): void {
    const note = this.#lenient.get(requirement);
    if (note === undefined)
      this.#lenient.set(requirement, { requirement, count: 1, frame: this.#frame, detail });
    else note.count++;
  }

  unjudged(reason: string): void {
    this.#unjudged[reason] = (this.#unjudged[reason] ?? 0) + 1;
  }

  #request(packet: Packet, part: string): void {
    const source = this.#sourceOf(packet);
    const key = keyOf(packet.sourceGid, packet.destinationGid, packet.destQpn, source);
    let connection = this.#connections.get(key);
    if (connection?.requests.isOfNewConnection(packet, part)) {
      this.#forgotten.add(key);
      connection = undefined;
    }
    connection ??= this.#connect(key, packet, source);
    connection.requests.take(packet, part);
  }

  #connect(key: string, packet: Packet, source: number | undefined): Connection {
    const { sourceGid, destinationGid, destQpn } = packet;
    const instance = this.#keys++;
    const requests = new Requests(this.#machine('WIRE.REQUESTS'), instance, this, packet);
    const answers = new Answers(
      requests,
      this.#machine('WIRE.ANSWERS'),
      this.#machine('WIRE.READS'),
      instance,
      this,
    );
    const connection: Connection = {
      key,
      sourceGid,
      destinationGid,
      destQpn,
      sourceQpn: source,
      requests,
      answers,
      answersTo: source,
      answersJudged: source === undefined || !this.#forgotten.has(key),
    };
    this.#connections.set(key, connection);
    return connection;
  }

  #answer(packet: Packet): void {
    const connection = this.#connectionOf(packet);
    if (connection === undefined)
      return this.unjudged('an answer of a connection whose requests were not seen');
    connection.requests.answersSeen++;
    if (!connection.answersJudged) return this.unjudged('an answer behind a reset of one end');
    connection.answers.take(packet);
  }

  /** The connection whose requests a packet answers. */
  #connectionOf(packet: Packet): Connection | undefined {
    const { sourceGid, destinationGid, destQpn } = packet;
    const source = this.#sourceOf(packet);
    if (source !== undefined) return this.#connections.get(keyOf(destinationGid, sourceGid, source, destQpn));
    let fitting: Connection | undefined;
    let fits = 0;
    let bound: Connection | undefined;
    for (const connection of this.#connections.values()) {
      if (connection.sourceGid !== destinationGid || connection.destinationGid !== sourceGid) continue;
      if (connection.answersTo === destQpn) bound = connection;
      else if (connection.answersTo !== undefined) continue;
      if (!wasSent(connection.requests, packet.psn)) continue;
      if (connection === bound) return bound;
      fitting = connection;
      fits++;
    }
    if (bound !== undefined && fits === 0) return bound;
    if (fits !== 1 || fitting === undefined) return undefined;
    if (bound !== undefined) bound.answersTo = undefined;
    fitting.answersTo = destQpn;
    return fitting;
  }

  #unreliableRequest(packet: Packet, part: string): void {
    const source = this.#sourceOf(packet);
    const key = keyOf(packet.sourceGid, packet.destinationGid, packet.destQpn, source);
    let known = this.#unreliable.get(key);
    if (known === undefined || known.flow.isOfNewConnection(packet, part)) {
      const flow = new UnreliableRequests(this.#machine('WIRE.UC'), this.#keys++, this);
      known = { sourceQpn: source ?? -1, destQpn: packet.destQpn, flow };
      this.#unreliable.set(key, known);
    }
    known.flow.take(packet, part);
  }

  #datagram(packet: Packet): void {
    const { sourceGid, sourceQpn } = packet;
    const key = `${sourceGid} ${sourceQpn}`;
    let known = this.#datagrams.get(key);
    if (known === undefined) {
      const flow = new Datagrams(
        this.#machine('WIRE.UD'),
        this.#keys++,
        this,
        this.#options.complete === true,
      );
      known = { sourceQpn, flow };
      this.#datagrams.set(key, known);
    }
    known.flow.take(packet);
  }

  #sourceOf(packet: Packet): number | undefined {
    return this.#options.sourceKnown === true ? packet.sourceQpn : undefined;
  }

  #machine(name: string): Monitor {
    const found = this.#monitors.get(name);
    if (found === undefined) throw new Error(`the wire has no machine ${name}`);
    return found;
  }

  #found({ machine, states, event, expected, requirements }: Violation): void {
    const packet = this.#packet;
    if (packet === undefined) return;
    const { sourceGid, destinationGid, destQpn, payloadLength, psn } = packet;
    const name = packetOpcodeName(packet.opcode);
    this.#findings.push({
      frame: this.#frame,
      machine,
      connection: `${name.slice(0, 2)} ${addressText(sourceGid)} > ${addressText(destinationGid)} qp ${destQpn}`,
      states,
      event,
      detail: this.#detail?.() ?? '',
      packet: `${name} qp ${destQpn} psn ${psn}, ${payloadLength} bytes`,
      expected,
      requirements,
    });
  }
}

function keyOf(from: string, to: string, destQpn: number, source: number | undefined): string {
  return `${from} ${to} ${destQpn} ${source ?? ''}`;
}

function wasSent(requests: Requests, psn: number): boolean {
  return psnDistance(psn, requests.firstPsn) >= 0 && psnDistance(psn, requests.highest) <= 0;
}
