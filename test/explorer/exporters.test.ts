import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { StateMachine, initialTransition, transition } from 'xstate';
import type { AnyStateMachine } from 'xstate';
import { z } from 'zod';
import { exportFormats, exportMachine, pictureOf, renderMachineDocs } from '../../src/explorer/index.js';
import { compile, machineByName, machines, toXState } from '../../src/statemachines/index.js';
import { LIMIT, walks } from '../statemachines/support.js';

describe.each(machines)('$name', machine => {
  it('shows every state and every way between two states in its picture, and no other', () => {
    const picture = pictureOf(machine);
    const shown = new Set<string>();
    for (const arrow of picture.arrows) {
      const group = picture.groups.find(({ id }) => id === arrow.from);
      const sources = group === undefined ? [arrow.from] : sourcesOf(group.label, arrow.to);
      for (const source of sources) {
        for (const label of arrow.labels) shown.add(`${source} ${label.replace(/ \[.*/, '')} ${arrow.to}`);
      }
    }
    const moving = machine.transitions.filter(({ from, to }) => box(from) !== box(to));
    expect([...shown].toSorted()).toEqual(
      [...new Set(moving.map(({ from, event, to }) => `${box(from)} ${event} ${box(to)}`))].toSorted(),
    );
    for (const state of machine.states) expect(picture.states).toContain(box(state.name));
  });

  it('is drawn in Mermaid with short labels and one arrow between two boxes', () => {
    const text = exportMachine(machine, 'mermaid');
    const arrows = text.split('\n').filter(line => / --> \w+ :/.test(line));
    const ends = arrows.map(line => line.replace(/ : .*/, '').trim() + (line.includes('(') ? ' unseen' : ''));
    expect(new Set(ends).size).toBe(ends.length);
    for (const line of text.split('\n')) expect(line).not.toMatch(/[;#]|0x/);
    for (const state of machine.states) {
      expect(text).toMatch(new RegExp(`\\b${box(state.name)}\\b`));
    }
  });

  it('is exported for Graphviz with every state as a node', () => {
    const text = exportMachine(machine, 'dot');
    for (const state of machine.states) {
      expect(text).toMatch(new RegExp(`^  ${box(state.name)}( \\[|;)`, 'm'));
    }
    expect(text.split('{').length).toBe(text.split('}').length);
  });

  it('is exported as JSON that holds the whole definition', () => {
    expect(JSON.parse(exportMachine(machine, 'json'))).toEqual(JSON.parse(JSON.stringify(machine)));
  });

  it('is exported for Stately as a module whose machine is that of toXState', async () => {
    const exported = await machineIn(exportMachine(machine, 'stately'), machine.name);
    expect(JSON.parse(JSON.stringify(exported.config.states))).toEqual(
      JSON.parse(JSON.stringify(toXState(machine).config.states)),
    );
    const first = walks(compile(machine)).findIndex(walk => walk?.length === 1);
    const { event, guard, to } = machine.transitions[first];
    const [before] = initialTransition(exported, { limit: LIMIT });
    const [after] = transition(exported, before, {
      type: event,
      arg: guard?.kind === 'mask' ? guard.required : 1,
    });
    expect(before.value).toBe(machine.initial);
    expect(after.value).toBe(to);
  });

  function box(state: string): string {
    return machine.states.find(candidate => candidate.name === state)?.shadeOf ?? state;
  }

  /** The states behind the label of a group. */
  function sourcesOf(label: string, target: string): string[] {
    const prefix = 'any other state';
    if (!label.startsWith(prefix)) return label.split(', ');
    const missing = label.slice(`${prefix} but `.length).split(', ');
    const finals = machine.states.filter(
      state =>
        !machine.transitions.some(rule => box(rule.from) === state.name && box(rule.to) !== state.name),
    );
    return machine.states
      .map(state => state.name)
      .filter(
        name =>
          box(name) === name &&
          name !== target &&
          !missing.includes(name) &&
          !finals.some(final => final.name === name),
      );
  }
});

/** Loads an exported module from where it finds its own import. */
async function machineIn(module: string, name: string): Promise<AnyStateMachine> {
  const folder = new URL('../../node_modules/.cache/exported-machines/', import.meta.url);
  mkdirSync(folder, { recursive: true });
  const file = new URL(`${name}.mjs`, folder);
  writeFileSync(file, module);
  const loaded: unknown = await import(file.href);
  return z.object({ machine: z.instanceof(StateMachine) }).parse(loaded).machine;
}

describe('exports', () => {
  it('draw a small machine as expected', () => {
    expect(exportMachine(machineByName('GID'), 'mermaid')).toBe(
      ['stateDiagram-v2', '  [*] --> EMPTY', '  EMPTY --> SET : ADD', '  SET --> EMPTY : DEL', ''].join('\n'),
    );
    expect(exportMachine(machineByName('PD'), 'mermaid')).toBe(
      [
        'stateDiagram-v2',
        '  [*] --> LIVE',
        '  LIVE --> DESTROYED : DESTROY [users is 0]',
        '  DESTROYED --> [*]',
        '',
      ].join('\n'),
    );
  });

  it('end in a newline in every format', () => {
    for (const format of exportFormats) expect(exportMachine(machines[0], format)).toMatch(/[^\n]\n$/);
  });
});

describe('the machine pages', () => {
  const pages = renderMachineDocs();
  const folder = new URL('../../docs/machines/', import.meta.url);

  it('are one for each machine, and an index that links them', () => {
    expect(pages).toHaveLength(machines.length + 1);
    const index = pages.find(page => page.path === 'README.md');
    for (const { path } of pages) if (path !== 'README.md') expect(index?.text).toContain(`(${path})`);
  });

  it('cite an obligation in every row of the transition table', () => {
    for (const { path, text } of pages) {
      if (path === 'README.md') continue;
      const rows = text.split('## Transitions')[1].split('## Forbidden')[0].trim().split('\n').slice(2);
      expect(rows.length).toBeGreaterThan(0);
      for (const row of rows)
        expect(row).toMatch(/\| \[[A-Z]+-[0-9]+\]\(\.\.\/\.\.\/spec\/[0-9a-z-]+\.md\) \|$/);
    }
  });

  it('link to chapters that are there', () => {
    const chapters = new Set(
      pages.flatMap(({ text }) => [...text.matchAll(/\((\.\.\/\.\.\/spec\/[^)]*)\)/g)].map(m => m[1])),
    );
    expect([...chapters].filter(path => !existsSync(new URL(path, folder)))).toEqual([]);
  });

  it('are in the repository as they are generated', () => {
    const files = readdirSync(folder).toSorted();
    expect(files).toEqual(pages.map(page => page.path).toSorted());
    for (const { path, text } of pages) expect(readFileSync(new URL(path, folder), 'utf8')).toBe(text);
  });
});
