/** What differs about a vhost-user device, from a JSON file and from the command line, on top of the documented defaults. */
import { z } from 'zod';
import { defaultPeerOptions } from '../transports/vhost-user/peer-options.js';
import type { PeerOptions } from '../transports/vhost-user/peer-options.js';
import { usageError } from './exit-code.js';
import { unknownName } from './nearest.js';
import { readTextFile } from './read-files.js';

const milliseconds = z.int().min(0).max(600_000);

const schema = z.strictObject({
  queueSize: z
    .int()
    .min(0)
    .max(32_768)
    .refine(size => (size & (size - 1)) === 0, 'a power of two, or 0'),
  rings: z.enum(['start', 'first-kick']),
  memory: z.enum(['table', 'regions']),
  memoryAfterReset: z.enum(['kept', 'again']),
  reset: z.enum(['auto', 'status', 'device', 'reconnect']),
  kicks: z.enum(['event', 'none']),
  withoutFeatures: z.array(z.int().min(0).max(127)),
  withoutProtocolFeatures: z.array(
    z.enum(['MQ', 'REPLY_ACK', 'CONFIG', 'RESET_DEVICE', 'CONFIGURE_MEM_SLOTS', 'STATUS']),
  ),
  machines: z.int().min(1).max(4),
  barriers: z.int().min(0).max(100),
  quietMs: milliseconds,
  answerMs: milliseconds.min(1),
  spinUs: z.int().min(0).max(1_000_000),
  reconnectMs: milliseconds,
  connectMs: milliseconds,
});

type Key = keyof PeerOptions;
const keys = Object.keys(defaultPeerOptions) as Key[];

/**
 * @param file path of a profile, a JSON object of options
 * @param assignments `name=value` each; lists are comma-separated
 * @throws CliError (usage)
 */
export function peerOptions(file: string | undefined, assignments: readonly string[]): PeerOptions {
  const fromFile = file === undefined ? {} : parseFile(file);
  const given: Record<string, unknown> = { ...fromFile };
  for (const assignment of assignments) {
    const [name, text] = split(assignment);
    given[name] = valueOf(name, text);
  }
  for (const name of Object.keys(given))
    if (!keys.some(key => key === name)) throw usageError(unknownName('device option', name, keys));
  const parsed = schema.safeParse({ ...defaultPeerOptions, ...given });
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw usageError(`device option ${issue.path.join('.')}: ${issue.message}.`);
}

function parseFile(file: string): Record<string, unknown> {
  try {
    return z.record(z.string(), z.unknown()).parse(JSON.parse(readTextFile(file)));
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof z.ZodError)
      throw usageError(`${file} is no JSON object of device options.`);
    throw error;
  }
}

function split(assignment: string): [Key, string] {
  const at = assignment.indexOf('=');
  const name = at < 0 ? assignment : assignment.slice(0, at);
  const key = keys.find(known => known === name);
  if (key === undefined) throw usageError(unknownName('device option', name, keys));
  if (at < 0) throw usageError(`device option ${name}: expected ${name}=value.`);
  return [key, assignment.slice(at + 1)];
}

/** The text as what the default is: a number, a list of names or numbers, a name. */
function valueOf(name: Key, text: string): unknown {
  const usual = defaultPeerOptions[name];
  if (typeof usual === 'number') return text === '' ? text : Number(text);
  if (typeof usual === 'string') return text;
  const parts = text === '' ? [] : text.split(',');
  return name === 'withoutFeatures' ? parts.map(Number) : parts;
}
