/**
 * Drivers in another process: an agent that drives the kit's device over vhost-user, in memory that both share. To the kit it is
 * a driver like any other: a factory that gives verbs. So its rings are seen and judged, and every case about a driver can be asked.
 *
 * Nothing here runs by itself. A verb is a line to the agent, answered at once; an interrupt of the device is a line that the
 * kit's scheduler sends when its turn comes; kicks are passed on behind each line. A run depends on its choices alone.
 */
import { MemoryFile } from '../../transports/vhost-user/shared-memory.js';
import { fileState } from '../../transports/vhost-user/mappings.js';
import { MessageFault } from '../../transports/vhost-user/messages.js';
import { ConnectionEnded } from '../../transports/vhost-user/connection.js';
import { DeviceSocket } from '../../transports/vhost-user/device-socket.js';
import type { GuestOs } from '../../driver/index.js';
import { VerbsError } from '../../verbs/index.js';
import type { Verbs } from '../../verbs/index.js';
import type { DriverContext, Implementation } from '../implementation.js';
import { LawBroken, laws } from '../laws.js';
import { ARENA_BASE, PAGE_BYTES } from '../simulated-guest.js';
import type { Memories } from '../simulated-guest.js';
import { BadAnswer, isFields, NATURAL, numberOf, shown } from './broken-line.js';
import type { Fields } from './broken-line.js';
import { DeviceSeat } from './device-seat.js';
import type { AgentCall } from './protocol.js';
import { RemoteVerbs } from './remote-verbs.js';
import type { Conversation } from './remote-verbs.js';
import { lawOfLine } from './session.js';

/** One line out, one line back; `meanwhile` is called with the descriptor of the answer before it is read. */
export interface ServedLine {
  exchange(line: string, meanwhile: (answer: number) => void): string;
  stop(): void;
}

/** Machines of one program: each has an agent of its own. */
const SEATS = 4;
/** Memory files that are kept for the next machine. */
const POOLED_MAX = 8;

/** Memory of machines in files, so that another process may map it. */
class SharedMemories implements Memories {
  readonly #all: MemoryFile[] = [];
  readonly #free: MemoryFile[] = [];

  take(bytes: number): Uint8Array {
    const at = this.#free.findIndex(file => file.bytes.length === bytes);
    if (at >= 0) return this.#free.splice(at, 1)[0].bytes.fill(0);
    const file = new MemoryFile('vrdma-machine', bytes);
    this.#all.push(file);
    return file.bytes;
  }

  give(memory: Uint8Array): void {
    const file = this.fileOf(memory);
    if (file === undefined || this.#free.includes(file)) return;
    if (this.#free.length < POOLED_MAX) this.#free.push(file);
  }

  /** The file that bytes lie in. */
  fileOf(bytes: Uint8Array): MemoryFile | undefined {
    return this.#all.find(file => file.bytes.buffer === bytes.buffer);
  }

  close(): void {
    for (const file of this.#all.splice(0)) file.close();
    this.#free.length = 0;
  }
}

export interface DrivenOptions {
  /** Starts a fresh agent, and has said hello to it. */
  start(): ServedLine;
}

/** What an agent needs of its memory: which file, and which parts of it are for what. */
interface Layout {
  readonly file: MemoryFile;
  /** Guest-physical address of the file's first byte. */
  readonly address: number;
  readonly dmaAt: number;
  readonly dmaBytes: number;
  readonly pages: readonly number[];
}

/** One agent and the device that it drives at the moment. */
interface Place {
  readonly socket: DeviceSocket;
  line: ServedLine | undefined;
  nextId: number;
  driver: DrivenDriver | undefined;
}

export class DrivenMachines {
  readonly implementation: Implementation;
  readonly #options: DrivenOptions;
  readonly #memories = new SharedMemories();
  readonly #places: Place[] = [];
  readonly #layouts = new WeakMap<GuestOs, Layout>();
  #next = 0;

  constructor(options: DrivenOptions) {
    this.#options = options;
    this.implementation = {
      driver: async context => this.#drive(context),
      memories: this.#memories,
      elsewhere: true,
    };
  }

  close(): void {
    for (const { driver, line, socket } of this.#places.splice(0)) {
      driver?.close();
      line?.stop();
      socket.close();
    }
    this.#memories.close();
  }

  #drive(context: DriverContext): Verbs {
    const place = this.#place();
    place.driver?.close();
    if (place.driver?.broken === true) {
      place.line?.stop();
      place.line = undefined;
    }
    if (place.line === undefined) {
      place.line = this.#options.start();
      place.nextId = 1;
    } else if (place.driver !== undefined) place.nextId = place.driver.nextId;
    // A driver that is started once more finds the memory of the one before.
    const layout = this.#layouts.get(context.os) ?? layoutOf(context.os, this.#memories);
    this.#layouts.set(context.os, layout);
    const driver = new DrivenDriver(context, place.line, place.socket, layout, place.nextId);
    place.driver = driver;
    driver.open();
    return driver.verbs;
  }

  /** The agent that has been idle longest: the machines of a program are at most as many as there are. */
  #place(): Place {
    const at = this.#next++ % SEATS;
    return (this.#places[at] ??= {
      socket: new DeviceSocket(),
      line: undefined,
      nextId: 1,
      driver: undefined,
    });
  }
}

/** Takes all DMA memory of a machine for the agent, and finds out where the program's pages lie. */
function layoutOf(os: GuestOs, memories: SharedMemories): Layout {
  // Nothing is given back on the way: that would count as the driver's doing.
  const first = os.allocDma(PAGE_BYTES, PAGE_BYTES);
  const file = memories.fileOf(first.bytes);
  if (file === undefined) throw new Error('the memory of a machine lies in no file');
  const dmaAt = first.bytes.byteOffset - file.bytes.byteOffset;
  const address = first.address - dmaAt;
  const pages = pagesOf(os, address);
  const end = Math.min(file.bytes.length, ...pages.filter(page => page > dmaAt));
  for (let bytes = end - dmaAt - PAGE_BYTES; bytes > 0; bytes -= PAGE_BYTES) {
    try {
      os.allocDma(bytes, PAGE_BYTES);
      return { file, address, dmaAt, dmaBytes: PAGE_BYTES + bytes, pages };
    } catch (error) {
      if (!(error instanceof VerbsError)) throw error;
    }
  }
  return { file, address, dmaAt, dmaBytes: PAGE_BYTES, pages };
}

/** Offset in the file of each page of the program's memory. */
function pagesOf(os: GuestOs, base: number): number[] {
  const pages: number[] = [];
  for (;;) {
    try {
      pages.push(os.translate(ARENA_BASE + pages.length * PAGE_BYTES) - base);
    } catch (error) {
      if (!(error instanceof VerbsError)) throw error;
      return pages;
    }
  }
}

interface Waiting {
  settle(result: Fields): void;
}

/** A driver that an agent runs. */
class DrivenDriver implements Conversation {
  readonly verbs: RemoteVerbs;
  /** The agent gives objects that it does not know their errno. */
  readonly stranger = 0;
  /** The conversation came to a bad end. */
  broken = false;
  nextId: number;
  readonly #context: DriverContext;
  readonly #line: ServedLine;
  readonly #socket: DeviceSocket;
  readonly #seat: DeviceSeat;
  readonly #layout: Layout;
  readonly #pending = new Map<number, Waiting>();
  #attending = false;
  #open = true;

  constructor(
    context: DriverContext,
    line: ServedLine,
    socket: DeviceSocket,
    layout: Layout,
    firstId: number,
  ) {
    this.#context = context;
    this.#line = line;
    this.#socket = socket;
    this.#layout = layout;
    this.nextId = firstId;
    const { file, address } = layout;
    const memory = { identity: fileState(file.fd).identity, address, bytes: file.bytes.length };
    this.#seat = new DeviceSeat(socket, context.transport, memory, () => this.#attendLater());
    this.verbs = new RemoteVerbs(this, 0);
  }

  /** Starts the driver. @throws VerbsError EIO when it gives the device up; LawBroken */
  open(): void {
    const { profile, transport } = this.#context;
    const { file, address, dmaAt, dmaBytes, pages } = this.#layout;
    const device = {
      kind: 'vhost-user',
      socket: this.#socket.path,
      type: profile.deviceId,
      queueSizes: Array.from({ length: transport.queueCount }, (_, i) => transport.queueSizeMax(i)),
      memory: {
        file: `/proc/${process.pid}/fd/${file.fd}`,
        bytes: file.bytes.length,
        address,
        dmaAt,
        dmaBytes,
        pages,
      },
    };
    const arena = { bytes: pages.length * PAGE_BYTES, base: ARENA_BASE };
    const answer = this.#exchange({ open: { machines: [{ vm: 0, host: 0, arena, device }] } });
    if (!isFields(answer['open'])) throw this.#bad(new BadAnswer(`its answer to open is ${shown(answer)}`));
    this.#seat.passKicks();
  }

  close(): void {
    this.#open = false;
    this.#seat.close();
  }

  control<T>(call: AgentCall, read: (result: Fields) => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const settle = (result: Fields): void => {
        try {
          resolve(read(result));
        } catch (error) {
          reject(error instanceof BadAnswer ? this.#bad(error) : asError(error));
        }
      };
      const result = this.#call(call);
      if ('pending' in result) this.#pending.set(numberOf(result, 'pending', NATURAL, call.call), { settle });
      else settle(result);
    });
  }

  data<T>(call: AgentCall, read: (result: Fields) => T): T {
    const result = this.#call(call);
    try {
      return read(result);
    } catch (error) {
      throw error instanceof BadAnswer ? this.#bad(error) : error;
    }
  }

  /** The device has interrupted: the agent is told when the kit's scheduler comes to it. */
  #attendLater(): void {
    if (this.#attending || !this.#open) return;
    this.#attending = true;
    this.#context.os.defer({
      run: () => {
        this.#attending = false;
        if (this.#open && !this.broken) this.#call({ call: 'settle' }, false);
      },
    });
  }

  /** Sends one call and returns its result; what else the answer brings is handed on. @throws LawBroken */
  #call(call: AgentCall, within = true): Fields {
    const answer = this.#exchange({ calls: [call] });
    try {
      const { results, events = [], done = [] } = answer;
      const result: unknown = Array.isArray(results) && results.length === 1 ? results[0] : undefined;
      if (!isFields(result)) throw new BadAnswer(`it has results ${shown(results)} for one call`);
      if (!Array.isArray(events) || !Array.isArray(done))
        throw new BadAnswer('events or done is not an array');
      for (const each of done) this.#late(each);
      for (const event of events) {
        if (!isFields(event)) throw new BadAnswer(`an event is ${shown(event)}; expected an object`);
        this.#event(numberOf(event, 'cq', NATURAL, 'an event'), within);
      }
      return result;
    } catch (error) {
      throw error instanceof BadAnswer ? this.#bad(error) : error;
    } finally {
      this.#context.looked?.();
      this.#seat.passKicks();
    }
  }

  /** An event that comes within a verb waits until the verb is over [CQ-50]. */
  #event(cq: number, within: boolean): void {
    if (within) this.#context.os.defer({ run: () => this.#handOn(cq) });
    else this.#handOn(cq);
  }

  #handOn(cq: number): void {
    try {
      this.verbs.event(cq);
    } catch (error) {
      throw error instanceof BadAnswer ? this.#bad(error) : error;
    }
  }

  #late(each: unknown): void {
    if (!isFields(each) || !isFields(each['result']))
      throw new BadAnswer(`done holds ${shown(each)}; expected a number pending and a result`);
    const number = numberOf(each, 'pending', NATURAL, 'done');
    const waiting = this.#pending.get(number);
    if (waiting === undefined) throw new BadAnswer(`no call is pending under the number ${number}`);
    this.#pending.delete(number);
    waiting.settle(each['result']);
  }

  #exchange(request: object): Fields {
    if (this.broken)
      throw new LawBroken(laws.answers, 'the agent: the conversation came to a bad end before');
    const id = this.nextId++;
    try {
      const line = this.#line.exchange(JSON.stringify({ id, ...request }, sayable), answer =>
        this.#seat.serveUntil(answer),
      );
      const answer: unknown = JSON.parse(line);
      if (!isFields(answer) || answer['id'] !== id)
        throw new BadAnswer(`request ${id} was answered by ${shown(answer)}`);
      if (typeof answer['error'] === 'string') {
        this.broken = true;
        throw new VerbsError('EIO', 'start', answer['error']);
      }
      return answer;
    } catch (error) {
      throw error instanceof VerbsError ? error : this.#bad(error);
    }
  }

  #bad(error: unknown): Error {
    this.broken = true;
    if (error instanceof MessageFault || error instanceof ConnectionEnded)
      return new LawBroken(laws.getsAlong, `vhost-user: ${error.message}`);
    if (error instanceof SyntaxError) return lawOfLine(new BadAnswer(`a line is not JSON: ${error.message}`));
    return lawOfLine(error);
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

/** What JSON has no word for stands as a number that fits no field [ERR-01]. */
function sayable(_name: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isFinite(value) ? -1 : value;
}
