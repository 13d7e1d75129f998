/** The device's acts: honest ones, and those that break a rule. */
import { match } from 'ts-pattern';
import { cqReq, readLe64 } from '../../../abi/index.js';
import { SeededChoices } from '../../../fabric/index.js';
import { DeviceStatus } from '../../../virtio/index.js';
import type { Bench } from '../../probes/driver/bench.js';
import { completionBytes, words } from '../../probes/driver/encode.js';
import type { Chain, RingPen } from '../../probes/driver/pen.js';
import type { Act, QueueName, Which } from './attack.js';

/** The queue pair that is attacked has the first number there is. */
const QPN = 2;

/** A request that the device has returned and not completed. */
interface Due {
  readonly wrId: number;
  readonly receive: boolean;
}

export class Attacker {
  readonly #bench: Bench;
  readonly #oneCq: boolean;
  readonly #due: Due[] = [];
  readonly #returned = new Map<number, number>();

  constructor(bench: Bench, oneCq: boolean) {
    this.#bench = bench;
    this.#oneCq = oneCq;
  }

  /** The driver was started anew: nothing is outstanding. */
  forget(): void {
    this.#due.length = 0;
    this.#returned.clear();
  }

  /** Carries out an act of the device. */
  do(act: Exclude<Act, { readonly act: 'verb' | 'post' | 'poll' | 'restart' }>): void {
    match(act)
      .with({ act: 'honest' }, ({ what }) => this.#honest(what))
      .with({ act: 'answer' }, ({ at, ack, result, length }) => this.#answer(at, ack, result, length))
      .with({ act: 'used' }, ({ queue, chain, id, length }) => this.#used(queue, chain, id, length))
      .with({ act: 'misplaced' }, misplaced => this.#misplace(misplaced))
      .with({ act: 'batch' }, ({ queue, from, count, length }) => this.#batch(queue, from, count, length))
      .with({ act: 'index' }, ({ queue, by }) => {
        this.#bench.tampered = true;
        this.#ring(queue)?.raise(by);
      })
      .with({ act: 'completion' }, ({ cq, field, value, length }) =>
        this.#complete(cq, completionBytes({ ...this.#sound(cq), [field]: value }), length),
      )
      .with({ act: 'garbage' }, ({ cq, seed }) => this.#complete(cq, noise(seed), undefined))
      .with({ act: 'scribble' }, ({ queue, area, at, value }) => this.#scribble(queue, area, at, value))
      .with({ act: 'wishes' }, ({ queue, flags, event }) => {
        this.#ring(queue)?.wish(flags, event);
      })
      .with({ act: 'interrupt' }, ({ source, times }) => {
        for (let i = 0; i < times; i++) this.#bench.interrupt(source < 0 ? 'config' : source);
      })
      .with({ act: 'status' }, ({ value }) => {
        this.#bench.tampered = true;
        this.#bench.device.lies.status = truth => (value === 7 ? truth : value);
      })
      .with({ act: 'needs-reset' }, ({ tells }) => {
        if (tells) this.#bench.needsReset();
        else this.#bench.device.status |= DeviceStatus.DEVICE_NEEDS_RESET;
      })
      .with({ act: 'config' }, ({ at, value, tells }) => {
        const { config } = this.#bench.device;
        config[at % config.length] = value;
        this.#bench.device.generation++;
        if (tells) this.#bench.interrupt('config');
      })
      .exhaustive();
  }

  #ring(name: QueueName): RingPen | undefined {
    const { map, device } = this.#bench;
    const index = { control: map.control, cq0: map.cq(0), cq1: map.cq(1), sq: map.sq(QPN), rq: map.rq(QPN) }[
      name
    ];
    return device.rings.get(index);
  }

  #honest(what: 'answers' | 'requests' | 'completions' | 'traffic'): void {
    const bench = this.#bench;
    if (what === 'answers') {
      bench.look();
      while (bench.pending.length > 0) bench.ok(bench.pending[0]);
    }
    if (what === 'requests' || what === 'traffic') {
      for (const name of ['sq', 'rq'] as const) {
        const ring = this.#ring(name);
        if (ring === undefined) continue;
        ring.takeAll();
        for (const chain of ring.outstanding.values()) {
          if (chain.readable.length >= 8)
            this.#due.push({
              wrId: readLe64(new DataView(chain.readable.buffer), 0),
              receive: name === 'rq',
            });
          ring.giveBack(chain, 0);
        }
      }
    }
    if (what === 'completions' || what === 'traffic') {
      for (const cq of [0, 1])
        while (
          this.#nextDue(cq) !== undefined &&
          this.#complete(cq, completionBytes(this.#sound(cq)), undefined)
        );
    }
  }

  #nextDue(cq: number): Due | undefined {
    return this.#due.find(({ receive }) => this.#oneCq || receive === (cq === 1));
  }

  /** The completion that an honest device would give next. */
  #sound(cq: number): { wr_id: number; qp_num: number; opcode: number; byte_len: number } {
    const due = this.#nextDue(cq);
    const receive = due?.receive ?? cq === 1;
    return { wr_id: due?.wrId ?? 0, qp_num: QPN, opcode: receive ? 3 : 0, byte_len: receive ? 64 : 0 };
  }

  #complete(cq: number, bytes: Uint8Array, length: number | undefined): boolean {
    const ring = this.#ring(cq === 0 ? 'cq0' : 'cq1');
    const chain = ring?.take();
    if (ring === undefined || chain === undefined) return false;
    const due = this.#nextDue(cq);
    if (due !== undefined) this.#due.splice(this.#due.indexOf(due), 1);
    ring.write(chain, 0, bytes);
    this.#giveBack(ring, chain, length ?? cqReq.size);
    return true;
  }

  #answer(
    at: number,
    ack: number | undefined,
    result: readonly number[] | undefined,
    length: number | undefined,
  ): void {
    const bench = this.#bench;
    bench.look();
    if (bench.pending.length === 0) return;
    const command = bench.pending[at % bench.pending.length];
    const sound = bench.sound.carryOut(command);
    const bytes = Uint8Array.of(
      ack ?? (sound === undefined ? 1 : 0),
      ...(result === undefined ? (sound ?? []) : words(...result)),
    );
    bench.answer(command, bytes, length ?? bytes.length);
  }

  /** The ring, with all taken that the driver has made available. */
  #looked(name: QueueName): RingPen | undefined {
    const ring = this.#ring(name);
    if (name === 'control') this.#bench.look();
    else ring?.takeAll();
    return ring;
  }

  #chain({ outstanding }: RingPen, which: Which): Chain | undefined {
    const chains = [...outstanding.values()];
    return which === 'oldest' ? chains.at(0) : which === 'youngest' ? chains.at(-1) : undefined;
  }

  /** Of a chain that is not outstanding. */
  #idOf({ index }: RingPen, which: Which, id: number): number {
    return which === 'returned' ? (this.#returned.get(index) ?? id) : id;
  }

  #used(name: QueueName, which: Which, id: number, length: number): void {
    const ring = this.#looked(name);
    if (ring === undefined) return;
    const chain = this.#chain(ring, which);
    if (chain !== undefined) this.#giveBack(ring, chain, length);
    else {
      this.#bench.tampered = true;
      ring.element(this.#idOf(ring, which, id), length);
    }
    // The driver may look now or later: the interrupt is an act of its own.
  }

  #misplace({ queue, chain, id, length, ahead, turned }: Extract<Act, { act: 'misplaced' }>): void {
    const ring = this.#looked(queue);
    if (ring === undefined) return;
    this.#bench.tampered = true;
    const { head } = this.#chain(ring, chain) ?? { head: this.#idOf(ring, chain, id) };
    ring.misplace(head, length, ahead, turned);
  }

  #batch(name: QueueName, from: number, count: number, length: number): void {
    const ring = this.#looked(name);
    if (ring === undefined) return;
    const chains = [...ring.outstanding.values()].slice(from, from + count);
    if (chains.length === 0) return;
    this.#bench.tampered = true;
    const { pending } = this.#bench;
    pending.splice(0, pending.length, ...pending.filter(({ chain }) => !chains.includes(chain)));
    ring.batch(chains, length);
  }

  #giveBack(ring: RingPen, chain: Chain, length: number): void {
    const { pending } = this.#bench;
    const at = pending.findIndex(command => command.chain === chain);
    if (at >= 0) pending.splice(at, 1);
    this.#returned.set(ring.index, chain.head);
    ring.giveBack(chain, length);
  }

  #scribble(
    name: QueueName,
    area: 'descriptors' | 'available' | 'used' | 'readable',
    at: number,
    value: number,
  ): void {
    const ring = this.#ring(name);
    if (ring === undefined) return;
    this.#bench.tampered = true;
    if (area === 'descriptors') this.#bench.strays = true;
    const { addresses, outstanding } = ring;
    const part = [...outstanding.values()].at(-1)?.parts.find(({ writable }) => !writable);
    const [address, length] = {
      descriptors: [addresses.descriptors, ring.areaBytes('descriptors')],
      available: [addresses.driver, ring.areaBytes('available')],
      used: [addresses.device, ring.areaBytes('used')],
      readable: [part?.address ?? 0, part?.length ?? 0],
    }[area];
    if (length > 0) this.#bench.guest.inner.memory.write(address + (at % length), Uint8Array.of(value), 0, 1);
  }
}

/** 48 bytes of anything. */
function noise(seed: number): Uint8Array {
  const choices = new SeededChoices(seed);
  return Uint8Array.from({ length: cqReq.size }, () => choices.pick(256));
}
