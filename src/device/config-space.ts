/** The configuration space of a device, by profile. */
import { pathMtuBytes, rdmaConfig, roceConfig } from '../abi/index.js';
import type { Profile } from '../abi/index.js';
import type { PortAttributes } from '../verbs/index.js';
import type { DeviceLimits } from './context.js';

/** Bytes that RoCEv2 headers take of an Ethernet MTU at most: IP, UDP, base and extended transport headers, ICRC. */
export const ROCE_HEADER_BYTES = 96;

/** Bit 0 of the network device's status: the link is up. */
const LINK_UP = 1;

/** @param vm number of the virtual machine, 0 .. 2^24-1. */
export function configSpace(
  profile: Profile,
  limits: DeviceLimits,
  port: PortAttributes,
  vm: number,
): Uint8Array {
  const bytes = new Uint8Array(profile.config.size);
  const view = new DataView(bytes.buffer);
  const common = {
    max_rdma_qps: limits.maxQps,
    max_rdma_cqs: limits.maxCqs,
    mtu: pathMtuBytes(port.activeMtu) + ROCE_HEADER_BYTES,
  };
  if (profile.name === 'rdma') rdmaConfig.encode(view, 0, common);
  else {
    roceConfig.encode(view, 0, {
      mac: macAddress(vm),
      status: LINK_UP,
      max_virtqueue_pairs: 1,
      ...common,
    });
  }
  return bytes;
}

/** A locally administered unicast address, one for each virtual machine. */
function macAddress(vm: number): Uint8Array {
  return Uint8Array.of(0x02, 0x00, 0x00, vm >>> 16, vm >>> 8, vm);
}
