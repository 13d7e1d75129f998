/** Waiting for many descriptors at once in one call (epoll): a front-end has two for each queue of each machine. */
import { EINTR, SystemError, calls, checked } from './native.js';
import { closeFd } from './descriptors.js';

interface EpollCalls {
  readonly create: (flags: number) => number;
  readonly control: (set: number, operation: number, fd: number, event: Uint8Array) => number;
  readonly wait: (set: number, events: Uint8Array, count: number, timeoutMs: number) => number;
}

const EPOLL_CLOEXEC = 0o2000000;
const ADD = 1;
const REMOVE = 2;
const EPOLLIN = 1;
/** Events that one call tells of. */
const EVENTS_MAX = 64;
/** struct epoll_event: packed on x86-64, in natural order elsewhere. */
const EVENT_BYTES = process.arch === 'x64' ? 12 : 16;
const DATA = EVENT_BYTES - 8;

let bound: EpollCalls | undefined;

function epoll(): EpollCalls {
  if (bound !== undefined) return bound;
  const libc = calls().koffi.load(null);
  bound = {
    create: libc.func('int epoll_create1(int flags)'),
    control: libc.func('int epoll_ctl(int set, int operation, int fd, uint8_t *event)'),
    wait: libc.func('int epoll_wait(int set, _Out_ uint8_t *events, int count, int timeout)'),
  };
  return bound;
}

export class EventSet {
  readonly #fd: number;
  readonly #events = new Uint8Array(EVENT_BYTES * EVENTS_MAX);
  readonly #view = new DataView(this.#events.buffer);
  readonly #ready = new Map<number, () => void>();

  constructor() {
    this.#fd = checked('epoll_create1', epoll().create(EPOLL_CLOEXEC), 'a set of events');
  }

  /** Calls `ready` from `wait` while the descriptor can be read or is hung up. */
  add(fd: number, ready: () => void): void {
    const event = new Uint8Array(EVENT_BYTES);
    const view = new DataView(event.buffer);
    view.setUint32(0, EPOLLIN, true);
    view.setUint32(DATA, fd, true);
    checked('epoll_ctl', epoll().control(this.#fd, ADD, fd, event), `descriptor ${fd}`);
    this.#ready.set(fd, ready);
  }

  /** To be called before the descriptor is closed. */
  remove(fd: number): void {
    if (!this.#ready.delete(fd)) return;
    checked(
      'epoll_ctl',
      epoll().control(this.#fd, REMOVE, fd, new Uint8Array(EVENT_BYTES)),
      `descriptor ${fd}`,
    );
  }

  /** Waits until a descriptor is ready, at most `timeoutMs`, and calls what was given with each. Returns how many were. */
  wait(timeoutMs: number): number {
    const count = epoll().wait(this.#fd, this.#events, EVENTS_MAX, timeoutMs);
    if (count < 0) {
      const errno = calls().koffi.errno();
      if (errno === EINTR) return 0;
      throw new SystemError('epoll_wait', errno, 'waiting');
    }
    for (let i = 0; i < count; i++) this.#ready.get(this.#view.getUint32(EVENT_BYTES * i + DATA, true))?.();
    return count;
  }

  close(): void {
    this.#ready.clear();
    closeFd(this.#fd);
  }
}
