/** Rights that the peer does not have, on its queue pair or on its region. */
import { AccessFlag } from '../../abi/index.js';
import type { EndpointOptions, SendSpec } from './endpoint.js';
import { bothFailed } from './failed.js';
import { IN } from './guest.js';
import { scenario } from './scenario.js';
import type { Scenario } from './scenario.js';

const { LOCAL_WRITE, REMOTE_WRITE, REMOTE_READ } = AccessFlag;
const testMr = { source: 'rdma-core tests/test_mr.py' };

const noWrite: EndpointOptions = { access: LOCAL_WRITE | REMOTE_READ };
const noRead: EndpointOptions = { access: LOCAL_WRITE | REMOTE_WRITE };
const regionNoWrite: EndpointOptions = { mrAccess: LOCAL_WRITE | REMOTE_READ };
const regionNoRead: EndpointOptions = { mrAccess: LOCAL_WRITE | REMOTE_WRITE };

/** A one-sided request that the far side does not allow. */
function denied(
  id: string,
  doc: string,
  far: EndpointOptions,
  verb: 'write' | 'read',
  status: 'REM_INV_REQ_ERR' | 'REM_ACCESS_ERR',
  spec: SendSpec = {},
): Scenario {
  return scenario(
    `ERR/right/${id}`,
    doc,
    { ...testMr, requirements: ['ERR-14', 'MEM-16', 'MEM-17'] },
    script => {
      const [near, other] = script.pair('RC', {}, far);
      other.guest.fill(IN, 1024, 2);
      near.guest.fill(IN, 1024, 3);
      near[verb](spec);
      near.sends(status);
      near.guest.holds(IN, 1024, 3);
      other.guest.holds(IN, 1024, 2);
      bothFailed(near, other);
    },
  );
}

export const rightScenarios: readonly Scenario[] = [
  denied(
    'write-queue-pair',
    'A write to a queue pair without remote write is an invalid request.',
    noWrite,
    'write',
    'REM_INV_REQ_ERR',
  ),
  denied(
    'read-queue-pair',
    'A read from a queue pair without remote read is an invalid request.',
    noRead,
    'read',
    'REM_INV_REQ_ERR',
  ),
  denied(
    'write-region',
    'A write to a region without remote write is an access error.',
    regionNoWrite,
    'write',
    'REM_ACCESS_ERR',
  ),
  denied(
    'read-region',
    'A read from a region without remote read is an access error.',
    regionNoRead,
    'read',
    'REM_ACCESS_ERR',
  ),
  denied(
    'no-remote-rights',
    'A region without remote rights opens nothing to the peer.',
    { mrAccess: LOCAL_WRITE },
    'write',
    'REM_ACCESS_ERR',
  ),
  scenario(
    'ERR/right/write-imm',
    'A write with immediate data in one packet has its receive when its key turns out to be wrong: that fails too.',
    { requirements: ['ERR-15', 'QP-53', 'DATA-82'] },
    script => {
      const [near, far] = script.pair('RC', {}, regionNoWrite);
      far.recv({ times: 2 });
      near.write({ imm: 3 });
      near.sends('REM_ACCESS_ERR');
      far.receives('LOC_ACCESS_ERR', 'WR_FLUSH_ERR');
    },
  ),
  scenario(
    'ERR/right/write-imm-long',
    'A write with immediate data in many packets fails at the first, before it has a receive.',
    { requirements: ['ERR-15', 'QP-53'] },
    script => {
      const [near, far] = script.pair('RC', {}, regionNoWrite);
      far.recv();
      near.write({ bytes: 3000, imm: 3 });
      near.sends('REM_ACCESS_ERR');
      far.receives('WR_FLUSH_ERR');
    },
  ),
  scenario(
    'ERR/right/uc-write',
    'A UC write to a queue pair without remote write is dropped in silence.',
    { requirements: ['ERR-21', 'MEM-16'] },
    script => {
      const [near, far] = script.pair('UC', {}, noWrite);
      far.guest.fill(IN, 1024, 2);
      near.write();
      near.sent();
      far.guest.holds(IN, 1024, 2);
      far.is('RTS');
    },
  ),
  scenario(
    'ERR/read/none-answered',
    'A read at a responder that answers none is an invalid request.',
    { requirements: ['ERR-14', 'QP-53'] },
    script => {
      const [near, far] = script.pair('RC', {}, { rtr: { maxDestRdAtomic: 0 } });
      near.read();
      near.sends('REM_INV_REQ_ERR');
      far.is('ERR');
    },
  ),
];
