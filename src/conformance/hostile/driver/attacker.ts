/** The hostile machine: it carries out acts on its own rings, memory and registers. Everything stays within one machine. */
import { QpType, SendFlag } from '../../../abi/index.js';
import { FeatureBit, hasFeature } from '../../../virtio/index.js';
import { GUEST_BASE } from '../../simulated-guest.js';
import type { Bench } from '../../probes/device/bench.js';
import type { ProbeMachine } from '../../probes/device/machine.js';
import {
  addressVector,
  bytesOf,
  createAh,
  createQp,
  gidOf,
  modifyQp,
  recvRequest,
  sendRequest,
} from '../../probes/device/messages.js';
import type { SgeValue } from '../../probes/device/messages.js';
import type { RingPen } from '../../probes/device/pen.js';
import {
  BUFFER_BYTES,
  QKEY,
  connect,
  furnish,
  handleFor,
  qpFields,
  register,
} from '../../probes/device/site.js';
import type { Side } from '../../probes/device/site.js';
import type { Act, Attack, Message, Place } from './attack.js';
import { Names, listOf } from './lists.js';
import { soundData } from './sound-data.js';

const NEXT = 1;
const WRITE = 2;

/** Memory that no descriptor, key or page list lets the device write; far from all that is in use. */
export const SANCTUARY_OFFSET = 200 * 1024;
export const SANCTUARY_BYTES = 16 * 1024;
/** Where what an attack needs for itself may lie. */
const SCRATCH_OFFSET = 96 * 1024;
const SCRATCH_BYTES = 32 * 1024;

export class Attacker {
  readonly machine: ProbeMachine;
  readonly #bench: Bench;
  readonly #start: number;
  #side: Side | undefined;
  #ud = 0;
  #ah = 0;
  /** A region of the sanctuary that may be read and not written. */
  #readOnly = { addr: 0, length: 64, lkey: 0 };
  #scratch = 0;
  readonly #names = new Names();
  /** Readings until the ambush; -1 while there is none. */
  #ambushAfter = -1;

  constructor(bench: Bench) {
    this.#bench = bench;
    this.machine = bench.me;
    this.#start = this.machine.allocated;
    const { memory } = this.machine;
    memory.sanctuary = { address: GUEST_BASE + SANCTUARY_OFFSET, length: SANCTUARY_BYTES };
  }

  /**
   * Brings the device to life with those of the attack's features that it offers, and with objects to play with: a connected
   * pair that talks to itself, datagrams, regions, keys.
   */
  revive({ indirect, eventIdx, packed, inOrder }: Omit<Attack, 'acts'>): void {
    const { machine } = this;
    machine.memory.watch = undefined;
    machine.rewind(this.#start);
    this.#names.forget();
    const offers = (bit: number): boolean => hasFeature(machine.device.deviceFeatures, bit);
    const isPacked = packed === true && offers(FeatureBit.RING_PACKED);
    machine.start({
      indirect: indirect && offers(FeatureBit.INDIRECT_DESC),
      eventIdx: eventIdx && offers(FeatureBit.EVENT_IDX),
      ringReset: offers(FeatureBit.RING_RESET),
      packed: isPacked,
      inOrder: isPacked && inOrder === true && offers(FeatureBit.IN_ORDER),
    });
    const side = furnish(machine);
    connect(side, side);
    this.#side = side;
    this.#ud = machine.must(createQp, qpFields(side, { qp_type: QpType.UD })).qpn;
    connect({ machine, qpn: this.#ud, type: QpType.UD }, side);
    this.#ah = handleFor(side, side.gid);
    machine.must(createAh, { pdn: side.pdn, ah_attr: addressVector(gidOf(1)) });
    const address = GUEST_BASE + SANCTUARY_OFFSET;
    this.#readOnly = { addr: address, length: 64, lkey: register(machine, side.pdn, address, 4096, 0).lkey };
    if (machine.allocated > GUEST_BASE + SCRATCH_OFFSET) throw new Error('the attacker needs more memory');
  }

  get side(): Side {
    if (this.#side === undefined) throw new Error('the attacker was never brought to life');
    return this.#side;
  }

  do(act: Act): void {
    const { machine } = this;
    const { device } = machine;
    switch (act.act) {
      case 'chain':
        return this.#chain(act);
      case 'command':
        return this.#message(machine.queues.control, this.#command(act.code), act, act.writable);
      case 'send':
        return this.#message(machine.queues.sq(this.#qpn(act.qp)), this.#send(act), act);
      case 'receive':
        return this.#message(
          machine.queues.rq(this.#qpn(act.qp)),
          recvRequest(7, [this.#element(act.memory)]),
          act,
        );
      case 'modify': {
        const fields = { qpn: this.#qpn(act.qp), attr_mask: act.mask, qp_state: act.state };
        const bytes = bytesOf(modifyQp.request, fields);
        const message = { mutations: [], short: 0, publication: { jump: 1 } };
        return this.#message(machine.queues.control, this.#framed(modifyQp.code, bytes), message, 1);
      }
      case 'scribble':
        return this.#scribble(act);
      case 'ambush':
        return this.#ambush(act);
      case 'kick':
        for (let i = 0; i < act.times; i++) device.notified(act.queue);
        return;
      case 'steps':
        this.#steps(act.count);
        return;
      case 'status':
        return device.writeStatus(act.value);
      case 'features':
        return device.setDriverFeatures(BigInt(act.low) | (BigInt(act.high) << 32n));
      case 'enable': {
        const at = this.#place(act.place, undefined);
        device.enableQueue(act.queue, act.size, { descriptors: at, driver: at + 1024, device: at + 2048 });
        return;
      }
      case 'reset-queue':
        device.resetQueue(act.queue);
        if (act.again && act.queue < machine.queues.count) this.#enableAgain(act.queue);
        return;
    }
  }

  /** Lets the device go on for a while; one outside, as far as it goes. */
  #steps(count: number): void {
    if (!this.#bench.inHand) {
      if (count > 0) this.#bench.run();
      return;
    }
    for (let i = 0; i < count && !this.#bench.scheduler.quiet; i++) this.#bench.step();
  }

  /** The queue starts over in its old place, which is zero again. */
  #enableAgain(index: number): void {
    const ring = this.machine.rings.get(index);
    if (ring === undefined || this.machine.device.queueEnabled(index)) return;
    ring.restart();
    this.machine.device.enableQueue(index, ring.size, ring.addresses);
  }

  get #control(): RingPen {
    return this.machine.pen(this.machine.queues.control);
  }

  #qpn(choice: number): number {
    return [this.side.qpn, this.#ud, 1, 0][choice];
  }

  /** Fresh memory for one message; what is older than a few dozen of them is used again. */
  #alloc(bytes: number): number {
    if (this.#scratch + bytes > SCRATCH_BYTES) this.#scratch = 0;
    const at = GUEST_BASE + SCRATCH_OFFSET + this.#scratch;
    this.#scratch += (bytes + 15) & ~15;
    return at;
  }

  /** Never in the sanctuary: what stands here may be written by a sound device. */
  #place(place: Place, ring: RingPen | undefined): number {
    const { end } = this.machine.memory;
    const own = ring ?? this.#control;
    const places: Readonly<Record<Place, () => number>> = {
      readable: () => this.#alloc(600),
      arena: () => this.side.region.address + (this.#scratch % BUFFER_BYTES) / 2,
      'own-descriptors': () => own.addresses.descriptors,
      'own-available-ring': () => own.addresses.driver,
      'own-used-ring': () => own.addresses.device,
      'control-used-ring': () => this.#control.addresses.device,
      'first-byte': () => GUEST_BASE,
      'last-byte': () => end - 1,
      'behind-memory': () => end,
      'before-memory': () => GUEST_BASE - 1,
      zero: () => 0,
      'low-half': () => GUEST_BASE % 2 ** 32,
      'near-2-53': () => 2 ** 53 - 1,
      'near-2-64': () => 2 ** 64 - 2048,
    };
    return places[place]();
  }

  #chain(chain: Extract<Act, { act: 'chain' }>): void {
    const { queue, table, publication } = chain;
    const ring = this.machine.rings.get(queue);
    if (ring === undefined) return this.machine.device.notified(queue);
    const list = listOf(chain, place => this.#place(place, ring));
    if (table === undefined) this.#names.offer(ring, list, publication);
    else {
      const home = this.#alloc(16 * list.length);
      ring.table(home, list);
      const address = table.place === undefined ? home : this.#place(table.place, ring);
      this.#names.offer(ring, [{ address, length: table.length, flags: table.flags }], publication);
    }
    this.machine.device.notified(queue);
  }

  /** A message as one readable descriptor and, for commands, one writable one, at the next places of the table. */
  #message(index: number, sound: Uint8Array, { mutations, short, publication }: Message, writable = 0): void {
    const ring = this.machine.rings.get(index);
    if (ring === undefined) return;
    const bytes = new Uint8Array(Math.max(0, sound.length - short));
    bytes.set(sound.subarray(0, bytes.length));
    const view = new DataView(bytes.buffer);
    for (const { at, value, width } of mutations) {
      if (at + width > bytes.length) continue;
      if (width === 1) view.setUint8(at, value);
      else if (width === 2) view.setUint16(at, value, true);
      else view.setUint32(at, value, true);
    }
    const address = this.#alloc(bytes.length + writable);
    this.machine.memory.put(address, bytes);
    const list = [{ address, length: bytes.length, flags: writable > 0 ? NEXT : 0 }];
    if (writable > 0) list.push({ address: address + bytes.length, length: writable, flags: WRITE });
    this.#names.offer(ring, list, publication);
    this.machine.device.notified(index);
  }

  #framed(code: number, data: Uint8Array): Uint8Array {
    return Uint8Array.of(this.machine.profile.controlClass, code, ...data);
  }

  #command(code: number): Uint8Array {
    return this.#framed(code, soundData(code, this.side, this.#ah));
  }

  #send({ qp, opcode, flags, memory }: Extract<Act, { act: 'send' }>): Uint8Array {
    const { region } = this.side;
    const target =
      qp === 1
        ? { ud: { remote_qpn: this.#ud, remote_qkey: QKEY, ah: this.#ah } }
        : { rdma: { remote_addr: region.address, rkey: region.rkey } };
    const inline = (flags & SendFlag.INLINE) !== 0 ? { inline: Uint8Array.of(1, 2, 3) } : {};
    return sendRequest({
      wrId: opcode,
      opcode,
      flags: flags & ~SendFlag.INLINE,
      sges: [this.#element(memory)],
      ...inline,
      ...target,
    });
  }

  /** Keys with addresses that go together, or not; the sanctuary only with the key that does not let it be written. */
  #element(choice: number): SgeValue {
    const { region } = this.side;
    const sound = { addr: region.address, length: 64, lkey: region.lkey };
    switch (choice) {
      case 0:
        return { ...this.#readOnly };
      case 1:
        return { ...sound, lkey: (region.lkey ^ 1) >>> 0 };
      case 2:
        return { ...sound, length: 0xffff_ffff };
      case 3:
        return { ...sound, addr: region.address + region.length - 1 };
      case 4:
        return { addr: 2 ** 64 - 2048, length: 4096, lkey: region.lkey };
      case 5:
        return { ...sound, length: 4096 };
      default:
        return sound;
    }
  }

  #scribble({ queue, field, at, value }: Extract<Act, { act: 'scribble' }>): void {
    const ring = this.machine.rings.get(queue);
    if (ring === undefined) return;
    ring.scribble(field, at, value);
    this.machine.device.notified(queue);
  }

  /** Changes a byte near what the device has just read; addresses of descriptors are left alone, so that the sanctuary stays one. */
  #ambush({ reading, at, value }: Extract<Act, { act: 'ambush' }>): void {
    // Nobody sees when a device outside reads.
    if (!this.#bench.inHand) return;
    const { memory } = this.machine;
    this.#ambushAfter = reading;
    memory.watch = {
      read: (address, length) => {
        if (this.#ambushAfter-- !== 0) return;
        memory.watch = undefined;
        const place = memory.at(address) + Math.min(at, Math.max(0, length - 1));
        if (!this.#isAddress(address, length)) memory.bytes[place] = value;
      },
    };
  }

  /** Whether bytes may be those of an address or key that says where the device writes. */
  #isAddress(address: number, length: number): boolean {
    const scratch = address - GUEST_BASE - SCRATCH_OFFSET;
    if (scratch >= 0 && scratch < SCRATCH_BYTES && length >= 8) return length > 16 && length < 128;
    return length >= 8 || (length === 4 && (address & 15) < 8);
  }
}
