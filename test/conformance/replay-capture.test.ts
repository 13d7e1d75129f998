/** The capture of a replayed program: the frames that its packets would be, in virtual time. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { CaptureJudge } from '../../src/conformance/wire/index.js';
import { parseProgram, replay } from '../../src/conformance/replay.js';
import type { ReplayCapture } from '../../src/conformance/replay.js';
import { PcapReader, RoceFrame, frameLine } from '../../src/fabric/index.js';

const hasTshark = spawnSync('tshark', ['--version']).status === 0;
if (!hasTshark) process.stderr.write('no tshark on this machine: it does not read the capture of a replay\n');

async function captured(name: string): Promise<ReplayCapture> {
  const source = readFileSync(new URL(`../../examples/programs/${name}.json`, import.meta.url), 'utf8');
  const { verdict, capture } = await replay(parseProgram(source, name), { profile: 'roce', capture: true });
  expect(verdict).toBe('pass');
  if (capture === undefined) throw new Error('there is no capture');
  return capture;
}

function lines({ file }: ReplayCapture): string[] {
  const frame = new RoceFrame();
  return new PcapReader().push(file).map(({ timeNs, data }) => {
    expect(frame.decode(data)).toBe('roce');
    return `${timeNs} ns  ${frameLine(frame)}`;
  });
}

describe('the capture of a replay', () => {
  it('shows the packets of the program with the times of the run', async () => {
    const capture = await captured('data-message-rc-send');
    expect(lines(capture)).toMatchInlineSnapshot(`
      [
        "0 ns  fe80:0:0:0:0:0:0:1 > fe80:0:0:0:0:1:0:1  RC SEND_ONLY qp 2 psn 3833113, 1024 bytes, ack",
        "1089 ns  fe80:0:0:0:0:1:0:1 > fe80:0:0:0:0:0:0:1  RC ACKNOWLEDGE qp 2 psn 3833113, 0 bytes, ACK, msn 1",
      ]
    `);
    expect(capture).toMatchObject({ frames: 2, leftOut: 0 });
  });

  it('is the same every time, and is there only when it is asked for', async () => {
    const [first, second] = [await captured('data-message-rc-read'), await captured('data-message-rc-read')];
    expect(first).toEqual(second);
    const source = readFileSync(
      new URL('../../examples/programs/data-message-rc-send.json', import.meta.url),
      'utf8',
    );
    const { capture } = await replay(parseProgram(source, 'sent'), { profile: 'roce' });
    expect(capture).toBeUndefined();
  });

  it.each([
    'data-message-rc-segmentation',
    'data-message-rc-read',
    'data-verbs-rc-pingpong-lossy',
    'data-ud-send',
  ])('of %s passes the judge of captures, every frame of it', async name => {
    const { file, frames, leftOut } = await captured(name);
    const judge = new CaptureJudge({ complete: true });
    judge.push(file);
    judge.end();
    const report = judge.report();
    expect(report.findings).toEqual([]);
    expect(report.packets).toBe(frames);
    expect(frames).toBeGreaterThan(0);
    expect(leftOut).toBe(0);
  });

  it.skipIf(!hasTshark)('is read by tshark, which finds the same packet sequence numbers', async () => {
    const capture = await captured('data-message-rc-segmentation');
    const folder = mkdtempSync(join(tmpdir(), 'vrdma-replay-capture-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const file = join(folder, 'roce.pcap');
    writeFileSync(file, capture.file);
    const fields = ['-T', 'fields', '-e', 'infiniband.bth.opcode', '-e', 'infiniband.bth.psn'];
    const { status, stdout } = spawnSync('tshark', ['-r', file, ...fields], { encoding: 'utf8' });
    expect(status).toBe(0);
    const frame = new RoceFrame();
    const own = new PcapReader().push(capture.file).map(({ data }) => {
      frame.decode(data);
      return `${frame.opcode}\t${frame.psn}`;
    });
    expect(stdout.trim().split('\n')).toEqual(own);
  });
});
