/** The generated parts of the documents, on small texts. */
import { describe, expect, it } from 'vitest';
import { renderAbiBlock, renderAbiDocument } from '../../src/abi/markdown.js';
import { allEnumerations, allStructs } from '../../src/abi/index.js';
import { parseSpec } from '../../src/conformance/requirements.js';
import { fillBlocks, renderChecks, renderCoverage, renderQpTable } from '../../src/conformance/spec-documents.js';

describe('fillBlocks', () => {
  const render = (room: string, kind: string, name: string) =>
    kind === 'lost' ? undefined : `(${room} ${kind} ${name})`;

  it('replaces what stands between the marks and nothing else', () => {
    const text = 'a\n<!-- abi:struct toy -->\nold\n<!-- /abi -->\nb\n<!-- generated:qp-table -->\n<!-- /generated -->\n';
    expect(fillBlocks(text, render).text).toBe(
      'a\n<!-- abi:struct toy -->\n\n(abi struct toy)\n\n<!-- /abi -->\nb\n' +
        '<!-- generated:qp-table -->\n\n(generated qp-table )\n\n<!-- /generated -->\n',
    );
  });

  it('changes nothing the second time', () => {
    const once = fillBlocks('<!-- abi:enum toy -->\n<!-- /abi -->', render).text;
    expect(fillBlocks(once, render).text).toBe(once);
  });

  it('leaves a block that nothing can fill as it is and names it', () => {
    const text = '<!-- abi:lost toy -->\nold\n<!-- /abi -->';
    expect(fillBlocks(text, render)).toEqual({ text, unknown: ['<!-- abi:lost toy -->'] });
  });
});

describe('ABI tables', () => {
  it('show a struct with offset, size, type and meaning of every field', () => {
    expect(renderAbiBlock('struct', 'virtio_rdma_cmd_req_notify')).toBe(
      [
        '| offset | size | field | type | meaning |',
        '|---|---|---|---|---|',
        '| 0 | 4 | `cqn` | le32 | Number of the completion queue |',
        '| 4 | 4 | `flags` | le32 | What to arm for |',
        '',
        'Size of `virtio_rdma_cmd_req_notify`: 8 bytes.',
      ].join('\n'),
    );
  });

  it('show flags by bit and mask', () => {
    expect(renderAbiBlock('enum', 'wc_flags')).toContain('| 1 | 0x2 | `WITH_IMM` | imm_data is valid |');
  });

  it('know no struct or enumeration that is not there', () => {
    expect(renderAbiBlock('struct', 'virtio_rdma_toy')).toBeUndefined();
    expect(renderAbiBlock('enum', 'toy')).toBeUndefined();
    expect(renderAbiBlock('toy', 'wc_flags')).toBeUndefined();
  });

  it('stand all in the one document', () => {
    const document = renderAbiDocument();
    for (const { name } of [...allStructs, ...allEnumerations]) expect(document).toContain(`### ${name}\n`);
    expect(document).toContain('| send virtqueue of QP number n | 3 + C + 2n | 1 + C + 2n |');
  });
});

describe('the table of state changes', () => {
  it('marks required, optional and illegal', () => {
    const table = renderQpTable();
    expect(table).toContain('| RESET | INIT | **ACCESS_FLAGS** | **ACCESS_FLAGS** | **QKEY** |');
    expect(table).toContain('| RTS | SQD | none | none | none |');
    expect(table).not.toContain('| RESET | ERR |');
  });
});

describe('coverage', () => {
  const id = (number: string) => `TOY-${number}`;
  const chapter = {
    path: 'spec/05-toys.md',
    text: `- [${id('01')}] {strict} The device MUST answer.\n- [${id('02')}] The driver MAY rest.`,
  };
  const check = { id: id('01'), path: 'test/toys.test.ts', line: 3, kind: 'test' as const };

  it('lists each id with bearer, keyword, strictness, how many files, cases and transitions speak of it, and its mutants', () => {
    const [requirement] = parseSpec([chapter]).requirements;
    const row = { requirement, cases: ['TOY/a/b', 'TOY/a/c'], transitions: ['T: A go -> B'], mutants: ['x/y'] };
    const text = renderCoverage(
      [chapter],
      [check, { ...check, line: 9 }],
      [{ ...row, argument: undefined }],
    );
    expect(text).toContain('2 obligations, 1 with a check.');
    expect(text).toContain(
      `| [${id('01')}](05-toys.md) | device | MUST | strict | 1 | 2 | 1 | x/y |`,
    );
    expect(text).toContain(`| [${id('02')}](05-toys.md) | driver | MAY |  | 0 | 0 | 0 |  |`);
  });

  it('keeps one check a line in checks.json', () => {
    const text = renderChecks([check, check]);
    expect(JSON.parse(text)).toEqual([check, check]);
    expect(text.split('\n')).toHaveLength(5);
  });
});
