/** Chapter 3 and the map of chapter 4 asked of a device: fields, limits, the queues that they promise. */
import { QpState } from '../../../abi/index.js';
import { Bench } from './bench.js';
import { createPd, modifyQp, queryDevice, queryPort } from './messages.js';
import type { ProbeMachine } from './machine.js';
import { probe } from './probe-case.js';
import { queuePairIn } from './queue-pair-states.js';
import { pairOf, wayUp } from './site.js';

const fields = ({ device, profile }: ProbeMachine) => profile.config.decode(device.readConfig(), 0);
const bytes = ({ device }: ProbeMachine): number[] => [...new Uint8Array(device.readConfig().buffer)];

export const configurationCases = [
  probe(
    {
      id: 'CONF/fields/places-and-values',
      doc: 'The configuration holds the limits of the device where the table of its profile places them.',
      requirements: ['CONF-01', 'CONF-02', 'OVR-01', 'OVR-03'],
    },
    context => {
      const bench = new Bench(context, { unstarted: true });
      const { max_rdma_qps, max_rdma_cqs } = fields(bench.me);
      const { maxQps, maxCqs } = bench.limits.device;
      bench.same(
        ['CONF-01'],
        'max_rdma_qps and max_rdma_cqs',
        [max_rdma_qps, max_rdma_cqs],
        [maxQps, maxCqs],
      );
      return bench;
    },
  ),
  probe(
    {
      id: 'CONF/queues/all-there',
      doc: 'Every virtqueue that the profile places exists, with a largest size that is a power of two; no other queue of the map does.',
      requirements: ['CONF-03', 'VQ-01', 'VQ-02'],
    },
    context => {
      const bench = new Bench(context, { unstarted: true });
      const { device, queues, maxQps, maxCqs } = bench.me;
      const expected = [queues.control];
      for (let cqn = 0; cqn < maxCqs; cqn++) expected.push(queues.cq(cqn));
      for (let qpn = 0; qpn < maxQps; qpn++) expected.push(queues.sq(qpn), queues.rq(qpn));
      for (const index of expected) {
        const size = device.queueSizeMax(index);
        if (!(size >= 1 && size <= 32768 && (size & (size - 1)) === 0)) {
          bench.accuse(
            ['VQ-02', 'CONF-03'],
            `the largest size of queue ${index} is ${size}, expected a power of two`,
          );
        }
      }
      bench.same(['CONF-03'], 'the number of virtqueues', device.queueCount, queues.count);
      bench.same(
        ['VQ-10'],
        'the largest size of a queue behind the last',
        device.queueSizeMax(queues.count),
        0,
      );
      return bench;
    },
  ),
  probe(
    {
      id: 'CONF/reading/at-any-time',
      doc: 'The configuration reads the same at power-on, before and after FEATURES_OK, when live and when broken.',
      requirements: ['CONF-04', 'CONF-11', 'RST-35'],
    },
    context => {
      const bench = new Bench(context, { unstarted: true });
      const { me } = bench;
      const first = bytes(me);
      const generation = me.device.configGeneration;
      const again = (when: string): void => {
        bench.same(['CONF-04', 'CONF-11'], `the configuration ${when}`, bytes(me), first);
        bench.same(['CONF-08'], `the generation ${when}`, me.device.configGeneration, generation);
      };
      me.device.writeStatus(1);
      again('with ACKNOWLEDGE');
      me.negotiate(me.wanted());
      again('with FEATURES_OK');
      me.enableAll();
      me.goLive();
      me.must(createPd);
      again('when live');
      me.device.writeStatus(0);
      again('after a reset');
      return bench;
    },
  ),
  probe(
    {
      id: 'CONF/reading/cannot-be-written',
      doc: 'What a driver does to its copy of the configuration does not reach the device.',
      requirements: ['CONF-11'],
    },
    context => {
      const bench = new Bench(context, { unstarted: true });
      const { me } = bench;
      const first = bytes(me);
      const copy = me.device.readConfig();
      for (let i = 0; i < copy.byteLength; i++) copy.setUint8(i, 0xff);
      bench.same(['CONF-11'], 'the configuration', bytes(me), first);
      return bench;
    },
  ),
  probe(
    {
      id: 'CONF/mtu/active-mtu',
      doc: 'mtu is 352 or more, and a path MTU is accepted up to the active MTU that follows from it.',
      requirements: ['CONF-12', 'QP-37'],
    },
    context => {
      const { bench, a, b } = pairOf(context);
      const { mtu } = fields(bench.me);
      if (mtu < 352) bench.accuse(['CONF-12'], `mtu is ${mtu}, expected 352 or more`);
      for (let code = 1; code <= 5 && (128 << code) + 96 <= mtu; code++) {
        const qpn = queuePairIn(bench, a, a.type, QpState.INIT);
        const step = { qpn, ...wayUp(a.type, b.gid, 2)[1], path_mtu: code };
        a.machine.must(modifyQp, step, ['CONF-12', 'QP-37', 'QP-32']);
      }
      return bench;
    },
  ),
  probe(
    {
      id: 'CTRL/query-device/limits',
      doc: 'QUERY_DEVICE and QUERY_PORT answer limits in their ranges, no greater than the virtqueues, with the bits that must be set.',
      requirements: ['CTRL-28', 'CTRL-29', 'CTRL-30', 'CTRL-32', 'CTRL-27'],
    },
    context => {
      const bench = new Bench(context);
      const { me } = bench;
      const device = me.must(queryDevice);
      const port = me.must(queryPort);
      const { queues, maxCqs, maxQps } = me;
      const cqRoom = Math.max(
        ...Array.from({ length: maxCqs }, (_, n) => me.device.queueSizeMax(queues.cq(n))),
      );
      const qpRoom = Math.max(
        ...Array.from({ length: maxQps }, (_, n) => me.device.queueSizeMax(queues.sq(n))),
      );
      if (device.max_cqe > cqRoom)
        bench.accuse(['CTRL-28'], `max_cqe ${device.max_cqe}, rings have ${cqRoom}`);
      if (device.max_qp_wr > qpRoom)
        bench.accuse(['CTRL-28'], `max_qp_wr ${device.max_qp_wr}, rings have ${qpRoom}`);
      bench.same(['CTRL-29'], 'bit 12 of page_size_cap', Math.floor(device.page_size_cap / 4096) % 2, 1);
      bench.same(['CTRL-30'], 'RC_RNR_NAK_GEN', device.device_cap_flags % 2, 1);
      const { gid_tbl_len, max_msg_sz } = port;
      if (!(gid_tbl_len >= 1 && gid_tbl_len <= 256))
        bench.accuse(['CTRL-32'], `gid_tbl_len ${gid_tbl_len}, expected 1..256`);
      if (max_msg_sz > 2 ** 31) bench.accuse(['CTRL-32'], `max_msg_sz ${max_msg_sz}, expected at most 2^31`);
      return bench;
    },
  ),
  probe(
    {
      id: 'CTRL/query-device/unchanging',
      doc: 'QUERY_DEVICE and QUERY_PORT answer the same from one reset to the next and after it, and zero in reserved bytes.',
      requirements: ['CTRL-31', 'RST-35', 'OVR-05'],
    },
    context => {
      const bench = new Bench(context);
      const { me } = bench;
      const ask = (): number[][] =>
        [queryDevice, queryPort].map(({ code, name, result }) => [
          ...me.command(code, new Uint8Array(0), { writable: 1 + result.size }, name).bytes,
        ]);
      const first = ask();
      const [device, port] = first;
      const reserved = [...device.slice(1 + 69, 1 + 128), ...port.slice(1 + 8, 1 + 32)];
      bench.same(
        ['OVR-05'],
        'reserved bytes of both answers',
        reserved.filter(byte => byte !== 0),
        [],
      );
      me.must(createPd);
      bench.same(['CTRL-31'], 'both answers after a command', ask(), first);
      me.start();
      bench.same(['RST-35'], 'both answers after a reset', ask(), first);
      return bench;
    },
  ),
];
