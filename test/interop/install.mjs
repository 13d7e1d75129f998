/**
 * Installs Debian packages that tests use where they are there: `node test/interop/install.mjs PACKAGE...`, with CI=true and as
 * root. Exit 0 whatever came of it, with one line that says what: the tests that miss them are skipped and say so themselves.
 */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { install, mayInstall, missingPackages } from './packages.mjs';

const missing = missingPackages(process.argv.slice(2));
if (missing.length === 0) console.log('all there');
else if (mayInstall(false)) {
  const log = join(tmpdir(), `vrdma-install-${process.pid}.log`);
  const failure = install(missing, log);
  console.log(
    failure === undefined ? `installed ${missing.join(' ')}` : `SKIPPED ${missing.join(' ')}: ${failure}`,
  );
} else console.log(`SKIPPED ${missing.join(' ')}: to be installed as root with CI=true`);
