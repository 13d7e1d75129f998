/** The requester and the responder of a queue pair, by its transport service. */
import { QpType } from '../abi/index.js';
import type { Halves } from './qp-halves.js';
import type { QueuePair } from './queue-pair.js';
import { UnreliableRequester } from './requester-unreliable.js';
import { RcRequester } from './requester.js';
import { UcResponder } from './responder-uc.js';
import { UdResponder } from './responder-ud.js';
import { RcResponder } from './responder.js';

export function halvesOf(qp: QueuePair): Halves {
  switch (qp.type) {
    case QpType.RC:
      return { requester: new RcRequester(qp), responder: new RcResponder(qp) };
    case QpType.UC:
      return { requester: new UnreliableRequester(qp), responder: new UcResponder(qp) };
    default:
      return { requester: new UnreliableRequester(qp), responder: new UdResponder(qp) };
  }
}
