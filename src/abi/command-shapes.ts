/** What each control command carries, and what answers it: chapter 5's table of commands as data. */
import { Command } from './enums.js';
import { struct } from './layout.js';
import type { Struct } from './layout.js';
import {
  addGidCommand,
  createAhAck,
  createAhCommand,
  createCqAck,
  createCqCommand,
  createPdAck,
  createQpAck,
  createQpCommand,
  delGidCommand,
  deregMrCommand,
  destroyAhCommand,
  destroyCqCommand,
  destroyPdCommand,
  destroyQpCommand,
  getDmaMrAck,
  getDmaMrCommand,
  modifyQpCommand,
  queryDeviceAck,
  queryPortAck,
  queryQpAck,
  queryQpCommand,
  regUserMrAck,
  regUserMrCommand,
  reqNotifyCommand,
} from './structs.js';

/** A command: its code, the struct that it carries behind its header and the struct that answers it behind the ack byte. */
export interface CommandShape<Q, A> {
  readonly name: keyof typeof Command;
  readonly code: Command;
  /** Of no bytes where the command carries nothing. */
  readonly request: Struct<Q>;
  /** Of no bytes where the answer is the ack byte alone. */
  readonly result: Struct<A>;
}

const none = struct('none', 'No bytes', {});

function shape<Q, A>(name: keyof typeof Command, request: Struct<Q>, result: Struct<A>): CommandShape<Q, A> {
  return { name, code: Command[name], request, result };
}

export const commandShapes = {
  QUERY_DEVICE: shape('QUERY_DEVICE', none, queryDeviceAck),
  QUERY_PORT: shape('QUERY_PORT', none, queryPortAck),
  CREATE_CQ: shape('CREATE_CQ', createCqCommand, createCqAck),
  DESTROY_CQ: shape('DESTROY_CQ', destroyCqCommand, none),
  CREATE_PD: shape('CREATE_PD', none, createPdAck),
  DESTROY_PD: shape('DESTROY_PD', destroyPdCommand, none),
  GET_DMA_MR: shape('GET_DMA_MR', getDmaMrCommand, getDmaMrAck),
  REG_USER_MR: shape('REG_USER_MR', regUserMrCommand, regUserMrAck),
  DEREG_MR: shape('DEREG_MR', deregMrCommand, none),
  CREATE_QP: shape('CREATE_QP', createQpCommand, createQpAck),
  MODIFY_QP: shape('MODIFY_QP', modifyQpCommand, none),
  QUERY_QP: shape('QUERY_QP', queryQpCommand, queryQpAck),
  DESTROY_QP: shape('DESTROY_QP', destroyQpCommand, none),
  CREATE_AH: shape('CREATE_AH', createAhCommand, createAhAck),
  DESTROY_AH: shape('DESTROY_AH', destroyAhCommand, none),
  ADD_GID: shape('ADD_GID', addGidCommand, none),
  DEL_GID: shape('DEL_GID', delGidCommand, none),
  REQ_NOTIFY_CQ: shape('REQ_NOTIFY_CQ', reqNotifyCommand, none),
};

const byCode: ReadonlyMap<number, (typeof commandShapes)[keyof typeof commandShapes]> = new Map(
  Object.values(commandShapes).map(each => [each.code, each]),
);

/** The shape of a command by its code; undefined for a code that is not in the table. */
export function commandShapeOf(code: number): (typeof commandShapes)[keyof typeof commandShapes] | undefined {
  return byCode.get(code);
}
