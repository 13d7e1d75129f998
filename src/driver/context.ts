/** What the verbs of every object family work with. */
import type { DeviceAttributes } from '../verbs/index.js';
import type { CommandEngine } from './command-engine.js';
import type { DriverAh, DriverCq, DriverMr, DriverPd, DriverQp } from './objects.js';
import type { Queues } from './queues.js';
import { Registry } from './registry.js';
import type { Session } from './session.js';

export class DriverContext {
  readonly session: Session;
  readonly engine: CommandEngine;
  readonly queues: Queues;
  readonly limits: DeviceAttributes;
  readonly pds = new Registry<DriverPd>('protection domain');
  readonly cqs = new Registry<DriverCq>('completion queue');
  readonly mrs = new Registry<DriverMr>('memory region');
  readonly qps = new Registry<DriverQp>('queue pair');
  readonly ahs = new Registry<DriverAh>('address handle');
  /** Keys of live regions. */
  readonly lkeys = new Set<number>();

  constructor(session: Session, engine: CommandEngine, queues: Queues, limits: DeviceAttributes) {
    this.session = session;
    this.engine = engine;
    this.queues = queues;
    this.limits = limits;
  }
}
