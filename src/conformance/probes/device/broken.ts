/** The smallest way to break a ring, and what must come of any: the device asks for a reset, and nobody else notices. */
import type { Bench } from './bench.js';
import type { ProbeMachine } from './machine.js';
import { createPd } from './messages.js';
import { exchange, furnish, connect } from './site.js';
import type { Side } from './site.js';
import { gidOf } from './messages.js';

/** Makes a head available that does not exist, and notifies. */
export function breakRing(machine: ProbeMachine, index: number): void {
  machine.ring(index).offerHead(0xffff);
  machine.note(machine.name, 'device', `head 65535 on queue ${index}`);
  machine.transport.notify(index);
}

/**
 * Accuses unless machine 0 needs a reset, its driver has been told, nothing more comes back, two other machines go on, and a
 * reset makes the device whole again. `b` and `c` are connected with each other.
 */
export function expectBroken(
  bench: Bench,
  others: { readonly a: Side; readonly b: Side },
  requirements: readonly string[],
  what: string,
): void {
  const { me } = bench;
  if (!me.needsReset) {
    bench.accuse(
      [...requirements, 'VQ-46'],
      `${what}: the status is ${me.status}, expected DEVICE_NEEDS_RESET (64) among its bits`,
    );
  }
  if (me.transport.configInterrupts === 0) {
    bench.accuse(['FEAT-32', ...requirements], `${what}: no configuration change notification came`);
  }
  exchange({ bench, ...others }, ['ISO-14', ...requirements]);
  me.start();
  me.must(createPd, {}, ['FEAT-31', 'RST-36']);
}

/** Two machines beside the first one, connected with each other. */
export function connectedOthers(bench: Bench): { readonly a: Side; readonly b: Side } {
  const [, one, two] = bench.machines;
  const a = furnish(one);
  const b = furnish(two);
  connect(a, { gid: gidOf(two.vm), qpn: b.qpn });
  connect(b, { gid: gidOf(one.vm), qpn: a.qpn });
  return { a, b };
}
