/** Listening at a path in the file system: what may be in the way, and what to do about it. */
import { lstatSync, unlinkSync } from 'node:fs';
import { closeFd } from './descriptors.js';
import { SystemError } from './native.js';
import { connectUnix, listenUnix } from './sockets.js';

/** A socket that cannot be had, with what to try. */
export class SocketFault extends Error {
  readonly code = 'ERR_VHOST_USER_SOCKET';
}

export interface ListeningSocket {
  readonly fd: number;
  /** Closes it and takes the file away, if it is still this one. */
  close(): void;
}

const BACKLOG = 64;

/** Listens at `path`. A socket that nobody listens on any more is replaced. Throws `SocketFault`. */
export function listenAt(path: string): ListeningSocket {
  const fd = listenOrReplace(path);
  const mine = inodeOf(path);
  return {
    fd,
    close(): void {
      closeFd(fd);
      if (mine !== undefined && inodeOf(path) === mine) unlinkSync(path);
    },
  };
}

function listenOrReplace(path: string): number {
  try {
    return listenUnix(path, BACKLOG);
  } catch (error) {
    if (!(error instanceof SystemError) || error.code !== 'EADDRINUSE')
      throw socketFault(path, error, listening);
  }
  if (!isStale(path))
    throw new SocketFault(`socket ${path} is in use: another process listens there; choose another path`);
  try {
    unlinkSync(path);
    return listenUnix(path, BACKLOG);
  } catch (error) {
    throw socketFault(path, error, listening);
  }
}

/** Nobody listens there. Throws when what is there is no socket. */
function isStale(path: string): boolean {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() !== true)
    throw new SocketFault(`${path} exists and is no socket; choose another path`);
  try {
    closeFd(connectUnix(path));
    return false;
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    if (error.code === 'ECONNREFUSED') return true;
    // A full backlog: somebody listens.
    if (error.code === 'EAGAIN') return false;
    throw socketFault(path, error, listening);
  }
}

/** Connects to a socket that somebody listens on. Throws `SocketFault`. */
export function connectTo(path: string): number {
  try {
    return connectUnix(path);
  } catch (error) {
    throw socketFault(path, error);
  }
}

const advice: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file or directory; start the other side first',
  ENOTDIR: 'a part of it is no directory',
  EACCES: 'it is not permitted; look at the rights of the directory and of the socket',
  EPERM: 'it is not permitted',
  ECONNREFUSED: 'nobody listens there; start the other side first',
  EAGAIN: 'whoever listens there does not accept connections',
  EROFS: 'the file system cannot be written',
};

/** Why nobody can be connected to at `path`, in words that do not name it again. */
export function whyNotThere(path: string, error: SystemError): string {
  if (error.code === 'ENOENT') return 'there is no such file';
  if (error.code !== 'ECONNREFUSED') return `${advice[error.code] ?? error.message} (${error.code})`;
  const isSocket = lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true;
  return isSocket
    ? 'a stale socket is there: whoever made it has ended, and nobody listens on it'
    : 'what is there is no socket';
}

/** Where it is this side that makes the socket. */
const listening: Readonly<Record<string, string>> = {
  ...advice,
  ENOENT: 'its directory does not exist; make the directory first',
};

function socketFault(path: string, error: unknown, known = advice): unknown {
  if (error instanceof RangeError) return new SocketFault(error.message);
  if (!(error instanceof SystemError)) return error;
  return new SocketFault(`socket ${path}: ${known[error.code] ?? error.message} (${error.code})`);
}

function inodeOf(path: string): bigint | undefined {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false })?.ino;
}
