/** Two Linux guests with a soft-RoCE adapter each, joined by a cable. */
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { guestImage } from '../guest-image.mjs';
import { GuestConsole, consoleScript } from './guest-console.mjs';
import { Cable } from './cable.mjs';

export const rocePackages = [
  'qemu-system-x86',
  'busybox-static',
  'iproute2',
  'ibverbs-utils',
  'ibverbs-providers',
  'perftest',
];

const PROGRAMS = [
  'ip',
  'rdma',
  'ibv_devinfo',
  'ibv_rc_pingpong',
  'ibv_uc_pingpong',
  'ibv_ud_pingpong',
  'ib_send_bw',
  'ib_write_bw',
  'ib_read_bw',
  'ib_atomic_bw',
  'ib_send_lat',
  'ib_write_lat',
  'ib_read_lat',
];

export const ADDRESSES = ['10.0.0.1', '10.0.0.2'];
const MACS = ['02:00:0a:00:00:01', '02:00:0a:00:00:02'];
/** What the kernel makes of these MAC addresses. */
const LINK_LOCAL = ['fe80::aff:fe00:1', 'fe80::aff:fe00:2'];

/** The path of a program of this machine. */
function programPath(name) {
  const found = ['/usr/bin', '/bin', '/usr/sbin', '/sbin']
    .map(folder => path.join(folder, name))
    .find(existsSync);
  if (found === undefined) throw new Error(`${name} is in none of the usual folders`);
  return found;
}

/** The user-space driver of soft-RoCE, which is loaded by its name and so appears in no list of needed libraries. */
function driverFiles() {
  const folder = '/usr/lib/x86_64-linux-gnu/libibverbs';
  const library = readdirSync(folder).find(file => file.startsWith('librxe-'));
  return ['/etc/libibverbs.d/rxe.driver', path.join(folder, library)].map(from => ({ to: from, from }));
}

export class TwoGuests {
  guests = [];
  #cable;

  /** Boots both. `watch` decides over each frame (see cable.mjs). Logs go to `folder`; `socketOf(name)` names a place for a socket. */
  async start(folder, watch, socketOf) {
    const image = guestImage(folder, {
      kernel: 'generic',
      modules: ['virtio_pci', 'virtio_net', 'crc32_generic', 'ib_uverbs', 'rdma_rxe'],
      programs: PROGRAMS.map(programPath),
      files: driverFiles(),
      script: consoleScript,
    });
    this.#cable = new Cable(watch);
    const sockets = ADDRESSES.map((_, side) => socketOf(`cable-${side}`));
    await this.#cable.open(sockets);
    this.guests = ADDRESSES.map((address, side) => {
      const net = `stream,id=net0,server=off,addr.type=unix,addr.path=${sockets[side]}`;
      const nic = `virtio-net-pci,netdev=net0,mac=${MACS[side]},mrg_rxbuf=off,csum=off,guest_csum=off,romfile=`;
      const args = ['-accel', 'tcg', '-M', 'q35', '-cpu', 'max', '-m', '384', '-nodefaults'];
      // On a busy machine the emulated timer is late, and the kernel would take it for broken.
      args.push(
        '-kernel',
        image.kernel,
        '-initrd',
        image.initrd,
        '-append',
        'console=ttyS0 quiet no_timer_check reboot=t panic=-1',
      );
      args.push('-netdev', net, '-device', nic);
      return new GuestConsole(address, args, path.join(folder, `guest-${side}.log`));
    });
    await Promise.all(this.guests.map((guest, side) => this.#setUp(guest, side)));
    return image.release;
  }

  async #setUp(guest, side) {
    await guest.until(/CONSOLE-READY\n/);
    // Neighbours are known from the start: no other traffic than what a test makes, and nothing that has to come in time. The kernel gives
    // the resolution of a GID one second, and solicits nobody while its own link-local address is tentative; busybox's ip knows no neighbours.
    const ip = programPath('ip');
    const commands = [
      'echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad',
      `${ip} addr add ${ADDRESSES[side]}/24 dev eth0`,
      `${ip} link set eth0 up`,
      ...[ADDRESSES, LINK_LOCAL].map(
        of => `${ip} neigh replace ${of[1 - side]} lladdr ${MACS[1 - side]} dev eth0 nud permanent`,
      ),
      'rdma link add rxe0 type rxe netdev eth0',
    ];
    for (const command of commands) {
      const { output, code } = await guest.run(command);
      if (code !== 0) throw new Error(`guest ${guest.name}: ${command}: ${output}`);
    }
  }

  /**
   * Runs a program in both guests: first the server, and when it listens the client.
   * @param {string} command without the server's address
   * @param {number} port where the server listens
   */
  async runPair(command, port, timeoutMs) {
    const [server, client] = this.guests;
    // The watchdog of the console ends what does not get on; the guests' own clocks say nothing on a busy machine.
    await server.run(
      `rm -f /tmp/server.code; { (${command} >/tmp/server 2>&1 & echo $! >/tmp/server.pid; wait $!; echo $? >/tmp/server.code) & }`,
    );
    const hex = port.toString(16).toUpperCase().padStart(4, '0');
    await server.run(
      `until grep -q ":${hex} .* 0A " /proc/net/tcp /proc/net/tcp6 || test -f /tmp/server.code; do sleep 0.1; done`,
      timeoutMs,
    );
    const clientRun = await client.run(`${command} ${ADDRESSES[0]} 2>&1`, timeoutMs);
    // A server whose client has failed may wait for it for ever.
    if (clientRun.code !== 0) await server.run('sleep 2; kill $(cat /tmp/server.pid)');
    const serverRun = await server.run(
      'until test -f /tmp/server.code; do sleep 0.1; done; cat /tmp/server; (exit $(cat /tmp/server.code))',
      timeoutMs,
    );
    return { client: clientRun, server: serverRun };
  }

  /** Ends both, and takes the cable away. */
  async stop() {
    await Promise.all(this.guests.splice(0).map(guest => guest.end()));
    await this.#cable?.close();
    this.#cable = undefined;
  }
}
