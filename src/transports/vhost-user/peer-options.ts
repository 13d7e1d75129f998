/**
 * What may differ from one vhost-user back-end to the next, as data. The defaults are what the specification expects of any
 * back-end; a peer that needs something else gets a profile.
 */

export interface PeerOptions {
  /** Entries of each queue, a power of two; 0: as many as the device's own limits ask for. */
  readonly queueSize: number;
  /**
   * When a queue is set up and enabled. `start`: all of them before DRIVER_OK. `first-kick`: each with the first kick behind
   * its first buffer, so that the queues of a queue pair come after CREATE_QP.
   */
  readonly rings: 'start' | 'first-kick';
  /** How memory is told. `table`: SET_MEM_TABLE; `regions`: ADD_MEM_REG and REM_MEM_REG, where they are offered. */
  readonly memory: 'table' | 'regions';
  /** Whether memory is told again after each reset, for a device that forgets it. */
  readonly memoryAfterReset: 'kept' | 'again';
  /**
   * How a device is reset. `auto`: the first of the others that is offered. `status`: SET_STATUS; `device`: RESET_DEVICE;
   * `reconnect`: the connection is closed and made again.
   */
  readonly reset: 'auto' | 'status' | 'device' | 'reconnect';
  /** How the device learns of available buffers. `event`: by a descriptor; `none`: it is told that there is none, and polls. */
  readonly kicks: 'event' | 'none';
  /** Feature bits that are not accepted, though offered. */
  readonly withoutFeatures: readonly number[];
  /** Names of protocol features that are not used, though offered. */
  readonly withoutProtocolFeatures: readonly string[];
  /** Connections at a time: machines with such a device. `{vm}` in the path stands for the machine's number. */
  readonly machines: number;
  /**
   * Requests that are answered one after the other before a device counts as being done with what it was told. Two are
   * enough for one that works its rings and its socket in one thread.
   */
  readonly barriers: number;
  /** Milliseconds without anything new before a device is at rest, besides; for one that works its rings in other threads. */
  readonly quietMs: number;
  /** Milliseconds that a request, a control command or a completion that is due may take, and that a request may lie unread. */
  readonly answerMs: number;
  /** Microseconds of looking again and again before the thread sleeps. */
  readonly spinUs: number;
  /** Milliseconds for a device that is gone, or that was started for the check, to take connections. */
  readonly reconnectMs: number;
  /** Milliseconds for a device that somebody else starts to be there at first. */
  readonly connectMs: number;
}

export const defaultPeerOptions: PeerOptions = {
  queueSize: 0,
  rings: 'start',
  memory: 'table',
  memoryAfterReset: 'kept',
  reset: 'auto',
  kicks: 'event',
  withoutFeatures: [],
  withoutProtocolFeatures: [],
  machines: 4,
  barriers: 2,
  quietMs: 0,
  answerMs: 2000,
  spinUs: 100,
  reconnectMs: 5000,
  connectMs: 500,
};
