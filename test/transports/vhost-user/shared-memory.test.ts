import { ftruncateSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { GuestMemory } from '../../../src/virtio/index.js';
import { closeFd } from '../../../src/transports/vhost-user/descriptors.js';
import { newMemoryFile } from '../../../src/transports/vhost-user/mappings.js';
import { MemoryFile, SharedMemory } from '../../../src/transports/vhost-user/shared-memory.js';
import { collectGarbage, mappings, mappingsOf, openFds, skipped } from './support.js';

const PAGE = 4096;

function region(guestAddress: number, bytes: number, userAddress: number, offset = 0) {
  return { guestAddress, bytes, userAddress, offset };
}

describe.skipIf(skipped !== undefined)('memory that a front-end shares', () => {
  it('is guest memory at its place, and the same bytes as in the file', () => {
    const memory = new GuestMemory();
    const shared = new SharedMemory([memory]);
    const file = new MemoryFile('vrdma-a', 4 * PAGE);
    shared.add({ region: region(0x10_0000, 2 * PAGE, 0x7000_0000, PAGE), fd: file.fd });
    expect(memory.write(0x10_0008, Uint8Array.of(1, 2, 3), 0, 3)).toBe(true);
    expect([...file.bytes.subarray(PAGE + 8, PAGE + 11)]).toEqual([1, 2, 3]);
    const window = memory.window(0x10_0000, 16);
    file.bytes[PAGE + 4] = 7;
    expect(window?.load16(4)).toBe(7);
    expect(memory.contains(0x10_0000, 2 * PAGE + 1)).toBe(false);
    expect(shared.place(0x7000_0010)?.guestAddress).toBe(0x10_0010);
    expect(shared.place(0x7000_2000)).toBeUndefined();
    shared.close();
    file.close();
  });

  it('may begin in the middle of a page of its file', () => {
    const memory = new GuestMemory();
    const shared = new SharedMemory([memory]);
    const file = new MemoryFile('vrdma-b', 2 * PAGE);
    shared.add({ region: region(0, PAGE, 0x1000, 64), fd: file.fd });
    file.bytes[64 + PAGE - 1] = 9;
    const last = new Uint8Array(1);
    expect(memory.read(PAGE - 1, last, 0, 1)).toBe(true);
    expect(last[0]).toBe(9);
    shared.close();
    file.close();
  });

  it('is no guest memory any more when it was removed, and what still looks at it sees zeros', () => {
    const memory = new GuestMemory();
    const shared = new SharedMemory([memory]);
    const file = new MemoryFile('vrdma-c', PAGE);
    shared.add({ region: region(0, PAGE, 0x1000), fd: file.fd });
    const window = memory.window(0, 64);
    window?.store16(2, 0x1234);
    const retired = shared.remove(region(0, PAGE, 0x1000));
    expect(memory.contains(0, 1)).toBe(false);
    expect(window?.load16(2)).toBe(0x1234);
    retired.drop();
    expect(window?.load16(2)).toBe(0);
    window?.store16(2, 0xffff);
    expect(file.bytes[2]).toBe(0x34);
    file.close();
  });

  it('keeps what is in the old table and in the new one as it is', () => {
    const memory = new GuestMemory();
    const shared = new SharedMemory([memory]);
    const [file, other] = [new MemoryFile('vrdma-d', PAGE), new MemoryFile('vrdma-d', PAGE)];
    const stays = region(0, PAGE, 0x1000);
    shared.replace([{ region: stays, fd: file.fd }]).drop();
    const window = memory.window(0, 64);
    const table = [
      { region: stays, fd: file.fd },
      { region: region(PAGE, PAGE, 0x2000), fd: other.fd },
    ];
    shared.replace(table).drop();
    file.bytes[6] = 5;
    expect(window?.load16(6)).toBe(5);
    // The same places in another file are another memory.
    shared.replace([{ region: stays, fd: other.fd }]).drop();
    expect(window?.load16(6)).toBe(0);
    expect(memory.window(0, 64)?.load16(6)).toBe(0);
    expect(shared.regions).toEqual([stays]);
    shared.close();
    for (const each of [file, other]) each.close();
  });

  it('refuses regions that overlap, are empty, or lie beyond their file, and changes nothing', async () => {
    await collectGarbage();
    const before = [openFds(), mappingsOf('vrdma-e')];
    const memory = new GuestMemory();
    const shared = new SharedMemory([memory]);
    const fd = newMemoryFile('vrdma-e', 4 * PAGE);
    const add = (...place: Parameters<typeof region>) => shared.add({ region: region(...place), fd });
    add(0x1000, PAGE, 0x9000);
    expect(() => add(0x1800, PAGE, 0x2_0000)).toThrow(
      'region 0x1800+0x1000 (0x20000) overlaps 0x1000+0x1000 (0x9000) in the guest',
    );
    expect(() => add(0x8000, PAGE, 0x9800)).toThrow('in the front-end');
    expect(() => add(0x8000, 0, 0x2_0000)).toThrow('is empty');
    expect(() => add(2 ** 53, PAGE, 0x2_0000)).toThrow('ends beyond 2^53');
    expect(() => add(0x8000, PAGE, 2 ** 53)).toThrow('ends beyond 2^53');
    expect(() => add(0x8004, PAGE, 0x2_0000)).toThrow('starts at no multiple of 8');
    expect(() => add(0x8000, PAGE, 0x2_0000, 3 * PAGE + 8)).toThrow(
      'needs bytes 12296 to 16392 of its file, which has 16384',
    );
    expect(() => shared.remove(region(0x1000, PAGE, 0xa000))).toThrow('there is no region');
    const good = { region: region(0x8000, PAGE, 0x2_0000), fd };
    const bad = { region: region(0xa000, PAGE, 0x3_0000, 4 * PAGE), fd };
    expect(() => shared.replace([good, bad])).toThrow('of its file');
    expect(shared.regions).toEqual([region(0x1000, PAGE, 0x9000)]);
    expect(memory.regions).toEqual([{ address: 0x1000, length: PAGE }]);
    shared.close();
    closeFd(fd);
    expect([openFds(), mappingsOf('vrdma-e')]).toEqual(before);
  });

  it('refuses what is no file that can be mapped', () => {
    const shared = new SharedMemory([new GuestMemory()]);
    expect(() => shared.add({ region: region(0, PAGE, 0), fd: 0 })).toThrow(/region 0x0\+0x1000/);
  });

  it('says whether its files can become shorter', () => {
    const shared = new SharedMemory([new GuestMemory()]);
    const fd = newMemoryFile('vrdma-f', PAGE);
    shared.add({ region: region(0, PAGE, 0), fd });
    expect(shared.sealed).toBe(false);
    shared.close();
    const file = new MemoryFile('vrdma-f', PAGE);
    shared.add({ region: region(0, PAGE, 0), fd: file.fd });
    expect(shared.sealed).toBe(true);
    expect(() => ftruncateSync(file.fd, 0)).toThrow('EPERM');
    shared.close();
    file.close();
    closeFd(fd);
  });

  it('leaves no descriptor and no mapping behind after 10,000 changes of the table', async () => {
    const memory = new GuestMemory();
    const shared = new SharedMemory([memory]);
    const fd = newMemoryFile('vrdma-g', 64 * PAGE);
    await collectGarbage();
    const before = [openFds(), mappings()];
    for (let i = 0; i < 10_000; i++) {
      const table = [region((i % 7) * PAGE, PAGE, 0x1000, (i % 64) * PAGE)];
      shared.replace(table.map(each => ({ region: each, fd }))).drop();
      memory.window((i % 7) * PAGE, 2)?.load16(0);
      if (i % 1000 === 999) await collectGarbage();
    }
    shared.close();
    expect(mappingsOf('vrdma-g')).toBe(0);
    await collectGarbage();
    expect(openFds()).toBe(before[0]);
    // V8's heap comes and goes in pieces that are mappings too, dozens of them; one left behind by each change would be 10,000.
    expect(mappings()).toBeLessThan((before[1] ?? 0) + 500);
    closeFd(fd);
  });
});
