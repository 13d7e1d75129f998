/**
 * A guest small enough to boot in seconds without KVM: Debian's own kernel, the modules that a test needs, busybox, and a
 * script. Nothing of it is installed on the machine; the kernel's package is downloaded, unpacked and kept in a cache folder.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';

/** Kernels by their Debian meta package. The small one has no soft-RoCE. */
const KERNELS = { cloud: 'linux-image-cloud-amd64', generic: 'linux-image-amd64' };

/** Folders of a kernel's modules that no test here needs, and that are most of its bytes. */
const UNNEEDED = [
  'gpu',
  'media',
  'sound',
  'scsi',
  'usb',
  'iio',
  'hid',
  'ata',
  'staging',
  'wireless',
  'platform',
];

/** Where kernels are kept between runs. */
export function cacheFolder() {
  const folder = process.env['VRDMA_INTEROP_CACHE'] ?? path.join(os.tmpdir(), 'vrdma-interop-cache');
  mkdirSync(folder, { recursive: true });
  return folder;
}

/**
 * The kernel's image and modules, downloaded when they are not in the cache.
 * @param {'cloud' | 'generic'} kind
 * @returns {{ release: string, image: string, modules: Map<string, string> }} `modules`: file by module name
 */
export function debianKernel(kind = 'cloud') {
  const folder = path.join(cacheFolder(), kind);
  if (!existsSync(folder)) {
    // Unpacked beside its place and moved: a run that was ended half way leaves nothing that looks complete.
    const making = mkdtempSync(path.join(cacheFolder(), `${kind}-`));
    try {
      unpackKernel(kind, making);
      renameSync(making, folder);
    } finally {
      rmSync(making, { recursive: true, force: true });
    }
  }
  const [release] = readdirSync(path.join(folder, 'lib/modules'));
  const modules = new Map();
  for (const entry of readdirSync(path.join(folder, 'lib/modules', release), {
    recursive: true,
    withFileTypes: true,
  })) {
    if (entry.name.endsWith('.ko'))
      modules.set(moduleName(entry.name.slice(0, -3)), path.join(entry.parentPath ?? entry.path, entry.name));
  }
  return { release, image: path.join(folder, 'boot', `vmlinuz-${release}`), modules };
}

function unpackKernel(kind, folder) {
  const meta = KERNELS[kind];
  const depends = execFileSync('apt-cache', ['depends', meta], { encoding: 'utf8' });
  const name = /Depends: (linux-image-\S+)/.exec(depends)?.[1];
  if (name === undefined) throw new Error(`apt-cache depends ${meta} names no kernel; try apt-get update`);
  execFileSync('apt-get', ['download', name], { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
  const [deb] = readdirSync(folder).filter(file => file.endsWith('.deb'));
  const excludes = UNNEEDED.map(part => `--exclude='./lib/modules/*/kernel/*/${part}'`).join(' ');
  // A pipe between two programs, which execFile does not do; the names in it are ours and apt's.
  const command = `dpkg-deb --fsys-tarfile '${deb}' | tar -x --wildcards ${excludes} './boot/vmlinuz*' './lib/modules/*'`;
  const done = spawnSync('sh', ['-c', command], { cwd: folder, encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`unpacking ${deb}: ${done.stderr}`);
  rmSync(path.join(folder, deb));
}

function moduleName(name) {
  return name.replaceAll('-', '_');
}

/** `wanted` and all that they need, in the order to load them. What is built into the kernel is left out. */
export function moduleOrder(modules, wanted) {
  const order = [];
  const seen = new Set();
  const add = name => {
    if (seen.has(name)) return;
    seen.add(name);
    const file = modules.get(name);
    if (file === undefined) return;
    const depends = /depends=([^\0]*)\0/.exec(readFileSync(file, 'latin1'))?.[1] ?? '';
    for (const needed of depends.split(',')) if (needed !== '') add(moduleName(needed));
    order.push(name);
  };
  for (const name of wanted) add(moduleName(name));
  return order;
}

/** A program and the shared libraries that it says it needs, as paths of this machine. */
function withLibraries(program) {
  const done = spawnSync('ldd', [program], { encoding: 'utf8' });
  const libraries = [...done.stdout.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map(match => match[1]);
  return [program, ...libraries];
}

/**
 * Writes the initial RAM disk of a guest that runs `script` (busybox sh) and then ends the machine.
 * Start QEMU with `-no-reboot` and `reboot=t` on the kernel's command line: the guest ends by a reboot.
 *
 * @param {string} folder where the disk is written
 * @param {object} options
 * @param {'cloud' | 'generic'} [options.kernel]
 * @param {string[]} options.modules kernel modules, loaded in this order with what they need
 * @param {string[]} [options.programs] programs of this machine, put at the same path with their libraries
 * @param {{ to: string, from?: string, text?: string | Uint8Array, mode?: number }[]} [options.files] further files
 * @param {string} options.script
 * @param {string} [options.name]
 * @returns {{ kernel: string, initrd: string, release: string }}
 */
export function guestImage(folder, options) {
  const { release, image, modules } = debianKernel(options.kernel);
  const archive = new CpioArchive();
  for (const name of ['proc', 'sys', 'dev', 'tmp', 'run', 'etc', 'modules']) archive.folder(name);
  archive.file('bin/busybox', readFileSync('/bin/busybox'), 0o755);
  archive.link('bin/sh', 'busybox');
  const order = moduleOrder(modules, options.modules);
  for (const name of order) {
    // Loaded from one folder, so that no index of dependencies is needed.
    archive.file(`modules/${name}.ko`, readFileSync(modules.get(name)));
  }
  const files = (options.programs ?? [])
    .flatMap(withLibraries)
    .map(from => ({ to: from, from, mode: 0o755 }));
  for (const { to, from, text, mode } of [...files, ...(options.files ?? [])]) {
    archive.file(
      to.replace(/^\//, ''),
      text === undefined ? readFileSync(realpathSync(from)) : Buffer.from(text),
      mode,
    );
  }
  archive.file('script', Buffer.from(options.script), 0o755);
  archive.file('init', Buffer.from(initScript(order)), 0o755);
  const initrd = path.join(folder, `${options.name ?? 'guest'}.cpio.gz`);
  writeFileSync(initrd, gzipSync(archive.bytes(), { level: 1 }));
  return { kernel: image, initrd, release };
}

function initScript(modules) {
  return `#!/bin/sh
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
echo 4 >/proc/sys/kernel/printk
for m in ${modules.join(' ')}; do insmod /modules/$m.ko || echo "MODULE-FAILED $m"; done
ip link set lo up
echo GUEST-READY
sh /script
echo GUEST-EXIT $?
sync
reboot -f
`;
}

/** A cpio archive in the "newc" format, which is what the kernel unpacks. */
class CpioArchive {
  #parts = [];
  #names = new Set();

  folder(name) {
    if (name === '.' || this.#names.has(name)) return;
    this.folder(path.posix.dirname(name));
    this.#entry(name, 0o040755, Buffer.alloc(0));
  }

  file(name, bytes, mode = 0o644) {
    if (this.#names.has(name)) return;
    this.folder(path.posix.dirname(name));
    this.#entry(name, 0o100000 | mode, bytes);
  }

  link(name, target) {
    this.folder(path.posix.dirname(name));
    this.#entry(name, 0o120777, Buffer.from(target));
  }

  #entry(name, mode, bytes) {
    this.#names.add(name);
    const title = Buffer.from(`${name}\0`);
    // inode, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check
    const fields = [this.#names.size, mode, 0, 0, 1, 0, bytes.length, 0, 0, 0, 0, title.length, 0];
    const header = `070701${fields.map(field => field.toString(16).padStart(8, '0')).join('')}`;
    this.#parts.push(padded(Buffer.concat([Buffer.from(header), title])), padded(bytes));
  }

  bytes() {
    this.#entry('TRAILER!!!', 0, Buffer.alloc(0));
    return Buffer.concat(this.#parts);
  }
}

function padded(bytes) {
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
}
