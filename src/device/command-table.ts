/** Every control command by its code. */
import { Command } from '../abi/index.js';
import { addGid, createAh, delGid, destroyAh } from './ah-gid-commands.js';
import type { CommandHandler, CommandTable } from './command.js';
import { createCq, destroyCq, reqNotifyCq } from './cq-commands.js';
import { queryDevice, queryPort } from './device-commands.js';
import { createPd, deregMr, destroyPd, getDmaMr, regUserMr } from './pd-mr-commands.js';
import { createQp, destroyQp, modifyQp, queryQp } from './qp-commands.js';

const handlers: Readonly<Record<Command, CommandHandler>> = {
  [Command.QUERY_DEVICE]: queryDevice,
  [Command.QUERY_PORT]: queryPort,
  [Command.CREATE_CQ]: createCq,
  [Command.DESTROY_CQ]: destroyCq,
  [Command.CREATE_PD]: createPd,
  [Command.DESTROY_PD]: destroyPd,
  [Command.GET_DMA_MR]: getDmaMr,
  [Command.REG_USER_MR]: regUserMr,
  [Command.DEREG_MR]: deregMr,
  [Command.CREATE_QP]: createQp,
  [Command.MODIFY_QP]: modifyQp,
  [Command.QUERY_QP]: queryQp,
  [Command.DESTROY_QP]: destroyQp,
  [Command.CREATE_AH]: createAh,
  [Command.DESTROY_AH]: destroyAh,
  [Command.ADD_GID]: addGid,
  [Command.DEL_GID]: delGid,
  [Command.REQ_NOTIFY_CQ]: reqNotifyCq,
};

export const commandHandler: CommandTable = code => (isCommand(code) ? handlers[code] : undefined);

function isCommand(code: number): code is Command {
  return code <= Command.REQ_NOTIFY_CQ;
}

const sizes = Object.values(handlers);
/** Longest fixed part of any command's data, bytes. */
export const REQUEST_BYTES_MAX = Math.max(...sizes.map(handler => handler.requestBytes));
/** Longest result of any command, bytes. */
export const RESULT_BYTES_MAX = Math.max(...sizes.map(handler => handler.resultBytes));
