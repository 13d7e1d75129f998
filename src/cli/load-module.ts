/** Loads a module of somebody else's and takes its factory. */
import { pathToFileURL } from 'node:url';
import type { DeviceFactory, DriverFactory } from '../conformance/index.js';

/** The module cannot be used; the message says why and what to do. */
export class LoadError extends Error {}

interface Factories {
  createDriver: DriverFactory;
  createDevice: DeviceFactory;
}

/**
 * @param file absolute path of an ES module (or a CommonJS one) for Node
 * @throws LoadError when it cannot be imported or does not export the factory
 */
export async function loadFactory<N extends keyof Factories>(file: string, name: N): Promise<Factories[N]> {
  const factory = member(await importFile(file), name);
  if (typeof factory.value === 'function') return factory.value as Factories[N];
  const found =
    factory.value === undefined
      ? `exports ${factory.names.length === 0 ? 'nothing' : `only ${factory.names.join(', ')}`}`
      : `exports ${name} as ${typeof factory.value}`;
  throw new LoadError(
    `${file} ${found}; expected a function ${name}(context). docs/validate-your-driver.md shows one.`,
  );
}

async function importFile(file: string): Promise<Record<string, unknown>> {
  try {
    return (await import(pathToFileURL(file).href)) as Record<string, unknown>;
  } catch (error) {
    const reason = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    const hint = /Unknown file extension "\.[cm]?tsx?"/.test(reason)
      ? ' Compile it to JavaScript first.'
      : '';
    throw new LoadError(`${file} threw while it was loaded: ${reason}.${hint}`);
  }
}

/** CommonJS modules show their exports under `default`. */
function member(module: Record<string, unknown>, name: string): { value: unknown; names: string[] } {
  const inner = module['default'];
  const value =
    module[name] ??
    (typeof inner === 'object' && inner !== null ? (inner as Record<string, unknown>)[name] : undefined);
  return { value, names: Object.keys(module) };
}
