/** One attack, from the start of the driver to the last look at what it has become. */
import { CaseBroken } from '../../cases/case.js';
import type { CaseContext, CaseEffort } from '../../cases/case.js';
import { DeviceStatus } from '../../../virtio/index.js';
import { Bench } from '../../probes/driver/bench.js';
import { describe, errnoOf } from '../../probes/driver/call.js';
import type { Call } from '../../probes/driver/call.js';
import { emptyCompletions } from '../../probes/driver/traffic.js';
import { Attacker } from './attacker.js';
import type { Act, Attack } from './attack.js';
import { isHostile } from './attack.js';
import { Victim } from './victim.js';

/** What a broken promise of an attack breaks where nothing nearer is known. */
const PROMISES = ['HOST-33', 'HOST-34', 'HOST-35'];

/** Register accesses and stores to rings that one act may cost the driver. */
const ACCESSES_MAX = 500;
const STORES_MAX = 2000;

/**
 * Runs an attack against the driver of the context. Resolves with the number of hostile acts; throws CaseBroken when the
 * driver broke a promise: see the requirements that it names.
 */
export async function runAttack(attack: Attack, context: CaseContext): Promise<CaseEffort> {
  const { indirect, eventIdx, packed = false, inOrder = false, oneCq, acts } = attack;
  const bench = new Bench(context, PROMISES, {
    indirect,
    eventIdx,
    packed,
    inOrder,
    maxQps: 4,
    maxCqs: 2,
    queueSize: 8,
    dmaBytes: 192 * 1024,
    limits: { max_qp_wr: 8, max_cqe: 4 },
  });
  try {
    await bench.start();
    const victim = new Victim(bench);
    await victim.prepare(oneCq);
    victim.post('send', 2);
    victim.post('receive', 2);
    const attacker = new Attacker(bench, oneCq);
    attacker.do({ act: 'honest', what: 'requests' });
    const work = new WorkMeter(bench);
    for (const act of acts) {
      work.begin(act);
      await step(bench, victim, attacker, act);
      await bench.run();
      work.end();
      if (bench.findings.length > 0) throw bench.findings[0];
    }
    await aftermath(bench, victim);
    // What the device has completed so far is handed out now at the latest, and judged.
    for (const at of [0, 1]) victim.poll(at, 8);
    bench.finish();
  } catch (error) {
    if (bench.findings.length > 0) throw bench.findings[0];
    throw error;
  } finally {
    bench.guest.release();
  }
  return { runs: 1, actions: acts.filter(isHostile).length };
}

async function step(bench: Bench, victim: Victim, attacker: Attacker, act: Act): Promise<void> {
  if (act.act === 'verb') victim.verb(act.verb, act.at);
  else if (act.act === 'post') victim.post(act.side, act.count);
  else if (act.act === 'poll') victim.poll(act.at, act.max);
  else if (act.act === 'restart') await restart(bench, victim, attacker);
  else attacker.do(act);
}

/** A new driver takes the device over in the middle of everything. The old one is gone, as with its machine. */
async function restart(bench: Bench, victim: Victim, attacker: Attacker): Promise<void> {
  delete bench.device.lies.status;
  victim.forget();
  attacker.forget();
  bench.sound.reset();
  bench.device.config = bench.freshConfig();
  bench.guest.freeAll();
  await bench.start();
}

/**
 * The device behaves from here on. Either the driver has given it up, and then every verb fails with EIO and none is pending;
 * or it has not, and then every verb that is pending comes to its end.
 */
async function aftermath(bench: Bench, victim: Victim): Promise<void> {
  delete bench.device.lies.status;
  // A device that said nothing when it set the bit says it now: what it was silent about, no driver could know.
  if ((bench.device.status & DeviceStatus.DEVICE_NEEDS_RESET) !== 0) bench.needsReset();
  const probe = bench.call('queryPort() after the attack', verbs => verbs.queryPort());
  for (let i = 0; i < 24 && pendingOf(victim, probe) > 0; i++) {
    bench.look();
    while (bench.pending.length > 0) bench.ok(bench.pending[0]);
    bench.interrupt(bench.map.control);
    await bench.run();
    victim.lookAtCalls();
  }
  const gone = probe.state === 'rejected';
  if (gone)
    bench.expect(
      errnoOf(probe.error) === 'EIO',
      `${probe.what} ${describe(probe)}, expected EIO or success`,
      ['ERR-26'],
    );
  for (const call of [probe, ...victim.calls]) {
    if (call.state !== 'pending') continue;
    // An answer whose element the attack has put out of reach never comes: that is silence, which nobody can prevent.
    bench.expect(!gone, `${call.what} is pending although the device was given up`, ['ERR-25']);
    bench.expect(!stuck(bench), `${call.what} is pending, and nothing is left to happen`, [
      'ERR-07',
      'VQ-74',
    ]);
  }
  if (gone) pollIsEio(bench, victim);
}

/** Data verbs fail with EIO too once the device is given up. */
function pollIsEio(bench: Bench, { cqs: [cq] }: Victim): void {
  if (cq === undefined) return;
  try {
    bench.verbs.pollCq(cq, emptyCompletions(1), 1);
  } catch (error) {
    bench.expect(errnoOf(error) === 'EIO', `a poll after the device was given up threw ${String(error)}`, [
      'ERR-26',
    ]);
    return;
  }
  throw bench.broken('a poll succeeded after the device was given up', ['ERR-26']);
}

function pendingOf(victim: Victim, probe: Call<unknown>): number {
  return victim.calls.filter(({ state }) => state === 'pending').length + (probe.state === 'pending' ? 1 : 0);
}

/** Every command that was seen is answered, on a ring that is as it should be: a verb has no reason to wait. */
function stuck(bench: Bench): boolean {
  const ring = bench.device.rings.get(bench.map.control);
  return ring !== undefined && !bench.tampered && bench.pending.length === 0 && ring.outstanding.size === 0;
}

/** Counts what one act costs the driver. */
class WorkMeter {
  readonly #bench: Bench;
  #accesses = 0;
  #stores = 0;
  #what = '';

  constructor(bench: Bench) {
    this.#bench = bench;
    bench.onStored = () => {
      // Thrown through the driver: nothing else ends a loop over a ring.
      if (++this.#stores > 50 * STORES_MAX)
        throw new CaseBroken(['HOST-33'], `the driver writes to its rings without end after '${this.#what}'`);
    };
  }

  begin(act: Act): void {
    this.#what = act.act;
    this.#accesses = this.#bench.device.accessCount;
    this.#stores = 0;
  }

  end(): void {
    const bench = this.#bench;
    if (this.#what === 'restart' || this.#what === 'interrupt') return;
    const accesses = bench.device.accessCount - this.#accesses;
    bench.expect(accesses <= ACCESSES_MAX, `${accesses} register accesses after one act of the device`, [
      'HOST-33',
    ]);
    bench.expect(this.#stores <= STORES_MAX, `${this.#stores} stores to rings after one act of the device`, [
      'HOST-33',
    ]);
  }
}
