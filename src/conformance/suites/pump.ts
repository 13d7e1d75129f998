/** Steps a world until a promise settles, for suites that call verbs themselves instead of running a program. */
import { LawBroken, laws } from '../laws.js';
import { turn } from '../turn.js';
import type { World } from '../world.js';

const STEPS_MAX = 1_000_000;
const TURNS_MAX = 64;

/** Runs until nothing moves. Throws when that takes too long. */
export async function rest(world: World): Promise<void> {
  for (;;) {
    world.runUntilQuiet(
      STEPS_MAX,
      steps => new LawBroken(laws.worksBounded, `still busy after ${steps} steps`),
    );
    if (world.outside === undefined || !(await world.outside.rest(undefined))) return;
  }
}

/** Runs until the promise settles; throws when nothing moves any more and it has not. */
export async function settle<T>(world: World, promise: Promise<T>): Promise<T> {
  let open = true;
  const close = (): void => {
    open = false;
  };
  promise.then(close, close);
  for (let turns = 0; open; turns++) {
    await rest(world);
    await turn;
    if (turns > TURNS_MAX) throw new LawBroken(laws.answersOnce, 'a control verb never settled');
  }
  return promise;
}
