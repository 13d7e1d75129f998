/** A device that is polled says whether it found anything, so that whoever polls can let others have their turn. */
import { describe, expect, it, vi } from 'vitest';
import { QpState, QpType, profiles } from '../../../src/abi/index.js';
import { RdmaHost } from '../../../src/conformance/serve/rdma-host.js';
import { SimulatedGuest } from '../../../src/conformance/simulated-guest.js';
import { RdmaDriver } from '../../../src/driver/index.js';
import { Scheduler, firstChoice } from '../../../src/fabric/index.js';
import { connectInProcess } from '../../../src/transports/in-process.js';

const cap = { maxSendWr: 4, maxRecvWr: 4, maxSendSge: 1, maxRecvSge: 1, maxInlineData: 0 };
const MEMORY_BYTES = 1 << 20;
const POLLS_MAX = 1000;

/** A driver whose device hears no kick. */
function polledMachine(packed: boolean) {
  const ringFeatures = { indirect: false, eventIdx: false, packed };
  const host = new RdmaHost({ profile: 'roce', ringFeatures, polling: true });
  const scheduler = new Scheduler(firstChoice);
  const os = new SimulatedGuest({ scheduler, memoryBytes: MEMORY_BYTES, arenaBytes: 4096, scatterSeed: 1 });
  const { memory } = os;
  const { device, poll } = host.open({ vm: 0, memory, wake: () => undefined });
  const transport = connectInProcess(device);
  vi.spyOn(transport, 'notify').mockImplementation(() => undefined);
  const driver = new RdmaDriver({ profile: profiles.roce, os, memory, transport, ringFeatures });
  /** Device and driver in turn until the verb has come to its end. */
  const until = async <T>(verb: Promise<T>): Promise<T> => {
    let ended = false;
    const done = verb.finally(() => (ended = true));
    for (let polls = 0; !ended; polls++) {
      if (polls === POLLS_MAX) throw new Error('the verb does not come to its end');
      poll();
      while (!scheduler.quiet) scheduler.step();
      await new Promise(resolve => setImmediate(resolve));
    }
    return done;
  };
  return { driver, poll, until };
}

describe.each([
  ['split', false],
  ['packed', true],
])('an RDMA device with %s rings that is polled', (_format, packed) => {
  it('answers without a kick, and finds what is new once: buffers that lie there are nothing new', async () => {
    const { driver, poll, until } = polledMachine(packed);
    await until(driver.start());
    const pd = await until(driver.createPd());
    const cq = await until(driver.createCq(8));
    const qp = await until(
      driver.createQp(pd, { type: QpType.RC, sqSigAll: false, sendCq: cq, recvCq: cq, cap }),
    );
    await until(driver.modifyQp(qp, { qpState: QpState.INIT, qpAccessFlags: 0 }));
    expect([poll(), poll()]).toEqual([false, false]);
    driver.postRecv(qp, { wrId: 1, sges: [] });
    expect([poll(), poll(), poll()]).toEqual([true, false, false]);
  });
});
