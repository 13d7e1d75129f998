/** Awaiting it lets promises move for one turn of the microtask queue. One for all, so that it costs no object. */
export const turn: Promise<void> = Promise.resolve();
