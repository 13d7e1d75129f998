/** Devices that are wrong about the numbers that they give, and about what was there before an object. */
import { Command, QpState, WcStatus, createAhAck, modifyQpCommand } from '../../../abi/index.js';
import type { HcaCq, HcaCqOwner, HcaFunction, HcaQp, HcaQpOwner } from '../../../reference/index.js';
import { emptyCompletion } from '../../../verbs/index.js';
import type { QpSnapshot, WorkCompletion } from '../../../verbs/index.js';
import { Used } from '../../../virtio/index.js';
import type { MemoryWindow } from '../../../virtio/index.js';
import { bundledDevice } from '../../bundled.js';
import type { Mutant } from '../mutant.js';
import { answersWith, commands, perDevice, useOfAdapter } from '../seams/device.js';
import { overlay } from '../seams/overlay.js';
import { device } from './life-support.js';

const numbers: readonly Mutant[] = [
  device(
    'highest-cq-number-first',
    { chapter: 'control', breaks: 'CTRL-19' },
    'CREATE_CQ gives the highest free number.',
    commands(
      ({ run }) => ({
        run(objects, request, result, pages) {
          let cqn = objects.context.limits.maxCqs - 1;
          while (cqn > 0 && objects.completionQueue(cqn) !== undefined) cqn--;
          return run(overlay(objects, { freeCqn: () => cqn }), request, result, pages);
        },
      }),
      Command.CREATE_CQ,
    ),
  ),
  device(
    'highest-qp-number-first',
    { chapter: 'control', breaks: 'QP-03' },
    'CREATE_QP gives the highest free number.',
    commands(
      ({ run }) => ({
        run(objects, request, result, pages) {
          let qpn = objects.context.limits.maxQps - 1;
          while (qpn > 2 && objects.queuePair(qpn) !== undefined) qpn--;
          return run(overlay(objects, { freeQpn: () => qpn }), request, result, pages);
        },
      }),
      Command.CREATE_QP,
    ),
  ),
  device(
    'one-cq-too-many',
    { chapter: 'limits', breaks: 'CTRL-36 RST-23' },
    'CREATE_CQ is answered OK with number 0 when all completion queues are taken.',
    commands(
      ({ run }) => ({
        run: (objects, request, result, pages) =>
          run(objects, request, result, pages) || objects.freeCqn() < 0,
      }),
      Command.CREATE_CQ,
    ),
  ),
  device(
    'one-qp-too-many',
    { chapter: 'limits', breaks: 'CTRL-82 QP-05' },
    'CREATE_QP is answered OK with number 0 when all queue pairs are taken.',
    commands(
      ({ run }) => ({
        run: (objects, request, result, pages) =>
          run(objects, request, result, pages) || objects.freeQpn(2) < 0,
      }),
      Command.CREATE_QP,
    ),
  ),
  device(
    'cq-without-a-virtqueue',
    { chapter: 'control', breaks: 'CTRL-22' },
    'CREATE_CQ is answered OK when the virtqueue of its number is not enabled.',
    commands(
      ({ run }) => ({
        run(objects, request, result, pages) {
          const { context } = objects;
          const cqn = objects.freeCqn();
          return (
            run(objects, request, result, pages) ||
            (cqn >= 0 && context.liveQueue(context.queueMap.cq(cqn)) === undefined)
          );
        },
      }),
      Command.CREATE_CQ,
    ),
  ),
  device(
    'qp-without-a-virtqueue',
    { chapter: 'control', breaks: 'CTRL-23' },
    'CREATE_QP is answered OK when a virtqueue of its number is not enabled.',
    commands(
      ({ run }) => ({
        run(objects, request, result, pages) {
          const { context } = objects;
          const qpn = objects.freeQpn(2);
          const { queueMap } = context;
          return (
            run(objects, request, result, pages) ||
            (qpn >= 0 &&
              [queueMap.sq(qpn), queueMap.rq(qpn)].some(index => context.liveQueue(index) === undefined))
          );
        },
      }),
      Command.CREATE_QP,
    ),
  ),
  device(
    'ah-of-all-ones',
    { chapter: 'control', breaks: 'CTRL-110' },
    'The first address handle has the number 2^32 - 1.',
    answersWith(Command.CREATE_AH, createAhAck, ({ ah }) => (ah === 1 ? { ah: 0xffff_ffff } : {})),
  ),
  device(
    'number-with-the-attributes-of-before',
    { breaks: 'QP-12 QP-40' },
    'A new queue pair shows the attributes of the one that had its number before.',
    useOfAdapter(hca => {
      const before = new Map<number, QpSnapshot>();
      const moved = new Set<HcaQp>();
      return {
        modifyQp(qp, asked) {
          hca.modifyQp(qp, asked);
          moved.add(qp);
        },
        destroyQp(qp) {
          before.set(qp.qpNum, hca.queryQp(qp));
          hca.destroyQp(qp);
        },
        queryQp(qp) {
          const shown = hca.queryQp(qp);
          const old = moved.has(qp) ? undefined : before.get(qp.qpNum);
          return old === undefined ? shown : { ...old, qpState: shown.qpState, cap: shown.cap };
        },
      };
    }),
  ),
];

const early: readonly Mutant[] = [
  device(
    'sends-in-init-thrown-away',
    { breaks: 'QP-17' },
    'What stands in a send queue at a move to INIT is returned unread.',
    commands(
      ({ run }) => ({
        run(objects, request, result, pages) {
          const done = run(objects, request, result, pages);
          const { qpn, qp_state: state, attr_mask: mask } = modifyQpCommand.decode(request, 0);
          if (done && (mask & 1) !== 0 && state === QpState.INIT)
            objects.queuePair(qpn)?.sendQueue.discardUnread();
          return done;
        },
      }),
      Command.MODIFY_QP,
    ),
  ),
  device(
    'receives-in-reset-thrown-away',
    { breaks: 'QP-18' },
    'What stands in a receive queue at a move to INIT is returned unread.',
    commands(
      ({ run }) => ({
        run(objects, request, result, pages) {
          const { qpn, qp_state: state, attr_mask: mask } = modifyQpCommand.decode(request, 0);
          const qp = objects.queuePair(qpn);
          const leaves = (mask & 1) !== 0 && state === QpState.INIT && qp !== undefined;
          if (leaves && objects.context.hca.queryQp(qp.hcaQp).qpState === QpState.RESET)
            qp.recvQueue.discardUnread();
          return run(objects, request, result, pages);
        },
      }),
      Command.MODIFY_QP,
    ),
  ),
  device(
    'receive-flushed-in-init',
    { chapter: 'queue pair states and masks', breaks: 'QP-19' },
    'A receive that is posted in INIT is completed with WR_FLUSH_ERR.',
    injecting(({ hca, owners, recvCqs, ...queues }) => ({
      postRecv(qp, request, cookie) {
        const cq = recvCqs.get(qp);
        if (cq === undefined || hca.queryQp(qp).qpState !== QpState.INIT)
          return hca.postRecv(qp, request, cookie);
        owners.get(qp)?.recvRetired(qp, cookie);
        queues.inject(cq, { wrId: request.wrId, status: WcStatus.WR_FLUSH_ERR, qpNum: qp.qpNum });
      },
    })),
  ),
  device(
    'held-completions-to-the-next-queue',
    { breaks: 'RST-13 CTRL-37' },
    'A completion queue begins with a completion that its number had held before.',
    injecting(({ hca, ...queues }) => {
      let left: WorkCompletion | undefined;
      return {
        destroyCq(cq) {
          const kept = [emptyCompletion()];
          if (hca.pollCq(cq, kept, 1) === 1) left = { ...kept[0] };
          hca.destroyCq(cq);
        },
        createQp(pd, init, owner, qpNum) {
          const qp = hca.createQp(pd, init, owner, qpNum);
          const cq = queues.last();
          if (left !== undefined && cq !== undefined) queues.inject(cq, left);
          left = undefined;
          return qp;
        },
      };
    }),
  ),
  device(
    'requests-lost-with-their-virtqueue',
    { breaks: 'CTRL-26 CTRL-25' },
    'The reset of a send queue moves its queue pair to ERR.',
    perDevice(({ profile, limits, function: hca }) => {
      const map = profile.queues(limits.maxQps, limits.maxCqs);
      const pairs = new Map<number, HcaQp>();
      return {
        device(context) {
          const inner = bundledDevice({
            ...context,
            function: overlay(hca, {
              createQp(pd, init, owner, qpNum) {
                const qp = hca.createQp(pd, init, owner, qpNum);
                pairs.set(map.sq(qp.qpNum), qp);
                return qp;
              },
            }),
          });
          return overlay(inner, {
            resetQueue(index) {
              const qp = pairs.get(index);
              if (qp !== undefined && hca.queryQp(qp).qpState !== QpState.RESET)
                hca.modifyQp(qp, { qpState: QpState.ERR });
              inner.resetQueue(index);
            },
          });
        },
      };
    }),
  ),
  device(
    'arming-lost-while-completions-are-held',
    { chapter: 'notification races', breaks: 'CTRL-44', needs: 'race' },
    'REQ_NOTIFY_CQ does not arm a queue that holds completions for want of a buffer.',
    perDevice(({ function: hca }) => {
      const held = new Map<HcaCq, number>();
      const { device: armed } = commands(
        ({ run }) => ({
          run(objects, request, result, pages) {
            const cq = objects.completionQueue(request.getUint32(0, true));
            cq?.deliverAll();
            const waits = cq !== undefined && (held.get(cq.hcaCq) ?? 0) > 0;
            return waits || run(objects, request, result, pages);
          },
        }),
        Command.REQ_NOTIFY_CQ,
      );
      return {
        device: context =>
          (armed ?? bundledDevice)({ ...context, function: overlay(hca, counting(hca, held)) }),
      };
    }),
  ),
  device(
    'sends-wait-for-completion-buffers',
    { chapter: 'broken peers', breaks: 'HOST-09', needs: 'race' },
    'No send is carried out while a completion is held for want of a buffer.',
    useOfAdapter(hca => {
      const held = new Map<HcaCq, number>();
      const cqs = new Map<HcaQp, HcaCq>();
      return {
        ...counting(hca, held),
        createQp(pd, init, owner, qpNum) {
          const qp = hca.createQp(pd, init, owner, qpNum);
          cqs.set(qp, init.sendCq);
          return qp;
        },
        postSend(qp, request, cookie) {
          const cq = cqs.get(qp);
          if (cq === undefined || (held.get(cq) ?? 0) === 0) hca.postSend(qp, request, cookie);
        },
      };
    }),
  ),
  device(
    'event-after-the-queue-is-gone',
    { breaks: 'RST-14', needs: 'race' },
    'One microsecond after DESTROY_CQ the virtqueue of the queue interrupts.',
    perDevice(({ profile, limits, scheduler }) => {
      const map = profile.queues(limits.maxQps, limits.maxCqs);
      let interrupt: (index: number) => void = () => undefined;
      const { device: destroying } = commands(
        ({ run }) => ({
          run(objects, request, result, pages) {
            const done = run(objects, request, result, pages);
            const index = map.cq(request.getUint32(0, true));
            if (done) scheduler.schedule(1000, { run: () => interrupt(index) }, 'timer');
            return done;
          },
        }),
        Command.DESTROY_CQ,
      );
      return {
        device(context) {
          const inner = (destroying ?? bundledDevice)(context);
          return overlay(inner, {
            attach(host) {
              interrupt = index => host.interruptQueue(index);
              inner.attach(host);
            },
          });
        },
      };
    }),
  ),
  device(
    'used-index-rewound-by-destroy',
    { breaks: 'RST-05', needs: 'history' },
    'The used index of a send queue is set to 0 when its queue pair is destroyed.',
    perDevice(({ memory, profile, limits }) => {
      const map = profile.queues(limits.maxQps, limits.maxCqs);
      const rings = new Map<number, MemoryWindow>();
      const { device: destroying } = commands(
        ({ run }) => ({
          run(objects, request, result, pages) {
            const done = run(objects, request, result, pages);
            if (done) rings.get(map.sq(request.getUint32(0, true)))?.store16(Used.IDX, 0);
            return done;
          },
        }),
        Command.DESTROY_QP,
      );
      return {
        device(context) {
          const inner = (destroying ?? bundledDevice)(context);
          return overlay(inner, {
            enableQueue(index, size, addresses) {
              const window = memory.window(addresses.device, 4);
              if (window !== undefined) rings.set(index, window);
              inner.enableQueue(index, size, addresses);
            },
          });
        },
      };
    }),
  ),
];

/** Keeps how many completions an adapter holds for each queue. */
function counting(hca: HcaFunction, held: Map<HcaCq, number>): Partial<HcaFunction> {
  return {
    createCq: (cqe, owner) =>
      hca.createCq(
        cqe,
        overlay(owner, {
          completionAdded(cq, completion, solicited) {
            held.set(cq, (held.get(cq) ?? 0) + 1);
            owner.completionAdded(cq, completion, solicited);
          },
        }),
      ),
    pollCq(cq, list, max) {
      const count = hca.pollCq(cq, list, max);
      held.set(cq, (held.get(cq) ?? 0) - count);
      return count;
    },
  };
}

interface Injector {
  readonly hca: HcaFunction;
  readonly owners: ReadonlyMap<HcaQp, HcaQpOwner>;
  readonly recvCqs: ReadonlyMap<HcaQp, HcaCq>;
  /** The completion queue that was made last. */
  last(): HcaCq | undefined;
  /** Puts a completion into a queue that the adapter knows nothing of. */
  inject(cq: HcaCq, completion: Partial<WorkCompletion>): void;
}

/** A device that finds completions which its adapter never gave. */
function injecting(make: (injector: Injector) => Partial<HcaFunction>): Mutant['implementation'] {
  return useOfAdapter(hca => {
    const waiting = new Map<HcaCq, WorkCompletion[]>();
    const cqOwners = new Map<HcaCq, HcaCqOwner>();
    const owners = new Map<HcaQp, HcaQpOwner>();
    const recvCqs = new Map<HcaQp, HcaCq>();
    let last: HcaCq | undefined;
    const base: Partial<HcaFunction> = {
      createCq(cqe, owner) {
        last = hca.createCq(cqe, owner);
        cqOwners.set(last, owner);
        waiting.set(last, []);
        return last;
      },
      createQp(pd, init, owner, qpNum) {
        const qp = hca.createQp(pd, init, owner, qpNum);
        owners.set(qp, owner);
        recvCqs.set(qp, init.recvCq);
        return qp;
      },
      pollCq(cq, list, max) {
        const next = waiting.get(cq)?.shift();
        if (next === undefined) return hca.pollCq(cq, list, max);
        Object.assign(list[0], next);
        return 1;
      },
    };
    return {
      ...base,
      ...make({
        hca: overlay(hca, base),
        owners,
        recvCqs,
        last: () => last,
        inject(cq, completion) {
          const whole = { ...emptyCompletion(), ...completion };
          waiting.get(cq)?.push(whole);
          cqOwners.get(cq)?.completionAdded(cq, whole, false);
        },
      }),
    };
  });
}

export const lifeMutants: readonly Mutant[] = [...numbers, ...early];
