/** How a check of a command is left out. */
import {
  Command,
  createAhCommand,
  createQpCommand,
  getDmaMrCommand,
  regUserMrCommand,
  reqNotifyCommand,
} from '../../../abi/index.js';
import type { Struct } from '../../../abi/index.js';
import type { DeviceObjects } from '../../../device/index.js';
import { mutant } from '../mutant.js';
import type { Mutant, MutantChapter } from '../mutant.js';
import { misreads } from '../seams/device.js';

/** A check of `code` that is missing: where `repair` gives something, the command is carried out with it. */
export function unchecked<Q extends object>(
  code: Command,
  layout: Struct<Q>,
): (
  name: string,
  breaks: string,
  doc: string,
  repair: (request: Q, objects: DeviceObjects) => Partial<Q> | undefined,
  chapter?: MutantChapter,
) => Mutant {
  return (name, breaks, doc, repair, chapter = 'control') =>
    mutant('device', name, { chapter, breaks }, doc, misreads(code, layout, repair));
}

export const reqNotify = unchecked(Command.REQ_NOTIFY_CQ, reqNotifyCommand);

export const getDmaMr = unchecked(Command.GET_DMA_MR, getDmaMrCommand);

export const regUserMr = unchecked(Command.REG_USER_MR, regUserMrCommand);

export const createQp = unchecked(Command.CREATE_QP, createQpCommand);

export const createAh = unchecked(Command.CREATE_AH, createAhCommand);
