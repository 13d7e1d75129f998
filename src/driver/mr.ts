/** Memory regions: the page list of a region, and what keys the device may answer with. */
import {
  AccessFlag,
  Command,
  deregMrCommand,
  getDmaMrAck,
  getDmaMrCommand,
  regUserMrAck,
  regUserMrCommand,
  writeLe64,
} from '../abi/index.js';
import { VerbsError } from '../verbs/index.js';
import type { MemoryRegion, MrInit, ProtectionDomain } from '../verbs/index.js';
import { natural, refuse, u32 } from './checks.js';
import { structData } from './command-engine.js';
import type { DriverContext } from './context.js';
import type { DmaBuffer } from './guest-os.js';
import { DriverMr, claimMr, claimPd } from './objects.js';
import type { DriverPd } from './objects.js';
import type { PinnedPages } from './pinned-pages.js';
import type { Session } from './session.js';

const PAGE_BYTES = 4096;
const PAGE_ENTRY_BYTES = 8;
const REMOTE = AccessFlag.REMOTE_READ | AccessFlag.REMOTE_WRITE;
const KNOWN = AccessFlag.LOCAL_WRITE | REMOTE;

export async function regMr(
  context: DriverContext,
  pdHandle: ProtectionDomain,
  init: MrInit,
): Promise<DriverMr> {
  const verb = 'regMr';
  const { session, engine, mrs, limits } = context;
  const pd = claimPd(session, verb, pdHandle);
  checkRegion(init, limits.maxMrSizeBytes);
  const access = checkAccess(verb, init.access);
  const list = pageListCommand(context, pd, init);
  pd.users++;
  mrs.creating();
  return engine.run({
    verb,
    code: Command.REG_USER_MR,
    longData: list,
    resultBytes: regUserMrAck.size,
    refused: () => {
      session.free(list.buffer);
      session.unpin(list.pages);
      pd.users--;
      return mrs.refused(verb, limits.maxMr);
    },
    accept: result => {
      session.free(list.buffer);
      return created(context, verb, pd, access, regUserMrAck.decode(result, 0), list.pages);
    },
  });
}

export async function getDmaMr(
  context: DriverContext,
  pdHandle: ProtectionDomain,
  access: number,
): Promise<DriverMr> {
  const verb = 'getDmaMr';
  const { session, engine, mrs, limits } = context;
  const pd = claimPd(session, verb, pdHandle);
  const rights = checkAccess(verb, access);
  pd.users++;
  mrs.creating();
  return engine.run({
    verb,
    code: Command.GET_DMA_MR,
    data: structData(getDmaMrCommand, { pdn: pd.number, access_flags: rights }),
    resultBytes: getDmaMrAck.size,
    refused: () => {
      pd.users--;
      return mrs.refused(verb, limits.maxMr);
    },
    accept: result => created(context, verb, pd, rights, getDmaMrAck.decode(result, 0)),
  });
}

export async function deregMr(context: DriverContext, handle: MemoryRegion): Promise<void> {
  const verb = 'deregMr';
  const mr = claimMr(context.session, verb, handle);
  mr.alive = false;
  return context.engine.run({
    verb,
    code: Command.DEREG_MR,
    data: structData(deregMrCommand, { mrn: mr.number }),
    resultBytes: 0,
    refused: () => {
      mr.alive = true;
      return refuse(verb, 'the device refused');
    },
    accept: () => {
      if (mr.pages !== undefined) context.session.unpin(mr.pages);
      context.mrs.destroyed(mr.number);
      context.lkeys.delete(mr.lkey);
      mr.pd.users--;
    },
  });
}

/** Keys: never 0, never those of a living region, and a remote key just when there are remote rights. */
function created(
  context: DriverContext,
  verb: string,
  pd: DriverPd,
  access: number,
  { mrn, lkey, rkey }: { mrn: number; lkey: number; rkey: number },
  pages?: PinnedPages,
): DriverMr {
  const { session, mrs, lkeys } = context;
  const remote = (access & REMOTE) !== 0;
  const fault =
    mrs.fault(mrn) ??
    (lkey === 0 ? 'local key 0' : undefined) ??
    (lkeys.has(lkey) ? `local key ${lkey} is given away while it is alive` : undefined) ??
    (remote === (rkey !== 0) ? undefined : `remote key ${rkey} of a region with access ${access}`);
  if (fault !== undefined) throw session.fault(verb, fault);
  const mr = new DriverMr(pd, { number: mrn, lkey, rkey, pages });
  mrs.created(mrn, mr);
  lkeys.add(lkey);
  return mr;
}

function checkAccess(verb: string, access: number): number {
  u32(verb, 'access', access);
  if ((access & ~KNOWN) !== 0) throw refuse(verb, `access ${access} has unknown bits`);
  if ((access & AccessFlag.REMOTE_WRITE) !== 0 && (access & AccessFlag.LOCAL_WRITE) === 0) {
    throw refuse(verb, 'remote write needs local write');
  }
  return access;
}

function checkRegion({ addr, length }: MrInit, maxBytes: number): void {
  const verb = 'regMr';
  natural(verb, 'addr', addr);
  natural(verb, 'length', length);
  if (length < 1) throw refuse(verb, 'the region is empty');
  if (length > maxBytes) throw refuse(verb, `length ${length} is above the device's limit of ${maxBytes}`);
  natural(verb, 'last address', addr + (length - 1));
}

interface PageList {
  readonly buffer: DmaBuffer;
  /** Of the whole command. */
  readonly bytes: number;
  readonly pages: PinnedPages;
}

/** The command with the guest-physical address of every page that the region touches; consecutive pages may lie anywhere. */
function pageListCommand(context: DriverContext, pd: DriverPd, init: MrInit): PageList {
  const { session } = context;
  const pages = session.newPinnedPages();
  try {
    return { ...encodePageList(session, pd, init, pages), pages };
  } catch (error) {
    session.unpin(pages);
    throw error;
  }
}

function encodePageList(
  session: Session,
  pd: DriverPd,
  { addr, length, access }: MrInit,
  pages: PinnedPages,
): Pick<PageList, 'buffer' | 'bytes'> {
  const first = addr - (addr % PAGE_BYTES);
  const last = addr + (length - 1);
  const npages = Math.floor(last / PAGE_BYTES) - first / PAGE_BYTES + 1;
  // Both ends first: a wild length is refused before memory is taken for its list. No page is translated twice.
  const firstPlace = pages.translate(first);
  const lastPlace = npages > 1 ? pages.translate(first + (npages - 1) * PAGE_BYTES) : firstPlace;
  if (npages > 0xffff_ffff) throw new VerbsError('ENOMEM', 'regMr', `a list of ${npages} pages`);
  const bytes = regUserMrCommand.size + npages * PAGE_ENTRY_BYTES;
  const buffer = session.alloc(bytes, 8);
  try {
    regUserMrCommand.encode(buffer.view, 0, {
      pdn: pd.number,
      access_flags: access,
      virt_addr: addr,
      length,
      npages,
    });
    const setPlace = (page: number, place: number): void =>
      writeLe64(buffer.view, regUserMrCommand.size + page * PAGE_ENTRY_BYTES, place);
    setPlace(0, firstPlace);
    for (let page = 1; page < npages - 1; page++) setPlace(page, pages.translate(first + page * PAGE_BYTES));
    if (npages > 1) setPlace(npages - 1, lastPlace);
  } catch (error) {
    session.free(buffer);
    throw error;
  }
  return { buffer, bytes };
}
