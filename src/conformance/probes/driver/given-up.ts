/** What holds once a driver has given its device up: every verb is EIO, no virtqueue is touched, no memory comes back. */
import { QpType } from '../../../abi/index.js';
import type { AddressHandle, MemoryRegion, Verbs } from '../../../verbs/index.js';
import type { Bench } from './bench.js';
import { describe, errnoOf } from './call.js';
import { aRecv, aSend, smallCap, someAddress } from './objects.js';
import type { Objects } from './objects.js';
import { ARENA_BASE } from './probe-guest.js';
import { emptyCompletions, throws } from './traffic.js';

/** Objects to try all verbs with. */
export interface Everything extends Objects {
  readonly mr: MemoryRegion;
  readonly ah: AddressHandle;
}

function controlVerbs(o: Everything): readonly (readonly [string, (verbs: Verbs) => Promise<unknown>])[] {
  const { pd, sendCq, recvCq, qp, mr, ah } = o;
  return [
    ['queryDevice', verbs => verbs.queryDevice()],
    ['queryPort', verbs => verbs.queryPort()],
    ['createPd', verbs => verbs.createPd()],
    ['destroyPd', verbs => verbs.destroyPd(pd)],
    ['createCq', verbs => verbs.createCq(1)],
    ['destroyCq', verbs => verbs.destroyCq(sendCq)],
    ['reqNotifyCq', verbs => verbs.reqNotifyCq(sendCq, false)],
    ['regMr', verbs => verbs.regMr(pd, { addr: ARENA_BASE, length: 1, access: 0 })],
    ['getDmaMr', verbs => verbs.getDmaMr(pd, 0)],
    ['deregMr', verbs => verbs.deregMr(mr)],
    [
      'createQp',
      verbs => verbs.createQp(pd, { type: QpType.RC, sqSigAll: false, sendCq, recvCq, cap: smallCap }),
    ],
    ['modifyQp', verbs => verbs.modifyQp(qp, { minRnrTimer: 1 })],
    ['queryQp', verbs => verbs.queryQp(qp)],
    ['destroyQp', verbs => verbs.destroyQp(qp)],
    ['createAh', verbs => verbs.createAh(pd, someAddress)],
    ['destroyAh', verbs => verbs.destroyAh(ah)],
    ['addGid', verbs => verbs.addGid(0, someAddress.dgid)],
    ['delGid', verbs => verbs.delGid(0)],
  ];
}

/** Every verb fails with EIO, and the rings stay as they are. */
export async function expectAllEio(bench: Bench, objects: Everything): Promise<void> {
  const indices = (): string => [...bench.device.rings.values()].map(({ shown }) => shown).join();
  const [before, kicks] = [indices(), bench.transport.notifications];
  const ids = ['ERR-26'];
  for (const [name, run] of controlVerbs(objects)) {
    const call = bench.call(`${name} after the device was given up`, run);
    await bench.run();
    bench.expect(
      call.state === 'rejected' && errnoOf(call.error) === 'EIO',
      `${call.what} ${describe(call)}, expected EIO`,
      ids,
    );
  }
  const { verbs } = bench;
  throws(
    bench,
    'postSend after the device was given up',
    'EIO',
    () => verbs.postSend(objects.qp, aSend(1)),
    ids,
  );
  throws(
    bench,
    'postRecv after the device was given up',
    'EIO',
    () => verbs.postRecv(objects.qp, aRecv(1)),
    ids,
  );
  throws(
    bench,
    'pollCq after the device was given up',
    'EIO',
    () => verbs.pollCq(objects.sendCq, emptyCompletions(1), 1),
    ids,
  );
  bench.equal(indices(), before, 'what the rings show', ids);
  bench.equal(bench.transport.notifications, kicks, 'kicks', ids);
}

/** The driver has set FAILED. */
export function expectFailed(bench: Bench): void {
  bench.expect(bench.device.failed, 'the driver found no fault with the device: FAILED is not set', [
    'HOST-28',
  ]);
}

/** The driver has no fault to find. */
export function expectSound(bench: Bench): void {
  bench.expect(!bench.device.failed, 'the driver gave up a device that broke no rule', ['ERR-05']);
}
