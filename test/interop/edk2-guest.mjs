/**
 * UEFI firmware's driver: EDK2, as Debian builds it for QEMU (OVMF), boots from the network by a virtio-net driver of its own. What it boots
 * is iPXE without drivers, which sends and receives through the firmware's and so keeps it busy for longer.
 */
import path from 'node:path';
import { bootServerPackages, startBootServer } from './boot-server.mjs';
import { qemuArguments, serialText } from './qemu.mjs';
import { endServing, judgedClean, serveDevice } from './served.mjs';

const FIRMWARE = '/usr/share/ovmf/OVMF.fd';
const SNPONLY = '/usr/lib/ipxe/snponly.efi';

export const edk2Guest = {
  name: 'edk2',
  about:
    "EDK2's virtio-net driver (OVMF): DHCP and TFTP by the firmware, HTTP by what it booted, judged to the end",
  packages: [...bootServerPackages, 'ovmf', 'ipxe'],

  async run(part) {
    const served = await serveDevice(part, { name: 'serve', device: 'net' });
    const server = await startBootServer(part, served.socket, SNPONLY);
    await firmware(part, served.socket);
    await server.stop();
    const report = await endServing(served);
    await part.check('the judge on EDK2 and its neighbour', () => judgedClean(report));
  },
};

async function firmware(part, socket) {
  const serial = path.join(part.folder, 'edk2.serial');
  const guest = part.start(
    'edk2',
    'qemu-system-x86_64',
    qemuArguments({
      machine: 'q35',
      socket,
      serial,
      mac: '52:54:00:00:00:02',
      device: 'romfile=,bootindex=0,disable-legacy=on',
      more: ['-bios', FIRMWARE, '-boot', 'strict=on'],
    }),
  );
  await part.check('EDK2 boots from the network', async () => {
    const text = () => serialText(serial);
    await part.until("the end of the booted program's script", () => {
      if (guest.exit !== undefined) throw new Error(`QEMU ended: ${guest.lastLines(3)}`);
      return text().includes('IPXE-FETCHED-AGAIN');
    });
    for (const mark of ['NBP file downloaded successfully', 'IPXE-SCRIPT-RUNS', 'IPXE-BLOB-FETCHED'])
      if (!text().includes(mark)) throw new Error(`no ${mark} on its console`);
    return 'DHCP, a boot program by TFTP, twice 256 KiB by HTTP';
  });
  await guest.stop();
}
