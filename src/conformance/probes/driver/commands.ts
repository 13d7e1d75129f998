/**
 * Control commands as the probe device takes them: the header, the struct, the page list and the room for the answer, each
 * held against the tables of chapter 5 as it comes.
 */
import {
  ackHeader,
  commandShapeOf,
  commandHeader,
  commands,
  readLe64,
  regUserMrCommand,
} from '../../../abi/index.js';
import type { Field, Struct } from '../../../abi/index.js';
import type { Chain, Report } from './pen.js';

/** What of a struct does not depend on its value. */
export interface Layout {
  readonly name: string;
  readonly size: number;
  readonly fields: readonly Field[];
}

/** A command that was taken and is not answered yet. */
export class TakenCommand {
  readonly chain: Chain;
  readonly code: number;
  /** `CREATE_CQ`, or the number where it has no name. */
  readonly name: string;
  readonly #view: DataView;

  constructor(chain: Chain) {
    this.chain = chain;
    const { readable } = chain;
    this.code = readable.length > 1 ? readable[1] : -1;
    this.name = commands.nameOf(this.code) ?? `command ${this.code}`;
    this.#view = new DataView(readable.buffer, Math.min(commandHeader.size, readable.length));
  }

  /** The command's struct is there to its end. */
  get isWhole(): boolean {
    return this.#view.byteLength >= (commandShapeOf(this.code)?.request.size ?? 0);
  }

  /** The command's struct. Throws RangeError when the command is shorter. */
  decode<V>(layout: Struct<V>): V {
    return layout.decode(this.#view, 0);
  }

  /** Page list of REG_USER_MR: every entry that was sent. */
  pages(): number[] {
    const count = Math.floor((this.#view.byteLength - regUserMrCommand.size) / 8);
    return Array.from({ length: count }, (_, i) => readLe64(this.#view, regUserMrCommand.size + 8 * i));
  }
}

/** Takes down what is wrong with a command whatever its values are. */
export function checkCommand(command: TakenCommand, controlClass: number, report: Report): void {
  const { chain, code, name } = command;
  const { readable, writableBytes } = chain;
  if (readable.length < commandHeader.size) {
    report(['OVR-04'], `a command has ${readable.length} readable bytes, which is less than its header`);
    return;
  }
  const shape = commandShapeOf(code);
  if (shape === undefined) {
    report(['OVR-04'], `a command has code ${code}, which is not in the table of commands`);
    return;
  }
  if (readable[0] !== controlClass)
    report(['OVR-04'], `${name} has class ${readable[0]}, expected ${controlClass}`);
  const needed = ackHeader.size + shape.result.size;
  if (writableBytes < needed)
    report(['CTRL-17'], `${name} has room for ${writableBytes} bytes of answer, which needs ${needed}`);
  const data: Layout = shape.request;
  if (readable.length < commandHeader.size + data.size) {
    report(
      ['OVR-04'],
      `${name} has ${readable.length} readable bytes, expected ${commandHeader.size + data.size}`,
    );
    return;
  }
  const at = firstDirtyByte(data, readable, commandHeader.size);
  if (at !== undefined)
    report(
      ['OVR-06'],
      `${name} has ${readable[commandHeader.size + at]} in byte ${at} of ${data.name}, which is reserved`,
    );
}

/** Offset in the struct of the first reserved byte that is not zero. */
export function firstDirtyByte(layout: Layout, bytes: Uint8Array, from: number): number | undefined {
  for (const field of layout.fields) {
    if (typeof field.type !== 'string') {
      const inner = firstDirtyByte(field.type, bytes, from + field.offset);
      if (inner !== undefined) return field.offset + inner;
    } else if (field.reserved) {
      for (let i = 0; i < field.size; i++) if (bytes[from + field.offset + i] !== 0) return field.offset + i;
    }
  }
  return undefined;
}
