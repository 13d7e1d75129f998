/**
 * SeaBIOS's own virtio-blk driver: it boots from a disk that the kit's ring layer carries, by a boot sector that reads the whole disk, adds
 * it up, and writes the sum back.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { qemuArguments, qemuPackages, serialText } from './qemu.mjs';
import { endServing, judgedClean } from './served.mjs';

const SECTOR = 512;
/** Sectors of one read, and reads of the whole disk, which ends with one more sector for the answer. */
const RUN = 64;
const RUNS = 32;

/** Reads by the extended calls of the BIOS, which carry a block number, and writes the sum into sector RUN * RUNS. */
const BOOT_SECTOR = `
  .code16
  .globl _start
_start:
  xor %ax, %ax
  mov %ax, %ds
  mov %ax, %ss
  mov $0x7c00, %sp
  sti
  xor %bp, %bp
  mov $${RUNS}, %di
next:
  mov $packet, %si
  mov $0x42, %ah
  int $0x13
  jc failed
  push %ds
  mov $0x1000, %ax
  mov %ax, %ds
  xor %si, %si
  mov $${(RUN * SECTOR) / 2}, %cx
add:
  lodsw
  rol $1, %bp
  add %ax, %bp
  loop add
  pop %ds
  addw $${RUN}, block
  dec %di
  jnz next
  mov $0x1000, %ax
  mov %ax, %es
  mov %bp, %es:0
  movw $1, count
  mov $packet, %si
  mov $0x4300, %ax
  int $0x13
  jc failed
  mov $done, %si
  jmp say
failed:
  mov $fault, %si
say:
  lodsb
  test %al, %al
  jz stop
  mov $0x0e, %ah
  xor %bx, %bx
  int $0x10
  jmp say
stop:
  hlt
  jmp stop
done: .asciz "DISK-ADDED-UP"
fault: .asciz "DISK-FAULT"
  .balign 4
packet: .byte 16, 0
count: .word ${RUN}
  .word 0, 0x1000
block: .quad 0
  .org 510
  .word 0xaa55
`;

export const seabiosGuest = {
  name: 'seabios',
  about: "SeaBIOS's virtio-blk driver: a disk is booted, read whole and written, judged to the end",
  packages: [...qemuPackages, 'seabios', 'binutils'],

  async run(part) {
    const image = path.join(part.folder, 'disk.img');
    const disk = makeDisk(part.folder);
    writeFileSync(image, disk);
    const socket = part.socket('disk.sock');
    const program = fileURLToPath(new URL('disk-server.mjs', import.meta.url));
    const server = part.start('disk', process.execPath, [program, socket, image]);
    await part.listening(socket, server);
    await boot(part, socket);
    await part.check('what was written is the sum of what was read', () => {
      const written = readFileSync(image);
      const sum = written.readUInt16LE(RUN * RUNS * SECTOR);
      if (sum !== sumOf(disk)) throw new Error(`the sum on the disk is ${sum}, expected ${sumOf(disk)}`);
      if (
        Buffer.compare(written.subarray(0, RUN * RUNS * SECTOR), disk.subarray(0, RUN * RUNS * SECTOR)) !== 0
      )
        throw new Error('other sectors have changed');
    });
    const report = await endServing({ server });
    await part.check('the judge on SeaBIOS', () => judgedClean(report));
  },
};

async function boot(part, socket) {
  const serial = path.join(part.folder, 'seabios.serial');
  const guest = part.start(
    'seabios',
    'qemu-system-x86_64',
    qemuArguments({ machine: 'q35', socket, serial, disk: true, more: ['-boot', 'strict=on'] }),
  );
  await part.check('SeaBIOS boots from the disk', async () => {
    await part.until('the end of the boot sector', () => {
      if (guest.exit !== undefined) throw new Error(`QEMU ended: ${guest.lastLines(3)}`);
      return /DISK-(ADDED-UP|FAULT)/.test(serialText(serial));
    });
    if (serialText(serial).includes('DISK-FAULT')) throw new Error('the BIOS refused a read or write');
    return `${(RUN * RUNS * SECTOR) >> 10} KiB in ${RUNS} reads, one sector written`;
  });
  await guest.stop();
}

/** The boot sector, and bytes that no other place has. */
function makeDisk(folder) {
  const [source, object, binary] = ['s', 'o', 'bin'].map(ending => path.join(folder, `boot.${ending}`));
  writeFileSync(source, BOOT_SECTOR);
  execFileSync('as', ['--32', '-o', object, source]);
  execFileSync('ld', ['-m', 'elf_i386', '-Ttext', '0x7c00', '--oformat', 'binary', '-o', binary, object]);
  const disk = Buffer.from(
    Uint8Array.from({ length: (RUN * RUNS + 1) * SECTOR }, (_, i) => i * 7 + (i >> 9)),
  );
  readFileSync(binary).copy(disk, 0, 0, SECTOR);
  return disk;
}

function sumOf(disk) {
  let sum = 0;
  for (let at = 0; at < RUN * RUNS * SECTOR; at += 2)
    sum = (((sum << 1) | (sum >>> 15)) + disk.readUInt16LE(at)) & 0xffff;
  return sum;
}
