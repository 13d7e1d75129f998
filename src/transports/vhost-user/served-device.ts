/** What a back-end serves: a device, the memory that it sees, and who lets it work. */
import type { GuestMemory, ResumableDevice } from '../../virtio/index.js';

export interface ServedDevice {
  readonly device: ResumableDevice;
  /** Views of the guest's memory, empty at first; the back-end puts the front-end's regions into all of them. */
  readonly memories: readonly GuestMemory[];
  /** What GET_QUEUE_NUM says: queues, or queue pairs of a network device. */
  readonly queueNumber: number;
  /** Does a bounded amount of work that is waiting. True when there is more. */
  run(): boolean;
  /** As `run`, but looks at every queue first, whether or not it was notified. True when anything was found. */
  poll(): boolean;
  /** Its front-end is gone; the device is reset already. */
  close(): void;
}

export interface ServedDeviceContext {
  /** Number of the connection, from 0: of the virtual machine. */
  readonly vm: number;
  /** To be called when there is work that no queue was notified of. */
  readonly wake: () => void;
}

export type ServedDeviceFactory = (context: ServedDeviceContext) => ServedDevice;
