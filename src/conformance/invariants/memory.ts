/**
 * Law: no byte of a machine's memory changes but in a posted receive buffer, in the buffer of a posted read, in a region
 * that a peer with the right key was given to write, or by the machine itself.
 */
import { AccessFlag, WrOpcode } from '../../abi/index.js';
import { LawBroken, laws } from '../laws.js';
import { peerMachine } from './data.js';
import { RunObserver } from '../observer.js';
import type { RequestSpec } from '../observer.js';
import { initialArena } from '../patterns.js';
import type { Action, Program, SendRequestSpec } from '../program.js';
import type { MrRecord, ObjectRecord, WrRecord } from '../records.js';
import type { World } from '../world.js';

export class MemoryUntouched extends RunObserver {
  readonly #world: World;
  readonly #program: Program;
  /** Per machine: 1 where a byte may change. */
  readonly #allowed: Uint8Array[];
  readonly #regions: MrRecord[] = [];

  constructor(program: Program, world: World) {
    super();
    this.#world = world;
    this.#program = program;
    this.#allowed = program.hosts.map(() => new Uint8Array(program.arenaBytes));
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
    this.#allowed[vm]?.fill(1, Math.max(0, at), Math.max(0, at + length));
  }

  override ended(): void {
    const { arenaBytes } = this.#program;
    for (const [vm, machine] of this.#world.machines.entries()) {
      const before = initialArena(vm, arenaBytes);
      const after = machine.guest.readArena(0, arenaBytes);
      const allowed = this.#allowed[vm];
      if (Buffer.compare(before, after) === 0) continue;
      for (let i = 0; i < arenaBytes; i++) {
        if (before[i] === after[i] || allowed[i] === 1) continue;
        throw new LawBroken(
          laws.keepsMemory,
          `byte ${i} of machine ${vm} changed from ${before[i]} to ${after[i]} and no request covers it`,
        );
      }
    }
  }
}
