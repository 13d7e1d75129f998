/** Two machines on two hosts, each with driver, rings, device and reference HCA: the whole stack, for end-to-end tests. */
import { AccessFlag, QpState, QpType, profiles } from '../../src/abi/index.js';
import type { ProfileName } from '../../src/abi/index.js';
import { ARENA_BASE, SimulatedGuest } from '../../src/conformance/simulated-guest.js';
import { RdmaDevice } from '../../src/device/index.js';
import { RdmaDriver } from '../../src/driver/index.js';
import { Fabric, Scheduler, firstChoice } from '../../src/fabric/index.js';
import type { Choices } from '../../src/fabric/index.js';
import { ReferenceHca } from '../../src/reference/index.js';
import { connectInProcess } from '../../src/transports/in-process.js';
import type { InProcessTransport } from '../../src/transports/in-process.js';
import type {
  CompletionHandler,
  CompletionQueue,
  MemoryRegion,
  ProtectionDomain,
  QpCap,
  QueuePair,
} from '../../src/verbs/index.js';
import type { RingFeatures } from '../../src/virtio/index.js';

export const ARENA_BYTES = 1 << 16;

const limits = {
  attributes: {
    maxMrSizeBytes: 1 << 24,
    pageSizeCap: 4096,
    maxQp: 8,
    maxQpWr: 64,
    maxSendSge: 4,
    maxRecvSge: 4,
    maxSgeRd: 4,
    maxCq: 4,
    maxCqe: 64,
    maxMr: 8,
    maxPd: 4,
    maxAh: 4,
    maxQpRdAtom: 4,
    maxQpInitRdAtom: 4,
  },
  port: { gidTableLength: 4, maxMsgSizeBytes: 1 << 20, activeMtu: 3 },
};

export interface Machine {
  readonly guest: SimulatedGuest;
  readonly driver: RdmaDriver;
  readonly device: RdmaDevice;
  readonly transport: InProcessTransport;
  readonly gid: string;
}

export interface PairOptions {
  readonly profile?: ProfileName;
  readonly ringFeatures?: RingFeatures;
  readonly choices?: Choices;
}

export class Pair {
  readonly scheduler: Scheduler;
  readonly machines: readonly [Machine, Machine];

  constructor(options: PairOptions = {}) {
    this.scheduler = new Scheduler(options.choices ?? firstChoice);
    const fabric = new Fabric(this.scheduler, {
      latencyNs: 1000,
      bandwidthBitsPerSecond: 100_000_000_000,
      faults: { dropPer1024: 0, duplicatePer1024: 0, reorderPer1024: 0 },
      faultSeed: 1,
    });
    this.machines = [this.#machine(0, fabric, options), this.#machine(1, fabric, options)];
  }

  #machine(vm: number, fabric: Fabric, options: PairOptions): Machine {
    const { scheduler } = this;
    const profile = profiles[options.profile ?? 'roce'];
    const ringFeatures = options.ringFeatures ?? { indirect: true, eventIdx: true };
    const guest = new SimulatedGuest({
      scheduler,
      memoryBytes: ARENA_BYTES + (1 << 20),
      arenaBytes: ARENA_BYTES,
      scatterSeed: 11 + vm,
    });
    const device = new RdmaDevice({
      profile,
      memory: guest.memory,
      function: new ReferenceHca(scheduler, fabric, limits).openFunction(),
      scheduler,
      limits: { maxQps: 8, maxCqs: 4, queueSizeMax: 64 },
      ringFeatures,
      vm,
    });
    const transport = connectInProcess(device);
    const driver = new RdmaDriver({ profile, transport, os: guest, memory: guest.memory, ringFeatures });
    return { guest, driver, device, transport, gid: `fe80${'0'.repeat(27)}${vm + 1}` };
  }

  run(): void {
    for (let steps = 0; !this.scheduler.quiet; steps++) {
      if (steps > 100_000) throw new Error('the world never comes to rest');
      this.scheduler.step();
    }
  }

  async settle<T>(promise: Promise<T>): Promise<T> {
    let settled = false;
    const done = (): void => {
      settled = true;
    };
    promise.then(done, done);
    for (let idle = 0; idle < 32 && !settled; idle++) {
      this.run();
      await Promise.resolve();
    }
    if (!settled) throw new Error('the promise never settled, and nothing is left to happen');
    return promise;
  }

  async start(): Promise<this> {
    for (const machine of this.machines) {
      await this.settle(machine.driver.start());
      await this.settle(machine.driver.addGid(0, machine.gid));
    }
    return this;
  }
}

/** What one side of a connection has. */
export interface End {
  readonly machine: Machine;
  readonly pd: ProtectionDomain;
  readonly cq: CompletionQueue;
  readonly mr: MemoryRegion;
  readonly qp: QueuePair;
}

const cap: QpCap = { maxSendWr: 8, maxRecvWr: 8, maxSendSge: 2, maxRecvSge: 2, maxInlineData: 64 };

/** A queue pair of the type on each machine, joined and in RTS, with all of the arena registered. */
export async function connect(
  pair: Pair,
  type: QpType = QpType.RC,
  onEvent?: CompletionHandler,
): Promise<readonly [End, End]> {
  const ends: End[] = [];
  for (const machine of pair.machines) {
    const { driver } = machine;
    const pd = await pair.settle(driver.createPd());
    const cq = await pair.settle(driver.createCq(16, onEvent));
    const access = AccessFlag.LOCAL_WRITE | AccessFlag.REMOTE_WRITE | AccessFlag.REMOTE_READ;
    const mr = await pair.settle(driver.regMr(pd, { addr: ARENA_BASE, length: ARENA_BYTES, access }));
    const qp = await pair.settle(driver.createQp(pd, { type, sqSigAll: true, sendCq: cq, recvCq: cq, cap }));
    ends.push({ machine, pd, cq, mr, qp });
  }
  const [a, b] = ends;
  await walk(pair, a, b);
  await walk(pair, b, a);
  return [a, b];
}

/** Takes a queue pair from RESET to RTS. */
export async function walk(pair: Pair, own: End, peer: End): Promise<void> {
  const { driver } = own.machine;
  const { qp } = own;
  const connected = qp.type === QpType.RC || qp.type === QpType.UC;
  const rc = qp.type === QpType.RC;
  const init = connected ? { qpAccessFlags: 7 } : { qkey: 5 };
  const ahAttr = { dgid: peer.machine.gid, sgidIndex: 0, flowLabel: 0, hopLimit: 64, trafficClass: 0 };
  const rtr = connected ? { ahAttr, pathMtu: 3, destQpNum: peer.qp.qpNum, rqPsn: 0 } : {};
  const rts = { timeout: 14, retryCnt: 7, rnrRetry: 7, maxRdAtomic: 2 };
  await pair.settle(driver.modifyQp(qp, { qpState: QpState.INIT, ...init }));
  await pair.settle(
    driver.modifyQp(qp, {
      qpState: QpState.RTR,
      ...rtr,
      ...(rc ? { maxDestRdAtomic: 2, minRnrTimer: 1 } : {}),
    }),
  );
  await pair.settle(driver.modifyQp(qp, { qpState: QpState.RTS, sqPsn: 0, ...(rc ? rts : {}) }));
}
