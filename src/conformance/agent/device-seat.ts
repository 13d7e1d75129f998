/**
 * A device for a driver in another process: the back-end of one vhost-user connection, which passes what the front-end asks
 * for on to a virtio transport. It has no thread and no event loop of its own: it is served while somebody waits anyway.
 *
 * The machine's memory is the kit's; the front-end describes a mapping of the same file, so that only addresses are translated.
 */
import { Connection, ConnectionEnded } from '../../transports/vhost-user/connection.js';
import type { Message } from '../../transports/vhost-user/connection.js';
import { closeFd, drainEvent, signalEvent, waitFor } from '../../transports/vhost-user/descriptors.js';
import { fileState } from '../../transports/vhost-user/mappings.js';
import { decodeRequest, encodePayload, MessageFault } from '../../transports/vhost-user/messages.js';
import type {
  DecodedRequest,
  MemoryRegion,
  Payload,
  VringAddress,
} from '../../transports/vhost-user/messages.js';
import {
  F_PROTOCOL_FEATURES,
  MessageFlag,
  NO_FD,
  ProtocolFeature,
  QUEUE_MASK,
  requestName,
} from '../../transports/vhost-user/protocol.js';
import type { DeviceSocket } from '../../transports/vhost-user/device-socket.js';
import { acceptUnix } from '../../transports/vhost-user/sockets.js';
import type { VirtioTransport } from '../../virtio/index.js';

/** What the front-end is to map: a file, and where in guest memory it lies. */
export interface SeatMemory {
  /** Of the file: two descriptors of one file have the same. */
  readonly identity: string;
  readonly address: number;
  readonly bytes: number;
}

const PROTOCOL_FEATURE = 1n << BigInt(F_PROTOCOL_FEATURES);
const { MQ, REPLY_ACK, CONFIG, STATUS } = ProtocolFeature.values;
const OFFERED = [MQ, REPLY_ACK, CONFIG, STATUS].reduce((set, bit) => set | (1n << BigInt(bit)), 0n);
const LOOK_MS = 1000;
const CONFIG_TRIES_MAX = 100;

/** What the front-end has said of a queue that is not enabled yet, and the descriptors of one that is. */
interface Queue {
  size: number;
  places: VringAddress | undefined;
  kick: number | undefined;
  call: number | undefined;
}

export class DeviceSeat {
  readonly #socket: DeviceSocket;
  readonly #transport: VirtioTransport;
  readonly #memory: SeatMemory;
  readonly #interrupted: () => void;
  #connection: Connection | undefined;
  #region: MemoryRegion | undefined;
  readonly #queues = new Map<number, Queue>();
  #error: number | undefined;
  #acks = false;
  #open = true;

  /** @param interrupted called when the device has interrupted: the front-end has something to look at */
  constructor(socket: DeviceSocket, transport: VirtioTransport, memory: SeatMemory, interrupted: () => void) {
    this.#socket = socket;
    this.#transport = transport;
    this.#memory = memory;
    this.#interrupted = interrupted;
    transport.onInterrupt(source => this.#interrupt(source));
  }

  /**
   * Serves the front-end until the other descriptor can be read.
   * @throws MessageFault, ConnectionEnded for a front-end that breaks the protocol
   */
  serveUntil(other: number): void {
    for (;;) {
      const own = this.#connection?.fd ?? this.#socket.fd;
      const ready = waitFor([other, own], LOOK_MS);
      if (ready.includes(own)) this.#serve();
      // What was asked for before the answer is done before the answer is looked at.
      else if (ready.includes(other)) return;
    }
  }

  /** Passes on the kicks that there were. */
  passKicks(): void {
    for (const [index, { kick }] of this.#queues)
      if (kick !== undefined && drainEvent(kick)) this.#transport.notify(index);
  }

  /** Hangs up. Interrupts that come later are nobody's. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#connection?.close();
    const fds = [...this.#queues.values()].flatMap(({ kick, call }) => [kick, call]);
    for (const fd of [...fds, this.#error]) if (fd !== undefined) closeFd(fd);
    this.#queues.clear();
  }

  #interrupt(source: number | 'config'): void {
    if (!this.#open) return;
    // What breaks one queue breaks the device: the front-end looks at the status then.
    const fd = source === 'config' ? this.#error : this.#queues.get(source)?.call;
    if (fd === undefined) return;
    signalEvent(fd);
    this.#interrupted();
  }

  #serve(): void {
    if (this.#connection === undefined) {
      const fd = acceptUnix(this.#socket.fd);
      if (fd !== undefined) this.#connection = new Connection(fd);
      return;
    }
    try {
      for (;;) {
        const message = this.#connection.receive(0);
        if (message === undefined) return;
        this.#answer(message);
      }
    } catch (error) {
      if (!(error instanceof ConnectionEnded) || error.kind !== 'closed') throw error;
      this.close();
    }
  }

  #answer(message: Message): void {
    const kept: number[] = [];
    try {
      const decoded = decodeRequest(message.request, message.payload, message.fds.length);
      if (decoded === undefined)
        throw new MessageFault(`${requestName(message.request)} is of a feature that was not offered`);
      const reply = this.#do(decoded, message, kept);
      const asked = (message.flags & MessageFlag.values.NEED_REPLY) !== 0 && this.#acks;
      const payload: Payload | undefined = reply ?? (asked ? { kind: 'u64', value: 0n } : undefined);
      if (payload !== undefined)
        this.#connection?.send(message.request, MessageFlag.values.REPLY, encodePayload(payload));
    } finally {
      for (const fd of message.fds) if (!kept.includes(fd)) closeFd(fd);
    }
  }

  /** Does what is asked and returns the answer, where there is one of its own. */
  #do({ name, payload }: DecodedRequest, { fds }: Message, kept: number[]): Payload | undefined {
    const transport = this.#transport;
    switch (payload.kind) {
      case 'none':
        return this.#ask(name);
      case 'u64':
        if (name.startsWith('SET_VRING_')) this.#setDescriptor(name, payload.value, fds[0], kept);
        else this.#setNumber(name, payload.value);
        return undefined;
      case 'vring-state': {
        const { index, num } = payload.state;
        if (name === 'SET_VRING_NUM') this.#queue(index).size = num;
        else if (name === 'SET_VRING_ENABLE' && num === 1) this.#enable(index);
        else if (name !== 'SET_VRING_BASE' || num !== 0) throw new MessageFault(`${name} ${index}: ${num}`);
        return undefined;
      }
      case 'vring-address':
        this.#queue(payload.address.index).places = payload.address;
        return undefined;
      case 'regions':
        this.#setMemory(payload.regions, fds);
        return undefined;
      case 'config': {
        const { offset, data, flags } = payload.access;
        const { buffer, byteOffset, byteLength } = steadyConfig(transport);
        // An answer without a byte says that there are not as many.
        const there = offset + data.length <= byteLength ? data.length : 0;
        const bytes = new Uint8Array(buffer, byteOffset + (there === 0 ? 0 : offset), there).slice();
        return { kind: 'config', access: { offset, flags, data: bytes } };
      }
      default:
        throw new MessageFault(`${name} is of a feature that was not offered`);
    }
  }

  #ask(name: string): Payload | undefined {
    const transport = this.#transport;
    switch (name) {
      case 'GET_FEATURES':
        return { kind: 'u64', value: transport.deviceFeatures | PROTOCOL_FEATURE };
      case 'GET_PROTOCOL_FEATURES':
        return { kind: 'u64', value: OFFERED };
      case 'GET_QUEUE_NUM':
        return { kind: 'u64', value: BigInt(transport.queueCount) };
      case 'GET_STATUS':
        return { kind: 'u64', value: BigInt(transport.readStatus()) };
      case 'SET_OWNER':
        return undefined;
      default:
        throw new MessageFault(`${name} is of a feature that was not offered`);
    }
  }

  #setNumber(name: string, value: bigint): void {
    if (name === 'SET_FEATURES') this.#transport.setDriverFeatures(value & ~PROTOCOL_FEATURE);
    else if (name === 'SET_STATUS') this.#transport.writeStatus(Number(value & 0xffn));
    else if (name === 'SET_PROTOCOL_FEATURES') this.#acks = (value & (1n << BigInt(REPLY_ACK))) !== 0n;
    else throw new MessageFault(`${name} is of a feature that was not offered`);
  }

  #setDescriptor(name: string, value: bigint, fd: number | undefined, kept: number[]): void {
    const number = Number(value);
    const queue = this.#queue(number & QUEUE_MASK);
    const own = (number & NO_FD) === 0 ? fd : undefined;
    if (name === 'SET_VRING_ERR' && this.#error !== undefined) return;
    if (own !== undefined) kept.push(own);
    if (name === 'SET_VRING_ERR') {
      this.#error = own;
      return;
    }
    const before = name === 'SET_VRING_KICK' ? queue.kick : queue.call;
    if (before !== undefined) closeFd(before);
    if (name === 'SET_VRING_KICK') queue.kick = own;
    else queue.call = own;
  }

  #queue(index: number): Queue {
    let queue = this.#queues.get(index);
    if (queue === undefined) {
      queue = { size: 0, places: undefined, kick: undefined, call: undefined };
      this.#queues.set(index, queue);
    }
    return queue;
  }

  #enable(index: number): void {
    const { size, places } = this.#queue(index);
    if (places === undefined) throw new MessageFault(`queue ${index} is enabled and has no place`);
    this.#transport.enableQueue(index, size, {
      descriptors: this.#guestAddress(places.descriptors),
      driver: this.#guestAddress(places.available),
      device: this.#guestAddress(places.used),
    });
  }

  /** Of a front-end's address; one that is nowhere stays one that is nowhere. */
  #guestAddress(user: number): number {
    const at = user - (this.#region?.userAddress ?? 0);
    return this.#region !== undefined && at >= 0 && at < this.#region.bytes
      ? this.#region.guestAddress + at
      : Number.MAX_SAFE_INTEGER;
  }

  #setMemory(regions: readonly MemoryRegion[], fds: readonly number[]): void {
    const [region] = regions;
    const { identity, address, bytes } = this.#memory;
    const right =
      regions.length === 1 &&
      region.guestAddress === address &&
      region.bytes === bytes &&
      region.offset === 0 &&
      fileState(fds[0]).identity === identity;
    if (!right)
      throw new MessageFault(
        `SET_MEM_TABLE must hold one region, the file that was given, ${bytes} bytes at ${address}`,
      );
    this.#region = region;
  }
}

/** The configuration as it was between two equal generations: a message has no room for the generation. */
function steadyConfig(transport: VirtioTransport): DataView {
  for (let tries = 0; ; tries++) {
    const { configGeneration } = transport;
    const config = transport.readConfig();
    if (transport.configGeneration === configGeneration || tries === CONFIG_TRIES_MAX) return config;
  }
}
