/**
 * The interop tests: vrdma against software that nobody here wrote. `node test/interop/run.mjs [PART ...] [--install] [--list]
 * [--logs FOLDER]`. Each part says which Debian packages it needs, and is skipped with one line where they are not there;
 * `--install`, or CI=true as root, installs them. The last line counts; exit 1 when something failed.
 */
import { existsSync, mkdirSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { missingPackages, install, mayInstall } from './packages.mjs';
import { Part, Skipped } from './part.mjs';
import { parts } from './parts.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    install: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    logs: { type: 'string' },
  },
});

const unknown = positionals.filter(name => !parts.some(part => part.name === name));
if (unknown.length > 0) {
  console.error(`no such part: ${unknown.join(', ')}; there are ${parts.map(part => part.name).join(', ')}`);
  process.exit(2);
}
if (values.list) {
  for (const { name, about, packages } of parts) console.log(`${name}: ${about} (${packages.join(' ')})`);
  process.exit(0);
}
if (!existsSync(new URL('../../dist/cli/main.js', import.meta.url))) {
  console.error('dist/cli/main.js is not there; run npm run build first');
  process.exit(2);
}

const logs = path.resolve(values.logs ?? path.join(os.tmpdir(), `vrdma-interop-${process.pid}`));
// Consoles are read from their logs: one of an earlier run would speak for this one.
const before = parts.map(({ name }) => path.join(logs, name)).filter(folder => existsSync(folder));
if (before.length > 0) {
  console.error(`logs of an earlier run are in ${before.join(', ')}; remove them or name another folder`);
  process.exit(2);
}
mkdirSync(logs, { recursive: true });
console.log(`logs: ${logs}`);

const total = { passed: 0, failed: 0, skipped: 0 };
const started = Date.now();
for (const definition of parts) {
  if (positionals.length > 0 && !positionals.includes(definition.name)) continue;
  await runPart(definition);
}
console.log(`\n${((Date.now() - started) / 1000).toFixed(0)} s, logs in ${logs}`);
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exit(total.failed === 0 ? 0 : 1);

async function runPart(definition) {
  console.log(`\n== ${definition.name}: ${definition.about}`);
  const reason = await prepare(definition);
  if (reason !== undefined) {
    total.skipped++;
    console.log(`SKIPPED ${definition.name}: ${reason}`);
    return;
  }
  await new Part(definition, path.join(logs, definition.name), total).run();
}

/** Why a part cannot run here; undefined when it can. */
async function prepare({ packages, ready }) {
  const missing = missingPackages(packages);
  if (missing.length > 0) {
    const command = `apt-get install -y ${missing.join(' ')}`;
    if (!mayInstall(values.install)) return `needs ${missing.join(', ')}; would run: ${command} (--install)`;
    const fault = install(missing, path.join(logs, 'apt.log'));
    if (fault !== undefined) return `${command}: ${fault}`;
  }
  try {
    await ready?.();
  } catch (error) {
    if (error instanceof Skipped) return error.message;
    throw error;
  }
  return undefined;
}
