/** Shows progress on standard error: one line that is redrawn on a terminal, else a line every few seconds. */
import type { Progress } from '../conformance/report.js';
import { progressLine } from './format/progress.js';
import type { Colours } from './format/text.js';
import type { Io } from './io.js';

export interface LineDisplay<T> {
  show(progress: T): void;
  /** A remark on a line of its own. */
  note(text: string): void;
  /** Takes the line off the terminal. */
  end(): void;
}

export type ProgressDisplay = LineDisplay<Progress>;

export const silentProgress: ProgressDisplay = { show() {}, note() {}, end() {} };

const LINE_EVERY_MS = 5000;
const CLEAR_LINE = '\r\u001b[K';

export function showProgress(io: Io, colours: Colours): ProgressDisplay {
  return showLine(io, progress => progressLine(progress, io.columns, colours));
}

/** The same for anything that one line tells. */
export function showLine<T>(io: Io, lineOf: (progress: T) => string): LineDisplay<T> {
  return io.errIsTty ? redrawnLine(io, lineOf) : occasionalLines(io, lineOf);
}

function redrawnLine<T>(io: Io, lineOf: (progress: T) => string): LineDisplay<T> {
  return {
    show: progress => io.err(CLEAR_LINE + lineOf(progress)),
    note: text => io.err(`${CLEAR_LINE}${text}\n`),
    end: () => io.err(CLEAR_LINE),
  };
}

function occasionalLines<T>(io: Io, lineOf: (progress: T) => string): LineDisplay<T> {
  let nextMs = 0;
  return {
    show(progress) {
      if (io.nowMs() < nextMs) return;
      nextMs = io.nowMs() + LINE_EVERY_MS;
      io.err(`${lineOf(progress)}\n`);
    },
    note: text => io.err(`${text}\n`),
    end() {},
  };
}
