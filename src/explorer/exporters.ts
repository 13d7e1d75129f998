/** A machine in the formats of other tools: Mermaid, Graphviz, Stately, JSON. */
import { match } from 'ts-pattern';
import { xstateConfig } from '../statemachines/index.js';
import type { MachineDefinition } from '../statemachines/index.js';
import { pictureOf } from './picture.js';

export const exportFormats = ['mermaid', 'dot', 'stately', 'json'] as const;
export type ExportFormat = (typeof exportFormats)[number];

/** The machine as text; ends in a newline. */
export function exportMachine(machine: MachineDefinition, format: ExportFormat): string {
  return match(format)
    .with('mermaid', () => toMermaid(machine))
    .with('dot', () => toDot(machine))
    .with('stately', () => toStately(machine))
    .with('json', () => `${JSON.stringify(machine, null, 2)}\n`)
    .exhaustive();
}

/** A Mermaid state diagram. Events that leave the state as it is are left out; unseen ones are in parentheses. */
export function toMermaid(machine: MachineDefinition): string {
  const picture = pictureOf(machine);
  const lines = [
    'stateDiagram-v2',
    ...picture.groups.map(group => `  state "${group.label}" as ${group.id}`),
    `  [*] --> ${picture.initial}`,
    ...picture.arrows.map(({ from, to, labels, internal }) => {
      const texts = internal ? labels.map(label => `(${label})`) : labels;
      return `  ${from} --> ${to} : ${texts.join('<br/>')}`;
    }),
    ...picture.finals.map(state => `  ${state} --> [*]`),
    ...(picture.groups.length === 0
      ? []
      : [
          '  classDef group fill:none,stroke-dasharray:4',
          `  class ${picture.groups.map(group => group.id).join(',')} group`,
        ]),
  ];
  return `${lines.join('\n')}\n`;
}

/**
 * A Graphviz graph with the same content; unseen events are dashed, and arrows that carry one of the `marked` requirements
 * are bold.
 */
export function toDot(machine: MachineDefinition, marked: ReadonlySet<string> = new Set()): string {
  const picture = pictureOf(machine);
  const lines = [
    `digraph "${machine.name}" {`,
    '  rankdir=LR;',
    '  node [shape=box, style=rounded, fontname="sans-serif"];',
    '  edge [fontname="sans-serif", fontsize=10];',
    '  start [shape=point];',
    ...picture.groups.map(({ id, label }) => `  ${id} [label="${label}", style="rounded,dashed"];`),
    ...picture.states.map(state => `  ${state}${picture.finals.includes(state) ? ' [peripheries=2]' : ''};`),
    `  start -> ${picture.initial};`,
    ...picture.arrows.map(({ from, to, labels, internal, requirements }) => {
      const bold = requirements.some(id => marked.has(id)) ? ', penwidth=3, color="#c02020"' : '';
      const style = `${internal ? ', style=dashed' : ''}${bold}`;
      return `  ${from} -> ${to} [label="${labels.join('\\n')}"${style}];`;
    }),
    '}',
  ];
  return `${lines.join('\n')}\n`;
}

const statelySetup = `const machineSetup = setup({
  guards: {
    mask: ({ event }, { required, optional }) =>
      (event.arg & required) === required && (event.arg & ~(required | optional)) === 0,
    zero: ({ context }) => context.count === 0,
    positive: ({ context }) => context.count > 0,
    'below-limit': ({ context }) => context.count < context.limit,
    'at-limit': ({ context }) => context.count >= context.limit,
  },
  actions: {
    inc: assign({ count: ({ context }) => context.count + 1 }),
    dec: assign({ count: ({ context }) => context.count - 1 }),
    add: assign({ count: ({ context, event }) => context.count + event.arg }),
  },
});
`;

/** A JavaScript module with the XState machine, fit for the Stately editor. Create actors with \`{ input: { limit } }\`. */
export function toStately(machine: MachineDefinition): string {
  const config = JSON.stringify(xstateConfig(machine), null, 2);
  return `import { assign, setup } from 'xstate';

${statelySetup}
export const machine = machineSetup.createMachine({
  context: ({ input }) => ({ count: 0, limit: input.limit }),
  ...${config},
});
`;
}
