/**
 * The system calls that a vhost-user peer needs and Node does not offer: unix sockets that carry descriptors, event
 * descriptors, memory shared by descriptor, and waiting for several descriptors at once. They are made through koffi, an
 * optional package that is looked for when the first of them is needed.
 *
 * Linux on 64-bit little-endian machines only: the layouts below are theirs. What fails throws `SystemError`; what would
 * block returns `undefined`. Addresses are numbers, since user space ends far below 2^53.
 */
import { createRequire } from 'node:module';
import { getSystemErrorMap } from 'node:util';
import type * as Koffi from 'koffi';

/** Why there are no native calls on this machine; a program without them works as before. */
export class NativeMissing extends Error {
  readonly code = 'ERR_NATIVE_MISSING';
}

/** A system call that failed. */
export class SystemError extends Error {
  /** Such as `ECONNREFUSED`. */
  readonly code: string;
  readonly call: string;

  constructor(call: string, errno: number, what: string) {
    const [name, text] = getSystemErrorMap().get(-errno) ?? [`errno ${errno}`, 'unknown'];
    super(`${what}: ${text} (${name} from ${call})`);
    this.code = name;
    this.call = call;
  }
}

/**
 * Places in the memory that is lent to the calls: struct msghdr, iovec, control message, sockaddr_un, pollfds, a number,
 * data. A call uses it from its start to its return only.
 */
export const Place = {
  MSGHDR: 0,
  IOVEC: 64,
  CONTROL: 128,
  SOCKADDR: 256,
  POLLFDS: 512,
  NUMBER: 1024,
  DATA: 2048,
} as const;
/** Bytes that one call moves. */
export const CHUNK_BYTES = 4096;
const SCRATCH_BYTES = Place.DATA + CHUNK_BYTES;
export const EINTR = 4;
const EAGAIN = 11;

export interface Calls {
  readonly koffi: typeof Koffi;
  /** Address of the scratch memory, and views of it. */
  readonly scratch: number;
  readonly view: DataView;
  readonly bytes: Uint8Array;
  readonly socket: (domain: number, type: number, protocol: number) => number;
  readonly socketpair: (domain: number, type: number, protocol: number, fds: number) => number;
  readonly bind: (fd: number, address: number, length: number) => number;
  readonly listen: (fd: number, backlog: number) => number;
  readonly connect: (fd: number, address: number, length: number) => number;
  readonly accept4: (fd: number, address: number, length: number, flags: number) => number;
  readonly sendmsg: (fd: number, message: number, flags: number) => number;
  readonly recvmsg: (fd: number, message: number, flags: number) => number;
  readonly close: (fd: number) => number;
  readonly read: (fd: number, buffer: number, length: number) => number;
  readonly write: (fd: number, buffer: number, length: number) => number;
  readonly poll: (fds: number, count: number, timeoutMs: number) => number;
  readonly fcntl: (fd: number, command: number, argument: number) => number;
  readonly eventfd: (value: number, flags: number) => number;
  readonly memfd_create: (name: string, flags: number) => number;
  readonly mmap: (
    address: number,
    length: number,
    protection: number,
    flags: number,
    fd: number,
    offset: number,
  ) => number;
  readonly munmap: (address: number, length: number) => number;
}

let loaded: Calls | NativeMissing | undefined;

/** Why the calls cannot be made here, in one line; undefined when they can. */
export function nativeFault(): string | undefined {
  loaded ??= load();
  return loaded instanceof NativeMissing ? loaded.message : undefined;
}

/** Throws `NativeMissing` when there are none. */
export function calls(): Calls {
  loaded ??= load();
  if (loaded instanceof NativeMissing) throw loaded;
  return loaded;
}

function load(): Calls | NativeMissing {
  const { platform, arch } = process;
  if (platform !== 'linux') return new NativeMissing(`vhost-user needs Linux, and this is ${platform}`);
  if (!['x64', 'arm64', 'riscv64', 'loong64'].includes(arch))
    return new NativeMissing(`vhost-user needs a 64-bit little-endian machine, and this is ${arch}`);
  try {
    const koffi: unknown = createRequire(import.meta.url)('koffi');
    if (!isKoffi(koffi))
      return new NativeMissing('vhost-user needs koffi 3, and the one installed is another');
    return bindCalls(koffi);
  } catch (error) {
    const why = error instanceof Error ? error.message.split('\n')[0] : String(error);
    return new NativeMissing(
      `vhost-user needs the optional package koffi, which cannot be loaded (npm install koffi): ${why}`,
    );
  }
}

function isKoffi(found: unknown): found is typeof Koffi {
  return typeof found === 'object' && found !== null && 'view' in found && 'node' in found;
}

function bindCalls(koffi: typeof Koffi): Calls {
  const libc = koffi.load(null);
  const memory: unknown = koffi.alloc('uint8_t', SCRATCH_BYTES);
  const buffer = koffi.view(memory, SCRATCH_BYTES);
  return {
    koffi,
    scratch: Number(koffi.address(memory)),
    view: new DataView(buffer),
    bytes: new Uint8Array(buffer),
    socket: libc.func('int socket(int domain, int type, int protocol)'),
    socketpair: libc.func('int socketpair(int domain, int type, int protocol, int64_t fds)'),
    bind: libc.func('int bind(int fd, int64_t address, uint32_t length)'),
    listen: libc.func('int listen(int fd, int backlog)'),
    connect: libc.func('int connect(int fd, int64_t address, uint32_t length)'),
    accept4: libc.func('int accept4(int fd, int64_t address, int64_t length, int flags)'),
    sendmsg: libc.func('int64_t sendmsg(int fd, int64_t message, int flags)'),
    recvmsg: libc.func('int64_t recvmsg(int fd, int64_t message, int flags)'),
    close: libc.func('int close(int fd)'),
    read: libc.func('int64_t read(int fd, int64_t buffer, size_t length)'),
    write: libc.func('int64_t write(int fd, int64_t buffer, size_t length)'),
    poll: libc.func('int poll(int64_t fds, unsigned long count, int timeout)'),
    fcntl: libc.func('int fcntl(int fd, int command, int64_t argument)'),
    eventfd: libc.func('int eventfd(unsigned int value, int flags)'),
    memfd_create: libc.func('int memfd_create(const char *name, unsigned int flags)'),
    mmap: libc.func(
      'int64_t mmap(int64_t address, size_t length, int protection, int flags, int fd, int64_t offset)',
    ),
    munmap: libc.func('int munmap(int64_t address, size_t length)'),
  };
}

/** The result of a call; throws when it is -1. */
export function checked(call: string, result: number, what: string): number {
  if (result === -1) throw new SystemError(call, calls().koffi.errno(), what);
  return result;
}

/** The same for a call that may find nothing to do: undefined then. Calls cut short by a signal are made again. */
export function unlessBlocked(call: string, what: string, make: () => number): number | undefined {
  for (;;) {
    const result = make();
    if (result !== -1) return result;
    const errno = calls().koffi.errno();
    if (errno === EAGAIN) return undefined;
    if (errno !== EINTR) throw new SystemError(call, errno, what);
  }
}
