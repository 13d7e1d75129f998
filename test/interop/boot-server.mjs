/**
 * A Linux guest that boots others over the network: addresses and TFTP by dnsmasq, HTTP by busybox. What a firmware's driver carries comes
 * from here, through the kit's switch.
 */
import path from 'node:path';
import { guestImage } from './guest-image.mjs';
import { qemuArguments, qemuPackages, serialText } from './qemu.mjs';

export const bootServerPackages = [...qemuPackages, 'dnsmasq-base'];

/** Bytes of the file `blob`, which is there by TFTP and by HTTP. Byte i is the low byte of i + i / 256. */
export const BLOB_BYTES = 256 << 10;

const SCRIPT = `
ip addr add 10.0.0.1/24 dev eth0
ip link set eth0 up
httpd -p 80 -h /www
# It goes into the background once it serves.
dnsmasq --pid-file --conf-file --user=root --group=root --port=0 --log-facility=/tmp/log --dhcp-authoritative --no-ping \\
  --dhcp-range=10.0.0.50,10.0.0.99,1h --dhcp-leasefile=/tmp/leases --enable-tftp --tftp-root=/www \\
  --dhcp-match=set:ipxe,175 --dhcp-boot=tag:ipxe,http://10.0.0.1/boot.ipxe --dhcp-boot=tag:!ipxe,first.efi || exit 1
echo SERVER-UP
sleep 1000000
`;

/** What iPXE carries out: the file by HTTP, twice. */
const BOOT_IPXE = `#!ipxe
echo IPXE-SCRIPT-RUNS
imgfetch http://10.0.0.1/blob && echo IPXE-BLOB-FETCHED ||
imgstat
imgfree blob ||
imgfetch http://10.0.0.1/blob && echo IPXE-FETCHED-AGAIN ||
`;

/** The file's bytes. */
export function blob() {
  return Uint8Array.from({ length: BLOB_BYTES }, (_, i) => i + (i >> 8));
}

/**
 * Starts the server on the network of `socket` and waits until it serves.
 * @param {import('./part.mjs').Part} part
 * @param {string} socket of `vrdma serve --device net`
 * @param {string} [firstEfi] the file of this machine that EFI firmware boots
 */
export async function startBootServer(part, socket, firstEfi) {
  const image = guestImage(part.folder, {
    modules: ['virtio_pci', 'virtio_net', 'af_packet'],
    programs: ['/usr/sbin/dnsmasq'],
    files: [
      { to: '/etc/passwd', text: 'root:x:0:0:root:/:/bin/sh\n' },
      { to: '/etc/group', text: 'root:x:0:\n' },
      { to: '/www/boot.ipxe', text: BOOT_IPXE },
      { to: '/www/blob', text: blob() },
      ...(firstEfi === undefined ? [] : [{ to: '/www/first.efi', from: firstEfi }]),
    ],
    script: SCRIPT,
    name: 'server',
  });
  const serial = path.join(part.folder, 'server.serial');
  const mac = '52:54:00:00:00:01';
  const server = part.start(
    'server',
    'qemu-system-x86_64',
    qemuArguments({ machine: 'q35', socket, serial, image, mac, device: 'romfile=' }),
  );
  await part.until('the server guest', () => {
    if (server.exit !== undefined) throw new Error(`the server guest ended: ${server.lastLines(3)}`);
    return serialText(serial).includes('SERVER-UP');
  });
  return server;
}
