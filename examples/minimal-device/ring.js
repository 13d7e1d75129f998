/**
 * The device's half of one split virtqueue, chapter 4 of the specification: no indirect tables, no event index. Chains go back
 * in batches: nobody sees what was put before `publish`.
 */
const [NEXT, WRITE, INDIRECT] = [1, 2, 4];
const QUIET = 1; // NO_NOTIFY in the flags of the used ring, NO_INTERRUPT in those of the available ring

/** The driver broke a rule of the ring [VQ-46]; caught where a turn of the device begins. */
export class BrokenRing extends Error {}

export function keep(rule, kept) {
  if (!kept) throw new BrokenRing(`${rule} is broken`);
}

export const u32 = (view, at) => view.getUint32(at, true);
/** Values above 2^53 come out rounded and above it still, where no memory is. */
export const u64 = (view, at) => u32(view, at) + u32(view, at + 4) * 2 ** 32;

/** A struct of `size` bytes with numbers of 32 bits from `at` on. */
export function words(size, at, numbers) {
  const view = new DataView(new ArrayBuffer(size));
  for (const [i, number] of numbers.entries()) view.setUint32(at + 4 * i, number, true);
  return view;
}

/** Whether a queue may have this size and these places [VQ-05] [VQ-06] [VQ-07]. */
export function placeable(memory, size, sizeMax, { descriptors, driver, device }) {
  const fits = (address, alignment, bytes) => address % alignment === 0 && memory.contains(address, bytes);
  if (!Number.isInteger(size) || size < 1 || size > sizeMax || (size & (size - 1)) !== 0) return false;
  return fits(descriptors, 16, 16 * size) && fits(driver, 2, 6 + 2 * size) && fits(device, 4, 6 + 8 * size);
}

/** A view of the bytes from `from` on of a readable part; those that are not there count as zero. */
export function gather(memory, segments, from, count) {
  const bytes = new Uint8Array(count);
  let start = -from;
  for (const { address, length } of segments) {
    const skip = Math.max(0, -start);
    const part = Math.min(length - skip, count - start - skip);
    if (part > 0) memory.read(address + skip, bytes, start + skip, part);
    start += length;
  }
  return new DataView(bytes.buffer);
}

/** Writes the bytes to the start of a writable part that has room for them. */
export function scatter(memory, segments, bytes) {
  let done = 0;
  for (const { address, length } of segments) {
    memory.write(address, bytes, done, Math.min(length, bytes.length - done));
    done = Math.min(done + length, bytes.length);
  }
}

export class Ring {
  /** Whether the driver is asked to notify; true from the start, since the flags are zero. */
  asks = true;
  /** Set while the batch holds a completion that its armed queue waits for. */
  event = false;
  batch = [];
  /** Index of the next chain to take, and of the next element to publish. */
  next = 0;
  returned = 0;
  scratch = new Uint8Array(16);
  view = new DataView(this.scratch.buffer);

  constructor(memory, index, size, places, observer) {
    Object.assign(this, { memory, index, size, places, observer });
    /** By head: 1 from the taking of its chain until the driver can see it returned. */
    this.inFlight = new Uint8Array(size);
    [this.availFlags, this.availIdx] = [0, 2].map(at => memory.window(places.driver + at, 2));
    [this.usedFlags, this.usedIdx] = [0, 2].map(at => memory.window(places.device + at, 2));
  }

  /** Chains made available and not taken, as the driver has it: up to 65535 if it lies. */
  get claimed() {
    return (this.availIdx.load16(0) - this.next) & 0xffff;
  }

  /** The same of a driver that keeps the rules. */
  get waiting() {
    const { claimed } = this;
    keep('VQ-56', ((claimed + this.next - this.returned) & 0xffff) <= this.size);
    return claimed;
  }

  /** Takes the next chain, of which there must be one: its head, and its two parts as lists of segments. */
  take() {
    const { memory, size, places, scratch, view } = this;
    memory.read(places.driver + 4 + 2 * (this.next % size), scratch, 0, 2);
    const head = view.getUint16(0, true);
    keep('VQ-47', head < size);
    keep('VQ-48', this.inFlight[head] === 0);
    const chain = { head, readable: [], writable: [], readableBytes: 0, writableBytes: 0 };
    let [at, answers, more] = [head, false, true];
    for (let count = 1; more; count++) {
      keep('VQ-49', at < size);
      keep('VQ-50', count <= size);
      memory.read(places.descriptors + 16 * at, scratch, 0, 16);
      const [address, length, flags] = [u64(view, 0), u32(view, 8), view.getUint16(12, true)];
      [at, more] = [view.getUint16(14, true), (flags & NEXT) !== 0];
      keep('VQ-52', !answers || (flags & WRITE) !== 0);
      keep('VQ-53', length === 0 || memory.contains(address, length));
      keep('VQ-54', (flags & INDIRECT) === 0);
      answers = (flags & WRITE) !== 0;
      chain[answers ? 'writable' : 'readable'].push({ address, length });
      chain[answers ? 'writableBytes' : 'readableBytes'] += length;
      keep('VQ-51', chain.readableBytes + chain.writableBytes <= 2 ** 32);
    }
    this.inFlight[head] = 1;
    this.next = (this.next + 1) & 0xffff;
    this.observer?.taken(this.index, head);
    return chain;
  }

  put(head, written) {
    this.batch.push({ head, written });
  }

  /** Puts what the driver has made available and nobody has taken, unused [RST-07] [RST-12]. */
  putAll() {
    this.ask(false);
    while (this.waiting > 0) this.put(this.take().head, 0);
  }

  /** Shows the batch to the driver. False when there is nothing to show. */
  publish() {
    const batch = this.batch.splice(0);
    for (const { head, written } of batch) {
      this.view.setUint32(0, head, true);
      this.view.setUint32(4, written, true);
      this.memory.write(this.places.device + 4 + 8 * (this.returned % this.size), this.scratch, 0, 8);
      this.returned = (this.returned + 1) & 0xffff;
      this.inFlight[head] = 0;
      this.observer?.used(this.index, head, written);
    }
    if (batch.length > 0) this.usedIdx.store16(0, this.returned);
    return batch.length > 0;
  }

  /** Whether to interrupt for what was published: a completion queue if it was armed [CQ-42], else as the driver wishes. */
  interrupts(completions) {
    const sent = completions ? this.event : (this.availFlags.load16(0) & QUIET) === 0;
    this.event = false;
    this.observer?.interrupt(this.index, this.returned, sent);
    return sent;
  }

  /** Asks the driver to notify, or not to. Who asks has to look for chains once more [VQ-73]. */
  ask(asks) {
    if (this.asks !== asks) this.usedFlags.store16(0, asks ? 0 : QUIET);
    this.asks = asks;
  }
}
