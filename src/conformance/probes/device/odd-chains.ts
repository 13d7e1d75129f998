/** Chains on the control queue that are no command, or have more room than one needs. */
import { Ack } from '../../../abi/index.js';
import { usedRingBytes } from '../../../virtio/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import { UNWRITTEN, seen } from './answers.js';
import { createCq, queryPort } from './messages.js';
import { probe } from './probe-case.js';
import { expectRefused } from './refusals.js';
import { pairOf } from './site.js';
import { expectUnchanged, noteBefore } from './unchanged.js';

const frames: readonly ConformanceCase[] = [
  probe(
    {
      id: 'CTRL/frame/unknown-command',
      doc: 'Every command code that is not in the table is refused and changes nothing.',
      requirements: ['CTRL-07', 'CTRL-03', 'CTRL-04', 'CTRL-14', 'CTRL-16'],
    },
    context => {
      const scene = pairOf(context);
      const data = new Uint8Array(128);
      for (let code = 18; code < 255; code++) {
        const answer = scene.a.machine.command(code, data, { writable: 129 }, `command ${code}`);
        const clean = answer.bytes.subarray(1).every(byte => byte === UNWRITTEN);
        if (answer.bytes[0] !== Ack.ERR || answer.used !== 1 || !clean) {
          scene.bench.accuse(['CTRL-07'], `command ${code}: ${seen(answer)}, expected ack 1 alone`);
        }
      }
      expectRefused(scene, ['CTRL-07'], 255, { text: 'command 255', data, how: { writable: 129 } });
      return scene.bench;
    },
  ),
  ...[0, 1].map(length =>
    probe(
      {
        id: `CTRL/frame/${length === 0 ? 'no-readable-byte' : 'one-readable-byte'}`,
        doc: `A chain with ${length === 0 ? 'no readable byte' : 'one readable byte'} is refused and changes nothing.`,
        requirements: ['CTRL-08', 'CTRL-03', 'CTRL-04', 'CTRL-14', 'CTRL-16'],
      },
      context => {
        const scene = pairOf(context);
        const { a, bench } = scene;
        const what = `${length} readable bytes`;
        const before = noteBefore(scene);
        const readable = Uint8Array.of(a.machine.profile.controlClass).subarray(0, length);
        const pending = a.machine.prepareBytes(readable, 33, {}, what);
        before.memories[0].set(a.machine.memory.bytes);
        const [answer] = a.machine.answers([pending]);
        if (answer.bytes[0] !== Ack.ERR || answer.used !== 1) {
          bench.accuse(['CTRL-08'], `${what}: ${seen(answer)}, expected ack 1 and used length 1`);
        }
        const { addresses, size } = a.machine.control;
        expectUnchanged(scene, before, ['CTRL-08'], what, [
          { address: pending.address, length: 1 },
          { address: addresses.device, length: usedRingBytes(size) },
          { address: addresses.driver, length: 4 + 2 * size },
        ]);
        return bench;
      },
    ),
  ),
  probe(
    {
      id: 'VQ/used/length-is-what-was-written',
      doc: 'With much room behind every answer, no used length counts a byte that the device did not write.',
      requirements: ['VQ-37', 'CTRL-02', 'CTRL-04', 'CTRL-12'],
    },
    context => {
      const { a, bench } = pairOf(context);
      const commands = [queryPort.code, 99, createCq.code];
      for (const code of commands) {
        const answer = a.machine.command(
          code,
          Uint8Array.of(1, 0, 0, 0),
          { writable: 500 },
          `command ${code}`,
        );
        const written = answer.bytes.findLastIndex(byte => byte !== UNWRITTEN) + 1;
        if ((answer.used ?? 0) > written) {
          bench.accuse(
            ['VQ-37'],
            `command ${code}: used length ${answer.used}, and ${written} bytes were written`,
          );
        }
      }
      return bench;
    },
  ),
];

export const oddChainCases = frames;
