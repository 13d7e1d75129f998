/**
 * A vhost-user back-end: one front-end's requests on one side, a virtio device on the other. The protocol knows rings that
 * start and stop, but until lately no device status; where the front-end does not tell it, it follows from what it does:
 * features that are set are negotiated, and the driver is ready when its first ring starts.
 *
 * A request that cannot be carried out is answered so, if the front-end waits for an answer, and ends the connection if not:
 * it would believe something that is not so.
 */
import { DeviceStatus, featureMask } from '../../virtio/index.js';
import type { FeatureSet } from '../../virtio/index.js';
import { BackendRings } from './backend-rings.js';
import { BackendSession, Refused, number, ofNumber } from './backend-session.js';
import type { Answer, Handlers } from './backend-session.js';
import { Connection, ConnectionEnded } from './connection.js';
import type { Message } from './connection.js';
import { MessageFault } from './messages.js';
import type { ConfigAccess } from './messages.js';
import { SystemError } from './native.js';
import { CONFIG_BYTES_MAX, F_PROTOCOL_FEATURES, requestName } from './protocol.js';
import type { ServedDevice } from './served-device.js';
import { RegionFault } from './shared-memory.js';

export interface BackendInit {
  readonly fd: number;
  readonly served: ServedDevice;
  /** Nobody waits for kicks; whoever drives the device looks at every queue again and again. */
  readonly polling: boolean;
  /** The device was notified, or may have something to do. */
  work(): void;
  /** One line for a person about what the front-end did. */
  complain(message: string): void;
  /** The connection is over, and all that it held is free. */
  ended(why: ConnectionEnded): void;
}

const { ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK } = DeviceStatus;
const BACKEND_CONFIG_CHANGE = 2;
const U64 = (1n << 64n) - 1n;

export class Backend {
  readonly #init: BackendInit;
  readonly #served: ServedDevice;
  readonly #connection: Connection;
  readonly #session: BackendSession;
  readonly #rings: BackendRings;
  /** As SET_FEATURES gave them, with the bit for protocol features. */
  #features: FeatureSet | undefined;
  /** For requests of this side's. */
  #requests: Connection | undefined;
  #open = true;

  constructor(init: BackendInit) {
    const { fd, served, polling } = init;
    this.#init = init;
    this.#served = served;
    this.#rings = new BackendRings({
      served,
      polling,
      features: () => this.#features,
      hasStatus: () => this.#session.has('STATUS'),
      negotiate: () => this.#negotiate(),
      work: () => init.work(),
      complain: message => init.complain(message),
      crashed: error => this.crashed(error),
    });
    served.device.attach({
      interruptQueue: index => this.#rings.call(index),
      interruptConfig: () => this.#configChanged(),
    });
    this.#connection = new Connection(fd);
    this.#session = new BackendSession(
      this.#connection,
      ['MQ', 'REPLY_ACK', 'BACKEND_REQ', 'CONFIG', 'RESET_DEVICE', 'CONFIGURE_MEM_SLOTS', 'STATUS'],
      { ...this.#rings.handlers, ...this.#handlers() },
    );
    this.#connection.listen({
      message: message => this.#message(message),
      ended: why => this.close(why),
    });
  }

  /** Some ring has to be polled. */
  get polled(): boolean {
    return this.#init.polling || this.#rings.polled;
  }

  /** The device threw: its own fault, whatever the driver did. */
  crashed(error: unknown): void {
    const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.close(new ConnectionEnded('crashed', `the device failed: ${what}`));
  }

  /** Ends the connection and resets the device; all that they held is free then. */
  close(why: ConnectionEnded): void {
    if (!this.#open) return;
    this.#open = false;
    this.#connection.close();
    this.#requests?.close();
    this.#rings.close();
    this.#served.device.writeStatus(0);
    this.#served.close();
    this.#rings.freeMemory();
    this.#init.ended(why);
  }

  // ---------------------------------------------------------------- requests

  #message(message: Message): void {
    try {
      this.#session.take(message);
    } catch (error) {
      this.#failed(message, error);
    }
  }

  #failed(message: Message, error: unknown): void {
    if (error instanceof ConnectionEnded) return this.close(error);
    if (error instanceof MessageFault) return this.close(new ConnectionEnded('malformed', error.message));
    const known = error instanceof Refused || error instanceof RegionFault || error instanceof SystemError;
    if (!known) throw error;
    const what = `${requestName(message.request)}: ${error.message}`;
    if (!this.#session.wantsAck(message)) return this.close(new ConnectionEnded('malformed', what));
    this.#init.complain(what);
    try {
      this.#session.acknowledge(message.request, false);
    } catch (lost) {
      if (!(lost instanceof ConnectionEnded)) throw lost;
      this.close(lost);
    }
  }

  #handlers(): Handlers {
    const { device, queueNumber } = this.#served;
    return {
      GET_FEATURES: () => number(this.#offered),
      SET_FEATURES: ofNumber(value => this.#setFeatures(value)),
      RESET_DEVICE: () => this.#reset(),
      GET_QUEUE_NUM: () => number(BigInt(queueNumber)),
      GET_CONFIG: payload => (payload.kind === 'config' ? this.#config(payload.access) : undefined),
      SET_CONFIG: () => {
        throw new Refused('no field of the configuration space can be written');
      },
      SET_BACKEND_REQ_FD: (_payload, fds) => this.#setRequests(fds),
      GET_STATUS: () => number(BigInt(device.readStatus())),
      SET_STATUS: ofNumber(value => this.#setStatus(Number(value & 0xffn))),
    };
  }

  // ---------------------------------------------------------------- features, status, configuration

  get #offered(): bigint {
    return (this.#served.device.deviceFeatures | featureMask(F_PROTOCOL_FEATURES)) & U64;
  }

  #setFeatures(features: bigint): undefined {
    const { device } = this.#served;
    const beyond = features & ~this.#offered;
    if (beyond !== 0n) throw new Refused(`features 0x${beyond.toString(16)} are not offered`);
    if (features === this.#features && this.#isNegotiated) return;
    if (this.#isNegotiated) {
      if (this.#rings.running) throw new Refused('features change while rings are running');
      device.writeStatus(0);
    }
    this.#features = features;
    device.setDriverFeatures(features & ~featureMask(F_PROTOCOL_FEATURES));
    if (!this.#session.has('STATUS')) this.#negotiate();
    this.#rings.startAll();
  }

  /** FEATURES_OK, with the steps before it. */
  #negotiate(): void {
    const { device } = this.#served;
    device.writeStatus(ACKNOWLEDGE);
    device.writeStatus(ACKNOWLEDGE | DRIVER);
    device.setDriverFeatures((this.#features ?? 0n) & ~featureMask(F_PROTOCOL_FEATURES));
    device.writeStatus(ACKNOWLEDGE | DRIVER | FEATURES_OK);
    if (!this.#isNegotiated)
      throw new Refused(
        `the device does not work with features 0x${(this.#features ?? 0n).toString(16)} alone`,
      );
  }

  get #isNegotiated(): boolean {
    return (this.#served.device.readStatus() & FEATURES_OK) !== 0;
  }

  /** Front-ends leave steps out, so each bit brings those before it. */
  #setStatus(status: number): undefined {
    const { device } = this.#served;
    if (status === 0) return this.#reset();
    if ((status & (FEATURES_OK | DRIVER_OK)) !== 0 && !this.#isNegotiated && this.#features !== undefined)
      this.#negotiate();
    this.#rings.startAll();
    device.writeStatus(status | device.readStatus());
    this.#rings.startAll();
    this.#init.work();
  }

  #reset(): undefined {
    this.#rings.forget();
    this.#served.device.writeStatus(0);
    this.#rings.letGo();
    this.#init.work();
  }

  #config({ offset, data, flags }: ConfigAccess): Answer {
    const config = this.#served.device.readConfig();
    if (offset + data.length > CONFIG_BYTES_MAX) return { payload: { kind: 'none' } };
    // Behind its end there are zeros: a front-end may ask for the longest form of a space.
    const bytes = new Uint8Array(data.length);
    for (let i = 0; i < bytes.length && offset + i < config.byteLength; i++)
      bytes[i] = config.getUint8(offset + i);
    return { payload: { kind: 'config', access: { offset, flags, data: bytes } } };
  }

  #setRequests(fds: number[]): undefined {
    this.#requests?.close();
    const fd = fds.pop();
    this.#requests = fd === undefined ? undefined : new Connection(fd);
  }

  #configChanged(): void {
    const { needsResetReason } = this.#served.device;
    if (needsResetReason !== undefined) {
      this.#init.complain(`the device needs a reset: ${needsResetReason}`);
      this.#rings.tellBroken();
    }
    if (!this.#session.has('CONFIG')) return;
    try {
      this.#requests?.send(BACKEND_CONFIG_CHANGE, 0, new Uint8Array(0));
    } catch (error) {
      if (!(error instanceof ConnectionEnded)) throw error;
      this.#requests = undefined;
    }
  }
}
