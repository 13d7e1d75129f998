/** Changes that were tried as mutants and that no program and no peer can see, each with the reason. */

export interface EquivalentMutant {
  /** The change, in a sentence. */
  readonly change: string;
  /** Why it makes no difference. */
  readonly reason: string;
}

export const equivalents: readonly EquivalentMutant[] = [
  {
    change: 'The device reads ring slots and descriptors before the available index.',
    reason:
      'Driver and device run in turns in one process: no write of the driver falls between two reads of one step. The same change with a step between the reads is `ring/index-read-without-a-barrier`.',
  },
  {
    change: 'A handle table gives the second lowest free number first.',
    reason:
      'Numbers of protection domains, regions and address handles are opaque; only their being unique is promised.',
  },
  {
    change: 'The device takes 4 chains of a data queue in a step in place of 8.',
    reason: 'How much is done in a step is bounded from above only, and a step takes no virtual time.',
  },
  {
    change: 'The driver cuts a command into three descriptors, header and data in one.',
    reason: 'How a message is cut is free, and the device must not let its answer depend on it.',
  },
  {
    change: 'The vendor_err of a failed completion is another number.',
    reason: 'It is free for the vendor, and nothing is promised of it.',
  },
  {
    change: 'A retransmission comes one nanosecond after its time-out.',
    reason: 'A time-out is a lower bound of the wait.',
  },
];
