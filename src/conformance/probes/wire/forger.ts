/** A peer that is no adapter: it answers nothing of itself and sends exactly the packets that a case names. */
import { PacketOperation, PacketTransport } from '../../../fabric/index.js';
import type { CaseContext } from '../../cases/case.js';
import { PEER_GID, WireBench } from './bench.js';
import { End } from './end.js';
import type { Connection, EndOptions } from './end.js';
import { ACK } from './packets.js';
import type { PacketFields } from './packets.js';

/** Queue pair number of the peer. */
export const PEER_QPN = 77;

type Operation = keyof typeof PacketOperation;

export class Forger {
  readonly bench: WireBench;
  /** The judged end opposite. */
  readonly end: End;

  /** Waits for no answer unless the case gives a time-out: what is not answered is then simply silent. */
  static async opposite(
    context: CaseContext,
    connection: Connection = {},
    options: EndOptions = {},
  ): Promise<Forger> {
    const bench = await WireBench.of(context, { hosts: [0] });
    bench.claim(PEER_GID);
    return bench.scene('a queue pair is connected with the peer of the case', async () => {
      const end = await End.of(bench, 0, options);
      await end.raise({ gid: PEER_GID, qpn: PEER_QPN }, { timeout: 0, ...connection });
      return new Forger(bench, end);
    });
  }

  private constructor(bench: WireBench, end: End) {
    this.bench = bench;
    this.end = end;
  }

  /** Sends a packet to the judged end and lets everything come to rest. */
  async send(operation: Operation, psn: number, fields: Partial<PacketFields> = {}): Promise<void> {
    this.put(operation, psn, fields);
    await this.bench.rest();
  }

  /** Puts a packet on the wire and waits for nothing. */
  put(operation: Operation, psn: number, fields: Partial<PacketFields> = {}, payload?: Uint8Array): void {
    const { end } = this;
    const transport = PacketTransport[end.service];
    this.bench.inject(
      {
        sourceGid: PEER_GID,
        destinationGid: end.gid,
        opcode: transport | PacketOperation[operation],
        sourceQpn: PEER_QPN,
        destQpn: end.qpn,
        psn,
        ackRequest: true,
        syndrome: ACK,
        virtualAddress: 0,
        rkey: 0,
        dmaLength: 0,
        payloadLength: payload?.length ?? 0,
        ...fields,
      },
      payload,
    );
  }

  /** Sends an acknowledgement with this syndrome. */
  answer(psn: number, syndrome: number = ACK): Promise<void> {
    return this.send('ACKNOWLEDGE', psn, { syndrome });
  }
}
