/** CREATE_PD, DESTROY_PD, GET_DMA_MR, REG_USER_MR, DEREG_MR. */
import {
  AccessFlag,
  createPdAck,
  deregMrCommand,
  destroyPdCommand,
  getDmaMrAck,
  getDmaMrCommand,
  regUserMrAck,
  regUserMrCommand,
} from '../abi/index.js';
import type { GuestMemory } from '../virtio/index.js';
import { commandWith, commandWithoutData, commandWithoutResult } from './command.js';

/** Size of the pages that REG_USER_MR lists. */
const PAGE_BYTES = 4096;

export const createPd = commandWithoutData(createPdAck, (objects, result) => {
  if (objects.pds.full) return false;
  result.pdn = objects.pds.add(objects.context.hca.createPd());
  return true;
});

export const destroyPd = commandWithoutResult(destroyPdCommand, (objects, { pdn }) => {
  const pd = objects.pds.get(pdn);
  if (pd === undefined) return false;
  objects.context.hca.destroyPd(pd);
  objects.pds.delete(pdn);
  return true;
});

export const getDmaMr = commandWith(getDmaMrCommand, getDmaMrAck, (objects, request, result) => {
  const { hca, memory } = objects.context;
  const pd = objects.pds.get(request.pdn);
  if (pd === undefined || objects.regions.full || !isSoundAccess(request.access_flags)) return false;
  const hcaMr = hca.registerMr(pd, {
    access: request.access_flags,
    iova: 0,
    length: endOf(memory),
    memory,
    pageBytes: PAGE_BYTES,
    pages: undefined,
  });
  result.mrn = objects.addRegion({ hcaMr, pages: 0 });
  result.lkey = hcaMr.lkey;
  result.rkey = hcaMr.rkey;
  return true;
});

export const regUserMr = commandWith(regUserMrCommand, regUserMrAck, (objects, request, result, list) => {
  const { hca, memory } = objects.context;
  const { virt_addr: iova, length, npages, access_flags: access } = request;
  const pd = objects.pds.get(request.pdn);
  if (pd === undefined || objects.regions.full || !isSoundAccess(access)) return false;
  if (length === 0 || length > hca.attributes.maxMrSizeBytes) return false;
  if (!Number.isSafeInteger(iova) || !Number.isSafeInteger(iova + length)) return false;
  if (npages !== pagesToCover(iova, length) || npages > list.count) return false;
  if (!objects.hasRoomForPages(npages)) return false;
  const pages = new Float64Array(npages);
  list.read(pages);
  if (!pages.every(page => page % PAGE_BYTES === 0 && memory.contains(page, PAGE_BYTES))) return false;
  const hcaMr = hca.registerMr(pd, { access, iova, length, memory, pageBytes: PAGE_BYTES, pages });
  result.mrn = objects.addRegion({ hcaMr, pages: npages });
  result.lkey = hcaMr.lkey;
  result.rkey = hcaMr.rkey;
  return true;
});

export const deregMr = commandWithoutResult(deregMrCommand, (objects, { mrn }) => {
  const region = objects.regions.get(mrn);
  if (region === undefined) return false;
  objects.context.hca.deregisterMr(region.hcaMr);
  objects.removeRegion(mrn, region);
  return true;
});

const anyAccess = AccessFlag.LOCAL_WRITE | AccessFlag.REMOTE_WRITE | AccessFlag.REMOTE_READ;

/** Only rights that exist, and no writing by the peer where the guest itself may not have its device write. */
function isSoundAccess(access: number): boolean {
  if ((access & ~anyAccess) !== 0) return false;
  return (access & AccessFlag.REMOTE_WRITE) === 0 || (access & AccessFlag.LOCAL_WRITE) !== 0;
}

/** Pages that bytes iova .. iova+length-1 touch. */
function pagesToCover(iova: number, length: number): number {
  return Math.floor((iova + length - 1) / PAGE_BYTES) - Math.floor(iova / PAGE_BYTES) + 1;
}

/** First address behind all guest memory. */
function endOf(memory: GuestMemory): number {
  const last = memory.regions.at(-1);
  return last === undefined ? 0 : last.address + last.length;
}
