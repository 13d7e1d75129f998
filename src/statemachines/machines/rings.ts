/** What the two halves of a ring owe each other: the ownership of a chain, and the notifications of each direction. */
import type { MachineDefinition, TransitionDefinition } from '../definition.js';

export const chainMachine: MachineDefinition = {
  name: 'CHAIN',
  purpose:
    'A descriptor chain belongs to the driver, then to the device, then to the driver again. The device takes and returns it once each time that it is made available.',
  instance: 'one head of the descriptor table of one virtqueue',
  initial: 'FREE',
  states: [
    { name: 'FREE', doc: "The driver's; it may be filled", end: true },
    { name: 'AVAILABLE', doc: "The device's; not taken yet", end: true },
    { name: 'TAKEN', doc: "The device's; in work", end: true },
    { name: 'USED', doc: 'Returned; the driver has not looked yet', end: true },
  ],
  events: [
    { name: 'MAKE_AVAILABLE', doc: 'The driver put the chain in the available ring' },
    { name: 'TAKE', doc: 'The device took it' },
    { name: 'USE', doc: 'The device returned it' },
    { name: 'CONSUME', doc: 'The driver took the used element' },
    { name: 'RESET', doc: 'The queue or the device was reset' },
  ],
  transitions: [
    { from: 'FREE', event: 'MAKE_AVAILABLE', to: 'AVAILABLE', requirement: 'VQ-30' },
    { from: 'AVAILABLE', event: 'TAKE', to: 'TAKEN', requirement: 'VQ-31' },
    { from: 'TAKEN', event: 'USE', to: 'USED', requirement: 'VQ-35' },
    { from: 'USED', event: 'CONSUME', to: 'FREE', requirement: 'VQ-39' },
    ...['FREE', 'AVAILABLE', 'TAKEN', 'USED'].map(from => ({
      from,
      event: 'RESET',
      to: 'FREE',
      requirement: 'RST-37',
    })),
  ],
  forbidden: [
    { from: 'AVAILABLE', event: 'MAKE_AVAILABLE', requirement: 'VQ-30' },
    { from: 'TAKEN', event: 'MAKE_AVAILABLE', requirement: 'VQ-30' },
    { from: 'FREE', event: 'TAKE', requirement: 'VQ-31' },
    { from: 'TAKEN', event: 'TAKE', requirement: 'VQ-31' },
    { from: 'FREE', event: 'USE', requirement: 'VQ-35' },
    { from: 'AVAILABLE', event: 'USE', requirement: 'VQ-35' },
    { from: 'USED', event: 'USE', requirement: 'VQ-35' },
    { from: 'FREE', event: 'CONSUME', requirement: 'VQ-42' },
    { from: 'AVAILABLE', event: 'CONSUME', requirement: 'VQ-42' },
    { from: 'TAKEN', event: 'CONSUME', requirement: 'VQ-42' },
  ],
};

interface Direction {
  readonly name: string;
  readonly purpose: string;
  readonly writer: string;
  readonly reader: string;
  readonly entries: string;
  readonly ids: {
    /** The writer must notify a reader that asks for it, without and with the event index. */
    readonly notify: readonly [plain: string, eventIdx: string];
    /** The writer should leave a notification out that is not asked for. */
    readonly silent: string;
    /** The reader must look again before it sleeps. */
    readonly recheck: string;
    /** Notifications without need are to be put up with. */
    readonly spurious: string;
    /** Entries are taken once. */
    readonly take: string;
  };
}

/** Both directions are one machine: a writer of entries, and a reader that sleeps when it has seen them all. */
function notificationMachine({ name, purpose, writer, reader, entries, ids }: Direction): MachineDefinition {
  const awake: readonly TransitionDefinition[] = ['AWAKE', 'WAKING'].flatMap(
    (from): readonly TransitionDefinition[] => [
      { from, event: 'WRITE_NOTIFY', to: 'WAKING', requirement: ids.notify[0], effect: 'add' },
      { from, event: 'WRITE_SILENT', to: from, requirement: ids.silent, effect: 'add' },
      { from, event: 'READ', to: from, requirement: ids.take, guard: { kind: 'positive' }, effect: 'dec' },
      { from, event: 'WAKE', to: 'AWAKE', requirement: ids.spurious },
    ],
  );
  return {
    name,
    purpose,
    instance: 'one virtqueue',
    counter: { name: 'waiting', doc: `${entries} that the ${reader} has not taken` },
    initial: 'AWAKE',
    states: [
      { name: 'AWAKE', doc: `The ${reader} will look at the ring by itself`, end: true },
      { name: 'ASLEEP', doc: `The ${reader} waits for a notification and has seen every entry`, end: true },
      { name: 'WAKING', doc: `A notification is on its way to the ${reader}`, end: true },
    ],
    events: [
      { name: 'WRITE_NOTIFY', doc: `The ${writer} published ${entries} and notified`, argument: 'how many' },
      {
        name: 'WRITE_SILENT',
        doc: `The ${writer} published ${entries} and did not notify`,
        argument: 'how many',
      },
      { name: 'READ', doc: `The ${reader} took one` },
      { name: 'SLEEP', doc: `The ${reader} asked for notifications, looked again, and went to sleep` },
      { name: 'WAKE', doc: `A notification reached the ${reader}, or it woke by itself` },
    ],
    transitions: [
      ...awake,
      { from: 'AWAKE', event: 'SLEEP', to: 'ASLEEP', requirement: ids.recheck, guard: { kind: 'zero' } },
      // The notification on its way wakes the sleeper, needed or not.
      { from: 'WAKING', event: 'SLEEP', to: 'WAKING', requirement: ids.recheck, guard: { kind: 'zero' } },
      { from: 'ASLEEP', event: 'WRITE_NOTIFY', to: 'WAKING', requirement: ids.notify[0], effect: 'add' },
      { from: 'ASLEEP', event: 'WAKE', to: 'AWAKE', requirement: ids.spurious },
    ],
    forbidden: ids.notify.map(requirement => ({ from: 'ASLEEP', event: 'WRITE_SILENT', requirement })),
  };
}

export const notifyDeviceMachine = notificationMachine({
  name: 'NOTIFY_DEVICE',
  purpose:
    'Available-buffer notifications may be left out while the device is awake, and never when it sleeps. The device asks for them and looks at the ring once more before it goes to sleep, so that no wake-up is lost.',
  writer: 'driver',
  reader: 'device',
  entries: 'available chains',
  ids: { notify: ['VQ-61', 'VQ-63'], silent: 'VQ-62', recheck: 'VQ-73', spurious: 'VQ-59', take: 'VQ-31' },
});

export const notifyDriverMachine = notificationMachine({
  name: 'NOTIFY_DRIVER',
  purpose:
    'Used-buffer notifications may be left out while the driver is awake, and never when it sleeps. The driver asks for them and looks at the ring once more before it goes to sleep, so that no wake-up is lost.',
  writer: 'device',
  reader: 'driver',
  entries: 'used elements',
  ids: { notify: ['VQ-65', 'VQ-67'], silent: 'VQ-66', recheck: 'VQ-74', spurious: 'VQ-60', take: 'VQ-39' },
});
