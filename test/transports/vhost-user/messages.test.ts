import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  MessageFault,
  decodePayload,
  decodeRequest,
  encodePayload,
  header,
} from '../../../src/transports/vhost-user/messages.js';
import type { Payload } from '../../../src/transports/vhost-user/messages.js';
import {
  MessageFlag,
  ProtocolFeature,
  Request,
  requestShapes,
} from '../../../src/transports/vhost-user/protocol.js';
import { hex } from './support.js';

/** Bytes as the tables of the published specification lay them out, on a little-endian machine. */
const golden: readonly (readonly [name: string, bytes: string, payload: Payload])[] = [
  [
    'u64: device features with VERSION_1 and bit 30',
    '00 00 00 40 01 00 00 00',
    { kind: 'u64', value: (1n << 32n) | (1n << 30n) },
  ],
  [
    'a vring state: queue 3, 256 entries',
    '03 00 00 00 00 01 00 00',
    { kind: 'vring-state', state: { index: 3, num: 256 } },
  ],
  [
    'a vring address: the used ring stands before the available ring',
    `01 00 00 00 00 00 00 00  00 10 00 00 ff 7f 00 00  00 30 00 00 ff 7f 00 00
     00 20 00 00 ff 7f 00 00  00 40 00 00 00 00 00 00`,
    {
      kind: 'vring-address',
      address: {
        index: 1,
        flags: 0,
        descriptors: 0x7fff_0000_1000,
        used: 0x7fff_0000_3000,
        available: 0x7fff_0000_2000,
        log: 0x4000,
      },
    },
  ],
  [
    'two regions behind a count and padding',
    `02 00 00 00 00 00 00 00
     00 00 00 00 00 00 00 00  00 00 0a 00 00 00 00 00  00 00 00 10 7f 00 00 00  00 00 00 00 00 00 00 00
     00 00 10 00 00 00 00 00  00 00 f0 07 00 00 00 00  00 00 10 10 7f 00 00 00  00 00 10 00 00 00 00 00`,
    {
      kind: 'regions',
      regions: [
        { guestAddress: 0, bytes: 0xa_0000, userAddress: 0x7f_1000_0000, offset: 0 },
        { guestAddress: 0x10_0000, bytes: 0x7f0_0000, userAddress: 0x7f_1010_0000, offset: 0x10_0000 },
      ],
    },
  ],
  [
    'one region behind eight bytes of padding',
    `00 00 00 00 00 00 00 00
     00 00 00 00 01 00 00 00  00 10 00 00 00 00 00 00  00 00 00 20 7f 00 00 00  00 20 00 00 00 00 00 00`,
    {
      kind: 'region',
      region: { guestAddress: 0x1_0000_0000, bytes: 0x1000, userAddress: 0x7f_2000_0000, offset: 0x2000 },
    },
  ],
  [
    'four bytes of configuration space from byte 8 on',
    '08 00 00 00 04 00 00 00 00 00 00 00 de ad be ef',
    { kind: 'config', access: { offset: 8, flags: 0, data: hex('de ad be ef') } },
  ],
  [
    'a log',
    '00 10 00 00 00 00 00 00 00 20 00 00 00 00 00 00',
    { kind: 'log', log: { bytes: 0x1000, offset: 0x2000 } },
  ],
  [
    'an in-flight area, with the padding of a compiler',
    '00 40 00 00 00 00 00 00 00 00 00 00 00 00 00 00 02 00 00 01 00 00 00 00',
    { kind: 'inflight', inflight: { bytes: 0x4000, offset: 0, queues: 2, queueSize: 256 } },
  ],
];

describe('vhost-user payloads', () => {
  it.each(golden)('has the published bytes of %s', (_name, text, payload) => {
    expect(encodePayload(payload)).toEqual(hex(text));
    expect(decodePayload(payload.kind, hex(text))).toEqual(payload);
  });

  it('has the published header: request, flags with the version, size', () => {
    const view = new DataView(new ArrayBuffer(12));
    const { VERSION, NEED_REPLY } = MessageFlag.values;
    header.encode(view, 0, { request: Request.values.SET_MEM_TABLE, flags: VERSION | NEED_REPLY, size: 40 });
    expect(new Uint8Array(view.buffer)).toEqual(hex('05 00 00 00 09 00 00 00 28 00 00 00'));
  });

  it('has the published numbers of requests and protocol features', () => {
    expect(Request.names).toHaveLength(44);
    const { GET_VRING_BASE, GET_INFLIGHT_FD, REM_MEM_REG, GET_STATUS, GET_SHMEM_CONFIG } = Request.values;
    expect([GET_VRING_BASE, GET_INFLIGHT_FD, REM_MEM_REG, GET_STATUS, GET_SHMEM_CONFIG]).toEqual([
      11, 31, 38, 40, 44,
    ]);
    const { REPLY_ACK, CONFIG, INFLIGHT_SHMFD, CONFIGURE_MEM_SLOTS, STATUS } = ProtocolFeature.values;
    expect([REPLY_ACK, CONFIG, INFLIGHT_SHMFD, CONFIGURE_MEM_SLOTS, STATUS]).toEqual([3, 9, 12, 15, 16]);
  });

  it('takes an in-flight description without padding too', () => {
    const [, text, payload] = golden[7];
    expect(decodePayload('inflight', hex(text).subarray(0, 20))).toEqual(payload);
  });

  it.each([
    ['u64', 7],
    ['u64', 9],
    ['vring-state', 4],
    ['vring-address', 39],
    ['regions', 4],
    ['region', 32],
    ['config', 11],
    ['log', 8],
    ['inflight', 19],
  ] as const)('refuses a payload %s of %i bytes, and says both sizes', (kind, size) => {
    expect(() => decodePayload(kind, new Uint8Array(size))).toThrow(
      new RegExp(`has ${size} bytes, expected \\d+`),
    );
  });

  it('refuses a table that says more regions than it has, or than there may be', () => {
    const two = new Uint8Array(40);
    two[0] = 2;
    expect(() => decodePayload('regions', two)).toThrow('its payload has 40 bytes, and 2 regions need 72');
    two[0] = 9;
    expect(() => decodePayload('regions', two)).toThrow('its table has 9 regions, at most 8');
  });

  it('refuses configuration bytes that are not there', () => {
    expect(() => decodePayload('config', hex('00 00 00 00 05 00 00 00 00 00 00 00 01'))).toThrow(
      'it speaks of 5 bytes of configuration space, and 1 are there',
    );
  });

  it.each([
    ['SET_VRING_KICK', hex('01 00 00 00 00 00 00 00'), 0, 1],
    ['SET_VRING_KICK', hex('01 01 00 00 00 00 00 00'), 1, 0],
    ['SET_VRING_CALL', hex('00 00 00 00 00 00 00 00'), 2, 1],
    ['SET_MEM_TABLE', hex('00 00 00 00 00 00 00 00'), 1, 0],
    ['GET_FEATURES', hex('00'), 1, 0],
    ['SET_BACKEND_REQ_FD', hex('00'), 0, 1],
  ] as const)('refuses %s with a wrong number of descriptors', (name, payload, fds, expected) => {
    expect(() => decodeRequest(Request.values[name], payload, fds)).toThrow(
      `${name}: ${fds} descriptors came with it, expected ${expected}`,
    );
  });

  it('never throws anything but MessageFault, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.nat(60), fc.uint8Array({ maxLength: 320 }), fc.nat(10), (request, payload, fds) => {
        try {
          const decoded = decodeRequest(request, payload, fds);
          expect(decoded === undefined).toBe(
            Request.nameOf(request) === undefined ||
              requestShapes[Request.nameOf(request) ?? 'GET_FEATURES'] === undefined,
          );
        } catch (error) {
          expect(error).toBeInstanceOf(MessageFault);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('decodes what it encodes', () => {
    fc.assert(
      fc.property(fc.constantFrom(...golden), ([, , payload]) => {
        expect(decodePayload(payload.kind, encodePayload(payload))).toEqual(payload);
      }),
    );
  });
});
