/** Devices that are wrong about how many completions there are, in which order, and whom they wake. */
import { Command, WcStatus, cqReq, reqNotifyCommand } from '../../../abi/index.js';
import type { HcaCq } from '../../../reference/index.js';
import type { WorkCompletion } from '../../../verbs/index.js';
import { bundledDevice } from '../../bundled.js';
import { mutant } from '../mutant.js';
import type { Mutant } from '../mutant.js';
import {
  commands,
  completionQueueOwners,
  deviceRings,
  interrupts,
  misreads,
  perDevice,
  useOfAdapter,
} from '../seams/device.js';
import { every, overlay } from '../seams/overlay.js';
import { Used } from '../../../virtio/index.js';
import { isElement } from '../seams/rings.js';

const delivery: readonly Mutant[] = [
  mutant(
    'device',
    'one-buffer-for-two',
    { chapter: 'completions', breaks: 'CQ-11 CQ-01', needs: 'history' },
    'Every fourth completion is lost on its way to a buffer.',
    useOfAdapter(hca => {
      const due = every(4);
      return {
        createCq(cqe, owner) {
          return hca.createCq(
            cqe,
            overlay(owner, {
              completionAdded(cq, completion, solicited) {
                if (due()) hca.pollCq(cq, [{ ...completion }], 1);
                else owner.completionAdded(cq, completion, solicited);
              },
            }),
          );
        },
      };
    }),
  ),
  mutant(
    'device',
    'completion-of-32-bytes',
    { chapter: 'lengths', breaks: 'CQ-12' },
    'A completion comes back with a used length of 32.',
    deviceRings((window, area, { kind, size }) =>
      area !== 'used' || kind !== 'cq'
        ? {}
        : {
            set32: (offset, value) =>
              window.set32(offset, isElement(offset, Used.LEN, size) && value === cqReq.size ? 32 : value),
          },
    ),
  ),
  mutant(
    'device',
    'buffers-of-a-destroyed-queue-not-empty',
    { chapter: 'lengths', breaks: 'RST-12' },
    'The buffers of a completion queue come back with a used length of 48 when it is destroyed.',
    deviceRings((window, area, { kind, size }) =>
      area !== 'used' || kind !== 'cq'
        ? {}
        : {
            set32: (offset, value) =>
              window.set32(offset, isElement(offset, Used.LEN, size) && value === 0 ? cqReq.size : value),
          },
    ),
  ),
  mutant(
    'device',
    'buffers-of-a-destroyed-queue-kept',
    { chapter: 'leaks', breaks: 'RST-12 CQ-07' },
    'DESTROY_CQ does not return the buffers.',
    commands(
      ({ run }) => ({
        run(objects, request, result, pages) {
          const cq = objects.completionQueue(request.getUint32(0, true));
          if (cq === undefined) return run(objects, request, result, pages);
          objects.context.hca.destroyCq(cq.hcaCq);
          cq.close();
          objects.removeCompletionQueue(cq);
          return true;
        },
      }),
      Command.DESTROY_CQ,
    ),
  ),
  mutant(
    'device',
    'queue-one-too-small',
    { chapter: 'limits', breaks: 'CQ-04 CQ-28 CQ-33 CQ-31', needs: 'history' },
    'A completion queue of several entries overruns one entry early.',
    completionQueueOwners((owner, cqe) => ({ unconsumed: cq => owner.unconsumed(cq) + (cqe > 1 ? 1 : 0) })),
  ),
  mutant(
    'device',
    'queue-one-too-large',
    { chapter: 'limits', breaks: 'CQ-06 CQ-31', needs: 'history' },
    'The buffers that the driver has not polled are counted one too few.',
    completionQueueOwners(owner => ({ unconsumed: cq => Math.max(0, owner.unconsumed(cq) - 1) })),
  ),
  mutant(
    'device',
    'polled-entries-never-free',
    { chapter: 'leaks', breaks: 'CQ-04 CQ-29', needs: 'history' },
    'A completion queue overruns when it has had as many completions as it has entries, polled or not.',
    completionQueueOwners((owner, cqe) => {
      let given = 0;
      return {
        completionAdded(cq, completion, solicited) {
          given++;
          owner.completionAdded(cq, completion, solicited);
        },
        unconsumed: cq => (given > 2 * cqe ? cqe : owner.unconsumed(cq)),
      };
    }),
  ),
  mutant(
    'device',
    'overrun-without-consequence',
    { chapter: 'limits', breaks: 'CQ-06 QP-52', needs: 'history' },
    'A completion queue never counts what the driver has not polled.',
    completionQueueOwners(() => ({ unconsumed: () => 0 })),
  ),
  mutant(
    'device',
    'completions-backwards',
    { chapter: 'ordering', breaks: 'ORD-12 CQ-05 ORD-01', needs: 'history' },
    'Of two completions that wait together the newer is given first, every third time.',
    useOfAdapter(hca => {
      const due = every(3);
      const kept = new Map<HcaCq, WorkCompletion>();
      return {
        pollCq(cq, list, max) {
          const older = kept.get(cq);
          kept.delete(cq);
          if (older !== undefined) Object.assign(list[0], older);
          if (older !== undefined || hca.pollCq(cq, list, max) === 0) return older === undefined ? 0 : 1;
          if (!due()) return 1;
          const first = { ...list[0] };
          if (hca.pollCq(cq, list, max) === 0) Object.assign(list[0], first);
          else kept.set(cq, first);
          return 1;
        },
      };
    }),
  ),
  mutant(
    'device',
    'completion-written-after-its-index',
    { chapter: 'notification races', breaks: 'VQ-36 ORD-07', needs: 'race' },
    'The bytes of a completion are written one microsecond after it was published.',
    perDevice(({ memory, scheduler, function: hca }) => ({
      device: context =>
        bundledDevice({
          ...context,
          function: overlay(hca, { registerMr: (pd, init) => hca.registerMr(pd, { ...init, memory }) }),
          memory: overlay(memory, {
            write(address, source, from_, length) {
              if (source.length !== cqReq.size) return memory.write(address, source, from_, length);
              const bytes = source.slice();
              scheduler.schedule(1000, { run: () => void memory.write(address, bytes, 0, length) }, 'timer');
              return true;
            },
          }),
        }),
    })),
  ),
];

const waking: readonly Mutant[] = [
  mutant(
    'device',
    'armed-by-nobody',
    { chapter: 'notification races', breaks: 'CQ-09 CQ-35 PERF-05' },
    'The device interrupts for every completion, armed or not.',
    unarmed(),
  ),
  mutant(
    'device',
    'event-twice',
    { chapter: 'notification races', breaks: 'CQ-08 CQ-09 CQ-37 PERF-05' },
    'Each event of a completion queue is sent twice.',
    interrupts((host, { profile, limits }) => {
      const { control } = profile.queues(limits.maxQps, limits.maxCqs);
      return {
        interruptQueue(index) {
          host.interruptQueue(index);
          if (index > control) host.interruptQueue(index);
        },
      };
    }),
  ),
  mutant(
    'device',
    'every-third-event-lost',
    { chapter: 'notification races', breaks: 'CQ-08 CQ-36', needs: 'history' },
    'Every third event of a completion queue is not sent.',
    interrupts((host, { profile, limits }) => {
      const { control } = profile.queues(limits.maxQps, limits.maxCqs);
      const due = every(3);
      return {
        interruptQueue(index) {
          if (index <= control || !due()) host.interruptQueue(index);
        },
      };
    }),
  ),
  mutant(
    'device',
    'event-before-its-completion',
    { chapter: 'notification races', breaks: 'CQ-43 CQ-08', needs: 'race' },
    'An interrupt of a completion queue is sent before the used index is raised over the completion.',
    eventFirst(),
  ),
  mutant(
    'device',
    'unsolicited-taken-for-solicited',
    { chapter: 'completions', breaks: 'CQ-41' },
    'Every completion counts as solicited.',
    completionQueueOwners(owner => ({
      completionAdded: (cq, completion) => owner.completionAdded(cq, completion, true),
    })),
  ),
  mutant(
    'device',
    'nothing-is-solicited',
    { chapter: 'completions', breaks: 'CQ-39 CQ-40' },
    'No completion counts as solicited.',
    completionQueueOwners(owner => ({
      completionAdded: (cq, completion) => owner.completionAdded(cq, completion, false),
    })),
  ),
  mutant(
    'device',
    'error-not-solicited',
    { chapter: 'completions', breaks: 'CQ-40' },
    'A completion with an error does not wake a queue that is armed for solicited ones.',
    completionQueueOwners(owner => ({
      completionAdded: (cq, completion, solicited) =>
        owner.completionAdded(cq, completion, solicited && completion.status === WcStatus.SUCCESS),
    })),
  ),
  mutant(
    'device',
    'next-completion-taken-for-solicited',
    { chapter: 'completions', breaks: 'CQ-38' },
    'REQ_NOTIFY_CQ with NEXT_COMPLETION arms for solicited completions.',
    misreads(Command.REQ_NOTIFY_CQ, reqNotifyCommand, r => (r.flags === 2 ? { flags: 1 } : undefined)),
  ),
  mutant(
    'device',
    'solicited-arming-wins',
    { chapter: 'completions', breaks: 'CQ-03' },
    'A queue that is armed for any completion and then for solicited ones is armed for solicited ones.',
    solicitedWins(),
  ),
  mutant(
    'device',
    'armed-once-for-ever',
    { chapter: 'notification races', breaks: 'CQ-37 CQ-09 PERF-05', needs: 'history' },
    'A completion queue that was armed once stays armed.',
    armedForEver(),
  ),
];

/** A device whose completion queues interrupt when `isDue` says so, beside what they do of themselves. */
function alsoInterrupts(
  isDue: (cqn: number) => boolean,
  arms: (cqn: number) => void,
): Mutant['implementation'] {
  return {
    reports: true,
    device: context => {
      const { profile, limits, function: hca } = context;
      const map = profile.queues(limits.maxQps, limits.maxCqs);
      let interrupt: (index: number) => void = () => undefined;
      let next = 0;
      const { device } = commands(
        ({ run }, code) => ({
          run(objects, request, result, pages) {
            if (code === Command.CREATE_CQ) next = objects.freeCqn();
            else arms(request.getUint32(0, true));
            return run(objects, request, result, pages);
          },
        }),
        Command.CREATE_CQ,
        Command.REQ_NOTIFY_CQ,
      );
      const inner = (device ?? bundledDevice)({
        ...context,
        function: overlay(hca, {
          createCq(cqe, owner) {
            const cqn = next;
            return hca.createCq(
              cqe,
              overlay(owner, {
                completionAdded(which, completion, solicited) {
                  owner.completionAdded(which, completion, solicited);
                  if (isDue(cqn)) interrupt(map.cq(cqn));
                },
              }),
            );
          },
        }),
      });
      return overlay(inner, {
        attach(host) {
          interrupt = index => host.interruptQueue(index);
          inner.attach(host);
        },
      });
    },
  };
}

function unarmed(): Mutant['implementation'] {
  return alsoInterrupts(
    () => true,
    () => undefined,
  );
}

function eventFirst(): Mutant['implementation'] {
  return perDevice(() => {
    const armed = new Set<number>();
    return alsoInterrupts(
      cqn => armed.delete(cqn),
      cqn => armed.add(cqn),
    );
  });
}

function armedForEver(): Mutant['implementation'] {
  return perDevice(() => {
    const armed = new Set<number>();
    return alsoInterrupts(
      cqn => armed.has(cqn),
      cqn => armed.add(cqn),
    );
  });
}

/** Swallows the event that an unsolicited completion raises on a queue that was armed for any, then for solicited ones. */
function solicitedWins(): Mutant['implementation'] {
  return perDevice(({ profile, limits, function: hca }) => {
    const map = profile.queues(limits.maxQps, limits.maxCqs);
    const flagsOf = new Map<number, number>();
    const downgraded = new Set<number>();
    let lastIsSolicited = false;
    const { device } = commands(
      ({ run }) => ({
        run(objects, request, result, pages) {
          const { cqn, flags } = reqNotifyCommand.decode(request, 0);
          if (flagsOf.get(cqn) === 2 && flags === 1) downgraded.add(cqn);
          flagsOf.set(cqn, flags);
          return run(objects, request, result, pages);
        },
      }),
      Command.REQ_NOTIFY_CQ,
    );
    return {
      device(context) {
        const inner = (device ?? bundledDevice)({
          ...context,
          function: overlay(hca, {
            createCq: (cqe, owner) =>
              hca.createCq(
                cqe,
                overlay(owner, {
                  completionAdded(cq, completion, solicited) {
                    lastIsSolicited = solicited;
                    owner.completionAdded(cq, completion, solicited);
                  },
                }),
              ),
          }),
        });
        return overlay(inner, {
          attach: host =>
            inner.attach(
              overlay(host, {
                interruptQueue(index) {
                  if (lastIsSolicited || !downgraded.delete(index - map.cq(0))) host.interruptQueue(index);
                },
              }),
            ),
        });
      },
    };
  });
}

export const completionDeliveryMutants: readonly Mutant[] = [...delivery, ...waking];
