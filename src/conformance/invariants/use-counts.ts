/**
 * Law: a protection domain with objects in it and a completion queue with queue pairs on it cannot be destroyed; one that
 * is free can; nothing can be destroyed twice.
 */
import { LawBroken, laws } from '../laws.js';
import { RunObserver } from '../observer.js';
import type { ObjectRecord, PdRecord } from '../records.js';

export class UseCounts extends RunObserver {
  /** Number of users at the time the destroy was called that had no destroy of their own under way. */
  readonly #held = new Map<ObjectRecord, number>();
  readonly #children = new Map<ObjectRecord, Set<ObjectRecord>>();

  override created(object: ObjectRecord): void {
    for (const parent of parents(object)) {
      let set = this.#children.get(parent);
      if (set === undefined) this.#children.set(parent, (set = new Set()));
      set.add(object);
      if (!parent.alive) {
        throw new LawBroken(
          laws.destroysOnce,
          `${object.kind} ${object.name} of machine ${object.vm} was created in ${parent.kind} ${parent.name}, which is destroyed`,
        );
      }
    }
  }

  override destroyStarted(object: ObjectRecord): void {
    const children = this.#children.get(object);
    let held = 0;
    if (children !== undefined) for (const child of children) if (child.alive && !child.destroying) held++;
    this.#held.set(object, held);
  }

  override destroyed(object: ObjectRecord): void {
    const where = `${object.kind} ${object.name} of machine ${object.vm}`;
    if (!object.alive) throw new LawBroken(laws.destroysOnce, `${where} was destroyed twice`);
    const children = this.#children.get(object);
    if (children === undefined || (this.#held.get(object) ?? 0) === 0) return;
    for (const child of children) {
      if (child.alive && !child.destroying) {
        throw new LawBroken(
          laws.keepsUsed,
          `${where} was destroyed while ${child.kind} ${child.name} uses it`,
        );
      }
    }
  }
}

function parents(object: ObjectRecord): ObjectRecord[] {
  if (object.kind === 'qp') return [...new Set<ObjectRecord>([object.pd, object.sendCq, object.recvCq])];
  if (object.kind === 'mr' || object.kind === 'ah') return [object.pd satisfies PdRecord];
  return [];
}
