/**
 * The kit's driver end against devices that nobody here wrote: DPDK's vhost library behind testpmd's net_vhost port, which sends
 * every frame back over each kind of ring that it offers, and QEMU's storage daemon as vhost-user-blk, of which sectors are
 * written and read.
 */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { Skipped, WATCHDOG_S } from './part.mjs';
import { startTestpmd } from './testpmd.mjs';

const SECTOR = 512;
/** Some laps of rings of 256 entries, frames of two descriptors. */
const FRAMES = 1000;

/** Kinds of ring, by the names of their feature bits; each front-end after the first finds a back-end that had another kind before. */
const ringKinds = [[], ['IN_ORDER'], ['RING_PACKED'], ['RING_PACKED', 'IN_ORDER']].flatMap(bits => [
  bits,
  [...bits, 'EVENT_IDX'],
]);

export const foreignDevice = {
  name: 'foreign-device',
  about: "the kit's driver halves against DPDK's vhost library and QEMU's storage daemon",
  packages: ['dpdk', 'qemu-system-common'],

  async run(part) {
    const { connectVhostUser } = await import('../../dist/transports/vhost-user/client.js');
    const { socket, pmd } = await startVhost(part);
    for (const bits of ringKinds)
      await part.check(`frames through DPDK's vhost library, ${nameOf(bits)}`, () =>
        frames(connectVhostUser(socket, { deviceId: 1, queueCount: 2, memoryBytes: 8 << 20 }), bits),
      );
    await pmd.stop();
    for (const bits of [[], ['EVENT_IDX'], ['RING_PACKED']])
      await part.check(`sectors of QEMU's storage daemon, ${nameOf(bits)}`, () =>
        sectors(part, connectVhostUser, bits),
      );
  },
};

function nameOf(bits) {
  const has = name => bits.includes(name);
  const order = has('IN_ORDER') ? ' in order' : '';
  return `${has('RING_PACKED') ? 'packed' : 'split'} rings${order}${has('EVENT_IDX') ? ' with event indices' : ''}`;
}

/** Negotiates VERSION_1 and the bits of those names. Throws Skipped when one of them is not offered. */
async function start(client, names, queues) {
  const { FeatureBit, featureSet, hasFeature, negotiate, startDriver } =
    await import('../../dist/virtio/index.js');
  for (const name of names)
    if (!hasFeature(client.front.features, FeatureBit[name])) throw new Skipped(`${name} is not offered`);
  const required = featureSet(FeatureBit.VERSION_1, ...names.map(name => FeatureBit[name]));
  negotiate(client.transport, { wanted: required, required });
  const made = queues.map(index => client.queue(index));
  startDriver(client.transport);
  return made;
}

async function startVhost(part) {
  const socket = part.socket('vhost.sock');
  const pmd = await startTestpmd(part, 'vhost', `net_vhost0,iface=${socket},queues=1`, ['--forward-mode=io']);
  pmd.say('start');
  return { socket, pmd };
}

/** Sends frames and takes them when they come back; closes the connection. */
async function frames(client, bits) {
  try {
    const [receive, transmit] = await start(client, bits, [0, 1]);
    const buffers = Array.from({ length: 128 }, () => client.alloc(2048, 64));
    const give = token => {
      receive.addWritable(buffers[token].address, 2048);
      receive.commit(token);
      receive.begin();
    };
    receive.begin();
    buffers.forEach((_, token) => give(token));
    if (receive.publish()) client.transport.notify(0);
    const outgoing = Array.from({ length: 32 }, () => client.alloc(2048, 64));
    const element = { token: 0, written: 0 };
    let sent = 0;
    let came = 0;
    for (const end = Date.now() + WATCHDOG_S * 1000; came < FRAMES && Date.now() < end;) {
      // At most one round of frames is under way, so that none is dropped for want of a buffer.
      while (sent < FRAMES && sent - came < 32 && transmit.freeDescriptors > 4) {
        const place = outgoing[sent % 32];
        const length = frame(place.bytes, sent);
        transmit.begin();
        transmit.addReadable(place.address, 12);
        transmit.addReadable(place.address + 12, length);
        transmit.commit(sent % 32);
        sent++;
      }
      if (transmit.publish()) client.transport.notify(1);
      client.poll();
      while (transmit.takeUsed(element));
      for (; receive.takeUsed(element); came++) {
        compare(buffers[element.token].bytes, element.written, came);
        give(element.token);
      }
      if (receive.publish()) client.transport.notify(0);
      await new Promise(resolve => setImmediate(resolve));
    }
    if (came !== FRAMES)
      throw new Error(`${came} of ${sent} frames came back; ${transmit.broken ?? receive.broken ?? ''}`);
    return `${FRAMES} frames of 60 to 1500 bytes back, whole and in order`;
  } finally {
    client.close();
  }
}

/** Fills a frame that `number` determines, behind its header. Its bytes without the header. */
function frame(bytes, number) {
  const length = 60 + ((number * 37) % 1441);
  bytes.fill(0, 0, 12);
  for (let i = 0; i < length; i++) bytes[12 + i] = (number + i * 7) & 0xff;
  bytes[12] &= 0xfe;
  return length;
}

function compare(bytes, written, number) {
  const expected = new Uint8Array(2048);
  const length = frame(expected, number);
  if (written !== 12 + length)
    throw new Error(`frame ${number} came back with ${written} bytes, sent were ${12 + length}`);
  for (let i = 12; i < written; i++)
    if (bytes[i] !== expected[i])
      throw new Error(`byte ${i} of frame ${number} is ${bytes[i]}, expected ${expected[i]}`);
}

async function sectors(part, connect, bits) {
  const socket = part.socket(`blk-${bits.join('-')}.sock`);
  const disk = path.join(part.folder, 'disk.img');
  writeFileSync(disk, new Uint8Array(1 << 20));
  const daemon = part.start(`storage-daemon-${bits.join('-')}`, 'qemu-storage-daemon', [
    '--blockdev',
    `driver=file,node-name=disk,filename=${disk}`,
    '--export',
    `type=vhost-user-blk,id=e,addr.type=unix,addr.path=${socket},node-name=disk,writable=on`,
  ]);
  await part.listening(socket, daemon);
  const client = connect(socket, { deviceId: 2, queueCount: 1 });
  try {
    const [queue] = await start(client, bits, [0]);
    const header = client.alloc(16, 16);
    const data = client.alloc(8 * SECTOR, SECTOR);
    const status = client.alloc(1);
    const request = async (write, sector) => {
      header.view.setUint32(0, write ? 1 : 0, true);
      header.view.setUint32(8, sector, true);
      status.bytes[0] = 0xff;
      queue.begin();
      queue.addReadable(header.address, 16);
      // Cut in two, so that chains of four descriptors are made.
      if (write) {
        queue.addReadable(data.address, 3 * SECTOR);
        queue.addReadable(data.address + 3 * SECTOR, 5 * SECTOR);
      } else {
        queue.addWritable(data.address, 3 * SECTOR);
        queue.addWritable(data.address + 3 * SECTOR, 5 * SECTOR);
      }
      queue.addWritable(status.address, 1);
      queue.commit(sector);
      if (queue.publish()) client.transport.notify(0);
      const element = { token: 0, written: 0 };
      // A call may come for nothing: the daemon makes one when a queue starts.
      await part.until('the answer of the disk', () => {
        client.poll();
        return queue.hasUsed();
      });
      if (!queue.takeUsed(element)) throw new Error(`no used element: ${queue.broken ?? 'empty'}`);
      if (status.bytes[0] !== 0) throw new Error(`status ${status.bytes[0]} for sector ${sector}`);
    };
    const pattern = sector => Uint8Array.from({ length: 8 * SECTOR }, (_, i) => (i * 13 + sector) & 0xff);
    for (let sector = 0; sector < 2048; sector += 64) {
      data.bytes.set(pattern(sector));
      await request(true, sector);
    }
    for (let sector = 0; sector < 2048; sector += 64) {
      data.bytes.fill(0);
      await request(false, sector);
      if (Buffer.compare(data.bytes, pattern(sector)) !== 0)
        throw new Error(`sector ${sector} reads otherwise than written`);
    }
    return '32 writes and 32 reads of 4 KiB, every byte as written';
  } finally {
    client.close();
    await daemon.stop();
  }
}
