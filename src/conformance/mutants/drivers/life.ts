/** Drivers that are wrong about what lives when: buffers, armings, completions of what is gone, notifications of nothing. */
import { Command, createQpCommand, createCqCommand, qpCap } from '../../../abi/index.js';
import { VerbsError } from '../../../verbs/index.js';
import type { QueuePair } from '../../../verbs/index.js';
import { Avail, DeviceStatus, Descriptor, DescriptorFlag, Used } from '../../../virtio/index.js';
import { RdmaDriver } from '../../../driver/index.js';
import { mutant } from '../mutant.js';
import type { Mutant, MutantFacts } from '../mutant.js';
import { driverIn, driverRings, messages, operatingSystem, transport, verbs } from '../seams/driver.js';
import { bundledDriver } from '../../bundled.js';
import { oldestFirst } from './broken-devices.js';
import { overlay } from '../seams/overlay.js';

type Facts = Omit<MutantFacts, 'chapter'> & Partial<MutantFacts>;

function driver(name: string, facts: Facts, doc: string, implementation: Mutant['implementation']): Mutant {
  return mutant('driver', name, { chapter: 'completions', ...facts }, doc, implementation);
}

const isField = (offset: number, field: number): boolean => offset % Descriptor.SIZE === field;

const buffers: readonly Mutant[] = [
  driver(
    'one-buffer-too-few-at-first',
    { breaks: 'CQ-14' },
    'A completion queue begins with one buffer less than it has entries.',
    driverRings((window, area, { kind }) => {
      if (area !== 'available' || kind !== 'cq') return {};
      let first = true;
      return {
        store16(offset, value) {
          const less = offset === Avail.IDX && first && value > 1 ? 1 : 0;
          if (offset === Avail.IDX) first = false;
          window.store16(offset, value - less);
        },
      };
    }),
  ),
  driver(
    'buffers-back-a-poll-late',
    { breaks: 'CQ-16', needs: 'history' },
    'The buffers of a poll are made available again with those of the next.',
    driverRings((window, area, { kind }) => {
      if (area !== 'available' || kind !== 'cq') return {};
      let before: number | undefined;
      return {
        store16(offset, value) {
          if (offset !== Avail.IDX) return window.store16(offset, value);
          window.store16(offset, before ?? value);
          before = value;
        },
      };
    }),
  ),
  driver(
    'more-buffers-than-entries',
    { breaks: 'CQ-15' },
    'CREATE_CQ asks for one entry less than buffers are made available.',
    messages(() => ({
      published([header, data], { kind }) {
        if (kind !== 'control' || header.bytes[1] !== Command.CREATE_CQ) return;
        const cqe = data.view.getUint32(createCqCommand.offsets.cqe, true);
        if (cqe > 1) data.view.setUint32(createCqCommand.offsets.cqe, cqe - 1, true);
        data.save();
      },
    })),
  ),
  driver(
    'more-sends-than-granted',
    { chapter: 'limits', breaks: 'DATA-31', needs: 'history' },
    'CREATE_QP asks for one send less than the driver lets its program post.',
    messages(() => ({
      published([header, data], { kind }) {
        if (kind !== 'control' || header.bytes[1] !== Command.CREATE_QP) return;
        const at = createQpCommand.offsets.cap + qpCap.offsets.max_send_wr;
        const wr = data.view.getUint32(at, true);
        if (wr > 1) data.view.setUint32(at, wr - 1, true);
        data.save();
      },
    })),
  ),
  driver(
    'buffer-in-two-descriptors',
    { chapter: 'time and cost', breaks: 'PERF-13' },
    'A completion buffer is cut into two descriptors.',
    driverRings((window, area, { kind, size }) => {
      if (area !== 'descriptors' || kind !== 'cq') return {};
      let free = size - 1;
      return {
        set16(offset, value) {
          const at = offset - Descriptor.FLAGS;
          const whole = isField(offset, Descriptor.FLAGS) && value === DescriptorFlag.WRITE;
          if (!whole || free < size / 2 || at / Descriptor.SIZE >= size / 2)
            return window.set16(offset, value);
          const spare = Descriptor.SIZE * free;
          window.set64(spare + Descriptor.ADDR, window.get64(at + Descriptor.ADDR) + 24);
          window.set32(spare + Descriptor.LEN, 24);
          window.set16(spare + Descriptor.FLAGS, DescriptorFlag.WRITE);
          window.set32(at + Descriptor.LEN, 24);
          window.set16(at + Descriptor.NEXT, free--);
          window.set16(offset, DescriptorFlag.WRITE | DescriptorFlag.NEXT);
        },
      };
    }),
  ),
];

const started = new WeakSet<object>();

/** Interrupts of completion virtqueues while an arming is pending. */
function arming(afterwards: boolean): Mutant['implementation'] {
  return {
    reports: true,
    driver: async context => {
      let pending = 0;
      let came = false;
      let swallow = false;
      const inner = new RdmaDriver({
        ...context,
        transport: overlay(context.transport, {
          onInterrupt: handler =>
            context.transport.onInterrupt(source => {
              const event = source !== 'config' && source > 2;
              if (event && pending > 0) came = true;
              if (event && pending > 0 && !afterwards) return;
              if (event && pending === 0 && afterwards && swallow) {
                swallow = false;
                return;
              }
              handler(source);
            }),
        }),
      });
      await inner.start();
      return overlay(inner, {
        async reqNotifyCq(cq, solicitedOnly) {
          pending++;
          came = false;
          try {
            await inner.reqNotifyCq(cq, solicitedOnly);
          } finally {
            pending--;
            if (came) swallow = true;
          }
        },
      });
    },
  };
}

const events: readonly Mutant[] = [
  driver(
    'event-before-the-answer-lost',
    { chapter: 'notification races', breaks: 'CQ-48', needs: 'race' },
    'An event that comes before the OK of REQ_NOTIFY_CQ is ignored.',
    arming(false),
  ),
  driver(
    'event-after-an-early-one-lost',
    { chapter: 'notification races', breaks: 'CQ-49', needs: 'race' },
    'An event that comes after the OK of REQ_NOTIFY_CQ is ignored when one came before it.',
    arming(true),
  ),
  driver(
    'completions-of-the-dead-lost',
    { chapter: 'stale state', breaks: 'RST-10 CQ-55', needs: 'race' },
    'Completions of a queue pair that was destroyed before they were polled are lost.',
    verbs(inner => {
      const dead = new Set<number>();
      return {
        async createQp(pd, init) {
          const qp = await inner.createQp(pd, init);
          dead.delete(qp.qpNum);
          return qp;
        },
        async destroyQp(qp: QueuePair) {
          await inner.destroyQp(qp);
          dead.add(qp.qpNum);
        },
        pollCq(cq, completions, max) {
          const count = inner.pollCq(cq, completions, max);
          const left = completions.slice(0, count).filter(({ qpNum }) => !dead.has(qpNum));
          for (const [i, completion] of left.entries()) completions[i] = { ...completion };
          return left.length;
        },
      };
    }),
  ),
  driver(
    'spurious-interrupt-gives-the-device-up',
    { chapter: 'broken peers', breaks: 'VQ-60' },
    'A second interrupt of the control queue for one used index makes the driver set FAILED.',
    spurious(),
  ),
  driver(
    'unknown-interrupt-throws',
    { chapter: 'broken peers', breaks: 'HOST-34 VQ-60' },
    'An interrupt of a queue that does not exist is an exception.',
    transport(inner => ({
      onInterrupt: handler =>
        inner.onInterrupt(source => {
          if (source !== 'config' && source >= inner.queueCount) throw new RangeError(`queue ${source}`);
          handler(source);
        }),
    })),
  ),
  driver(
    'request-queue-interrupt-throws',
    { chapter: 'broken peers', breaks: 'HOST-34 VQ-60' },
    'An interrupt of a queue that the driver does not use is an exception.',
    transport(inner => ({
      onInterrupt: handler =>
        inner.onInterrupt(source => {
          if (source !== 'config' && source < 2) throw new RangeError(`queue ${source}`);
          handler(source);
        }),
    })),
  ),
  driver(
    'no-second-start',
    { chapter: 'broken peers', breaks: 'HOST-31' },
    'A driver does not start on a machine on which one was started before.',
    driverIn(context => {
      if (started.has(context.memory)) throw new VerbsError('EIO', 'start', 'started before');
      started.add(context.memory);
      return context;
    }),
  ),
];

/** Gives the device up for an interrupt of the control queue that brings nothing. */
function spurious(): Mutant['implementation'] {
  return {
    reports: true,
    driver: context => {
      let used = -1;
      let last = -2;
      const { driver: watching } = driverRings((window, area, { kind }) =>
        area !== 'used' || kind !== 'control'
          ? {}
          : {
              load16(offset) {
                const value = window.load16(offset);
                if (offset === Used.IDX) used = value;
                return value;
              },
            },
      );
      const line = overlay(context.transport, {
        onInterrupt: handler =>
          context.transport.onInterrupt(source => {
            const status = context.transport.readStatus();
            if (source === 2 && used === last) context.transport.writeStatus(status | DeviceStatus.FAILED);
            if (source === 2) last = used;
            handler(source);
          }),
      });
      return (watching ?? bundledDriver)({ ...context, transport: line });
    },
  };
}

const reading: readonly Mutant[] = [
  driver(
    'commands-back-in-order',
    { chapter: 'ordering', breaks: 'VQ-39 ERR-07' },
    'The answers of the control queue are taken to come in the order of the commands.',
    oldestFirst('control'),
  ),
  driver(
    'answer-read-twice',
    { chapter: 'broken peers', breaks: 'HOST-32', needs: 'race' },
    'Each field of a completion is read twice, and the second reading counts.',
    operatingSystem(os => ({
      allocDma(bytes, alignment) {
        const buffer = os.allocDma(bytes, alignment);
        const { view } = buffer;
        return {
          address: buffer.address,
          bytes: buffer.bytes,
          view: overlay(view, {
            getUint8: at => view.getUint8(at) & view.getUint8(at),
            getUint32: (at, little) => (view.getUint32(at, little) & view.getUint32(at, little)) >>> 0,
          }),
        };
      },
      freeDma: () => undefined,
    })),
  ),
  driver(
    'wide-values-cut',
    { chapter: 'errors and statuses', breaks: 'ERR-01' },
    'Attributes that do not fit a byte are cut.',
    verbs(inner => ({
      modifyQp(qp, attributes) {
        const { timeout, retryCnt, rnrRetry, minRnrTimer, pathMtu } = attributes;
        const cut = (value: number | undefined): number | undefined =>
          value === undefined ? undefined : value & 0xff;
        return inner.modifyQp(qp, {
          ...attributes,
          timeout: cut(timeout),
          retryCnt: cut(retryCnt),
          rnrRetry: cut(rnrRetry),
          minRnrTimer: cut(minRnrTimer),
          pathMtu: cut(pathMtu),
        });
      },
      delGid: index => inner.delGid(index & 0xffff),
      addGid: (index, gid) => inner.addGid(index & 0xffff, gid),
      createCq: (cqe, onEvent) => inner.createCq(cqe > 2 ** 32 ? cqe % 2 ** 32 : cqe, onEvent),
    })),
  ),
  driver(
    'payload-touched',
    { chapter: 'time and cost', breaks: 'PERF-16' },
    'A post reads the first byte of its payload.',
    verbs((inner, context) => ({
      postSend(qp, request) {
        const [sge] = request.sges;
        if (sge !== undefined && sge.length > 0) {
          try {
            const place = context.os.translate(sge.addr);
            context.memory.read(place, new Uint8Array(1), 0, 1);
            context.os.releasePage(sge.addr);
          } catch {
            // It is not mapped.
          }
        }
        inner.postSend(qp, request);
      },
    })),
  ),
];

export const driverLifeMutants: readonly Mutant[] = [...buffers, ...events, ...reading];
