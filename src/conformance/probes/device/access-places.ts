/** Where requests lead when nothing is wrong with them: the places that faults of access start from. */
import type { SgeValue } from './messages.js';
import { register } from './site.js';
import type { Pair, Region } from './site.js';

export type Element = (scene: Pair) => SgeValue;
export const mine: Element = ({ a }) => ({ addr: a.region.address, length: 16, lkey: a.region.lkey });
export const theirs: Element = ({ b }) => ({ addr: b.region.address, length: 16, lkey: b.region.lkey });

export const sound = ({ b }: Pair) => ({ remote_addr: b.region.address, rkey: b.region.rkey });
/** A region of the peer with less than all rights. */
export const region = (scene: Pair, access: number): Region => {
  const { machine, pdn, region: whole } = scene.b;
  return register(machine, pdn, whole.address, 4096, access);
};
