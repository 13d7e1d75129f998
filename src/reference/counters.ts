/** What a function did, in plain numbers; a cost model reads them. */
export class Counters {
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
  completions = 0;
}
