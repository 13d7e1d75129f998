import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import {
  headerSchema,
  ringSchema,
  tracedVerbs,
  traceSchemaText,
  verbsSchemas,
} from '../../src/conformance/elsewhere/format.js';
import { temporaryDirectory, vrdma } from './support.js';
import type { Result } from './support.js';

const header = '{"vrdmaTrace":2,"points":["verbs"]}';
const sound = [
  header,
  '{"point":"verbs","what":"call","call":0,"verb":"createPd"}',
  '{"point":"verbs","what":"result","call":0,"ok":true,"id":1}',
  '{"point":"verbs","what":"call","call":1,"verb":"destroyPd","id":1}',
  '{"point":"verbs","what":"result","call":1,"ok":true}',
];
const text = (lines: readonly string[]) => lines.map(line => `${line}\n`).join('');

function judged(contents: string | Uint8Array, ...options: readonly string[]): Promise<Result> {
  const file = join(temporaryDirectory(), 'trace.jsonl');
  writeFileSync(file, contents);
  return vrdma(['trace', file, ...options]);
}

describe('trace', () => {
  it('passes a sound trace, with its events counted', async () => {
    const { code, out, err } = await judged(text(sound));
    expect(code).toBe(0);
    expect(err).toBe('');
    expect(out).toMatch(/^point {2}events\nverbs {7}4\n\nPASS {2}no law broken in 5 lines, \d+ ms\n$/);
  });

  it('names line, machine, instance, state, what was met and what was expected, and the sentences of the spec', async () => {
    const broken = text([
      ...sound.slice(0, 3),
      '{"point":"verbs","what":"post","qp":7,"queue":"send","wr":1}',
      ...sound.slice(3),
    ]);
    const { code, out } = await judged(broken);
    expect(code).toBe(1);
    expect(out).toContain('BROKEN  line 4: nothing is destroyed twice');
    expect(out).toContain('queue pair 7 of machine 0 does not exist');
    expect(out).toMatch(/BROKEN {2}1 finding in 6 lines/);
    const answered =
      '{"vrdmaTrace":2,"points":["control"],"sides":["device"]}\n{"point":"control","side":"device","what":"command","id":1,"command":"CREATE_CQ"}\n';
    const answer =
      '{"point":"control","side":"device","what":"answer","id":1,"command":"CREATE_CQ","ack":"OK"}\n';
    const twice = await judged(answered + answer + answer);
    expect(twice.out).toContain('BROKEN  line 4: every command is answered exactly once');
    expect(twice.out).toContain('[CTRL-01] The device MUST answer every command.');
    const machine = text([
      ...sound,
      '{"point":"verbs","what":"call","call":2,"verb":"createPd"}',
      '{"point":"verbs","what":"result","call":2,"ok":true,"id":2}',
      '{"point":"verbs","what":"call","call":3,"verb":"regMr","pd":2}',
      '{"point":"verbs","what":"result","call":3,"ok":true,"id":5}',
      '{"point":"verbs","what":"call","call":4,"verb":"destroyPd","id":2}',
      '{"point":"verbs","what":"result","call":4,"ok":true}',
    ]);
    expect((await judged(machine)).out).toContain(
      [
        'BROKEN  line 11: machine PD',
        '  {"point":"verbs","what":"result","call":4,"ok":true}',
        '  machine   PD',
        '  instance  protection domain 2 of machine 0',
        '  state     LIVE',
        '  met       DESTROY (only when none is left)',
        '  expected  USER_CREATED, USER_DESTROYED, DESTROY, DESTROY_REFUSED',
      ].join('\n'),
    );
  });

  it('says aloud what was not judged', async () => {
    const middle = '{"vrdmaTrace":2,"points":["verbs"],"from":"middle"}';
    const { code, out } = await judged(
      text([middle, '{"point":"verbs","what":"event","cq":9}', ...sound.slice(1)]),
    );
    expect(code).toBe(0);
    expect(out).toContain(
      'NOT JUDGED  of this trace, which begins in the middle:\n  1  about objects older than the trace',
    );
    expect(out).toMatch(/PASS .*; 1 event not judged\n$/);
  });

  it('has no verdict when nothing was judged', async () => {
    const { code, out } = await judged(`${header}\n`);
    expect(code).toBe(3);
    expect(out).toContain('NO VERDICT  nothing of the trace was judged');
  });

  it('prints the verdict as JSON, and with --quiet alone', async () => {
    const { out } = await judged(text(sound), '--json');
    expect(JSON.parse(out)).toMatchObject({
      version: 1,
      verdict: 'pass',
      whole: true,
      lines: 5,
      events: { verbs: 4 },
    });
    expect((await judged(text(sound), '--quiet')).out).toMatch(/^PASS {2}.*\n$/);
  });
});

describe('docs/traces.md', () => {
  const document = readFileSync(new URL('../../docs/traces.md', import.meta.url), 'utf8');

  it('shows what its first trace really comes to', async () => {
    const trace = /```jsonl\n([^`]*)```/.exec(document)?.[1] ?? '';
    const shown = /```\n(BROKEN[^`]*)```/.exec(document)?.[1];
    const { code, out } = await judged(trace);
    expect(out.slice(0, shown?.length)).toBe(shown);
    expect(code).toBe(1);
  });

  it('names every member of the header and every event, and its schema is the one that judges', () => {
    const schema = readFileSync(new URL('../../docs/trace.schema.json', import.meta.url), 'utf8');
    expect(schema).toBe(traceSchemaText());
    for (const name of [
      ...Object.keys(headerSchema.shape),
      ...ringSchema.shape.what.options,
      ...tracedVerbs,
      ...Object.keys(verbsSchemas),
    ])
      expect(document, name).toContain(`\`${name}\``);
  });
});

describe('the bytes of a trace', () => {
  it.each([
    ['CRLF', text(sound).replaceAll('\n', '\r\n')],
    ['an empty last line', `${text(sound)}\n`],
    ['no line end behind the last line', text(sound).trimEnd()],
    ['gzip', gzipSync(text(sound))],
    [
      'gzip in two members',
      Buffer.concat([gzipSync(text(sound.slice(0, 2))), gzipSync(text(sound.slice(2)))]),
    ],
  ])('%s: fine', async (_name, contents) => {
    expect((await judged(contents, '--quiet')).out).toContain('PASS  no law broken in 5 lines');
  });

  it.each<[string, string | Uint8Array, string]>([
    ['a last line that is cut off', text(sound).slice(0, -9), 'line 5: this is not JSON'],
    [
      'an empty line among others',
      text([...sound.slice(0, 3), '', ...sound.slice(3)]),
      'line 4: an empty line',
    ],
    ['two empty lines at the end', `${text(sound)}\n\n`, 'line 6: an empty line'],
    [
      'bytes that are no UTF-8',
      Buffer.concat([Buffer.from(text(sound)), Buffer.from([0xff, 10])]),
      'line 6: bytes that are no UTF-8',
    ],
    [
      'gzip that is cut off',
      gzipSync(text(sound)).subarray(0, 60),
      'the compressed data ends here or is damaged',
    ],
    [
      'something behind gzip',
      Buffer.concat([gzipSync(text(sound)), Buffer.from('more')]),
      'the compressed data ends here or is damaged',
    ],
    [
      'an empty file',
      '',
      'the trace is empty; expected a header such as {"vrdmaTrace":2,"points":["verbs"]}',
    ],
    ['no header', text(sound.slice(1)), 'line 1: no header; expected a header such as'],
    [
      'a newer version',
      '{"vrdmaTrace":9,"points":["verbs"]}\n',
      'a trace of version 9; this vrdma reads version 2: use a newer vrdma',
    ],
    [
      'an older version',
      '{"vrdmaTrace":1}\n',
      'a trace of version 1; this vrdma reads version 2: record it again',
    ],
    ['a program', '{"version":1,"mode":"settled","actions":[]}\n', 'this is a verbs program and no trace'],
    ['a program over several lines', '{\n  "version": 1\n}\n', 'line 1: this is not JSON'],
    [
      'a line that the schema does not know',
      text([...sound, '{"point":"verbs","what":"post","qp":7}']),
      'line 6: at queue',
    ],
  ])('%s: 2, with the line and what was expected', async (_name, contents, message) => {
    const { code, out, err } = await judged(contents);
    expect(err).toContain(message);
    expect(err.trimEnd().split('\n')).toHaveLength(1);
    expect(out).toBe('');
    expect(code).toBe(2);
  });

  it('what was broken before such a line is shown as well', async () => {
    const { code, out, err } = await judged(
      text([header, '{"point":"verbs","what":"event","cq":1}', 'gibberish']),
    );
    expect(code).toBe(2);
    expect(out).toContain('BROKEN  line 2');
    expect(err).toContain('line 3: this is not JSON');
  });

  it('a file that is not there', async () => {
    const { code, err } = await vrdma(['trace', 'nowhere.jsonl']);
    expect(code).toBe(2);
    expect(err).toBe('vrdma: cannot read nowhere.jsonl: there is no such file.\n');
  });
});

describe('a stream', () => {
  it('is read from standard input, however it is cut', async () => {
    const input = [...Buffer.from(text(sound))].map(byte => Uint8Array.of(byte));
    const { code, out } = await vrdma(['trace', '-', '--quiet'], { input });
    expect(code).toBe(0);
    expect(out).toContain('PASS  no law broken in 5 lines');
  });

  it('shows how far it has come on a terminal', async () => {
    async function* slow() {
      yield Buffer.from(text(sound));
      await delay(1100);
      yield Buffer.from('{"point":"verbs","what":"note","by":"driver","text":"late"}\n');
    }
    const { err } = await vrdma(['trace', '-'], { tty: true, input: slow() });
    expect(err).toMatch(/trace.*6 lines {2}0 MB {2}\d+\/s {2}0 findings/);
  });

  it('that is interrupted gives no verdict, at once, even while it waits', async () => {
    const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
    const child = spawn(process.execPath, [main, 'trace', '-'], { stdio: ['pipe', 'pipe', 'inherit'] });
    let out = '';
    child.stdout.on('data', (chunk: Buffer) => void (out += chunk.toString()));
    const ended = new Promise<number | null>(resolve => child.once('exit', resolve));
    // More than a pipe holds: once it is written the reader has begun, and then it waits for more.
    const note = '{"point":"verbs","what":"note","by":"driver","text":"filling"}\n';
    child.stdin.write(text(sound) + note.repeat(50_000), () => child.kill('SIGINT'));
    const code = await ended;
    expect([code, out]).toEqual([3, expect.stringContaining('NO VERDICT')]);
  });
});
