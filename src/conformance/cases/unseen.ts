/** Cases that machines elsewhere cannot be asked, since nothing but their verbs is seen. */
import { match } from 'ts-pattern';
import { laws } from '../laws.js';
import type { RemoteMachines } from '../remote-machines.js';
import type { CaseHow } from './case.js';

/** Machines that are judged by what a program sees of its verbs. */
const verbsMachines: ReadonlySet<string> = new Set(['PD', 'CQ_USE', 'MR', 'AH', 'GID']);

/** Laws that are judged below the verbs. */
const lawsBelow: ReadonlySet<string> = new Set(
  [laws.takesWhatIsThere, laws.resetsClean, laws.leaksNothing, laws.worksBounded, laws.starts].map(
    ({ name }) => name,
  ),
);

/** Why a case says nothing about machines elsewhere; undefined when it can be asked. */
export function whyUnseen(how: CaseHow, remote: RemoteMachines): string | undefined {
  return match(how)
    .with({ kind: 'program' }, ({ program }) => {
      const missing = remote.missingFor(program);
      return missing && `it needs ${missing}`;
    })
    .with({ kind: 'property' }, ({ law }) => {
      const machine = /^machine (.*)$/.exec(law)?.[1];
      if (machine === undefined) return lawsBelow.has(law) ? below('this law') : undefined;
      return verbsMachines.has(machine) ? undefined : below('this machine');
    })
    .with({ kind: 'observation' }, () => 'it looks at rings; of an agent only the verbs are seen')
    .with(
      { kind: 'bound' },
      () => 'it counts what happens below the verbs, and of an agent only the verbs are seen',
    )
    .with(
      { kind: 'probe' },
      { kind: 'hostile' },
      () => 'it needs the kit opposite the driver or the device; of an agent only the verbs are seen',
    )
    .exhaustive();
}

/** Cases about what a driver reads or asks of its operating system. */
const ofReads = [
  'VQ/ring/driver-double-fetch',
  'VQ/ring/driver-looks-after-raising',
  'VQ/ring/driver-looks-again',
  'VQ/ring/used-index-first',
  'VQ/ring/used-ring-is-the-devices',
];
const ofSystem = [
  'VQ/ring/memory-kept',
  'MEM/payload/untouched',
  'MEM/pages/held-after-refused-dereg',
  'MEM/pages/held-for-each-region',
  'MEM/pages/held-from-the-command-on',
  'PERF/bound/translations',
];

/** Why a case says nothing about a driver in another process; undefined when it can be asked. */
export function whyUnseenThere(id: string): string | undefined {
  if (ofReads.includes(id)) return 'what a driver in another process reads and writes where is not seen';
  if (ofSystem.includes(id))
    return 'what a driver in another process asks of its operating system is not seen';
  return undefined;
}

function below(what: string): string {
  return `${what} is judged below the verbs, and of an agent only the verbs are seen`;
}
