/** What the parts of one function share. */
import type { Fabric, FabricPort, Scheduler } from '../fabric/index.js';
import type { DeviceAttributes, PortAttributes } from '../verbs/index.js';
import type { Counters } from './counters.js';
import type { MemoryKeys } from './memory-keys.js';

export interface FunctionContext {
  readonly scheduler: Scheduler;
  readonly fabric: Fabric;
  readonly fabricPort: FabricPort;
  readonly attributes: DeviceAttributes;
  readonly port: PortAttributes;
  readonly keys: MemoryKeys;
  readonly counters: Counters;
  /** The GID table; empty entries are undefined. */
  readonly gids: readonly (string | undefined)[];
}
