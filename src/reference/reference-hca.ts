/** The reference HCA: each function is a port of its own on the fabric, and shares nothing with the others. */
import type { Fabric, Scheduler } from '../fabric/index.js';
import { Counters } from './counters.js';
import { ReferenceFunction } from './function.js';
import type { Hca, HcaLimits } from './hca.js';

export class ReferenceHca implements Hca {
  readonly #scheduler: Scheduler;
  readonly #fabric: Fabric;
  readonly #limits: HcaLimits;
  readonly #functions: ReferenceFunction[] = [];

  constructor(scheduler: Scheduler, fabric: Fabric, limits: HcaLimits) {
    this.#scheduler = scheduler;
    this.#fabric = fabric;
    this.#limits = limits;
  }

  openFunction(): ReferenceFunction {
    const opened = new ReferenceFunction(this.#scheduler, this.#fabric, this.#limits);
    this.#functions.push(opened);
    return opened;
  }

  /** What all functions did so far. */
  get counters(): Counters {
    return Counters.sum(this.#functions.map(fn => fn.counters));
  }
}
