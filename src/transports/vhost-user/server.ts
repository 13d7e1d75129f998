/**
 * Serves devices at a socket: each connection is a virtual machine with a device of its own. Devices work when something
 * kicks them, or all the time in polling mode; either way in small portions, so that no machine keeps the others waiting.
 */
import { Backend } from './backend.js';
import { ConnectionEnded } from './connection.js';
import { closeFd, onReadable } from './descriptors.js';
import type { Watch } from './descriptors.js';
import { SystemError } from './native.js';
import type { ServedDevice, ServedDeviceFactory } from './served-device.js';
import { listenAt } from './socket-path.js';
import type { ListeningSocket } from './socket-path.js';
import { acceptUnix } from './sockets.js';

export interface ServerOptions {
  /** Path of the socket. */
  readonly path: string;
  readonly serve: ServedDeviceFactory;
  /** Looks at every queue again and again instead of waiting for kicks: quicker, at the cost of a processor. */
  readonly polling: boolean;
  readonly listener: ServerListener;
}

export interface ServerListener {
  connected(vm: number): void;
  /** A request was refused, or a descriptor is no good. */
  complaint(vm: number, message: string): void;
  disconnected(vm: number, why: ConnectionEnded): void;
}

/** Connections at a time. */
const CONNECTIONS_MAX = 64;
/** Times that all devices have their turn before the event loop has its own, and those of them with nothing found. */
const ROUNDS = 64;
const VAIN_ROUNDS = 8;

interface Served {
  readonly vm: number;
  readonly backend: Backend;
  readonly served: ServedDevice;
}

export class VhostUserServer {
  readonly #options: ServerOptions;
  readonly #socket: ListeningSocket;
  readonly #accepting: Watch;
  readonly #machines = new Map<number, Served>();
  #connections = 0;
  #scheduled = false;
  #working = false;
  #open = true;

  /** Listens. Throws `SocketFault` and `NativeMissing`. */
  constructor(options: ServerOptions) {
    this.#options = options;
    this.#socket = listenAt(options.path);
    this.#accepting = onReadable(this.#socket.fd, () => this.#accept());
  }

  /** Connections that are open. */
  get connections(): number {
    return this.#machines.size;
  }

  /** Ends all connections and takes the socket away. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#accepting.close();
    this.#socket.close();
    for (const { backend } of this.#machines.values())
      backend.close(new ConnectionEnded('stopped', 'the server was stopped'));
  }

  #accept(): void {
    const fd = this.#next();
    if (fd === undefined) return;
    const vm = this.#connections++;
    const { serve, polling, listener } = this.#options;
    if (this.#machines.size >= CONNECTIONS_MAX) {
      closeFd(fd);
      listener.complaint(vm, `more than ${CONNECTIONS_MAX} connections; this one was closed`);
      return;
    }
    listener.connected(vm);
    const served = serve({ vm, wake: () => this.#schedule() });
    const backend = new Backend({
      fd,
      served,
      polling,
      work: () => this.#work(),
      complain: message => listener.complaint(vm, message),
      ended: why => {
        this.#machines.delete(vm);
        listener.disconnected(vm, why);
      },
    });
    this.#machines.set(vm, { vm, backend, served });
  }

  #next(): number | undefined {
    try {
      return acceptUnix(this.#socket.fd);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      this.#options.listener.complaint(this.#connections, error.message);
      return undefined;
    }
  }

  /** Lets the devices work now, and goes on later when there is more. */
  #work(): void {
    // A device that wakes another while it works is heard below.
    if (this.#working || this.#options.polling) return this.#schedule();
    this.#working = true;
    let more = true;
    try {
      for (let round = 0; more && round < ROUNDS; round++) {
        more = false;
        for (const machine of this.#machines.values()) more = this.#let(machine, 'run') || more;
      }
    } finally {
      this.#working = false;
    }
    if (more || this.#isPolled()) this.#schedule();
  }

  #let({ backend, served }: Served, how: 'run' | 'poll'): boolean {
    try {
      return served[how]();
    } catch (error) {
      backend.crashed(error);
      return false;
    }
  }

  #isPolled(): boolean {
    for (const { backend } of this.#machines.values()) if (backend.polled) return true;
    return false;
  }

  #schedule(): void {
    if (this.#scheduled || !this.#open) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (this.#options.polling || this.#isPolled()) this.#pollAll();
      else this.#work();
    });
  }

  #pollAll(): void {
    for (let round = 0, vain = 0; round < ROUNDS && vain < VAIN_ROUNDS; round++) {
      let found = false;
      for (const machine of this.#machines.values()) found = this.#let(machine, 'poll') || found;
      vain = found ? 0 : vain + 1;
    }
    if (this.#machines.size > 0) this.#schedule();
  }
}
