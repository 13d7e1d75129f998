/** Which memory a device may touch, and which a driver may give back: rings, chains, regions, and nothing before or behind. */
import { describe, expect, it } from 'vitest';
import { AccessFlag, Command, deregMrCommand, getDmaMrCommand } from '../../../src/abi/index.js';
import { ARENA_BASE, PAGE_BYTES } from '../../../src/conformance/simulated-guest.js';
import type { ObservationKey } from '../../../src/conformance/ring-watch/observations.js';
import { breaks, fill, holds, judged, look, queues } from './bench.js';
import type { History } from './bench.js';
import { Control, bytesOf } from './control.js';
import { SplitRing, r, w } from './split-ring.js';

const on = (key: ObservationKey, ...histories: readonly History<Control>[]): void =>
  judged(key, options => new Control(options), ...histories);
const { LOCAL_WRITE } = AccessFlag;
const read = ({ device }: Control, address: number, length: number): void =>
  look(device.memory, address, length);
const write = ({ device }: Control, address: number, length: number): void =>
  fill(device.memory, address, length);
/** Guest-physical address of a page of the program; it stays where it is. */
const page = ({ bench }: Control, i: number): number => bench.guest.translate(ARENA_BASE + PAGE_BYTES * i);
const strayRead = (bytes: number): string =>
  `the device read ${bytes} bytes at ADDRESS, which are in no ring, chain or region`;
const strayWrite = (bytes: number): string =>
  `the device wrote ${bytes} bytes at ADDRESS, which are in no chain that it has and no region that may be written`;
/** A command with 32 readable and 8 writable bytes that the device has taken, or not yet. */
const posted = (control: Control, take: boolean): void => {
  control.issue(99, new Uint8Array(30), 8);
  if (take) control.take();
};

on(
  'readsWithin',
  holds('rings, readable bytes, and several of them at once', 6, control => {
    posted(control, true);
    control.read(0, 32);
    // The descriptor table and what stands behind it: the flags and the index of the available ring.
    read(control, control.at.descriptors, 64 + 4);
    control.device.readUsedIdx();
    read(control, control.at.device, 20);
  }),
  holds('bytes of a region, from its first to its last, in the order of its pages', 6, control => {
    const pages = [page(control, 1), page(control, 0)];
    control.register(1, control.registration(0, 4000, 1000, ...pages));
    const before = control.bench.looks('readsWithin');
    read(control, pages[0] + 4000, 96);
    read(control, pages[1], 904);
    control.bench.tally.looks.set('readsWithin', control.bench.looks('readsWithin') - before + 4);
  }),
  holds('the whole pages of a region that is being registered', 4, control => {
    const pages = [page(control, 0)];
    control.issue(Command.REG_USER_MR, control.registration(0, 100, 10, ...pages));
    control.take();
    read(control, pages[0], 1);
    read(control, pages[0] + 4095, 1);
  }),
  holds('all of memory when a region has it', 4, control => {
    control.registerAll(1, 0);
    read(control, page(control, 0), 1);
    read(control, control.buffer(15), 1);
  }),
  holds('nobody knows which memory it has of a ring that its driver broke', 1, control => {
    control.driver.availIdx(5);
    read(control, control.buffer(15), 1);
    expect(control.bench.breaches.splice(0)).toHaveLength(1);
  }),
  holds('pages that lie one behind the other at once, of one region or two', 6, control => {
    const first = Math.min(page(control, 0), page(control, 1));
    control.register(1, control.registration(0, 0, 4096, first));
    control.register(2, control.registration(0, 0, 4096, first + 4096));
    read(control, first, 8192);
    read(control, first + 4000, 200);
  }),
  breaks('a byte of nobody', strayRead(1), control => read(control, control.buffer(15), 1)),
  breaks('one byte behind a readable part', strayRead(33), control => {
    posted(control, true);
    control.read(0, 33);
  }),
  breaks('one byte before it', strayRead(2), control => {
    posted(control, true);
    read(control, control.buffer(0) - 1, 2);
  }),
  breaks('a gap between two parts', strayRead(257), control => {
    const plain = control.queue(0);
    plain.post(0, r(8), r(8));
    plain.take();
    read(control, plain.buffer(0), 257);
  }),
  breaks('bytes of a chain that is back', strayRead(8), control => {
    posted(control, true);
    control.give(0);
    control.read(0, 8);
  }),
  ...(
    [
      ['the byte before a region', 3999, 2, 0],
      ['the byte behind it', 903, 2, 1],
      ['its page before it', 0, 1, 0],
    ] as const
  ).map(([what, from, bytes, which]) =>
    breaks<Control>(what, strayRead(bytes), control => {
      const pages = [page(control, 1), page(control, 0)];
      control.register(1, control.registration(0, 4000, 1000, ...pages));
      read(control, pages[which] + from, bytes);
    }),
  ),
  breaks('a region that is no longer registered', strayRead(1), control => {
    const pages = [page(control, 0)];
    control.register(1, control.registration(0, 0, 4096, ...pages));
    control.register(2, control.registration(0, 100, 10, ...pages));
    control.run(Command.DEREG_MR, bytesOf(deregMrCommand, { mrn: 1 }));
    read(control, pages[0] + 100, 10);
    read(control, pages[0] + 110, 1);
  }),
  breaks('the later one of two that is no longer registered', strayRead(1), control => {
    const pages = [page(control, 0)];
    control.register(1, control.registration(0, 100, 10, ...pages));
    control.register(2, control.registration(0, 0, 4096, ...pages));
    control.run(Command.DEREG_MR, bytesOf(deregMrCommand, { mrn: 2 }));
    read(control, pages[0] + 100, 10);
    read(control, pages[0] + 110, 1);
  }),
  breaks('what was registered before a reset', [strayRead(1), strayRead(2)], control => {
    const pages = [page(control, 0)];
    control.register(1, control.registration(0, 0, 4096, ...pages));
    control.registerAll(2, 0);
    control.bench.machine.statusWriting(0);
    control.bench.machine.statusWritten(0);
    control.queue(0);
    read(control, pages[0], 1);
    read(control, control.buffer(15), 2);
  }),
  breaks('one that was refused', strayRead(1), control => {
    const pages = [page(control, 0)];
    control.issue(Command.REG_USER_MR, control.registration(0, 0, 4096, ...pages));
    control.take();
    control.answer(1);
    read(control, pages[0], 1);
  }),
  breaks('all of memory, of one that was refused or is gone', [strayRead(1), strayRead(2)], control => {
    control.issue(Command.GET_DMA_MR, bytesOf(getDmaMrCommand, { access_flags: 0 }));
    control.take();
    control.answer(1);
    read(control, page(control, 0), 1);
    control.takeBack();
    control.registerAll(5, 0);
    control.run(Command.DEREG_MR, bytesOf(deregMrCommand, { mrn: 5 }));
    read(control, page(control, 0), 2);
  }),
  breaks('of a stump of a registration', [strayRead(1)], control => {
    control.run(Command.REG_USER_MR, control.registration(0, 0, 4096).subarray(0, 31), new Uint8Array(12));
    control.run(Command.GET_DMA_MR, new Uint8Array(7), new Uint8Array(12));
    read(control, page(control, 0), 1);
  }),
  breaks('pages that the list does not have, whatever their number', strayRead(1), control => {
    const pages = [page(control, 0), page(control, 1)];
    const registration = control.registration(0, 0, 8192, ...pages);
    control.register(1, registration.subarray(0, registration.length - 8));
    read(control, pages[0], 4096);
    read(control, pages[1], 1);
  }),
);

on(
  'writesWithin',
  holds('its own areas and writable bytes', 3, control => {
    posted(control, true);
    control.write(1, 8);
    control.device.usedFlags(1);
    control.device.element(0, 0, 0);
  }),
  holds('regions that may be written', 5, control => {
    const pages = [page(control, 0), page(control, 1)];
    control.register(1, control.registration(LOCAL_WRITE, 4000, 1000, ...pages));
    write(control, pages[0] + 4000, 96);
    write(control, pages[1], 904);
  }),
  holds('all of memory that may be written', 4, control => {
    control.registerAll(1, LOCAL_WRITE);
    write(control, page(control, 0), 1);
  }),
  holds('nobody knows which memory it has of a ring that its driver broke', 1, control => {
    control.driver.availIdx(5);
    write(control, control.buffer(15), 1);
    expect(control.bench.breaches.splice(0)).toHaveLength(1);
  }),
  breaks('one byte behind a writable part', strayWrite(9), control => {
    posted(control, true);
    control.write(1, 9);
  }),
  breaks('a region that may only be read', strayWrite(1), control => {
    const pages = [page(control, 0)];
    control.register(1, control.registration(0, 0, 4096, ...pages));
    write(control, pages[0], 1);
  }),
  breaks('one that is just being registered', strayWrite(1), control => {
    const pages = [page(control, 0)];
    control.issue(Command.REG_USER_MR, control.registration(LOCAL_WRITE, 100, 10, ...pages));
    control.take();
    write(control, pages[0], 1);
  }),
  breaks('all of memory that may only be read', strayWrite(1), control => {
    control.registerAll(1, 0);
    write(control, page(control, 0), 1);
  }),
  breaks('all of memory of a region that is gone, though it may be read', strayWrite(2), control => {
    control.registerAll(5, LOCAL_WRITE);
    control.registerAll(6, 0);
    control.registerAll(7, 0);
    control.run(Command.DEREG_MR, bytesOf(deregMrCommand, { mrn: 7 }));
    write(control, page(control, 0), 1);
    control.run(Command.DEREG_MR, bytesOf(deregMrCommand, { mrn: 5 }));
    read(control, page(control, 0), 1);
    write(control, page(control, 0), 2);
  }),
  breaks('a byte beside a region', strayWrite(2), control => {
    const pages = [page(control, 0)];
    control.register(1, control.registration(LOCAL_WRITE, 100, 10, ...pages));
    write(control, pages[0] + 109, 2);
  }),
);

on(
  'lateWrites',
  breaks(
    'bytes of a chain that is back',
    'the device wrote 4 bytes at ADDRESS, of chain 0, which is back',
    control => {
      posted(control, true);
      control.give(0);
      write(control, control.buffer(1) + 4, 4);
    },
  ),
  breaks(
    'the first and the last of them',
    [0, 7].map(() => 'the device wrote 1 bytes at ADDRESS, of chain 0, which is back'),
    control => {
      posted(control, true);
      control.give(0);
      for (const byte of [0, 7]) write(control, control.buffer(1) + byte, 1);
    },
  ),
  breaks(
    'but not those beside them, nor its readable ones',
    [strayWrite(1), strayWrite(1), strayWrite(1)].map(each => `writesWithin: ${each}`),
    control => {
      posted(control, true);
      control.give(0);
      fill(control.device.memory, control.buffer(0), 1);
      fill(control.device.memory, control.buffer(1) + 8, 1);
      fill(control.device.memory, control.buffer(1) - 1, 1);
    },
  ),
  breaks('nor those of a chain that the driver has taken back', `writesWithin: ${strayWrite(1)}`, control => {
    posted(control, true);
    control.give(0);
    control.takeBack();
    fill(control.device.memory, control.buffer(1), 1);
  }),
);

on(
  'release',
  holds('memory of nobody, and of chains that are back', 2, control => {
    const [buffer, other] = [control.bench.memory(64), control.bench.memory(64)];
    const plain = control.queue(0);
    plain.driver.descriptor(0, buffer.address, 64, 0);
    plain.offer(0);
    control.bench.machine.os.freeDma(other);
    plain.take();
    plain.give(0);
    control.bench.machine.os.freeDma(buffer);
  }),
  holds('pages as often as they were pinned, without a region', 2, control => {
    const { os } = control.bench.machine;
    os.translate(ARENA_BASE);
    os.translate(ARENA_BASE + 7);
    os.releasePage(ARENA_BASE);
    os.releasePage(ARENA_BASE);
  }),
  holds('one of two pins of a page that one region lists', 1, control => {
    const { os } = control.bench.machine;
    os.translate(ARENA_BASE);
    control.register(1, control.registration(0, 0, 4096, os.translate(ARENA_BASE)));
    os.releasePage(ARENA_BASE);
  }),
  holds('the page of a region that is gone', 1, control => {
    const { os } = control.bench.machine;
    control.register(1, control.registration(0, 0, 4096, os.translate(ARENA_BASE)));
    control.run(Command.DEREG_MR, bytesOf(deregMrCommand, { mrn: 1 }));
    os.releasePage(ARENA_BASE);
  }),
  holds('a page that a region lists and has no byte of', 1, control => {
    const { os } = control.bench.machine;
    const pages = [os.translate(ARENA_BASE), os.translate(ARENA_BASE + PAGE_BYTES)];
    control.register(1, control.registration(0, 0, 4096, ...pages));
    os.releasePage(ARENA_BASE + PAGE_BYTES);
  }),
  breaks('of its rings', 'memory of its rings was given back while the device may use it', control => {
    const size = 4;
    const ring = control.bench.memory(256);
    control.bench.machine.enabling(0, size, {
      descriptors: ring.address,
      driver: ring.address + 64,
      device: ring.address + 80,
    });
    control.bench.machine.os.freeDma(ring);
  }),
  breaks(
    'of a chain that is out, whose index was raised unseen',
    'memory of chain 0 was given back while the device may use it',
    control => {
      const buffer = control.bench.memory(64);
      const plain = control.queue(0);
      plain.unseen.descriptor(0, buffer.address, 64, 0);
      plain.unseen.slot(0, 0);
      plain.unseen.availIdx(1);
      control.bench.machine.os.freeDma(buffer);
    },
  ),
  breaks('a page that a region lists', 'page ADDRESS was released while a region lists it', control => {
    const { os } = control.bench.machine;
    control.register(1, control.registration(0, 0, 4096, os.translate(ARENA_BASE)));
    os.releasePage(ARENA_BASE + 9);
  }),
  breaks(
    'a page that two regions list, and one was pinned for',
    'page ADDRESS was released while a region lists it',
    control => {
      const { os } = control.bench.machine;
      const place = os.translate(ARENA_BASE);
      os.translate(ARENA_BASE);
      control.register(1, control.registration(0, 0, 4096, place));
      control.register(2, control.registration(0, 0, 4096, place));
      os.releasePage(ARENA_BASE);
    },
  ),
);

on(
  'afterReset',
  holds('what a device still looks at while it is reset', 1, control => {
    posted(control, true);
    control.bench.machine.statusWriting(0);
    control.device.readUsedIdx();
    control.device.usedFlags(1);
    expect(control.bench.breaches.splice(0)).toHaveLength(2);
    control.bench.machine.statusWritten(0);
  }),
  breaks(
    'what it does to memory behind it',
    [
      'the device read 2 bytes at ADDRESS while no queue is enabled',
      'the device wrote 2 bytes at ADDRESS while no queue is enabled',
    ],
    control => {
      posted(control, true);
      control.bench.machine.statusWriting(0);
      control.bench.machine.statusWritten(0);
      control.device.readUsedIdx();
      control.device.usedFlags(1);
    },
  ),
  breaks('an interrupt', `an interrupt of queue ${queues.control}, which is not enabled`, control => {
    control.bench.machine.statusWriting(0);
    control.bench.machine.statusWritten(0);
    control.bench.machine.interrupting(queues.control);
  }),
  breaks(
    'an interrupt of a queue that was reset alone',
    'an interrupt of queue 0, which is not enabled',
    control => {
      control.queue(0);
      control.bench.machine.queueReset(0);
      control.bench.machine.interrupting(0);
    },
  ),
);

describe('whoever is told of each access', () => {
  it('hears who it is, what, and where, behind the rings', () => {
    const control = new Control();
    const heard: string[] = [];
    control.bench.machine.hook = (by, what, address, length) =>
      void heard.push(`${by} ${what} ${address - control.buffer(0)} ${length}`);
    fill(control.driver.memory, control.buffer(0), 3);
    look(control.driver.memory, control.buffer(0) + 1, 2);
    control.bench.tally.onBreach = () => void heard.push('breach');
    look(control.device.memory, control.buffer(2), 4);
    fill(control.device.memory, control.buffer(0), 5);
    expect(heard).toEqual([
      'driver written 0 3',
      'driver read 1 2',
      'breach',
      'device read 512 4',
      'breach',
      'device written 0 5',
    ]);
  });

  it('finds the address in the breach', () => {
    const control = new Control();
    const said: string[] = [];
    control.bench.tally.onBreach = (_key, message) => void said.push(message);
    fill(control.device.memory, control.buffer(3), 2);
    read(control, control.buffer(3), 2);
    expect(said).toHaveLength(2);
    for (const each of said) expect(each).toContain(`0x${control.buffer(3).toString(16)}`);
  });

  it('one access that goes over several places is judged in each', () => {
    const ring = new SplitRing({});
    ring.post(0, r(8), w(8));
    ring.take();
    // From the descriptor table into the available ring, which lies behind it.
    fill(ring.driver.memory, ring.at.descriptors + 16 + 12, 64 - 28 + 6);
    expect(ring.bench.breaches).toEqual([
      'ownership: descriptor 1 of chain 0 was changed while the device has it',
      'driverFlags: the flags of the available ring are 23130',
      'availIndex: the available index went from 1 to 23130 with 1 chains out; size 4',
    ]);
  });
});
