/** The two halves of a queue pair, as the queue pair sees them. */
import type { Packet } from '../fabric/index.js';

/** Both, made for one queue pair. */
export interface Halves {
  readonly requester: Requester;
  readonly responder: Responder;
}

/** The half that executes the send queue. */
export interface Requester {
  /** PSN of the next new packet. */
  readonly newPsn: number;
  /** Position behind the last request that has started. */
  readonly started: number;
  setPsn(psn: number): void;
  /** Sends a few packets. True when there is more to do at once. */
  work(): boolean;
  /** An acknowledge or read response. */
  receive(packet: Packet): void;
  /** retry_cnt or rnr_retry was set. */
  retriesChanged(): void;
  /** Forgets everything in progress; the queue's requests stay. */
  stop(): void;
}

/** The half that answers requests and fills receives. */
export interface Responder {
  expectedPsn: number;
  receive(packet: Packet): void;
  /** Sends a few response packets. True when there is more to do at once. */
  work(): boolean;
  stop(): void;
}
