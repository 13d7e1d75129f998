/**
 * Law: what the bundled halves of a ring report of themselves is exactly what is seen of them in guest memory. Per queue the
 * same events come in the same order, but for two things that memory does not show: a chain is seen when it is published, not
 * when it is put into its slot; and a side that finds nothing while it is to be told is seen to sleep, decided or not.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { profiles } from '../../src/abi/index.js';
import { programArbitrary } from '../../src/conformance/generate/program-arbitrary.js';
import { smallLimits } from '../../src/conformance/limits.js';
import type { Program } from '../../src/conformance/program.js';
import { Tally } from '../../src/conformance/ring-watch/tally.js';
import { WatchedMachine } from '../../src/conformance/ring-watch/watched-machine.js';
import { Run } from '../../src/conformance/run/run.js';
import { paravirtualWorld } from '../../src/conformance/world.js';
import type { ControlObserver, RingObserver } from '../../src/virtio/index.js';

type Log = Map<string, string[]>;

function put(log: Log, key: string, line: string): void {
  const lines = log.get(key);
  if (lines === undefined) log.set(key, [line]);
  else lines.push(line);
}

function ringLog(log: Log, vm: number): RingObserver {
  const line = (queue: number, text: string): void => put(log, `machine ${vm} queue ${queue}`, text);
  return {
    available: (queue, head, readable, writable) => line(queue, `available ${head} ${readable} ${writable}`),
    published: (queue, idx, notify) => line(queue, `published ${idx} ${notify}`),
    taken: (queue, head) => line(queue, `taken ${head}`),
    used: (queue, head, written) => line(queue, `used ${head} ${written}`),
    interrupt: (queue, idx, sent) => line(queue, `interrupt ${idx} ${sent}`),
    consumed: (queue, head, written) => line(queue, `consumed ${head} ${written}`),
    asleep: (queue, side) => line(queue, `asleep ${side}`),
  };
}

function controlLog(log: Log, key: string): ControlObserver {
  return {
    command: (_id, command) => put(log, key, `command ${command}`),
    answer: (_id, command, ack) => put(log, key, `answer ${command} ${ack}`),
  };
}

/** Chains stand right before what publishes them. */
function normal(lines: readonly string[]): string[] {
  const unpublished: string[] = [];
  const result: string[] = [];
  for (const line of lines) {
    if (line.startsWith('available')) unpublished.push(line);
    else if (line.startsWith('published')) result.push(...unpublished.splice(0), line);
    else result.push(line);
  }
  return [...result, ...unpublished];
}

/** What was seen, without the sleeps that nobody reported at their place. */
function withoutMereLooks(seen: readonly string[], reported: readonly string[]): string[] {
  let next = 0;
  return seen.filter(line => {
    if (line === reported[next]) next++;
    else if (line.startsWith('asleep')) return false;
    return true;
  });
}

async function logsOf(program: Program): Promise<{ reported: Log; seen: Log }> {
  const [reported, seen]: [Log, Log] = [new Map(), new Map()];
  const { maxQps, maxCqs } = smallLimits.device;
  const queues = profiles.roce.queues(maxQps, maxCqs);
  const world = await paravirtualWorld(program, {
    profile: 'roce',
    observers: {
      ring: vm => ringLog(reported, vm),
      control: vm => controlLog(reported, `machine ${vm} device's commands`),
      driverControl: vm => controlLog(reported, `machine ${vm} driver's commands`),
      views: (vm, guest) => {
        const control = {
          device: controlLog(seen, `machine ${vm} device's commands`),
          driver: controlLog(seen, `machine ${vm} driver's commands`),
        };
        const sink = { ...ringLog(seen, vm), notified: () => undefined, woke: () => undefined };
        const tally = new Tally();
        return new WatchedMachine({ vm, queues, maxQps, maxCqs, tally, sink, control }, guest);
      },
    },
  });
  await new Run(program, world, []).execute();
  return { reported, seen };
}

describe('what is reported is what is seen', () => {
  it.each(['settled', 'racing'] as const)('in %s programs', async mode => {
    await fc.assert(
      fc.asyncProperty(programArbitrary({ mode, actionsMax: 60 }), async program => {
        const { reported, seen } = await logsOf(program);
        const keys = [...new Set([...reported.keys(), ...seen.keys()])].toSorted();
        for (const key of keys) {
          const expected = normal(reported.get(key) ?? []);
          expect([key, ...withoutMereLooks(normal(seen.get(key) ?? []), expected)]).toEqual([
            key,
            ...expected,
          ]);
        }
      }),
      { numRuns: 25, seed: 11 },
    );
  });
});
