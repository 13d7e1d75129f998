/** Shows progress on standard error: one line that is redrawn on a terminal, else a line every few seconds. */
import type { Progress } from '../conformance/report.js';
import { progressLine } from './format/progress.js';
import type { Colours } from './format/text.js';
import type { Io } from './io.js';

export interface ProgressDisplay {
  show(progress: Progress): void;
  /** A remark on a line of its own. */
  note(text: string): void;
  /** Takes the line off the terminal. */
  end(): void;
}

export const silentProgress: ProgressDisplay = { show() {}, note() {}, end() {} };

const LINE_EVERY_MS = 5000;
const CLEAR_LINE = '\r\u001b[K';

export function showProgress(io: Io, colours: Colours): ProgressDisplay {
  return io.errIsTty ? redrawnLine(io, colours) : occasionalLines(io, colours);
}

function redrawnLine(io: Io, colours: Colours): ProgressDisplay {
  return {
    show: progress => io.err(CLEAR_LINE + progressLine(progress, io.columns, colours)),
    note: text => io.err(`${CLEAR_LINE}${text}\n`),
    end: () => io.err(CLEAR_LINE),
  };
}

function occasionalLines(io: Io, colours: Colours): ProgressDisplay {
  let nextMs = 0;
  return {
    show(progress) {
      if (io.nowMs() < nextMs) return;
      nextMs = io.nowMs() + LINE_EVERY_MS;
      io.err(`${progressLine(progress, io.columns, colours)}\n`);
    },
    note: text => io.err(`${text}\n`),
    end() {},
  };
}
