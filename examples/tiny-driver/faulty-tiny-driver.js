/**
 * The tiny driver with one fault: it arms every completion queue for solicited completions only. No verb fails, and a program
 * that polls never notices. One that sleeps is not woken. `vrdma check --driver` finds the shortest such program.
 */
import { TinyDriver } from './tiny-driver.js';

class DeafDriver extends TinyDriver {
  reqNotifyCq(cq) {
    return super.reqNotifyCq(cq, true);
  }
}

export async function createDriver(context) {
  const driver = new DeafDriver(context);
  await driver.start();
  return driver;
}
