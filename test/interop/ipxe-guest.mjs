/**
 * A second operating system's driver: iPXE has a virtio-net driver of its own, as boot ROM and as an image that boots like a
 * kernel. A Linux guest beside it hands out its address and a script, which it fetches and carries out.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { bootServerPackages, startBootServer } from './boot-server.mjs';
import { Skipped } from './part.mjs';
import { qemuArguments, serialText } from './qemu.mjs';
import { endServing, judgedClean, serveDevice } from './served.mjs';

const LKRN = '/usr/lib/ipxe/ipxe.lkrn';

export const ipxeGuest = {
  name: 'ipxe',
  about: "iPXE's virtio-net driver: DHCP and HTTP through the kit's switch, judged to the end",
  packages: [...bootServerPackages, 'ipxe-qemu'],

  async run(part) {
    const served = await serveDevice(part, { name: 'serve', device: 'net' });
    const server = await startBootServer(part, served.socket);
    await rom(part, served.socket);
    await lkrn(part, served.socket);
    await server.stop();
    const report = await endServing(served);
    await part.check('the judge on iPXE and its neighbour', () => judgedClean(report));
  },
};

/** As the boot ROM of the network card: SeaBIOS runs it, and it boots from the network. */
async function rom(part, socket) {
  const serial = path.join(part.folder, 'rom.serial');
  const guest = part.start(
    'rom',
    'qemu-system-x86_64',
    qemuArguments({
      machine: 'q35',
      socket,
      serial,
      mac: '52:54:00:00:00:02',
      device: 'bootindex=0,disable-legacy=on',
      more: ['-boot', 'strict=on'],
    }),
  );
  await outcome(part, 'iPXE as boot ROM (SeaBIOS)', guest, serial);
}

/** As an image that is booted like a Linux kernel, told on its command line what to do. */
async function lkrn(part, socket) {
  await part.check('iPXE as a kernel image', () => {
    if (!existsSync(LKRN)) throw new Skipped(`${LKRN} is not there; it is in Debian's package ipxe`);
  });
  if (!existsSync(LKRN)) return;
  const serial = path.join(part.folder, 'lkrn.serial');
  const guest = part.start(
    'lkrn',
    'qemu-system-x86_64',
    qemuArguments({
      machine: 'q35',
      socket,
      serial,
      mac: '52:54:00:00:00:03',
      device: 'romfile=,disable-legacy=on',
      more: ['-kernel', LKRN, '-append', 'dhcp && chain http://10.0.0.1/boot.ipxe'],
    }),
  );
  await outcome(part, 'iPXE as a kernel image, by its own driver', guest, serial);
}

async function outcome(part, title, guest, serial) {
  await part.check(title, async () => {
    const done = () => /IPXE-FETCHED-AGAIN/.test(serialText(serial)) || guest.exit !== undefined;
    await part.until(`${title}: the end of its script`, done).catch(error => {
      throw new Error(
        `${error.message}; ${serialText(serial)
          .trimEnd()
          .split(/[\r\n]+/)
          .slice(-2)
          .join(' | ')}`,
      );
    });
    const text = serialText(serial);
    for (const mark of ['IPXE-SCRIPT-RUNS', 'IPXE-BLOB-FETCHED', 'IPXE-FETCHED-AGAIN'])
      if (!text.includes(mark)) throw new Error(`no ${mark} on its console`);
    return `${/iPXE [\d.]+\S*/.exec(text)?.[0] ?? 'iPXE'}: DHCP, twice 256 KiB by HTTP`;
  });
  await guest.stop();
}
