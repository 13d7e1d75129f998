/** How long the vhost-user back-end takes from a kick to its handler, both in one process. */
import { newEvent, onReadable, drainEvent, signalEvent } from '../dist/transports/vhost-user/descriptors.js';

const ROUNDS = 20_000;

/** Microseconds from the signal to the handler, each time from a quiet event loop. */
async function kickToHandler() {
  const event = newEvent();
  const times = [];
  let done;
  let sent = 0;
  const watch = onReadable(event, () => {
    times.push((performance.now() - sent) * 1000);
    drainEvent(event);
    done();
  });
  for (let i = 0; i < ROUNDS; i++) {
    await new Promise(resolve => {
      done = resolve;
      sent = performance.now();
      signalEvent(event);
    });
  }
  watch.close();
  return times.toSorted((a, b) => a - b);
}

const times = await kickToHandler();
const at = share => times[Math.floor(times.length * share)].toFixed(1);
console.log(`kick to handler, ${ROUNDS} times: p50 ${at(0.5)} us, p90 ${at(0.9)} us, p99 ${at(0.99)} us`);
