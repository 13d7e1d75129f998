/**
 * A second operating system's driver: iPXE has a virtio-net driver of its own, as boot ROM and as an image that boots like a
 * kernel. A Linux guest beside it hands out its address and a script, which it fetches and carries out.
 */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { guestImage } from './guest-image.mjs';
import { Skipped } from './part.mjs';
import { qemuArguments, qemuPackages } from './qemu.mjs';
import { endServing, judgedClean, serveDevice } from './served.mjs';

const LKRN = '/usr/lib/ipxe/ipxe.lkrn';

/** 256 KiB by HTTP, then the script that says so. */
const SERVER_SCRIPT = `
ip addr add 10.0.0.1/24 dev eth0
ip link set eth0 up
mkdir -p /www /var/lib/misc
dd if=/dev/zero of=/www/blob bs=1024 count=256 2>/dev/null
cat >/www/boot.ipxe <<END
#!ipxe
echo IPXE-SCRIPT-RUNS
imgfetch http://10.0.0.1/blob && echo IPXE-BLOB-FETCHED ||
imgstat
imgfree blob ||
imgfetch http://10.0.0.1/blob && echo IPXE-FETCHED-AGAIN ||
END
cat >/tmp/udhcpd.conf <<END
start 10.0.0.50
end 10.0.0.60
interface eth0
lease_file /tmp/leases
option subnet 255.255.255.0
option router 10.0.0.1
boot_file http://10.0.0.1/boot.ipxe
END
touch /tmp/leases
httpd -p 80 -h /www
udhcpd -f /tmp/udhcpd.conf &
echo SERVER-UP
sleep 100
`;

export const ipxeGuest = {
  name: 'ipxe',
  about: "iPXE's virtio-net driver: DHCP and HTTP through the kit's switch, judged to the end",
  packages: [...qemuPackages, 'ipxe-qemu'],
  timeLimitS: 150,

  async run(part) {
    const image = guestImage(part.folder, {
      modules: ['virtio_pci', 'virtio_net', 'af_packet'],
      script: SERVER_SCRIPT,
      name: 'server',
    });
    const served = await serveDevice(part, { name: 'serve', device: 'net' });
    const serverSerial = path.join(part.folder, 'server.serial');
    const server = part.start(
      'server',
      'qemu-system-x86_64',
      qemuArguments({
        machine: 'q35',
        socket: served.socket,
        serial: serverSerial,
        image,
        mac: '52:54:00:00:00:01',
        device: 'romfile=',
      }),
    );
    await part.until('the server guest', () => serialText(serverSerial).includes('SERVER-UP'), 60);
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
    await part.until(`${title}: the end of its script`, done, 60).catch(error => {
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

function serialText(file) {
  return existsSync(file) ? readFileSync(file, 'latin1') : '';
}
