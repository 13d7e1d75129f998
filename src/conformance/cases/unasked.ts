/**
 * Requirements that no case can ask for from outside, each with the reason and with what looks at it all the same. `vrdma spec`
 * fails when a requirement has neither a case nor a line here, and when one that stands here has a case after all.
 */
export const unasked: Readonly<Record<string, string>> = {
  'CONF-08':
    'Nothing outside a device makes a field of its configuration change; `test/virtio` changes one inside the bundled device.',
  'CONF-09':
    'Nothing outside a device makes a field of its configuration change; `test/virtio` changes one inside the bundled device.',
  'RST-38': 'The verbs have no call that resets the device; `test/driver` resets it under pending verbs.',
};
