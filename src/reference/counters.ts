/** What a function did, in plain numbers; a cost model reads them. */
export class Counters {
  /** The sum over several functions. */
  static sum(all: Iterable<Counters>): Counters {
    const total = new Counters();
    for (const counters of all) {
      total.sendRequests += counters.sendRequests;
      total.recvRequests += counters.recvRequests;
      total.packetsSent += counters.packetsSent;
      total.packetsReceived += counters.packetsReceived;
      total.packetsDropped += counters.packetsDropped;
      total.retransmissions += counters.retransmissions;
      total.timeouts += counters.timeouts;
      total.rnrNaksSent += counters.rnrNaksSent;
      total.qkeyViolations += counters.qkeyViolations;
      total.addressTranslations += counters.addressTranslations;
      total.bytesCopied += counters.bytesCopied;
      total.completions += counters.completions;
    }
    return total;
  }

  sendRequests = 0;
  recvRequests = 0;
  packetsSent = 0;
  packetsReceived = 0;
  /** Arrived and had no effect. */
  packetsDropped = 0;
  /** Packets whose sequence number was sent before. */
  retransmissions = 0;
  timeouts = 0;
  rnrNaksSent = 0;
  qkeyViolations = 0;
  /** Pages looked up in a region's page list. */
  addressTranslations = 0;
  /** Bytes moved between packets and registered memory, both directions. */
  bytesCopied = 0;
  /** Completions written. */
  completions = 0;
}
