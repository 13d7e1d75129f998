/** The part of the kit that looks at the packets between hosts: small exchanges, a network that is in the case's hands, a forged peer. */
import type { ConformanceCase } from '../../cases/case.js';
import { addressCases } from './addresses.js';
import { commandCases } from './commands.js';
import { deliveryCases } from './delivery.js';
import { numberingCases } from './numbering.js';
import { requesterCases } from './requester.js';
import { responderCases } from './responder.js';

/** Cases that ask for the transport on the wire. */
export const wireCases: readonly ConformanceCase[] = [
  ...numberingCases,
  ...responderCases,
  ...requesterCases,
  ...deliveryCases,
  ...addressCases,
  ...commandCases,
];
