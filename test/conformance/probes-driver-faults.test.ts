/** The driver cases can fail: wrong drivers, each one small change laid over the bundled one, and the case that must catch it. */
import { expect, it } from 'vitest';
import { bundledDriver } from '../../src/conformance/bundled.js';
import { CaseBroken } from '../../src/conformance/cases/case.js';
import type { DriverFactory } from '../../src/conformance/index.js';
import { hostileDeviceCases } from '../../src/conformance/hostile/device/index.js';
import { driverCases } from '../../src/conformance/probes/driver/index.js';
import type { GuestOs } from '../../src/driver/index.js';
import { VerbsError } from '../../src/verbs/index.js';
import type { Verbs } from '../../src/verbs/index.js';
import type { VirtioTransport } from '../../src/virtio/index.js';
import { overlay } from './faults/fault.js';

function verbs(change: (inner: Verbs) => Partial<Verbs>): DriverFactory {
  return async context => {
    const inner = await bundledDriver(context);
    return overlay(inner, change(inner));
  };
}
function transport(change: (inner: VirtioTransport) => Partial<VirtioTransport>): DriverFactory {
  return async context =>
    bundledDriver({ ...context, transport: overlay(context.transport, change(context.transport)) });
}
function os(change: (inner: GuestOs) => Partial<GuestOs>): DriverFactory {
  return async context => bundledDriver({ ...context, os: overlay(context.os, change(context.os)) });
}

/** Fault, driver, the cases that must catch it. */
const faults: readonly (readonly [string, DriverFactory, readonly string[]])[] = [
  [
    'a feature is accepted that is not offered',
    transport(inner => ({ setDriverFeatures: bits => inner.setDriverFeatures(bits | (1n << 34n)) })),
    ['FEAT/accept/version-1', 'FEAT/status/order'],
  ],
  [
    'FEATURES_OK is not looked at again',
    transport(inner => ({ readStatus: () => inner.readStatus() | 8 })),
    ['FEAT/status/features-refused'],
  ],
  [
    'the status forgets its earlier bits',
    transport(inner => ({
      writeStatus: status => inner.writeStatus(status === 0 ? 0 : 1 << (31 - Math.clz32(status))),
    })),
    ['FEAT/status/order'],
  ],
  [
    'a reset counts as done at once',
    transport(inner => ({ readStatus: () => (inner.readStatus() === 0x0f ? 0 : inner.readStatus()) })),
    ['FEAT/status/slow-reset'],
  ],
  [
    'a verb that is pending at a reset stays so',
    verbs(inner => ({
      createPd: () => inner.createPd().catch(async () => new Promise<never>(() => undefined)),
    })),
    ['RST/pending/verbs-at-a-reset', 'ERR/needs-reset/pending-verbs'],
  ],
  [
    'the generation is not compared',
    transport(() => ({ configGeneration: 0 })),
    ['CONF/generation/one-change', 'CONF/generation/20-changes'],
  ],
  [
    'a kick is left out now and then',
    transport(inner => {
      let kicks = 0;
      return { notify: index => (++kicks % 3 === 0 ? undefined : inner.notify(index)) };
    }),
    ['VQ/kick/send-wanted', 'VQ/kick/command-wanted'],
  ],
  [
    'every kick is sent twice',
    transport(inner => ({
      notify: index => {
        inner.notify(index);
        inner.notify(index);
      },
    })),
    ['VQ/kick/send-wanted', 'VQ/kick/command-wanted'],
  ],
  [
    'pages are given back at once',
    os(inner => ({
      translate: address => {
        const place = inner.translate(address);
        inner.releasePage(address);
        return place;
      },
      releasePage: () => undefined,
    })),
    ['MEM/pages/held-from-the-command-on'],
  ],
  [
    'every page is translated twice',
    os(inner => ({
      translate: address => {
        inner.releasePage((inner.translate(address), address));
        return inner.translate(address);
      },
    })),
    ['MEM/page-list/one-page'],
  ],
  [
    'a region begins at its page',
    verbs(inner => ({
      regMr: (pd, init) => inner.regMr(pd, { ...init, addr: init.addr - (init.addr % 4096) }),
    })),
    ['MEM/page-list/unaligned-both-ends'],
  ],
  [
    'a full queue is EINVAL',
    verbs(inner => ({
      postSend: (qp, request) => rethrow('ENOMEM', 'EINVAL', () => inner.postSend(qp, request)),
    })),
    ['DATA/capacity/send-slots'],
  ],
  [
    'EBUSY is EINVAL',
    verbs(inner => ({ destroyPd: pd => inner.destroyPd(pd).catch(as('EBUSY', 'EINVAL')) })),
    ['ERR/busy/domain-by-region'],
  ],
  [
    'ENOMEM is EINVAL',
    verbs(inner => ({ createPd: () => inner.createPd().catch(as('ENOMEM', 'EINVAL')) })),
    ['ERR/limit/domains'],
  ],
  [
    'arming for solicited arms for any',
    verbs(inner => ({ reqNotifyCq: cq => inner.reqNotifyCq(cq, false) })),
    ['CTRL/req-notify-cq-solicited/layout'],
  ],
  [
    'the handler is called twice',
    verbs(inner => ({
      createCq: (cqe, handler) =>
        inner.createCq(cqe, cq => {
          handler?.(cq);
          handler?.(cq);
        }),
    })),
    ['CQ/event/one-handler-call-for-each-arming'],
  ],
  [
    'a completion queue has one entry more',
    verbs(inner => ({ createCq: (cqe, handler) => inner.createCq(cqe + 1, handler) })),
    ['CTRL/create-cq/layout', 'CQ/buffers/as-many-as-entries'],
  ],
  [
    'deregMr resolves before its answer',
    verbs(inner => ({ deregMr: async mr => void inner.deregMr(mr).catch(() => undefined) })),
    ['MEM/pages/held-from-the-command-on'],
  ],
  [
    'a poll brings nothing the first time',
    verbs(inner => {
      let polls = 0;
      return { pollCq: (cq, into, max) => (++polls % 3 === 1 ? 0 : inner.pollCq(cq, into, max)) };
    }),
    ['CQ/poll/looks-at-the-ring'],
  ],
  [
    'the last completion is given once more',
    verbs(inner => ({
      pollCq: (cq, into, max) => {
        const count = inner.pollCq(cq, into, max);
        if (count === 0 || count >= max) return count;
        into[count] = { ...into[count - 1] };
        return count + 1;
      },
    })),
    ['CQ/poll/at-most-16', 'HOST/device/completions'],
  ],
  [
    'a broken device ends in a TypeError',
    verbs(inner => ({
      pollCq: (cq, into, max) => {
        try {
          return inner.pollCq(cq, into, max);
        } catch {
          throw new TypeError('undefined is not a function');
        }
      },
    })),
    ['HOST/device/completions', 'HOST/completion/status-16'],
  ],
  [
    'a datagram may be longer than the MTU',
    verbs(inner => ({ queryPort: async () => ({ ...(await inner.queryPort()), activeMtu: 5 }) })),
    ['CONF/mtu/active'],
  ],
  [
    'inline data is taken a moment later',
    verbs(inner => ({
      postSend: (qp, request) =>
        inner.postSend(
          qp,
          request.inlineData === undefined
            ? request
            : { ...request, inlineData: request.inlineData.map(byte => byte ^ 1) },
        ),
    })),
    ['DATA/send-inline/64-bytes'],
  ],
  [
    'receives get the number of the one before',
    verbs(inner => {
      let last = 0;
      return {
        postRecv: (qp, request) => {
          const wrId = last;
          last = request.wrId;
          inner.postRecv(qp, { ...request, wrId });
        },
      };
    }),
    ['DATA/receive/1-elements', 'DATA/order/receives'],
  ],
];

function as(from: string, to: 'EINVAL'): (error: unknown) => never {
  return error => {
    if (error instanceof VerbsError && error.errno === from) throw new VerbsError(to, error.verb, 'changed');
    throw error;
  };
}
function rethrow(from: string, to: 'EINVAL', run: () => void): void {
  try {
    run();
  } catch (error) {
    as(from, to)(error);
  }
}

it.each(faults.flatMap(([name, driver, ids]) => ids.map(id => ({ name, driver, id }))))(
  '$id catches: $name',
  async ({ driver, id }) => {
    const found = [...driverCases, ...hostileDeviceCases].find(each => each.id === id);
    if (found === undefined || (found.how.kind !== 'probe' && found.how.kind !== 'hostile'))
      throw new Error(`no case ${id}`);
    const { run } = found.how;
    await expect(run({ profile: 'rdma', implementation: { driver }, seed: 1 })).rejects.toThrow(CaseBroken);
  },
);
