/** Chapter 3: the configuration space, its limits, its generation, the MTU. */
import type { ConformanceCase } from '../../cases/case.js';
import { DeviceStatus } from '../../../virtio/index.js';
import type { Bench } from './bench.js';
import type { BenchOptions } from './bench-options.js';
import { describe } from './call.js';
import { probe, probeStarted } from './probe-case.js';

/** The driver must give up: no verbs, FAILED set, never DRIVER_OK. */
export async function expectGivesUp(bench: Bench): Promise<void> {
  const call = bench.starting();
  for (let runs = 0; runs < 4 && call.state === 'pending'; runs++) await bench.run();
  const live = (bench.device.status & DeviceStatus.DRIVER_OK) !== 0;
  bench.expect(!live, 'the driver set DRIVER_OK, expected it to give up');
  bench.expect(call.state === 'rejected', `the driver's start ${describe(call)}, expected it to fail`);
  bench.expect(bench.device.failed, 'the driver gave up without setting FAILED');
}

function refused(what: string, doc: string, options: BenchOptions, requirement: string): ConformanceCase {
  return probe({ id: `CONF/${what}`, doc, requirements: [requirement], options, ask: expectGivesUp });
}

const limits: ConformanceCase[] = (['maxQps', 'maxCqs'] as const).flatMap(field =>
  ([0, 16385, 0xffff_ffff] as const).map(count =>
    refused(
      `limits/${field === 'maxQps' ? 'qps' : 'cqs'}-${count}`,
      `A device that says max_rdma_${field === 'maxQps' ? 'qps' : 'cqs'} ${count} is given up.`,
      { [field]: count, queueCount: 64 },
      'CONF-05',
    ),
  ),
);

/** Ethernet MTU in bytes, and the active path MTU code that follows. */
const mtus: readonly (readonly [number, number])[] = [
  [352, 1],
  [607, 1],
  [608, 2],
  [1119, 2],
  [1120, 3],
  [1500, 3],
  [2143, 3],
  [2144, 4],
  [4191, 4],
  [4192, 5],
  [65535, 5],
];

export const configurationCases: readonly ConformanceCase[] = [
  ...limits,
  refused(
    'space/empty',
    'A device with an empty configuration space is given up.',
    { config: () => new Uint8Array(0) },
    'CONF-06',
  ),
  refused(
    'space/one-byte-short',
    'A configuration space that lacks its last byte is not used.',
    { config: bytes => bytes.slice(0, -1) },
    'CONF-06',
  ),
  refused(
    'space/half',
    'A configuration space that ends before the limits is not used.',
    { config: bytes => bytes.slice(0, bytes.length / 2) },
    'CONF-06',
  ),
  probeStarted({
    id: 'CONF/space/longer',
    doc: 'A configuration space that goes on behind the table of the profile changes nothing.',
    requirements: ['CONF-07'],
    options: { config: bytes => Uint8Array.of(...bytes, ...new Uint8Array(61).fill(0xee)) },
    ask: async bench => void (await bench.do('createPd()', verbs => verbs.createPd())),
  }),
  ...[1, 3, 20].map(changes => generation(changes)),
  probe({
    id: 'CONF/mtu/active',
    doc: 'The active MTU of the port is the largest path MTU that fits the Ethernet MTU with 96 bytes of headers.',
    requirements: ['CONF-13'],
    options: mtus.map(([mtu]) => ({ mtu })),
    ask: async bench => {
      await bench.start();
      const port = await bench.do('queryPort()', verbs => verbs.queryPort());
      const expected = mtus.find(([mtu]) => mtu === bench.options.mtu)?.[1];
      bench.equal(port.activeMtu, expected, `the active MTU for ${bench.options.mtu} bytes of Ethernet`);
    },
  }),
  probeStarted({
    id: 'CONF/limits/smallest',
    doc: 'A device with one completion queue and no queue pair but pair 0 is driven.',
    requirements: ['CONF-05', 'ERR-05'],
    options: { maxQps: 1, maxCqs: 1 },
    ask: async bench => {
      const attributes = await bench.do('queryDevice()', verbs => verbs.queryDevice());
      bench.equal(attributes.maxQp, 1, 'maxQp');
      bench.equal(attributes.maxCq, 1, 'maxCq');
      await bench.do('createCq(1)', verbs => verbs.createCq(1));
    },
  }),
];

/** The configuration changes while it is read; what was read before the last change must not count. */
function generation(changes: number): ConformanceCase {
  return probe({
    id: `CONF/generation/${changes === 1 ? 'one-change' : `${changes}-changes`}`,
    doc: `The configuration changes during ${changes === 1 ? 'the first read' : `each of the first ${changes} reads`}: only what was read between two equal generations counts.`,
    requirements: ['CONF-10'],
    ask: async bench => {
      const { device } = bench;
      const right = device.config.slice();
      const wrong = right.slice();
      new DataView(wrong.buffer).setUint16(bench.profile.config.offsets.mtu, 9000, true);
      device.config = wrong;
      let left = changes;
      device.lies.onConfigRead = () => {
        // The copy that is handed out is of before the change; the generation that is read next is of after it.
        if (left < 0) return;
        if (left === 0) device.config = right;
        else device.generation = (device.generation + 1) & 0xff;
        left--;
      };
      await bench.start();
      const port = await bench.do('queryPort()', verbs => verbs.queryPort());
      bench.equal(port.activeMtu, 3, 'the active MTU, from 1500 bytes of Ethernet that came after 9000');
    },
  });
}
