/** Who has to be told, who was, and who sleeps, in one direction of a ring: step by step what the watch takes each for. */
import { describe, expect, it } from 'vitest';
import { WakeUps, splitWish } from '../../src/conformance/ring-watch/wake-ups.js';

/** A direction whose reader wants to be told or not, as it is set; says what the watch has found. */
class Direction {
  wants = true;
  wantsNext = true;
  readonly asked: string[] = [];
  #heard: string[] = [];
  readonly watch: WakeUps;

  constructor(start?: number) {
    this.watch = new WakeUps(
      {
        wants: (from, to) => {
          this.asked.push(`${from}..${to}`);
          return this.wants;
        },
        wantsNext: position => {
          this.asked.push(`next ${position}`);
          return this.wantsNext;
        },
      },
      {
        decided: (idx, sent) => void this.#heard.push(`decided ${idx} ${sent ? 'sent' : 'silent'}`),
        slept: () => void this.#heard.push('slept'),
        wokeByItself: () => void this.#heard.push('woke'),
        looked: what => void this.#heard.push(`looked ${what}`),
        broke: (what, message) => void this.#heard.push(`BROKE ${what}: ${message}`),
      },
      start,
    );
  }

  /** What the watch found in this. */
  by(act: (watch: WakeUps) => void): readonly string[] {
    this.#heard = [];
    act(this.watch);
    return this.#heard;
  }
}

const missing = 'the other side wants to be told, and nothing came';
const noBarrier = (idx: number): string =>
  `BROKE barrier: it raised the index to ${idx} and did not look at the wish again`;

describe('[VQ-61] [VQ-65] a writer that has raised its index', () => {
  it('tells who wants to be told; that is decided then, and asked since the last decision', () => {
    const to = new Direction();
    expect(to.by(watch => watch.raised(2, true))).toEqual([]);
    expect(to.by(watch => watch.notified())).toEqual(['looked needless', 'looked missing', 'decided 2 sent']);
    to.by(watch => watch.raised(5, true));
    expect(to.asked).toEqual(['0..2', '2..5']);
    expect(to.by(watch => watch.notified()).at(-1)).toBe('decided 5 sent');
  });

  it('begins with a ring where that stands', () => {
    const to = new Direction(0xfffe);
    expect(to.by(watch => watch.indexRead(0xfffe))).toEqual(['slept']);
    to.by(watch => watch.raised(1, true));
    expect(to.asked.at(-1)).toBe('65534..1');
  });

  it('has missed it when nothing came by the time that nothing moves', () => {
    const to = new Direction();
    to.by(watch => watch.raised(1, true));
    to.by(watch => watch.notified());
    to.by(watch => watch.raised(4, true));
    expect(to.by(watch => watch.atRest())).toEqual([
      'looked missing',
      `BROKE missing: the index went from 1 to 4, ${missing}`,
      'decided 4 silent',
    ]);
    expect(to.by(watch => watch.atRest())).toEqual([]);
  });

  it('owes nothing to who does not want it, nor before it may notify at all', () => {
    const to = new Direction();
    expect(to.by(watch => watch.raised(3, false))).toEqual(['decided 3 silent']);
    expect(to.by(watch => watch.atRest())).toEqual([]);
    to.wants = false;
    to.by(watch => watch.raised(4, true));
    expect(to.asked).toEqual(['3..4']);
    expect(to.by(watch => watch.atRest())).toEqual(['looked missing', 'decided 4 silent']);
  });

  it('[VQ-62] [VQ-66] is needless for who does not want it, and when nothing is new', () => {
    const to = new Direction();
    expect(to.by(watch => watch.notified())).toEqual(['looked needless', 'BROKE needless: nothing is new']);
    to.wants = false;
    to.by(watch => watch.raised(1, true));
    expect(to.by(watch => watch.notified())).toEqual([
      'looked needless',
      'looked missing',
      'BROKE needless: the other side does not want to be told',
      'decided 1 sent',
    ]);
    expect(to.by(watch => watch.notified())).toEqual(['looked needless', 'BROKE needless: nothing is new']);
  });

  it('goes by its last look: who withdraws in time need not be told, who wants it by then must be', () => {
    const to = new Direction();
    to.by(watch => watch.raised(1, true));
    to.wants = false;
    expect(to.by(watch => watch.wishRead())).toEqual([
      'looked missing',
      'looked barrier',
      'decided 1 silent',
    ]);
    expect(to.by(watch => watch.wishRead())).toEqual([]);
    expect(to.by(watch => watch.atRest())).toEqual([]);
    to.by(watch => watch.raised(2, true));
    to.wants = true;
    expect(to.by(watch => watch.wishRead())).toEqual([]);
    expect(to.by(watch => watch.atRest())).toEqual([
      'looked missing',
      'looked barrier',
      `BROKE missing: the index went from 1 to 2, ${missing}`,
      'decided 2 silent',
    ]);
  });

  it('[VQ-34] looks at the wish behind the index; who never looks at it is not blamed for the order', () => {
    const to = new Direction();
    to.wants = false;
    to.by(watch => watch.wishRead());
    to.by(watch => watch.raised(1, true));
    expect(to.by(watch => watch.atRest())).toEqual([
      'looked missing',
      'looked barrier',
      noBarrier(1),
      'decided 1 silent',
    ]);
    to.by(watch => watch.raised(2, true));
    expect(to.by(watch => watch.wishRead())).toEqual([
      'looked missing',
      'looked barrier',
      'decided 2 silent',
    ]);
    // Each raise needs a look of its own.
    to.by(watch => watch.raised(3, true));
    expect(to.by(watch => watch.atRest())).toContain(noBarrier(3));
    const never = new Direction();
    never.wants = false;
    never.by(watch => watch.raised(1, true));
    expect(never.by(watch => watch.atRest())).toEqual(['looked missing', 'decided 1 silent']);
    const due = new Direction();
    due.by(watch => watch.wishRead());
    due.by(watch => watch.raised(1, true));
    expect(due.by(watch => watch.atRest()).filter(each => each.startsWith('BROKE'))).toEqual([
      `BROKE missing: the index went from 0 to 1, ${missing}`,
    ]);
  });

  it('that raises again before it has decided, decides for all of it at once', () => {
    const to = new Direction();
    to.by(watch => watch.raised(1, true));
    to.by(watch => watch.raised(2, true));
    expect(to.asked).toEqual(['0..1', '0..2']);
    expect(to.by(watch => watch.notified()).at(-1)).toBe('decided 2 sent');
  });

  it('has not told in time what the reader takes by itself, and is told of no more than once', () => {
    const to = new Direction();
    to.by(watch => watch.raised(1, true));
    expect(to.by(watch => watch.taking())).toEqual(['decided 1 silent']);
    expect(to.by(watch => watch.taking())).toEqual([]);
    expect(to.by(watch => watch.notified())).toEqual(['looked needless', 'looked missing']);
    expect(to.by(watch => watch.taking())).toEqual([]);
  });

  it('is forgiven everything when the reader looks at everything now', () => {
    const to = new Direction();
    to.by(watch => watch.raised(1, true));
    expect(to.by(watch => watch.forgive())).toEqual(['decided 1 silent']);
    expect(to.by(watch => watch.forgive())).toEqual([]);
    expect(to.by(watch => watch.atRest())).toEqual([]);
    to.by(watch => watch.raised(2, true));
    to.by(watch => watch.taking());
    expect(to.by(watch => watch.forgive())).toEqual([]);
    expect(to.by(watch => watch.atRest())).toEqual([]);
    to.by(watch => watch.raised(3, true));
    expect(to.asked.at(-1)).toBe('2..3');
  });
});

describe('[VQ-73] [VQ-74] a reader', () => {
  it('sleeps when it has taken all and wants to be told, and is awake when it is told', () => {
    const to = new Direction();
    expect(to.by(watch => watch.indexRead(0))).toEqual(['slept']);
    to.by(watch => watch.raised(1, true));
    to.by(watch => watch.notified());
    expect(to.by(watch => watch.indexRead(0))).toEqual([]);
    expect(to.by(watch => watch.indexRead(1))).toEqual(['slept']);
    expect(to.asked).toEqual(['next 0', '0..1', 'next 0', 'next 1']);
  });

  it('does not sleep while something is there, nor when it will look by itself', () => {
    const to = new Direction();
    to.by(watch => watch.raised(2, true));
    expect(to.by(watch => watch.indexRead(1))).toEqual([]);
    to.wantsNext = false;
    expect(to.by(watch => watch.indexRead(2))).toEqual([]);
    expect(to.by(watch => watch.withdrew())).toEqual([]);
    expect(new Direction().by(watch => watch.withdrew())).toEqual([]);
  });

  it('wakes by itself when it looks and nobody was about to tell it, or when it withdraws', () => {
    const to = new Direction();
    to.by(watch => watch.indexRead(0));
    to.by(watch => watch.raised(1, true));
    // It is about to be told.
    expect(to.by(watch => watch.indexRead(0))).toEqual([]);
    to.by(watch => watch.notified());
    to.by(watch => watch.indexRead(1));
    to.wants = false;
    to.by(watch => watch.raised(2, true));
    expect(to.by(watch => watch.indexRead(1))).toEqual(['woke']);
    expect(to.by(watch => watch.indexRead(1))).toEqual([]);
    to.by(watch => watch.atRest());
    to.by(watch => watch.indexRead(2));
    expect(to.by(watch => watch.withdrew())).toEqual(['woke']);
    expect(to.by(watch => watch.withdrew())).toEqual([]);
    to.by(watch => watch.indexRead(2));
    to.by(watch => watch.raised(3, false));
    expect(to.by(watch => watch.indexRead(2))).toEqual(['woke']);
  });

  const blind = [
    'looked recheck',
    'BROKE recheck: it asked to be told and waited without another look at the index',
  ];

  it('looks again at the index when it has said what it wants', () => {
    const to = new Direction();
    to.by(watch => watch.indexRead(0));
    to.by(watch => watch.asked(true));
    expect(to.by(watch => watch.indexRead(0))).toEqual(['looked recheck', 'slept']);
    expect(to.by(watch => watch.indexRead(0))).toEqual(['slept']);
    expect(to.by(watch => watch.atRest())).toEqual([]);
    to.by(watch => watch.asked(true));
    expect(to.by(watch => watch.atRest())).toEqual(blind);
    expect(to.by(watch => watch.atRest())).toEqual([]);
  });

  it('need not when nothing could be missed, when its reads are not seen, or when all is forgiven', () => {
    const to = new Direction();
    to.by(watch => watch.asked(true));
    expect(to.by(watch => watch.atRest())).toEqual([]);
    to.by(watch => watch.indexRead(0));
    to.by(watch => watch.asked(false));
    expect(to.by(watch => watch.atRest())).toEqual([]);
    to.by(watch => watch.asked(true));
    to.by(watch => watch.forgive());
    expect(to.by(watch => watch.atRest())).toEqual([]);
  });

  it('has waited blindly when it was told in between and says anew what it wants', () => {
    const told = (then: (watch: WakeUps) => void, between = true): readonly string[] => {
      const to = new Direction();
      to.by(watch => watch.indexRead(0));
      to.by(watch => watch.asked(true));
      to.by(watch => watch.raised(1, true));
      if (between) to.by(watch => watch.notified());
      return to.by(then);
    };
    expect(told(watch => watch.asked(true))).toEqual(blind);
    expect(told(watch => watch.asked(false))).toEqual(blind);
    expect(told(watch => watch.withdrew())).toEqual([...blind]);
    expect(told(watch => watch.asked(true), false)).toEqual([]);
    // To ask again is a new beginning.
    expect(
      told(watch => {
        watch.indexRead(0);
        watch.asked(true);
        watch.asked(true);
      }),
    ).toEqual(['looked recheck']);
    expect(
      told(watch => {
        watch.asked(false);
        watch.atRest();
      }),
    ).toEqual(blind);
  });
});

describe('the wish in a split ring', () => {
  it('is a flag without the event index, and an entry with it', () => {
    let [silent, event] = [false, 5];
    const [flag, index] = [false, true].map(eventIdx =>
      splitWish(
        eventIdx,
        () => silent,
        () => event,
      ),
    );
    expect([flag.wants(0, 1), flag.wantsNext(9)]).toEqual([true, true]);
    silent = true;
    expect([flag.wants(0, 1), flag.wantsNext(5)]).toEqual([false, false]);
    expect([index.wants(5, 6), index.wants(4, 6), index.wants(6, 7), index.wants(0, 5)]).toEqual([
      true,
      true,
      false,
      false,
    ]);
    expect([index.wantsNext(5), index.wantsNext(6)]).toEqual([true, false]);
    event = 0xffff;
    expect([index.wants(0xfffe, 1), index.wants(0, 1)]).toEqual([true, false]);
  });
});
