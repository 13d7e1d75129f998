/**
 * A device for a driver in another process: the back-end of one vhost-user connection, which passes what the front-end asks
 * for on to a virtio transport. It has no thread and no event loop of its own: it is served while somebody waits anyway.
 *
 * The machine's memory is the kit's; the front-end describes a mapping of the same file, so that only addresses are translated.
 */
import { BackendRing } from '../../transports/vhost-user/backend-ring.js';
import { BackendSession, Refused, number, ofNumber } from '../../transports/vhost-user/backend-session.js';
import type { Answer, Handler, Handlers } from '../../transports/vhost-user/backend-session.js';
import { Connection, ConnectionEnded } from '../../transports/vhost-user/connection.js';
import { waitFor } from '../../transports/vhost-user/descriptors.js';
import type { DeviceSocket } from '../../transports/vhost-user/device-socket.js';
import { fileState } from '../../transports/vhost-user/mappings.js';
import { MessageFault } from '../../transports/vhost-user/messages.js';
import type { ConfigAccess, MemoryRegion, VringState } from '../../transports/vhost-user/messages.js';
import { F_PROTOCOL_FEATURES, QUEUE_MASK } from '../../transports/vhost-user/protocol.js';
import { acceptUnix } from '../../transports/vhost-user/sockets.js';
import type { VirtioTransport } from '../../virtio/index.js';

/** What the front-end is to map: a file, and where in guest memory it lies. */
export interface SeatMemory {
  /** Of the file: two descriptors of one file have the same. */
  readonly identity: string;
  readonly address: number;
  readonly bytes: number;
}

const PROTOCOL_FEATURE = 1n << BigInt(F_PROTOCOL_FEATURES);
const LOOK_MS = 1000;
const CONFIG_TRIES_MAX = 100;

export class DeviceSeat {
  readonly #socket: DeviceSocket;
  readonly #transport: VirtioTransport;
  readonly #memory: SeatMemory;
  readonly #interrupted: () => void;
  readonly #rings: readonly BackendRing[];
  #connection: Connection | undefined;
  #session: BackendSession | undefined;
  #region: MemoryRegion | undefined;
  #open = true;

  /** @param interrupted called when the device has interrupted: the front-end has something to look at */
  constructor(socket: DeviceSocket, transport: VirtioTransport, memory: SeatMemory, interrupted: () => void) {
    this.#socket = socket;
    this.#transport = transport;
    this.#memory = memory;
    this.#interrupted = interrupted;
    this.#rings = Array.from({ length: transport.queueCount }, (_, index) => new BackendRing(index));
    transport.onInterrupt(source => this.#interrupt(source));
  }

  /**
   * Serves the front-end until the other descriptor can be read.
   * @throws MessageFault, ConnectionEnded for a front-end that breaks the protocol
   */
  serveUntil(other: number): void {
    for (;;) {
      const own = this.#connection?.fd ?? this.#socket.fd;
      const ready = waitFor([other, own], LOOK_MS);
      if (ready.includes(own)) this.#serve();
      // What was asked for before the answer is done before the answer is looked at.
      else if (ready.includes(other)) return;
    }
  }

  /** Passes on the kicks that there were. */
  passKicks(): void {
    for (const ring of this.#rings) if (ring.takeKick()) this.#transport.notify(ring.index);
  }

  /** Hangs up. Interrupts that come later are nobody's. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#connection?.close();
    for (const ring of this.#rings) ring.close();
  }

  #interrupt(source: number | 'config'): void {
    if (!this.#open) return;
    // What breaks one queue breaks the device: the front-end looks at the status then.
    const told = source === 'config' ? this.#tellBroken() : this.#rings[source].call();
    if (told) this.#interrupted();
  }

  #tellBroken(): boolean {
    return this.#rings.reduce((told, ring) => ring.tellBroken() || told, false);
  }

  #serve(): void {
    if (this.#connection === undefined || this.#session === undefined) {
      const fd = acceptUnix(this.#socket.fd);
      if (fd === undefined) return;
      this.#connection = new Connection(fd);
      this.#session = new BackendSession(
        this.#connection,
        ['MQ', 'REPLY_ACK', 'CONFIG', 'STATUS'],
        this.#handlers(),
      );
      return;
    }
    try {
      for (;;) {
        const message = this.#connection.receive(0);
        if (message === undefined) return;
        this.#session.take(message);
      }
    } catch (error) {
      if (error instanceof Refused) throw new MessageFault(error.message);
      if (!(error instanceof ConnectionEnded) || error.kind !== 'closed') throw error;
      this.close();
    }
  }

  #handlers(): Handlers {
    const transport = this.#transport;
    return {
      GET_FEATURES: () => number(transport.deviceFeatures | PROTOCOL_FEATURE),
      SET_FEATURES: ofNumber(value => transport.setDriverFeatures(value & ~PROTOCOL_FEATURE)),
      GET_QUEUE_NUM: () => number(BigInt(transport.queueCount)),
      GET_STATUS: () => number(BigInt(transport.readStatus())),
      SET_STATUS: ofNumber(value => transport.writeStatus(Number(value & 0xffn))),
      GET_CONFIG: payload => (payload.kind === 'config' ? this.#config(payload.access) : undefined),
      SET_MEM_TABLE: (payload, fds) =>
        payload.kind === 'regions' ? this.#setMemory(payload.regions, fds) : undefined,
      SET_VRING_NUM: this.#ofRing((ring, { num }) => void (ring.size = num)),
      SET_VRING_BASE: this.#ofRing((ring, { num }) => {
        if (num !== 0) throw new Refused(`SET_VRING_BASE ${ring.index}: ${num}`);
      }),
      SET_VRING_ENABLE: this.#ofRing((ring, { num }) => {
        if (num !== 1) throw new Refused(`SET_VRING_ENABLE ${ring.index}: ${num}`);
        this.#enable(ring);
      }),
      SET_VRING_ADDR: payload => {
        if (payload.kind === 'vring-address') this.#ring(payload.address.index).addresses = payload.address;
        return undefined;
      },
      SET_VRING_KICK: this.#ofFd((ring, fd) => ring.setKick(fd, undefined)),
      SET_VRING_CALL: this.#ofFd((ring, fd) => ring.setCall(fd)),
      SET_VRING_ERR: this.#ofFd((ring, fd) => ring.setErr(fd)),
    };
  }

  #ofRing(act: (ring: BackendRing, state: VringState) => void): Handler {
    return payload => {
      if (payload.kind === 'vring-state') act(this.#ring(payload.state.index), payload.state);
      return undefined;
    };
  }

  #ofFd(act: (ring: BackendRing, fd: number | undefined) => void): Handler {
    return (payload, fds) => {
      if (payload.kind === 'u64') act(this.#ring(Number(payload.value & BigInt(QUEUE_MASK))), fds.pop());
      return undefined;
    };
  }

  #ring(index: number): BackendRing {
    if (index >= this.#rings.length)
      throw new Refused(`there is no queue ${index}; the device has ${this.#rings.length}`);
    return this.#rings[index];
  }

  #config({ offset, data, flags }: ConfigAccess): Answer {
    const { buffer, byteOffset, byteLength } = steadyConfig(this.#transport);
    // An answer without a byte says that there are not as many.
    const there = offset + data.length <= byteLength ? data.length : 0;
    const bytes = new Uint8Array(buffer, byteOffset + (there === 0 ? 0 : offset), there).slice();
    return { payload: { kind: 'config', access: { offset, flags, data: bytes } } };
  }

  #enable({ index, size, addresses }: BackendRing): void {
    if (addresses === undefined) throw new Refused(`queue ${index} is enabled and has no place`);
    this.#transport.enableQueue(index, size, {
      descriptors: this.#guestAddress(addresses.descriptors),
      driver: this.#guestAddress(addresses.available),
      device: this.#guestAddress(addresses.used),
    });
  }

  /** Of a front-end's address; one that is nowhere stays one that is nowhere. */
  #guestAddress(user: number): number {
    const at = user - (this.#region?.userAddress ?? 0);
    return this.#region !== undefined && at >= 0 && at < this.#region.bytes
      ? this.#region.guestAddress + at
      : Number.MAX_SAFE_INTEGER;
  }

  #setMemory(regions: readonly MemoryRegion[], fds: readonly number[]): undefined {
    const [region] = regions;
    const { identity, address, bytes } = this.#memory;
    const right =
      regions.length === 1 &&
      region.guestAddress === address &&
      region.bytes === bytes &&
      region.offset === 0 &&
      fileState(fds[0]).identity === identity;
    if (!right)
      throw new MessageFault(
        `SET_MEM_TABLE must hold one region, the file that was given, ${bytes} bytes at ${address}`,
      );
    this.#region = region;
  }
}

/** The configuration as it was between two equal generations: a message has no room for the generation. */
function steadyConfig(transport: VirtioTransport): DataView {
  for (let tries = 0; ; tries++) {
    const { configGeneration } = transport;
    const config = transport.readConfig();
    if (transport.configGeneration === configGeneration || tries === CONFIG_TRIES_MAX) return config;
  }
}
