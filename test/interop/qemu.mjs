/** QEMU guests whose network device is a vhost-user back-end. Without KVM, so that it runs wherever Node does. */
import { existsSync, readFileSync } from 'node:fs';

export const qemuPackages = ['qemu-system-x86', 'busybox-static'];

const MEMORY = '192M';

/**
 * The command line of a guest with one network device behind `socket`.
 * @param {object} options
 * @param {'q35' | 'microvm' | 'virt'} options.machine of these `virt` is for qemu-system-aarch64
 * @param {'pci' | 'mmio'} [options.bus] PCI without MSI-X, or virtio-mmio, which is all that a microvm has
 * @param {string} options.socket
 * @param {string} [options.serial] file for the serial console; it is QEMU's standard input and output when absent
 * @param {{ kernel: string, initrd: string }} [options.image] what to boot; firmware only when absent
 * @param {string} [options.append] more for the kernel's command line
 * @param {string} [options.mac] of the network device
 * @param {boolean} [options.disk] behind the socket is a disk, and not a network device
 * @param {string} [options.device] further properties of the device, such as `packed=on`
 * @param {string[]} [options.more] further arguments
 */
export function qemuArguments(options) {
  const { machine, socket, serial, image, append = '', mac, device, disk = false, more = [] } = options;
  const { bus = machine === 'microvm' ? 'mmio' : 'pci' } = options;
  const properties = device === undefined ? '' : `,${device}`;
  const boot =
    image === undefined
      ? []
      : [
          ['-kernel', image.kernel, '-initrd', image.initrd],
          [
            '-append',
            `console=ttyS0 quiet no_timer_check reboot=t ${machine === 'microvm' ? tscOption() : ''}${append}`,
          ],
        ].flat();
  return [
    ['-M', `${machine},memory-backend=mem`],
    [
      '-cpu',
      'max',
      '-accel',
      'tcg',
      '-m',
      MEMORY,
      '-nographic',
      '-nodefaults',
      '-no-user-config',
      '-no-reboot',
    ],
    ['-object', `memory-backend-memfd,share=on,id=mem,size=${MEMORY}`],
    [
      '-chardev',
      `socket,id=peer,path=${socket}`,
      ...(disk ? [] : ['-netdev', 'vhost-user,id=net,chardev=peer']),
    ],
    disk
      ? ['-device', 'vhost-user-blk-pci,chardev=peer,num-queues=1,disable-legacy=on,bootindex=0']
      : bus === 'pci'
        ? ['-device', `virtio-net-pci,netdev=net,vectors=0,mac=${mac}${properties}`]
        : // Without this a virtio-mmio device is one of before virtio 1.0.
          [
            '-global',
            'virtio-mmio.force-legacy=false',
            '-device',
            `virtio-net-device,netdev=net,mac=${mac}${properties}`,
          ],
    ['-serial', serial === undefined ? 'stdio' : `file:${serial}`],
    boot,
    more,
  ].flat();
}

/** What a guest has printed so far. */
export function serialText(file) {
  return existsSync(file) ? readFileSync(file, 'latin1') : '';
}

/** Without KVM a microvm has nothing that Linux could measure its clock by, so it is told the clock's speed. */
function tscOption() {
  const megahertz = /^cpu MHz\s*:\s*([\d.]+)/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? '2000';
  return `tsc_early_khz=${Math.round(Number(megahertz) * 1000)} `;
}
