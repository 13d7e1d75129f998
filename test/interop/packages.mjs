/** What a part needs of Debian: what is there, what is missing, and how it is installed where that is wanted. */
import { spawnSync } from 'node:child_process';
import { appendFileSync } from 'node:fs';

/** Seconds that apt may take, its wait for another apt included. */
const APT_SECONDS_MAX = 240;

/** Those of `packages` that are not installed. On a system without dpkg all are. */
export function missingPackages(packages) {
  if (packages.length === 0) return [];
  const query = spawnSync('dpkg-query', ['-W', '-f', '${Package} ${db:Status-Abbrev}\n', ...packages], {
    encoding: 'utf8',
  });
  const installed = new Set(
    (query.stdout ?? '')
      .split('\n')
      .filter(line => / ii/.test(line))
      .map(line => line.split(' ')[0]),
  );
  return packages.filter(name => !installed.has(name));
}

/** Whether packages may be installed: only when somebody said so, and only as root. */
export function mayInstall(asked) {
  const root = process.getuid?.() === 0;
  return root && (asked || process.env['CI'] === 'true');
}

/** Installs packages. Why that failed, or undefined. */
export function install(packages, log) {
  const options = {
    encoding: 'utf8',
    timeout: APT_SECONDS_MAX * 1000,
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  };
  const lock = ['-o', 'DPkg::Lock::Timeout=120'];
  for (const arguments_ of [
    ['update', ...lock],
    ['install', '-y', '--no-install-recommends', ...lock, ...packages],
  ]) {
    const done = spawnSync('apt-get', arguments_, options);
    appendFileSync(log, `$ apt-get ${arguments_.join(' ')}\n${done.stdout ?? ''}${done.stderr ?? ''}\n`);
    if (arguments_[0] === 'install' && done.status !== 0)
      return done.error?.message ?? `exit ${done.status}, see ${log}`;
  }
  return undefined;
}
