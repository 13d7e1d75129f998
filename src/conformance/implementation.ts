/**
 * What somebody else's driver or device has to export to be judged: a factory that takes one of these contexts. The
 * bundled driver and device are put in place through the same factories.
 */
import type { Profile } from '../abi/index.js';
import type { GuestOs } from '../driver/index.js';
import type { Fabric, Scheduler } from '../fabric/index.js';
import type { HcaFunction } from '../reference/index.js';
import type { Verbs } from '../verbs/index.js';
import type {
  ControlObserver,
  GuestMemory,
  RingFeatures,
  RingObserver,
  VirtioDevice,
  VirtioTransport,
} from '../virtio/index.js';
import type { DeviceLimits } from './limits.js';
import type { Outside, OutsideDevice } from './outside.js';
import type { RemoteMachines } from './remote-machines.js';
import type { Memories } from './simulated-guest.js';

/** What the kit gives a driver: one virtual machine and its device. */
export interface DriverContext {
  readonly profile: Profile;
  readonly transport: VirtioTransport;
  /** Port to the operating system of the virtual machine. */
  readonly os: GuestOs;
  /** Memory of the virtual machine, by guest-physical address. */
  readonly memory: GuestMemory;
  /** Ring features that the run wants used where the device offers them. */
  readonly ringFeatures: RingFeatures;
  /** A driver that reports its rings lets the kit judge them; optional. */
  readonly ringObserver: RingObserver | undefined;
  readonly controlObserver: ControlObserver | undefined;
  /** A driver that reads its rings where the kit cannot see it says here that it has looked at all that came back; optional. */
  readonly looked?: (() => void) | undefined;
}

/** Resolves when the driver has set DRIVER_OK and its verbs may be called. */
export type DriverFactory = (context: DriverContext) => Verbs | Promise<Verbs>;

/** What the kit gives a device: one virtual machine's memory and a function of the host's HCA. */
export interface DeviceContext {
  readonly profile: Profile;
  readonly memory: GuestMemory;
  readonly function: HcaFunction;
  /** Work that is not done inside a call is posted here. */
  readonly scheduler: Scheduler;
  readonly limits: DeviceLimits;
  /** Ring features to offer. */
  readonly ringFeatures: RingFeatures;
  /** Number of the virtual machine, from 0; a MAC address may be made of it. */
  readonly vm: number;
  readonly ringObserver: RingObserver | undefined;
  readonly controlObserver: ControlObserver | undefined;
}

export type DeviceFactory = (context: DeviceContext) => VirtioDevice;

/** Who is judged: the bundled driver or device where none is named. */
export interface Implementation {
  readonly driver?: DriverFactory | undefined;
  readonly device?: DeviceFactory | undefined;
  /** Driver and device both tell their ring and control observers all they do, so that the machines of the rings judge them. */
  readonly reports?: boolean | undefined;
  /** Another adapter in place of the reference HCA's function, or something around it. Bare metal keeps the reference one. */
  readonly adapter?: ((reference: HcaFunction, vm: number) => HcaFunction) | undefined;
  /** Gets the network of each para-virtual world, to watch it or to meddle with the packets that it lends. */
  readonly network?: ((fabric: Fabric) => void) | undefined;
  /** The driver works in another process: what it reads, and what it asks of its operating system, is not seen. */
  readonly elsewhere?: boolean | undefined;
  /** Parties of the above that work in another process. */
  readonly outside?: Outside | undefined;
  /** Set when the device is one of them: what is known of it. */
  readonly outsideDevice?: OutsideDevice | undefined;
  /** Whole machines in another process, in place of all of the above: only their verbs are judged. */
  readonly remote?: RemoteMachines | undefined;
  /** Where the memory of the para-virtual machines comes from, when another process must reach it. */
  readonly memories?: Memories | undefined;
}
