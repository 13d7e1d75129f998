/** The law that a reset leaves nothing behind: each kind of remains, on each machine, and what is none. */
import { describe, expect, it } from 'vitest';
import { expectCleanReset } from '../../../src/conformance/invariants/reset.js';
import type { EnabledQueue } from '../../../src/conformance/monitors/transport-monitors.js';
import { gidOf } from '../../../src/conformance/patterns.js';
import type { Program } from '../../../src/conformance/program.js';
import { GUEST_BASE } from '../../../src/conformance/simulated-guest.js';
import { bareMetalWorld, paravirtualWorld } from '../../../src/conformance/world.js';
import type { Machine, World } from '../../../src/conformance/world.js';
import type { InProcessTransport } from '../../../src/transports/in-process.js';
import { program as alone } from '../hand-made.js';

const program: Program = { ...alone, hosts: [0, 0] };
const started = (): Promise<World> => paravirtualWorld(program, { profile: 'roce' });

function transportOf({ transport }: Machine): InProcessTransport {
  if (transport === undefined) throw new Error('no transport');
  return transport;
}

/** What the law says of a reset now, undefined when it is clean. */
function says(world: World, queuesOf: (vm: number) => Iterable<EnabledQueue> = () => []): string | undefined {
  try {
    expectCleanReset(world, queuesOf, 'here');
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

describe('[RST-30] [RST-31] behind a reset', () => {
  it('there is nothing, of a sound device with objects as of bare metal, which has no reset', async () => {
    const world = await started();
    const { function: adapter } = world.machines[1];
    adapter.createPd();
    adapter.addGid(0, gidOf(1, 0));
    expect(says(world)).toBeUndefined();
    expect([...adapter.inventory().values()].some(count => count > 0)).toBe(false);
    const bare = bareMetalWorld(program, { profile: 'roce' });
    bare.machines[0].function.createPd();
    expect(says(bare)).toBeUndefined();
  });

  it('the status is 0, on every machine', async () => {
    const world = await started();
    const written: number[] = [];
    const [first, second] = world.machines.map(transportOf);
    first.writeStatus = status => void written.push(status);
    first.readStatus = () => 0;
    second.readStatus = () => 4;
    expect(says(world)).toBe('machine 1, reset here: the status is 4');
    expect(written).toEqual([0]);
  });

  it('the adapter holds nothing, and what it holds is named', async () => {
    const world = await started();
    const { function: adapter } = world.machines[1];
    adapter.reset = () => undefined;
    adapter.createPd();
    adapter.createPd();
    expect(says(world)).toBe('machine 1, reset here: the adapter still held 2 protection domains');
    adapter.addGid(0, gidOf(1, 0));
    expect(says(world)).toMatch(/the adapter still held 2 protection domains, 1 \S.*$|1 \S.*, 2 protection/);
  });

  it.each(['queueInterrupts', 'configInterrupts'] as const)('no interrupt comes: %s', async kind => {
    const world = await started();
    const transport = transportOf(world.machines[1]);
    transport[kind] += 5;
    world.scheduler.post({ run: () => void (transport[kind] += 2) });
    expect(says(world)).toBe('machine 1, reset here: 2 interrupt(s) came');
    expect(says(world)).toBeUndefined();
  });

  it('[RST-32] no byte of the program changes, from the first to the last', async () => {
    const world = await started();
    const { guest } = world.machines[1];
    for (const at of [0, guest.arenaBytes - 1]) {
      world.scheduler.post({
        run: () => guest.writeArena(at, Uint8Array.of(guest.readArena(at, 1)[0] ^ 1)),
      });
      expect(says(world)).toBe(`machine 1, reset here: byte ${at} of the program's memory changed`);
    }
  });

  it('no chain comes back: flags and index of each used ring stay, and elements are not looked at', async () => {
    const world = await started();
    const { guest } = world.machines[1];
    const base = GUEST_BASE + 4096;
    const queue = (index: number, device: number): EnabledQueue => ({
      index,
      size: 4,
      descriptors: base,
      driver: base,
      device,
    });
    const queues = [queue(3, base), queue(7, base + 64)];
    const queuesOf = (vm: number): EnabledQueue[] => (vm === 1 ? queues : []);
    const flip = (address: number): void => {
      const byte = new Uint8Array(1);
      guest.memory.read(address, byte, 0, 1);
      world.scheduler.post({ run: () => guest.memory.write(address, Uint8Array.of(byte[0] ^ 1), 0, 1) });
    };
    for (const offset of [0, 1, 2, 3]) {
      flip(base + offset);
      expect(says(world, queuesOf)).toBe('machine 1, reset here: the used ring of queue 3 changed');
      flip(base + 64 + offset);
      expect(says(world, queuesOf)).toBe('machine 1, reset here: the used ring of queue 7 changed');
    }
    flip(base + 4);
    flip(base + 63);
    expect(says(world, queuesOf)).toBeUndefined();
  });

  it('[RST-33] no packet is sent', async () => {
    const world = await started();
    const port = world.fabric.attach({ receive: () => undefined });
    const send = (): void => {
      const packet = world.fabric.newPacket();
      packet.destinationGid = gidOf(1, 0);
      world.fabric.send(port, packet);
    };
    // What was sent before is none of it.
    send();
    world.scheduler.post({ run: send });
    expect(says(world)).toBe('1 packet(s) were sent after a reset here');
    world.scheduler.post({
      run: () => {
        send();
        send();
      },
    });
    expect(says(world)).toBe('2 packet(s) were sent after a reset here');
  });

  it('work comes to an end, however late', async () => {
    const world = await started();
    const goOn = (times: number): void => {
      if (times > 0) world.scheduler.post({ run: () => goOn(times - 1) });
    };
    goOn(99_000);
    expect(says(world)).toBeUndefined();
    expect(world.scheduler.quiet).toBe(true);
    goOn(Infinity);
    expect(says(world)).toBe('still busy after a reset here');
  });

  it('what a party outside has still to tell is taken up before anything is looked at', async () => {
    const world = await started();
    const { guest } = world.machines[0];
    let quiet: boolean | undefined;
    world.scheduler.post({ run: () => undefined });
    world.outside = {
      poll: () => {
        quiet = world.scheduler.quiet;
        guest.writeArena(9, Uint8Array.of(guest.readArena(9, 1)[0] ^ 1));
        return true;
      },
      rest: () => false,
    };
    expect(says(world)).toBe("machine 0, reset here: byte 9 of the program's memory changed");
    expect(quiet).toBe(true);
  });
});
