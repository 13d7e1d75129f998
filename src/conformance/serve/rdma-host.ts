/**
 * RDMA devices of several machines on one host: a function of one reference HCA each, on one scheduler with virtual time.
 * Time passes only as far as there is something to do; retries without end get a turn when something else has happened.
 */
import { profiles } from '../../abi/index.js';
import { Fabric, Scheduler, firstChoice } from '../../fabric/index.js';
import type { WireObserver } from '../../fabric/index.js';
import { ReferenceHca } from '../../reference/index.js';
import type { ReferenceFunction } from '../../reference/index.js';
import { GuestMemory } from '../../virtio/index.js';
import type { ResumableDevice, VirtioDevice } from '../../virtio/index.js';
import { bundledDevice } from '../bundled.js';
import { smallLimits } from '../limits.js';
import type { RdmaQueues } from './live-judge.js';
import type { DeviceHost, GuestContext, HostOptions, HostedDevice } from './host.js';

/** Steps of the scheduler between two looks at the sockets. */
const STEPS_AT_ONCE = 4096;

/** A device that has no `stopQueue`. */
class NotServable extends Error {
  readonly code = 'ERR_NOT_SERVABLE';
}

export class RdmaHost implements DeviceHost {
  readonly #options: HostOptions;
  readonly #scheduler = new Scheduler(firstChoice);
  readonly #fabric: Fabric;
  readonly #hca: ReferenceHca;
  /** Functions that a machine had and that are free again: an HCA never gives one up. */
  readonly #free: ReferenceFunction[] = [];
  readonly #inUse = new Set<ReferenceFunction>();
  readonly rdma: RdmaQueues;
  /** Endless retries have had their turn since something moved. */
  #lapped = true;

  constructor(options: HostOptions) {
    this.#options = options;
    this.#fabric = new Fabric(this.#scheduler, {
      latencyNs: 1000,
      bandwidthBitsPerSecond: 100_000_000_000,
      faults: { dropPer1024: 0, duplicatePer1024: 0, reorderPer1024: 0 },
      faultSeed: 0,
    });
    this.#hca = new ReferenceHca(this.#scheduler, this.#fabric, smallLimits);
    const { maxQps, maxCqs } = smallLimits.device;
    this.rdma = { queues: profiles[options.profile].queues(maxQps, maxCqs), maxQps, maxCqs };
    options.faulty?.network?.(this.#fabric);
    // What cannot be served is known before somebody connects.
    this.open({ vm: 0, memory: new GuestMemory(), wake: () => undefined }).close();
  }

  observeWire(observer: WireObserver): void {
    this.#fabric.observe(observer);
  }

  nowNs(): number {
    return this.#scheduler.nowNs;
  }

  open({ vm, memory, ringObserver, controlObserver }: GuestContext): HostedDevice {
    const { profile, ringFeatures, faulty } = this.#options;
    const hcaFunction = this.#free.pop() ?? this.#hca.openFunction();
    this.#inUse.add(hcaFunction);
    const create = faulty?.device ?? bundledDevice;
    const device = resumable(
      create({
        profile: profiles[profile],
        memory,
        function: faulty?.adapter?.(hcaFunction, vm) ?? hcaFunction,
        scheduler: this.#scheduler,
        limits: smallLimits.device,
        ringFeatures,
        vm,
        ringObserver,
        controlObserver,
      }),
    );
    const seen = new Float64Array(device.queueCount);
    return {
      device,
      queueNumber: device.queueCount,
      run: () => this.#run(),
      poll: () => {
        let found = false;
        for (let index = 0; index < device.queueCount; index++) {
          const shown = device.look(index);
          // What lies there and was seen, a buffer for a completion above all, is nothing new.
          if (shown !== 0 && shown !== seen[index]) {
            device.notified(index);
            found = true;
          }
          seen[index] = shown;
        }
        return this.#run() || found;
      },
      close: () => {
        hcaFunction.reset();
        this.#inUse.delete(hcaFunction);
        this.#free.push(hcaFunction);
      },
    };
  }

  #run(): boolean {
    const scheduler = this.#scheduler;
    let steps = 0;
    for (; steps < STEPS_AT_ONCE && !scheduler.quiet; steps++) scheduler.step();
    if (!scheduler.quiet) return true;
    if (steps > 0) this.#lapped = false;
    if (this.#lapped || scheduler.endlessWaiting === 0) return false;
    return this.#lap();
  }

  /** Lets every endless retry try once. True when that got something done. */
  #lap(): boolean {
    const scheduler = this.#scheduler;
    this.#lapped = true;
    const before = this.#completions();
    const target = scheduler.endlessFired + scheduler.endlessWaiting;
    for (let left = STEPS_AT_ONCE; left > 0 && scheduler.endlessFired < target && scheduler.step(); left--);
    for (let left = STEPS_AT_ONCE; left > 0 && !scheduler.quiet; left--) scheduler.step();
    if (this.#completions() === before) return !scheduler.quiet;
    this.#lapped = false;
    return true;
  }

  #completions(): number {
    let sum = 0;
    for (const { counters } of this.#inUse) sum += counters.completions;
    return sum;
  }
}

/** Devices of this kit can be stopped queue by queue; somebody else's are not served. */
function resumable(device: VirtioDevice): ResumableDevice {
  if (isResumable(device)) return device;
  throw new NotServable('this device cannot be served: its queues cannot be stopped one by one');
}

function isResumable(device: VirtioDevice): device is ResumableDevice {
  return 'stopQueue' in device && 'look' in device && 'needsResetReason' in device;
}
