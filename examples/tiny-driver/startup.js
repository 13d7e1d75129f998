/** From reset to features that are agreed on, step by step as in section 2.3 of the specification. */
import { pathMtuBytes } from 'vrdma/abi';
import { VerbsError } from 'vrdma/verbs';

export const Status = {
  ACKNOWLEDGE: 1,
  DRIVER: 2,
  DRIVER_OK: 4,
  FEATURES_OK: 8,
  NEEDS_RESET: 64,
  FAILED: 128,
};
const VERSION_1 = 1n << 32n;
const PAIRS_MAX = 16384;

/** Sets one more bit of the device status. */
export function setStatus(transport, bit) {
  transport.writeStatus(transport.readStatus() | bit);
}

/** Accepts what RDMA needs and nothing else. Returns the limits that the virtqueues depend on, and the MTU. */
export function negotiate({ transport, profile }) {
  transport.writeStatus(0);
  while (transport.readStatus() !== 0);
  setStatus(transport, Status.ACKNOWLEDGE);
  setStatus(transport, Status.DRIVER);
  const features = profile.features.reduce((bits, { bit }) => bits | (1n << BigInt(bit)), VERSION_1);
  insist(
    (transport.deviceFeatures & features) === features,
    transport,
    'a feature that RDMA needs is missing',
  );
  transport.setDriverFeatures(features);
  setStatus(transport, Status.FEATURES_OK);
  const agreed = (transport.readStatus() & Status.FEATURES_OK) !== 0;
  insist(agreed, transport, 'the device does not accept the features');
  const { max_rdma_qps: qps, max_rdma_cqs: cqs, mtu } = readConfig(transport, profile.config);
  const inRange = [qps, cqs].every(count => count >= 1 && count <= PAIRS_MAX);
  insist(inRange, transport, 'the configuration is short or out of range');
  return { qps, cqs, activeMtu: activeMtu(mtu) };
}

/** Gives the device up unless `condition` holds [FEAT-07, FEAT-23, CONF-05]. */
function insist(condition, transport, detail) {
  if (condition) return;
  setStatus(transport, Status.FAILED);
  throw new VerbsError('ENODEV', 'createDriver', detail);
}

/** The configuration, read between two equal generations [CONF-10]; empty when it is too short. */
function readConfig(transport, layout) {
  for (;;) {
    const before = transport.configGeneration;
    const view = transport.readConfig();
    if (view.byteLength < layout.size) return {};
    const config = layout.decode(view, 0);
    if (transport.configGeneration === before) return config;
  }
}

/** The largest path MTU code that fits the Ethernet MTU together with 96 bytes of headers. */
function activeMtu(ethernetMtu) {
  return [5, 4, 3, 2].find(code => pathMtuBytes(code) + 96 <= ethernetMtu) ?? 1;
}
