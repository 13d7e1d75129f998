/** Linux's own virtio_net in two guests at a time, one on PCI and one on virtio-mmio, through the kit's switch. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { guestImage } from './guest-image.mjs';
import { qemuArguments, qemuPackages } from './qemu.mjs';
import { endServing, judgedClean, serveDevice } from './served.mjs';

/** Each guest waits for the other, sends large and small frames, and answers until the other is done. */
const SCRIPT = `
value() { tr ' ' '\\n' </proc/cmdline | sed -n "s/^$1=//p"; }
peer=$(value peer)
echo "FEATURES $(cat /sys/bus/virtio/devices/*/features)"
ip addr add $(value own)/24 dev eth0
ip link set eth0 up
until ping -c 1 -W 1 $peer >/dev/null; do :; done
# One at a time, each with all the time that it needs: in one run of many, busybox's ping waits a second for the last of them and no
# longer, and its socket holds so few that some are lost in the guest when it is not scheduled in time.
pings() { for i in $(seq $1); do ping -c 1 -W 200 -s $2 $peer; done | grep -c ' 1 packets received'; }
echo "LARGE $(pings 30 1400)"
echo "SMALL $(pings 30 1)"
echo "FRAGMENTED $(pings 10 4000)"
ifconfig eth0 | grep packets
# One of the two serves a file, which the other fetches by TCP, and ends when the other says that it has done so.
if [ $(value role) = server ]; then
  dd if=/dev/zero bs=1024 count=512 2>/dev/null | tr '\\0' 'x' >/tmp/file
  httpd -p 80 -h /tmp
  echo LISTENING | nc -l -p 81
else
  until wget -q -O /tmp/got http://$peer/file; do sleep 1; done
  echo "FETCHED $(wc -c </tmp/got) $(tr -d x </tmp/got | wc -c)"
  until nc $peer 81 </dev/null | grep -q LISTENING; do sleep 1; done
fi
sleep 1
`;

export const linuxGuests = {
  name: 'linux-virtio-net',
  about:
    "Linux's virtio_net in QEMU, q35 (PCI) and microvm (virtio-mmio), split and packed, judged to the end",
  packages: qemuPackages,

  async run(part) {
    const image = guestImage(part.folder, {
      modules: ['virtio_pci', 'virtio_mmio', 'virtio_net'],
      script: SCRIPT,
      name: 'linux',
    });
    part.note(`Linux ${image.release}`);
    for (const ring of ['split', 'packed']) await pairOfGuests(part, image, ring);
  },
};

async function pairOfGuests(part, image, ring) {
  const served = await serveDevice(part, { name: `serve-${ring}`, device: 'net' });
  const guests = ['q35', 'microvm'].map((machine, i) => {
    const name = `${machine}-${ring}`;
    const serial = path.join(part.folder, `${name}.serial`);
    const [own, other] = i === 0 ? [1, 2] : [2, 1];
    const started = part.start(
      name,
      'qemu-system-x86_64',
      qemuArguments({
        machine,
        socket: served.socket,
        serial,
        image,
        append: `own=10.0.0.${own} peer=10.0.0.${other} role=${i === 0 ? 'server' : 'client'}`,
        mac: `52:54:00:00:00:0${own}`,
        device: ring === 'packed' ? 'packed=on' : undefined,
      }),
    );
    return { name, machine, started, serial };
  });
  await Promise.all(guests.map(({ started }) => started.ended().catch(() => undefined)));
  for (const { name, machine, started, serial } of guests) {
    await part.check(`Linux on ${machine}, ${ring} ring`, () => {
      const text = readFileSync(serial, 'latin1');
      if (started.exit !== 0) throw new Error(`${name} ended with ${started.exit}; ${lastLine(text)}`);
      const packed = /FEATURES ([01]+)/.exec(text)?.[1]?.[34] === '1';
      if (packed !== (ring === 'packed')) throw new Error(`RING_PACKED is ${packed ? '' : 'not '}negotiated`);
      for (const [kind, count] of [
        ['LARGE', 30],
        ['SMALL', 30],
        ['FRAGMENTED', 10],
      ])
        if (!new RegExp(`^${kind} ${count}\\r?$`, 'm').test(text))
          throw new Error(new RegExp(`${kind}.*`).exec(text)?.[0] ?? `no ${kind} pings; ${lastLine(text)}`);
      if (machine === 'microvm' && !text.includes('FETCHED 524288 0'))
        throw new Error(/FETCHED.*/.exec(text)?.[0] ?? 'nothing was fetched');
      return '70 pings of 3 sizes answered, 512 KiB by TCP';
    });
  }
  const report = await endServing(served);
  await part.check(`the judge on Linux, ${ring} ring`, () => judgedClean(report));
}

function lastLine(text) {
  return `the console ends with: ${text.trimEnd().split('\n').at(-1) ?? ''}`;
}
