/** Writes verbs programs with their expected outcome: machines, and pairs of them in the standard set-up. */
import { PROGRAM_VERSION } from '../program.js';
import type { Action, Program } from '../program.js';
import { Endpoint } from './endpoint.js';
import type { EndpointOptions, EndpointType } from './endpoint.js';
import { Guest } from './guest.js';
import type { Sheet } from './guest.js';

export type Pair = readonly [Endpoint, Endpoint];

const ARENA_BYTES = 64 * 1024;

export interface ScriptOptions {
  /** Host of each machine; default: two machines on two hosts. */
  readonly hosts?: readonly number[];
  readonly arenaBytes?: number;
  readonly wide?: true;
  readonly faults?: { readonly drop?: number; readonly duplicate?: number; readonly reorder?: number };
}

export class Script implements Sheet {
  readonly actions: Action[] = [];
  readonly guests: readonly Guest[];
  readonly arenaBytes: number;
  endpoints = 0;
  readonly #options: ScriptOptions;

  constructor(options: ScriptOptions) {
    this.#options = options;
    this.arenaBytes = options.arenaBytes ?? ARENA_BYTES;
    const hosts = options.hosts ?? [0, 1];
    this.guests = hosts.map((_, vm) => new Guest(this, vm));
  }

  /**
   * Two endpoints, each with GID, PD, two completion queues, one region over the whole arena and a queue pair, connected
   * and in RTS; on one machine if there is just one.
   */
  pair(type: EndpointType, options: EndpointOptions = {}, other = options): Pair {
    return this.pairOn(this.guests[0], this.guests[1] ?? this.guests[0], type, options, other);
  }

  /** The same on two machines that are named. */
  pairOn(
    here: Guest,
    there: Guest,
    type: EndpointType,
    options: EndpointOptions = {},
    other = options,
  ): Pair {
    return connect(new Endpoint(here, type, options), new Endpoint(there, type, other));
  }

  /** Two more endpoints on the protection domains, completion queues and regions of others. */
  pairBeside(type: EndpointType, [near, far]: Pair, options: EndpointOptions = {}): Pair {
    return connect(
      new Endpoint(near.guest, type, options, near),
      new Endpoint(far.guest, type, options, far),
    );
  }

  program(name: string, doc: string): Program {
    const { hosts = [0, 1], faults = {}, wide } = this.#options;
    return {
      version: PROGRAM_VERSION,
      name,
      doc,
      mode: 'settled',
      hosts: [...hosts],
      arenaBytes: this.arenaBytes,
      indirect: true,
      eventIdx: true,
      faults: { drop: faults.drop ?? 0, duplicate: faults.duplicate ?? 0, reorder: faults.reorder ?? 0 },
      seed: 1,
      choices: { list: [], only: true },
      ...(wide === true ? { wide } : {}),
      actions: this.actions,
    };
  }
}

function connect(near: Endpoint, far: Endpoint): Pair {
  near.peer = far;
  far.peer = near;
  near.raise();
  far.raise();
  return [near, far];
}
