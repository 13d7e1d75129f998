/**
 * Writes every generated document: docs/abi.md, docs/machines/, the marked blocks of spec/*.md, spec/checks.json,
 * spec/coverage.md and the scenarios of examples/programs/. Run after a build. With `--check` it writes nothing and exits 1 when a file is stale, naming it.
 */
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pageAssets } from './report-page.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const { renderAbiBlock, renderAbiDocument } = await load('abi/markdown.js');
const { fillBlocks, renderChecks, renderCoverage, renderQpTable } = await load(
  'conformance/spec-documents.js',
);
const { collectChecks, parseSpec } = await load('conformance/requirements.js');
const { agentSchemaText, argued, catalogue, chainOf, mutants, unasked } = await load('conformance/index.js');
const { machines } = await load('statemachines/index.js');
const { renderMachineDocs } = await load('explorer/index.js');
const { renderScenarioFiles } = await load('conformance/scenarios/index.js');
const { reportSchemaText } = await load('report/index.js');
const { traceSchemaText } = await load('conformance/elsewhere/index.js');

const generated = documents();
const stale = generated.filter(({ path, text }) => readIfThere(path) !== text).map(({ path }) => path);
const leftOver = [...filesUnder('docs/machines', '.md'), ...filesUnder('examples/programs', '.json')].filter(
  path => !generated.some(file => file.path === path),
);

if (process.argv.includes('--check')) {
  for (const path of stale) console.error(`stale: ${path}`);
  for (const path of leftOver) console.error(`left over: ${path}`);
  if (stale.length + leftOver.length > 0) {
    console.error('run: npm run generate');
    process.exitCode = 1;
  }
} else {
  for (const { path, text } of generated) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  for (const path of stale) console.log(`wrote ${path}`);
  for (const path of leftOver) console.log(`left over, please remove: ${path}`);
}

/** All generated files with the content that they must have. */
function documents() {
  const chapters = filesUnder('spec', '.md')
    .filter(path => path !== 'spec/coverage.md')
    .map(path => ({ path, text: fill(path, read(path)) }));
  const sources = ['test', 'src/conformance', 'src/statemachines']
    .flatMap(folder => filesUnder(folder, '.ts'))
    .map(path => ({ path, text: read(path) }));
  const checks = collectChecks(sources);
  return [
    ...chapters,
    { path: 'docs/abi.md', text: renderAbiDocument() },
    { path: 'docs/report.schema.json', text: reportSchemaText() },
    { path: 'docs/trace.schema.json', text: traceSchemaText() },
    { path: 'docs/agent.schema.json', text: agentSchemaText() },
    { path: 'src/report/html/assets.ts', text: pageAssets() },
    { path: 'spec/checks.json', text: renderChecks(checks) },
    { path: 'spec/coverage.md', text: renderCoverage(chapters, checks, chain(chapters)) },
    ...(renderMachineDocs?.() ?? []).map(({ path, text }) => ({ path: `docs/machines/${path}`, text })),
    ...(renderScenarioFiles?.() ?? []).map(({ path, text }) => ({ path: `examples/programs/${path}`, text })),
  ];
}

/** Requirement, cases, transitions, mutants. */
function chain(chapters) {
  const { requirements } = parseSpec(chapters);
  return chainOf({ requirements, cases: catalogue, machines, mutants, recorded: [], argued, unasked }).rows;
}

function fill(path, text) {
  const { text: filled, unknown } = fillBlocks(text, (room, kind, name) => {
    if (room === 'abi') return renderAbiBlock(kind, name);
    return kind === 'qp-table' ? renderQpTable() : undefined;
  });
  for (const mark of unknown) {
    console.error(`${path}: nothing fills ${mark}`);
    process.exitCode = 1;
  }
  return filled;
}

/** A module of the build. */
async function load(path) {
  const file = join(root, 'dist', path);
  if (!existsSync(file)) {
    console.error(`dist/${path} is missing; run: npm run build`);
    return {};
  }
  return import(new URL(`../dist/${path}`, import.meta.url).href);
}

function filesUnder(folder, extension) {
  const base = join(root, folder);
  if (!existsSync(base)) return [];
  return readdirSync(base, { recursive: true })
    .map(String)
    .filter(name => name.endsWith(extension))
    .map(name => relative(root, join(base, name)).split(sep).join('/'))
    .toSorted();
}

function read(path) {
  return readFileSync(join(root, path), 'utf8');
}

function readIfThere(path) {
  return existsSync(join(root, path)) ? read(path) : undefined;
}
