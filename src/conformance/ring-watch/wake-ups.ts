/**
 * One direction of a ring's notifications, as it is seen: who raises an index, whether the other side wanted to be told, who
 * looked when, who sleeps. Both directions are one class: a writer of entries and a reader of them.
 */
import { needsEvent } from '../../virtio/index.js';

/** Where the reader says what it wants; read without being watched. Indices are 16-bit and free-running. */
export interface Wish {
  /** Whether it wants to be told that the index went from `from` to `to`. */
  wants(from: number, to: number): boolean;
  /** Whether it wants to be told of the entry at `position`, the next one that it will look at. */
  wantsNext(position: number): boolean;
}

/** The wish in a split ring: a flag without EVENT_IDX, the entry to be told of with it. */
export function splitWish(eventIdx: boolean, silent: () => boolean, event: () => number): Wish {
  return {
    wants: (from, to) => (eventIdx ? needsEvent(event(), to, from) : !silent()),
    wantsNext: position => (eventIdx ? event() === position : !silent()),
  };
}

/** What is told of a direction. */
export interface WakeUpListener {
  /** It is settled whether the writer notifies for what it has raised so far. */
  decided(idx: number, sent: boolean): void;
  /** The reader went to sleep. */
  slept(): void;
  /** The reader is awake although nobody woke it. */
  wokeByItself(): void;
  looked(what: 'missing' | 'needless' | 'barrier' | 'recheck'): void;
  broke(what: 'missing' | 'needless' | 'barrier' | 'recheck', message: string): void;
}

export class WakeUps {
  readonly #wish: Wish;
  readonly #listener: WakeUpListener;
  #idx: number;
  /** Index at the last decision. */
  #decidedIdx: number;
  /** Raised, and no decision seen. */
  #pending = false;
  /** The decision is not told yet. */
  #untold = false;
  /** By the last look, the reader wants to be told of what is pending. */
  #due = false;
  #lookedSince = false;
  #everLooked = false;
  /** The reader asked to be told, and has not looked at the index since; and it was told since. */
  #askedBlindly = false;
  #toldSince = false;
  #everRead = false;
  #asleep = false;

  /** @param start index at which the ring is taken up: 0 of a new one */
  constructor(wish: Wish, listener: WakeUpListener, start = 0) {
    this.#wish = wish;
    this.#listener = listener;
    this.#idx = start;
    this.#decidedIdx = start;
  }

  #wanted(): boolean {
    return this.#wish.wants(this.#decidedIdx, this.#idx);
  }

  /** The writer raised its index to `idx`. `live`: it may notify. */
  raised(idx: number, live: boolean): void {
    this.#idx = idx;
    this.#untold = true;
    if (!live) {
      this.#decide(false);
      return;
    }
    this.#pending = true;
    this.#lookedSince = false;
    this.#due = this.#wanted();
  }

  /** The writer read what the reader wants. */
  wishRead(): void {
    this.#everLooked = true;
    if (!this.#pending) return;
    this.#lookedSince = true;
    this.#due = this.#wanted();
    if (!this.#due) {
      this.#judged();
      this.#decide(false);
    }
  }

  /** The writer notifies. */
  notified(): void {
    this.#listener.looked('needless');
    if (!this.#pending) this.#listener.broke('needless', 'nothing is new');
    else {
      this.#listener.looked('missing');
      if (!this.#due) this.#listener.broke('needless', 'the other side does not want to be told');
    }
    this.#asleep = false;
    this.#toldSince = true;
    this.#decide(true);
  }

  /** The reader takes an entry: what is not decided by now was not told in time. */
  taking(): void {
    if (this.#untold) this.#tell(false);
  }

  /** The reader wrote that it wants to be told of the next entry; `matters`: it may have to wait for one. */
  asked(matters: boolean): void {
    this.#expectLook();
    if (!matters) return;
    this.#askedBlindly = true;
    this.#toldSince = false;
  }

  /** Who is told and says anew what it wants has waited in between. */
  #expectLook(): void {
    if (this.#askedBlindly && this.#toldSince) this.#blind();
    this.#askedBlindly = false;
  }

  #blind(): void {
    if (!this.#everRead) return;
    this.#listener.looked('recheck');
    this.#listener.broke('recheck', 'it asked to be told and waited without another look at the index');
  }

  /** The reader wrote that it need not be told: it will look by itself. */
  withdrew(): void {
    this.#expectLook();
    if (!this.#asleep) return;
    this.#asleep = false;
    this.#listener.wokeByItself();
  }

  /** The reader looked at the index, and has taken the entries up to `position`. */
  indexRead(position: number): void {
    if (this.#askedBlindly) this.#listener.looked('recheck');
    this.#askedBlindly = false;
    this.#everRead = true;
    const wantsToKnow = this.#wish.wantsNext(position);
    if (position === this.#idx) {
      if (wantsToKnow) this.#sleep();
      return;
    }
    if (!this.#asleep) return;
    this.#asleep = false;
    if (!this.#pending || !this.#due) this.#listener.wokeByItself();
  }

  #sleep(): void {
    this.#asleep = true;
    this.#listener.slept();
  }

  /** Whatever was raised before goes without saying: the reader looks at everything now. */
  forgive(): void {
    this.#askedBlindly = false;
    this.#decide(false);
  }

  /** Nothing moves any more. */
  atRest(): void {
    if (this.#askedBlindly) this.#blind();
    this.#askedBlindly = false;
    if (!this.#pending) return;
    this.#judged();
    if (this.#due) {
      this.#listener.broke(
        'missing',
        `the index went from ${this.#decidedIdx} to ${this.#idx}, the other side wants to be told, and nothing came`,
      );
    }
    this.#decide(false);
  }

  #judged(): void {
    this.#listener.looked('missing');
    if (!this.#everLooked) return;
    this.#listener.looked('barrier');
    if (!this.#lookedSince && !this.#due)
      this.#listener.broke(
        'barrier',
        `it raised the index to ${this.#idx} and did not look at the wish again`,
      );
  }

  #decide(sent: boolean): void {
    this.#pending = false;
    if (this.#untold) this.#tell(sent);
    this.#decidedIdx = this.#idx;
  }

  #tell(sent: boolean): void {
    this.#untold = false;
    this.#listener.decided(this.#idx, sent);
  }
}
