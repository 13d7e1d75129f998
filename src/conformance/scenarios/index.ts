/** The fixed scenarios: verbs programs with known outcomes, for the check's `scenarios` suite, the tests and `examples/programs/`. */
import type { Program } from '../program.js';
import { badPlaceScenarios } from './bad-places.js';
import { completionScenarios } from './completions.js';
import { dataPathScenarios } from './data-path.js';
import { datagramScenarios } from './datagrams.js';
import { flagScenarios } from './flags.js';
import { memoryScenarios } from './memory.js';
import { notificationScenarios } from './notification.js';
import { objectScenarios } from './objects.js';
import { perftestScenarios } from './perftest.js';
import { pingpongScenarios } from './pingpong.js';
import { modifyScenarios } from './modify.js';
import { queueStateScenarios } from './queue-states.js';
import { refusedPostScenarios } from './refused-posts.js';
import { rightScenarios } from './rights.js';
import { ringFormatScenarios } from './ring-formats.js';
import { unreadyPeerScenarios } from './unready-peers.js';
import type { Scenario } from './scenario.js';

export type { Scenario } from './scenario.js';

export const scenarios: readonly Scenario[] = [
  ...pingpongScenarios,
  ...perftestScenarios,
  ...objectScenarios,
  ...memoryScenarios,
  ...modifyScenarios,
  ...queueStateScenarios,
  ...dataPathScenarios,
  ...flagScenarios,
  ...datagramScenarios,
  ...completionScenarios,
  ...notificationScenarios,
  ...badPlaceScenarios,
  ...rightScenarios,
  ...unreadyPeerScenarios,
  ...refusedPostScenarios,
  ...ringFormatScenarios,
];

/** The program files, with paths below `examples/programs/`. */
export function renderScenarioFiles(): { path: string; text: string }[] {
  return scenarios.map(({ id, program }) => ({
    path: `${id.replaceAll('/', '-').toLowerCase()}.json`,
    text: renderProgram(program),
  }));
}

/** JSON that reads like a script: one action a line. */
function renderProgram({ actions, ...head }: Program): string {
  const members = Object.entries(head).map(
    ([name, value]) => `  ${JSON.stringify(name)}: ${JSON.stringify(value)},`,
  );
  const lines = actions.map(action => `    ${JSON.stringify(action)}`);
  return ['{', ...members, '  "actions": [', lines.join(',\n'), '  ]', '}', ''].join('\n');
}
