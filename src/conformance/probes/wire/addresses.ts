/** Cases about who a packet is from and for: source GIDs, headers, hosts, and queue pairs that are gone. */
import { WcFlag, WrOpcode } from '../../../abi/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import { gidOf, patternBytes } from '../../patterns.js';
import { OTHER_PEER_GID, PEER_GID, WireBench } from './bench.js';
import { datagramTo } from './delivery.js';
import { End, pairOf, successes } from './end.js';
import { Forger, PEER_QPN } from './forger.js';
import { isRequest } from './packets.js';
import { wireCase } from './wire-case.js';

const sourceGid = wireCase(
  {
    id: 'ISO/wire/source-gid-of-the-own-table',
    doc: 'Every packet bears the source GID that its address vector names in the table of its machine, and none one that was removed.',
    requirements: ['ISO-09', 'RST-20'],
    services: ['RC', 'UD'],
  },
  async context => {
    const bench = await WireBench.of(context);
    const [a, b] = await pairOf(bench, { retryCnt: 1, timeout: 8 });
    const second = await End.of(bench, 0, { gidIndex: 1, beside: a });
    await second.raise({ gid: b.gid, qpn: 0x1234 }, { retryCnt: 0, timeout: 8 });
    const loud = await End.of(bench, 0, { service: 'UD', gidIndex: 1, beside: second });
    await loud.raise(b);
    b.recv(1);
    a.send(1);
    a.read(2, 0, 600, b.remote(0));
    await bench.rest();
    const seen = (): readonly string[] =>
      [...new Set(bench.heard().map(packet => packet.sourceGid))].toSorted();
    const both = [a.gid, b.gid].toSorted();
    bench.same(['ISO-09'], 'source GIDs of a send, a read and what answers them', seen(), both);
    second.send(3);
    loud.send(4, await datagramTo(loud, b));
    await bench.rest();
    bench.same(['ISO-09'], 'source GIDs of a send and a datagram by table entry 1', seen(), [gidOf(0, 1)]);
    await bench.call('delGid', a.machine.verbs.delGid(0));
    a.send(5);
    await bench.rest();
    bench.same(['ISO-09', 'RST-20'], 'source GIDs when the table entry of the sender is empty', seen(), []);
    return bench;
  },
);

const onlyPackets = wireCase(
  {
    id: 'OVR/wire/between-hosts-in-packets',
    doc: 'Messages to another host are in RoCE v2 packets, byte by byte, and nothing arrives of messages whose packets are all lost.',
    requirements: ['OVR-12'],
    services: ['RC'],
  },
  async context => {
    const LENGTH = 600;
    const SENT_AT = 32 * 1024;
    const bench = await WireBench.of(context);
    const [a, b] = await pairOf(bench, { retryCnt: 1, timeout: 8 });
    const bytes = patternBytes(5, LENGTH);
    a.guest.writeArena(0, bytes);
    const send = (): void => {
      b.recv(1, b.sges(SENT_AT, LENGTH));
      a.send(2, { opcode: WrOpcode.RDMA_WRITE, sges: a.sges(0, LENGTH), ...b.remote(0) });
      a.send(3, { sges: a.sges(0, LENGTH) });
    };
    send();
    await bench.rest();
    bench.same(['OVR-12'], 'completions', [a.sends(), b.receives()], [successes(2, 3), successes(1)]);
    const carried = bench.heard(isRequest).flatMap(({ payload }) => [...payload]);
    bench.same(['OVR-12'], 'bytes in the packets of a write and a send', carried, [...bytes, ...bytes]);
    const untouched = new Uint8Array(LENGTH);
    for (const at of [0, SENT_AT]) b.guest.writeArena(at, untouched);
    bench.lose(() => true);
    send();
    await bench.rest();
    const failed = ['2 RETRY_EXC_ERR', '3 WR_FLUSH_ERR'];
    bench.same(['OVR-12'], 'completions when all packets are lost', [a.sends(), b.receives()], [failed, []]);
    for (const at of [0, SENT_AT]) {
      if (b.guest.differenceFrom(at, untouched, 0, LENGTH) >= 0)
        bench.accuse(['OVR-12'], `bytes arrived at ${at} of the other host although every packet was lost`);
    }
    return bench;
  },
);

const GRH_BYTES = 40;
const IPV4_AT = 20;

const ipv4 = wireCase(
  {
    id: 'DATA/wire/ipv4-header-before-a-datagram',
    doc: 'Between IPv4-mapped GIDs the 40 bytes before a datagram are 20 of zero and the IPv4 header of its packet.',
    requirements: ['DATA-51'],
    services: ['UD'],
  },
  async context => {
    const LENGTH = 16;
    const bench = await WireBench.of(context);
    const mapped = (last: number): string => `00000000000000000000ffff0a00000${last}`;
    const [a, b] = [
      await End.of(bench, 0, { service: 'UD', gid: mapped(1) }),
      await End.of(bench, 1, { service: 'UD', gid: mapped(2) }),
    ];
    await a.raise(b);
    await b.raise(a);
    b.recv(1, b.sges(64, GRH_BYTES + LENGTH));
    a.send(2, { sges: a.sges(0, LENGTH), ...(await datagramTo(a, b)) });
    await bench.rest();
    const [received] = b.polledReceives().map(({ byteLen, wcFlags }) => [byteLen, wcFlags]);
    bench.same(['DATA-51'], 'length and flags of the receive', received, [GRH_BYTES + LENGTH, WcFlag.GRH]);
    const route = b.guest.readArena(64, GRH_BYTES);
    const zeros = [...route.subarray(0, IPV4_AT)];
    bench.same(
      ['DATA-51'],
      'the first 20 bytes',
      zeros,
      Array.from({ length: IPV4_AT }, () => 0),
    );
    const header = route.subarray(IPV4_AT);
    // IPv4 header 20, UDP 8, base header 12, datagram header 8, payload, checksum 4.
    const totalLength = 20 + 8 + 12 + 8 + LENGTH + 4;
    const expected = { version: 0x45, totalLength, hopLimit: 64, protocol: 17, checksum: 0xffff };
    const places = { from: [10, 0, 0, 1], to: [10, 0, 0, 2] };
    bench.same(['DATA-51'], 'the IPv4 header', readIpv4(header), { ...expected, ...places });
    return bench;
  },
);

/** The fields of an IPv4 header that its packet decides; the sum over a sound header is 0xffff. */
function readIpv4(header: Uint8Array) {
  const word = (at: number): number => (header[at] << 8) | header[at + 1];
  let sum = 0;
  for (let at = 0; at < header.length; at += 2) sum += word(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return {
    version: header[0],
    totalLength: word(2),
    hopLimit: header[8],
    protocol: header[9],
    checksum: sum,
    from: [...header.subarray(12, 16)],
    to: [...header.subarray(16, 20)],
  };
}

const stale = wireCase(
  {
    id: 'RST/wire/packets-of-an-earlier-queue-pair',
    doc: 'Packets for a queue pair that was destroyed complete no receive of the next one of its number, which has another peer.',
    requirements: ['RST-29', 'ISO-12'],
  },
  async context => {
    /** As many as a machine can have: one of them has the number again, if it is ever used again. */
    const TRIES = 16;
    const forger = await Forger.opposite(context);
    const { bench, end } = forger;
    bench.claim(OTHER_PEER_GID);
    for (const wrId of [1, 2]) end.recv(wrId);
    await forger.send('SEND_ONLY', 0);
    bench.same(['DATA-60'], 'receives of the first queue pair', end.receives(), successes(1));
    await end.destroy();
    const late: End[] = [];
    for (let i = 0; i < TRIES && late.at(-1)?.qpn !== end.qpn; i++) {
      const next = await End.of(bench, 0, { beside: end });
      late.push(next);
      await next.raise({ gid: OTHER_PEER_GID, qpn: PEER_QPN + 1 }, { timeout: 0, rqPsn: 1 });
      next.recv(100 + i);
    }
    bench.heard();
    const from = { sourceGid: PEER_GID, sourceQpn: PEER_QPN };
    await forger.send('SEND_ONLY', 1, from);
    await forger.send('WRITE_ONLY_IMM', 1, from);
    bench.hears(['RST-29', 'ISO-12'], `answers to late packets for queue pair ${end.qpn}`, []);
    const found = late[0].receives();
    bench.same(['RST-29', 'ISO-12'], 'receives of later queue pairs that they completed', found, []);
    const reused = late.find(({ qpn }) => qpn === end.qpn);
    if (reused !== undefined) {
      const own = { sourceGid: OTHER_PEER_GID, sourceQpn: PEER_QPN + 1 };
      await forger.send('SEND_ONLY', 1, own);
      const done = reused.receives().length;
      bench.same(['RST-29'], 'receives completed by a packet of the new peer', done, 1);
    }
    return bench;
  },
);

export const addressCases: readonly ConformanceCase[] = [sourceGid, onlyPackets, ipv4, stale];
