/** Faults of a device, laid over its use of the adapter. */
import { AccessFlag, QpState, SendFlag, WcStatus, WrOpcode } from '../../../src/abi/index.js';
import type { HcaCq, HcaQp, HcaQpOwner } from '../../../src/reference/index.js';
import { VerbsError } from '../../../src/verbs/index.js';
import type { QpAttributes } from '../../../src/verbs/index.js';
import { deviceFault, every, from, overlay } from './fault.js';
import type { Fault } from './fault.js';
import { bundledDevice } from '../../../src/conformance/bundled.js';

const ALL_ACCESS = AccessFlag.LOCAL_WRITE | AccessFlag.REMOTE_WRITE | AccessFlag.REMOTE_READ;

function without(attributes: QpAttributes, name: keyof QpAttributes): QpAttributes {
  const { [name]: _left, ...rest } = attributes;
  return rest;
}

/** A queue pair's owner that is told otherwise than it should be. */
function owners(change: (owner: HcaQpOwner) => Partial<HcaQpOwner>): ReturnType<typeof deviceFault> {
  return deviceFault(hca => ({
    createQp: (pd, init, owner, qpNum) => hca.createQp(pd, init, overlay(owner, change(owner)), qpNum),
  }));
}

export const deviceFaults: readonly Fault[] = [
  {
    name: 'access flags ignored',
    where: 'device',
    description: 'Every region gets all rights.',
    implementation: deviceFault(hca => ({
      registerMr: (pd, init) => hca.registerMr(pd, { ...init, access: ALL_ACCESS }),
    })),
    programs: 200,
  },
  {
    name: 'region off by a page',
    where: 'device',
    description: 'The pages of a region of several pages are entered one place too far.',
    implementation: deviceFault(hca => ({
      registerMr(pd, init) {
        const { pages } = init;
        if (pages === undefined || pages.length < 2) return hca.registerMr(pd, init);
        const moved = Float64Array.from(pages, (_, i) => pages[(i + 1) % pages.length]);
        return hca.registerMr(pd, { ...init, pages: moved });
      },
    })),
  },
  {
    name: 'pages taken for neighbours',
    where: 'device',
    description: 'Only the first page of a region is looked up; the others are thought to lie behind it.',
    shrunkMax: 18,
    implementation: deviceFault(hca => ({
      registerMr(pd, init) {
        const { pages, memory } = init;
        if (pages === undefined) return hca.registerMr(pd, init);
        const straight = Float64Array.from(pages, (_, i) => pages[0] + i * 4096);
        const there = straight.every(page => memory.read(page, new Uint8Array(1), 0, 1));
        return hca.registerMr(pd, there ? { ...init, pages: straight } : init);
      },
    })),
  },
  {
    name: 'DEREG_MR not executed',
    where: 'device',
    description: 'DEREG_MR is answered OK and the keys go on working.',
    implementation: deviceFault(() => ({ deregisterMr: () => undefined })),
    programs: 200,
  },
  {
    name: 'DESTROY_AH not executed',
    where: 'device',
    description: 'DESTROY_AH is answered OK and the handle stays with the adapter.',
    implementation: deviceFault(() => ({ destroyAh: () => undefined })),
    programs: 300,
    shrunkMax: 24,
  },
  {
    name: 'DEL_GID not executed',
    where: 'device',
    description: 'DEL_GID is answered OK and the address goes on working.',
    implementation: deviceFault(() => ({ delGid: () => undefined })),
    expectedLaws: ['para-virtualisation is invisible'],
    programs: 300,
  },
  {
    name: 'GID index not checked',
    where: 'device',
    description: 'ADD_GID beyond the table goes to the last entry.',
    implementation: deviceFault(hca => ({
      addGid: (index, gid) => hca.addGid(Math.min(index, hca.port.gidTableLength - 1), gid),
    })),
  },
  {
    name: 'GID of another machine',
    where: 'device',
    description: 'A GID that another machine has is answered OK.',
    implementation: deviceFault(hca => ({
      addGid(index, gid) {
        try {
          hca.addGid(index, gid);
        } catch (error) {
          if (!(error instanceof VerbsError && error.errno === 'EADDRINUSE')) throw error;
        }
      },
    })),
    programs: 300,
  },
  {
    name: 'flush forgotten',
    where: 'device',
    description: 'MODIFY_QP to ERR is answered OK and not carried out.',
    implementation: deviceFault(hca => ({
      modifyQp(qp, attributes) {
        if (attributes.qpState !== QpState.ERR) hca.modifyQp(qp, attributes);
      },
    })),
  },
  {
    name: 'mask bit ignored: retry_cnt',
    where: 'device',
    description: 'MODIFY_QP does not hand RETRY_CNT on but takes 1 for it.',
    implementation: deviceFault(hca => ({
      modifyQp: (qp, attributes) =>
        hca.modifyQp(qp, attributes.retryCnt === undefined ? attributes : { ...attributes, retryCnt: 1 }),
    })),
    suites: ['settled'],
  },
  {
    name: 'mask bit ignored: qp_access_flags',
    where: 'device',
    description: 'MODIFY_QP gives the peer all rights.',
    implementation: deviceFault(hca => ({
      modifyQp: (qp, attributes) =>
        hca.modifyQp(
          qp,
          attributes.qpAccessFlags === undefined ? attributes : { ...attributes, qpAccessFlags: ALL_ACCESS },
        ),
    })),
    suites: ['settled'],
  },
  {
    name: 'CUR_STATE not compared',
    where: 'device',
    description: 'MODIFY_QP does not look at cur_qp_state.',
    implementation: deviceFault(hca => ({
      modifyQp: (qp, attributes) => hca.modifyQp(qp, without(attributes, 'curQpState')),
    })),
    suites: ['settled'],
    programs: 200,
  },
  {
    name: 'completion queue one too small',
    where: 'device',
    description: 'A completion queue of several entries overruns one entry early.',
    implementation: deviceFault(hca => ({
      createCq: (cqe, owner) =>
        hca.createCq(cqe, {
          completionAdded: (cq, completion, solicited) => owner.completionAdded(cq, completion, solicited),
          eventRaised: cq => owner.eventRaised(cq),
          unconsumed: cq => owner.unconsumed(cq) + (cqe > 1 ? 1 : 0),
          overran: cq => owner.overran(cq),
        }),
    })),
    needs: 'history',
    shrunkMax: 16,
  },
  {
    name: 'completion queue one too large',
    where: 'device',
    description: 'The buffers that the driver has not polled are counted one too few.',
    implementation: deviceFault(hca => ({
      createCq: (cqe, owner) =>
        hca.createCq(cqe, {
          completionAdded: (cq, completion, solicited) => owner.completionAdded(cq, completion, solicited),
          eventRaised: cq => owner.eventRaised(cq),
          unconsumed: cq => Math.max(0, owner.unconsumed(cq) - 1),
          overran: cq => owner.overran(cq),
        }),
    })),
    needs: 'history',
    shrunkMax: 16,
  },
  {
    name: 'unsolicited taken for solicited',
    where: 'device',
    description: 'Every completion counts as solicited.',
    implementation: deviceFault(hca => ({
      createCq: (cqe, owner) =>
        hca.createCq(
          cqe,
          overlay(owner, {
            completionAdded: (cq, completion) => owner.completionAdded(cq, completion, true),
          }),
        ),
    })),
    expectedLaws: ['para-virtualisation is invisible'],
    suites: ['settled'],
    programs: 200,
  },
  {
    name: 'error not solicited',
    where: 'device',
    description: 'A completion with an error does not wake a queue that is armed for solicited ones.',
    implementation: deviceFault(hca => ({
      createCq: (cqe, owner) =>
        hca.createCq(
          cqe,
          overlay(owner, {
            completionAdded: (cq, completion, solicited) =>
              owner.completionAdded(cq, completion, solicited && completion.status === WcStatus.SUCCESS),
          }),
        ),
    })),
    expectedLaws: ['para-virtualisation is invisible'],
    suites: ['settled'],
  },
  {
    name: 'sends reordered',
    where: 'device',
    description: 'Of two sends that are there together the second goes first.',
    implementation: deviceFault((hca, context) => {
      const kept = new Map<HcaQp, () => void>();
      return {
        postSend(qp, request, cookie) {
          const copy = {
            ...request,
            sges: request.sges.map(sge => ({ ...sge })),
            inlineData: request.inlineData?.slice(),
          };
          const post = (): void => {
            try {
              hca.postSend(qp, copy, cookie);
            } catch (error) {
              if (!(error instanceof VerbsError)) throw error;
            }
          };
          const before = kept.get(qp);
          if (before !== undefined) {
            kept.delete(qp);
            post();
            return before();
          }
          kept.set(qp, post);
          const give = (): void => {
            if (kept.delete(qp)) post();
          };
          context.scheduler.post({ run: give });
        },
      };
    }),
    needs: 'race',
    shrunkMax: 16,
  },
  {
    name: 'retired twice',
    where: 'device',
    description: 'From the second send on a send leaves its queue twice.',
    implementation: owners(owner => {
      const due = from(2);
      return {
        sendRetired(qp, cookie) {
          owner.sendRetired(qp, cookie);
          if (due()) owner.sendRetired(qp, cookie);
        },
      };
    }),
  },
  {
    name: 'chain kept',
    where: 'device',
    description: 'Every fourth receive never comes back to the driver.',
    implementation: owners(owner => {
      const due = every(4);
      return {
        recvRetired(qp, cookie) {
          if (!due()) owner.recvRetired(qp, cookie);
        },
      };
    }),
  },
  {
    name: 'SIGNALED taken for granted',
    where: 'device',
    description: 'Every send gives a completion.',
    implementation: deviceFault(hca => ({
      postSend: (qp, request, cookie) =>
        hca.postSend(qp, { ...request, sendFlags: request.sendFlags | SendFlag.SIGNALED }, cookie),
    })),
  },
  {
    name: 'SOLICITED not handed on',
    where: 'device',
    description: 'The SOLICITED flag of a send is lost.',
    implementation: deviceFault(hca => ({
      postSend: (qp, request, cookie) =>
        hca.postSend(qp, { ...request, sendFlags: request.sendFlags & ~SendFlag.SOLICITED }, cookie),
    })),
    expectedLaws: ['para-virtualisation is invisible'],
    suites: ['settled'],
    programs: 200,
    shrunkMax: 16,
  },
  {
    name: 'FENCE not handed on',
    where: 'device',
    description: 'The FENCE flag of a send is lost.',
    implementation: deviceFault(hca => ({
      postSend: (qp, request, cookie) =>
        hca.postSend(qp, { ...request, sendFlags: request.sendFlags & ~SendFlag.FENCE }, cookie),
    })),
    suites: ['settled'],
    needs: 'race',
    programs: 300,
    shrunkMax: 24,
  },
  {
    name: 'immediate data left out',
    where: 'device',
    description: 'RDMA_WRITE_WITH_IMM is carried out as RDMA_WRITE.',
    implementation: deviceFault(hca => ({
      postSend(qp, request, cookie) {
        const { opcode } = request;
        const plain = opcode === WrOpcode.RDMA_WRITE_WITH_IMM ? WrOpcode.RDMA_WRITE : opcode;
        hca.postSend(qp, { ...request, opcode: plain }, cookie);
      },
    })),
    suites: ['settled'],
    programs: 200,
  },
  {
    name: 'last element left out',
    where: 'device',
    description: 'Of a list of several elements the last is not gathered.',
    implementation: deviceFault(hca => ({
      postSend: (qp, request, cookie) =>
        hca.postSend(
          qp,
          { ...request, sges: request.sges.length > 1 ? request.sges.slice(0, -1) : request.sges },
          cookie,
        ),
    })),
  },
  {
    name: 'bad request vanishes',
    where: 'device',
    description: 'A malformed send is never completed.',
    implementation: deviceFault(() => ({ postFaultySend: () => undefined })),
    programs: 300,
  },
  {
    name: 'armed by nobody',
    where: 'device',
    description: 'The device interrupts for every completion, armed or not.',
    implementation: {
      reports: true,
      device: context => {
        const { profile, limits } = context;
        const map = profile.queues(limits.maxQps, limits.maxCqs);
        let interrupt: (index: number) => void = () => undefined;
        const numbers = new Map<HcaCq, number>();
        const hca = context.function;
        const device = bundledDevice({
          ...context,
          function: overlay(hca, {
            createCq(cqe, owner) {
              const cq = hca.createCq(
                cqe,
                overlay(owner, {
                  completionAdded(which, completion, solicited) {
                    owner.completionAdded(which, completion, solicited);
                    interrupt(map.cq(numbers.get(which) ?? 0));
                  },
                }),
              );
              numbers.set(cq, 0);
              return cq;
            },
          }),
        });
        return overlay(device, {
          attach(host) {
            interrupt = index => host.interruptQueue(index);
            device.attach(host);
          },
        });
      },
    },
    expectedLaws: ['an event needs an arming', 'machine DEVICE_STATUS'],
  },
  {
    name: 'reset without the adapter',
    where: 'device',
    description: 'A device reset leaves the objects of the adapter alone.',
    implementation: deviceFault(() => ({ reset: () => undefined })),
    expectedLaws: ['a reset leaves nothing behind'],
  },
];
