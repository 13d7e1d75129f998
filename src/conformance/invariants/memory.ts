/**
 * Law: no byte of a machine's memory changes but in a posted receive buffer, in the buffer of a posted read, in a region
 * that a peer with the right key was given to write, or by the machine itself.
 */
import { AccessFlag, WrOpcode } from '../../abi/index.js';
import type { Arena } from '../arena.js';
import { LawBroken, laws } from '../laws.js';
import { peerMachine } from './data.js';
import { RunObserver } from '../observer.js';
import type { RequestSpec } from '../observer.js';
import { initialArena } from '../patterns.js';
import type { Action, Program, SendRequestSpec } from '../program.js';
import { madeUpKey } from '../records.js';
import type { MrRecord, ObjectRecord, WrRecord } from '../records.js';
import type { VerbsWorld } from '../verbs-world.js';
import { Writers } from './writers.js';

/** A write to the memory of machine `vm`. */
interface RemoteWrite {
  readonly vm: number;
  readonly rkey: number;
  readonly at: number;
  readonly length: number;
}

export class MemoryUntouched extends RunObserver {
  readonly #world: VerbsWorld;
  readonly #program: Program;
  /** Per machine: the requests that may have changed each byte. */
  readonly #writers: readonly Writers[];
  readonly #regions: MrRecord[] = [];
  readonly #keys = new Set<number>();
  /** Writes with keys that no region had yet. */
  readonly #early: RemoteWrite[] = [];

  constructor(program: Program, world: VerbsWorld) {
    super();
    this.#world = world;
    this.#program = program;
    this.#writers = program.hosts.map(() => new Writers(program.arenaBytes));
  }

  override created(object: ObjectRecord): void {
    if (object.kind !== 'mr') return;
    this.#regions.push(object);
    this.#keys.add(object.lkey).add(object.rkey);
    // A write that is still under way may have named the key that this region has got.
    for (const write of this.#early) this.#allowIn(object, write);
  }

  override actionStarted(_index: number, action: Action): void {
    if (action.op === 'writeMemory') this.#allow(action.vm, action.at, action.length);
  }

  override posted(request: WrRecord, spec: RequestSpec): void {
    const { vm } = request.qp;
    if (!request.send || request.opcode === WrOpcode.RDMA_READ) {
      for (const sge of spec.sges) this.#allow(vm, sge.at, sge.length);
      return;
    }
    if ('remote' in spec && spec.remote !== undefined)
      this.#allowRemote(spec, spec.remote, peerMachine(request.qp, spec.remote.vm));
  }

  #allowRemote(spec: SendRequestSpec, remote: NonNullable<SendRequestSpec['remote']>, vm: number): void {
    const length = spec.inline ?? spec.sges.reduce((sum, sge) => sum + sge.length, 0);
    const write = { vm, rkey: this.#keyOf(remote), at: remote.at, length };
    // A key of one machine may be one of another machine too.
    const region = this.#regions.find(each => each.vm === vm && each.alive && each.rkey === write.rkey);
    if (region === undefined) this.#early.push(write);
    else this.#allowIn(region, write);
  }

  #keyOf({ vm, mr: key }: NonNullable<SendRequestSpec['remote']>): number {
    if (typeof key === 'object' && 'raw' in key) return key.raw;
    const [name, delta] = typeof key === 'string' ? [key, 0] : [key.of, key.delta];
    const named = this.#regions.find(each => each.vm === vm && each.name === name);
    return madeUpKey(this.#keys, named?.rkey ?? 0, delta);
  }

  #allowIn(region: MrRecord, { vm, rkey, at, length }: RemoteWrite): void {
    if (region.vm !== vm || region.rkey !== rkey || (region.access & AccessFlag.REMOTE_WRITE) === 0) return;
    if (at >= region.at && at + length <= region.at + region.length) this.#allow(vm, at, length);
  }

  #allow(vm: number, at: number, length: number): void {
    this.#writers[vm]?.change(at, length, 1, 0);
  }

  override ended(): void {
    const { arenaBytes } = this.#program;
    for (const { vm, guest } of this.#world.machines) {
      const before = initialArena(vm, arenaBytes);
      const writers = this.#writers[vm];
      for (let from = 0, run = 0; from < arenaBytes; from += run) {
        run = writers.alike(from);
        if (!writers.none(from, 0)) continue;
        const at = guest.differenceFrom(from, before, from, run);
        if (at >= 0) throw changed(vm, from + at, before[from + at], guest);
      }
    }
  }
}

function changed(vm: number, at: number, before: number, guest: Arena): LawBroken {
  return new LawBroken(
    laws.keepsMemory,
    `byte ${at} of machine ${vm} changed from ${before} to ${guest.readArena(at, 1)[0]} and no request covers it`,
  );
}
