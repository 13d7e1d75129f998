/** A control command: one answer, once. */
import type { MachineDefinition } from '../definition.js';

export const commandMachine: MachineDefinition = {
  name: 'COMMAND',
  purpose:
    'A control command is taken by the device, answered once with OK or ERR, and its answer is seen by the driver as it was given. When the device is reset or breaks, the driver ends the commands that are left.',
  instance: 'one control command, from its issue on',
  initial: 'ISSUED',
  states: [
    { name: 'ISSUED', doc: 'In the control queue' },
    { name: 'TAKEN', doc: 'The device works on it' },
    { name: 'ANSWERED_OK', doc: 'It took effect; the answer is on its way' },
    { name: 'ANSWERED_ERR', doc: 'It changed nothing; the answer is on its way' },
    { name: 'RETURNED_EMPTY', doc: 'There was no room for an answer, and it changed nothing', end: true },
    { name: 'SEEN_OK', doc: 'The driver knows that it took effect', end: true },
    { name: 'SEEN_ERR', doc: 'The driver knows that it was refused', end: true },
    { name: 'ABANDONED', doc: 'Ended by a reset or a broken device', end: true },
  ],
  events: [
    { name: 'TAKE', doc: 'The device took it' },
    { name: 'ANSWER_OK', doc: 'The device answered OK' },
    { name: 'ANSWER_ERR', doc: 'The device answered ERR' },
    {
      name: 'RETURN_EMPTY',
      doc: 'The device returned its chain without an answer, which had no writable byte',
    },
    { name: 'SEE_OK', doc: 'The driver took the answer OK' },
    { name: 'SEE_ERR', doc: 'The driver took the answer ERR' },
    { name: 'ABANDON', doc: 'The driver ended it: the device was reset or broke a rule' },
  ],
  transitions: [
    { from: 'ISSUED', event: 'TAKE', to: 'TAKEN', requirement: 'ORD-16' },
    { from: 'TAKEN', event: 'ANSWER_OK', to: 'ANSWERED_OK', requirement: 'CTRL-01' },
    { from: 'TAKEN', event: 'ANSWER_ERR', to: 'ANSWERED_ERR', requirement: 'CTRL-03' },
    { from: 'TAKEN', event: 'RETURN_EMPTY', to: 'RETURNED_EMPTY', requirement: 'CTRL-05' },
    { from: 'ANSWERED_OK', event: 'SEE_OK', to: 'SEEN_OK', requirement: 'ERR-07' },
    { from: 'ANSWERED_ERR', event: 'SEE_ERR', to: 'SEEN_ERR', requirement: 'ERR-07' },
    ...['ISSUED', 'TAKEN', 'ANSWERED_OK', 'ANSWERED_ERR', 'RETURNED_EMPTY'].map(from => ({
      from,
      event: 'ABANDON',
      to: 'ABANDONED',
      requirement: 'ERR-25',
    })),
  ],
  forbidden: [
    { from: 'ANSWERED_OK', event: 'ANSWER_OK', requirement: 'VQ-35' },
    { from: 'ANSWERED_OK', event: 'ANSWER_ERR', requirement: 'VQ-35' },
    { from: 'ANSWERED_ERR', event: 'ANSWER_OK', requirement: 'VQ-35' },
    { from: 'ANSWERED_ERR', event: 'ANSWER_ERR', requirement: 'VQ-35' },
    { from: 'RETURNED_EMPTY', event: 'SEE_OK', requirement: 'HOST-10' },
    { from: 'RETURNED_EMPTY', event: 'SEE_ERR', requirement: 'HOST-10' },
    { from: 'ANSWERED_ERR', event: 'SEE_OK', requirement: 'ERR-07' },
    { from: 'ANSWERED_OK', event: 'SEE_ERR', requirement: 'ERR-07' },
  ],
  endRequirement: 'ERR-07',
};
