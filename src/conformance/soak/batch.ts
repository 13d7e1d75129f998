/**
 * What a soak tries, and when: batches of inputs, each of one mode. All of it follows from one seed and the number of the
 * batch, so that a counter in a file is enough to go on where a soak has ended.
 */
import fc from 'fast-check';
import { P, match } from 'ts-pattern';
import type { ProfileName } from '../../abi/index.js';
import { writeProgram } from '../generate/program-arbitrary.js';
import { Random } from '../generate/random.js';
import { attackArbitrary as byDevice, attackFamilies as deviceFamilies } from '../hostile/device/index.js';
import type { AttackFamily as DeviceFamily, Attack as DeviceAttack } from '../hostile/device/index.js';
import { attackArbitrary as byDriver, attackFamilies as driverFamilies } from '../hostile/driver/index.js';
import type { Attack as DriverAttack } from '../hostile/driver/index.js';
import type { Program } from '../program.js';

export const soakModes = ['settled', 'racing', 'rings', 'hostile-driver', 'hostile-device'] as const;
export type SoakMode = (typeof soakModes)[number];

export const soakProfiles = ['roce', 'rdma', 'both'] as const;

export const soakRings = ['split', 'packed', 'both'] as const;

/** What every input of a soak follows from. */
export interface SoakPlan {
  /** 32 bits. */
  readonly seed: number;
  /** With `both` the batches of a mode take turns. */
  readonly profile: (typeof soakProfiles)[number];
  /** Format of the virtqueues; with `both` each input has what is drawn for it. */
  readonly rings: (typeof soakRings)[number];
}

/** The batch of a mode with this number, from 0. */
export interface Batch {
  readonly mode: SoakMode;
  readonly number: number;
}

/** One thing that is tried: a program, or attacks one after the other in one world. It is what a file of a finding holds. */
export type SoakInput =
  | {
      readonly mode: 'settled' | 'racing' | 'rings';
      readonly profile: ProfileName;
      readonly program: Program;
    }
  | {
      readonly mode: 'hostile-driver';
      readonly profile: ProfileName;
      readonly attacks: readonly DriverAttack[];
    }
  | {
      readonly mode: 'hostile-device';
      readonly profile: ProfileName;
      readonly attacks: readonly DeviceAttack[];
    };

/** The order of the modes; a batch of each takes about the same time, so that attacks have the larger half. */
const round: readonly SoakMode[] = [
  'settled',
  'hostile-driver',
  'hostile-device',
  'racing',
  'hostile-driver',
  'hostile-device',
  'rings',
  'hostile-driver',
  'hostile-device',
];

/** The mode of the n-th batch of a soak over these modes. */
export function modeAt(n: number, modes: readonly SoakMode[]): SoakMode {
  const chosen = round.filter(mode => modes.includes(mode));
  return chosen[n % chosen.length];
}

/** Most actions of a program; the last ones make long histories. */
const programSizes = [20, 60, 60, 160, 160, 400, 1000, 2000];
/** The machines that watch rings take longer. */
const watchedSizes = [20, 60, 160, 400, 1000];
/** Actions of a batch of programs, about. */
const ACTIONS = 600;
/** One program in so many runs with deep queues and large packets. */
const WIDE_ONE_IN = 12;

/** Most acts of an attack: to bring a device or driver to life costs more than dozens of them, so most attacks are long. */
const driverAttackSizes = [24, 64, 200, 200, 200];
const deviceAttackSizes = [24, 64, 64];
/** Acts of a batch of attacks, about. */
const ACTS = 1000;

/** Everything that a batch tries, in order. */
export function inputsOf(plan: SoakPlan, batch: Batch): readonly SoakInput[] {
  const drawn = drawnFor(plan, batch);
  const { rings } = plan;
  return rings === 'both' ? drawn : drawn.map(input => withRings(input, rings));
}

/** The same input on rings of one format. */
function withRings(input: SoakInput, rings: 'split' | 'packed'): SoakInput {
  const packed = rings === 'packed';
  return match(input)
    .with({ program: P.any }, each => ({
      ...each,
      program: { ...each.program, packed: packed || undefined },
    }))
    .with({ mode: 'hostile-driver' }, each => ({ ...each, attacks: allPacked(each.attacks, packed) }))
    .with({ mode: 'hostile-device' }, each => ({ ...each, attacks: allPacked(each.attacks, packed) }))
    .exhaustive();
}

function allPacked<A extends { readonly packed?: boolean | undefined }>(
  attacks: readonly A[],
  packed: boolean,
): readonly A[] {
  return attacks.map(attack => ({ ...attack, packed }));
}

function drawnFor(plan: SoakPlan, batch: Batch): readonly SoakInput[] {
  const random = new Random(seedOf(plan.seed, batch));
  const profile = profileOf(plan, batch);
  const { mode } = batch;
  return match(mode)
    .with('settled', 'racing', mode => programs(random, mode, profile, programSizes))
    .with('rings', mode => programs(random, mode, profile, watchedSizes))
    .with('hostile-driver', mode =>
      driverAttacks(random).map(attack => ({ mode, profile, attacks: [attack] })),
    )
    .with('hostile-device', mode =>
      deviceAttacks(random).map(attack => ({ mode, profile, attacks: [attack] })),
    )
    .exhaustive();
}

function profileOf({ profile }: SoakPlan, { number }: Batch): ProfileName {
  if (profile !== 'both') return profile;
  return number % 2 === 0 ? 'roce' : 'rdma';
}

function programs(
  random: Random,
  mode: 'settled' | 'racing' | 'rings',
  profile: ProfileName,
  sizes: readonly number[],
): SoakInput[] {
  const actionsMax = random.of(sizes);
  return Array.from({ length: Math.ceil(ACTIONS / actionsMax) }, (_, i) => {
    const programMode = mode === 'rings' ? ((i + random.below(2)) % 2 === 0 ? 'settled' : 'racing') : mode;
    const program = writeProgram(random.bits() & 0x7fff_ffff, { mode: programMode, actionsMax });
    return { mode, profile, program: random.chance(WIDE_ONE_IN) ? { ...program, wide: true } : program };
  });
}

function driverAttacks(random: Random): readonly DriverAttack[] {
  const family = random.of(driverFamilies);
  const actsMax = random.of(driverAttackSizes);
  return draw(random, byDriver(family, actsMax), actsMax);
}

function deviceAttacks(random: Random): readonly DeviceAttack[] {
  const family = random.of(Object.keys(deviceFamilies).filter(isDeviceFamily));
  const actsMax = random.of(deviceAttackSizes);
  return draw(random, byDevice(family, actsMax), actsMax);
}

function isDeviceFamily(name: string): name is DeviceFamily {
  return name in deviceFamilies;
}

/** About half of `actsMax` acts in each. */
function draw<A>(random: Random, attacks: fc.Arbitrary<A>, actsMax: number): A[] {
  return fc.sample(attacks, {
    seed: random.bits() & 0x7fff_ffff,
    numRuns: Math.ceil((2 * ACTS) / actsMax),
  });
}

/** 32 bits for each batch of each mode. */
function seedOf(seed: number, { mode, number }: Batch): number {
  let x = (Math.imul(seed, 0x9e3779b1) + soakModes.indexOf(mode)) | 0;
  for (const part of [number & 0xffff, Math.floor(number / 0x1_0000), 0]) {
    x = Math.imul(x ^ (x >>> 15) ^ part, 0x2c1b3c6d);
    x = Math.imul(x ^ (x >>> 12), 0x297a2d39);
    x ^= x >>> 15;
  }
  return x >>> 0;
}
