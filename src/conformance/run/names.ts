/** The symbolic names of a program and the objects behind them, machine by machine. */
import type { Action, KeySpec, SgeSpec } from '../program.js';
import type { ObjectRecord } from '../records.js';

/** A name is pending while its object is being created, and absent when that was refused or never tried. */
export type Slot =
  | { readonly state: 'pending' }
  | { readonly state: 'absent' }
  | { readonly state: 'ready'; readonly record: ObjectRecord };
export const PENDING: Slot = { state: 'pending' };
export const ABSENT: Slot = { state: 'absent' };

type RecordOf<K extends ObjectRecord['kind']> = Extract<ObjectRecord, { kind: K }>;

export class Names {
  readonly #slots: readonly Map<string, Slot>[];

  constructor(machines: number) {
    this.#slots = Array.from({ length: machines }, () => new Map<string, Slot>());
  }

  set(vm: number, name: string, slot: Slot): void {
    this.#slots[vm].set(name, slot);
  }

  /** The object of a name, destroyed ones included; undefined when there is none of that kind. */
  find<K extends ObjectRecord['kind']>(vm: number, name: string, kind: K): RecordOf<K> | undefined {
    const slot = this.#slots[vm]?.get(name);
    if (slot === undefined || slot.state !== 'ready' || slot.record.kind !== kind) return undefined;
    return slot.record as RecordOf<K>;
  }

  /** True while an object that the action names is still being created. */
  blocked(action: Action): boolean {
    const { vm } = action;
    switch (action.op) {
      case 'queryDevice':
      case 'queryPort':
      case 'createPd':
      case 'createCq':
      case 'addGid':
      case 'delGid':
      case 'writeMemory':
      case 'expectMemory':
        return false;
      case 'destroyPd':
      case 'regMr':
      case 'getDmaMr':
      case 'createAh':
        return this.#pending(vm, action.pd);
      case 'destroyCq':
      case 'reqNotifyCq':
      case 'pollCq':
      case 'waitCq':
        return this.#pending(vm, action.cq);
      case 'deregMr':
        return this.#pending(vm, action.mr);
      case 'createQp':
        return (
          this.#pending(vm, action.pd) || this.#pending(vm, action.sendCq) || this.#pending(vm, action.recvCq)
        );
      case 'modifyQp':
        return this.#pending(vm, action.qp) || this.#pendingDest(action.set.dest);
      case 'queryQp':
      case 'destroyQp':
        return this.#pending(vm, action.qp);
      case 'destroyAh':
        return this.#pending(vm, action.ah);
      case 'postRecv':
        return (
          this.#pending(vm, action.qp) || action.requests.some(each => this.#pendingElements(vm, each.sges))
        );
      case 'postSend':
        return (
          this.#pending(vm, action.qp) ||
          action.requests.some(
            each =>
              this.#pendingElements(vm, each.sges) ||
              this.#pending(vm, each.ah) ||
              this.#pendingDest(each.dest) ||
              (each.remote !== undefined && this.#pendingKey(each.remote.vm, each.remote.mr)),
          )
        );
    }
  }

  #pending(vm: number, name: string | undefined): boolean {
    return name !== undefined && this.#slots[vm]?.get(name)?.state === 'pending';
  }

  #pendingDest(dest: { vm: number; qp: string } | number | undefined): boolean {
    return typeof dest === 'object' && this.#pending(dest.vm, dest.qp);
  }

  #pendingKey(vm: number, key: KeySpec): boolean {
    return typeof key === 'string' ? this.#pending(vm, key) : 'of' in key && this.#pending(vm, key.of);
  }

  #pendingElements(vm: number, sges: readonly SgeSpec[]): boolean {
    return sges.some(sge => this.#pendingKey(vm, sge.mr));
  }
}
