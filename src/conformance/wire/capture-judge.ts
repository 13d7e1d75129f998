/** Judges a capture file piece by piece. */
import { PcapReader } from '../../fabric/index.js';
import { FrameJudge } from './frame-judge.js';
import type { FrameReport } from './frame-judge.js';

export { PcapError } from '../../fabric/index.js';

export class CaptureJudge {
  readonly #reader = new PcapReader();
  readonly #judge: FrameJudge;

  /** `complete`: nothing that the machines sent is missing in the capture. */
  constructor(options: { readonly complete?: boolean } = {}) {
    this.#judge = new FrameJudge(options);
  }

  /** Takes the next bytes of the file. Throws PcapError where it is damaged. */
  push(bytes: Uint8Array): void {
    for (const { data, cut } of this.#reader.push(bytes)) this.#judge.take(data, cut);
  }

  /** The file is over. Throws PcapError when it was cut off. */
  end(): void {
    this.#reader.end();
  }

  report(): FrameReport {
    return this.#judge.report();
  }
}
