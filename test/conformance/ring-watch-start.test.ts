/** Rings that are watched from where another pair left them: their indices go on, and sound halves are not accused. */
import { describe, expect, it } from 'vitest';
import { profiles } from '../../src/abi/index.js';
import { smallLimits } from '../../src/conformance/limits.js';
import { Tally } from '../../src/conformance/ring-watch/tally.js';
import { WatchedMachine } from '../../src/conformance/ring-watch/watched-machine.js';
import { SimulatedGuest } from '../../src/conformance/simulated-guest.js';
import { Scheduler, firstChoice } from '../../src/fabric/index.js';
import {
  DeviceStatus,
  FeatureBit,
  featureSet,
  layOutRing,
  newDeviceQueue,
  newDriverQueue,
  ringBytes,
} from '../../src/virtio/index.js';
import type { RingFeatures } from '../../src/virtio/index.js';

const SIZE = 8;
const LIVE =
  DeviceStatus.ACKNOWLEDGE | DeviceStatus.DRIVER | DeviceStatus.FEATURES_OK | DeviceStatus.DRIVER_OK;

/** A queue of no object on a watched machine on which both halves start at `start`; `told` holds what the watch said of indices. */
function ringFrom(start: number, features: RingFeatures) {
  const tally = new Tally();
  const guest = new SimulatedGuest({
    scheduler: new Scheduler(firstChoice),
    memoryBytes: 16_384,
    arenaBytes: 4096,
    scatterSeed: 1,
  });
  const { maxQps, maxCqs } = smallLimits.device;
  const queues = profiles.roce.queues(maxQps, maxCqs);
  const quiet = () => undefined;
  const told: string[] = [];
  const sink = {
    available: quiet,
    taken: quiet,
    used: quiet,
    consumed: quiet,
    asleep: quiet,
    notified: quiet,
    woke: quiet,
    published: (_: number, idx: number, sent: boolean) => void told.push(`published ${idx} ${sent}`),
    interrupt: (_: number, idx: number, sent: boolean) => void told.push(`used ${idx} ${sent}`),
  };
  const commands = { command: quiet, answer: quiet };
  const init = {
    vm: 0,
    queues,
    maxQps,
    maxCqs,
    tally,
    sink,
    control: { driver: commands, device: commands },
  };
  const machine = new WatchedMachine(init, guest);
  const bits: number[] = [FeatureBit.VERSION_1];
  if (features.eventIdx) bits.push(FeatureBit.EVENT_IDX);
  if (features.packed === true) bits.push(FeatureBit.RING_PACKED);
  if (features.inOrder === true) bits.push(FeatureBit.IN_ORDER);
  machine.featuresWritten(featureSet(...bits));
  machine.statusWriting(LIVE);
  machine.statusWritten(LIVE);
  const ring = machine.os.allocDma(ringBytes(SIZE, features), 16);
  const from = { avail: start, used: start };
  const config = {
    index: 0,
    size: SIZE,
    ...layOutRing(ring.address, SIZE, features),
    start: from,
  };
  const driver = newDriverQueue(machine.driverMemory, config, features);
  machine.enabling(config.index, config.size, config, from);
  const device = newDeviceQueue(machine.deviceMemory, config, features);
  return { machine, tally, told, driver, device, index: config.index };
}

const splitStarts = [0, 5, 0x7fff, 65530, 65535];

describe('a ring with a past', () => {
  it.each(
    splitStarts.flatMap(start =>
      [false, true].flatMap(eventIdx => [false, true].map(inOrder => ({ start, eventIdx, inOrder }))),
    ),
  )(
    '[VQ-61] [VQ-67] goes on from $start, EVENT_IDX $eventIdx, IN_ORDER $inOrder',
    ({ start, eventIdx, inOrder }) => {
      const features = { indirect: false, eventIdx, inOrder };
      const { machine, tally, told, driver, device, index } = ringFrom(start, features);
      const buffer = machine.os.allocDma(64, 8);
      const chain = device.newChain();
      const element = { token: 0, written: 0 };
      for (let round = 1; round <= 20; round++) {
        driver.enableInterrupts();
        device.enableNotifications();
        driver.begin();
        driver.addReadable(buffer.address, 8);
        driver.commit(round);
        expect(driver.publish()).toBe(true);
        machine.notifying(index, undefined);
        device.disableNotifications();
        expect(device.take(chain)).toBe('chain');
        device.putUsed(chain.head, 0);
        expect(device.interruptWanted()).toBe(true);
        machine.interrupting(index);
        driver.disableInterrupts();
        expect(driver.takeUsed(element)).toBe(true);
        expect(driver.takeUsed(element)).toBe(false);
        const idx = (start + round) & 0xffff;
        expect(told.splice(0)).toEqual([`published ${idx} true`, `used ${idx} true`]);
      }
      machine.atRest();
      expect([...tally.breaches.values()].map(({ message }) => message)).toEqual([]);
    },
  );
});
