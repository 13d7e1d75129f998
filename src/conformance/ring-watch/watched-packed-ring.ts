/**
 * One packed virtqueue, put together again from what both parties do to guest memory. Each access is judged when it is made,
 * by the half of the ring that made it.
 */
import type { QueueConfig, RingFeatures } from '../../virtio/index.js';
import { PackedDeviceSide } from './packed-device-side.js';
import { PackedDriverSide } from './packed-driver-side.js';
import { PackedState } from './packed-state.js';
import type { QueueKind, RingHost } from './ring-state.js';

export class WatchedPackedRing extends PackedState {
  readonly driver: PackedDriverSide;
  readonly device: PackedDeviceSide;

  /**
   * Throws RangeError when the areas are not in guest memory. What the driver has put into the ring before counts, unless it
   * is a ring that was followed before and is not `fresh`.
   */
  constructor(host: RingHost, config: QueueConfig, features: RingFeatures, kind: QueueKind, fresh = true) {
    super(host, config, features, kind);
    this.driver = new PackedDriverSide(this);
    this.device = new PackedDeviceSide(this, this.driver);
    if (fresh) this.driver.sync();
  }
}
