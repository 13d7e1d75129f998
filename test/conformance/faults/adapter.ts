/** Faults of the adapter below a sound device, and of the network that joins adapters. */
import { WcStatus } from '../../../src/abi/index.js';
import type { Implementation } from '../../../src/conformance/index.js';
import type { HcaQp, HcaQpOwner } from '../../../src/reference/index.js';
import { PacketOperation, operationOf } from '../../../src/fabric/index.js';
import type { Packet } from '../../../src/fabric/index.js';
import { adapterFault, every, from, overlay } from './fault.js';
import type { Fault } from './fault.js';

/** Meddles with packets on their way. */
function packets(meddle: () => (packet: Packet) => void): Implementation {
  return {
    network(fabric) {
      fabric.observe({ sent: meddle(), delivered: () => undefined, dropped: () => undefined });
    },
  };
}

const isAnswer = (packet: Packet): boolean => operationOf(packet.opcode) === PacketOperation.ACKNOWLEDGE;

/** Nobody has it. */
const NOBODY = 'fe80000000000000ffffffffffffffff';

export const adapterFaults: readonly Fault[] = [
  {
    name: 'done before it is done',
    where: 'adapter',
    description: 'A send leaves its queue when it is posted.',
    implementation: adapterFault(hca => {
      const owners = new Map<HcaQp, HcaQpOwner>();
      return {
        createQp(pd, init, owner, qpNum) {
          const late = overlay(owner, { sendRetired: () => undefined });
          const qp = hca.createQp(pd, init, late, qpNum);
          owners.set(qp, owner);
          return qp;
        },
        postSend(qp, request, cookie) {
          hca.postSend(qp, request, cookie);
          owners.get(qp)?.sendRetired(qp, cookie);
        },
      };
    }),
  },
  {
    name: 'flushes forgotten',
    where: 'adapter',
    description: 'Of the flush completions of a completion queue only the first two come.',
    implementation: adapterFault(hca => {
      const lost = new Set<number>();
      return {
        createCq(cqe, owner) {
          const due = from(3);
          return hca.createCq(
            cqe,
            overlay(owner, {
              completionAdded(which, completion, solicited) {
                if (completion.status === WcStatus.WR_FLUSH_ERR && due()) lost.add(completion.wrId);
                else owner.completionAdded(which, completion, solicited);
              },
            }),
          );
        },
        pollCq(cq, completions, max) {
          for (;;) {
            const count = hca.pollCq(cq, completions, max);
            if (count !== 1 || !lost.delete(completions[0].wrId)) return count;
          }
        },
      };
    }),
    needs: 'history',
    shrunkMax: 16,
  },
  {
    name: 'payload byte flipped',
    where: 'network',
    description: 'The first byte of every fourth packet with a payload is changed.',
    needs: 'history',
    shrunkMax: 24,
    implementation: packets(() => {
      const due = every(4);
      return packet => {
        if (packet.payloadLength > 0 && due()) packet.payload[0] ^= 0xff;
      };
    }),
  },
  {
    name: 'NAK taken for ACK',
    where: 'network',
    description: 'Negative acknowledgements become positive ones.',
    shrunkMax: 14,
    implementation: packets(() => packet => {
      if (isAnswer(packet) && packet.syndrome >= 0x20) packet.syndrome = 0x1f;
    }),
  },
  {
    name: 'acknowledgement of the future',
    where: 'network',
    description: 'Every fifth acknowledgement is one of the packet behind the one received.',
    implementation: packets(() => {
      const due = every(5);
      return packet => {
        if (isAnswer(packet) && due()) packet.psn = (packet.psn + 1) & 0xffffff;
      };
    }),
    needs: 'race',
    programs: 300,
    shrunkMax: 24,
  },
  {
    name: 'sequence numbers not checked',
    where: 'network',
    description: 'A message that comes again is taken for a new one: its number is moved on.',
    implementation: packets(() => {
      const next = new Map<string, number>();
      return packet => {
        if (operationOf(packet.opcode) > PacketOperation.SEND_ONLY_IMM) return;
        const key = `${packet.destinationGid} ${packet.destQpn} ${packet.sourceQpn}`;
        const expected = next.get(key);
        if (expected !== undefined && packet.transmission > 0) packet.psn = expected;
        next.set(key, (packet.psn + 1) & 0xffffff);
      };
    }),
    needs: 'race',
    programs: 300,
    shrunkMax: 24,
  },
  {
    name: 'write goes one byte further',
    where: 'network',
    description: 'The address of every write is one byte too high.',
    implementation: packets(() => packet => {
      const operation = operationOf(packet.opcode);
      const first =
        operation === PacketOperation.WRITE_FIRST ||
        operation === PacketOperation.WRITE_ONLY ||
        operation === PacketOperation.WRITE_ONLY_IMM;
      if (first) packet.virtualAddress++;
    }),
    shrunkMax: 14,
  },
  {
    name: 'datagrams to the wrong machine',
    where: 'network',
    description: 'From the third datagram on nobody gets them.',
    implementation: packets(() => {
      const due = from(3);
      return packet => {
        if (packet.opcode >= 0x60 && due()) packet.destinationGid = NOBODY;
      };
    }),
    needs: 'history',
    suites: ['settled'],
    shrunkMax: 20,
  },
  {
    name: 'solicited bit lost',
    where: 'network',
    description: 'Packets do not carry the solicited event bit.',
    implementation: packets(() => packet => {
      packet.solicited = false;
    }),
    suites: ['settled'],
    programs: 200,
    shrunkMax: 16,
  },
];
