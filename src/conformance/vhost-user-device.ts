/**
 * Somebody's device behind a vhost-user socket as an implementation to be judged: it is asked for its limits once, then every
 * machine of every world gets a connection of its own to it.
 */
import { profiles } from '../abi/index.js';
import type { Profile, ProfileName } from '../abi/index.js';
import { ConnectionEnded } from '../transports/vhost-user/connection.js';
import type { FrontEnd } from '../transports/vhost-user/front-end.js';
import { FrontMachines, NobodyThere } from '../transports/vhost-user/front-machines.js';
import type { FrontQueues } from '../transports/vhost-user/front-machines.js';
import type { PeerOptions } from '../transports/vhost-user/peer-options.js';
import { hasFeature } from '../virtio/index.js';
import type { Implementation } from './implementation.js';
import { LawBroken, laws } from './laws.js';
import { smallLimits } from './limits.js';
import type { Limits } from './limits.js';
import type { Finding } from './report.js';
import { GUEST_BASE } from './simulated-guest.js';
import { emptyProgram } from './suites/leaks.js';
import { settle } from './suites/pump.js';
import { paravirtualWorld } from './world.js';

/** Nobody is at the socket, or nobody that speaks of such a device. The message says what was found and what to try. */
export class PeerUnusable extends Error {
  readonly code = 'ERR_PEER_UNUSABLE';
}

export interface VhostUserDeviceInit {
  readonly profile: ProfileName;
  readonly path: string;
  readonly options: PeerOptions;
  /** Starts the device again, where it is in our hands; `hung`: it runs, and has to be ended first. */
  restart?(hung: boolean): void;
  /** What is known of how the device ended, to be told behind the fault; empty when nothing is. */
  afterFault?(): string;
  /** A sign of life for a watchdog. */
  beat(): void;
}

/** Its limits are not known then, and the kit's are taken. */
export interface StartFault {
  readonly finding: Finding;
  /** Cases say more about it. They do not where not even the numbers of its queues are known. */
  readonly worthAsking: boolean;
}

export interface VhostUserDevice {
  readonly implementation: Implementation;
  /** What the device broke when a driver started for the first time; undefined when it started. */
  readonly startFault: StartFault | undefined;
  /** Times that something due did not come in time. */
  readonly overdue: number;
  /** The device does not come back. */
  readonly gone: boolean;
  close(): void;
}

/** Entries of the queues over which a device is asked for its limits. */
const FIRST_QUEUE_SIZE = 64;
const QUEUE_SIZE_MAX = 1024;

/** Throws PeerUnusable. A device that is there and does not let a driver start is at fault: `startFault` says how. */
export async function vhostUserDevice(init: VhostUserDeviceInit): Promise<VhostUserDevice> {
  const { path, options } = init;
  const profile = profiles[init.profile];
  const machines = new FrontMachines({
    path,
    options,
    deviceId: profile.deviceId,
    configBytes: profile.config.size,
    guestBase: GUEST_BASE,
    fault: why => faultOf(why, init),
    beat: () => init.beat(),
    ...(init.restart === undefined ? {} : { restart: hung => init.restart?.(hung) }),
  });
  try {
    const { counts, showsStatus, misread } = look(machines, profile, init);
    const sized = (size: number): FrontQueues => queuesOf(profile, counts, size);
    machines.useQueues(sized(options.queueSize === 0 ? FIRST_QUEUE_SIZE : options.queueSize));
    const first = implementationOf(machines, limitsBefore(counts, options), showsStatus, options);
    const { asked, broken } =
      misread === undefined ? await askLimits(init.profile, first) : notAsked(misread);
    const size = options.queueSize === 0 ? sizeFor(asked) : options.queueSize;
    machines.useQueues(sized(size));
    const limits = { ...asked, device: { ...counts, queueSizeMax: size } };
    return {
      implementation: implementationOf(machines, limits, showsStatus, options),
      startFault: broken && { finding: findingOf(broken), worthAsking: misread === undefined },
      get overdue() {
        return machines.overdue;
      },
      get gone() {
        return machines.gone;
      },
      close: () => machines.close(),
    };
  } catch (error) {
    machines.close();
    if (error instanceof PeerUnusable) throw error;
    throw new PeerUnusable(error instanceof Error ? error.message : String(error));
  }
}

function faultOf(why: Error, init: VhostUserDeviceInit): Error {
  const { path } = init;
  const ended = init.afterFault?.() ?? '';
  const after = ended === '' ? '' : `; ${ended}`;
  if (why instanceof NobodyThere && !why.gone) {
    const advice = init.restart === undefined ? '; start the device first, or give --device-cmd' : '';
    return new PeerUnusable(`no device listens at ${path}: ${why.message}${advice}${after}`);
  }
  const law = why instanceof ConnectionEnded && why.kind === 'timeout' ? laws.answers : laws.neverCrashes;
  return new LawBroken(law, `the device at ${path}: ${why.message}${after}`);
}

interface Counts {
  readonly maxQps: number;
  readonly maxCqs: number;
}

/** Connects once, to see whether a driver of the profile could work with what is there. */
function look(
  machines: FrontMachines,
  profile: Profile,
  { path, options }: VhostUserDeviceInit,
): Counted & { readonly showsStatus: boolean } {
  const front = machines.connect(0);
  try {
    const offered = front.features;
    const missing = profile.features.map(({ bit }) => bit).filter(bit => !hasFeature(offered, bit));
    if (missing.length > 0)
      throw new PeerUnusable(
        `${path} offers features 0x${offered.toString(16)}: bits ${missing.join(', ')} of profile ${profile.name} are missing. Is it another device, or the other profile?`,
      );
    const { counts, misread } = countsOf(front, profile, path);
    const wanted = profile.queues(counts.maxQps, counts.maxCqs).count;
    if (front.queueCount !== undefined && front.queueCount < wanted)
      throw new PeerUnusable(
        `${path} has ${front.queueCount} queues, and its configuration speaks of ${counts.maxQps} queue pairs and ${counts.maxCqs} completion queues, which need ${wanted}`,
      );
    if (options.reset === 'status' && !front.has('STATUS'))
      throw new PeerUnusable(`${path} does not offer STATUS; take another value for the option reset`);
    return { counts, misread, showsStatus: front.has('STATUS') };
  } finally {
    front.close();
  }
}

const NUMBERS_MAX = 16384;

interface Counted {
  readonly counts: Counts;
  /** The device's numbers are none that it may have; `counts` are the least then. */
  readonly misread: LawBroken | undefined;
}

function countsOf(front: FrontEnd, profile: Profile, path: string): Counted {
  if (!front.has('CONFIG'))
    throw new PeerUnusable(
      `${path} does not offer CONFIG, so its configuration space cannot be read: how many queue pairs has it?`,
    );
  const bytes = front.readConfig(profile.config.size);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const { max_rdma_qps: maxQps, max_rdma_cqs: maxCqs } = profile.config.decode(view, 0);
  for (const [name, count] of Object.entries({ max_rdma_qps: maxQps, max_rdma_cqs: maxCqs }))
    if (count < 1 || count > NUMBERS_MAX) {
      const message = `${name} is ${count}, expected 1..${NUMBERS_MAX}; is it another device, or the other profile?`;
      const broken = new LawBroken({ name: laws.starts.name, requirements: ['CONF-02'] }, message);
      return { counts: { maxQps: 1, maxCqs: 1 }, misread: broken };
    }
  return { counts: { maxQps, maxCqs }, misread: undefined };
}

function queuesOf(profile: Profile, { maxQps, maxCqs }: Counts, size: number): FrontQueues {
  const map = profile.queues(maxQps, maxCqs);
  const completion = Array.from({ length: maxCqs }, (_, cqn) => map.cq(cqn));
  return { count: map.count, control: map.control, completion, size };
}

/** What memory is laid out by before the device has said what it allows. */
function limitsBefore(counts: Counts, { queueSize }: PeerOptions): Limits {
  const size = queueSize === 0 ? FIRST_QUEUE_SIZE : queueSize;
  return { ...smallLimits, device: { ...counts, queueSizeMax: size } };
}

/** What the device allows, or why it could not be asked and what the kit takes in place of that. */
interface Asked {
  readonly asked: Omit<Limits, 'device'>;
  readonly broken: LawBroken | undefined;
}

async function askLimits(profile: ProfileName, implementation: Implementation): Promise<Asked> {
  try {
    const world = await paravirtualWorld(emptyProgram, { profile, implementation });
    const [{ verbs, transport }] = world.machines;
    const attributes = await settle(world, verbs.queryDevice());
    const port = await settle(world, verbs.queryPort());
    transport?.writeStatus(0);
    return { asked: { attributes, port }, broken: undefined };
  } catch (error) {
    return notAsked(asLaw(error));
  }
}

function notAsked(broken: LawBroken): Asked {
  return { asked: smallLimits, broken };
}

function asLaw(error: unknown): LawBroken {
  if (error instanceof LawBroken) return error;
  return new LawBroken(laws.starts, error instanceof Error ? error.message : String(error));
}

/** As a finding, with the shortest program: one that does nothing but start. */
function findingOf({ law, requirements, message }: LawBroken): Finding {
  return {
    suite: 'probes',
    law,
    requirements,
    message: `the first driver, which asks for the device's limits: ${message}`,
    program: { ...emptyProgram, name: 'first-start' },
    actions: 0,
    shrinks: 0,
    tail: [],
  };
}

/** The smallest power of two that holds the longest queue of the device. */
function sizeFor({ attributes }: Asked['asked']): number {
  const wanted = Math.max(attributes.maxQpWr, attributes.maxCqe, 2);
  return Math.min(QUEUE_SIZE_MAX, 2 ** Math.ceil(Math.log2(wanted)));
}

function implementationOf(
  machines: FrontMachines,
  limits: Limits,
  showsStatus: boolean,
  { machines: machinesMax }: PeerOptions,
): Implementation {
  return {
    device: ({ vm }) => machines.device(vm),
    outside: machines,
    outsideDevice: { limits, machinesMax, showsStatus },
    memories: machines,
  };
}
