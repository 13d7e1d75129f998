/** Adapters below a sound device that are wrong: about what reaches a queue pair, about keys, about what is done. */
import { QpState, WcStatus, pathMtuBytes } from '../../../abi/index.js';
import { PacketOperation, operationOf } from '../../../fabric/index.js';
import type { Packet } from '../../../fabric/index.js';
import type { HcaFunction, HcaQp, HcaQpOwner } from '../../../reference/index.js';
import { VerbsError } from '../../../verbs/index.js';
import type { Implementation } from '../../implementation.js';
import { mutant } from '../mutant.js';
import type { Mutant } from '../mutant.js';
import { adapter, isDatagram, isRequest, isRnr } from '../seams/network.js';
import { every, from, overlay } from '../seams/overlay.js';
import { arriving, ignore, isFirstOfWrite, isRead } from './support.js';
import type { Facts } from './support.js';

function adapting(name: string, facts: Facts, doc: string, change: Parameters<typeof adapter>[0]): Mutant {
  return mutant('adapter', name, { chapter: 'data path', ...facts }, doc, adapter(change));
}

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

/** A remote key of zero is taken for the key that was given last. */
function keyZero(): Implementation {
  let last = 0;
  return {
    adapter: inner =>
      overlay(inner, {
        registerMr(pd, init) {
          const mr = inner.registerMr(pd, init);
          if (mr.rkey !== 0) last = mr.rkey;
          return mr;
        },
      }),
    network(fabric) {
      last = 0;
      fabric.observe({
        sent: () => undefined,
        dropped: () => undefined,
        delivered(packet) {
          if (packet.rkey === 0 && (isFirstOfWrite(packet) || isRead(packet))) packet.rkey = last;
        },
      });
    },
  };
}

const receiving: readonly Mutant[] = [
  mutant(
    'adapter',
    'remote-key-zero',
    { chapter: 'keys and bounds', breaks: 'MEM-09' },
    'A remote key of 0 opens the region that was registered last.',
    keyZero(),
  ),
  arriving(
    'range-of-the-first-packet',
    { chapter: 'keys and bounds', breaks: 'MEM-23' },
    'Of a write of several packets only the range of the first is checked before it is written.',
    () => packet => {
      if (operationOf(packet.opcode) === PacketOperation.WRITE_FIRST) packet.dmaLength = packet.payloadLength;
    },
  ),
  deaf(QpState.RTR, 'rtr', 'QP-21'),
  deaf(QpState.SQD, 'sqd', 'QP-21'),
  deaf(QpState.SQE, 'sqe', 'QP-21 QP-61'),
  mutant(
    'adapter',
    'answers-lost-in-sqd',
    { chapter: 'queue pair states and masks', breaks: 'QP-54', needs: 'race' },
    'A queue pair in SQD drops the answers to what it has sent.',
    knowing((packet, of) => {
      const known = isRequest(packet) ? undefined : of(packet);
      if (known !== undefined && known.inner.queryQp(known.qp).qpState === QpState.SQD) ignore(packet);
    }),
  ),
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

/** A queue pair that went to ERR without a failed completion of its own, and was not told to, is shown where it was. */
function shownAs(): Implementation {
  return adapter(hca => {
    const told = new Map<HcaQp, QpState>();
    const failed = new Set<number>();
    return {
      modifyQp(qp, attributes) {
        hca.modifyQp(qp, attributes);
        if (attributes.qpState === undefined) return;
        told.set(qp, attributes.qpState);
        failed.delete(qp.qpNum);
      },
      pollCq(cq, list, max) {
        const count = hca.pollCq(cq, list, max);
        for (const { status, qpNum } of list.slice(0, count))
          if (status !== WcStatus.SUCCESS && status !== WcStatus.WR_FLUSH_ERR) failed.add(qpNum);
        return count;
      },
      queryQp(qp) {
        const shown = hca.queryQp(qp);
        const was = told.get(qp);
        const quiet = shown.qpState === QpState.ERR && !failed.has(qp.qpNum);
        return quiet && was !== undefined ? { ...shown, qpState: was } : shown;
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

export const adapterMutants: readonly Mutant[] = [...receiving, ...adapters];
