/** Takes request slots back from the device: in order, with nothing written, or the device broke a rule. */
import type { UsedElement } from '../virtio/index.js';
import type { WorkQueue } from './objects.js';

const used: UsedElement = { token: 0, written: 0 };

/** Returns what is wrong with what the device returned. */
export function reclaim(half: WorkQueue): string | undefined {
  const { queue } = half;
  while (queue.takeUsed(used)) {
    if (used.token !== half.oldest) {
      return `queue ${queue.index}: request slot ${used.token} came back, but ${half.oldest} is older`;
    }
    // `written` is 0: the queue refuses more than a chain has writable bytes, and a request has none.
    half.oldest = half.oldest + 1 === half.slots ? 0 : half.oldest + 1;
  }
  return queue.broken;
}
