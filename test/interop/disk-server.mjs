/**
 * A disk for drivers of block devices, judged: `node test/interop/disk-server.mjs SOCKET IMAGE`. The kit has no block device of its own; this
 * is one on its ring layer, as small as it may be: one queue, reads, writes and flushes. The image is a file, which writes go to.
 */
import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { serveText } from '../../dist/cli/format/serve.js';
import { LiveJudge, serve } from '../../dist/conformance/serve/index.js';
import { FeatureBit, VirtioDeviceModel, featureSet } from '../../dist/virtio/index.js';

const SECTOR = 512;
const BLOCK_DEVICE = 2;
const QUEUE_SIZE = 128;
const HEADER_BYTES = 16;
/** A request carries no more. */
const DATA_BYTES_MAX = 1 << 20;
/** As long as that of virtio 1.2, of which the capacity is the first field; front-ends ask for more or less of it. */
const CONFIG_BYTES = 96;
const FLUSH_FEATURE = 9;
const [IN, OUT, FLUSH] = [0, 1, 4];
const [OK, IO_ERROR, UNSUPPORTED] = [0, 1, 2];

class Disk extends VirtioDeviceModel {
  #wake;
  #image;
  #sectors;
  #chain;
  #header = new Uint8Array(HEADER_BYTES);
  #data = new Uint8Array(DATA_BYTES_MAX + 1);

  constructor(memory, wake, image) {
    const sectors = Math.floor(fstatSync(image).size / SECTOR);
    const config = new Uint8Array(CONFIG_BYTES);
    new DataView(config.buffer).setBigUint64(0, BigInt(sectors), true);
    super({
      deviceId: BLOCK_DEVICE,
      features: featureSet(FeatureBit.INDIRECT_DESC, FeatureBit.EVENT_IDX, FLUSH_FEATURE),
      queueCount: 1,
      queueSizeMax: () => QUEUE_SIZE,
      config,
      memory,
    });
    this.#wake = wake;
    this.#image = image;
    this.#sectors = sectors;
  }

  run() {
    const queue = this.queue(0);
    if (queue === undefined) return false;
    this.#chain ??= queue.newChain();
    queue.disableNotifications();
    while (queue.take(this.#chain) === 'chain') queue.putUsed(this.#chain.head, this.#carryOut(this.#chain));
    if (queue.broken !== undefined) this.queueBroke(queue);
    else if (queue.interruptWanted()) this.interruptQueue(0);
    return queue.broken === undefined && queue.enableNotifications();
  }

  onDriverOk() {}
  onNotify() {
    this.#wake();
  }
  onQueueReset() {
    this.#chain = undefined;
  }
  onReset() {
    this.#chain = undefined;
  }

  /** Bytes written: those read from the disk, and the status behind them. */
  #carryOut(chain) {
    if (chain.writableBytes === 0) return 0;
    const whole = chain.copyReadable(0, this.#header, 0, HEADER_BYTES) === HEADER_BYTES;
    const view = new DataView(this.#header.buffer);
    const [kind, at] = [view.getUint32(0, true), Number(view.getBigUint64(8, true)) * SECTOR];
    const room = chain.writableBytes - 1;
    const bytes = kind === OUT ? chain.readableBytes - HEADER_BYTES : kind === IN ? room : 0;
    const fits = bytes % SECTOR === 0 && bytes <= DATA_BYTES_MAX && at + bytes <= this.#sectors * SECTOR;
    if (!whole || ![IN, OUT, FLUSH].includes(kind)) return this.#answer(chain, room, UNSUPPORTED);
    if (!fits) return this.#answer(chain, room, IO_ERROR);
    if (kind === IN) readSync(this.#image, this.#data, 0, bytes, at);
    else if (kind === OUT) {
      chain.copyReadable(HEADER_BYTES, this.#data, 0, bytes);
      writeSync(this.#image, this.#data, 0, bytes, at);
    }
    return this.#answer(chain, room, OK);
  }

  /** The status is the last writable byte; what stands before it was read or is nothing. */
  #answer(chain, room, status) {
    this.#data[room] = status;
    return chain.writeWritable(0, this.#data, 0, room + 1);
  }
}

const [path, file] = process.argv.slice(2);
const image = openSync(file, 'r+');
const judge = new LiveJudge(undefined, ({ id }, { message }) => console.log(`${id}: ${message}`));
let machines = 0;
const server = serve({
  path,
  polling: false,
  judge,
  listener: {
    connected: vm => console.log(`connection ${vm}`),
    complaint: (vm, message) => console.log(`connection ${vm}: ${message}`),
    disconnected: (vm, why) => console.log(`connection ${vm} ended: ${why.message}`),
  },
  host: {
    open({ memory, wake }) {
      machines++;
      const device = new Disk(memory, wake, image);
      return { device, queueNumber: 1, run: () => device.run(), poll: () => device.run(), close: () => {} };
    },
  },
});
process.on('SIGINT', () => {
  server.close();
  closeSync(image);
  const plain = new Proxy({}, { get: () => text => text });
  const format = { width: 120, colours: plain, requirementText: () => undefined };
  console.log(serveText(judge.outcomes, { machines, notJudged: judge.notJudged }, format));
  process.exitCode = judge.outcomes.some(({ breaches }) => breaches > 0) ? 1 : 0;
});
