/** The options that several commands share, and how their values are read. */
import { resolve } from 'node:path';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { suiteNames, type SuiteName } from '../conformance/report.js';
import type { Engine } from './engine.js';
import { CliError, ExitCode, usageError } from './exit-code.js';
import { colours, type Colours } from './format/text.js';
import type { Io } from './io.js';
import { DeviceProcess } from './device-process.js';
import type { Modules, Peer, ProfileName } from './job.js';
import { unknownName } from './nearest.js';
import { whyUnreadable } from './read-files.js';
import { peerOptions } from './peer-profile.js';

export interface OutputOptions {
  readonly color: boolean;
}

export interface ImplementationOptions {
  readonly profile: ProfileName;
  readonly driver?: string;
  readonly device?: string;
  readonly deviceCmd?: string;
  readonly deviceLog?: string;
  readonly deviceProfile?: string;
  readonly deviceOption?: readonly string[];
  readonly hangTimeout: number;
}

/** In front of the path of a socket, in place of a module. */
const VHOST_USER = 'vhost-user:';

export function addOutputOptions(command: Command): Command {
  return command.option('--no-color', 'print without colours (so does the environment variable NO_COLOR)');
}

export function addImplementationOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--profile <name>', 'device that is modelled').choices(['roce', 'rdma']).default('roce'),
    )
    .option('--driver <file>', 'judge the driver that this module exports (createDriver)')
    .option(
      '--device <file>',
      'judge the device that this module exports (createDevice), or the one behind vhost-user:PATH',
    )
    .option('--device-cmd <command>', 'start the vhost-user device, and again when it crashes or hangs')
    .option('--device-log <file>', 'where what that command prints is appended')
    .option('--device-profile <file>', 'what differs about the vhost-user device, as JSON (docs/peers.md)')
    .option('--device-option <name=value>', 'one such difference', gatherOne)
    .option(
      '--hang-timeout <time>',
      'how long the implementation may give no sign of life',
      parseDurationMs,
      10_000,
    );
}

/** Colours on a terminal, unless they were declined; FORCE_COLOR insists. */
export function coloursFor(options: OutputOptions, io: Io): Colours {
  const declined = !options.color || isSet(io.env['NO_COLOR']);
  return colours(!declined && (io.outIsTty || isSet(io.env['FORCE_COLOR'])));
}

function isSet(value: string | undefined): boolean {
  return value !== undefined && value !== '' && value !== '0';
}

export function parseSeed(text: string): number {
  const seed = Number(text);
  if (!/^(0x[0-9a-f]+|[0-9]+)$/i.test(text) || seed > 0xffff_ffff)
    throw new InvalidArgumentError('Expected a whole number from 0 to 4294967295.');
  return seed;
}

export function parseRuns(text: string): number {
  const runs = Number(text);
  if (!/^[0-9]+$/.test(text) || runs < 1 || runs > 1e9)
    throw new InvalidArgumentError('Expected a whole number from 1 to 1000000000.');
  return runs;
}

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, min: 60_000, h: 3_600_000 };

/** `30`, `30s`, `500ms`, `5m`, `1h`; without a unit, seconds. */
export function parseDurationMs(text: string): number {
  const parts = /^([0-9]+(?:\.[0-9]+)?)(ms|s|m|min|h)?$/.exec(text);
  const ms = parts === null ? 0 : Number(parts[1]) * unitMs[parts[2] ?? 's'];
  if (ms < 1 || ms > 7 * 24 * unitMs['h'])
    throw new InvalidArgumentError('Expected a time such as 30, 30s, 500ms, 5m or 1h.');
  return ms;
}

/** Gathers `--suite a,b --suite c`. */
export function gatherSuites(text: string, before: readonly SuiteName[] | undefined): readonly SuiteName[] {
  const wanted = text.split(',').map(name => {
    const known = suiteNames.find(suite => suite === name.trim());
    if (known === undefined) throw new InvalidArgumentError(unknownName('suite', name.trim(), suiteNames));
    return known;
  });
  return [...new Set([...(before ?? []), ...wanted])];
}

/** Gathers an option that may be given more than once, or with a list. */
export function gather(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, ...text.split(',').map(part => part.trim())];
}

/** Gathers an option that may be given more than once and whose values may hold commas. */
function gatherOne(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text];
}

/**
 * Ids of the cases that `--only` and `--skip` leave; undefined when all are left.
 * @throws CliError (usage) when a pattern names no case
 */
export function chosenCases(
  { casesMatching, catalogue }: Pick<Engine, 'casesMatching' | 'catalogue'>,
  only: readonly string[] | undefined,
  skip: readonly string[] | undefined,
): readonly string[] | undefined {
  if (only === undefined && skip === undefined) return undefined;
  const ids = catalogue.map(({ id }) => id);
  const named = (patterns: readonly string[]): readonly string[] =>
    patterns.flatMap(pattern => {
      const found = casesMatching(pattern);
      if (found.length === 0) throw usageError(`${unknownName('case', pattern, ids)} vrdma list shows all.`);
      return found.map(({ id }) => id);
    });
  const left = new Set(only === undefined ? ids : named(only));
  for (const id of skip === undefined ? [] : named(skip)) left.delete(id);
  return [...left];
}

/** @throws CliError (could not judge) when a module's file is not there; (usage) for options that do not go together. */
export function modulesOf(options: ImplementationOptions): Modules {
  const driver = moduleFile('--driver', options.driver);
  const peer = peerOf(options);
  if (peer !== undefined) return { driver, device: undefined, peer };
  return { driver, device: moduleFile('--device', options.device) };
}

function peerOf(options: ImplementationOptions): Peer | undefined {
  const { device, deviceCmd, deviceLog, deviceProfile, deviceOption = [] } = options;
  if (device?.startsWith(VHOST_USER) !== true) {
    const given = Object.entries({ deviceCmd, deviceLog, deviceProfile }).some(
      ([, text]) => text !== undefined,
    );
    if (given || deviceOption.length > 0)
      throw usageError(
        '--device-cmd and the like say more about --device vhost-user:PATH, which is missing.',
      );
    return undefined;
  }
  const path = device.slice(VHOST_USER.length);
  if (path === '') throw usageError('--device vhost-user:PATH needs the path of a socket.');
  if (deviceLog !== undefined && deviceCmd === undefined)
    throw usageError('--device-log is for what --device-cmd prints, which is missing.');
  return { path: resolve(path), options: peerOptions(deviceProfile, deviceOption) };
}

/** Does something with the implementation; a device that is to be started for it runs meanwhile. */
export async function withModules<T>(
  options: ImplementationOptions,
  use: (modules: Modules, restartDevice: (hung: boolean) => void) => Promise<T>,
): Promise<T> {
  const modules = modulesOf(options);
  const { deviceCmd, deviceLog } = options;
  if (modules.peer === undefined || deviceCmd === undefined) return use(modules, () => undefined);
  const device = new DeviceProcess({ command: deviceCmd, socket: modules.peer.path, log: deviceLog });
  try {
    const peer = { ...modules.peer, started: device.shared };
    return await use({ ...modules, peer }, hung => void device.restart(hung));
  } finally {
    await device.stop();
  }
}

function moduleFile(option: string, file: string | undefined): string | undefined {
  if (file === undefined) return undefined;
  const path = resolve(file);
  const problem = whyUnreadable(path);
  if (problem === undefined) return path;
  throw new CliError(ExitCode.couldNotJudge, `${option} ${file}: ${problem}; expected a JavaScript module.`);
}

/** The options that put the same implementation in place again, for a command that is printed. */
export function implementationArguments(
  options: ImplementationOptions & { readonly driverCmd?: string },
): string[] {
  return [
    `--profile ${options.profile}`,
    ...(options.driver === undefined ? [] : [`--driver ${quoted(options.driver)}`]),
    ...(options.device === undefined ? [] : [`--device ${quoted(options.device)}`]),
    ...(options.deviceCmd === undefined ? [] : [`--device-cmd ${quoted(options.deviceCmd)}`]),
    ...(options.deviceProfile === undefined ? [] : [`--device-profile ${quoted(options.deviceProfile)}`]),
    ...(options.deviceOption ?? []).map(option => `--device-option ${quoted(option)}`),
    ...(options.driverCmd === undefined ? [] : [`--driver-cmd ${quoted(options.driverCmd)}`]),
  ];
}

/** A word that a POSIX shell reads as it is. */
export function quoted(word: string): string {
  return /^[A-Za-z0-9_./:=@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}
