/** Cases about how a message becomes packets, and which numbers they have. */
import { PathMtu, WrOpcode, pathMtuBytes } from '../../../abi/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import { WireBench } from './bench.js';
import { pairOf, successes } from './end.js';
import { isReadResponse, isRequest, textOf } from './packets.js';
import { wireCase } from './wire-case.js';

/** Parts of a message: ONLY, or FIRST, MIDDLEs and LAST. */
function partsOf(length: number, mtu: number): readonly (readonly [part: string, bytes: number])[] {
  if (length <= mtu) return [['ONLY', length]];
  const count = Math.ceil(length / mtu);
  return Array.from({ length: count }, (_, i) => {
    if (i === count - 1) return ['LAST', length - i * mtu];
    return [i === 0 ? 'FIRST' : 'MIDDLE', mtu];
  });
}

/** Lengths around each path MTU, some of one packet and some of several. */
const sizes = [
  { pathMtu: PathMtu.MTU_256, lengths: [0, 1, 255, 256, 257, 512, 600] },
  { pathMtu: PathMtu.MTU_1024, lengths: [1023, 1024, 1025, 3000] },
] as const;

/** Verbs, the packets that carry their bytes, and the services that have them. */
const verbs = [
  { opcode: WrOpcode.SEND, carrier: 'SEND', carries: isRequest, services: ['RC', 'UC'] },
  { opcode: WrOpcode.RDMA_WRITE, carrier: 'WRITE', carries: isRequest, services: ['RC', 'UC'] },
  { opcode: WrOpcode.RDMA_READ, carrier: 'READ_RESPONSE', carries: isReadResponse, services: ['RC'] },
] as const;

function packetCase(service: 'RC' | 'UC'): ConformanceCase {
  return wireCase(
    {
      id: `DATA/wire/${service.toLowerCase()}-packets-of-the-path-mtu`,
      doc: `Messages on ${service} around the path MTU go as packets that are full but for the last, and as one packet where they fit.`,
      requirements: ['DATA-73', 'DATA-74'],
      services: [service],
    },
    async context => {
      const benches: WireBench[] = [];
      for (const { pathMtu, lengths } of sizes) {
        const bench = await WireBench.of(context);
        benches.push(bench);
        const [a, b] = await pairOf(bench, { pathMtu }, service);
        const mtu = pathMtuBytes(pathMtu);
        let psn = 0;
        for (const { opcode, carrier, carries, services } of verbs) {
          if (!services.some(each => each === service)) continue;
          for (const length of lengths) {
            if (opcode === WrOpcode.SEND) b.recv(1, b.sges(8192, length));
            a.send(1, { opcode, sges: a.sges(0, length), ...b.remote(16384) });
            await bench.rest();
            const parts = partsOf(length, mtu);
            const first = psn;
            psn += parts.length;
            const name = service === 'RC' ? carrier : `${service} ${carrier}`;
            bench.same(
              ['DATA-73', 'DATA-74'],
              `${carrier} packets of ${length} bytes on ${service} with a path MTU of ${mtu}`,
              bench.heard(carries).map(packet => [textOf(packet), packet.payloadLength]),
              parts.map(([part, bytes], i) => [`${name}_${part} ${first + i}`, bytes]),
            );
            bench.same(['DATA-73'], `completions of ${length} bytes`, a.sends(), successes(1));
          }
        }
      }
      return benches;
    },
  );
}

const numbers: ConformanceCase = wireCase(
  {
    id: 'DATA/wire/numbers-modulo-2-24',
    doc: 'A send, a read and a send that begin two below 2^24 have numbers one behind the other, the read one for each response.',
    requirements: ['DATA-74'],
  },
  async context => {
    const bench = await WireBench.of(context);
    const psn = 0xff_fffe;
    const [a, b] = await pairOf(bench, { sqPsn: psn, rqPsn: psn });
    b.recv(1, b.sges(8192, 600));
    b.recv(2);
    a.send(1, { sges: a.sges(0, 600) });
    a.read(2, 1024, 600, b.remote(0));
    a.send(3);
    await bench.rest();
    const packets = bench.heard();
    bench.same(['DATA-74'], 'requests from sq_psn 16777214 on', packets.filter(isRequest).map(textOf), [
      'SEND_FIRST 16777214',
      'SEND_MIDDLE 16777215',
      'SEND_LAST 0',
      'READ_REQUEST 1',
      'SEND_ONLY 4',
    ]);
    bench.same(['DATA-74'], 'responses of the read', packets.filter(isReadResponse).map(textOf), [
      'READ_RESPONSE_FIRST 1',
      'READ_RESPONSE_MIDDLE 2',
      'READ_RESPONSE_LAST 3',
    ]);
    bench.same(['DATA-74'], 'completions', a.sends(), successes(1, 2, 3));
    return bench;
  },
);

export const numberingCases: readonly ConformanceCase[] = [packetCase('RC'), packetCase('UC'), numbers];
