/**
 * One split virtqueue, put together again from what both parties do to guest memory. Each access is judged when it is made,
 * by the half of the ring that made it.
 */
import type { QueueConfig, RingFeatures } from '../../virtio/index.js';
import { DeviceSide } from './device-side.js';
import { DriverSide } from './driver-side.js';
import type { QueueKind, RingHost } from './ring-state.js';
import { SplitState } from './split-state.js';

export class WatchedSplitRing extends SplitState {
  readonly driver: DriverSide;
  readonly device: DeviceSide;

  /**
   * Throws RangeError when the areas are not in guest memory. What the driver has put into the ring before counts, unless it
   * is a ring that was followed before and is not `fresh`.
   */
  constructor(host: RingHost, config: QueueConfig, features: RingFeatures, kind: QueueKind, fresh = true) {
    super(host, config, features, kind);
    this.driver = new DriverSide(this);
    this.device = new DeviceSide(this, this.driver);
    if (fresh) this.driver.sync();
  }
}
