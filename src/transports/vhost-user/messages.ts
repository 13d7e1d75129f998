/**
 * Payloads of vhost-user messages: a table for each layout, and an encoder and a decoder that trusts no size. The protocol
 * has the byte order of the machine, which is little-endian wherever this code runs.
 */
import { bytes, le16, le32, le64, nested, reserved, struct } from '../../abi/index.js';
import type { StructValue } from '../../abi/index.js';
import { CONFIG_BYTES_MAX, TABLE_REGIONS_MAX, requestName, requestShapes, Request } from './protocol.js';
import type { PayloadKind, RequestName, RequestShape } from './protocol.js';

export const header = struct('vhost_user_header', 'In front of every message.', {
  request: le32('number of the request'),
  flags: le32('version, reply and need_reply'),
  size: le32('bytes of the payload'),
});
export const vringState = struct('vhost_vring_state', 'A number that belongs to a queue.', {
  index: le32('queue'),
  num: le32('size, index or switch'),
});
export const vringAddress = struct(
  'vhost_vring_addr',
  'Places of a queue, as user addresses of the front-end.',
  {
    index: le32('queue'),
    flags: le32('bit 0: writes to the used ring are logged'),
    descriptors: le64('descriptor table'),
    used: le64('used ring'),
    available: le64('available ring'),
    log: le64('where the used ring is logged'),
  },
);
export const memoryRegion = struct('vhost_user_region', 'A region of guest memory in a file.', {
  guestAddress: le64('guest-physical address'),
  bytes: le64('size'),
  userAddress: le64('where the front-end has it'),
  offset: le64('where it starts in the file'),
});
export const regionsHeader = struct('vhost_user_memory', 'In front of the regions of a table.', {
  count: le32('regions that follow'),
  padding: reserved('le32'),
});
export const singleRegion = struct('vhost_user_mem_reg', 'One region.', {
  padding: reserved('le64'),
  region: nested(memoryRegion, 'the region'),
});
export const configHeader = struct('vhost_user_config', 'In front of bytes of configuration space.', {
  offset: le32('first byte'),
  bytes: le32('how many'),
  flags: le32('0: written by the guest; 1: by a migration'),
});
export const logDescription = struct('vhost_user_log', 'Where written pages are logged.', {
  bytes: le64('size of the log'),
  offset: le64('where it starts in the file'),
});
export const inflightDescription = struct('vhost_user_inflight', 'Memory that keeps what is in flight.', {
  bytes: le64('size of the area'),
  offset: le64('where it starts in the file'),
  queues: le16('queues'),
  queueSize: le16('entries of a queue'),
});
/** Compilers pad the struct above; peers send it with and without. */
const INFLIGHT_PADDING_BYTES = 4;
const u64Bytes = struct('u64', 'Eight bytes.', { value: bytes(8, 'a number, or bits') });

export type VringState = StructValue<typeof vringState>;
export type VringAddress = StructValue<typeof vringAddress>;
export type MemoryRegion = StructValue<typeof memoryRegion>;
export type LogDescription = StructValue<typeof logDescription>;
export type InflightDescription = StructValue<typeof inflightDescription>;
export interface ConfigAccess {
  readonly offset: number;
  readonly flags: number;
  readonly data: Uint8Array;
}

/** A payload with its meaning. Numbers above 2^53 - 1 are rounded, and so larger than any address; bit sets are exact. */
export type Payload =
  | { readonly kind: 'none' }
  | { readonly kind: 'u64'; readonly value: bigint }
  | { readonly kind: 'vring-state'; readonly state: VringState }
  | { readonly kind: 'vring-address'; readonly address: VringAddress }
  | { readonly kind: 'regions'; readonly regions: readonly MemoryRegion[] }
  | { readonly kind: 'region'; readonly region: MemoryRegion }
  | { readonly kind: 'config'; readonly access: ConfigAccess }
  | { readonly kind: 'log'; readonly log: LogDescription }
  | { readonly kind: 'inflight'; readonly inflight: InflightDescription };

/** A message that is not as the protocol has it. */
export class MessageFault extends Error {
  readonly code = 'ERR_VHOST_USER_MESSAGE';
}

/** The payload of a kind. Throws `MessageFault` when its size is not that of the kind. What `none` carries is ignored. */
export function decodePayload(kind: PayloadKind, data: Uint8Array): Payload {
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const expect = (least: number, most = least): void => {
    if (data.length >= least && data.length <= most) return;
    const sizes = least === most ? `${least}` : `${least} to ${most}`;
    throw new MessageFault(`its payload has ${data.length} bytes, expected ${sizes}`);
  };
  switch (kind) {
    case 'none':
      return { kind };
    case 'u64':
      expect(u64Bytes.size);
      return { kind, value: view.getBigUint64(0, true) };
    case 'vring-state':
      expect(vringState.size);
      return { kind, state: vringState.decode(view, 0) };
    case 'vring-address':
      expect(vringAddress.size);
      return { kind, address: vringAddress.decode(view, 0) };
    case 'regions':
      expect(regionsHeader.size, regionsHeader.size + TABLE_REGIONS_MAX * memoryRegion.size);
      return { kind, regions: decodeRegions(view) };
    case 'region':
      expect(singleRegion.size);
      return { kind, region: singleRegion.decode(view, 0).region };
    case 'config':
      expect(configHeader.size, configHeader.size + CONFIG_BYTES_MAX);
      return { kind, access: decodeConfig(view, data) };
    case 'log':
      expect(logDescription.size);
      return { kind, log: logDescription.decode(view, 0) };
    case 'inflight':
      expect(inflightDescription.size, inflightDescription.size + INFLIGHT_PADDING_BYTES);
      return { kind, inflight: inflightDescription.decode(view, 0) };
  }
}

function decodeRegions(view: DataView): MemoryRegion[] {
  const { count } = regionsHeader.decode(view, 0);
  if (count > TABLE_REGIONS_MAX)
    throw new MessageFault(`its table has ${count} regions, at most ${TABLE_REGIONS_MAX}`);
  const needed = regionsHeader.size + count * memoryRegion.size;
  if (view.byteLength < needed)
    throw new MessageFault(`its payload has ${view.byteLength} bytes, and ${count} regions need ${needed}`);
  return Array.from({ length: count }, (_, i) =>
    memoryRegion.decode(view, regionsHeader.size + i * memoryRegion.size),
  );
}

function decodeConfig(view: DataView, data: Uint8Array): ConfigAccess {
  const { offset, bytes: count, flags } = configHeader.decode(view, 0);
  const here = data.length - configHeader.size;
  if (count !== here)
    throw new MessageFault(`it speaks of ${count} bytes of configuration space, and ${here} are there`);
  return { offset, flags, data: data.slice(configHeader.size) };
}

/** A payload as bytes. */
export function encodePayload(payload: Payload): Uint8Array {
  switch (payload.kind) {
    case 'none':
      return new Uint8Array(0);
    case 'u64':
      return filled(u64Bytes.size, view => view.setBigUint64(0, payload.value, true));
    case 'vring-state':
      return filled(vringState.size, view => vringState.encode(view, 0, payload.state));
    case 'vring-address':
      return filled(vringAddress.size, view => vringAddress.encode(view, 0, payload.address));
    case 'regions':
      return encodeRegions(payload.regions);
    case 'region':
      return filled(singleRegion.size, view => singleRegion.encode(view, 0, { region: payload.region }));
    case 'config': {
      const { offset, flags, data } = payload.access;
      const whole = filled(configHeader.size + data.length, view =>
        configHeader.encode(view, 0, { offset, bytes: data.length, flags }),
      );
      whole.set(data, configHeader.size);
      return whole;
    }
    case 'log':
      return filled(logDescription.size, view => logDescription.encode(view, 0, payload.log));
    case 'inflight':
      return filled(inflightDescription.size + INFLIGHT_PADDING_BYTES, view =>
        inflightDescription.encode(view, 0, payload.inflight),
      );
  }
}

function encodeRegions(regions: readonly MemoryRegion[]): Uint8Array {
  return filled(regionsHeader.size + regions.length * memoryRegion.size, view => {
    regionsHeader.encode(view, 0, { count: regions.length });
    regions.forEach((region, i) =>
      memoryRegion.encode(view, regionsHeader.size + i * memoryRegion.size, region),
    );
  });
}

function filled(size: number, fill: (view: DataView) => void): Uint8Array {
  const data = new Uint8Array(size);
  fill(new DataView(data.buffer));
  return data;
}

export interface DecodedRequest {
  readonly name: RequestName;
  readonly shape: RequestShape;
  readonly payload: Payload;
}

/**
 * What a front-end's request says. Throws `MessageFault` for a size or a number of descriptors that it cannot have.
 * Undefined for a request that is not understood here.
 */
export function decodeRequest(request: number, data: Uint8Array, fds: number): DecodedRequest | undefined {
  const name = Request.nameOf(request);
  const shape = name === undefined ? undefined : requestShapes[name];
  if (name === undefined || shape === undefined) return undefined;
  try {
    const payload = decodePayload(shape.payload, data);
    const expected = fdsOf(shape, payload, fds);
    if (fds !== expected) throw new MessageFault(`${fds} descriptors came with it, expected ${expected}`);
    return { name, shape, payload };
  } catch (error) {
    if (error instanceof MessageFault) throw new MessageFault(`${requestName(request)}: ${error.message}`);
    throw error;
  }
}

const NO_FD_BIT = 0x100n;

function fdsOf({ fds }: RequestShape, payload: Payload, came: number): number {
  switch (fds) {
    case undefined:
      return 0;
    case 'one':
      return 1;
    case 'at most one':
      return Math.min(came, 1);
    case 'queue':
      return payload.kind === 'u64' && (payload.value & NO_FD_BIT) !== 0n ? 0 : 1;
    case 'a region each':
      return payload.kind === 'regions' ? payload.regions.length : 0;
  }
}
