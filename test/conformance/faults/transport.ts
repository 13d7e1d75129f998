/** Faults of what carries notifications and interrupts. */
import { bundledDriver } from '../../../src/conformance/bundled.js';
import { every, transportFault } from './fault.js';
import type { Fault } from './fault.js';

export const transportFaults: readonly Fault[] = [
  {
    name: 'kick lost',
    where: 'transport',
    description: 'Every third available-buffer notification is lost.',
    implementation: transportFault(inner => {
      const due = every(3);
      return {
        notify(index) {
          if (!due()) inner.notify(index);
        },
      };
    }),
  },
  {
    name: 'kick to the next queue',
    where: 'transport',
    description: 'Every fourth available-buffer notification names the queue behind the right one.',
    implementation: transportFault(inner => {
      const due = every(4);
      return { notify: index => inner.notify(due() ? index + 1 : index) };
    }),
  },
  {
    name: 'interrupt lost',
    where: 'transport',
    description: 'Every fifth interrupt is lost.',
    implementation: transportFault(inner => {
      const due = every(5);
      return {
        onInterrupt: handler =>
          inner.onInterrupt(source => {
            if (!due()) handler(source);
          }),
      };
    }),
  },
  {
    name: 'completion interrupts masked',
    where: 'transport',
    description: 'Interrupts of completion virtqueues do not reach the driver.',
    implementation: transportFault(inner => ({
      onInterrupt: handler =>
        inner.onInterrupt(source => {
          if (source === 'config' || source <= 2) handler(source);
        }),
    })),
    expectedLaws: ['no wake-up is lost', 'para-virtualisation is invisible'],
  },
  {
    name: 'no ACKNOWLEDGE',
    where: 'transport',
    description: 'The driver goes straight to DRIVER.',
    implementation: {
      reports: true,
      driver: context => {
        const { transport } = context;
        transport.writeStatus(2);
        return bundledDriver(context);
      },
    },
    expectedLaws: ['machine DEVICE_STATUS'],
  },
];
