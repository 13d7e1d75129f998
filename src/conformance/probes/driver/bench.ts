/**
 * The bench on which a driver is probed: a simulated guest, the probe device, and the driver between them. A case calls verbs
 * and sees what the device sees; commands wait until the case answers them, and nothing moves but what the case lets move.
 * Whatever breaks a rule of the line on the way is taken down and fails the case at its end.
 */
import { profiles } from '../../../abi/index.js';
import type { Profile, QueueMap } from '../../../abi/index.js';
import { Scheduler, firstChoice } from '../../../fabric/index.js';
import { connectInProcess } from '../../../transports/in-process.js';
import type { InProcessTransport } from '../../../transports/in-process.js';
import type { Verbs } from '../../../verbs/index.js';
import { FeatureBit, hasFeature } from '../../../virtio/index.js';
import type { RingFeatures } from '../../../virtio/index.js';
import { bundledDriver } from '../../bundled.js';
import type { CaseBroken, CaseContext } from '../../cases/case.js';
import type { ChartEvent } from '../../chart-event.js';
import { Steps } from '../steps.js';
import { turn } from '../../turn.js';
import { configBytes, featuresOf, queueSizeOf } from './bench-options.js';
import type { BenchOptions } from './bench-options.js';
import { Call, describe, errnoOf } from './call.js';
import { TakenCommand, checkCommand } from './commands.js';
import { ProbeDevice } from './device.js';
import { ARENA_BYTES, ProbeGuest } from './probe-guest.js';
import type { Chain } from './pen.js';
import { SoundAnswers, soundLimits } from './sound-answers.js';

/** Steps of the scheduler in one `run`; a driver that polls for its answers never comes to rest by itself. */
const STEPS_MAX = 600;
/** Turns of the promises without a step of anybody after which nothing is left to happen. */
const QUIET_TURNS = 16;
const RUNS_MAX = 40;

export class Bench {
  readonly profile: Profile;
  readonly map: QueueMap;
  readonly scheduler = new Scheduler(firstChoice);
  readonly guest: ProbeGuest;
  readonly device: ProbeDevice;
  readonly transport: InProcessTransport;
  readonly sound: SoundAnswers;
  readonly options: BenchOptions;
  /** Ring features that are in force. */
  readonly ringFeatures: RingFeatures;
  /** Taken and not answered yet, oldest first. */
  readonly pending: TakenCommand[] = [];
  /** Every command that was taken, by its code, in order. */
  readonly log: number[] = [];
  /** Called before and after each 16-bit store of the driver to a ring, by address. */
  onStoring: (address: number, value: number) => void = () => {};
  onStored: (address: number, value: number) => void = () => {};
  actions = 0;
  /** The device has written where only the driver may: what the rings show from here on says nothing about the driver. */
  tampered = false;
  /** The device has changed where descriptors lead: its own writes may land in the program's memory from here on. */
  strays = false;
  readonly #context: CaseContext;
  readonly #requirements: readonly string[];
  readonly #findings: CaseBroken[] = [];
  readonly #told = new Steps();
  #verbs: Verbs | undefined;
  #lookDue = false;

  /** @param requirements what a failure breaks where nothing nearer is known */
  constructor(context: CaseContext, requirements: readonly string[], options: BenchOptions = {}) {
    const profile = profiles[context.profile];
    this.profile = profile;
    this.#context = context;
    this.#requirements = requirements;
    this.options = options;
    const [maxQps, maxCqs] = [options.maxQps ?? 5, options.maxCqs ?? 3];
    this.map = profile.queues(Math.max(1, maxQps), Math.max(1, maxCqs));
    const { indirect = false, eventIdx = false, packed = false, inOrder = false } = options;
    this.ringFeatures = { indirect, eventIdx, packed, inOrder };
    const report = (ids: readonly string[], message: string): void => this.finding(ids, message);
    const seed = options.scatterSeed ?? 7;
    const watch = {
      storing: (address: number, value: number) => this.onStoring(address, value),
      stored: (address: number, value: number) => this.onStored(address, value),
      touched: (address: number, length: number) => this.#touched(address, length),
    };
    const { memories } = context.implementation;
    this.guest = new ProbeGuest(this.scheduler, options.dmaBytes ?? 384 * 1024, seed, watch, memories);
    this.guest.inner.writeArena(0, arenaPattern);
    this.guest.runTask = task => this.guarded('its deferred work', () => task.run());
    const device = {
      profile,
      features: featuresOf(profile, options),
      config: configBytes(profile, options),
      queueCount: options.queueCount ?? this.map.count,
      queueSizeMax: (index: number) => queueSizeOf(options, index),
    };
    this.device = new ProbeDevice(device, this.guest.inner.memory, report);
    this.transport = connectInProcess(this.device);
    const limits = { ...soundLimits, ...options.limits };
    this.sound = new SoundAnswers(
      { returnAll: (kind, n) => this.returnAll(this.map[kind](n)) },
      limits,
      maxCqs,
      maxQps,
    );
    this.device.onKick = queue => this.#kicked(queue);
    this.device.onLive = () => this.lookSoon();
    this.device.onReset = () => {
      this.pending.length = 0;
      this.sound.reset();
    };
  }

  /** What the driver asks of its operating system is seen. */
  get seesOs(): boolean {
    return this.#context.implementation.elsewhere !== true;
  }

  /** The event index is negotiated. */
  get eventIdx(): boolean {
    return hasFeature(this.device.accepted, FeatureBit.EVENT_IDX);
  }

  /** The configuration space as it was at first. */
  freshConfig(): Uint8Array {
    return configBytes(this.profile, this.options);
  }

  get verbs(): Verbs {
    if (this.#verbs === undefined) throw new Error('bench: the driver is not started');
    return this.#verbs;
  }

  /** A second machine with a driver and a device of its own. */
  another(): Bench {
    return new Bench(this.#context, this.#requirements, this.options);
  }

  /** Brings the driver up; its commands are answered honestly. */
  async start(): Promise<Verbs> {
    return this.scene('start', async () => {
      const call = this.starting();
      await this.settle(call);
      if (call.state !== 'resolved')
        throw this.broken(`the driver did not start: ${describe(call)}`, ['FEAT-21', ...this.#requirements]);
      this.#verbs = call.value;
      return call.value;
    });
  }

  /** The driver on its way up, not waited for. */
  starting(): Call<Verbs> {
    const { driver = bundledDriver } = this.#context.implementation;
    const { profile, transport, guest } = this;
    const ringFeatures = this.options.want ?? this.ringFeatures;
    this.step('program', 'driver', 'start');
    const started = async (): Promise<Verbs> =>
      driver({
        profile,
        transport,
        os: guest,
        memory: guest.memory,
        ringFeatures,
        ringObserver: undefined,
        controlObserver: undefined,
      });
    return new Call('start', started());
  }

  /** Calls a verb and leaves its command to the case. */
  call<T>(what: string, run: (verbs: Verbs) => Promise<T>): Call<T> {
    this.step('program', 'driver', what);
    this.actions++;
    const verbs = this.verbs;
    return new Call(what, (async () => run(verbs))());
  }

  /** Calls a verb, answers honestly, and gives what it resolves to. */
  async do<T>(what: string, run: (verbs: Verbs) => Promise<T>): Promise<T> {
    return this.value(this.call(what, run));
  }

  /** What a verb resolves to; commands that are pending are answered honestly, the oldest first. */
  async value<T>(call: Call<T>, requirements?: readonly string[]): Promise<T> {
    await this.settle(call);
    if (call.state === 'resolved') return call.value;
    throw this.broken(`${call.what} ${describe(call)}, expected it to succeed`, requirements);
  }

  /** Waits until a call fails with an errno; nothing is answered. */
  async fails(call: Call<unknown>, errno: string, requirements?: readonly string[]): Promise<void> {
    await this.run();
    this.expect(
      call.state === 'rejected' && errnoOf(call.error) === errno,
      `${call.what} ${describe(call)}, expected ${errno}`,
      requirements,
    );
  }

  /** Runs, answering honestly, until the call settles. */
  async settle(call: Call<unknown>): Promise<void> {
    for (let runs = 0; runs < RUNS_MAX && call.state === 'pending'; runs++) {
      await this.run();
      const before = this.log.length;
      while (this.pending.length > 0) this.ok(this.pending[0]);
      if (call.state === 'pending' && this.log.length === before && this.scheduler.readyCount === 0)
        await this.run();
    }
    if (call.state !== 'pending') return;
    throw this.broken(`${call.what} never settled, and nothing is left to happen`, [
      'VQ-61',
      'VQ-74',
      'ERR-07',
    ]);
  }

  /** Lets everybody work until nothing is left to do, or as long as is sane. */
  async run(): Promise<void> {
    let steps = 0;
    for (let quiet = 0; quiet < QUIET_TURNS && steps < STEPS_MAX; quiet++) {
      if (this.scheduler.step()) {
        quiet = -1;
        steps++;
      }
      await turn;
    }
  }

  /** The oldest command that waits, which must have this code. */
  async expectCommand(code: number, requirements?: readonly string[]): Promise<TakenCommand> {
    await this.run();
    const command = this.pending.at(0);
    if (command === undefined)
      throw this.broken(
        `no command came, expected code ${code}`,
        requirements ?? ['VQ-61', ...this.#requirements],
      );
    this.equal(command.code, code, 'command code', requirements);
    return command;
  }

  /** Answers honestly. A refusal where an honest device has nothing to give. */
  ok(command: TakenCommand): void {
    const result = this.sound.carryOut(command);
    if (result === undefined) this.refuse(command);
    else this.answer(command, Uint8Array.of(0, ...result));
  }
  refuse(command: TakenCommand): void {
    this.answer(command, Uint8Array.of(1));
  }
  /** OK with a result of the case's own. */
  accept(command: TakenCommand, result: Uint8Array): void {
    this.answer(command, Uint8Array.of(0, ...result));
  }

  /** Answers anything at all: the bytes of ack and result, and a used length. Interrupts if that is wanted. */
  answer(command: TakenCommand, bytes: Uint8Array, written = bytes.length): void {
    const ring = this.device.pen(this.map.control);
    const at = this.pending.indexOf(command);
    if (at >= 0) this.pending.splice(at, 1);
    this.step('device', 'driver', `${command.name}: ack ${bytes[0]}, ${written} bytes`);
    ring.write(command.chain, 0, bytes);
    ring.giveBack(command.chain, written);
    if (ring.interruptWanted()) this.interrupt(this.map.control);
  }

  interrupt(source: number | 'config'): void {
    this.guarded(`the interrupt of ${source}`, () => {
      if (source === 'config') this.device.interruptConfig();
      else this.device.interruptQueue(source);
    });
  }

  /** Sets DEVICE_NEEDS_RESET, and tells. */
  needsReset(): void {
    this.step('device', 'driver', 'DEVICE_NEEDS_RESET');
    this.guarded('the interrupt for DEVICE_NEEDS_RESET', () => this.device.needsReset());
  }

  /** Returns all that is in a queue, taken or not, with nothing written. */
  returnAll(index: number): void {
    const ring = this.device.rings.get(index);
    if (ring === undefined) return;
    ring.takeAll();
    for (const chain of ring.outstanding.values()) ring.giveBack(chain, 0);
  }

  /** The device looks at the control queue in its next turn. */
  lookSoon(): void {
    if (this.#lookDue) return;
    this.#lookDue = true;
    this.scheduler.post({ run: () => this.look() });
  }

  /** Takes the commands that are there. */
  look(): void {
    this.#lookDue = false;
    const ring = this.device.rings.get(this.map.control);
    if (ring === undefined || !this.device.live) return;
    for (let chains = ring.takeAll(); chains.length > 0; chains = ring.takeAll()) {
      for (const chain of chains) this.#taken(chain);
      if (this.eventIdx) ring.askForNext();
    }
  }

  #taken(chain: Chain): void {
    const command = new TakenCommand(chain);
    checkCommand(command, this.profile.controlClass, (ids, message) => this.finding(ids, message));
    this.step('driver', 'device', command.name);
    this.log.push(command.code);
    this.pending.push(command);
  }

  kicks(index: number): number {
    return this.device.kicks.get(index) ?? 0;
  }

  expect(condition: boolean, message: string, requirements?: readonly string[]): void {
    if (!condition) throw this.broken(message, requirements);
  }
  equal(seen: unknown, expected: unknown, what: string, requirements?: readonly string[]): void {
    this.expect(
      Object.is(seen, expected),
      `${what} is ${String(seen)}, expected ${String(expected)}`,
      requirements,
    );
  }

  broken(message: string, requirements: readonly string[] = this.#requirements): CaseBroken {
    // What was taken down before is nearer to the cause than what came of it.
    const [first] = this.#findings;
    if (first !== undefined) return first;
    return this.#told.broken(requirements, this.#event('driver', 'driver', message));
  }

  /** Takes a broken rule down; the case fails with the first one. */
  finding(requirements: readonly string[], message: string): void {
    if (this.tampered && !requirements.some(id => id.startsWith('HOST') || id.startsWith('PERF'))) return;
    if (this.#findings.length < 8)
      this.#findings.push(this.#told.broken(requirements, this.#event('driver', 'driver', message)));
  }
  get findings(): readonly CaseBroken[] {
    return this.#findings;
  }

  /** The end of a case: fails with what was taken down on the way. */
  finish(): void {
    const [first] = this.#findings;
    if (first !== undefined) throw first;
    if (this.strays) return;
    this.guest.inner.snapshotArena(arenaCopy);
    if (Buffer.compare(arenaCopy, arenaPattern) === 0) return;
    const at = arenaCopy.findIndex((byte, i) => byte !== arenaPattern[i]);
    throw this.broken(`the driver wrote to byte ${at} of the program's memory`, ['PERF-16']);
  }

  step(from: string, to: string, text: string): void {
    // What the driver does is what came of the steps of the program and the device, both of which the case plays.
    this.#told.add(this.#event(from, to, text), from === 'driver' ? 'answer' : 'action');
  }

  /** Does what only sets the scene: one step of the exchange when it went well. */
  scene<T>(text: string, work: () => Promise<T>): Promise<T> {
    return this.#told.foldAsync(() => this.#event('program', 'driver', text), work);
  }

  /** What nothing may come out of as an exception: an interrupt, deferred work. */
  guarded(what: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.finding(['HOST-34'], `the driver threw in ${what}: ${String(error)}`);
    }
  }

  #event(from: string, to: string, text: string): ChartEvent {
    return { timeNs: this.scheduler.nowNs, from, to, text };
  }

  #kicked(queue: number): void {
    this.step('driver', 'device', `notify queue ${queue}`);
    if (queue === this.map.control) this.lookSoon();
  }

  #touched(address: number, length: number): void {
    if (length === 0 || this.guest.owns(address, length)) return;
    this.finding(
      ['PERF-16'],
      `the driver used ${length} bytes of memory at 0x${address.toString(16)}, which it has not allocated`,
    );
  }
}

const arenaCopy = new Uint8Array(ARENA_BYTES);
const arenaPattern = Uint8Array.from({ length: ARENA_BYTES }, (_, i) => (i * 7 + (i >> 8)) & 0xff);
