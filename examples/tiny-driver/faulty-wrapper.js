/**
 * The same driver with one fault: it forgets to tell the device that a memory region is gone. Everything still seems to
 * work; only a program that uses the stale key afterwards can see it. `vrdma check --driver` finds such a program.
 */
import { RdmaDriver } from 'vrdma/driver';

class ForgetfulDriver extends RdmaDriver {
  async deregMr() {}
}

export async function createDriver(context) {
  const driver = new ForgetfulDriver(context);
  await driver.start();
  return driver;
}
