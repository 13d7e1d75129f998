/** Adapters below a sound device, and networks between adapters, that are wrong: what a device that is one with its adapter may do. */
import { QpState, WcStatus, pathMtuBytes } from '../../abi/index.js';
import { PacketOperation, operationOf } from '../../fabric/index.js';
import type { Packet } from '../../fabric/index.js';
import type { HcaFunction, HcaQp, HcaQpOwner } from '../../reference/index.js';
import { VerbsError } from '../../verbs/index.js';
import type { Implementation } from '../implementation.js';
import { mutant } from './mutant.js';
import type { Mutant, MutantFacts } from './mutant.js';
import {
  NOBODY,
  adapter,
  arrived,
  isAnswer,
  isDatagram,
  isNak,
  isReadResponse,
  isReliable,
  isRequest,
  isRnr,
  sent,
} from './seams/network.js';
import { every, from, overlay } from './seams/overlay.js';

type Facts = Omit<MutantFacts, 'chapter'> & Partial<MutantFacts>;

/** Packets are changed as they leave. */
function leaving(name: string, facts: Facts, doc: string, make: () => (packet: Packet) => void): Mutant {
  return mutant('network', name, { chapter: 'data path', ...facts }, doc, sent(make));
}
/** Packets are changed as they arrive. */
function arriving(name: string, facts: Facts, doc: string, make: () => (packet: Packet) => void): Mutant {
  return mutant('network', name, { chapter: 'data path', ...facts }, doc, arrived(make));
}
function adapting(name: string, facts: Facts, doc: string, change: Parameters<typeof adapter>[0]): Mutant {
  return mutant('adapter', name, { chapter: 'data path', ...facts }, doc, adapter(change));
}

function lose(packet: Packet): void {
  packet.destinationGid = NOBODY;
}
/** Takes a packet that has arrived for one to no queue pair. */
function ignore(packet: Packet): void {
  packet.destQpn = 0;
}

const isFirstOfWrite = (packet: Packet): boolean => {
  const operation = operationOf(packet.opcode);
  return (
    operation === PacketOperation.WRITE_FIRST ||
    operation === PacketOperation.WRITE_ONLY ||
    operation === PacketOperation.WRITE_ONLY_IMM
  );
};
const isRead = ({ opcode }: Packet): boolean => operationOf(opcode) === PacketOperation.READ_REQUEST;
const isUc = ({ opcode }: Packet): boolean => opcode >= 0x20 && opcode < 0x60;

const packets: readonly Mutant[] = [
  leaving(
    'payload-byte-flipped',
    { breaks: 'DATA-37 DATA-38 ERR-22', needs: 'history' },
    'The first byte of every fourth packet with a payload is changed.',
    () => {
      const due = every(4);
      return packet => {
        if (packet.payloadLength > 0 && due()) packet.payload[0] ^= 0xff;
      };
    },
  ),
  leaving(
    'nak-taken-for-ack',
    { chapter: 'errors and statuses', breaks: 'ERR-22 DATA-59 QP-45' },
    'Negative acknowledgements become positive ones.',
    () => packet => {
      if (isAnswer(packet) && packet.syndrome >= 0x20) packet.syndrome = 0x1f;
    },
  ),
  leaving(
    'acknowledgement-of-the-future',
    { chapter: 'wraps', breaks: 'DATA-59 ERR-22', needs: 'race' },
    'Every fifth acknowledgement is one of the packet behind the one received.',
    () => {
      const due = every(5);
      return packet => {
        if (isAnswer(packet) && due()) packet.psn = (packet.psn + 1) & 0xffffff;
      };
    },
  ),
  leaving(
    'repeated-packet-carried-out-again',
    { chapter: 'wraps', breaks: 'DATA-60 DATA-77', needs: 'race' },
    'A message that comes again is taken for a new one: its number is moved on.',
    () => {
      const next = new Map<string, number>();
      return packet => {
        if (operationOf(packet.opcode) > PacketOperation.SEND_ONLY_IMM) return;
        const key = `${packet.destinationGid} ${packet.destQpn} ${packet.sourceQpn}`;
        const expected = next.get(key);
        if (expected !== undefined && packet.transmission > 0) packet.psn = expected;
        next.set(key, (packet.psn + 1) & 0xffffff);
      };
    },
  ),
  leaving(
    'write-one-byte-further',
    { chapter: 'keys and bounds', breaks: 'ERR-23 MEM-21' },
    'The address of every write is one byte too high.',
    () => packet => {
      if (isFirstOfWrite(packet)) packet.virtualAddress++;
    },
  ),
  leaving(
    'datagrams-to-nobody',
    { breaks: 'DATA-55 OVR-10', needs: 'history' },
    'From the third datagram on nobody gets them.',
    () => {
      const due = from(3);
      return packet => {
        if (isDatagram(packet) && due()) lose(packet);
      };
    },
  ),
  leaving(
    'solicited-bit-lost',
    { chapter: 'completions', breaks: 'CQ-39' },
    'Packets do not carry the solicited event bit.',
    () => packet => {
      packet.solicited = false;
    },
  ),
  leaving(
    'solicited-bit-of-every-packet',
    { chapter: 'completions', breaks: 'DATA-11 CQ-41' },
    'Every packet carries the solicited event bit.',
    () => packet => {
      packet.solicited = true;
    },
  ),
  leaving(
    'immediate-of-the-message-before',
    { breaks: 'CQ-24 DATA-09', needs: 'history' },
    'Immediate data is that of the message before.',
    () => {
      let last = 0;
      return packet => {
        const now = packet.immediate;
        packet.immediate = last;
        if (now !== 0) last = now;
      };
    },
  ),
  leaving(
    'flow-label-not-sent',
    { breaks: 'DATA-50' },
    'The flow label of a datagram is not put into its packet.',
    () => packet => {
      if (isDatagram(packet)) packet.flowLabel = 0;
    },
  ),
  leaving(
    'hop-limit-one-too-low',
    { breaks: 'DATA-50' },
    'The hop limit is one lower than in the address handle.',
    () => packet => {
      packet.hopLimit = Math.max(0, packet.hopLimit - 1);
    },
  ),
  leaving(
    'traffic-class-not-sent',
    { breaks: 'DATA-50' },
    'The traffic class is not put into the packet.',
    () => packet => {
      packet.trafficClass = 0;
    },
  ),
  leaving(
    'source-gid-of-nobody',
    { chapter: 'isolation', breaks: 'ISO-09 DATA-50' },
    'A datagram has a source GID that is in no table.',
    () => packet => {
      if (isDatagram(packet)) packet.sourceGid = 'fe80000000000000aaaaaaaaaaaaaaaa';
    },
  ),
  leaving(
    'source-number-one-too-high',
    { chapter: 'completions', breaks: 'CQ-25' },
    'A datagram names the queue pair behind its sender.',
    () => packet => {
      if (isDatagram(packet)) packet.sourceQpn++;
    },
  ),
  leaving(
    'qkey-of-all',
    { chapter: 'isolation', breaks: 'ISO-13 DATA-54' },
    'A Q_Key with the highest bit set is sent as zero.',
    () => packet => {
      if (packet.qkey >>> 31 === 1) packet.qkey = 0;
    },
  ),
  leaving(
    'last-byte-not-sent',
    { chapter: 'lengths', breaks: 'DATA-46 ERR-22 DATA-45' },
    'A message of one packet of more than one byte is one byte short.',
    () => packet => {
      if (operationOf(packet.opcode) === PacketOperation.SEND_ONLY && packet.payloadLength > 1)
        packet.payloadLength--;
    },
  ),
  leaving(
    'packet-of-more-than-the-mtu',
    { chapter: 'lengths', breaks: 'DATA-73' },
    'A first packet is one byte shorter than the path MTU.',
    () => packet => {
      if (operationOf(packet.opcode) === PacketOperation.SEND_FIRST) packet.payloadLength--;
    },
  ),
  leaving(
    'retransmissions-lost',
    { breaks: 'DATA-61 DATA-70', needs: 'race' },
    'A packet that is sent again does not leave.',
    () => packet => {
      if (packet.transmission > 0) lose(packet);
    },
  ),
  leaving(
    'acknowledgements-lost',
    { breaks: 'DATA-59 DATA-61', needs: 'history' },
    'From the fourth on no acknowledgement leaves.',
    () => {
      const due = from(4);
      return packet => {
        if (isAnswer(packet) && due()) lose(packet);
      };
    },
  ),
  leaving(
    'receiver-not-ready-lost',
    { breaks: 'DATA-70 ERR-18' },
    'A receiver-not-ready NAK does not leave.',
    () => packet => {
      if (isRnr(packet)) lose(packet);
    },
  ),
  leaving(
    'receiver-not-ready-is-an-error',
    { chapter: 'errors and statuses', breaks: 'DATA-70 DATA-72 ERR-18' },
    'A receiver-not-ready NAK is one of an invalid request.',
    () => packet => {
      if (isRnr(packet)) packet.syndrome = 0x61;
    },
  ),
  leaving(
    'sequence-error-is-an-access-error',
    { chapter: 'errors and statuses', breaks: 'DATA-75 DATA-61', needs: 'race' },
    'A NAK of a sequence error is one of an access error.',
    () => packet => {
      if (packet.syndrome === 0x60 && isAnswer(packet)) packet.syndrome = 0x62;
    },
  ),
  leaving(
    'access-error-is-an-invalid-request',
    { chapter: 'errors and statuses', breaks: 'ERR-15 ERR-14' },
    'A NAK of an access error is one of an invalid request.',
    () => packet => {
      if (packet.syndrome === 0x62 && isNak(packet)) packet.syndrome = 0x61;
    },
  ),
  leaving(
    'operation-error-is-an-access-error',
    { chapter: 'errors and statuses', breaks: 'ERR-17' },
    'A NAK of an operation error is one of an access error.',
    () => packet => {
      if (packet.syndrome === 0x63 && isNak(packet)) packet.syndrome = 0x62;
    },
  ),
  leaving(
    'read-response-flipped',
    { breaks: 'ORD-08 DATA-78', needs: 'history' },
    'The last byte of every second read response is changed.',
    () => {
      const due = every(2);
      return packet => {
        if (isReadResponse(packet) && packet.payloadLength > 0 && due())
          packet.payload[packet.payloadLength - 1] ^= 1;
      };
    },
  ),
  leaving(
    'second-read-response-lost',
    { breaks: 'DATA-80', needs: 'race' },
    'The first packet of a read response never leaves where it is one of several.',
    () => packet => {
      if (operationOf(packet.opcode) === PacketOperation.READ_RESPONSE_FIRST) lose(packet);
    },
  ),
  leaving(
    'no-packets-to-oneself',
    { breaks: 'DATA-55 DATA-66' },
    'A packet to the own port is lost.',
    () => packet => {
      if (packet.sourceGid === packet.destinationGid) lose(packet);
    },
  ),
  leaving(
    'one-direction-at-a-time',
    { breaks: 'DATA-65', needs: 'race' },
    'A request that leaves while one from the other side is on its way is lost.',
    () => {
      const last = new Map<string, number>();
      let clock = 0;
      return packet => {
        clock++;
        if (!isReliable(packet) || !isRequest(packet)) return;
        const other = last.get(`${packet.destQpn} ${packet.sourceQpn}`);
        if (other !== undefined && clock - other < 2) lose(packet);
        last.set(`${packet.sourceQpn} ${packet.destQpn}`, clock);
      };
    },
  ),
  arriving(
    'uc-sequence-checked',
    { breaks: 'DATA-58', needs: 'history' },
    'A UC message whose number is not the next is dropped.',
    () => {
      const next = new Map<string, number>();
      return packet => {
        if (!isUc(packet)) return;
        const key = `${packet.destinationGid} ${packet.destQpn}`;
        const expected = next.get(key) ?? 0;
        if (packet.psn === expected) next.set(key, (expected + 1) & 0xff_ffff);
        else ignore(packet);
      };
    },
  ),
  arriving(
    'reads-one-at-a-time',
    { chapter: 'limits', breaks: 'DATA-64 DATA-62', needs: 'history' },
    'Every third read request is dropped on arrival, also when it comes again.',
    () => {
      const due = every(3);
      const dropped = new Set<string>();
      return packet => {
        if (!isRead(packet)) return;
        const key = `${packet.destQpn} ${packet.psn}`;
        if (due()) dropped.add(key);
        if (dropped.has(key)) ignore(packet);
      };
    },
  ),
];

/** What an adapter and the network know together: whose queue pair a packet is for. */
function knowing(
  onArrival: (
    packet: Packet,
    /** Whose it is for. */
    to: (packet: Packet) => Known | undefined,
    /** Who sent it. */
    by: (packet: Packet) => Known | undefined,
  ) => void,
): Implementation {
  const owner = new Map<string, number>();
  const pairs = new Map<string, Known>();
  const to = (packet: Packet): Known | undefined =>
    pairs.get(`${owner.get(packet.destinationGid)} ${packet.destQpn}`);
  const by = (packet: Packet): Known | undefined =>
    pairs.get(`${owner.get(packet.sourceGid)} ${packet.sourceQpn}`);
  return {
    adapter(inner, vm) {
      if (vm === 0) {
        owner.clear();
        pairs.clear();
      }
      return overlay(inner, {
        addGid(index, gid) {
          inner.addGid(index, gid);
          owner.set(gid, vm);
        },
        createQp(pd, init, qpOwner, qpNum) {
          const qp = inner.createQp(pd, init, qpOwner, qpNum);
          pairs.set(`${vm} ${qp.qpNum}`, { inner, qp });
          return qp;
        },
        destroyQp(qp) {
          inner.destroyQp(qp);
          pairs.delete(`${vm} ${qp.qpNum}`);
        },
      });
    },
    network(fabric) {
      fabric.observe({
        sent: () => undefined,
        delivered: packet => onArrival(packet, to, by),
        dropped: () => undefined,
      });
    },
  };
}
interface Known {
  readonly inner: HcaFunction;
  readonly qp: HcaQp;
}

/** Nothing reaches a queue pair in this state. */
function deaf(state: QpState, name: string, breaks: string): Mutant {
  return mutant(
    'adapter',
    `deaf-in-${name}`,
    { chapter: 'queue pair states and masks', breaks },
    `A queue pair in ${name.toUpperCase()} drops the requests of its peer.`,
    knowing((packet, of) => {
      const known = of(packet);
      if (known !== undefined && isRequest(packet) && known.inner.queryQp(known.qp).qpState === state)
        ignore(packet);
    }),
  );
}

const receiving: readonly Mutant[] = [
  deaf(QpState.RTR, 'rtr', 'QP-21'),
  deaf(QpState.SQD, 'sqd', 'QP-21'),
  deaf(QpState.SQE, 'sqe', 'QP-21 QP-61'),
  mutant(
    'adapter',
    'any-qkey',
    { chapter: 'isolation', breaks: 'ISO-13' },
    'A datagram is taken whatever its Q_Key.',
    knowing((packet, of) => {
      const known = of(packet);
      if (known !== undefined && isDatagram(packet)) packet.qkey = known.inner.queryQp(known.qp).qkey;
    }),
  ),
  mutant(
    'adapter',
    'any-peer',
    { chapter: 'isolation', breaks: 'ISO-12 RST-29' },
    'A packet for a connected queue pair is taken from anybody.',
    knowing((packet, of) => {
      const known = of(packet);
      if (known === undefined || isDatagram(packet)) return;
      const { destQpNum, ahAttr } = known.inner.queryQp(known.qp);
      packet.sourceQpn = destQpNum;
      packet.sourceGid = ahAttr?.dgid ?? packet.sourceGid;
    }),
  ),
  mutant(
    'adapter',
    'datagram-longer-than-its-receive',
    { chapter: 'lengths', breaks: 'DATA-52 ERR-20' },
    'A datagram for which there is no receive moves its queue pair to ERR.',
    knowing((packet, of) => {
      const known = of(packet);
      if (known === undefined || !isDatagram(packet) || packet.payloadLength < pathMtuBytes(1)) return;
      if (known.inner.queryQp(known.qp).qpState === QpState.RTS)
        known.inner.modifyQp(known.qp, { qpState: QpState.ERR });
    }),
  ),
  mutant(
    'adapter',
    'nak-leaves-the-responder-alone',
    { chapter: 'errors and statuses', breaks: 'QP-53' },
    'A responder that has answered with a NAK is shown in the state that it was in.',
    shownAs(),
  ),
  mutant(
    'adapter',
    'responder-fails-with-its-requester',
    { chapter: 'errors and statuses', breaks: 'DATA-72' },
    'A responder that has sent a receiver-not-ready NAK moves to ERR.',
    knowing((packet, _to, by) => {
      const responder = isRnr(packet) ? by(packet) : undefined;
      if (responder !== undefined && responder.inner.queryQp(responder.qp).qpState >= QpState.RTR)
        responder.inner.modifyQp(responder.qp, { qpState: QpState.ERR });
    }),
  ),
];

/** A queue pair that went to ERR by an error of its own receives is shown where it was. */
function shownAs(): Implementation {
  return adapter(hca => {
    const set = new Map<HcaQp, QpState>();
    return {
      modifyQp(qp, attributes) {
        hca.modifyQp(qp, attributes);
        if (attributes.qpState !== undefined) set.set(qp, attributes.qpState);
      },
      queryQp(qp) {
        const shown = hca.queryQp(qp);
        const told = set.get(qp);
        return shown.qpState === QpState.ERR && told === QpState.RTR ? { ...shown, qpState: told } : shown;
      },
    };
  });
}

const adapters: readonly Mutant[] = [
  adapting(
    'done-before-it-is-done',
    { breaks: 'DATA-27 DATA-59' },
    'A send leaves its queue when it is posted.',
    hca => {
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
    },
  ),
  adapting(
    'flushes-forgotten',
    { chapter: 'flush order', breaks: 'QP-48 CQ-01', needs: 'history' },
    'Of the flush completions of a completion queue only the first two come.',
    hca => {
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
    },
  ),
  adapting(
    'keys-shared-by-machines',
    { chapter: 'isolation', breaks: 'ISO-16 RST-22', needs: 'history' },
    'All machines together may have as many regions as one.',
    sharedLimit(),
  ),
  adapting(
    'post-forgets-its-last-element',
    { breaks: 'DATA-37', needs: 'history' },
    'Of every third send with several elements the last is left out.',
    hca => {
      const due = every(3);
      return {
        postSend(qp, request, cookie) {
          const cut = request.sges.length > 1 && due();
          hca.postSend(qp, cut ? { ...request, sges: request.sges.slice(0, -1) } : request, cookie);
        },
      };
    },
  ),
  adapting(
    'deregistered-in-name-only',
    { chapter: 'stale state', breaks: 'RST-16 RST-17', needs: 'history' },
    'Every second region that is deregistered stays.',
    hca => {
      const due = every(2);
      return {
        deregisterMr(mr) {
          if (!due()) hca.deregisterMr(mr);
        },
      };
    },
  ),
];

/** Regions of all machines of a world count together. */
function sharedLimit(): (inner: HcaFunction, vm: number) => Partial<HcaFunction> {
  let count = 0;
  return (hca, vm) => {
    if (vm === 0) count = 0;
    return {
      registerMr(pd, init) {
        if (count >= hca.attributes.maxMr) throw new VerbsError('ENOMEM', 'registerMr', 'all are taken');
        const mr = hca.registerMr(pd, init);
        count++;
        return mr;
      },
      deregisterMr(mr) {
        hca.deregisterMr(mr);
        count--;
      },
    };
  };
}

export const networkMutants: readonly Mutant[] = [...packets, ...receiving, ...adapters];
