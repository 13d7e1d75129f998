/** Devices of one host that get into each other's way: numbers, limits, memory, resets, packets of other machines. */
import { Command, destroyPdCommand } from '../../../abi/index.js';
import type { DeviceObjects } from '../../../device/index.js';
import { DeviceStatus } from '../../../virtio/index.js';
import type { GuestMemory, VirtioDevice } from '../../../virtio/index.js';
import { VerbsError } from '../../../verbs/index.js';
import { bundledDevice } from '../../bundled.js';
import type { DeviceContext, Implementation } from '../../implementation.js';
import { mutant } from '../mutant.js';
import type { Mutant } from '../mutant.js';
import { commands, deviceBytes, perDevice, useOfAdapter } from '../seams/device.js';
import { every, overlay } from '../seams/overlay.js';
import { sent } from '../seams/network.js';

/** What the devices of one world share; worlds are told apart by their schedulers. */
function shared<T>(make: () => T): (context: DeviceContext) => T {
  const worlds = new WeakMap<object, T>();
  return ({ scheduler }) => {
    const known = worlds.get(scheduler);
    if (known !== undefined) return known;
    const fresh = make();
    worlds.set(scheduler, fresh);
    return fresh;
  };
}

function isolation(name: string, breaks: string, doc: string, implementation: Implementation): Mutant {
  return mutant('device', name, { chapter: 'isolation', breaks }, doc, implementation);
}

const objectsOf = shared(() => new Map<number, DeviceObjects>());
const memoriesOf = shared(() => new Map<number, GuestMemory>());
const devicesOf = shared(() => new Map<number, VirtioDevice>());
const takenOf = shared(() => new Set<string>());
const functionsOf = shared(() => new Map<number, DeviceContext['function']>());

export const neighbourMutants: readonly Mutant[] = [
  isolation(
    'pd-of-another-machine-destroyed',
    'ISO-01 CTRL-47',
    "DESTROY_PD of a pdn that is nobody's here destroys the one of another machine.",
    perDevice(context =>
      commands(
        ({ run }, code) => ({
          run(objects, request, result, pages) {
            const all = objectsOf(context);
            all.set(context.vm, objects);
            if (code === Command.CREATE_PD) return run(objects, request, result, pages);
            const { pdn } = destroyPdCommand.decode(request, 0);
            const owner = [...all.values()].find(each => each.pds.get(pdn) !== undefined);
            return run(
              objects.pds.get(pdn) === undefined ? (owner ?? objects) : objects,
              request,
              result,
              pages,
            );
          },
        }),
        Command.CREATE_PD,
        Command.DESTROY_PD,
      ),
    ),
  ),
  isolation(
    'cq-numbers-shared',
    'ISO-02 CTRL-19',
    'CREATE_CQ gives no number that a completion queue of another machine has.',
    perDevice(context =>
      commands(
        ({ run }) => ({
          run(objects, request, result, pages) {
            const taken = takenOf(context);
            const isFree = (cqn: number): boolean =>
              objects.completionQueue(cqn) === undefined &&
              ![...taken].some(each => each.endsWith(` ${cqn}`) && !each.startsWith(`${context.vm} `));
            let cqn = 0;
            while (cqn < context.limits.maxCqs && !isFree(cqn)) cqn++;
            const free = cqn < context.limits.maxCqs ? cqn : objects.freeCqn();
            const done = run(overlay(objects, { freeCqn: () => free }), request, result, pages);
            if (done) taken.add(`${context.vm} ${free}`);
            return done;
          },
        }),
        Command.CREATE_CQ,
      ),
    ),
  ),
  isolation(
    'completion-told-to-another-machine',
    'ISO-07 ISO-06 ISO-08',
    'The first byte of each completion is written to the memory of another machine too.',
    deviceBytes(context => {
      memoriesOf(context).set(context.vm, context.memory);
      return {
        accessed(kind, address, length) {
          if (kind !== 'write' || length !== 48) return;
          for (const [vm, memory] of memoriesOf(context))
            if (vm !== context.vm) memory.write(address, Uint8Array.of(0xc9), 0, 1);
        },
      };
    }),
  ),
  mutant(
    'network',
    'packet-to-another-machine',
    { chapter: 'isolation', breaks: 'ISO-11', needs: 'history' },
    'Every sixth packet goes to another machine.',
    sent(() => {
      const known = new Set<string>();
      const due = every(6);
      return packet => {
        known.add(packet.sourceGid);
        const others = [...known].filter(gid => gid !== packet.destinationGid);
        if (others.length > 0 && due()) packet.destinationGid = others[others.length - 1];
      };
    }),
  ),
  isolation(
    'broken-ring-stops-everybody',
    'ISO-14',
    'When one device of a host needs a reset, all of them say so.',
    perDevice(context => ({
      device(inner) {
        const device = bundledDevice(inner);
        devicesOf(context).set(context.vm, device);
        return overlay(device, {
          readStatus: () => {
            let status = device.readStatus();
            for (const other of devicesOf(context).values())
              status |= other.readStatus() & DeviceStatus.DEVICE_NEEDS_RESET;
            return status;
          },
        });
      },
    })),
  ),
  isolation(
    'reset-of-one-resets-everybody',
    'ISO-15',
    'The reset of a live device destroys the objects of the other machines.',
    perDevice(context => ({
      device(inner) {
        const device = bundledDevice(inner);
        functionsOf(context).set(context.vm, context.function);
        return overlay(device, {
          writeStatus(status) {
            const live = (device.readStatus() & DeviceStatus.DRIVER_OK) !== 0;
            device.writeStatus(status);
            if (status !== 0 || !live) return;
            for (const [vm, hca] of functionsOf(context)) if (vm !== context.vm) hca.reset();
          },
        });
      },
    })),
  ),
  mutant(
    'device',
    'regions-counted-for-the-host',
    { chapter: 'isolation', breaks: 'ISO-16 RST-22', needs: 'history' },
    'The regions of all machines together may be as many as max_mr.',
    perDevice(context =>
      useOfAdapter(hca => ({
        registerMr(pd, init) {
          const count = countOf(context);
          if (count.regions >= hca.attributes.maxMr)
            throw new VerbsError('ENOMEM', 'registerMr', 'all are taken');
          const mr = hca.registerMr(pd, init);
          count.regions++;
          return mr;
        },
        deregisterMr(mr) {
          hca.deregisterMr(mr);
          countOf(context).regions--;
        },
      })),
    ),
  ),
];

const countOf = shared(() => ({ regions: 0 }));
