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
import type { MrRecord, ObjectRecord, WrRecord } from '../records.js';
import type { VerbsWorld } from '../verbs-world.js';
import { Writers } from './writers.js';

export class MemoryUntouched extends RunObserver {
  readonly #world: VerbsWorld;
  readonly #program: Program;
  /** Per machine: the requests that may have changed each byte. */
  readonly #writers: readonly Writers[];
  readonly #regions: MrRecord[] = [];

  constructor(program: Program, world: VerbsWorld) {
    super();
    this.#world = world;
    this.#program = program;
    this.#writers = program.hosts.map(() => new Writers(program.arenaBytes));
  }

  override created(object: ObjectRecord): void {
    if (object.kind === 'mr') this.#regions.push(object);
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
    const { mr: key, at } = remote;
    const name = typeof key === 'string' ? key : 'of' in key && key.delta === 0 ? key.of : undefined;
    const named = this.#regions.find(each => each.vm === remote.vm && each.name === name);
    // A key of one machine may be one of another machine too.
    const region = this.#regions.find(each => each.vm === vm && each.alive && each.rkey === named?.rkey);
    if (region === undefined || (region.access & AccessFlag.REMOTE_WRITE) === 0) return;
    const length = spec.inline ?? spec.sges.reduce((sum, sge) => sum + sge.length, 0);
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
