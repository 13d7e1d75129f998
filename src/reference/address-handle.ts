/** Address vectors: the peer of a connection or the target of a datagram, and what is checked about them. */
import type { AhAttributes } from '../verbs/index.js';
import type { HcaAh } from './hca.js';
import type { ProtectionDomain } from './protection-domain.js';

export class AddressHandle implements HcaAh {
  readonly kind = 'hca-ah';
  readonly pd: ProtectionDomain;
  readonly attributes: AhAttributes;
  destroyed = false;

  constructor(pd: ProtectionDomain, attributes: AhAttributes) {
    this.pd = pd;
    this.attributes = { ...attributes };
  }
}

const GID_PATTERN = /^[0-9a-f]{32}$/;
const ZERO_GID = '0'.repeat(32);

/** A GID that may stand in a table or be sent to: 32 lower-case hexadecimal digits, not all zero. */
export function validGid(gid: string): boolean {
  return GID_PATTERN.test(gid) && gid !== ZERO_GID;
}

/** What is wrong with an address vector, or undefined. `gids` is the function's GID table. */
export function faultOfAddress(
  address: AhAttributes,
  gids: readonly (string | undefined)[],
): string | undefined {
  if (!validGid(address.dgid)) return `dgid ${address.dgid} is not a GID`;
  if (gids[address.sgidIndex] === undefined) return `GID table entry ${address.sgidIndex} is empty`;
  if (!(address.flowLabel >= 0 && address.flowLabel <= 0xf_ffff))
    return 'the flow label has more than 20 bits';
  if (!(address.hopLimit >= 0 && address.hopLimit <= 255)) return 'the hop limit has more than 8 bits';
  if (!(address.trafficClass >= 0 && address.trafficClass <= 255))
    return 'the traffic class has more than 8 bits';
  return undefined;
}
