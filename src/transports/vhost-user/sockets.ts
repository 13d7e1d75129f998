/** Unix sockets whose messages carry descriptors (SCM_RIGHTS). Sockets never block: what would returns `undefined`. */
import { CHUNK_BYTES, Place, calls, checked, unlessBlocked } from './native.js';
import { closeFd } from './descriptors.js';

/** Descriptors that one message may carry. */
export const FDS_MAX = 16;
/** Bytes of the path of a socket. */
export const SOCKET_PATH_BYTES_MAX = 107;

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_CTRUNC = 8;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x4000_0000;
const MSGHDR_BYTES = 56;
const CMSG_HEADER_BYTES = 16;
const SOCKADDR_BYTES = 110;

/** Puts a sockaddr_un in place and returns its length. Throws RangeError for a path that no socket can have. */
function socketAddress(path: string): number {
  const { bytes, view } = calls();
  const name = new TextEncoder().encode(path);
  if (name.length === 0 || name.length > SOCKET_PATH_BYTES_MAX)
    throw new RangeError(
      `socket path ${path}: ${name.length} bytes, and it must have 1 to ${SOCKET_PATH_BYTES_MAX}`,
    );
  bytes.fill(0, Place.SOCKADDR, Place.SOCKADDR + SOCKADDR_BYTES);
  view.setUint16(Place.SOCKADDR, AF_UNIX, true);
  bytes.set(name, Place.SOCKADDR + 2);
  return SOCKADDR_BYTES;
}

function newSocket(what: string): number {
  return checked('socket', calls().socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), what);
}

/** A listening socket, not blocking. The file must not exist. */
export function listenUnix(path: string, backlog: number): number {
  const { bind, listen, scratch } = calls();
  const length = socketAddress(path);
  const fd = newSocket(path);
  try {
    checked('bind', bind(fd, scratch + Place.SOCKADDR, length), path);
    checked('listen', listen(fd, backlog), path);
  } catch (error) {
    closeFd(fd);
    throw error;
  }
  return fd;
}

/** A connected socket, not blocking. Connecting to a unix socket does not wait, but for a full backlog (EAGAIN). */
export function connectUnix(path: string): number {
  const { connect, scratch } = calls();
  const length = socketAddress(path);
  const fd = newSocket(path);
  try {
    checked('connect', connect(fd, scratch + Place.SOCKADDR, length), path);
  } catch (error) {
    closeFd(fd);
    throw error;
  }
  return fd;
}

/** Two sockets joined to each other, not blocking. */
export function socketPair(): [number, number] {
  const { socketpair, scratch, view } = calls();
  const type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  checked('socketpair', socketpair(AF_UNIX, type, 0, scratch + Place.NUMBER), 'a pair of sockets');
  return [view.getInt32(Place.NUMBER, true), view.getInt32(Place.NUMBER + 4, true)];
}

/** The next connection, not blocking; undefined when there is none. */
export function acceptUnix(fd: number): number | undefined {
  const { accept4 } = calls();
  return unlessBlocked('accept4', 'a connection', () => accept4(fd, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

/**
 * Sends bytes, at most `CHUNK_BYTES`, and descriptors with the first of them. Returns the bytes sent, undefined when the
 * socket is full.
 */
export function sendWithFds(fd: number, data: Uint8Array, fds: readonly number[]): number | undefined {
  const { sendmsg, scratch, bytes, view } = calls();
  if (fds.length > FDS_MAX)
    throw new RangeError(`${fds.length} descriptors, at most ${FDS_MAX} in a message`);
  const length = Math.min(data.length, CHUNK_BYTES);
  bytes.set(data.subarray(0, length), Place.DATA);
  layOutMessage(length, fds.length === 0 ? 0 : CMSG_HEADER_BYTES + 4 * fds.length);
  if (fds.length > 0) {
    setAddress(view, Place.CONTROL, CMSG_HEADER_BYTES + 4 * fds.length);
    view.setInt32(Place.CONTROL + 8, SOL_SOCKET, true);
    view.setInt32(Place.CONTROL + 12, SCM_RIGHTS, true);
    fds.forEach((sent, i) => view.setInt32(Place.CONTROL + CMSG_HEADER_BYTES + 4 * i, sent, true));
  }
  return unlessBlocked('sendmsg', 'sending', () => sendmsg(fd, scratch + Place.MSGHDR, MSG_NOSIGNAL));
}

export interface Received {
  /** 0 when the other side has hung up. */
  readonly bytes: number;
  /** The receiver's to close. */
  readonly fds: readonly number[];
  /** More descriptors came than there was room for; the rest is closed already. */
  readonly fdsLost: boolean;
}

/** Receives at most `length` bytes, at most `CHUNK_BYTES`, into `target`. Undefined when nothing is there. */
export function receiveWithFds(
  fd: number,
  target: Uint8Array,
  offset: number,
  length: number,
): Received | undefined {
  const { recvmsg, scratch, bytes, view } = calls();
  const most = Math.min(length, CHUNK_BYTES);
  const count = unlessBlocked('recvmsg', 'receiving', () => {
    layOutMessage(most, CMSG_HEADER_BYTES + 4 * FDS_MAX);
    return recvmsg(fd, scratch + Place.MSGHDR, MSG_CMSG_CLOEXEC);
  });
  if (count === undefined) return undefined;
  target.set(bytes.subarray(Place.DATA, Place.DATA + count), offset);
  const fdsLost = (view.getInt32(Place.MSGHDR + 48, true) & MSG_CTRUNC) !== 0;
  return { bytes: count, fds: receivedFds(view), fdsLost };
}

function receivedFds(view: DataView): number[] {
  const fds: number[] = [];
  const end = Place.CONTROL + view.getUint32(Place.MSGHDR + 40, true);
  for (let at = Place.CONTROL; at + CMSG_HEADER_BYTES <= end;) {
    const length = view.getUint32(at, true);
    if (length < CMSG_HEADER_BYTES) break;
    if (view.getInt32(at + 8, true) === SOL_SOCKET && view.getInt32(at + 12, true) === SCM_RIGHTS) {
      for (let fd = at + CMSG_HEADER_BYTES; fd + 4 <= Math.min(at + length, end); fd += 4)
        fds.push(view.getInt32(fd, true));
    }
    at += length + (-length & 7);
  }
  return fds;
}

/** struct msghdr with one iovec on the data. */
function layOutMessage(dataBytes: number, controlBytes: number): void {
  const { scratch, bytes, view } = calls();
  bytes.fill(0, Place.MSGHDR, Place.MSGHDR + MSGHDR_BYTES);
  setAddress(view, Place.IOVEC, scratch + Place.DATA);
  setAddress(view, Place.IOVEC + 8, dataBytes);
  setAddress(view, Place.MSGHDR + 16, scratch + Place.IOVEC);
  setAddress(view, Place.MSGHDR + 24, 1);
  if (controlBytes === 0) return;
  setAddress(view, Place.MSGHDR + 32, scratch + Place.CONTROL);
  setAddress(view, Place.MSGHDR + 40, controlBytes);
}

function setAddress(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, value % 0x1_0000_0000, true);
  view.setUint32(offset + 4, Math.floor(value / 0x1_0000_0000), true);
}
