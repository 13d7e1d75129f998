/**
 * Runs the architecture rules of .dependency-cruiser.cjs over src/. Fails on a violation, and also when the checker did
 * not see every file or saw none of their imports: a checker that reads nothing finds nothing.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';

const files = readdirSync('src', { recursive: true })
  .map(String)
  .filter(name => name.endsWith('.ts'));

const { modules, summary } = JSON.parse(
  execFileSync(
    process.execPath,
    [
      'node_modules/dependency-cruiser/bin/dependency-cruise.mjs',
      '--config=.dependency-cruiser.cjs',
      '--output-type=json',
      'src',
    ],
    { encoding: 'utf8', maxBuffer: 1 << 28 },
  ),
);

const problems = summary.violations
  .filter(found => found.rule.severity === 'error')
  .map(found => `${found.rule.name}: ${found.from} -> ${found.to}`);
const seen = new Set(modules.map(module => module.source));
for (const file of files)
  if (!seen.has(`src/${file}`)) problems.push(`src/${file} was not seen by the checker`);
const imports = modules.reduce((sum, module) => sum + module.dependencies.length, 0);
if (imports < files.length) problems.push(`only ${imports} imports were seen in ${files.length} files`);

for (const problem of problems) console.error(problem);
console.log(`architecture: ${files.length} files, ${imports} imports, ${problems.length} violations`);
process.exitCode = problems.length === 0 ? 0 : 1;
