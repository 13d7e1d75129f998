/** Where a symbolic peer is. */
import type { AhAttributes } from '../../verbs/index.js';
import { gidOf } from '../patterns.js';

export function route(to: { vm: number; gid: number; sgidIndex?: number | undefined }): AhAttributes {
  return {
    dgid: gidOf(to.vm, to.gid),
    sgidIndex: to.sgidIndex ?? 0,
    flowLabel: 0x1_beef,
    hopLimit: 64,
    trafficClass: 0x2c,
  };
}

/** Presence is what puts an attribute in the mask, so what the program leaves out stays absent. */
