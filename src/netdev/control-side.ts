/** The control queue: one command a step. The device knows one, the number of queue pairs in use; it refuses all others. */
import type { DescriptorChain, DeviceQueue } from '../virtio/index.js';
import { MQ_VQ_PAIRS_SET, NetAck, NetControlClass, netControl } from './layout.js';

const PAIRS_BYTES = 2;

export class ControlSide {
  readonly index: number;
  /** Queue pairs that the driver uses. */
  pairs = 1;
  readonly #pairsMax: number;
  readonly #request = new Uint8Array(netControl.size + PAIRS_BYTES);
  readonly #answer = new Uint8Array(1);
  #queue: DeviceQueue | undefined;
  #chain: DescriptorChain | undefined;

  /** @param pairsMax queue pairs that may be asked for; 0 without MQ. */
  constructor(index: number, pairsMax: number) {
    this.index = index;
    this.#pairsMax = pairsMax;
  }

  queueReset(): void {
    this.#queue = undefined;
  }

  /** Carries out one command. True when there may be more. */
  step(queue: DeviceQueue, polling: boolean): boolean {
    if (this.#queue !== queue) {
      this.#queue = queue;
      this.#chain = queue.newChain();
    }
    const chain = this.#chain;
    if (chain === undefined) return false;
    queue.disableNotifications();
    if (queue.take(chain) === 'chain') {
      queue.putUsed(chain.head, this.#answerTo(chain));
      return true;
    }
    return !polling && queue.enableNotifications();
  }

  #answerTo(chain: DescriptorChain): number {
    // Without room for an answer nothing is carried out: the driver could not learn of it.
    if (chain.writableBytes === 0) return 0;
    const complete = chain.copyReadable(0, this.#request, 0, this.#request.length) === this.#request.length;
    this.#answer[0] = complete && this.#carryOut() ? NetAck.OK : NetAck.ERR;
    return chain.writeWritable(0, this.#answer, 0, 1);
  }

  #carryOut(): boolean {
    const [kind, command, low, high] = this.#request;
    if (kind !== NetControlClass.MQ || command !== MQ_VQ_PAIRS_SET) return false;
    const pairs = low | (high << 8);
    if (pairs < 1 || pairs > this.#pairsMax) return false;
    this.pairs = pairs;
    return true;
  }
}
