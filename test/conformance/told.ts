/** What monitors tell their machines, in words. */
import { MonitorBook } from '../../src/conformance/monitors/book.js';

/** A book whose monitors say what they are told: `CHAIN 3 TAKE`, `NOTIFY_DEVICE 0 WRITE_SILENT 2`. */
export class Told {
  readonly book = new MonitorBook();
  #heard: string[] = [];

  constructor(...machines: readonly string[]) {
    for (const name of machines) {
      const monitor = this.book.get(name);
      const event = monitor.event.bind(monitor);
      const open = monitor.open.bind(monitor);
      const drop = monitor.drop.bind(monitor);
      monitor.event = (key: number, id: number, arg?: number) => {
        const counted = (arg ?? 0) === 0 ? '' : ` ${arg}`;
        this.#heard.push(`${name} ${key} ${monitor.machine.eventNames[id]}${counted}`);
        return event(key, id, arg);
      };
      monitor.open = (key, limit) => {
        this.#heard.push(`${name} ${key} opened`);
        open(key, limit);
      };
      monitor.drop = key => {
        this.#heard.push(`${name} ${key} dropped`);
        drop(key);
      };
    }
  }

  /** What was told since the last time. */
  get heard(): readonly string[] {
    const heard = this.#heard;
    this.#heard = [];
    return heard;
  }

  /** What `work` tells. */
  by(work: () => void): readonly string[] {
    this.#heard = [];
    work();
    return this.heard;
  }
}
