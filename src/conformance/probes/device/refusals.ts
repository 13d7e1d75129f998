/** What a refused command must look like, and rows from which the cases of refusals are made. */
import { Ack } from '../../../abi/index.js';
import type { CommandShape } from '../../../abi/index.js';
import type { CaseNeeds, ConformanceCase } from '../../cases/case.js';
import type { BenchOptions } from './bench.js';
import type { CommandHow } from './machine.js';
import { UNWRITTEN, fieldsText, seen } from './answers.js';
import { bytesOf } from './messages.js';
import { probe, slug } from './probe-case.js';
import { pairOf } from './site.js';
import type { Pair, SideOptions } from './site.js';
import { expectUnchanged, noteBefore } from './unchanged.js';
import { usedRingBytes } from '../../../virtio/index.js';

/** One reason to refuse a command. */
export interface Refusal {
  readonly command: Pick<CommandShape<unknown, unknown>, 'name' | 'code'>;
  /** The end of the case's id. */
  readonly condition: string;
  readonly doc: string;
  readonly requirements: readonly string[];
  readonly options?: SideOptions & BenchOptions;
  readonly needs?: CaseNeeds;
  /** Chapter in which the case stands; CTRL when absent. */
  readonly chapter?: string;
  /** Prepares what the refusal needs, and gives the struct of the command. Side `a` is the one that sends it. */
  readonly prepare: (scene: Pair) => PreparedCommand;
}

export interface PreparedCommand {
  readonly text: string;
  readonly data: Uint8Array;
  readonly how: CommandHow;
}

/** A row of the table of refusals. */
export function refuse<Q, A>(
  shape: CommandShape<Q, A>,
  condition: string,
  doc: string,
  requirements: readonly string[],
  fields: (scene: Pair) => Partial<Q> | Uint8Array,
  more: Pick<Refusal, 'options' | 'needs' | 'chapter'> & { readonly how?: CommandHow } = {},
): Refusal {
  const { how = {}, ...rest } = more;
  return {
    command: shape,
    condition,
    doc,
    requirements,
    ...rest,
    prepare: scene => {
      const value = fields(scene);
      const data = value instanceof Uint8Array ? value : bytesOf(shape.request, value);
      return {
        text: `${shape.name} ${fieldsText(value)}`,
        data,
        how: { writable: 1 + shape.result.size, ...how },
      };
    },
  };
}

/** The case of a row: the answer is ERR alone with used length 1, and nothing has changed. */
export function refusalCase(row: Refusal): ConformanceCase {
  const { command, condition, doc, requirements, options, needs, chapter = 'CTRL' } = row;
  return probe(
    {
      id: `${chapter}/${slug(command)}/${condition}`,
      doc,
      requirements: [...requirements, 'CTRL-03', 'CTRL-04', 'CTRL-14', 'CTRL-16'],
      ...(needs === undefined ? {} : { needs }),
    },
    context => {
      const scene = pairOf(context, options);
      expectRefused(scene, requirements, command.code, row.prepare(scene));
      return scene.bench;
    },
  );
}

/** Sends a command from side `a` and accuses unless it is refused as the spec says. */
export function expectRefused(
  scene: Pair,
  requirements: readonly string[],
  code: number,
  { text, data, how }: PreparedCommand,
): void {
  const { bench, a } = scene;
  const { machine } = a;
  const { control } = machine;
  const before = noteBefore(scene);
  const pending = machine.prepare(code, data, how, text);
  before.memories[0].set(machine.memory.bytes);
  const [answer] = machine.answers([pending]);
  if (answer.bytes[0] !== Ack.ERR) {
    bench.accuse([...requirements, 'CTRL-03'], `${text}: ${seen(answer)}, expected to be refused (ack 1)`);
  }
  if (answer.used !== 1) {
    bench.accuse(['CTRL-04', ...requirements], `${text}: ${seen(answer)}, expected ack 1 and used length 1`);
  }
  if (answer.bytes.subarray(1).some(byte => byte !== UNWRITTEN)) {
    bench.accuse(['CTRL-03', ...requirements], `${text}: ${seen(answer)}, expected nothing behind the ack`);
  }
  const { addresses, size } = control;
  expectUnchanged(scene, before, ['CTRL-14', ...requirements], `after a refused ${text}`, [
    { address: pending.address, length: 1 },
    { address: addresses.device, length: usedRingBytes(size) },
    { address: addresses.driver, length: 4 + 2 * size },
  ]);
}
