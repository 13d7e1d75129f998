/**
 * Directed tries to catch a second read: a field changes right behind its first read. What comes of the program then must be
 * what comes of it when nothing changes, or when the field changes before anybody reads it; a mixture of both, or a crash,
 * shows a field that was read twice.
 */
import { Command, commandHeader, cqReq, regUserMrCommand, sge, sqReq } from '../../abi/index.js';
import { CaseBroken, CaseUnsupported } from '../cases/case.js';
import type { CaseContext, CaseEffort, ConformanceCase } from '../cases/case.js';
import type { Observation } from '../observation.js';
import type { Program } from '../program.js';
import { scenarios } from '../scenarios/index.js';
import { Avail, Descriptor, Used } from '../../virtio/index.js';
import type { QueueKind, RingState } from './ring-state.js';
import type { PostedChain } from './posted-chain.js';
import { Tally } from './tally.js';
import { watchProgram } from './watch-program.js';
import type { WatchedMachine } from './watched-machine.js';

/** A field that is changed under its reader. */
interface Target {
  readonly slug: string;
  readonly what: string;
  readonly judges: 'driver' | 'device';
  readonly requirements: readonly string[];
  readonly queue: QueueKind;
  /** Where the field of a chain is and how it is changed; undefined for a chain that is not meant. */
  place(ring: RingState, chain: PostedChain): Change | undefined;
}

interface Change {
  readonly address: number;
  readonly length: number;
  /** Changes the field, which is lent. */
  readonly change: (field: Uint8Array) => void;
}

const flipLow = (field: Uint8Array): void => {
  field[0] ^= 1;
};

function descriptorField(
  offset: number,
  length: number,
  change: (field: Uint8Array) => void,
): Target['place'] {
  return (ring, chain) => {
    const table = chain.tableBytes > 0 ? chain.tableAddress : ring.config.descriptors;
    const first = chain.tableBytes > 0 ? 0 : chain.head;
    return { address: table + Descriptor.SIZE * first + offset, length, change };
  };
}

/** Bytes of the readable string, as far as they lie in one part. */
function readableField(
  offset: number,
  length: number,
  change: (field: Uint8Array) => void,
  wanted: (chain: PostedChain) => boolean = () => true,
): Target['place'] {
  return (_ring, chain) => {
    if (!wanted(chain)) return undefined;
    let start = 0;
    for (const part of chain.parts) {
      if (part.writable) return undefined;
      const left = start + part.length - offset;
      if (offset >= start && left > 0)
        return { address: part.address + offset - start, length: Math.min(length, left), change };
      start += part.length;
    }
    return undefined;
  };
}

const isCommand =
  (code: number) =>
  ({ readable, followed }: PostedChain): boolean =>
    followed > commandHeader.size && readable[commandHeader.offsets.command] === code;

const deviceTarget = { judges: 'device', requirements: ['VQ-32', 'CTRL-15'] } as const;
const requestTarget = { judges: 'device', queue: 'send', requirements: ['HOST-02', 'VQ-32'] } as const;
const driverTarget = { judges: 'driver', requirements: ['HOST-32', 'HOST-35'] } as const;

const targets: readonly Target[] = [
  {
    ...deviceTarget,
    slug: 'descriptor-length',
    what: 'the length in the first descriptor of a command',
    queue: 'control',
    place: descriptorField(Descriptor.LEN, 4, flipLow),
  },
  {
    ...deviceTarget,
    slug: 'descriptor-address',
    what: 'the address in the descriptor of a send request',
    queue: 'send',
    place: descriptorField(Descriptor.ADDR, 8, field => {
      field[1] ^= 0x10;
    }),
  },
  {
    ...deviceTarget,
    slug: 'descriptor-flags',
    what: 'the flags in the first descriptor of a command',
    queue: 'control',
    place: descriptorField(Descriptor.FLAGS, 2, field => {
      field[0] ^= 2;
    }),
  },
  {
    ...deviceTarget,
    slug: 'slot',
    what: 'the slot of a command in the available ring',
    queue: 'control',
    place: (ring, chain) => ({
      address: ring.config.driver + Avail.RING + Avail.ENTRY * chain.slot,
      length: 2,
      change: field => {
        field[1] = 0xff;
      },
    }),
  },
  {
    ...deviceTarget,
    slug: 'command-code',
    what: 'the code of a command',
    queue: 'control',
    place: readableField(commandHeader.offsets.command, 1, field => {
      field[0] = 0xee;
    }),
  },
  {
    ...deviceTarget,
    slug: 'page-count',
    what: 'the number of pages of REG_USER_MR',
    queue: 'control',
    place: readableField(
      commandHeader.size + regUserMrCommand.offsets.npages,
      4,
      field => field.fill(0xff),
      isCommand(Command.REG_USER_MR),
    ),
  },
  {
    ...deviceTarget,
    slug: 'page-address',
    what: 'the first page address of REG_USER_MR',
    queue: 'control',
    place: readableField(
      commandHeader.size + regUserMrCommand.size,
      8,
      field => field.fill(0xff),
      isCommand(Command.REG_USER_MR),
    ),
  },
  {
    ...requestTarget,
    slug: 'request-opcode',
    what: 'the opcode of a send request',
    place: readableField(sqReq.offsets.opcode, 1, field => {
      field[0] = 0x77;
    }),
  },
  {
    ...requestTarget,
    slug: 'request-elements',
    what: 'the number of elements of a send request',
    place: readableField(sqReq.offsets.num_sge, 4, field => field.fill(0x7f)),
  },
  {
    ...requestTarget,
    slug: 'element-length',
    what: 'the length of the first element of a send request',
    place: readableField(sqReq.size + sge.offsets.length, 4, field => field.fill(0xff)),
  },
  {
    ...requestTarget,
    slug: 'element-key',
    what: 'the key of the first element of a send request',
    place: readableField(sqReq.size + sge.offsets.lkey, 4, field => field.fill(0xff)),
  },
  {
    ...driverTarget,
    slug: 'used-id',
    what: 'the id of a used element of the control queue',
    queue: 'control',
    place: usedField(Used.ID),
  },
  {
    ...driverTarget,
    slug: 'used-length',
    what: 'the length of a used element of the control queue',
    queue: 'control',
    place: usedField(Used.LEN),
  },
  {
    ...driverTarget,
    slug: 'completion-id',
    what: 'the id of a used element of a completion queue',
    queue: 'completion',
    place: usedField(Used.ID),
  },
  {
    ...driverTarget,
    slug: 'completion-status',
    what: 'the status in a completion',
    queue: 'completion',
    place: writableField(cqReq.offsets.status, 1),
  },
  {
    ...driverTarget,
    slug: 'completion-queue-pair',
    what: 'the queue pair number in a completion',
    queue: 'completion',
    place: writableField(cqReq.offsets.qp_num, 4),
  },
];

function usedField(offset: number): Target['place'] {
  return (ring, chain) => ({
    address: ring.config.device + Used.RING + Used.ENTRY * chain.usedSlot + offset,
    length: 4,
    change: field => field.fill(0xff),
  });
}

function writableField(offset: number, length: number): Target['place'] {
  return (_ring, chain) => {
    const part = chain.parts.find(each => each.writable);
    if (part === undefined || offset + length > part.length) return undefined;
    return { address: part.address + offset, length, change: field => field.fill(0xff) };
  };
}

export const doubleFetchCases: readonly ConformanceCase[] = targets.map(target => ({
  id: `VQ/double-fetch/${target.slug}`,
  doc: `${target.what[0].toUpperCase()}${target.what.slice(1)} changes right behind its first read, and the outcome is that of the old value or of the new one.`,
  source: 'derived',
  requirements: target.requirements,
  judges: target.judges,
  needs: {},
  how: { kind: 'probe', run: context => tryTarget(target, context) },
}));

/** Chains of the queue that are tried, one at a time. */
const CHAINS = 6;

type Moment = 'never' | 'before' | 'behind';

interface Outcome {
  readonly observation: Observation | undefined;
  readonly failure: Error | undefined;
  /** Times that the field was read, and whether it was changed. */
  readonly reads: number;
  readonly changed: boolean;
  readonly calls: number;
}

async function tryTarget(target: Target, context: CaseContext): Promise<CaseEffort> {
  const program = programOf('DATA/message/loopback');
  const effort = { runs: 0, actions: 0 };
  let seen = 0;
  for (let chain = 0; chain < CHAINS; chain++) {
    const [never, before, behind] = [
      await runWith(target, chain, 'never', program, context),
      await runWith(target, chain, 'before', program, context),
      await runWith(target, chain, 'behind', program, context),
    ];
    effort.runs += 3;
    for (const { calls } of [never, before, behind]) effort.actions += calls;
    if (!behind.changed) continue;
    seen++;
    if (isSame(behind, never) || isSame(behind, before)) continue;
    throw new CaseBroken(
      target.requirements,
      `${target.what} changed behind its first read: ${differenceOf(behind, never)}; with the new value from the start: ${differenceOf(behind, before)}`,
    );
  }
  if (seen === 0) throw new CaseUnsupported(`nobody is seen to read ${target.what}`);
  return effort;
}

function programOf(id: string): Program {
  const found = scenarios.find(scenario => scenario.id === id);
  if (found === undefined) throw new Error(`there is no scenario ${id}`);
  return found.program;
}

function isSame(a: Outcome, b: Outcome): boolean {
  if (a.failure !== undefined || b.failure !== undefined) return a.failure?.message === b.failure?.message;
  return (
    a.observation !== undefined &&
    b.observation !== undefined &&
    a.observation.difference(b.observation) === undefined
  );
}

function differenceOf(a: Outcome, b: Outcome): string {
  if (a.failure !== undefined) return a.failure.message;
  if (b.failure !== undefined) return `${b.failure.message} is expected`;
  return (b.observation && a.observation?.difference(b.observation)) ?? 'no difference';
}

/** Runs the program with the field of the n-th chain of the target's queues changed, or not. */
async function runWith(
  target: Target,
  number: number,
  moment: Moment,
  program: Program,
  { profile, implementation }: CaseContext,
): Promise<Outcome> {
  const meddler = new Meddler(target, number, moment);
  const { calls, failure, observation } = await watchProgram(program, {
    profile,
    implementation,
    tally: new Tally(),
    meddle: machine => meddler.into(machine),
  });
  return { calls, failure, observation, reads: meddler.reads, changed: meddler.changed };
}

class Meddler {
  readonly #target: Target;
  readonly #number: number;
  readonly #moment: Moment;
  #chains = 0;
  #change: Change | undefined;
  reads = 0;
  changed = false;

  constructor(target: Target, number: number, moment: Moment) {
    this.#target = target;
    this.#number = number;
    this.#moment = moment;
  }

  into(machine: WatchedMachine): void {
    const { judges, queue } = this.#target;
    const started = (ring: RingState, chain: PostedChain): void => {
      if (ring.kind !== queue || this.#change !== undefined) return;
      const change = this.#target.place(ring, chain);
      if (change === undefined || this.#chains++ !== this.#number) return;
      this.#change = change;
      if (this.#moment === 'before') this.#apply(machine, change);
    };
    // A device reads what was published, a driver what was returned.
    if (judges === 'device') machine.onPublished = started;
    else machine.onUsed = started;
    machine.hook = (by, what, address, length) => {
      const change = this.#change;
      if (change === undefined || by !== judges || what !== 'read') return;
      if (address >= change.address + change.length || change.address >= address + length) return;
      this.reads++;
      if (this.#moment === 'behind' && !this.changed) this.#apply(machine, change);
    };
  }

  #apply({ memory }: WatchedMachine, field: Change): void {
    const { address, length } = field;
    const bytes = new Uint8Array(length);
    memory.read(address, bytes, 0, length);
    field.change(bytes);
    memory.write(address, bytes, 0, length);
    this.changed = true;
  }
}
