/** Sizes and lengths of the packets of one direction: what is the same for reliable and unreliable connections. */
import type { Packet } from '../../fabric/index.js';
import type { PathMtus } from './path-mtu.js';

export type SizeFault = { readonly event: 'WRONG_SIZE' | 'WRONG_LENGTH'; readonly detail: string };

/** Follows the bytes of one message. */
export class MessageBytes {
  /** Bytes of a WRITE that are still to come; undefined when its first packet was not seen, and for a SEND. */
  #left: number | undefined;

  /** Looks at a new packet; `part` is its event. Undefined when its sizes are right. */
  take(packet: Packet, part: string, mtus: PathMtus): SizeFault | undefined {
    return sizeFault(packet, part, mtus) ?? this.#lengthFault(packet, part);
  }

  #lengthFault({ payloadLength: bytes, dmaLength }: Packet, part: string): SizeFault | undefined {
    if (part === 'WRITE_ONLY' && dmaLength !== bytes)
      return { event: 'WRONG_LENGTH', detail: `RETH length ${dmaLength}, payload ${bytes}` };
    if (part === 'WRITE_FIRST') this.#left = dmaLength;
    else if (!part.startsWith('WRITE')) this.#left = undefined;
    if (this.#left === undefined || part === 'WRITE_ONLY') return undefined;
    const left = this.#left - bytes;
    this.#left = left;
    const right = part === 'WRITE_LAST' ? left === 0 : left > 0;
    return right
      ? undefined
      : { event: 'WRONG_LENGTH', detail: `${left} bytes of the RETH length are left behind it` };
  }
}

function sizeFault({ payloadLength: bytes }: Packet, part: string, mtus: PathMtus): SizeFault | undefined {
  const wrong = (what: string): SizeFault => ({
    event: 'WRONG_SIZE',
    detail: `payload of ${bytes} bytes; ${what}, path MTU ${mtus.text}`,
  });
  if (part === 'READ' || part === 'ATOMIC') return bytes === 0 ? undefined : wrong('expected none');
  if (part.endsWith('_FIRST') || part.endsWith('_MIDDLE'))
    return mtus.isFull(bytes) ? undefined : wrong('expected a full packet');
  if (part.endsWith('_LAST') && bytes === 0) return wrong('expected at least one');
  return mtus.holds(bytes) ? undefined : wrong('expected no more than the path MTU');
}
