/** The control queue by hand: commands that a driver issues, answers that a device gives, and the queues of what they create. */
import {
  Ack,
  Command,
  ackHeader,
  commandHeader,
  commandShapeOf,
  createCqAck,
  createCqCommand,
  createQpAck,
  createQpCommand,
  getDmaMrCommand,
  regUserMrAck,
  regUserMrCommand,
} from '../../../src/abi/index.js';
import type { Struct } from '../../../src/abi/index.js';
import { SplitRing, r, w } from './split-ring.js';
import { fill, queues } from './bench.js';
import type { RingOptions } from './bench.js';

/** A value of a struct as bytes, with `more` behind it. */
export function bytesOf<V>(layout: Struct<V>, value: Partial<V>, more = 0): Uint8Array {
  const bytes = new Uint8Array(layout.size + more);
  layout.encode(new DataView(bytes.buffer), 0, { ...layout.zero(), ...value });
  return bytes;
}

export class Control extends SplitRing {
  constructor(options: RingOptions = {}) {
    super({ ...options, index: queues.control });
  }

  /** Makes a command available in chain `head`, with room for its answer, or for so many bytes. */
  issue(code: number, data: Uint8Array = new Uint8Array(0), room?: number, head = 0): void {
    const needed = ackHeader.size + (commandShapeOf(code)?.result.size ?? 0);
    const { memory } = this.driver;
    memory.write(this.buffer(head), Uint8Array.of(0, code), 0, commandHeader.size);
    memory.write(this.buffer(head) + commandHeader.size, data, 0, data.length);
    const writable = room ?? needed;
    const parts = writable === 0 ? [] : [w(writable)];
    this.post(head, r(commandHeader.size + data.length), ...parts);
  }

  /** Answers the command in chain `head`: the ack and what is behind it, of so many bytes. */
  answer(ack: number, result: Uint8Array = new Uint8Array(0), length = 1 + result.length, head = 0): void {
    const { memory } = this.device;
    memory.write(this.buffer(head + 1), Uint8Array.of(ack, ...result), 0, 1 + result.length);
    this.give(head, length);
  }

  /** A command that goes all the way, and is accepted. */
  run(code: number, data?: Uint8Array, result?: Uint8Array): void {
    this.issue(code, data);
    this.take();
    this.answer(Ack.OK, result);
    this.takeBack();
  }

  createCq(cqn: number, cqe: number): void {
    this.run(Command.CREATE_CQ, bytesOf(createCqCommand, { cqe }), bytesOf(createCqAck, { cqn }));
  }

  createQp(qpn: number, sends: number, receives: number): void {
    const cap = { ...createQpCommand.zero().cap, max_send_wr: sends, max_recv_wr: receives };
    this.run(Command.CREATE_QP, bytesOf(createQpCommand, { cap }), bytesOf(createQpAck, { qpn }));
  }

  /** The command that registers `length` bytes from byte `first` of these pages on. */
  registration(access: number, first: number, length: number, ...pages: readonly number[]): Uint8Array {
    const value = { access_flags: access, virt_addr: first, length, npages: pages.length };
    const bytes = bytesOf(regUserMrCommand, value, 8 * pages.length);
    const view = new DataView(bytes.buffer);
    for (const [i, page] of pages.entries())
      view.setBigUint64(regUserMrCommand.size + 8 * i, BigInt(page), true);
    return bytes;
  }

  register(mrn: number, registration: Uint8Array): void {
    this.run(Command.REG_USER_MR, registration, bytesOf(regUserMrAck, { mrn }));
  }

  registerAll(mrn: number, access: number): void {
    this.run(
      Command.GET_DMA_MR,
      bytesOf(getDmaMrCommand, { access_flags: access }),
      bytesOf(regUserMrAck, { mrn }),
    );
  }

  /** One more queue of the machine. */
  queue(index: number): SplitRing {
    return new SplitRing({ index }, this.bench);
  }
}

/** A completion, written by the device into the buffer of chain `head` and returned. */
export function complete(ring: SplitRing, head: number, length = 48): void {
  fill(ring.device.memory, ring.buffer(head), 48, 0);
  ring.give(head, length);
}
