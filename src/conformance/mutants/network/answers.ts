/** Networks whose packets say what cannot be: numbers, counts and lengths that only somebody in the middle of the wire compares. */
import { PacketOperation, operationOf } from '../../../fabric/index.js';
import type { Packet } from '../../../fabric/index.js';
import { mutant } from '../mutant.js';
import type { Mutant, MutantFacts } from '../mutant.js';
import { isAnswer, isReliable, isRequest } from '../seams/network.js';
import { PSN_MASK, isRead, meddling } from '../seams/wire.js';
import type { Meddler, Wire } from '../seams/wire.js';

function wrongNetwork(
  name: string,
  facts: Omit<MutantFacts, 'chapter'> & Partial<MutantFacts>,
  doc: string,
  make: (wire: Wire) => Meddler,
): Mutant {
  return mutant('network', name, { chapter: 'data path', ...facts }, doc, meddling(make));
}

export const wireAnswerMutants: readonly Mutant[] = [
  wrongNetwork(
    'repeated-request-solicited',
    { breaks: 'DATA-87', needs: 'race' },
    'A request that is sent again asks for a solicited event, whether it did so before or not.',
    () => ({
      sent(packet) {
        if (isReliable(packet) && isRequest(packet) && packet.transmission > 0)
          packet.solicited = !packet.solicited;
      },
    }),
  ),
  wrongNetwork(
    'read-acknowledged-before-its-responses',
    { chapter: 'ordering', breaks: 'DATA-88' },
    'A READ is acknowledged when it comes, ahead of its responses.',
    wire => ({
      delivered(packet) {
        if (isRead(packet)) wire.send(answerTo(wire, packet, packet.psn));
      },
    }),
  ),
  wrongNetwork(
    'acknowledgement-of-what-was-not-sent',
    { breaks: 'DATA-90' },
    'A request is acknowledged with a number far behind its own, too.',
    wire => ({
      delivered(packet) {
        if (isReliable(packet) && isRequest(packet) && !wire.own)
          wire.send(answerTo(wire, packet, (packet.psn + 5000) & PSN_MASK));
      },
    }),
  ),
  wrongNetwork(
    'messages-counted-twice',
    { breaks: 'DATA-91' },
    'Each message counts for two in acknowledgements.',
    () => ({
      sent(packet) {
        if (isAnswer(packet)) packet.msn = (2 * packet.msn) & PSN_MASK;
      },
    }),
  ),
  wrongNetwork(
    'length-of-a-write-rounded-up',
    { chapter: 'lengths', breaks: 'DATA-92' },
    'The first packet of a WRITE states a length that is a multiple of four.',
    () => ({
      sent(packet) {
        const operation = operationOf(packet.opcode);
        const first = operation === PacketOperation.WRITE_FIRST || operation === PacketOperation.WRITE_ONLY;
        if (first) packet.dmaLength = (packet.dmaLength + 3) & ~3;
      },
    }),
  ),
];

/** An acknowledgement from where a request arrives. */
function answerTo(wire: Wire, packet: Packet, psn: number): Packet {
  const answer = wire.copy(packet);
  answer.opcode = PacketOperation.ACKNOWLEDGE;
  answer.syndrome = 0x1f;
  answer.psn = psn;
  answer.ackRequest = false;
  answer.payloadLength = 0;
  [answer.sourceGid, answer.destinationGid] = [packet.destinationGid, packet.sourceGid];
  [answer.sourceQpn, answer.destQpn] = [packet.destQpn, packet.sourceQpn];
  return answer;
}
