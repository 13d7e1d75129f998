/** Network devices of several machines: each frame comes back to its sender, or goes through one switch to the others. */
import { LearningSwitch, NetDevice } from '../../netdev/index.js';
import type { DeviceHost, GuestContext, HostOptions, HostedDevice } from './host.js';

/** Queue pairs that a machine may use. */
const QUEUE_PAIRS = 4;
/** Looks at a queue before its driver is asked for notifications: as long as one takes to come from another process, about. */
const LOOKS_MAX = 2048;

export class NetHost implements DeviceHost {
  readonly #options: HostOptions;
  readonly #network: LearningSwitch | undefined;

  constructor(options: HostOptions, behind: 'switch' | 'loop') {
    this.#options = options;
    this.#network = behind === 'switch' ? new LearningSwitch() : undefined;
  }

  open({ vm, memory, wake, ringObserver }: GuestContext): HostedDevice {
    const { ringFeatures, polling } = this.#options;
    const device = new NetDevice({
      memory,
      network: this.#network,
      // A locally administered address, one for each machine. Most front-ends have their own idea of it.
      mac: Uint8Array.of(0x02, 0, 0, vm >>> 16, vm >>> 8, vm),
      queuePairs: QUEUE_PAIRS,
      ringFeatures,
      polling,
      looksMax: LOOKS_MAX,
      wake,
      ringObserver,
    });
    return {
      device,
      queueNumber: QUEUE_PAIRS,
      run: () => device.run(),
      poll: () => device.poll(),
      close: () => device.close(),
    };
  }
}
