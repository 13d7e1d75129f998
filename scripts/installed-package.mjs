/**
 * Puts the package as it would be published into an empty project and uses it from there: the command runs, every
 * export can be imported, and no file that a person was promised is missing.
 */
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const PROMISED = [
  'LICENSE',
  'NOTICE',
  'README.md',
  'docs/architecture.md',
  'docs/how-we-know.md',
  'docs/in-your-ci.md',
  'docs/reading-a-report.md',
  'docs/report.schema.json',
  'docs/traces.md',
  'docs/validate-your-driver.md',
  'spec/checks.json',
  'spec/mutants.json',
];

const project = mkdtempSync(join(tmpdir(), 'vrdma-installed-'));
try {
  const installed = install();
  const manifest = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
  for (const file of PROMISED)
    if (!existsSync(join(installed, file))) throw new Error(`${file} is not in the package`);
  importEverything(manifest);
  const version = run(join(installed, manifest.bin.vrdma), '--version').trim();
  if (version !== manifest.version) throw new Error(`vrdma --version says ${version}`);
  run(join(installed, manifest.bin.vrdma), 'spec', 'CTRL-01');
  run(join(installed, manifest.bin.vrdma), 'check', '--quiet', '--seed', '1', '--runs', '20');
  console.log(`installed package: ${Object.keys(manifest.exports).length} exports and the command work`);
} finally {
  rmSync(project, { recursive: true, force: true });
}

/** Unpacks the tarball and links its dependencies from here. */
function install() {
  const options = { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] };
  const packed = execFileSync(
    'npm',
    ['pack', '--json', '--ignore-scripts', '--silent', '--pack-destination', project],
    options,
  );
  const [{ filename }] = JSON.parse(packed);
  execFileSync('tar', ['-xzf', filename], { cwd: project });
  const modules = join(project, 'node_modules');
  mkdirSync(modules);
  execFileSync('mv', ['package', join(modules, 'vrdma')], { cwd: project });
  const { dependencies } = JSON.parse(readFileSync('package.json', 'utf8'));
  for (const name of Object.keys(dependencies))
    symlinkSync(resolve('node_modules', name), join(modules, name), 'dir');
  return join(modules, 'vrdma');
}

function importEverything({ exports }) {
  const entries = Object.keys(exports)
    .filter(path => path !== './package.json')
    .map(path => path.replace('.', 'vrdma'));
  const script = join(project, 'import.mjs');
  const lines = entries.map(
    entry =>
      `if (Object.keys(await import(${JSON.stringify(entry)})).length === 0) throw new Error(${JSON.stringify(`${entry} exports nothing`)});`,
  );
  writeFileSync(script, lines.join('\n'));
  run(script);
}

function run(script, ...args) {
  return execFileSync(process.execPath, [script, ...args], { cwd: project, encoding: 'utf8' });
}
