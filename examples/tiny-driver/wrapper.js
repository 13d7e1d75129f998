/**
 * The smallest driver that the kit can judge: the bundled one, behind the factory that `vrdma check --driver` looks for.
 * A driver of your own takes the same context and returns anything that implements `Verbs`.
 */
import { RdmaDriver } from 'vrdma/driver';

export async function createDriver(context) {
  const driver = new RdmaDriver(context);
  await driver.start();
  return driver;
}
