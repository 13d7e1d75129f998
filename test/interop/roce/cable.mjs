/**
 * The cable between two guests: QEMU's stream back-end connects here, every Ethernet frame comes with its length before it. Each frame is
 * shown to whoever watches, which says what becomes of it.
 */
import { createServer } from 'node:net';
import { rmSync } from 'node:fs';

/** QEMU sends no larger ones. */
const FRAME_BYTES_MAX = 69_632;

export class Cable {
  #ends;
  /** `(side 0 or 1, frame) => 'pass' | 'drop' | 'corrupt' | 'duplicate' | 'hold'`; a held frame follows the next one of its side. */
  #watch;

  constructor(watch) {
    this.#watch = watch;
    this.#ends = [new End(frame => this.#carry(0, frame)), new End(frame => this.#carry(1, frame))];
  }

  /** Listens at two unix sockets. */
  async open(paths) {
    await Promise.all(this.#ends.map((end, side) => end.open(paths[side])));
  }

  async close() {
    await Promise.all(this.#ends.map(end => end.close()));
  }

  #carry(side, frame) {
    const from = this.#ends[side];
    const to = this.#ends[1 - side];
    const verdict = this.#watch(side, frame);
    if (verdict === 'hold') return void from.held.push(frame);
    if (verdict === 'corrupt') to.send(corrupted(frame));
    else if (verdict !== 'drop') to.send(frame);
    if (verdict === 'duplicate') to.send(frame);
    for (const late of from.held.splice(0)) to.send(late);
  }
}

/** One bit changed where no checksum but the ICRC sees it: in the last byte before it. */
function corrupted(frame) {
  const copy = Buffer.from(frame);
  copy[copy.length - 5] ^= 0x10;
  return copy;
}

class End {
  held = [];
  #server;
  #socket;
  #rest = Buffer.alloc(0);
  #path = '';
  #take;

  constructor(take) {
    this.#take = take;
    this.#server = createServer(socket => this.#connected(socket));
  }

  open(path) {
    this.#path = path;
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(path, resolve);
    });
  }

  async close() {
    this.#socket?.destroy();
    await new Promise(resolve => this.#server.close(resolve));
    rmSync(this.#path, { force: true });
  }

  send(frame) {
    if (this.#socket === undefined) return;
    const length = Buffer.alloc(4);
    length.writeUInt32BE(frame.length);
    this.#socket.write(Buffer.concat([length, frame]));
  }

  #connected(socket) {
    this.#socket = socket;
    socket.on('error', () => undefined);
    socket.on('close', () => (this.#socket = undefined));
    socket.on('data', bytes => this.#received(socket, bytes));
  }

  #received(socket, bytes) {
    let data = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    while (data.length >= 4) {
      const length = data.readUInt32BE(0);
      if (length > FRAME_BYTES_MAX) return socket.destroy();
      if (data.length < 4 + length) break;
      this.#take(data.subarray(4, 4 + length));
      data = data.subarray(4 + length);
    }
    this.#rest = data;
  }
}
