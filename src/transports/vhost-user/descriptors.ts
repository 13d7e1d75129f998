/** Descriptors of every kind: events (eventfd), waiting for several at once, and the event loop. */
import { EINTR, Place, SystemError, calls, checked, unlessBlocked } from './native.js';

/** A descriptor on the event loop. It must be closed before its descriptor is. */
export interface Watch {
  close(): void;
}

const F_GETFL = 3;
const F_SETFL = 4;
const POLLIN = 1;
const POLLOUT = 4;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const POLLFD_BYTES = 8;
const POLL_FDS_MAX = (Place.NUMBER - Place.POLLFDS) / POLLFD_BYTES;

export function closeFd(fd: number): void {
  checked('close', calls().close(fd), `descriptor ${fd}`);
}

/** An event descriptor, not blocking. */
export function newEvent(): number {
  return checked('eventfd', calls().eventfd(0, O_NONBLOCK | O_CLOEXEC), 'an event descriptor');
}

/**
 * Adds 1 to an event descriptor; whoever waits for it wakes up. Also true of a pipe. False when nobody empties it: it
 * says so already.
 */
export function signalEvent(fd: number): boolean {
  const { write, scratch, view } = calls();
  view.setBigUint64(Place.NUMBER, 1n, true);
  return unlessBlocked('write', 'an event', () => write(fd, scratch + Place.NUMBER, 8)) !== undefined;
}

/** Empties an event descriptor. False when nobody has signalled it. The descriptor must not block. */
export function drainEvent(fd: number): boolean {
  const { read, scratch } = calls();
  return unlessBlocked('read', 'an event', () => read(fd, scratch + Place.NUMBER, 8)) !== undefined;
}

/** Makes a descriptor that somebody else made return at once when it has nothing. */
export function makeNonBlocking(fd: number): void {
  const { fcntl } = calls();
  const flags = checked('fcntl', fcntl(fd, F_GETFL, 0), `descriptor ${fd}`);
  checked('fcntl', fcntl(fd, F_SETFL, flags | O_NONBLOCK), `descriptor ${fd}`);
}

/**
 * Waits until one of the descriptors can be read (or written), at most `timeoutMs`; -1 waits for ever. Returns those that
 * can, hung-up ones among them; none when the time is over. Blocks the thread: for worker threads.
 */
export function waitFor(fds: readonly number[], timeoutMs: number, toWrite = false): number[] {
  const { poll, scratch, view, koffi } = calls();
  if (fds.length > POLL_FDS_MAX) throw new RangeError(`${fds.length} descriptors, at most ${POLL_FDS_MAX}`);
  const deadlineMs = performance.now() + timeoutMs;
  for (let leftMs = timeoutMs; ;) {
    fds.forEach((fd, i) => {
      view.setInt32(Place.POLLFDS + POLLFD_BYTES * i, fd, true);
      view.setUint32(Place.POLLFDS + POLLFD_BYTES * i + 4, toWrite ? POLLOUT : POLLIN, true);
    });
    const count = poll(scratch + Place.POLLFDS, fds.length, Math.ceil(leftMs));
    if (count >= 0) break;
    const errno = koffi.errno();
    if (errno !== EINTR) throw new SystemError('poll', errno, 'waiting');
    if (timeoutMs >= 0) leftMs = Math.max(0, deadlineMs - performance.now());
  }
  return fds.filter((_, i) => view.getUint16(Place.POLLFDS + POLLFD_BYTES * i + 6, true) !== 0);
}

/** Calls `ready` from the event loop whenever a descriptor can be read or was hung up; in worker threads too. */
export function onReadable(fd: number, ready: () => void): Watch {
  // The callback gets a status first, whatever the types say; what matters shows when the descriptor is read.
  return calls().koffi.node.poll(fd, { readable: true }, () => ready());
}
