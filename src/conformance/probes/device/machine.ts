/**
 * One virtual machine of a bench: what a sound driver does has a verb here, commands with their answers, requests, and
 * completions. Everything else can be done with the rings and registers themselves, which `RingMachine` has.
 */
import { Ack, PathMtu, commandHeader, cqReq } from '../../../abi/index.js';
import type { CommandShape, StructValue } from '../../../abi/index.js';
import type { VirtioDevice } from '../../../virtio/index.js';
import { bytesOf, recvRequest, sendRequest, viewOf } from './messages.js';
import type { SendFields, SgeValue } from './messages.js';
import { UNWRITTEN, answerText, ends, fieldsText, makes, pieces, seen } from './answers.js';
import type { Answer } from './answers.js';
import type { Chain } from './pen.js';
import { RingMachine } from './ring-machine.js';
import type { Surroundings } from './ring-machine.js';
import type { WatchedMemory } from './watched-memory.js';

export { QUEUE_SIZE } from './ring-machine.js';
export type { StartOptions, Surroundings } from './ring-machine.js';

/** How the bytes of a command are laid into its chain. */
export interface CommandHow {
  /** In place of the profile's class. */
  readonly class?: number;
  /** Writable bytes; room for ack and result when absent. */
  readonly writable?: number;
  /** Places at which the readable and the writable string are cut into descriptors. */
  readonly cuts?: readonly number[];
  readonly writableCuts?: readonly number[];
  /** Puts the descriptors from this one on into an indirect table. */
  readonly indirectFrom?: number;
}

/** A command whose answer is still to come. */
export interface Pending {
  readonly what: string;
  readonly chain: Chain;
  readonly address: number;
  readonly writable: number;
}

/** A completion as found in a buffer, its bytes and the place of the buffer. */
export interface Polled extends StructValue<typeof cqReq> {
  readonly bytes: Uint8Array;
  readonly buffer: number;
}

const SLOT_BYTES = 2048;
/** Commands that can be under way at one time. */
export const COMMANDS_MAX = 8;

export class ProbeMachine extends RingMachine {
  readonly #slots: number;
  #slot = 0;

  constructor(
    vm: number,
    device: VirtioDevice,
    memory: WatchedMemory,
    around: Surroundings,
    showsStatus = true,
  ) {
    super(vm, device, memory, around, showsStatus);
    this.#slots = this.alloc(SLOT_BYTES * COMMANDS_MAX, 4096);
  }

  /** The path MTU code that the configuration's mtu allows. */
  get activeMtu(): number {
    const { mtu } = this.profile.config.decode(this.device.readConfig(), 0);
    return Math.max(...Object.values(PathMtu).filter(code => (128 << code) + 96 <= mtu));
  }

  /** Goes on with what the device does by a clock of its own. False: nothing came of it. */
  runOn(): boolean {
    return this.around.runOn();
  }

  // --- commands ---

  /** Lays a command into the control ring without publishing it. `data` is what follows the header. */
  prepare(code: number, data: Uint8Array, how: CommandHow = {}, what = `command ${code}`): Pending {
    const readable = new Uint8Array(commandHeader.size + data.length);
    readable[0] = how.class ?? this.profile.controlClass;
    readable[1] = code;
    readable.set(data, commandHeader.size);
    return this.prepareBytes(readable, how.writable ?? 1, how, what);
  }

  /** The same for any readable bytes, a header or none. */
  prepareBytes(readable: Uint8Array, writable: number, how: CommandHow, what: string): Pending {
    const fits = readable.length + writable <= SLOT_BYTES;
    const at = fits ? this.#slots + SLOT_BYTES * this.#slot : this.alloc(readable.length + writable);
    this.#slot = (this.#slot + 1) % COMMANDS_MAX;
    const address = at + readable.length;
    this.memory.put(at, readable);
    this.memory.put(address, new Uint8Array(writable).fill(UNWRITTEN));
    const parts = [
      ...pieces(at, readable.length, how.cuts ?? [], false),
      ...pieces(address, writable, how.writableCuts ?? [], true),
    ];
    const table = how.indirectFrom === undefined ? undefined : this.alloc(16 * parts.length, 16);
    const chain = this.pen(this.queues.control).add(parts, table, how.indirectFrom);
    this.note(this.name, 'device', what);
    return { what, chain, address, writable };
  }

  /** Sends what was prepared, runs, and gives each its answer. */
  answers(pending: readonly Pending[]): Answer[] {
    this.publish(this.queues.control);
    this.around.run();
    const used = this.returned(this.queues.control);
    return pending.map(({ what, chain, address, writable }) => {
      const element = used.find(({ id }) => id === chain.head);
      const bytes = this.memory.copy(address, writable);
      this.note('device', this.name, element === undefined ? 'no answer' : answerText(bytes, element.length));
      return { what, used: element?.length, bytes };
    });
  }

  /** Sends one command of any bytes and runs until it is answered, or nothing is left to do. */
  command(code: number, data: Uint8Array, how: CommandHow = {}, what = `command ${code}`): Answer {
    const [answer] = this.answers([this.prepare(code, data, how, what)]);
    return answer;
  }

  /** Sends a command whose answer must be well-formed: its result when it was accepted, undefined when it was refused. */
  ask<Q, A>(
    { name, code, request, result }: CommandShape<Q, A>,
    fields: Partial<Q> | Uint8Array = {},
    how: CommandHow = {},
  ): A | undefined {
    const data = fields instanceof Uint8Array ? fields : bytesOf(request, fields);
    const what = `${name} ${fieldsText(fields)}`;
    const answer = this.command(code, data, { writable: 1 + result.size, ...how }, what);
    const { used, bytes } = answer;
    if (bytes[0] === Ack.OK && used === 1 + result.size) {
      this.#keepBook(what, code, data, bytes.subarray(1));
      return result.decode(viewOf(bytes), 1);
    }
    const clean = bytes.subarray(1).every(byte => byte === UNWRITTEN);
    if (bytes[0] === Ack.ERR && used === 1 && clean) return undefined;
    return this.accuse(
      used === undefined ? ['HOST-01', 'CTRL-16'] : ['CTRL-01', 'CTRL-02', 'CTRL-03', 'CTRL-04'],
      `${what}: ${seen(answer)}, expected ack 0 and used length ${1 + result.size}, or ack 1 alone and used length 1`,
    );
  }

  /** Sends a command that the device must accept. */
  must<Q, A>(
    shape: CommandShape<Q, A>,
    fields: Partial<Q> | Uint8Array = {},
    owed: string[] = ['RST-22'],
  ): A {
    const result = this.ask(shape, fields);
    if (result !== undefined) return result;
    return this.accuse(owed, `${shape.name} ${fieldsText(fields)}: refused, expected OK`);
  }

  /** Writes down which objects there are, by what the device has acknowledged. */
  #keepBook(what: string, code: number, request: Uint8Array, result: Uint8Array): void {
    const made = makes.get(code);
    if (made !== undefined) {
      const number = viewOf(result).getUint32(0, true);
      const kind = this.living[made];
      if (kind.has(number))
        this.accuse(['CTRL-20'], `${what}: number ${number}, which a living object of the kind has`);
      kind.add(number);
    }
    const ended = ends.get(code);
    if (ended !== undefined) this.living[ended.kind].delete(viewOf(request).getUint32(ended.at, true));
  }

  // --- requests and completions ---

  postSend(qpn: number, request: SendFields | Uint8Array): Chain {
    const bytes = request instanceof Uint8Array ? request : sendRequest(request);
    this.note(this.name, 'device', `send request on queue pair ${qpn}`);
    return this.offer(this.queues.sq(qpn), [{ address: this.place(bytes), length: bytes.length }]);
  }

  postRecv(qpn: number, wrId: number, sges: readonly SgeValue[] = []): Chain {
    const bytes = recvRequest(wrId, sges);
    this.note(this.name, 'device', `receive ${wrId} on queue pair ${qpn}`);
    return this.offer(this.queues.rq(qpn), [{ address: this.place(bytes), length: bytes.length }]);
  }

  /** Makes buffers available on a completion virtqueue, whether or not its completion queue exists. */
  addBuffers(cqn: number, count: number, length = cqReq.size): void {
    const ring = this.pen(this.queues.cq(cqn));
    for (let i = 0; i < count; i++) {
      const address = this.place(new Uint8Array(length).fill(UNWRITTEN));
      ring.add([{ address, length, writable: true }]);
    }
    this.publish(ring.index);
  }

  /** Takes the completions that have come; their buffers are given back unless `keep`. */
  poll(cqn: number, keep = false): Polled[] {
    const index = this.queues.cq(cqn);
    const polled = this.returned(index).map(({ length, chain }) => {
      const buffer = chain.parts[0].address;
      if (length !== cqReq.size) {
        this.accuse(
          ['CQ-12'],
          `completion queue ${cqn}: a buffer came back with used length ${length}, expected 48`,
        );
      }
      const bytes = this.memory.copy(buffer, cqReq.size);
      const completion = cqReq.decode(viewOf(bytes), 0);
      this.note('device', this.name, `cq ${cqn}: wr_id ${completion.wr_id} status ${completion.status}`);
      if (!keep) {
        this.memory.put(buffer, new Uint8Array(cqReq.size).fill(UNWRITTEN));
        this.pen(index).add(chain.parts);
      }
      return { ...completion, bytes, buffer };
    });
    if (!keep && polled.length > 0) this.publish(index);
    return polled;
  }
}
