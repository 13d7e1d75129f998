/**
 * The requests of one vhost-user front-end: taken apart, carried out by whoever has a handler for each, and answered. Protocol
 * features are agreed on here; what a request does to a device is its handler's.
 */
import type { Connection, Message } from './connection.js';
import { closeFd } from './descriptors.js';
import { decodeRequest, encodePayload } from './messages.js';
import type { Payload } from './messages.js';
import { MessageFlag, ProtocolFeature, requestName } from './protocol.js';
import type { RequestName } from './protocol.js';

/** A request that is not carried out. */
export class Refused extends Error {}

/** What is answered besides an acknowledgement. */
export interface Answer {
  readonly payload: Payload;
}

/** Carries a request out. It takes the descriptors that it keeps out of `fds`; the rest are closed behind it. */
export type Handler = (payload: Payload, fds: number[]) => Answer | undefined;

export type Handlers = Partial<Record<RequestName, Handler>>;

type FeatureName = keyof typeof ProtocolFeature.values;

export class BackendSession {
  readonly #connection: Connection;
  readonly #offered: bigint;
  readonly #handlers: Handlers;
  #accepted = 0n;

  /** @param offered protocol features, by name */
  constructor(connection: Connection, offered: readonly FeatureName[], handlers: Handlers) {
    this.#connection = connection;
    this.#offered = offered.reduce((set, name) => set | bitOf(name), 0n);
    this.#handlers = {
      SET_OWNER: () => undefined,
      GET_PROTOCOL_FEATURES: () => number(this.#offered),
      SET_PROTOCOL_FEATURES: ofNumber(value => this.#accept(value)),
      ...handlers,
    };
  }

  /** Whether a protocol feature is in force. */
  has(name: FeatureName): boolean {
    return (this.#accepted & bitOf(name)) !== 0n;
  }

  #accept(wanted: bigint): undefined {
    if ((wanted & ~this.#offered) !== 0n)
      throw new Refused(
        `protocol features 0x${wanted.toString(16)}, offered are 0x${this.#offered.toString(16)}`,
      );
    this.#accepted = wanted;
  }

  /** Whether the front-end waits to hear how a request went. */
  wantsAck({ flags }: Message): boolean {
    return (flags & MessageFlag.values.NEED_REPLY) !== 0 && this.has('REPLY_ACK');
  }

  /** Carries a request out and answers it. Throws Refused, MessageFault, ConnectionEnded, and what its handler throws. */
  take(message: Message): void {
    const { request, payload } = message;
    const fds = [...message.fds];
    const wantsAck = this.wantsAck(message);
    try {
      const decoded = decodeRequest(request, payload, fds.length);
      const handler = decoded === undefined ? undefined : this.#handlers[decoded.name];
      if (decoded === undefined || handler === undefined)
        throw new Refused(`${requestName(request)} belongs to a feature that was not offered`);
      const answer = handler(decoded.payload, fds);
      if (answer !== undefined) this.answer(request, answer.payload);
      else if (wantsAck) this.acknowledge(request, true);
    } finally {
      for (const fd of fds) closeFd(fd);
    }
  }

  /** Throws ConnectionEnded. */
  acknowledge(request: number, done: boolean): void {
    this.answer(request, { kind: 'u64', value: done ? 0n : 1n });
  }

  /** Throws ConnectionEnded. */
  answer(request: number, payload: Payload): void {
    this.#connection.send(request, MessageFlag.values.REPLY, encodePayload(payload));
  }
}

function bitOf(name: FeatureName): bigint {
  return 1n << BigInt(ProtocolFeature.values[name]);
}

export function number(value: bigint): Answer {
  return { payload: { kind: 'u64', value } };
}

/** A request that carries a number and is answered by none. */
export function ofNumber(act: (value: bigint) => void): Handler {
  return payload => {
    if (payload.kind === 'u64') act(payload.value);
    return undefined;
  };
}
