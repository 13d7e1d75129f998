/**
 * What the commands and answers in the control queue say, read from the rings: which objects exist, what is armed, which
 * memory is registered; and the bytes of commands, requests, answers and completions that have to be zero.
 */
import {
  Ack,
  Command,
  ackHeader,
  commandShapeOf,
  commandHeader,
  cqReq,
  createCqAck,
  createCqCommand,
  createQpAck,
  createQpCommand,
  deregMrCommand,
  destroyCqCommand,
  destroyQpCommand,
  getDmaMrCommand,
  regUserMrAck,
  reqNotifyCommand,
  rqReq,
  sqReq,
} from '../../abi/index.js';
import type { QueueMap } from '../../abi/index.js';
import type { ControlObserver, GuestMemory } from '../../virtio/index.js';
import type { Tally } from './tally.js';
import { reservedByte } from './reserved.js';
import type { PostedChain } from './posted-chain.js';
import type { Regions, WatchedRegion } from './regions.js';
import type { RingState } from './ring-state.js';

/** Who is told of commands: as the driver issues and sees them, and as the device takes and answers them. */
export interface ControlSinks {
  readonly driver: ControlObserver;
  readonly device: ControlObserver;
}

/** The machine whose objects they are. */
export interface ObjectsHost {
  /** The guest's memory, unwatched. */
  readonly memory: GuestMemory;
  readonly tally: Tally;
  readonly regions: Regions;
  /** The device works in another process. */
  readonly deviceOutside: boolean;
}

interface WatchedCommand {
  /** In the order of their issue. */
  readonly id: number;
  /** -1 when it is too short for one. */
  readonly code: number;
  /** What stands behind the header. */
  readonly data: Uint8Array;
  readonly region: WatchedRegion | undefined;
  ack: number;
}

const NO_CODE = -1;

export class ObjectsWatch {
  readonly #machine: ObjectsHost;
  readonly #queues: QueueMap;
  readonly #sinks: ControlSinks;
  readonly #commands = new Map<PostedChain, WatchedCommand>();
  #issued = 0;
  /** Commands that create something and are not answered yet. */
  #creating = 0;
  /** Most chains that a queue's object may have out, by queue; a queue without an object is absent. */
  readonly #capacity = new Map<number, number>();
  /** Armings that the device has taken and not used up, by completion queue number. */
  readonly #armings = new Map<number, number>();
  /** Completion queues that were destroyed since the last rest: what they called before may still be on its way. */
  readonly #destroyed = new Set<number>();

  constructor(machine: ObjectsHost, queues: QueueMap, sinks: ControlSinks) {
    this.#machine = machine;
    this.#queues = queues;
    this.#sinks = sinks;
  }

  /** Nothing is on its way any more. */
  atRest(): void {
    for (const cqn of this.#destroyed) this.#armings.set(cqn, 0);
    this.#destroyed.clear();
  }

  clear(): void {
    this.#destroyed.clear();
    this.#commands.clear();
    this.#capacity.clear();
    this.#armings.clear();
    this.#creating = 0;
  }

  published(ring: RingState, chain: PostedChain): void {
    const { tally } = this.#machine;
    if (ring.kind === 'control') return this.#issue(ring, chain);
    if (ring.kind === 'other') return;
    if (ring.kind === 'completion') {
      tally.looked('room');
      if (chain.writableBytes < cqReq.size)
        ring.breach('room', `completion buffer ${chain.head} has ${chain.writableBytes} writable bytes`);
    } else {
      tally.looked('driverReserved');
      const layout = ring.kind === 'send' ? sqReq : rqReq;
      const byte = reservedByte(layout, chain.readable, 0, chain.followed);
      if (byte !== undefined)
        ring.breach('driverReserved', `byte ${byte} of the request in chain ${chain.head} is not zero`);
    }
    const most = this.#capacity.get(ring.index);
    if (most === undefined) return;
    tally.looked('capacity');
    if (ring.outstanding > most)
      ring.breach('capacity', `${ring.outstanding} chains are out, and its object has room for ${most}`);
  }

  #issue(ring: RingState, chain: PostedChain): void {
    const { tally, regions } = this.#machine;
    const { readable, followed } = chain;
    const code = followed >= commandHeader.size ? readable[commandHeader.offsets.command] : NO_CODE;
    const data = readable.slice(commandHeader.size, followed);
    const shape = commandShapeOf(code);
    tally.looked('driverReserved');
    const byte = shape === undefined ? undefined : reservedByte(shape.request, data, 0, data.length);
    if (byte !== undefined)
      ring.breach('driverReserved', `byte ${byte} of the data of command ${code} is not zero`);
    tally.looked('room');
    const needed = ackHeader.size + (shape?.result.size ?? 0);
    if (chain.writableBytes < needed)
      ring.breach('room', `command ${code} has ${chain.writableBytes} writable bytes, its answer ${needed}`);
    if (code === Command.CREATE_CQ || code === Command.CREATE_QP) this.#creating++;
    let region: WatchedRegion | undefined;
    if (code === Command.REG_USER_MR) region = regions.registerUser(data);
    else if (code === Command.GET_DMA_MR && data.length >= getDmaMrCommand.size)
      region = regions.registerAll(getDmaMrCommand.decode(viewOf(data), 0).access_flags);
    const id = this.#issued++;
    this.#commands.set(chain, { id, code, data, region, ack: -1 });
    this.#sinks.driver.command(id, code);
  }

  taken(ring: RingState, chain: PostedChain): void {
    if (ring.kind === 'control') {
      const command = this.#commands.get(chain);
      if (command === undefined) return;
      this.#sinks.device.command(command.id, command.code);
      if (command.code === Command.REQ_NOTIFY_CQ && command.data.length >= reqNotifyCommand.size) {
        const { cqn } = reqNotifyCommand.decode(viewOf(command.data), 0);
        this.#armings.set(cqn, (this.#armings.get(cqn) ?? 0) + 1);
      }
      return;
    }
    if (ring.kind === 'other') return;
    this.#machine.tally.looked('noObject');
    if (this.#creating === 0 && !this.#capacity.has(ring.index))
      ring.breach('noObject', `chain ${chain.head} was taken, and no object owns the queue`);
  }

  used(ring: RingState, chain: PostedChain): void {
    if (ring.kind === 'control') this.#answered(ring, chain);
    else if (ring.kind === 'completion') this.#completed(ring, chain);
  }

  #completed(ring: RingState, chain: PostedChain): void {
    const { tally, memory } = this.#machine;
    tally.looked('answerLength');
    tally.looked('bufferUnread');
    // Empty buffers come back when their queue is destroyed.
    if (chain.usedLength === 0) return;
    if (chain.usedLength !== cqReq.size) {
      ring.breach('answerLength', `a completion buffer came back with length ${chain.usedLength}`);
      return;
    }
    tally.looked('deviceReserved');
    const byte = reservedByte(cqReq, chain.copyWritable(memory, cqReq.size), 0, cqReq.size);
    if (byte !== undefined) ring.breach('deviceReserved', `byte ${byte} of a completion is not zero`);
  }

  #answered(ring: RingState, chain: PostedChain): void {
    const command = this.#commands.get(chain);
    if (command === undefined) return;
    const { tally, memory, regions } = this.#machine;
    const { code, data } = command;
    const shape = commandShapeOf(code);
    const resultBytes = shape?.result.size ?? 0;
    const answer = chain.copyWritable(memory, ackHeader.size + resultBytes);
    if (chain.usedLength === 0 || answer.length === 0) return;
    command.ack = answer[0];
    this.#sinks.device.answer(command.id, code, command.ack);
    const accepted = command.ack === Ack.OK;
    tally.looked('answerLength');
    const length = ackHeader.size + (accepted ? resultBytes : 0);
    if (chain.usedLength !== length)
      ring.breach(
        'answerLength',
        `the answer of command ${code} came back with length ${chain.usedLength}, not ${length}`,
      );
    if (code === Command.CREATE_CQ || code === Command.CREATE_QP) this.#creating--;
    if (!accepted) {
      if (command.region !== undefined) regions.remove(command.region);
      return;
    }
    if (shape !== undefined && resultBytes > 0 && answer.length >= length) {
      tally.looked('deviceReserved');
      const byte = reservedByte(shape.result, answer, ackHeader.size, resultBytes);
      if (byte !== undefined)
        ring.breach('deviceReserved', `byte ${byte} of the answer of command ${code} is not zero`);
    }
    // A device that accepts a stump of a command is another judge's.
    const whole = data.length >= (shape?.request.size ?? 0) && answer.length >= length;
    if (whole) this.#tookEffect(code, data, viewOf(answer), command.region);
  }

  #tookEffect(code: number, data: Uint8Array, answer: DataView, region: WatchedRegion | undefined): void {
    const view = viewOf(data);
    const queues = this.#queues;
    switch (code) {
      case Command.CREATE_CQ: {
        const { cqn } = createCqAck.decode(answer, ackHeader.size);
        this.#capacity.set(queues.cq(cqn), createCqCommand.decode(view, 0).cqe);
        this.#armings.set(cqn, 0);
        this.#destroyed.delete(cqn);
        break;
      }
      case Command.DESTROY_CQ: {
        const { cqn } = destroyCqCommand.decode(view, 0);
        this.#capacity.delete(queues.cq(cqn));
        if (this.#machine.deviceOutside) this.#destroyed.add(cqn);
        else this.#armings.set(cqn, 0);
        break;
      }
      case Command.CREATE_QP: {
        const { qpn } = createQpAck.decode(answer, ackHeader.size);
        const { cap } = createQpCommand.decode(view, 0);
        this.#capacity.set(queues.sq(qpn), cap.max_send_wr);
        this.#capacity.set(queues.rq(qpn), cap.max_recv_wr);
        break;
      }
      case Command.DESTROY_QP: {
        const { qpn } = destroyQpCommand.decode(view, 0);
        this.#capacity.delete(queues.sq(qpn));
        this.#capacity.delete(queues.rq(qpn));
        break;
      }
      case Command.REG_USER_MR:
      case Command.GET_DMA_MR:
        if (region !== undefined) region.mrn = regUserMrAck.decode(answer, ackHeader.size).mrn;
        break;
      case Command.DEREG_MR:
        this.#machine.regions.removeNumber(deregMrCommand.decode(view, 0).mrn);
        break;
      default:
    }
  }

  consumed(ring: RingState, chain: PostedChain): void {
    if (ring.kind !== 'control') return;
    const command = this.#commands.get(chain);
    if (command === undefined) return;
    this.#commands.delete(chain);
    if (command.ack < 0) return;
    const [ack] = chain.copyWritable(this.#machine.memory, ackHeader.size);
    this.#sinks.driver.answer(command.id, command.code, ack);
  }

  completionInterrupt(ring: RingState): void {
    const cqn = ring.index - this.#queues.cq(0);
    const armings = this.#armings.get(cqn) ?? 0;
    this.#machine.tally.looked('armed');
    if (armings === 0)
      ring.breach('armed', `an interrupt, and every arming of completion queue ${cqn} has had its own`);
    else this.#armings.set(cqn, armings - 1);
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
