/** The cases that are made from what stands elsewhere: scenarios, laws, machines and bounds. */
import { laws } from '../laws.js';
import type { Action, Program } from '../program.js';
import { boundNames } from '../report.js';
import type { BoundName } from '../report.js';
import { scenarios } from '../scenarios/index.js';
import { machines } from '../../statemachines/index.js';
import type { MachineDefinition } from '../../statemachines/index.js';
import type { CaseNeeds, ConformanceCase } from './case.js';

/** Every scenario is a case. */
export const programCases: readonly ConformanceCase[] = scenarios.map(scenario => ({
  id: scenario.id,
  doc: scenario.doc,
  source: scenario.source,
  requirements: scenario.requirements,
  judges: 'both',
  needs: needsOf(scenario.program),
  how: { kind: 'program', program: scenario.program },
}));

function needsOf({ actions }: Program): CaseNeeds {
  const types = new Set(actions.filter(isCreateQp).map(({ type }) => type));
  const services = (['RC', 'UC', 'UD', 'GSI'] as const).filter(type => types.has(type));
  return services.length === 0 ? {} : { services };
}

function isCreateQp(action: Action): action is Extract<Action, { op: 'createQp' }> {
  return action.op === 'createQp';
}

/** Every law is a case, over the campaign of generated programs. */
const lawCases: readonly ConformanceCase[] = Object.values(laws)
  // What a scenario expects is asked by the scenarios themselves.
  .filter(law => law !== laws.expected)
  .map(({ name, requirements }) => ({
    id: `${chapterPrefix(requirements[0])}/law/${slug(name)}`,
    doc: `In every generated program: ${name}.`,
    source: 'derived',
    requirements,
    judges: 'both',
    needs: {},
    how: { kind: 'property', law: name },
  }));

/** Every machine is a case: no generated program makes it leave its transitions. */
const machineCases: readonly ConformanceCase[] = machines.map(machine => ({
  id: `${chapterPrefix(machine.transitions[0].requirement)}/machine/${slug(machine.name)}`,
  doc: `In every generated program the machine ${machine.name} takes none but its own transitions: ${sentence(machine.purpose)}`,
  source: 'derived',
  requirements: requirementsOf(machine),
  judges: 'both',
  needs: {},
  how: { kind: 'property', law: `machine ${machine.name}` },
}));

export const propertyCases: readonly ConformanceCase[] = [...lawCases, ...machineCases];

/** The obligations that a machine carries, by its transitions, prohibitions and ends. */
export function requirementsOf({ transitions, forbidden, endRequirement }: MachineDefinition): string[] {
  const all = [...transitions, ...forbidden].map(({ requirement }) => requirement);
  return [...new Set(endRequirement === undefined ? all : [...all, endRequirement])];
}

const bounds: Readonly<
  Record<BoundName, readonly [requirement: string, doc: string, judges: 'driver' | 'device']>
> = {
  'kicks-a-post': ['PERF-01', 'A post sends one kick at most.', 'driver'],
  'kicks-a-command': ['PERF-01', 'A control verb sends one kick at most.', 'driver'],
  'completion-interrupts': [
    'PERF-05',
    'A completion queue interrupts no more often than it was armed.',
    'device',
  ],
  'request-interrupts': ['PERF-06', 'Send and receive queues never interrupt.', 'driver'],
  'exits-a-poll': ['PERF-07', 'A poll does not leave the guest.', 'driver'],
  'commands-a-verb': ['PERF-08', 'A control verb takes one command at most.', 'driver'],
  'commands-a-post': ['PERF-09', 'Posting and polling take no command.', 'driver'],
  'interrupts-a-command': ['PERF-10', 'A command is answered with one interrupt at most.', 'device'],
  translations: ['PERF-12', 'Each page of a region is translated once at most.', 'driver'],
  'exits-a-message': [
    'PERF-18',
    'A polling run never leaves the guest, however many messages it sends.',
    'driver',
  ],
  throughput: [
    'PERF-19',
    'At a depth of 128 at least 0.97 of the throughput of the adapter alone is reached.',
    'device',
  ],
};

export const boundCases: readonly ConformanceCase[] = boundNames.map(name => {
  const [requirement, doc, judges] = bounds[name];
  return {
    id: `PERF/bound/${name}`,
    doc,
    source: 'derived',
    requirements: [requirement],
    judges,
    needs: {},
    how: { kind: 'bound', bound: name },
  };
});

function chapterPrefix(requirement: string): string {
  return requirement.slice(0, requirement.indexOf('-'));
}

function slug(name: string): string {
  return name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '');
}

/** The first sentence of a text. */
function sentence(text: string): string {
  return `${text.split('. ')[0].replace(/\.$/, '')}.`;
}
