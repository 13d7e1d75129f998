/**
 * Requirements that no case can ask for from outside, each with the reason and with what looks at it all the same. `vrdma spec`
 * fails when a requirement has neither a case nor a line here, and when one that stands here has a case after all.
 */
export const unasked: Readonly<Record<string, string>> = {};
