/** The seams of a device: its commands, its use of the adapter, its registers, its rings, what it reads and writes. */
import { cqReq, rqReq, sge, sqReq } from '../../../abi/index.js';
import type { Command, Struct } from '../../../abi/index.js';
import { RdmaDevice, commandHandler } from '../../../device/index.js';
import type { CommandHandler, CommandTable, DeviceObjects, PageList } from '../../../device/index.js';
import type { HcaCqOwner, HcaFunction, HcaQpOwner } from '../../../reference/index.js';
import { ringFeatures } from '../../../virtio/index.js';
import type { DeviceHost, FeatureSet, GuestMemory, VirtioDevice } from '../../../virtio/index.js';
import type { DeviceContext, Implementation } from '../../implementation.js';
import { overlay } from './overlay.js';
import { RingAreas, ringKind } from './rings.js';
import type { RingChange, RingFormat } from './rings.js';
import { changedWindow } from './window.js';

type Device = (context: DeviceContext) => VirtioDevice;

function deviceMutant(device: Device): Implementation {
  return { reports: true, device };
}

/** The bundled device that uses the adapter wrongly. */
export function useOfAdapter(
  change: (inner: HcaFunction, context: DeviceContext) => Partial<HcaFunction>,
): Implementation {
  return deviceMutant(
    context =>
      new RdmaDevice({ ...context, function: overlay(context.function, change(context.function, context)) }),
  );
}

/** The owner of each queue pair is told otherwise than it should be. */
export function queuePairOwners(change: (owner: HcaQpOwner) => Partial<HcaQpOwner>): Implementation {
  return useOfAdapter(hca => ({
    createQp: (pd, init, owner, qpNum) => hca.createQp(pd, init, overlay(owner, change(owner)), qpNum),
  }));
}

/** The same of each completion queue, of `cqe` entries. */
export function completionQueueOwners(
  change: (owner: HcaCqOwner, cqe: number) => Partial<HcaCqOwner>,
): Implementation {
  return useOfAdapter(hca => ({
    createCq: (cqe, owner) => hca.createCq(cqe, overlay(owner, change(owner, cqe))),
  }));
}

/** Some commands are carried out by other handlers. `change` is called once for each device and code. */
export function commands(
  change: (inner: CommandHandler, code: Command) => Partial<CommandHandler> | undefined,
  ...codes: readonly Command[]
): Implementation {
  return deviceMutant(context => {
    const changed = new Map<number, CommandHandler>();
    for (const code of codes) {
      const inner = commandHandler(code);
      if (inner !== undefined) changed.set(code, overlay(inner, change(inner, code) ?? {}));
    }
    return new RdmaDevice({ ...context, commands: code => changed.get(code) ?? commandHandler(code) });
  });
}

/** Another table of commands altogether, made for each device. */
export function commandTable(make: () => CommandTable): Implementation {
  return deviceMutant(context => new RdmaDevice({ ...context, commands: make() }));
}

/** A fault that keeps something for each device. */
export function perDevice(make: (context: DeviceContext) => Implementation): Implementation {
  return deviceMutant(context => {
    const { device } = make(context);
    return device === undefined ? new RdmaDevice(context) : device(context);
  });
}

/** A command is carried out as if its data had been other: what a device does that leaves a check out. */
export function misreads<Q extends object>(
  code: Command,
  layout: Struct<Q>,
  change: (request: Q, objects: DeviceObjects) => Partial<Q> | undefined,
): Implementation {
  return commands(
    inner => ({
      run(objects, request, result, pages) {
        const value = layout.decode(request, 0);
        const other = change(value, objects);
        if (other !== undefined) layout.encode(request, 0, { ...value, ...other });
        return inner.run(objects, request, result, pages);
      },
    }),
    code,
  );
}

/** The page list of REG_USER_MR is taken for another. */
export function otherPages(
  pages: (inner: PageList) => PageList,
): (inner: CommandHandler) => Partial<CommandHandler> {
  return inner => ({
    run: (objects, request, result, list) => inner.run(objects, request, result, pages(list)),
  });
}

/** The result of a command is changed before it is answered. */
export function answersWith<A extends object>(
  code: Command,
  layout: Struct<A>,
  change: (result: A, objects: DeviceObjects, request: DataView) => Partial<A>,
): Implementation {
  return commands(
    inner => ({
      run(objects, request, result, pages) {
        if (!inner.run(objects, request, result, pages)) return false;
        const value = layout.decode(result, 0);
        layout.encode(result, 0, { ...value, ...change(value, objects, request) });
        return true;
      },
    }),
    code,
  );
}

/** The bundled device behind other registers. */
export function registers(
  change: (inner: VirtioDevice, context: DeviceContext) => Partial<VirtioDevice>,
): Implementation {
  return deviceMutant(context => {
    const inner = new RdmaDevice(context);
    return overlay<VirtioDevice>(inner, change(inner, context));
  });
}

/** What the device sends to the driver goes other ways. */
export function interrupts(
  change: (host: DeviceHost, context: DeviceContext) => Partial<DeviceHost>,
): Implementation {
  return registers((inner, context) => ({
    attach: host => inner.attach(overlay(host, change(host, context))),
  }));
}

/** The device sees and writes its rings wrongly. */
export function deviceRings(change: RingChange, format: RingFormat = 'split'): Implementation {
  return deviceMutant(context => {
    const { memory, profile, limits } = context;
    const map = profile.queues(limits.maxQps, limits.maxCqs);
    const areas = new RingAreas(format);
    let features: FeatureSet = 0n;
    const device = new RdmaDevice({
      ...context,
      memory: overlay(memory, {
        window(address, length) {
          const window = memory.window(address, length);
          return window && changedWindow(window, format, () => areas.changes(window, change));
        },
      }),
    });
    return overlay<VirtioDevice>(device, {
      setDriverFeatures(accepted) {
        features = accepted;
        device.setDriverFeatures(accepted);
      },
      enableQueue(queue, size, addresses, start) {
        const kind = ringKind(map, limits.maxCqs, queue);
        areas.add({ queue, size, kind, addresses, features: ringFeatures(features) });
        device.enableQueue(queue, size, addresses, start);
      },
    });
  });
}

/** What the device reads and writes besides rings and payload. */
export interface DeviceBytes {
  /** The 48 bytes of a completion before they are written. */
  completion(view: DataView): void;
  /** What is written of an answer: its first byte is the ack unless `offset` is above 0. */
  answer(bytes: Uint8Array, offset: number): void;
  /** The fixed part of a send request, as it was read, with the bytes that there are in all. */
  send(view: DataView, length: number): void;
  /** The fixed part of a receive request. */
  recv(view: DataView, length: number): void;
  /** The two bytes that a command begins with. */
  header(bytes: Uint8Array): void;
  /** Goes behind any read or write of those; `again` does it once more. */
  accessed(kind: 'read' | 'write', address: number, length: number, memory: GuestMemory): void;
}

/** The bundled device with changes to what it reads and writes; payload goes past it. */
export function deviceBytes(make: (context: DeviceContext) => Partial<DeviceBytes>): Implementation {
  return deviceMutant(context => {
    const { memory, function: hca } = context;
    const change = make(context);
    return new RdmaDevice({
      ...context,
      function: overlay(hca, {
        registerMr: (pd, init) => hca.registerMr(pd, { ...init, memory }),
      }),
      memory: overlay(memory, {
        write(address, source, from, length) {
          const bytes = source.slice(from, from + length);
          const isCompletion = source.length === cqReq.size;
          if (!isCompletion) change.answer?.(bytes, from);
          else if (from === 0 && length === cqReq.size) change.completion?.(new DataView(bytes.buffer));
          const done = memory.write(address, bytes, 0, bytes.length);
          change.accessed?.('write', address, bytes.length, memory);
          return done;
        },
        read(address, target, to, length) {
          const done = memory.read(address, target, to, length);
          if (done && to === 0) read(change, target, length, context);
          change.accessed?.('read', address, length, memory);
          return done;
        },
      }),
    });
  });
}

/** Whose copy it is follows from the room that it has. */
function read(
  change: Partial<DeviceBytes>,
  target: Uint8Array,
  length: number,
  context: DeviceContext,
): void {
  const { maxSendSge, maxRecvSge } = context.function.attributes;
  const view = new DataView(target.buffer, target.byteOffset, target.length);
  if (target.length === 2 && length === 2) change.header?.(target);
  if (target.length !== sqReq.size + Math.max(maxSendSge, maxRecvSge) * sge.size) return;
  if (length >= sqReq.size) change.send?.(view, length);
  else if (length >= rqReq.size) change.recv?.(view, length);
}
