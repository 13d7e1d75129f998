/** The fields that are changed under their readers: where each of a chain is, in either format, and how it is changed. */
import { Command, commandHeader, cqReq, regUserMrCommand, sge, sqReq } from '../../abi/index.js';
import { Avail, Descriptor, PackedDescriptor, PackedFlag, Used } from '../../virtio/index.js';
import type { PostedChain } from './posted-chain.js';
import type { QueueKind, RingState } from './ring-state.js';

export type RingFormat = 'split' | 'packed';

const { SIZE } = PackedDescriptor;

/** A field that is changed under its reader. */
export interface Target {
  readonly slug: string;
  readonly what: string;
  readonly judges: 'driver' | 'device';
  readonly requirements: readonly string[];
  readonly queue: QueueKind;
  /** Formats that have the field; every one when absent. */
  readonly formats?: readonly RingFormat[];
  /** Where the field of a chain is and how it is changed; undefined for a chain that is not meant. */
  place(ring: RingState, chain: PostedChain): Change | undefined;
}

export interface Change {
  readonly address: number;
  readonly length: number;
  /** Changes the field, which is lent. */
  readonly change: (field: Uint8Array) => void;
}

const flipLow = (field: Uint8Array): void => {
  field[0] ^= 1;
};

/** A field of the first descriptor of a chain, in the ring or in its table; the formats differ behind address and length. */
function descriptorField(
  field: 'ADDR' | 'LEN' | 'FLAGS',
  length: number,
  change: (field: Uint8Array) => void,
): Target['place'] {
  return (ring, chain) => {
    const packed = ring.features.packed === true;
    const inTable = chain.tableBytes > 0;
    const table = inTable ? chain.tableAddress : ring.config.descriptors;
    const first = inTable ? 0 : packed ? chain.slot : chain.head;
    const offset = (packed ? PackedDescriptor : Descriptor)[field];
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

export const targets: readonly Target[] = [
  {
    ...deviceTarget,
    slug: 'descriptor-length',
    what: 'the length in the first descriptor of a command',
    queue: 'control',
    place: descriptorField('LEN', 4, flipLow),
  },
  {
    ...deviceTarget,
    slug: 'descriptor-address',
    what: 'the address in the descriptor of a send request',
    queue: 'send',
    place: descriptorField('ADDR', 8, field => {
      field[1] ^= 0x10;
    }),
  },
  {
    ...deviceTarget,
    slug: 'descriptor-flags',
    what: 'the flags in the first descriptor of a command',
    queue: 'control',
    place: descriptorField('FLAGS', 2, field => {
      field[0] ^= 2;
    }),
  },
  {
    ...deviceTarget,
    slug: 'slot',
    what: 'the slot of a command in the available ring',
    queue: 'control',
    formats: ['split'],
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
    slug: 'first-flags',
    what: 'WRITE in the flags that show a send request',
    queue: 'send',
    formats: ['packed'],
    place: descriptorField('FLAGS', 2, field => {
      field[0] ^= PackedFlag.WRITE;
    }),
  },
  {
    ...deviceTarget,
    slug: 'buffer-id',
    what: 'the buffer id of a command',
    queue: 'control',
    formats: ['packed'],
    place: ({ config }, { descriptors }) => ({
      address: config.descriptors + SIZE * descriptors[descriptors.length - 1] + PackedDescriptor.ID,
      length: 2,
      change: field => field.fill(0xff),
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
    place: usedField('ID'),
  },
  {
    ...driverTarget,
    slug: 'used-length',
    what: 'the length of a used element of the control queue',
    queue: 'control',
    place: usedField('LEN'),
  },
  {
    ...driverTarget,
    slug: 'used-flags',
    what: 'WRITE in the flags of a used element of the control queue',
    queue: 'control',
    formats: ['packed'],
    place: (ring, chain) => ({
      address: ring.config.descriptors + SIZE * chain.usedSlot + PackedDescriptor.FLAGS,
      length: 2,
      change: field => {
        field[0] ^= PackedFlag.WRITE;
      },
    }),
  },
  {
    ...driverTarget,
    slug: 'completion-id',
    what: 'the id of a used element of a completion queue',
    queue: 'completion',
    place: usedField('ID'),
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

/** A field of the used element of a chain. */
function usedField(field: 'ID' | 'LEN'): Target['place'] {
  return ({ config, features }, { usedSlot }) =>
    features.packed === true
      ? {
          address: config.descriptors + SIZE * usedSlot + PackedDescriptor[field],
          length: field === 'ID' ? 2 : 4,
          change: bytes => bytes.fill(0xff),
        }
      : {
          address: config.device + Used.RING + Used.ENTRY * usedSlot + Used[field],
          length: 4,
          change: bytes => bytes.fill(0xff),
        };
}

function writableField(offset: number, length: number): Target['place'] {
  return (_ring, chain) => {
    const part = chain.parts.find(each => each.writable);
    if (part === undefined || offset + length > part.length) return undefined;
    return { address: part.address + offset, length, change: field => field.fill(0xff) };
  };
}
