/**
 * One vhost-user connection: whole messages with their descriptors over a stream socket. It is read in one of two ways: by
 * waiting, in a thread that may block, or by the event loop.
 *
 * Bytes are asked for as far as the message goes and no further, so that descriptors come with the message that they
 * belong to. What a peer sends is bounded before it is kept; descriptors of a message that is refused are closed.
 */
import { closeFd, onReadable, waitFor } from './descriptors.js';
import type { Watch } from './descriptors.js';
import { header } from './messages.js';
import { SystemError } from './native.js';
import { HEADER_BYTES, MessageFlag, PAYLOAD_BYTES_MAX, VERSION_MASK, requestName } from './protocol.js';
import { FDS_MAX, receiveWithFds, sendWithFds } from './sockets.js';

export interface Message {
  readonly request: number;
  readonly flags: number;
  readonly payload: Uint8Array;
  /** Whoever takes the message closes them. */
  readonly fds: readonly number[];
}

/**
 * Why a connection is over. `closed`: the peer hung up between messages; `midway`: within one; `timeout`: it did not go on in
 * time; `foreign`: it does not speak vhost-user; `malformed`: it said something that cannot be; `lost`: the system said so;
 * `crashed`: what is behind the connection failed; `stopped`: this side has had enough.
 */
export type EndKind =
  'closed' | 'midway' | 'timeout' | 'foreign' | 'malformed' | 'lost' | 'crashed' | 'stopped';

export class ConnectionEnded extends Error {
  readonly code = 'ERR_VHOST_USER_ENDED';
  readonly kind: EndKind;

  constructor(kind: EndKind, message: string) {
    super(message);
    this.kind = kind;
  }
}

export interface ConnectionListener {
  message(message: Message): void;
  /** Nothing comes any more. The connection is closed already. */
  ended(why: ConnectionEnded): void;
}

const PATIENCE_MS = 5000;
/** Messages that one wake-up takes, so that one peer does not keep the others waiting. */
const MESSAGES_AT_ONCE = 64;

export interface ConnectionOptions {
  /** Milliseconds that a peer may take to go on with a message that it has begun, or with reading what is sent; 5000 when absent. */
  readonly patienceMs?: number;
}

export class Connection {
  readonly #fd: number;
  readonly #patienceMs: number;
  readonly #header = new Uint8Array(HEADER_BYTES);
  readonly #headerView = new DataView(this.#header.buffer);
  /** Undefined while the header is not complete. */
  #payload: Uint8Array | undefined;
  /** Bytes of the header, or of the payload behind it. */
  #got = 0;
  #fds: number[] = [];
  #watch: Watch | undefined;
  #stalled: NodeJS.Timeout | undefined;
  #open = true;

  /** Takes a connected socket that does not block, and closes it in the end. */
  constructor(fd: number, options: ConnectionOptions = {}) {
    this.#fd = fd;
    this.#patienceMs = options.patienceMs ?? PATIENCE_MS;
  }

  /** For whoever waits for several descriptors at once; undefined when it is closed. */
  get fd(): number | undefined {
    return this.#open ? this.#fd : undefined;
  }

  /** Sends one message. Blocks while the socket is full. Throws `ConnectionEnded`, and the connection is closed then. */
  send(request: number, flags: number, payload: Uint8Array, fds: readonly number[] = []): void {
    const whole = new Uint8Array(HEADER_BYTES + payload.length);
    const withVersion = flags | MessageFlag.values.VERSION;
    header.encode(new DataView(whole.buffer), 0, { request, flags: withVersion, size: payload.length });
    whole.set(payload, HEADER_BYTES);
    this.#orEnd(() => {
      for (let sent = 0; sent < whole.length;) {
        const count = sendWithFds(this.#fd, whole.subarray(sent), sent === 0 ? fds : []);
        if (count !== undefined) sent += count;
        else if (waitFor([this.#fd], this.#patienceMs, true).length === 0)
          throw new ConnectionEnded(
            'timeout',
            `the peer has not taken ${requestName(request)} for ${this.#patienceMs} ms`,
          );
      }
    });
  }

  /**
   * Waits for the next message, at most `timeoutMs`. Undefined when the time is over and none has begun. Throws
   * `ConnectionEnded`, and the connection is closed then. Blocks the thread.
   */
  receive(timeoutMs: number): Message | undefined {
    return this.#orEnd(() => {
      const deadlineMs = performance.now() + timeoutMs;
      for (;;) {
        const message = this.#read();
        if (message !== undefined) return message;
        const begun = this.#begun;
        const leftMs = begun ? this.#patienceMs : deadlineMs - performance.now();
        if (leftMs > 0 && waitFor([this.#fd], leftMs).length > 0) continue;
        if (!begun) return undefined;
        throw this.#stall();
      }
    });
  }

  /** Hands messages on as they come, from the event loop. */
  listen(listener: ConnectionListener): void {
    this.#watch = onReadable(this.#fd, () => {
      try {
        for (let taken = 0; this.#open && taken < MESSAGES_AT_ONCE; taken++) {
          const message = this.#orEnd(() => this.#read());
          if (message === undefined) break;
          listener.message(message);
        }
      } catch (error) {
        if (!(error instanceof ConnectionEnded)) throw error;
        listener.ended(error);
        return;
      }
      this.#watchHalves(listener);
    });
  }

  /** Closes the socket and what has come of a message that is not complete. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    clearTimeout(this.#stalled);
    this.#watch?.close();
    for (const fd of this.#fds.splice(0)) closeFd(fd);
    closeFd(this.#fd);
  }

  get #begun(): boolean {
    return this.#got > 0 || this.#payload !== undefined;
  }

  #watchHalves(listener: ConnectionListener): void {
    clearTimeout(this.#stalled);
    this.#stalled = undefined;
    if (!this.#open || !this.#begun) return;
    this.#stalled = setTimeout(() => {
      const why = this.#stall();
      this.close();
      listener.ended(why);
    }, this.#patienceMs);
  }

  #stall(): ConnectionEnded {
    return new ConnectionEnded(
      'timeout',
      `the peer stopped in the middle of ${this.#what()} and said nothing for ${this.#patienceMs} ms`,
    );
  }

  #orEnd<T>(act: () => T): T {
    if (!this.#open) throw new ConnectionEnded('closed', 'the connection is closed');
    try {
      return act();
    } catch (error) {
      if (!(error instanceof ConnectionEnded) && !(error instanceof SystemError)) throw error;
      this.close();
      throw error instanceof ConnectionEnded ? error : new ConnectionEnded('lost', error.message);
    }
  }

  /** Reads what is there. Undefined when the message is not complete yet. */
  #read(): Message | undefined {
    for (;;) {
      const target = this.#payload ?? this.#header;
      if (this.#got < target.length) {
        const received = receiveWithFds(this.#fd, target, this.#got, target.length - this.#got);
        if (received === undefined) return undefined;
        this.#keepFds(received.fds, received.fdsLost);
        if (received.bytes === 0) throw this.#hungUp();
        this.#got += received.bytes;
        continue;
      }
      this.#got = 0;
      if (this.#payload === undefined) this.#payload = this.#checkHeader();
      else return this.#takeMessage(this.#payload);
    }
  }

  #keepFds(fds: readonly number[], lost: boolean): void {
    this.#fds.push(...fds);
    if (lost || this.#fds.length > FDS_MAX)
      throw new ConnectionEnded('malformed', `more than ${FDS_MAX} descriptors came with ${this.#what()}`);
  }

  #hungUp(): ConnectionEnded {
    if (!this.#begun) return new ConnectionEnded('closed', 'the peer hung up');
    return new ConnectionEnded('midway', `the peer hung up in the middle of ${this.#what()}`);
  }

  #checkHeader(): Uint8Array {
    const { request, flags, size } = header.decode(this.#headerView, 0);
    if ((flags & VERSION_MASK) !== MessageFlag.values.VERSION) {
      const start = Buffer.from(this.#header)
        .toString('hex')
        .replaceAll(/..(?!$)/g, '$& ');
      throw new ConnectionEnded(
        'foreign',
        `the peer does not speak vhost-user: a message starts with ${start}, and its version is not 1`,
      );
    }
    if (size > PAYLOAD_BYTES_MAX)
      throw new ConnectionEnded(
        'malformed',
        `${requestName(request)} has a payload of ${size} bytes, at most ${PAYLOAD_BYTES_MAX}`,
      );
    return new Uint8Array(size);
  }

  #takeMessage(payload: Uint8Array): Message {
    const { request, flags } = header.decode(this.#headerView, 0);
    this.#payload = undefined;
    return { request, flags, payload, fds: this.#fds.splice(0) };
  }

  #what(): string {
    if (this.#payload === undefined) return 'a header';
    return requestName(header.decode(this.#headerView, 0).request);
  }
}
