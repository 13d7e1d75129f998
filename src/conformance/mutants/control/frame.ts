/** Devices that are wrong about the frame of a command: its class, its code, its lengths, its ack, its used length. */
import { Ack, Command, profiles } from '../../../abi/index.js';
import { commandHandler } from '../../../device/index.js';
import { Descriptor, DescriptorFlag, Used } from '../../../virtio/index.js';
import { bundledDevice } from '../../bundled.js';
import { mutant } from '../mutant.js';
import type { Mutant } from '../mutant.js';
import { commandTable, commands, deviceBytes, deviceRings, perDevice } from '../seams/device.js';
import { every, from, overlay } from '../seams/overlay.js';
import { isElement } from '../seams/rings.js';

const codes = Object.values(Command);
const control = (breaks: string) => ({ chapter: 'control', breaks }) as const;

export const commandFrameMutants: readonly Mutant[] = [
  mutant(
    'device',
    'any-class',
    control('CTRL-06'),
    'A command of any class is taken for one of the own class.',
    deviceBytes(({ profile }) => ({
      header(bytes) {
        bytes[0] = profile.controlClass;
      },
    })),
  ),
  mutant(
    'device',
    'class-of-the-other-profile',
    control('CTRL-06'),
    'A command of the class of the other profile is carried out.',
    deviceBytes(({ profile }) => ({
      header(bytes) {
        const other = Object.values(profiles).find(({ name }) => name !== profile.name);
        if (bytes[0] === other?.controlClass) bytes[0] = profile.controlClass;
      },
    })),
  ),
  mutant(
    'device',
    'unknown-code-is-ok',
    control('CTRL-07'),
    'A command with an unknown code is answered OK.',
    commandTable(
      () => code =>
        commandHandler(code) ?? { requestBytes: 0, resultBytes: 0, run: () => code > Command.REQ_NOTIFY_CQ },
    ),
  ),
  mutant(
    'device',
    'code-behind-the-last-is-the-last',
    control('CTRL-07'),
    'The code behind the last one is taken for QUERY_DEVICE.',
    commandTable(
      () => code => commandHandler(code === Command.REQ_NOTIFY_CQ + 1 ? Command.QUERY_DEVICE : code),
    ),
  ),
  mutant(
    'device',
    'half-a-header',
    { chapter: 'lengths', breaks: 'CTRL-08 ISO-08' },
    'A readable part of one byte is read as if it had two.',
    deviceRings((window, area, { kind }) =>
      area !== 'descriptors' || kind !== 'control'
        ? {}
        : {
            get32(offset) {
              const length = window.get32(offset);
              const flags = window.get16(offset - Descriptor.LEN + Descriptor.FLAGS);
              const alone =
                offset % Descriptor.SIZE === Descriptor.LEN && (flags & DescriptorFlag.WRITE) === 0;
              return alone && length === 1 ? 2 : length;
            },
          },
    ),
  ),
  mutant(
    'device',
    'data-one-byte-short',
    { chapter: 'lengths', breaks: 'CTRL-09' },
    'The last byte of a command may be missing.',
    commands(({ requestBytes }) => ({ requestBytes: Math.max(0, requestBytes - 1) }), ...codes),
  ),
  mutant(
    'device',
    'answer-without-room',
    { chapter: 'lengths', breaks: 'CTRL-10 CTRL-02 VQ-37' },
    'A result that does not fit is cut off, and its command carried out.',
    commands(
      ({ resultBytes, run }) => {
        let done = false;
        return {
          get resultBytes() {
            return done ? resultBytes : 0;
          },
          run(...parts) {
            done = run(...parts);
            return done;
          },
        };
      },
      Command.CREATE_PD,
      Command.CREATE_CQ,
      Command.QUERY_PORT,
    ),
  ),
  mutant(
    'device',
    'bytes-behind-the-data-refused',
    { chapter: 'lengths', breaks: 'CTRL-11' },
    'A command with more readable bytes than its struct is refused.',
    commands(
      ({ run }) => ({
        run: (objects, request, result, pages) => pages.count === 0 && run(objects, request, result, pages),
      }),
      ...codes.filter(code => code !== Command.REG_USER_MR),
    ),
  ),
  mutant(
    'device',
    'ack-of-a-refusal-is-ok',
    control('CTRL-03 CTRL-04 ORD-17'),
    'A refused command is answered with ack 0.',
    deviceBytes(() => ({
      answer(bytes, offset) {
        if (offset === 0 && bytes.length === 1) bytes[0] = Ack.OK;
      },
    })),
  ),
  mutant(
    'device',
    'ack-is-255',
    control('CTRL-03'),
    'A refused command is answered with ack 255.',
    deviceBytes(() => ({
      answer(bytes, offset) {
        if (offset === 0 && bytes[0] === Ack.ERR) bytes[0] = 255;
      },
    })),
  ),
  mutant(
    'device',
    'byte-behind-the-answer-zeroed',
    { chapter: 'lengths', breaks: 'CTRL-12 ISO-08 VQ-58' },
    'The byte behind each answer is set to zero.',
    deviceBytes(() => ({
      accessed(kind, address, length, memory) {
        if (kind === 'write' && length < 48) memory.write(address + length, new Uint8Array(1), 0, 1);
      },
    })),
  ),
  mutant(
    'device',
    'used-length-of-an-answer-is-of-the-buffer',
    { chapter: 'lengths', breaks: 'CTRL-04 CTRL-03' },
    'A refused command comes back with a used length of 2.',
    deviceRings((window, area, { kind, size }) =>
      area !== 'used' || kind !== 'control'
        ? {}
        : {
            set32: (offset, value) =>
              window.set32(offset, isElement(offset, Used.LEN, size) && value === 1 ? 2 : value),
          },
    ),
  ),
  mutant(
    'device',
    'used-length-of-an-answer-is-one',
    { chapter: 'lengths', breaks: 'CTRL-02' },
    'Every command comes back with a used length of 1.',
    deviceRings((window, area, { kind, size }) =>
      area !== 'used' || kind !== 'control'
        ? {}
        : {
            set32: (offset, value) =>
              window.set32(offset, isElement(offset, Used.LEN, size) ? Math.min(value, 1) : value),
          },
    ),
  ),
  mutant(
    'device',
    'used-length-of-nothing-is-one',
    { chapter: 'lengths', breaks: 'CTRL-05 VQ-38 VQ-37' },
    'A command without a writable byte comes back with a used length of 1.',
    deviceRings((window, area, { kind, size }) =>
      area !== 'used' || kind !== 'control'
        ? {}
        : {
            set32: (offset, value) =>
              window.set32(offset, isElement(offset, Used.LEN, size) && value === 0 ? 1 : value),
          },
    ),
  ),
  mutant(
    'device',
    'nothing-after-a-refusal',
    control('CTRL-16'),
    'From the second refusal on every command is refused.',
    perDevice(() => {
      const many = from(2);
      let gone = false;
      return commands(
        ({ run }) => ({
          run(...parts) {
            const done = !gone && run(...parts);
            if (!done && many()) gone = true;
            return done;
          },
        }),
        ...codes,
      );
    }),
  ),
  mutant(
    'device',
    'command-read-twice',
    { chapter: 'control', breaks: 'CTRL-15', needs: 'race' },
    'The data of a command is read once to be judged and once more to be carried out.',
    perDevice(({ memory }) => {
      let last: { address: number; target: Uint8Array; length: number } | undefined;
      const { device } = commands(
        ({ run }) => ({
          run(objects, request, result, pages) {
            if (last?.target.buffer === request.buffer)
              memory.read(last.address, last.target, 0, last.length);
            return run(objects, request, result, pages);
          },
        }),
        ...codes.filter(code => code !== Command.REG_USER_MR),
      );
      return {
        device: context =>
          (device ?? bundledDevice)({
            ...context,
            memory: overlay(memory, {
              read(address, target, to, length) {
                if (to === 0) last = { address, target, length };
                return memory.read(address, target, to, length);
              },
            }),
          }),
      };
    }),
  ),
  mutant(
    'device',
    'every-ninth-command-refused',
    { chapter: 'control', breaks: 'OVR-10 RST-22', needs: 'history' },
    'Every ninth command is refused, whatever it is.',
    commandTable(() => {
      const due = every(9);
      return code => {
        const inner = commandHandler(code);
        return inner && { ...inner, run: (...parts) => !due() && inner.run(...parts) };
      };
    }),
  ),
];
