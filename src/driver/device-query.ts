/** QUERY_DEVICE and QUERY_PORT: the limits, which the driver also needs for its own checks. */
import { Command, queryDeviceAck, queryPortAck } from '../abi/index.js';
import { VerbsError } from '../verbs/index.js';
import type { DeviceAttributes, PortAttributes } from '../verbs/index.js';
import type { CommandEngine } from './command-engine.js';
import type { Queues } from './queues.js';
import type { Session } from './session.js';

/** Limits of the device, none larger than the rings that were set up can carry. */
export function queryDevice(
  session: Session,
  engine: CommandEngine,
  queues: Queues,
): Promise<DeviceAttributes> {
  const verb = 'queryDevice';
  return engine.run({
    verb,
    code: Command.QUERY_DEVICE,
    resultBytes: queryDeviceAck.size,
    refused: () => new VerbsError('EINVAL', verb, 'the device refused'),
    accept: result => {
      const limits = queryDeviceAck.decode(result, 0);
      return {
        maxMrSizeBytes: limits.max_mr_size,
        pageSizeCap: limits.page_size_cap,
        maxQp: session.maxQps,
        maxQpWr: Math.min(limits.max_qp_wr, queues.sqSize, queues.rqSize),
        maxSendSge: limits.max_send_sge,
        maxRecvSge: limits.max_recv_sge,
        maxSgeRd: limits.max_sge_rd,
        maxCq: session.maxCqs,
        maxCqe: Math.min(limits.max_cqe, queues.cqSize),
        maxMr: limits.max_mr,
        maxPd: limits.max_pd,
        maxAh: limits.max_ah,
        maxQpRdAtom: limits.max_qp_rd_atom,
        maxQpInitRdAtom: limits.max_qp_init_rd_atom,
      };
    },
  });
}

export function queryPort(session: Session, engine: CommandEngine): Promise<PortAttributes> {
  const verb = 'queryPort';
  return engine.run({
    verb,
    code: Command.QUERY_PORT,
    resultBytes: queryPortAck.size,
    refused: () => new VerbsError('EINVAL', verb, 'the device refused'),
    accept: result => {
      const limits = queryPortAck.decode(result, 0);
      return {
        gidTableLength: limits.gid_tbl_len,
        maxMsgSizeBytes: limits.max_msg_sz,
        activeMtu: session.activeMtu,
      };
    },
  });
}
