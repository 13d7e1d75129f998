/** Devices that answer a command otherwise than it was carried out, one mutant for each command. */
import { Command, commands as commandCodes } from '../../../abi/index.js';
import { VerbsError } from '../../../verbs/index.js';
import { mutant } from '../mutant.js';
import type { Mutant } from '../mutant.js';
import { commands, perDevice } from '../seams/device.js';
import { at } from '../seams/overlay.js';

function named(code: Command): string {
  return (commandCodes.nameOf(code) ?? String(code)).toLowerCase().replaceAll('_', '-');
}

function title(code: Command): string {
  return commandCodes.nameOf(code) ?? String(code);
}

/** What a command that is refused without reason breaks, beside the invisibility of it all. */
const mustAccept: readonly (readonly [Command, string])[] = [
  [Command.QUERY_DEVICE, 'CTRL-27'],
  [Command.QUERY_PORT, 'CTRL-32'],
  [Command.CREATE_CQ, 'RST-22 CTRL-37'],
  [Command.DESTROY_CQ, 'CQ-34'],
  [Command.CREATE_PD, 'RST-22'],
  [Command.DESTROY_PD, 'RST-24'],
  [Command.GET_DMA_MR, 'CTRL-52'],
  [Command.REG_USER_MR, 'MEM-05'],
  [Command.DEREG_MR, 'RST-04'],
  [Command.CREATE_QP, 'RST-22'],
  [Command.MODIFY_QP, 'QP-32'],
  [Command.QUERY_QP, 'CTRL-90'],
  [Command.DESTROY_QP, 'QP-10'],
  [Command.CREATE_AH, 'CTRL-98'],
  [Command.DESTROY_AH, 'RST-04'],
  [Command.ADD_GID, 'CTRL-109'],
  [Command.DEL_GID, 'CTRL-108'],
  [Command.REQ_NOTIFY_CQ, 'CQ-34'],
];

/** From the second on, so that a driver starts. */
const refusedWithoutReason = mustAccept.map(([code, breaks]) =>
  mutant(
    'device',
    `${named(code)}-refused-the-second-time`,
    { chapter: 'control', breaks: `OVR-10 ${breaks}` },
    `The second ${title(code)} is refused, whatever it says.`,
    commands(({ run }) => {
      const second = at(2);
      return { run: (...parts) => !second() && run(...parts) };
    }, code),
  ),
);

const changing: readonly (readonly [Command, string])[] = [
  [Command.CREATE_CQ, 'RST-25'],
  [Command.DESTROY_CQ, ''],
  [Command.CREATE_PD, 'RST-25'],
  [Command.DESTROY_PD, ''],
  [Command.GET_DMA_MR, 'RST-25'],
  [Command.REG_USER_MR, 'RST-25'],
  [Command.DEREG_MR, ''],
  [Command.CREATE_QP, 'RST-25'],
  [Command.MODIFY_QP, 'QP-30'],
  [Command.DESTROY_QP, ''],
  [Command.CREATE_AH, 'RST-25'],
  [Command.DESTROY_AH, ''],
  [Command.ADD_GID, ''],
  [Command.DEL_GID, ''],
  [Command.REQ_NOTIFY_CQ, ''],
];

const doneAndRefused = changing.map(([code, breaks]) =>
  mutant(
    'device',
    `${named(code)}-done-and-refused`,
    { chapter: 'control', breaks: `CTRL-14 CTRL-01 ${breaks}`.trim() },
    `The third ${title(code)} is carried out and answered with ack 1.`,
    commands(({ run }) => {
      const third = at(3);
      return {
        run(...parts) {
          const done = run(...parts);
          return done && !third();
        },
      };
    }, code),
  ),
);

const silentlyLeftOut: readonly (readonly [Command, string, Mutant['chapter']])[] = [
  [Command.DESTROY_CQ, 'RST-12 RST-24', 'leaks'],
  [Command.DESTROY_PD, 'RST-24', 'leaks'],
  [Command.DEREG_MR, 'RST-16 RST-24', 'leaks'],
  [Command.MODIFY_QP, 'QP-33', 'queue pair states and masks'],
  [Command.DESTROY_QP, 'QP-42 QP-11 RST-07', 'leaks'],
  [Command.DESTROY_AH, 'RST-24 RST-19', 'leaks'],
  [Command.ADD_GID, 'CTRL-105', 'control'],
  [Command.DEL_GID, 'RST-20', 'stale state'],
  [Command.REQ_NOTIFY_CQ, 'CQ-36', 'notification races'],
];

const answeredAndNotDone = silentlyLeftOut.map(([code, breaks, chapter]) =>
  mutant(
    'device',
    `${named(code)}-answered-and-not-done`,
    { chapter, breaks: `CTRL-01 ORD-17 ${breaks}` },
    `${title(code)} that names what is there is answered OK and not carried out.`,
    commands(() => ({ run: () => true }), code),
  ),
);

/** The answer comes before the effect: a step of the device lies between. */
const late: readonly (readonly [Command, string, Mutant['chapter']])[] = [
  [Command.DEREG_MR, 'RST-16', 'stale state'],
  [Command.MODIFY_QP, 'QP-33 ORD-18', 'ordering'],
  [Command.DESTROY_QP, 'QP-11 QP-42 RST-08', 'stale state'],
  [Command.REQ_NOTIFY_CQ, 'CQ-36 CTRL-43', 'notification races'],
  [Command.DESTROY_AH, 'RST-24', 'stale state'],
  [Command.DEL_GID, 'RST-20', 'stale state'],
  [Command.ADD_GID, 'ORD-18', 'ordering'],
];

const answeredTooSoon = late.map(([code, breaks, chapter]) =>
  mutant(
    'device',
    `${named(code)}-answered-too-soon`,
    { chapter, breaks: `ORD-17 ${breaks}`, needs: 'race' },
    `${title(code)} is answered OK one microsecond before it takes effect.`,
    perDevice(({ scheduler }) =>
      commands(
        ({ run, requestBytes }) => ({
          run(objects, request, result, pages) {
            const bytes = new Uint8Array(request.byteLength);
            bytes.set(new Uint8Array(request.buffer, request.byteOffset, requestBytes));
            const copy = new DataView(bytes.buffer);
            const go = (): void => {
              try {
                run(objects, copy, new DataView(new ArrayBuffer(result.byteLength)), pages);
              } catch (error) {
                if (!(error instanceof VerbsError)) throw error;
              }
            };
            scheduler.schedule(1000, { run: go }, 'timer');
            return true;
          },
        }),
        code,
      ),
    ),
  ),
);

export const commandEffectMutants: readonly Mutant[] = [
  ...refusedWithoutReason,
  ...doneAndRefused,
  ...answeredAndNotDone,
  ...answeredTooSoon,
];
