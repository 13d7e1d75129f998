/** How a field of a message is written or understood wrongly. */
import { commandHeader } from '../../../abi/index.js';
import type { Command } from '../../../abi/index.js';
import { mutant } from '../mutant.js';
import type { Mutant, MutantFacts } from '../mutant.js';
import { messages } from '../seams/driver.js';
import type { Part } from '../seams/driver.js';

export type Facts = Omit<MutantFacts, 'chapter'> & Partial<MutantFacts>;

/** The data of one command is written wrongly. */
export function command(
  code: Command,
  name: string,
  facts: Facts,
  doc: string,
  change: (data: Part, header: Part) => void,
): Mutant {
  return mutant(
    'driver',
    name,
    { chapter: 'control', ...facts },
    doc,
    messages(() => ({
      published([header, data], { kind }) {
        if (kind !== 'control' || header.bytes[commandHeader.offsets.command] !== code) return;
        change(data, header);
        if (!data.writable) data.save();
        header.save();
      },
    })),
  );
}

export const swap32 = (view: DataView, at: number): void =>
  view.setUint32(at, view.getUint32(at, true), false);
