/**
 * Requirements that no case can ask for from outside, each with the reason and with what looks at it all the same. `vrdma spec`
 * fails when a requirement has neither a case nor a line here, and when one that stands here has a case after all.
 */
const BYTES_OF_A_FRAME =
  'A driver or a device is asked for through verbs and rings, where no frame has bytes; `vrdma wire` and `test/interop` look at the frames of adapters.';

export const unasked: Readonly<Record<string, string>> = {
  'DATA-84': BYTES_OF_A_FRAME,
  'DATA-85': BYTES_OF_A_FRAME,
  'DATA-86': BYTES_OF_A_FRAME,
};
