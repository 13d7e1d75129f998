/** Areas of a queue in guest memory: whether one can lie where it is said to, and a clean one for the driver half. */
import type { GuestMemory, MemoryWindow } from './guest-memory.js';

/** Why an area cannot be there; undefined when it can. It must lie in one region. */
export function areaFault(
  memory: GuestMemory,
  name: string,
  address: number,
  length: number,
  alignment: number,
): string | undefined {
  if (!(address % alignment === 0)) return `${name} at ${address} is not a multiple of ${alignment}`;
  if (!memory.inOneRegion(address, length)) {
    return `${name} at ${address}, ${length} bytes, is not in one region of guest memory`;
  }
  return undefined;
}

/** The area, filled with zero bytes. Throws RangeError when it does not lie in one region. */
export function clearedWindow(memory: GuestMemory, address: number, length: number): MemoryWindow {
  const window = memory.window(address, length);
  if (window === undefined)
    throw new RangeError(`${length} bytes at ${address} are not in one region of guest memory`);
  window.zero(0, length);
  return window;
}
