/** CREATE_AH, DESTROY_AH, ADD_GID, DEL_GID. */
import {
  addGidCommand,
  createAhAck,
  createAhCommand,
  delGidCommand,
  destroyAhCommand,
} from '../abi/index.js';
import { commandWith, commandWithoutResult } from './command.js';
import { toAhAttributes, toGid } from './conversions.js';

export const createAh = commandWith(createAhCommand, createAhAck, (objects, request, result) => {
  const pd = objects.pds.get(request.pdn);
  if (pd === undefined || objects.addressHandles.full) return false;
  const hcaAh = objects.context.hca.createAh(pd, toAhAttributes(request.ah_attr));
  result.ah = objects.addressHandles.add({ hcaAh, pdn: request.pdn });
  return true;
});

export const destroyAh = commandWithoutResult(destroyAhCommand, (objects, { pdn, ah }) => {
  const entry = objects.addressHandles.get(ah);
  if (entry === undefined || entry.pdn !== pdn) return false;
  objects.context.hca.destroyAh(entry.hcaAh);
  objects.addressHandles.delete(ah);
  return true;
});

export const addGid = commandWithoutResult(addGidCommand, (objects, { index, gid }) => {
  objects.context.hca.addGid(index, toGid(gid));
  return true;
});

export const delGid = commandWithoutResult(delGidCommand, (objects, { index }) => {
  objects.context.hca.delGid(index);
  return true;
});
