/**
 * A guest driver for virtio-rdma, written from spec/ and docs/abi.md alone. This file starts the device and carries commands, one
 * at a time: it looks for an answer a few times itself before it asks for an interrupt. Ids in brackets say why a line is there.
 */
import { Virtqueue } from './queues.js';
import { controlVerbs, pollCq, postRecv, postSend } from './verbs.js';
import { decode, encode, fieldsOf, lengthsOf, refusal, refuseIf, sum } from './wire.js';

/** What differs between the profiles, by device type (spec/01-overview.md, 1.6). */
const PROFILES = {
  1: { features: [32n, 17n, 55n], controlClass: 6, control: 2, struct: '6 4 2:mtu 12 4:maxQp 4:maxCq' },
  42: { features: [32n], controlClass: 0, control: 0, struct: '4:maxQp 4:maxCq 2:mtu 2' },
};
const Status = { ACKNOWLEDGE: 1, DRIVER: 2, DRIVER_OK: 4, FEATURES_OK: 8, NEEDS_RESET: 64, FAILED: 128 };
const LOOKS = 4; // for an answer, before an interrupt is asked for

/** @type {import('../../src/conformance/implementation.js').DriverFactory} */
export async function createDriver(context) {
  const dev = Object.assign(new Device(), context);
  const verbs = {};
  for (const verb of [postSend, postRecv, pollCq]) verbs[verb.name] = (...values) => verb(dev, ...values);
  for (const verb of Object.values(controlVerbs))
    verbs[verb.name] = (...values) => dev.run(verb(dev, ...values));
  await dev.start();
  dev.limits = await verbs.queryDevice();
  return verbs;
}

/** The device as the driver knows it. */
class Device {
  objects = { pd: new Map(), cq: new Map(), mr: new Map(), qp: new Map(), ah: new Map() };
  /** Verbs that wait for their turn, and the one whose command the device has. */
  #jobs = [];
  #current;
  #looks = 0;
  #lookComes = false;
  #dead; // why the device was given up

  async start() {
    const { transport } = this;
    transport.writeStatus(0);
    while (transport.readStatus() !== 0) await new Promise(run => this.os.defer({ run }));
    this.#raise(Status.ACKNOWLEDGE);
    this.#raise(Status.DRIVER);
    this.profile = PROFILES[transport.deviceId];
    this.insist(this.profile !== undefined, `device type ${transport.deviceId}`);
    const wanted = this.profile.features.reduce((set, bit) => set | (1n << bit), 0n);
    this.insist((transport.deviceFeatures & wanted) === wanted, 'a feature is missing [FEAT-07]');
    transport.setDriverFeatures(wanted);
    this.#raise(Status.FEATURES_OK);
    this.insist((transport.readStatus() & Status.FEATURES_OK) !== 0, 'features refused [FEAT-23]');
    this.#configure();
    const { maxQp, maxCq } = this.config;
    const inRange = [maxQp, maxCq].every(max => max >= 1 && max <= 16384);
    this.insist(inRange, `${maxQp} queue pairs, ${maxCq} completion queues [CONF-05]`);
    // Queues are as large as they may be: how many entries are needed is known only from a command.
    const queues = (from, count) => Array.from({ length: count }, (_, i) => new Virtqueue(this, from + i));
    [this.control, ...this.cqs] = queues(this.profile.control, 1 + maxCq);
    this.insist(this.control.size > 1, 'no command fits into a queue of one descriptor');
    const first = this.profile.control + 1 + maxCq;
    this.requests = [undefined, undefined, ...queues(first + 2, 2 * maxQp - 2)];
    transport.onInterrupt(source => this.#interrupted(source));
    this.#raise(Status.DRIVER_OK);
  }

  #raise(bit) {
    this.transport.writeStatus(this.transport.readStatus() | bit);
  }

  #configure(tries = 100) {
    this.insist((this.transport.readStatus() & Status.NEEDS_RESET) === 0, 'it needs a reset');
    const { configGeneration } = this.transport;
    const { buffer, byteOffset, byteLength } = this.transport.readConfig();
    this.insist(tries > 0, 'the configuration does not keep still [HOST-33]');
    if (configGeneration !== this.transport.configGeneration) return this.#configure(tries - 1);
    const { struct } = this.profile;
    this.insist(byteLength >= sum(lengthsOf(fieldsOf(struct))), 'too short a configuration [CONF-06]');
    this.config = decode(struct, new Uint8Array(buffer, byteOffset, byteLength));
    this.activeMtu = [5, 4, 3, 2].find(code => (128 << code) + 96 <= this.config.mtu) ?? 1;
  }

  #interrupted(source) {
    const cq = this.objects.cq.get(source - this.control.index - 1);
    if (this.#dead !== undefined) return;
    if (source === 'config') this.#guarded(() => this.#configure());
    else if (source === this.control.index) this.#lookLater();
    else if (cq?.armed > 0) {
      cq.armed--; // counted up when it is armed, so a stray interrupt is none of the program's [CQ-47] [CQ-48]
      this.os.defer({ run: () => void (this.exists(cq) && cq.onEvent?.(cq)) });
    }
  }

  run(steps) {
    return new Promise((resolve, reject) => {
      this.#jobs.push({ steps, resolve, reject, fields: [], answer: '' });
      this.#nextVerb();
    });
  }

  #nextVerb() {
    while ((this.#current === undefined || this.#dead !== undefined) && this.#jobs.length > 0) {
      const job = this.#jobs.shift();
      this.refused = undefined;
      try {
        refuseIf(this.#dead !== undefined, this.#dead, 'EIO');
        this.#send(Object.assign(job, job.steps.next().value));
      } catch (error) {
        this.refused?.();
        job.reject(error);
      }
    }
  }

  #send(job) {
    const fields = [[1, this.profile.controlClass], ...fieldsOf('1:code', job), ...job.fields];
    const result = [1, ...lengthsOf(fieldsOf(job.answer))];
    const bytes = encode(fields);
    const dma = this.os.allocDma(bytes.length + sum(result), 8);
    dma.bytes.set(bytes);
    this.#current = Object.assign(job, { dma, answerAt: bytes.length, answerBytes: sum(result) });
    this.control.add(dma, lengthsOf(fields), result, this.control.size);
    this.control.publish();
    this.#looks = 0;
    this.#lookLater();
  }

  #lookLater() {
    if (!this.#lookComes) this.os.defer({ run: () => this.#guarded(() => this.#look()) });
    this.#lookComes = true;
  }

  /** Time stands still while something is deferred, so looking cannot go on for ever: in the end an interrupt is asked for. */
  #look() {
    this.#lookComes = false;
    this.#takeAnswer();
    if (this.#current === undefined) return;
    if (this.#looks++ < LOOKS) return this.#lookLater();
    this.control.interrupts(true);
    this.#takeAnswer(); // once more before sleeping [VQ-74]
  }

  /** Does what no verb waits for; a device that is given up then is no exception [HOST-34]. */
  #guarded(work) {
    try {
      if (this.#dead === undefined) work();
    } catch (error) {
      if (this.#dead === undefined) throw error;
    }
  }

  #takeAnswer() {
    const back = this.control.take();
    if (back === undefined) return;
    this.control.interrupts(false);
    const { dma, answer, answerAt, answerBytes, steps, resolve, reject, full } = this.#current;
    const [ack, ...result] = dma.bytes.slice(answerAt);
    const whole = ack === 0 ? back.length === answerBytes : ack === 1 && back.length > 0;
    this.insist(whole, `ack ${ack}, ${back.length} bytes [HOST-10] [HOST-11] [HOST-12]`);
    if (ack === 0) resolve(steps.next(decode(answer, Uint8Array.from(result))).value);
    else this.refused?.();
    this.os.freeDma(dma);
    this.#current = undefined;
    if (ack === 1) reject(refusal(full === true ? 'ENOMEM' : 'EINVAL', 'refused by the device'));
    this.#nextVerb();
  }

  /** Gives the device up when it has broken a rule: every verb fails, and all memory stays as it is [ERR-26] [HOST-30]. */
  insist(kept, what) {
    if (kept) return;
    if (this.#dead === undefined) this.#raise(Status.FAILED);
    this.#dead ??= what;
    this.#current?.reject(refusal('EIO', what));
    for (const { reject } of this.#jobs.splice(0)) reject(refusal('EIO', what));
    throw refusal('EIO', what);
  }

  refuseUsed(kinds, uses) {
    const used = kinds.split(' ').some(kind => [...this.objects[kind].values()].some(uses));
    refuseIf(used, `a ${kinds} uses it`, 'EBUSY');
  }
  full(kind, limit, less = 0) {
    return this.objects[kind].size >= this.limits[limit] - less;
  }

  /** Buffers for a new object, behind `buffers` if there are some; they are freed if the verb is refused. */
  allocate(count, bytes, buffers = []) {
    this.refused = () => this.free(buffers);
    for (let i = 0; i < count; i++) buffers.push(this.os.allocDma(bytes, 8));
    return buffers;
  }
  free(buffers) {
    for (const dma of buffers) this.os.freeDma(dma);
  }
  exists(object) {
    return object !== undefined && this.objects[object.kind]?.get(object.number) === object;
  }
  /** The number of an object that a verb names. */
  use(kind, object) {
    refuseIf(this.#dead !== undefined, this.#dead, 'EIO');
    refuseIf(object?.kind !== kind || !this.exists(object), `no such ${kind}`);
    return object.number;
  }
  adopt(object) {
    const all = this.objects[object.kind];
    this.insist(!all.has(object.number), `${object.kind} ${object.number} exists already [HOST-13]`);
    all.set(object.number, object);
    return object;
  }
}
