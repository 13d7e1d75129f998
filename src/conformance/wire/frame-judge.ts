/** Judges frames as bytes: that they are whole and bear the right ICRC, then what they say. Frames of other protocols are only counted. */
import { GidNames, Packet, RoceFrame, frameLine, readFrame } from '../../fabric/index.js';
import { WireJudge } from './wire-judge.js';
import type { WireFinding, WireReport } from './wire-judge.js';

export interface FrameReport extends WireReport {
  /** All frames, others included. */
  readonly frames: number;
  readonly others: number;
}

export class FrameJudge {
  readonly view = new RoceFrame();
  readonly judge: WireJudge;
  readonly #names = new GidNames();
  readonly #packet = new Packet(() => undefined);
  readonly #findings: WireFinding[] = [];
  #frames = 0;
  #others = 0;

  constructor(options: { readonly complete?: boolean } = {}) {
    this.judge = new WireJudge(options);
  }

  /** Takes the next frame, from its Ethernet header on. `cut`: the capture holds only its beginning. Never throws. */
  take(data: Uint8Array, cut = false): void {
    this.#frames++;
    const { view } = this;
    if (cut) return this.judge.unjudged('frames of which the capture holds a part');
    const kind = view.decode(data);
    if (kind === 'other') this.#others++;
    else if (kind === 'malformed') this.#broken('MALFORMED', view.problem, 'DATA-84');
    else if (kind === 'unknown') this.judge.unjudged(`frames with ${view.problem}`);
    else this.#takeWhole(view);
  }

  report(): FrameReport {
    const report = this.judge.report();
    const findings = [...report.findings, ...this.#findings].toSorted((a, b) => a.frame - b.frame);
    return { ...report, findings, frames: this.#frames, others: this.#others };
  }

  #takeWhole(view: RoceFrame): void {
    const { icrc, icrcExpected } = view;
    if (icrc !== icrcExpected)
      return this.#broken('WRONG_ICRC', `ICRC ${hex(icrc)}, expected ${hex(icrcExpected)}`, 'DATA-85');
    if (!view.padIsZero) this.#broken('WRONG_PAD', 'the pad is not zero', 'DATA-84');
    if (!readFrame(view, this.#names, this.#packet))
      return this.#broken(
        'WRONG_SIZE',
        `payload of ${view.payloadLength} bytes, no path MTU is above 4096`,
        'DATA-73',
      );
    this.judge.take(this.#packet, this.#frames);
  }

  #broken(event: string, detail: string, requirement: string): void {
    this.#findings.push({
      frame: this.#frames,
      machine: 'frame',
      connection: '',
      states: [],
      event,
      detail,
      packet: frameLine(this.view, this.#names),
      expected: [],
      requirements: [requirement],
    });
  }
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(8, '0')}`;
}
