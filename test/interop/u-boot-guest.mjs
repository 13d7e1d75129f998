/**
 * U-Boot's virtio-net driver, one descriptor a frame and polled, told what to do at its prompt: an address by DHCP, a ping, and a file
 * by TFTP, whose checksum it says.
 */
import { crc32 } from 'node:zlib';
import { BLOB_BYTES, blob, bootServerPackages, startBootServer } from './boot-server.mjs';
import { qemuArguments } from './qemu.mjs';
import { endServing, judgedClean, serveDevice } from './served.mjs';

const FIRMWARE = '/usr/lib/u-boot/qemu_arm64/u-boot.bin';
/** A place in the guest's memory that nothing else uses. */
const LOAD_ADDRESS = '41000000';

export const uBootGuest = {
  name: 'u-boot',
  about:
    "U-Boot's virtio-net driver, PCI and virtio-mmio: DHCP, ping and TFTP from its prompt, judged to the end",
  packages: [...bootServerPackages, 'qemu-system-arm', 'u-boot-qemu'],

  async run(part) {
    const served = await serveDevice(part, { name: 'serve', device: 'net' });
    const server = await startBootServer(part, served.socket);
    for (const bus of ['pci', 'mmio']) await prompt(part, served.socket, bus);
    await server.stop();
    const report = await endServing(served);
    await part.check('the judge on U-Boot and its neighbour', () => judgedClean(report));
  },
};

async function prompt(part, socket, bus) {
  const guest = part.start(
    `u-boot-${bus}`,
    'qemu-system-aarch64',
    qemuArguments({
      machine: 'virt',
      bus,
      socket,
      mac: `52:54:00:00:00:0${bus === 'pci' ? 2 : 3}`,
      device: bus === 'pci' ? 'romfile=,disable-legacy=on' : undefined,
      more: ['-bios', FIRMWARE],
    }),
    { input: 'pipe' },
  );
  await part.check(`U-Boot at its prompt, ${bus}`, async () => {
    await answer(part, guest, /Hit any key/, '');
    await answer(part, guest, /=> $/, 'setenv autoload no; dhcp && echo DHCP-OK');
    await answer(part, guest, /^DHCP-OK[^]*=> $/m, 'ping 10.0.0.1 && echo PING-OK');
    await answer(part, guest, /^PING-OK[^]*=> $/m, `tftpboot ${LOAD_ADDRESS} 10.0.0.1:blob`);
    const fetched = /Bytes transferred = (\d+)[^]*=> $/;
    await answer(part, guest, fetched, `crc32 ${LOAD_ADDRESS} $filesize && echo CRC-OK`);
    await part.until('the checksum', () => /^CRC-OK/m.test(guest.text()));
    const [bytes, sum] = [fetched, /==> ([0-9a-f]{8})/].map(pattern => pattern.exec(guest.text())?.[1]);
    const expected = crc32(blob()).toString(16).padStart(8, '0');
    if (Number(bytes) !== BLOB_BYTES || sum !== expected)
      throw new Error(`${bytes} bytes with checksum ${sum}, expected ${BLOB_BYTES} and ${expected}`);
    return 'DHCP, ping, 256 KiB by TFTP with the right checksum';
  });
  await guest.stop();
}

/** Waits for what the console says, and types a line. */
async function answer(part, guest, question, line) {
  await part.until(`${question} on the console of U-Boot`, () => {
    if (guest.exit !== undefined) throw new Error(`QEMU ended: ${guest.lastLines(3)}`);
    // The console ends its lines with CR LF, which $ does not see through.
    return question.test(guest.text().replaceAll('\r', ''));
  });
  guest.say(line);
}
