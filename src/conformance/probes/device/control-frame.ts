/** The frame that all commands share, asked of each of the 18: lengths, class, cuts, bytes behind, bytes that change. */
import { Ack, commandHeader } from '../../../abi/index.js';
import type { CaseContext, ConformanceCase } from '../../cases/case.js';
import type { CommandHow } from './machine.js';
import type { Answer } from './answers.js';
import { UNWRITTEN, seen } from './answers.js';
import { probe, slug } from './probe-case.js';
import type { ProbeText } from './probe-case.js';
import { expectRefused } from './refusals.js';
import { pairOf } from './site.js';
import type { Pair } from './site.js';
import { soundCommands } from './sound-commands.js';
import type { SoundCommand } from './sound-commands.js';
import { expectUnchanged, noteBefore } from './unchanged.js';
import type { Bench } from './bench.js';
import { usedRingBytes } from '../../../virtio/index.js';

/** A rule for all commands: a case of each that it applies to. */
function forEach(
  applies: (command: SoundCommand) => boolean,
  condition: string,
  text: (name: string) => Omit<ProbeText, 'id'>,
  run: (context: CaseContext, command: SoundCommand) => Bench,
): ConformanceCase[] {
  return soundCommands
    .filter(applies)
    .map(command =>
      probe({ id: `CTRL/${slug(command.shape)}/${condition}`, ...text(command.shape.name) }, context =>
        run(context, command),
      ),
    );
}

const all = (): boolean => true;
const roomFor = ({ resultBytes }: SoundCommand): number => 1 + resultBytes;

/** Sends a command in some way and accuses unless it is carried out in full. */
function expectDone(
  { bench, a }: Pair,
  { shape, resultBytes }: SoundCommand,
  requirements: readonly string[],
  data: Uint8Array,
  how: CommandHow,
  what: string,
): Answer {
  const answer = a.machine.command(shape.code, data, { writable: 1 + resultBytes, ...how }, what);
  if (answer.bytes[0] !== Ack.OK || answer.used !== 1 + resultBytes) {
    bench.accuse(requirements, `${what}: ${seen(answer)}, expected ack 0 and used length ${1 + resultBytes}`);
  }
  return answer;
}

const wrongClass = forEach(
  all,
  'wrong-class',
  name => ({
    doc: `${name} of another class than the profile's is refused.`,
    requirements: ['CTRL-06', 'CTRL-03', 'CTRL-14'],
  }),
  (context, command) => {
    const scene = pairOf(context);
    const { machine } = scene.a;
    const data = command.data(scene);
    const wrong = machine.profile.controlClass ^ 1;
    for (const classByte of [0xff, machine.profile.controlClass === 0 ? 6 : 0]) {
      const text = `${command.shape.name} of class ${classByte}`;
      const how = { class: classByte, writable: roomFor(command) };
      const answer = machine.command(command.shape.code, data, how, text);
      if (answer.bytes[0] !== Ack.ERR) {
        scene.bench.accuse(['CTRL-06'], `${text}: ${seen(answer)}, expected ack 1`);
      }
    }
    const how = { class: wrong, writable: roomFor(command) };
    const text = `${command.shape.name} of class ${wrong}`;
    expectRefused(scene, ['CTRL-06'], command.shape.code, { text, data, how });
    return scene.bench;
  },
);

const cutShort = forEach(
  ({ requestBytes }) => requestBytes > 0,
  'cut-short',
  name => ({
    doc: `${name} whose readable part ends anywhere before its struct does is refused.`,
    requirements: ['CTRL-09', 'CTRL-03', 'CTRL-04', 'CTRL-14'],
  }),
  (context, command) => {
    const scene = pairOf(context);
    const data = command.data(scene);
    const how = { writable: roomFor(command) };
    const { code, name } = command.shape;
    for (let length = 0; length < command.requestBytes - 1; length++) {
      const text = `${name} with ${length} of ${command.requestBytes} bytes`;
      const answer = scene.a.machine.command(code, data.subarray(0, length), how, text);
      if (answer.bytes[0] !== Ack.ERR || answer.used !== 1) {
        scene.bench.accuse(
          ['CTRL-09', 'CTRL-04'],
          `${text}: ${seen(answer)}, expected ack 1 and used length 1`,
        );
      }
    }
    const text = `${name} with one byte missing`;
    const short = data.subarray(0, command.requestBytes - 1);
    expectRefused(scene, ['CTRL-09'], code, { text, data: short, how });
    return scene.bench;
  },
);

const noRoom = forEach(
  ({ resultBytes }) => resultBytes > 0,
  'result-does-not-fit',
  name => ({
    doc: `${name} whose writable part is too short for ack and result, by whatever it is, is refused.`,
    requirements: ['CTRL-10', 'CTRL-03', 'CTRL-04', 'CTRL-14'],
  }),
  (context, command) => {
    const scene = pairOf(context);
    const data = command.data(scene);
    const { code, name } = command.shape;
    for (let writable = 1; writable < command.resultBytes; writable++) {
      const text = `${name} with ${writable} writable bytes`;
      const answer = scene.a.machine.command(code, data, { writable }, text);
      const clean = answer.bytes.subarray(1).every(byte => byte === UNWRITTEN);
      if (answer.bytes[0] !== Ack.ERR || answer.used !== 1 || !clean) {
        scene.bench.accuse(['CTRL-10', 'CTRL-04'], `${text}: ${seen(answer)}, expected ack 1 alone`);
      }
    }
    const how = { writable: command.resultBytes };
    const text = `${name} with one writable byte missing`;
    expectRefused(scene, ['CTRL-10'], code, { text, data, how });
    return scene.bench;
  },
);

const noAnswer = forEach(
  all,
  'no-writable-byte',
  name => ({
    doc: `${name} in a chain without a writable byte comes back with used length 0 and is not carried out.`,
    requirements: ['CTRL-05', 'CTRL-14', 'VQ-38'],
  }),
  (context, command) => {
    const scene = pairOf(context);
    const { bench, a } = scene;
    const data = command.data(scene);
    const what = `${command.shape.name} without a writable byte`;
    const before = noteBefore(scene);
    const pending = a.machine.prepare(command.shape.code, data, { writable: 0 }, what);
    before.memories[0].set(a.machine.memory.bytes);
    const [answer] = a.machine.answers([pending]);
    bench.same(['CTRL-05'], `${what}: used length`, answer.used, 0);
    const { addresses, size } = a.machine.control;
    expectUnchanged(scene, before, ['CTRL-05'], what, [
      { address: addresses.device, length: usedRingBytes(size) },
      { address: addresses.driver, length: 4 + 2 * size },
    ]);
    return bench;
  },
);

/** Places at which a driver may cut the two strings of a command; each list is one way. */
function waysToCut({ requestBytes, resultBytes }: SoundCommand): readonly CommandHow[] {
  const readable = commandHeader.size + requestBytes;
  const first = (count: number, length: number): number[] =>
    Array.from({ length: Math.min(count, length - 1) }, (_, i) => i + 1);
  return [
    {},
    { cuts: [2], writableCuts: [1] },
    { cuts: [1] },
    { cuts: [1, 2, 3], writableCuts: [1, 2] },
    { cuts: [readable - 1], writableCuts: [resultBytes] },
    { cuts: first(14, readable), writableCuts: first(14, 1 + resultBytes) },
  ];
}

const cuts = forEach(
  all,
  'cut-in-every-way',
  name => ({
    doc: `${name} is carried out and answered alike however its two strings are cut into descriptors.`,
    requirements: ['CTRL-13', 'CTRL-01', 'CTRL-02', 'VQ-13'],
  }),
  (context, command) => {
    let bench: Bench | undefined;
    let expected: readonly number[] | undefined;
    for (const how of waysToCut(command)) {
      const scene = pairOf(context);
      bench = scene.bench;
      const at = `cut at ${how.cuts?.join(', ') ?? 'no place'} and ${how.writableCuts?.join(', ') ?? 'no place'}`;
      const what = `${command.shape.name} ${at}`;
      const answer = expectDone(scene, command, ['CTRL-13', 'VQ-13'], command.data(scene), how, what);
      if (command.ruled) {
        expected ??= [...answer.bytes];
        bench.same(['CTRL-13'], `${what}: the answer`, [...answer.bytes], expected);
      }
      command.verify(scene, ['CTRL-01', 'CTRL-13']);
    }
    return bench ?? pairOf(context).bench;
  },
);

const EXTRA = 24;

const bytesBehind = forEach(
  all,
  'bytes-behind',
  name => ({
    doc: `${name} ignores readable bytes behind what it needs, and leaves writable bytes behind its answer as they are.`,
    requirements: ['CTRL-11', 'CTRL-12', 'CTRL-02'],
  }),
  (context, command) => {
    const scene = pairOf(context);
    const data = command.data(scene);
    const longer = new Uint8Array(data.length + EXTRA).fill(0xa5);
    longer.set(data);
    const what = `${command.shape.name} with ${EXTRA} bytes more on both sides`;
    const how = { writable: roomFor(command) + EXTRA };
    const { bytes } = expectDone(scene, command, ['CTRL-11', 'CTRL-02'], longer, how, what);
    const behind = [...bytes.subarray(roomFor(command))];
    scene.bench.same(
      ['CTRL-12'],
      `${what}: bytes behind the answer`,
      behind,
      behind.map(() => UNWRITTEN),
    );
    command.verify(scene, ['CTRL-11']);
    return scene.bench;
  },
);

const readOnce = forEach(
  all,
  'changed-while-read',
  name => ({
    doc: `${name} whose bytes change as soon as the device has read them is carried out as it was.`,
    requirements: ['CTRL-15'],
  }),
  (context, command) => {
    const scene = pairOf(context);
    const { machine } = scene.a;
    const { memory } = machine;
    const data = command.data(scene);
    const what = `${command.shape.name}, its bytes inverted behind the first reading`;
    const pending = machine.prepare(command.shape.code, data, { writable: roomFor(command) }, what);
    const [{ address, length }] = pending.chain.parts;
    memory.watch = {
      read: (at, count) => {
        const from = Math.max(at, address);
        const to = Math.min(at + count, address + length);
        for (let i = from; i < to; i++) memory.bytes[memory.at(i)] ^= 0xff;
      },
    };
    const [answer] = machine.answers([pending]);
    memory.watch = undefined;
    if (answer.bytes[0] !== Ack.OK) {
      scene.bench.accuse(
        ['CTRL-15'],
        `${what}: ${seen(answer)}, expected it to be carried out as first read`,
      );
    }
    command.verify(scene, ['CTRL-15']);
    return scene.bench;
  },
);

export const controlFrameCases = [
  ...wrongClass,
  ...cutShort,
  ...noRoom,
  ...noAnswer,
  ...cuts,
  ...bytesBehind,
  ...readOnce,
];
