/** The state machines that the command line shows, and the notations it exports them in. */
import type { MachineDefinition } from '../statemachines/definition.js';

export const exportFormats = ['mermaid', 'dot', 'stately', 'json'] as const;
export type ExportFormat = (typeof exportFormats)[number];

export interface MachineBook {
  readonly machines: readonly MachineDefinition[];
  /** A text that ends with a newline. */
  render(machine: MachineDefinition, format: ExportFormat): string;
}
