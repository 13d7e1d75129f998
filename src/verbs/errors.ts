/** The errors of verbs: an errno name, what was being done, what was found, what was expected, what to try. */

export type Errno =
  'EINVAL' | 'ENOMEM' | 'EBUSY' | 'EOPNOTSUPP' | 'EACCES' | 'EFAULT' | 'EADDRINUSE' | 'ENODEV' | 'EIO';

export class VerbsError extends Error {
  readonly errno: Errno;
  /** The verb that refused, such as `createCq`. */
  readonly verb: string;

  /** @param detail what was found and what was expected, as one sentence without a full stop. */
  constructor(errno: Errno, verb: string, detail: string) {
    // A refusal is an answer like any other, and a check provokes thousands a second: the stack would cost more than the verb.
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    super(`${verb}: ${errno}: ${detail}`);
    Error.stackTraceLimit = stackTraceLimit;
    this.name = 'VerbsError';
    this.errno = errno;
    this.verb = verb;
  }
}
