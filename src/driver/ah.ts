/** Address handles, and address vectors as the device reads them. */
import { Command, createAhAck, createAhCommand, destroyAhCommand } from '../abi/index.js';
import type { StructValue, ahAttr } from '../abi/index.js';
import type { AddressHandle, AhAttributes, ProtectionDomain } from '../verbs/index.js';
import { gidBytes, gidText, refuse, u32, u8 } from './checks.js';
import { structData } from './command-engine.js';
import type { DriverContext } from './context.js';
import { DriverAh, claimAh, claimPd } from './objects.js';

type AddressVector = StructValue<typeof ahAttr>;

const NO_GID = '0'.repeat(32);

/** The next hop's MAC address stays zero: the device finds the peer by its GID. */
export function encodeAddress(verb: string, attributes: AhAttributes): AddressVector {
  return {
    grh: {
      dgid: gidBytes(verb, attributes.dgid),
      flow_label: u32(verb, 'flowLabel', attributes.flowLabel),
      sgid_index: u8(verb, 'sgidIndex', attributes.sgidIndex),
      hop_limit: u8(verb, 'hopLimit', attributes.hopLimit),
      traffic_class: u8(verb, 'trafficClass', attributes.trafficClass),
    },
    dmac: new Uint8Array(6),
  };
}

/** Undefined for the address vector of nobody, GID zero. */
export function decodeAddress({ grh }: AddressVector): AhAttributes | undefined {
  const dgid = gidText(grh.dgid);
  if (dgid === NO_GID) return undefined;
  return {
    dgid,
    sgidIndex: grh.sgid_index,
    flowLabel: grh.flow_label,
    hopLimit: grh.hop_limit,
    trafficClass: grh.traffic_class,
  };
}

export async function createAh(
  context: DriverContext,
  pdHandle: ProtectionDomain,
  attributes: AhAttributes,
): Promise<DriverAh> {
  const verb = 'createAh';
  const { session, engine, ahs, limits } = context;
  const pd = claimPd(session, verb, pdHandle);
  const address = encodeAddress(verb, attributes);
  pd.users++;
  ahs.creating();
  return engine.run({
    verb,
    code: Command.CREATE_AH,
    data: structData(createAhCommand, { pdn: pd.number, ah_attr: address }),
    resultBytes: createAhAck.size,
    refused: () => {
      pd.users--;
      return ahs.refused(verb, limits.maxAh);
    },
    accept: result => {
      const number = createAhAck.decode(result, 0).ah;
      const fault = ahs.fault(number);
      if (fault !== undefined) throw session.fault(verb, fault);
      const ah = new DriverAh(pd, number);
      ahs.created(number, ah);
      return ah;
    },
  });
}

export async function destroyAh(context: DriverContext, handle: AddressHandle): Promise<void> {
  const verb = 'destroyAh';
  const ah = claimAh(context.session, verb, handle);
  ah.alive = false;
  return context.engine.run({
    verb,
    code: Command.DESTROY_AH,
    data: structData(destroyAhCommand, { pdn: ah.pd.number, ah: ah.number }),
    resultBytes: 0,
    refused: () => {
      ah.alive = true;
      return refuse(verb, 'the device refused');
    },
    accept: () => {
      context.ahs.destroyed(ah.number);
      ah.pd.users--;
    },
  });
}
