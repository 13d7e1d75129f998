/**
 * Requirements that no mutant breaks, each with the reason. A permission (MAY) needs none. `vrdma spec` fails when a sentence
 * is neither broken by a mutant nor argued here, and when one stands here that a mutant does break.
 */

const MEMORY_ORDER =
  'Both sides run in turns in one process, so no write of the other side falls between two accesses of one step; `test/virtio` makes each access a step of its own.';
const INSIDE_THE_ADAPTER =
  'Decided between the port and the queue pair of the reference adapter, where no seam reaches; `test/reference` plants packets there.';
const INSIDE_THE_DRIVER =
  "Kept in the driver's private record of what is outstanding, which no seam reaches; `test/driver` has a device that breaks it.";
const KEYS_OF_A_FUNCTION =
  'Keys and handles are objects of one function of the adapter: a device that names those of another machine finds nothing to name.';

const BYTES_OF_A_FRAME =
  'The packets of the model are records, and become bytes only where another program reads them; `test/conformance/wire` and `vrdma wire` judge the bytes.';

export const argued: Readonly<Record<string, string>> = {
  'VQ-34': MEMORY_ORDER,
  'VQ-41': MEMORY_ORDER,
  'VQ-71': MEMORY_ORDER,
  'VQ-72': MEMORY_ORDER,
  'VQ-45': INSIDE_THE_DRIVER,
  'VQ-57':
    'Reading more descriptors than a chain has changes nothing that anybody sees; that a longer chain is not taken shows in VQ-50.',
  'DATA-84': BYTES_OF_A_FRAME,
  'DATA-85': BYTES_OF_A_FRAME,
  'DATA-86': BYTES_OF_A_FRAME,
  'DATA-89':
    'The lenient reading allows it and requesters take either; `vrdma wire` notes it where it sees it.',
  'QP-20': INSIDE_THE_ADAPTER,
  'RST-11': INSIDE_THE_DRIVER,
  'RST-39': 'The verbs have no reset: a session that was reset has no object left that a program could ask.',
  'ISO-03': KEYS_OF_A_FUNCTION,
  'ISO-04': KEYS_OF_A_FUNCTION,
  'ISO-05': KEYS_OF_A_FUNCTION,
  'ISO-17': 'Every machine has a device object and a function of its own; nothing of one waits for another.',
  'ISO-18':
    'Turns are given out by the scheduler of the kit, and the tasks of a device take a bounded share by construction (PERF-20).',
  'ISO-19':
    'Memory of the host process is not seen by the kit, except that it does not grow (the leaks suite).',
  'HOST-26': INSIDE_THE_DRIVER,
  'HOST-27': INSIDE_THE_DRIVER,
  'HOST-33':
    'A driver that never comes to rest stops the kit itself; `test/cli` shows that the watchdog names it.',
  'PERF-20':
    'How much one step takes is a constant in the worker of a queue; a device that takes more shows only in time that the model does not count.',
};
