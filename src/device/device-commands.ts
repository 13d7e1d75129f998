/** QUERY_DEVICE and QUERY_PORT: the limits that the guest may count on. */
import { DeviceCapFlag, queryDeviceAck, queryPortAck } from '../abi/index.js';
import { commandWithoutData } from './command.js';

export const queryDevice = commandWithoutData(queryDeviceAck, ({ context }, result) => {
  const { attributes } = context.hca;
  const { queueSizeMax } = context.limits;
  result.device_cap_flags = DeviceCapFlag.RC_RNR_NAK_GEN;
  result.max_mr_size = attributes.maxMrSizeBytes;
  result.page_size_cap = attributes.pageSizeCap;
  // A queue holds no more than its virtqueue has entries.
  result.max_qp_wr = Math.min(attributes.maxQpWr, queueSizeMax);
  result.max_cqe = Math.min(attributes.maxCqe, queueSizeMax);
  result.max_send_sge = attributes.maxSendSge;
  result.max_recv_sge = attributes.maxRecvSge;
  result.max_sge_rd = attributes.maxSgeRd;
  result.max_mr = attributes.maxMr;
  result.max_pd = attributes.maxPd;
  result.max_ah = attributes.maxAh;
  result.max_qp_rd_atom = attributes.maxQpRdAtom;
  result.max_qp_init_rd_atom = attributes.maxQpInitRdAtom;
  return true;
});

export const queryPort = commandWithoutData(queryPortAck, ({ context }, result) => {
  const { port } = context.hca;
  result.gid_tbl_len = port.gidTableLength;
  result.max_msg_sz = port.maxMsgSizeBytes;
  return true;
});
