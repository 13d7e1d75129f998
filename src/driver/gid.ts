/** The GID table. */
import { Command, addGidCommand, delGidCommand } from '../abi/index.js';
import type { Gid } from '../verbs/index.js';
import { gidBytes, refuse, u16 } from './checks.js';
import { structData } from './command-engine.js';
import type { DriverContext } from './context.js';

export async function addGid(context: DriverContext, index: number, gid: Gid): Promise<void> {
  const verb = 'addGid';
  const value = { index: u16(verb, 'index', index), gid: gidBytes(verb, gid) };
  return context.engine.run({
    verb,
    code: Command.ADD_GID,
    data: structData(addGidCommand, value),
    resultBytes: 0,
    refused: () => refuse(verb, `the device refused GID ${gid} at index ${index}`),
    accept: () => undefined,
  });
}

export async function delGid(context: DriverContext, index: number): Promise<void> {
  const verb = 'delGid';
  const value = { index: u16(verb, 'index', index) };
  return context.engine.run({
    verb,
    code: Command.DEL_GID,
    data: structData(delGidCommand, value),
    resultBytes: 0,
    refused: () => refuse(verb, `the device refused index ${index}`),
    accept: () => undefined,
  });
}
