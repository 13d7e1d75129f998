/** The shape of a control command: what it reads, what it answers, what it does. */
import type { Struct } from '../abi/index.js';
import type { DeviceObjects } from './objects.js';

/** The page list behind the fixed part of a command, still in guest memory. */
export interface PageList {
  /** Whole entries that the readable part holds. */
  readonly count: number;
  /** Reads the first `target.length` entries, at most `count`; each once. */
  read(target: Float64Array): void;
}

export interface CommandHandler {
  /** Bytes of the fixed part of the command's data. */
  readonly requestBytes: number;
  /** Bytes of the result behind the ack. */
  readonly resultBytes: number;
  /**
   * Carries the command out: its data stands at the start of `request`, its result is written to the start of `result`.
   * False, or a VerbsError of the HCA: refused, and nothing has changed.
   */
  readonly run: (objects: DeviceObjects, request: DataView, result: DataView, pages: PageList) => boolean;
}

/** The handler of a command code; undefined for a code that names no command. */
export type CommandTable = (code: number) => CommandHandler | undefined;

type Fields = Record<string, unknown>;

/** A command with data and a result. */
export function commandWith<Q extends Fields, A extends Fields>(
  request: Struct<Q>,
  result: Struct<A>,
  run: (objects: DeviceObjects, request: Q, result: A, pages: PageList) => boolean,
): CommandHandler {
  return {
    requestBytes: request.size,
    resultBytes: result.size,
    run(objects, requestView, resultView, pages) {
      const answer = result.zero();
      if (!run(objects, request.decode(requestView, 0), answer, pages)) return false;
      result.encode(resultView, 0, answer);
      return true;
    },
  };
}

/** A command with data whose answer is the ack alone. */
export function commandWithoutResult<Q extends Fields>(
  request: Struct<Q>,
  run: (objects: DeviceObjects, request: Q) => boolean,
): CommandHandler {
  return {
    requestBytes: request.size,
    resultBytes: 0,
    run: (objects, requestView) => run(objects, request.decode(requestView, 0)),
  };
}

/** A command without data. */
export function commandWithoutData<A extends Fields>(
  result: Struct<A>,
  run: (objects: DeviceObjects, result: A) => boolean,
): CommandHandler {
  return {
    requestBytes: 0,
    resultBytes: result.size,
    run(objects, _request, resultView) {
      const answer = result.zero();
      if (!run(objects, answer)) return false;
      result.encode(resultView, 0, answer);
      return true;
    },
  };
}
