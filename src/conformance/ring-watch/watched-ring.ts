/**
 * One split virtqueue, put together again from what both parties do to guest memory. Each access is judged when it is made,
 * by the half of the ring that made it.
 */
import type { QueueConfig, RingFeatures } from '../../virtio/index.js';
import { DeviceSide } from './device-side.js';
import { DriverSide } from './driver-side.js';
import { RingState } from './ring-state.js';
import type { QueueKind, RingHost } from './ring-state.js';

export class WatchedRing extends RingState {
  readonly driver: DriverSide;
  readonly device: DeviceSide;

  /** Throws RangeError when the areas are not in guest memory. What the driver has put into the ring before counts. */
  constructor(host: RingHost, config: QueueConfig, features: RingFeatures, kind: QueueKind) {
    super(host, config, features, kind);
    this.driver = new DriverSide(this);
    this.device = new DeviceSide(this, this.driver);
    this.driver.sync();
  }

  /** Nothing moves any more. */
  atRest(): void {
    this.driver.sync();
    if (this.lost) return;
    if (this.host.live) {
      this.toDevice.atRest();
      this.toDriver.atRest();
    } else {
      this.toDevice.forgive();
      this.toDriver.forgive();
    }
  }
}
