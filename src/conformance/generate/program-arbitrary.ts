/**
 * The arbitrary of verbs programs. A program is written by state-aware moves of kinds drawn for it (swarm testing); it is plain
 * data, so it shrinks by leaving actions out and by making what is left simpler, and replays from its own file.
 */
import { Arbitrary, Stream, Value } from 'fast-check';
import type { Random as FastCheckRandom } from 'fast-check';
import { PROGRAM_VERSION } from '../program.js';
import type { Program } from '../program.js';
import { newVm } from './model.js';
import { deepMoves } from './deep-moves.js';
import { connect, moves } from './moves.js';
import { Random } from './random.js';
import { simpler } from './shrink.js';
import type { ShrinkPlace } from './shrink.js';
import { Writer } from './writer.js';

export interface GeneratorOptions {
  readonly mode: Program['mode'];
  /** Most actions of a program; about half of it on average. */
  readonly actionsMax: number;
}

class ProgramArbitrary extends Arbitrary<Program> {
  readonly #options: GeneratorOptions;

  constructor(options: GeneratorOptions) {
    super();
    this.#options = options;
  }

  override generate(source: FastCheckRandom): Value<Program> {
    const program = writeProgram(source.nextInt(0, 0x7fff_ffff), this.#options);
    return new Value(program, undefined);
  }

  override canShrinkWithoutContext(value: unknown): value is Program {
    return typeof value === 'object' && value !== null && 'actions' in value;
  }

  override shrink(value: Program, place?: unknown): Stream<Value<Program>> {
    const steps = simpler(value, isPlace(place) ? place : undefined);
    return new Stream(steps).map(step => new Value(step.program, step.place));
  }
}

function isPlace(context: unknown): context is ShrinkPlace {
  return typeof context === 'object' && context !== null && 'phase' in context;
}

/** Verbs programs for one to four machines on one or two hosts. */
export function programArbitrary(options: GeneratorOptions): Arbitrary<Program> {
  return new ProgramArbitrary(options);
}

const allMoves = [...moves, ...deepMoves];

/** The program of a seed. */
export function writeProgram(seed: number, options: GeneratorOptions): Program {
  const random = new Random(seed);
  const count = random.of([1, 2, 2, 2, 2, 3, 4]);
  const hosts = Array.from({ length: count }, (_, vm) => (vm === 0 ? 0 : random.below(2)));
  const arenaBytes = 16_384;
  const writer = new Writer(random, arenaBytes);
  const vms = hosts.map((_, vm) => newVm(vm));
  for (const vm of vms) {
    writer.put({ op: 'addGid', vm: vm.vm, index: 0, gid: 0 });
    const pd = writer.createPd(vm);
    writer.createCq(vm, random.of([8, 32, 64]));
    writer.regMr(vm, pd, 0, arenaBytes, 7);
  }
  connect(writer, vms);
  const drawn = allMoves.filter(move => move.kind === 'traffic' || !random.chance(3));
  const weights = drawn.reduce((sum, move) => sum + move.weight, 0);
  const length = random.between(Math.min(20, options.actionsMax), options.actionsMax);
  while (writer.actions.length < length) {
    let at = random.below(weights);
    for (const move of drawn) {
      at -= move.weight;
      if (at >= 0) continue;
      move.make(writer, vms);
      break;
    }
  }
  const lossy = random.chance(4);
  const program: Program = {
    version: PROGRAM_VERSION,
    mode: options.mode,
    hosts,
    arenaBytes,
    indirect: random.chance(2),
    eventIdx: random.chance(2),
    faults: lossy
      ? { drop: random.below(60), duplicate: random.below(60), reorder: random.below(60) }
      : { drop: 0, duplicate: 0, reorder: 0 },
    seed: random.bits(),
    choices: { list: [], only: options.mode === 'settled' },
    actions: writer.actions,
  };
  // Drawn last, so that a seed gives the same actions as before there were other rings.
  if (random.chance(3)) program.packed = true;
  if (random.chance(3)) program.inOrder = true;
  return program;
}
