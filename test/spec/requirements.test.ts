/** The reader of the spec and the search for checks, on small made-up chapters. */
import { describe, expect, it } from 'vitest';
import { collectChecks, parseSpec, traceability } from '../../src/conformance/requirements.js';
import type { SourceFile } from '../../src/conformance/requirements.js';

// Made-up ids are put together here, since a written-out one would count as a citation of this very file.
const id = (number: string) => `TOY-${number}`;
const item = (number: string, text: string) => `- [${id(number)}] ${text}`;
const chapter = (...lines: string[]): SourceFile => ({ path: 'spec/05-toys.md', text: lines.join('\n') });
const kinds = (files: readonly SourceFile[]) => parseSpec(files).problems.map(problem => problem.kind);

describe('parseSpec', () => {
  it('reads id, chapter, bearer, keyword, strictness, sentence and place', () => {
    const { requirements, problems } = parseSpec([
      chapter(
        '# Toys',
        '',
        item('01', 'The device MUST answer.'),
        '- a plain list item',
        item('02', '{strict} The driver SHOULD NOT ask twice.'),
      ),
    ]);
    expect(problems).toEqual([]);
    expect(requirements).toEqual([
      {
        id: id('01'),
        chapter: 'TOY',
        bearer: 'device',
        keyword: 'MUST',
        strict: false,
        text: 'The device MUST answer.',
        path: 'spec/05-toys.md',
        line: 3,
      },
      {
        id: id('02'),
        chapter: 'TOY',
        bearer: 'driver',
        keyword: 'SHOULD NOT',
        strict: true,
        text: 'The driver SHOULD NOT ask twice.',
        path: 'spec/05-toys.md',
        line: 5,
      },
    ]);
  });

  it.each([
    ['no bearer', item('01', 'Both sides MUST answer.')],
    ['no keyword', item('01', 'The device answers.')],
    ['two keywords', item('01', 'The device MUST answer and MAY sleep.')],
    ['no full stop', item('01', 'The device MUST answer')],
    ['an unknown mark', item('01', '{lenient} The device MUST answer.')],
    ['an id of another form', '- [toy-1] The device MUST answer.'],
  ])('reports an obligation with %s', (_, line) => {
    const { requirements, problems } = parseSpec([chapter(line)]);
    expect(requirements).toEqual([]);
    expect(problems).toMatchObject([{ kind: 'malformed', path: 'spec/05-toys.md', line: 1 }]);
  });

  it('takes a list item that is a link or a task for prose', () => {
    expect(parseSpec([chapter('- [Overview](01-overview.md) explains.', '- [ ] open')])).toEqual({
      requirements: [],
      problems: [],
    });
  });

  it('reports an id that is used twice, with both places', () => {
    const { problems } = parseSpec([
      chapter(item('01', 'The device MUST answer.'), item('01', 'The device MUST rest.')),
    ]);
    expect(problems).toEqual([
      {
        kind: 'collision',
        path: 'spec/05-toys.md',
        line: 2,
        message: `${id('01')} is already taken at spec/05-toys.md:1`,
      },
    ]);
  });

  it('reports ids that do not ascend', () => {
    expect(kinds([chapter(item('02', 'The device MUST answer.'), item('01', 'The device MUST rest.'))])).toEqual([
      'out-of-order',
    ]);
  });

  it('reports a prefix that lives in two files', () => {
    const second = { path: 'spec/06-more.md', text: item('02', 'The device MUST rest.') };
    expect(kinds([chapter(item('01', 'The device MUST answer.')), second])).toEqual(['wrong-chapter']);
  });

  it('reports a reference to an id that does not exist, and leaves question numbers alone', () => {
    const files = [chapter(item('01', 'The device MUST answer.'), `See [${id('07')}] and [Q-01].`)];
    expect(parseSpec(files).problems).toEqual([
      { kind: 'dangling-reference', path: 'spec/05-toys.md', line: 2, message: `${id('07')} does not exist` },
    ]);
  });
});

describe('collectChecks', () => {
  it('finds ids in brackets and in quotes, each once a line, sorted, with the kind of their room', () => {
    const files = [
      { path: 'test/toys.test.ts', text: `it('[${id('02')}] [${id('01')}] holds [${id('02')}]', go);` },
      { path: 'src/statemachines/toy.ts', text: `\nmeta: { requirement: '${id('01')}' }` },
      { path: 'src/conformance/toys.ts', text: `requirements: ["${id('01')}", '${id('02')}']` },
    ];
    expect(collectChecks(files)).toEqual([
      { id: id('01'), path: 'src/conformance/toys.ts', line: 1, kind: 'law' },
      { id: id('01'), path: 'src/statemachines/toy.ts', line: 2, kind: 'machine' },
      { id: id('01'), path: 'test/toys.test.ts', line: 1, kind: 'test' },
      { id: id('02'), path: 'src/conformance/toys.ts', line: 1, kind: 'law' },
      { id: id('02'), path: 'test/toys.test.ts', line: 1, kind: 'test' },
    ]);
  });

  it('finds every id of a list in brackets', () => {
    const text = `/** Refuses [${id('02')}, ${id('01')}]. */`;
    expect(collectChecks([{ path: 'src/statemachines/x.ts', text }]).map(check => check.id)).toEqual([id('01'), id('02')]);
  });

  it('finds nothing in a bare mention', () => {
    expect(collectChecks([{ path: 'test/x.test.ts', text: `// see ${id('01')}` }])).toEqual([]);
  });
});

describe('traceability', () => {
  const { requirements } = parseSpec([
    chapter(item('01', 'The device MUST answer.'), item('02', 'The driver MAY rest.')),
  ]);
  const check = (number: string) => ({ id: id(number), path: 'test/x.test.ts', line: 4, kind: 'test' as const });

  it('gives each requirement its checks', () => {
    const { rows, problems } = traceability(requirements, [check('01'), check('02')]);
    expect(problems).toEqual([]);
    expect(rows.map(row => row.checks)).toEqual([[check('01')], [check('02')]]);
  });

  it('reports a requirement that nothing checks, whatever its keyword', () => {
    const { problems } = traceability(requirements, [check('01')]);
    expect(problems).toEqual([
      { kind: 'no-check', path: 'spec/05-toys.md', line: 2, message: `nothing checks ${id('02')}` },
    ]);
  });

  it('reports a check of an id that no chapter has', () => {
    const { problems } = traceability(requirements, [check('01'), check('02'), check('03')]);
    expect(problems).toEqual([
      {
        kind: 'unknown-id',
        path: 'test/x.test.ts',
        line: 4,
        message: `${id('03')} is cited and no chapter has it`,
      },
    ]);
  });
});
