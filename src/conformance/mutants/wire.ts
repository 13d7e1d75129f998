/** Adapters and networks that break the rules of the transport: what shows only in the packets, and in when they leave. */
import { QpType, SendFlag, WrOpcode } from '../../abi/index.js';
import { PacketOperation, operationOf } from '../../fabric/index.js';
import type { Packet } from '../../fabric/index.js';
import type { HcaFunction, HcaMr, HcaMrInit, HcaQp, HcaQpOwner } from '../../reference/index.js';
import type { DmaMemory } from '../../verbs/index.js';
import type { Implementation } from '../implementation.js';
import { mutant } from './mutant.js';
import type { Mutant, MutantFacts } from './mutant.js';
import {
  NOBODY,
  adapter,
  isAnswer,
  isNak,
  isReadResponse,
  isReliable,
  isRequest,
  isRnr,
} from './seams/network.js';
import { overlay } from './seams/overlay.js';
import { PSN_MASK, ahead, ignore, isGapNak, isRead, meddling, receiverOf, senderOf } from './seams/wire.js';
import type { Meddler, Wire } from './seams/wire.js';

type Facts = Omit<MutantFacts, 'chapter'> & Partial<MutantFacts>;

function wrongNetwork(name: string, facts: Facts, doc: string, make: (wire: Wire) => Meddler): Mutant {
  return mutant('network', name, { chapter: 'data path', ...facts }, doc, meddling(make));
}
function wrongAdapter(
  name: string,
  facts: Facts,
  doc: string,
  change: (inner: HcaFunction, vm: number) => Partial<HcaFunction>,
): Mutant {
  return mutant('adapter', name, { chapter: 'data path', ...facts }, doc, adapter(change));
}

/** Whenever a later packet comes to an end that has sent such a NAK, this answer goes out. */
function answersAgain(
  starts: (packet: Packet) => boolean,
  answer: (nak: Packet) => void,
): (wire: Wire) => Meddler {
  return wire => {
    const asked = new Map<string, Packet>();
    return {
      sent(packet) {
        if (wire.own || !isAnswer(packet)) return;
        if (starts(packet)) asked.set(senderOf(packet), wire.copy(packet));
        else asked.delete(senderOf(packet));
      },
      delivered(packet) {
        const nak = asked.get(receiverOf(packet));
        if (nak === undefined || !isRequest(packet) || !ahead(packet.psn, nak.psn)) return;
        const again = wire.copy(nak);
        answer(again);
        wire.send(again);
      },
    };
  };
}

const responders: readonly Mutant[] = [
  wrongNetwork(
    'gap-asked-for-with-each-packet',
    { breaks: 'DATA-75', needs: 'race' },
    'A responder that waits for a lost packet asks for it whenever a later one comes.',
    wire => {
      const made = answersAgain(isGapNak, ignore)(wire);
      let first = true;
      return {
        sent(packet) {
          first ||= isGapNak(packet) && !wire.own;
          made.sent?.(packet);
        },
        delivered(packet) {
          // The NAK of the first later packet is the responder's own.
          if (!first) made.delivered?.(packet);
          first = false;
        },
      };
    },
  ),
  wrongNetwork(
    'gap-behind-receiver-not-ready',
    { breaks: 'DATA-76' },
    'A responder that was not ready takes the packets behind for ones ahead of their number.',
    answersAgain(isRnr, nak => {
      nak.syndrome = 0x60;
    }),
  ),
  wrongNetwork(
    'repeated-request-acknowledged-by-its-number',
    { breaks: 'DATA-77', needs: 'race' },
    'A request is acknowledged by its own number, also when newer ones were carried out.',
    () => {
      const latest = new Map<string, number>();
      return {
        delivered(packet) {
          if (isReliable(packet) && isRequest(packet) && !isRead(packet) && packet.ackRequest)
            latest.set(receiverOf(packet), packet.psn);
        },
        sent(packet) {
          if (isAnswer(packet) && packet.syndrome === 0x1f)
            packet.psn = latest.get(senderOf(packet)) ?? packet.psn;
        },
      };
    },
  ),
  wrongNetwork(
    'repeated-read-answered-as-before',
    { chapter: 'stale state', breaks: 'DATA-78', needs: 'race' },
    'The responses of a read are kept, and are sent as they are when it comes again.',
    () => {
      const kept = new Map<string, Uint8Array>();
      return {
        sent(packet) {
          if (!isReadResponse(packet)) return;
          const key = `${senderOf(packet)} ${packet.psn}`;
          const before = packet.transmission > 0 ? kept.get(key) : undefined;
          if (before === undefined) kept.set(key, packet.payload.slice(0, packet.payloadLength));
          else packet.payload.set(before);
        },
      };
    },
  ),
  wrongNetwork(
    'repeated-read-past-its-key',
    { chapter: 'keys and bounds', breaks: 'DATA-78 RST-16', needs: 'race' },
    'A read that comes again is answered although its region is gone.',
    () => {
      const answered = new Set<string>();
      return {
        sent(packet) {
          const key = `${senderOf(packet)} ${packet.psn}`;
          if (isReadResponse(packet)) answered.add(key);
          if (!isNak(packet) || packet.syndrome !== 0x62 || !answered.has(key)) return;
          packet.opcode = PacketOperation.READ_RESPONSE_ONLY;
          packet.payloadLength = 4;
        },
      };
    },
  ),
];

const requesters: readonly Mutant[] = [
  wrongNetwork(
    'acknowledgement-of-one-alone',
    { breaks: 'DATA-79', needs: 'race' },
    'An acknowledgement of several requests is taken for one of the oldest.',
    () => {
      const oldest = new Map<string, number>();
      return {
        sent(packet) {
          if (isReliable(packet) && isRequest(packet) && !oldest.has(senderOf(packet)))
            oldest.set(senderOf(packet), packet.psn);
        },
        delivered(packet) {
          const end = receiverOf(packet);
          const psn = oldest.get(end);
          if (psn === undefined || !isAnswer(packet) || packet.syndrome !== 0x1f) return;
          if (ahead(packet.psn, psn)) packet.psn = psn;
          oldest.set(end, (packet.psn + 1) & PSN_MASK);
        },
      };
    },
  ),
  wrongNetwork(
    'read-done-by-an-acknowledgement',
    { breaks: 'DATA-79', needs: 'race' },
    'An acknowledgement of a later request completes a read of one response.',
    () => {
      const reads = new Map<string, { psn: number; length: number }>();
      return {
        sent(packet) {
          if (isRead(packet)) reads.set(senderOf(packet), { psn: packet.psn, length: packet.dmaLength });
        },
        delivered(packet) {
          const read = reads.get(receiverOf(packet));
          if (isReadResponse(packet)) reads.delete(receiverOf(packet));
          if (read === undefined || !isAnswer(packet) || !ahead(packet.psn, read.psn)) return;
          packet.opcode = PacketOperation.READ_RESPONSE_ONLY;
          packet.psn = read.psn;
          packet.payloadLength = read.length;
        },
      };
    },
  ),
  wrongNetwork(
    'read-begun-anew',
    { breaks: 'DATA-80', needs: 'race' },
    'A read of which responses are missing is asked for again as a whole.',
    () => {
      const reads = new Map<string, { psn: number; address: number; length: number }>();
      return {
        sent(packet) {
          if (!isRead(packet)) return;
          const { psn, virtualAddress: address, dmaLength: length } = packet;
          const before = reads.get(senderOf(packet));
          if (before === undefined || address + length !== before.address + before.length)
            reads.set(senderOf(packet), { psn, address, length });
          else {
            packet.psn = before.psn;
            packet.virtualAddress = before.address;
            packet.dmaLength = before.length;
          }
        },
      };
    },
  ),
  wrongNetwork(
    'retries-for-life',
    { chapter: 'stale state', breaks: 'DATA-71', needs: 'history' },
    'A queue pair has four retries in all its life.',
    () => {
      const repeated = new Map<string, number>();
      return {
        sent(packet) {
          if (!isReliable(packet) || !isRequest(packet) || packet.transmission === 0) return;
          const count = (repeated.get(senderOf(packet)) ?? 0) + 1;
          repeated.set(senderOf(packet), count);
          if (count > 4) packet.destinationGid = NOBODY;
        },
      };
    },
  ),
  wrongNetwork(
    'asked-again-too-early',
    { chapter: 'time and cost', breaks: 'DATA-67' },
    'A request goes a second time 100 us after the first, answered or not.',
    wire => ({
      sent(packet) {
        if (wire.own || !isReliable(packet) || !isRequest(packet) || packet.transmission > 0) return;
        const twin = wire.copy(packet);
        wire.later(100_000, () => wire.send(twin));
      },
    }),
  ),
  wrongNetwork(
    'receiver-not-ready-timer-ignored',
    { chapter: 'time and cost', breaks: 'DATA-69' },
    'A receiver-not-ready NAK bears the shortest time, whatever the queue pair was given.',
    () => ({
      sent(packet) {
        if (isRnr(packet)) packet.syndrome = 0x21;
      },
    }),
  ),
  wrongNetwork(
    'completed-when-sent',
    { breaks: 'DATA-59', needs: 'race' },
    'A send of one packet is taken for acknowledged as it leaves.',
    wire => ({
      sent(packet) {
        if (wire.own || operationOf(packet.opcode) !== PacketOperation.SEND_ONLY || !isReliable(packet))
          return;
        const answer = wire.copy(packet);
        answer.opcode = PacketOperation.ACKNOWLEDGE;
        answer.syndrome = 0x1f;
        answer.payloadLength = 0;
        [answer.sourceGid, answer.destinationGid] = [packet.destinationGid, packet.sourceGid];
        [answer.sourceQpn, answer.destQpn] = [packet.destQpn, packet.sourceQpn];
        wire.send(answer);
      },
    }),
  ),
  wrongAdapter(
    'one-try-too-many',
    { chapter: 'limits', breaks: 'DATA-81' },
    'A request is sent once more than retry_cnt allows.',
    hca => ({
      modifyQp(qp, { retryCnt, ...rest }) {
        hca.modifyQp(qp, retryCnt === undefined ? rest : { ...rest, retryCnt: Math.min(7, retryCnt + 1) });
      },
    }),
  ),
  wrongAdapter(
    'one-read-too-many',
    { chapter: 'limits', breaks: 'DATA-62' },
    'One read more than max_rd_atomic is under way.',
    hca => ({
      modifyQp(qp, { maxRdAtomic, ...rest }) {
        const { maxQpInitRdAtom } = hca.attributes;
        const more =
          maxRdAtomic === undefined ? {} : { maxRdAtomic: Math.min(maxQpInitRdAtom, maxRdAtomic + 1) };
        hca.modifyQp(qp, { ...rest, ...more });
      },
    }),
  ),
  wrongAdapter(
    'sends-overtake-waiting-reads',
    { chapter: 'ordering', breaks: 'DATA-63', needs: 'race' },
    'While two reads are under way a further one waits aside, and requests behind it go first.',
    sendsOvertake,
  ),
  wrongAdapter(
    'numbers-begin-with-zero',
    { breaks: 'DATA-74' },
    'Sequence numbers begin with 0, whatever sq_psn and rq_psn say.',
    hca => ({
      modifyQp(qp, { sqPsn, rqPsn, ...rest }) {
        const zero = {
          ...(sqPsn === undefined ? {} : { sqPsn: 0 }),
          ...(rqPsn === undefined ? {} : { rqPsn: 0 }),
        };
        hca.modifyQp(qp, { ...rest, ...zero });
      },
    }),
  ),
];

function sendsOvertake(hca: HcaFunction): Partial<HcaFunction> {
  const UNDER_WAY_MAX = 2;
  /** Cookies of reads under way, and reads that were not posted yet, by queue pair. */
  const reads = new Map<HcaQp, Set<number>>();
  const aside = new Map<HcaQp, (() => void)[]>();
  return {
    createQp(pd, init, owner, qpNum) {
      const watched: Partial<HcaQpOwner> = {
        sendRetired(qp, cookie) {
          reads.get(qp)?.delete(cookie);
          owner.sendRetired(qp, cookie);
          aside.get(qp)?.shift()?.();
        },
      };
      const qp = hca.createQp(pd, init, overlay(owner, watched), qpNum);
      reads.set(qp, new Set());
      aside.set(qp, []);
      return qp;
    },
    postSend(qp, request, cookie) {
      const under = reads.get(qp);
      if (under === undefined || request.opcode !== WrOpcode.RDMA_READ)
        return hca.postSend(qp, request, cookie);
      const post = (): void => {
        under.add(cookie);
        hca.postSend(qp, request, cookie);
      };
      if (under.size < UNDER_WAY_MAX) return post();
      aside.get(qp)?.push(post);
    },
  };
}

const carriers: readonly Mutant[] = [
  mutant(
    'adapter',
    'writes-by-the-back-door',
    { chapter: 'isolation', breaks: 'OVR-12' },
    'The bytes of a write go straight to the memory of the other host, beside the packets.',
    backDoor(),
  ),
  wrongAdapter(
    'ipv4-header-in-front',
    { breaks: 'DATA-51' },
    'The IPv4 header stands at the beginning of the 40 bytes, the zeros behind it.',
    hca => ({
      registerMr: (pd, init) =>
        hca.registerMr(pd, {
          ...init,
          memory: overlay<DmaMemory>(init.memory, {
            write(address, source, offset, length) {
              const isIpv4 = length === 40 && source[offset] === 0 && source[offset + 20] === 0x45;
              if (!isIpv4) return init.memory.write(address, source, offset, length);
              const turned = new Uint8Array(40);
              turned.set(source.subarray(offset + 20, offset + 40));
              return init.memory.write(address, turned, 0, 40);
            },
          }),
        }),
    }),
  ),
  wrongAdapter(
    'payload-read-twice',
    { chapter: 'time and cost', breaks: 'PERF-15' },
    'The bytes of a message are read twice.',
    hca => ({
      registerMr: (pd, init) =>
        hca.registerMr(pd, {
          ...init,
          memory: overlay<DmaMemory>(init.memory, {
            read: (...place) => init.memory.read(...place) && init.memory.read(...place),
          }),
        }),
    }),
  ),
];

const commands: readonly Mutant[] = [
  wrongAdapter(
    'region-gone-when-it-is-idle',
    { chapter: 'ordering', breaks: 'ORD-18 RST-16', needs: 'race' },
    'DEREG_MR is answered at once, and takes effect when the next send is done.',
    hca => {
      const leaving: HcaMr[] = [];
      return {
        createQp(pd, init, owner, qpNum) {
          const watched: Partial<HcaQpOwner> = {
            sendRetired(qp, cookie) {
              for (const mr of leaving.splice(0)) hca.deregisterMr(mr);
              owner.sendRetired(qp, cookie);
            },
          };
          return hca.createQp(pd, init, overlay(owner, watched), qpNum);
        },
        deregisterMr(mr) {
          leaving.push(mr);
        },
      };
    },
  ),
];

/** The regions of all machines, by key: an adapter that reaches into all hosts. */
function backDoor(): Implementation {
  const regions = new Map<string, HcaMrInit>();
  const rc = new Set<HcaQp>();
  return adapter((hca, vm) => {
    if (vm === 0) regions.clear();
    return {
      registerMr(pd, init) {
        const mr = hca.registerMr(pd, init);
        for (const key of [mr.lkey, mr.rkey]) regions.set(`${vm} ${key}`, init);
        return mr;
      },
      createQp(pd, init, owner, qpNum) {
        const qp = hca.createQp(pd, init, owner, qpNum);
        if (init.type === QpType.RC) rc.add(qp);
        return qp;
      },
      postSend(qp, request, cookie) {
        hca.postSend(qp, request, cookie);
        const { opcode, sendFlags, sges, remoteAddr = 0, rkey = 0 } = request;
        const [element] = sges;
        if (vm !== 0 || !rc.has(qp) || opcode !== WrOpcode.RDMA_WRITE || element === undefined) return;
        if ((sendFlags & SendFlag.INLINE) !== 0) return;
        const [from, to] = [regions.get(`0 ${element.lkey}`), regions.get(`1 ${rkey}`)];
        if (from === undefined || to === undefined) return;
        const byte = new Uint8Array(1);
        for (let i = 0; i < element.length; i++) {
          from.memory.read(placeOf(from, element.addr + i), byte, 0, 1);
          to.memory.write(placeOf(to, remoteAddr + i), byte, 0, 1);
        }
      },
    };
  });
}

/** Where an address of a region is in its memory. */
function placeOf({ iova, pageBytes, pages }: HcaMrInit, address: number): number {
  if (pages === undefined) return address;
  const offset = (iova % pageBytes) + address - iova;
  return pages[Math.floor(offset / pageBytes)] + (offset % pageBytes);
}

export const wireMutants: readonly Mutant[] = [...responders, ...requesters, ...carriers, ...commands];
