/**
 * DPDK's virtio-user driver, by way of testpmd, in front of the kit's network device: split and packed rings, in order or
 * not, mergeable buffers or not, chains of several descriptors and indirect tables; what it carries a second with and without
 * the judge, and what the judge says.
 */
import { sleep } from './part.mjs';
import { endServing, judgedClean, serveDevice } from './served.mjs';
import { startTestpmd } from './testpmd.mjs';

const SECONDS = 2;

/** Ring features as testpmd names them, those that are on when nothing is said first. */
const RINGS = [
  { title: 'split, mergeable', vdev: 'mrg_rxbuf=1,in_order=0' },
  { title: 'split, in order, mergeable', vdev: 'mrg_rxbuf=1,in_order=1' },
  { title: 'split, single buffers', vdev: 'mrg_rxbuf=0,in_order=0' },
  { title: 'packed, mergeable', vdev: 'packed_vq=1,mrg_rxbuf=1,in_order=0' },
  { title: 'packed, in order, single buffers', vdev: 'packed_vq=1,mrg_rxbuf=0,in_order=1' },
];

export const testpmdFront = {
  name: 'testpmd-virtio-user',
  about: 'DPDK testpmd as virtio-user front-end of vrdma serve, judged',
  packages: ['dpdk'],

  async run(part) {
    for (const [i, ring] of RINGS.entries()) await loop(part, { ...ring, name: `loop-${i}` });
    for (const packed of [0, 1]) await severalSegments(part, packed);
    // The same ring with nobody looking on, so that the two rates stand side by side.
    for (const i of [0, 3]) await loop(part, { ...RINGS[i], name: `unjudged-${i}`, judge: false });
  },
};

/** 128 frames go round through the device, as fast as both sides can. */
async function loop(part, { title, vdev, name, judge = true }) {
  const what = `${title}, ${judge ? 'judged' : 'not judged'}`;
  const served = await serveDevice(part, { name: `serve-${name}`, device: 'loop', judge });
  await part.check(`testpmd, frames come back: ${what}`, async () => {
    const { received, rate } = await drive(part, {
      name,
      socket: served.socket,
      vdev,
      start: 'start tx_first 4',
      least: 512,
    });
    return `${rate} frames/s, ${received} in all`;
  });
  const report = await endServing(served);
  if (judge) await part.check(`the judge on testpmd: ${title}`, () => judgedClean(report));
}

/** Frames of four segments, which virtio-user sends as chains or as indirect tables; nobody is there to receive them. */
async function severalSegments(part, packed) {
  const title = `${packed === 1 ? 'packed' : 'split'}, frames of four segments`;
  const name = `segments-${packed}`;
  const served = await serveDevice(part, { name: `serve-${name}`, device: 'net' });
  await part.check(`testpmd, frames are offered: ${title}`, async () => {
    const { sent, rate } = await drive(part, {
      name,
      socket: served.socket,
      vdev: `packed_vq=${packed},mrg_rxbuf=1,in_order=0`,
      more: ['--forward-mode=txonly', '--txpkts=64,100,36,200', '--tx-offloads=0x8000'],
      start: 'start',
      // The device refuses the packed ring as a whole: docs/findings.md, DPDK-1.
      least: packed === 1 ? 256 : 512,
    });
    return `${rate} frames/s, ${sent} in all`;
  });
  const report = await endServing(served);
  await part.check(`the judge on testpmd: ${title}`, () => {
    if (packed === 1 && report.exit === 1) return knownFinding(report);
    return judgedClean(report);
  });
}

/**
 * DPDK's packed indirect tables begin with the frame's header in a descriptor that is marked writable, which the device refuses:
 * docs/findings.md, DPDK-1. Anything else that the judge says is a failure.
 */
function knownFinding({ text }) {
  const broken = [...text.matchAll(/^BROKEN +(\S+)/gm)].map(match => match[1]);
  if (broken.join() !== 'RING-07') throw new Error(`broken: ${broken.join(', ')}`);
  return 'finding DPDK-1 of docs/findings.md, and nothing else';
}

/**
 * Runs testpmd on one port until it has moved the `least` frames, and then for a while to see how fast it is. It is told what to do
 * line by line, and ended by `quit`.
 */
async function drive(part, { name, socket, vdev, start, least, more = [] }) {
  const port = `net_virtio_user0,path=${socket},queues=1,queue_size=256,vectorized=0,${vdev}`;
  const pmd = await startTestpmd(part, name, port, more, ['--single-file-segments']);
  pmd.say(start);
  const moved = counted => (start === 'start' ? counted.sent : counted.received);
  let first;
  await part.until(`${least} frames`, async () => {
    first = await statistics(part, pmd);
    return moved(first) >= least;
  });
  await sleep(SECONDS * 1000);
  const second = await statistics(part, pmd);
  pmd.say('stop');
  pmd.say('quit');
  await pmd.ended();
  const seconds = (second.atMs - first.atMs) / 1000;
  return { ...second, rate: Math.round((moved(second) - moved(first)) / seconds) };
}

async function statistics(part, pmd) {
  const counted = () => [
    ...pmd.text().matchAll(/RX-packets: (\d+)\s+RX-missed[^]*?TX-packets: (\d+)\s+TX-errors/g),
  ];
  const before = counted().length;
  pmd.say('show port stats 0');
  await part.until("testpmd's statistics", () => counted().length > before);
  const [, received, sent] = counted().at(-1);
  return { received: Number(received), sent: Number(sent), atMs: performance.now() };
}
