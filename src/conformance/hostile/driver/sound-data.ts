/** Each command as it would be sound for an attacker's own objects, before it is mutilated. */
import { Command, QpAttrMask, QpState } from '../../../abi/index.js';
import {
  addGid,
  addressVector,
  bytesOf,
  createAh,
  createCq,
  createQp,
  delGid,
  deregMr,
  destroyAh,
  destroyCq,
  destroyPd,
  destroyQp,
  getDmaMr,
  gidOf,
  modifyQp,
  queryQp,
  regUserMrBytes,
  reqNotifyCq,
} from '../../probes/device/messages.js';
import { qpFields } from '../../probes/device/site.js';
import type { Side } from '../../probes/device/site.js';

const none = new Uint8Array(0);

/** Regions that it makes never hold the sanctuary: their pages are the arena's. */
export function soundData(code: number, side: Side, ah: number): Uint8Array {
  const { pdn, otherPdn, cqn, qpn, gid, region } = side;
  switch (code) {
    case Command.CREATE_CQ:
      return bytesOf(createCq.request, { cqe: 4 });
    case Command.DESTROY_CQ:
      return bytesOf(destroyCq.request, { cqn });
    case Command.DESTROY_PD:
      return bytesOf(destroyPd.request, { pdn: otherPdn });
    case Command.GET_DMA_MR:
      return bytesOf(getDmaMr.request, { pdn, access_flags: 4 });
    case Command.REG_USER_MR: {
      const fields = { pdn, access_flags: 7, virt_addr: region.address, length: region.length };
      return regUserMrBytes(fields, [region.address, region.address + 4096]);
    }
    case Command.DEREG_MR:
      return bytesOf(deregMr.request, { mrn: region.mrn });
    case Command.CREATE_QP:
      return bytesOf(createQp.request, qpFields({ pdn, cqn }));
    case Command.MODIFY_QP:
      return bytesOf(modifyQp.request, { qpn, attr_mask: QpAttrMask.STATE, qp_state: QpState.SQD });
    case Command.QUERY_QP:
      return bytesOf(queryQp.request, { qpn });
    case Command.DESTROY_QP:
      return bytesOf(destroyQp.request, { qpn });
    case Command.CREATE_AH:
      return bytesOf(createAh.request, { pdn, ah_attr: addressVector(gid) });
    case Command.DESTROY_AH:
      return bytesOf(destroyAh.request, { pdn, ah });
    case Command.ADD_GID:
      // A GID of a neighbour, which must not be had.
      return bytesOf(addGid.request, { index: 1, gid: gidOf(1) });
    case Command.DEL_GID:
      return bytesOf(delGid.request, { index: 0 });
    case Command.REQ_NOTIFY_CQ:
      return bytesOf(reqNotifyCq.request, { cqn, flags: 2 });
    default:
      return none;
  }
}
