/**
 * What the rings show, by id: what must hold of each ring that the kit watches, whom it judges, and which sentences of the
 * spec it comes from. `docs/ring-observations.md` lists the same.
 */
import type { Party } from '../cases/case.js';

export interface RingObservation {
  /** RING-01 and so on; stable for ever. */
  readonly id: string;
  /** The end of its case's id: `VQ/ring/used-index`. */
  readonly slug: string;
  /** What holds, in one sentence. */
  readonly doc: string;
  /** What is looked at, each time that it counts as looked at. */
  readonly watched: string;
  /** The most telling first. */
  readonly requirements: readonly string[];
  readonly judges: Party;
  /** A breach fails, or is only counted: nobody promised it, or the sentence says SHOULD. */
  readonly verdict: 'fail' | 'count';
}

type Draft = Omit<RingObservation, 'id'>;

function driver(slug: string, doc: string, watched: string, ...requirements: readonly string[]): Draft {
  return { slug, doc, watched, requirements, judges: 'driver', verdict: 'fail' };
}
function device(slug: string, doc: string, watched: string, ...requirements: readonly string[]): Draft {
  return { slug, doc, watched, requirements, judges: 'device', verdict: 'fail' };
}
function counted(draft: Draft): Draft {
  return { ...draft, verdict: 'count' };
}
function both(slug: string, doc: string, watched: string, ...requirements: readonly string[]): Draft {
  return { slug, doc, watched, requirements, judges: 'both', verdict: 'fail' };
}

/** In the order of their ids: a new one goes to the end. */
const drafts = {
  setUp: driver(
    'set-up',
    'A queue is enabled with a size and places that the spec allows, in memory that was filled with zero bytes.',
    'each queue enabled',
    'VQ-08',
    'VQ-05',
    'VQ-06',
    'VQ-07',
    'VQ-81',
    'VQ-82',
    'VQ-83',
  ),
  availIndex: driver(
    'available-index',
    'The available index moves forward by the chains put behind it, never back and never over more chains than there is room for.',
    'each raise of an available index',
    'VQ-28',
    'VQ-30',
  ),
  reuse: driver(
    'reuse-before-used',
    'A descriptor of a chain that the device has is in no other chain, nor is its buffer id.',
    'each chain made available',
    'VQ-30',
    'VQ-87',
    'VQ-88',
  ),
  ownership: driver(
    'descriptor-ownership',
    'The descriptors, the indirect table and the slot of a chain stay as they are while the device has it.',
    'each write to a descriptor or slot, and each chain when it comes back',
    'VQ-29',
    'VQ-28',
  ),
  requestBytes: driver(
    'request-bytes-unchanged',
    'The readable bytes of a chain stay as they are while the device has it.',
    'each write to a readable part, and each chain when it comes back',
    'DATA-35',
  ),
  usedRing: driver(
    'used-ring-is-the-devices',
    'The driver writes nothing to the used ring of an enabled queue.',
    'each write of the driver to a ring',
    'VQ-41',
    'VQ-08',
  ),
  chainShape: driver(
    'chain-shape',
    'A chain is at most as long as the queue, ends, lies in guest memory, and has its readable parts first.',
    'each chain made available',
    'VQ-14',
    'VQ-15',
    'VQ-17',
  ),
  indirect: driver(
    'indirect',
    'INDIRECT is used only if negotiated, for one table, not within a table and not together with NEXT.',
    'each chain made available',
    'VQ-20',
    'VQ-21',
    'VQ-22',
    'VQ-89',
  ),
  driverFlags: driver(
    'driver-flags',
    'Bits of descriptor flags and of the available ring’s flags that the spec does not name are 0, and with EVENT_IDX all of the latter are; the driver’s event structure holds a mode that it may.',
    'each chain made available and each write of the flags',
    'VQ-69',
    'OVR-06',
    'VQ-104',
  ),
  usedEvent: counted(
    driver(
      'used-event-unasked',
      'The driver leaves used_event alone without EVENT_IDX.',
      'each chain made available without EVENT_IDX',
      'VQ-69',
    ),
  ),
  kickMissing: driver(
    'kick-missing',
    'Each raise of the available index that the device wants to be told of is followed by a notification before all comes to rest.',
    'each decision about an available-buffer notification',
    'VQ-61',
    'VQ-63',
    'VQ-100',
  ),
  kickNeedless: counted(
    driver(
      'kick-needless',
      'No notification is sent that the device did not want, or for which there is nothing new.',
      'each available-buffer notification',
      'VQ-62',
      'VQ-64',
      'VQ-101',
    ),
  ),
  driverBarrier: driver(
    'driver-looks-after-raising',
    'A driver that leaves a notification out has read the device’s wish after it raised the index.',
    'each raise of an available index without a notification',
    'VQ-71',
  ),
  driverRecheck: driver(
    'driver-looks-again',
    'A driver that asks for interrupts while chains are out reads the used index once more before it waits.',
    'each time that the driver asks for interrupts',
    'VQ-74',
  ),
  usedOrder: driver(
    'used-index-first',
    'The driver reads no used element before it has read the index that publishes it.',
    'each read of a used element',
    'VQ-41',
  ),
  driverDoubleFetch: counted(
    driver(
      'driver-double-fetch',
      'The driver reads each field of a used element once.',
      'each read of a used element',
      'HOST-32',
    ),
  ),
  driverReserved: driver(
    'driver-reserved-bytes',
    'Reserved and padding bytes of commands and requests are zero.',
    'each command and request made available',
    'OVR-06',
  ),
  room: driver(
    'room-for-answers',
    'A command has room for its ack and its result, and a completion buffer for 48 bytes.',
    'each command and completion buffer made available',
    'CTRL-17',
    'CQ-10',
  ),
  emptyDescriptor: counted(
    driver('empty-descriptor', 'No descriptor has a length of 0.', 'each chain made available', 'VQ-19'),
  ),
  capacity: driver(
    'within-capacity',
    'No more buffers are out than the completion queue has entries, and no more requests than the queue pair may hold.',
    'each chain made available on a queue whose object exists',
    'CQ-15',
    'DATA-31',
  ),
  release: driver(
    'memory-kept',
    'Memory is not given back to the operating system while the device may use it.',
    'each DMA buffer and page given back',
    'RST-18',
    'RST-37',
    'MEM-03',
    'HOST-30',
  ),
  usedIndex: device(
    'used-index',
    'The used index moves forward by the chains returned, never back and never over more than are out.',
    'each raise of a used index',
    'VQ-36',
    'VQ-35',
  ),
  usedId: device(
    'used-id',
    'A used id is the head of a chain that the device has taken and not returned.',
    'each used element published',
    'VQ-35',
    'VQ-91',
  ),
  foreignAreas: device(
    'driver-areas-unwritten',
    'The device writes nothing to a descriptor table, an available ring, an indirect table or the readable part of a chain.',
    'each write of the device',
    'VQ-33',
  ),
  writesWithin: device(
    'writes-within',
    'The device writes nothing but its used rings, writable bytes of chains that it has, and regions with the right to be written.',
    'each write of the device',
    'ISO-08',
    'ERR-23',
    'MEM-15',
  ),
  readsWithin: device(
    'reads-within',
    'The device reads nothing but rings, chains that it has, and regions that are registered.',
    'each read of the device',
    'RST-16',
    'DATA-34',
    'ISO-06',
  ),
  usedLength: device(
    'used-length',
    'A used length is no more than what was written from the first writable byte on without a gap.',
    'each used element published',
    'VQ-37',
    'VQ-38',
  ),
  answerLength: device(
    'answer-length',
    'A command comes back with the length of its answer, a completion buffer with 48.',
    'each command and completion returned',
    'CTRL-02',
    'CTRL-04',
    'CQ-12',
  ),
  lateWrites: device(
    'written-before-published',
    'Data and element of a returned chain are in place when the used index shows it, and stay.',
    'each write of the device',
    'VQ-36',
    'CQ-07',
    'VQ-93',
  ),
  takeOrder: device(
    'taken-in-order',
    'Slots of the available ring are read in order, and after the index that publishes them.',
    'each read of a slot',
    'VQ-31',
    'VQ-34',
  ),
  deviceDoubleFetch: counted(
    device(
      'device-double-fetch',
      'The device reads each byte of a slot, descriptor, table and readable part once for each chain.',
      'each read of the device',
      'VQ-32',
      'HOST-02',
      'CTRL-15',
    ),
  ),
  interruptMissing: device(
    'interrupt-missing',
    'Each raise of the used index that the driver wants to be told of is followed by an interrupt before all comes to rest; completion queues are ruled by arming.',
    'each decision about a used-buffer notification',
    'VQ-65',
    'VQ-67',
    'VQ-102',
  ),
  interruptNeedless: counted(
    device(
      'interrupt-needless',
      'No interrupt is sent that the driver did not want, or for which there is nothing new.',
      'each used-buffer notification of a queue that is not a completion queue’s',
      'VQ-66',
      'VQ-68',
      'VQ-103',
    ),
  ),
  deviceBarrier: device(
    'device-looks-after-raising',
    'A device that leaves an interrupt out has read the driver’s wish after it raised the index.',
    'each raise of a used index without an interrupt',
    'VQ-72',
  ),
  deviceRecheck: device(
    'device-looks-again',
    'A device that asks for notifications reads the available index once more before it waits.',
    'each time that the device asks for notifications',
    'VQ-73',
  ),
  deviceFlags: device(
    'device-flags',
    'Bits of the used ring’s flags that the spec does not name are 0, and with EVENT_IDX all of them; the same holds for used elements of a packed ring and the mode of the device’s event structure.',
    'each write of the flags',
    'VQ-70',
    'OVR-05',
    'VQ-94',
    'VQ-105',
  ),
  availEvent: counted(
    device(
      'avail-event-unasked',
      'The device leaves avail_event alone without EVENT_IDX.',
      'each chain returned without EVENT_IDX',
      'VQ-70',
    ),
  ),
  armed: device(
    'interrupts-are-armed',
    'A completion queue interrupts at most once for each time that it was armed, and not after it is destroyed.',
    'each interrupt of a completion queue',
    'CQ-09',
    'CQ-37',
    'RST-14',
  ),
  deviceReserved: device(
    'device-reserved-bytes',
    'Reserved and padding bytes of answers and completions are zero.',
    'each answer and completion returned',
    'OVR-05',
  ),
  noObject: device(
    'object-exists',
    'No chain is taken from the queue of a completion queue or queue pair that does not exist.',
    'each chain taken from a queue that an object owns',
    'VQ-04',
  ),
  afterReset: device(
    'silent-after-reset',
    'Nothing is read, written or notified on account of what was before a reset.',
    'each reset of a live device',
    'RST-32',
    'RST-31',
  ),
  bufferUnread: device(
    'writable-bytes-unread',
    'The device does not read what stands in a completion buffer.',
    'each completion buffer returned',
    'HOST-05',
  ),
  chainMachine: both(
    'chain-ownership',
    'Each chain goes from driver to device and back as the machine CHAIN says.',
    'each step of a chain',
    'VQ-30',
    'VQ-31',
    'VQ-35',
    'VQ-39',
  ),
  toDeviceMachine: both(
    'wake-ups-of-the-device',
    'No notification is missing while the device sleeps: the machine NOTIFY_DEVICE.',
    'each raise, look and sleep of the direction',
    'VQ-61',
    'VQ-63',
    'VQ-73',
  ),
  toDriverMachine: both(
    'wake-ups-of-the-driver',
    'No interrupt is missing while the driver sleeps: the machine NOTIFY_DRIVER.',
    'each raise, look and sleep of the direction',
    'VQ-65',
    'VQ-67',
    'VQ-74',
  ),
  commandMachine: both(
    'commands-answered-once',
    'Each command is answered once, and its answer is seen as it was given: the machine COMMAND.',
    'each step of a command',
    'CTRL-01',
    'CTRL-03',
    'ERR-07',
  ),
  inOrder: device(
    'used-in-order',
    'With IN_ORDER chains come back in the order in which they were made available, and those that an element passes over were wholly written.',
    'each chain returned with IN_ORDER',
    'VQ-108',
    'VQ-110',
  ),
  chainShown: driver(
    'chain-shown-whole',
    'When the first descriptor of a chain in a packed ring shows as available, so do all others of it.',
    'each chain made available in a packed ring',
    'VQ-86',
    'VQ-85',
  ),
  availPlace: driver(
    'chain-behind-chain',
    'Chains stand one behind another in a packed ring: none is shown where the device does not look next.',
    'each rest of a packed ring that the driver has written to',
    'VQ-84',
  ),
  usedPlace: device(
    'element-behind-chain',
    'A used element of a packed ring stands where the chain, or the batch, of the one before it ended.',
    'each rest of a packed ring that the device has written to',
    'VQ-92',
  ),
  notificationData: driver(
    'notification-data',
    'With NOTIFICATION_DATA a notification says where the next chain will stand, and without it nothing.',
    'each available-buffer notification',
    'VQ-112',
  ),
  tableOrder: driver(
    'table-in-order',
    'With IN_ORDER the descriptors of a split ring are used in the order of the table, from 0 on and round.',
    'each chain made available in a split ring with IN_ORDER',
    'VQ-111',
  ),
} as const satisfies Record<string, Draft>;

export type ObservationKey = keyof typeof drafts;

function isKey(key: string): key is ObservationKey {
  return Object.hasOwn(drafts, key);
}

export const observationKeys: readonly ObservationKey[] = Object.keys(drafts).filter(isKey);

export const observations: Readonly<Record<ObservationKey, RingObservation>> = Object.fromEntries(
  observationKeys.map((key, i) => [key, { id: `RING-${String(i + 1).padStart(2, '0')}`, ...drafts[key] }]),
) as Record<ObservationKey, RingObservation>;

/** The same as a list, by id. */
export const ringObservations: readonly RingObservation[] = observationKeys.map(key => observations[key]);
