/**
 * Requirements that no mutant breaks, each with the reason. A permission (MAY) needs none. `vrdma spec` fails when a sentence
 * is neither broken by a mutant nor argued here, and when one stands here that a mutant does break.
 */
export const argued: Readonly<Record<string, string>> = {};
