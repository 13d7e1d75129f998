/** What a device may refuse or may change: either is right, and neither does anything by halves. */
import { AccessFlag } from '../../../abi/index.js';
import { DeviceStatus, featureMask } from '../../../virtio/index.js';
import { Bench, probeLimits } from './bench.js';
import { createPd, deregMr, regUserMr, regUserMrBytes } from './messages.js';
import { probe } from './probe-case.js';
import { exchange, pairOf } from './site.js';

const { ACKNOWLEDGE, DRIVER, FEATURES_OK } = DeviceStatus;
const KNOWN = ACKNOWLEDGE | DRIVER;

const PAGE_BYTES = 4096;
/** Pages of a long region, and so many of them: far fewer entries of page lists than the 2^20 that a device must keep. */
const PAGES = 2 ** 12;
const REGIONS = 5;

export const permissionCases = [
  probe(
    {
      id: 'FEAT/negotiate/without-rdma',
      doc: 'FEATURES_OK may stay clear for a driver that does without the RDMA of its profile, and the device works for the next one.',
      requirements: ['FEAT-12', 'FEAT-31'],
    },
    context => {
      const bench = new Bench(context, { unstarted: true, machines: 1 });
      const { me } = bench;
      const without = me.profile.features.reduce((left, { bit }) => left & ~featureMask(bit), me.wanted());
      const { device } = me;
      device.writeStatus(0);
      device.writeStatus(ACKNOWLEDGE);
      device.writeStatus(KNOWN);
      device.setDriverFeatures(without);
      device.writeStatus(KNOWN | FEATURES_OK);
      const status = device.readStatus();
      if (status !== KNOWN && status !== (KNOWN | FEATURES_OK)) {
        bench.accuse(
          ['FEAT-12'],
          `the status is ${status}, expected ${KNOWN} or ${KNOWN | FEATURES_OK}: without FEATURES_OK or with it`,
        );
      }
      me.start();
      me.must(createPd, {}, ['FEAT-31', 'RST-36']);
      return bench;
    },
  ),
  probe(
    {
      id: 'CONF/reading/changes-are-told',
      doc: 'Whenever the configuration of a live device has changed, so has its generation, and a notification has come.',
      requirements: ['CONF-08', 'CONF-09'],
    },
    context => {
      const scene = pairOf(context);
      const { bench, a } = scene;
      const { device, transport } = a.machine;
      const look = () => ({
        bytes: [...new Uint8Array(device.readConfig().buffer)].join(' '),
        generation: device.configGeneration,
        told: transport.configInterrupts,
      });
      for (let round = 0; round < 4; round++) {
        const before = look();
        exchange(scene, ['CONF-08']);
        const after = look();
        if (before.bytes === after.bytes) continue;
        const change = `the configuration changed from ${before.bytes} to ${after.bytes}`;
        if (before.generation === after.generation)
          bench.accuse(
            ['CONF-08'],
            `${change}: the generation is still ${after.generation}, expected another`,
          );
        if (before.told === after.told)
          bench.accuse(['CONF-09'], `${change}: no notification came, expected one`);
      }
      return bench;
    },
  ),
  probe(
    {
      id: 'CTRL/reg-user-mr/beyond-2-53',
      doc: 'A region that ends above 2^53 is refused or registered, and either way the device goes on.',
      requirements: ['CTRL-59', 'CTRL-01'],
    },
    context => {
      const scene = pairOf(context);
      const { a } = scene;
      const { address } = a.region;
      const virt_addr = 2 ** 53 - PAGE_BYTES;
      const fields = { pdn: a.pdn, access_flags: AccessFlag.LOCAL_WRITE, virt_addr, length: PAGE_BYTES + 1 };
      const made = a.machine.ask(regUserMr, regUserMrBytes(fields, [address, address + PAGE_BYTES]));
      if (made !== undefined) a.machine.must(deregMr, { mrn: made.mrn }, ['CTRL-59']);
      exchange(scene, ['CTRL-59']);
      return scene.bench;
    },
  ),
  probe(
    {
      id: 'CTRL/reg-user-mr/pages-of-all-regions',
      doc: 'Page lists of fewer than 2^20 entries together are all kept, and what a deregistration frees can be used again.',
      requirements: ['CTRL-66', 'RST-24'],
    },
    context => {
      const attributes = { ...probeLimits.attributes, maxMrSizeBytes: PAGES * PAGE_BYTES };
      const limits = { ...probeLimits, attributes };
      const bench = new Bench(context, { machines: 1, limits, memoryBytes: 1024 * 1024 });
      const { me } = bench;
      const { pdn } = me.must(createPd);
      const page = me.alloc(PAGE_BYTES, PAGE_BYTES);
      const pages = Array.from({ length: PAGES }, () => page);
      const data = regUserMrBytes({ pdn, access_flags: 0, virt_addr: 0, length: PAGES * PAGE_BYTES }, pages);
      const made = Array.from({ length: REGIONS }, () => me.must(regUserMr, data, ['CTRL-66']));
      for (const { mrn } of made) me.must(deregMr, { mrn }, ['RST-24']);
      for (let i = 0; i < REGIONS; i++) me.must(regUserMr, data, ['RST-24', 'CTRL-66']);
      return bench;
    },
  ),
];
