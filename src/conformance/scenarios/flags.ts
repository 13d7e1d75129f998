/** Flags of requests: what each means with the others and on each service; and a read where none is allowed. */
import { IN, OUT } from './guest.js';
import { scenario } from './scenario.js';
import type { Scenario } from './scenario.js';

/** Fence, signaled, solicited and inline, in every set of them. */
const sets = Array.from({ length: 16 }, (_, bits) => ({
  fence: (bits & 1) !== 0,
  signaled: (bits & 2) !== 0,
  solicited: (bits & 4) !== 0,
  inline: (bits & 8) !== 0,
}));

const BYTES = 32;

export const flagScenarios: readonly Scenario[] = [
  scenario(
    'DATA/flags/every-set',
    'In each set of flags a send is signaled, solicited and inline exactly as its own bits say.',
    { requirements: ['DATA-08', 'DATA-36', 'CQ-41'] },
    script => {
      const [near, far] = script.pair('RC');
      let events = 0;
      for (const { inline, ...flags } of sets) {
        near.guest.fill(OUT, BYTES, 5);
        far.recv({ bytes: BYTES });
        far.guest.arm(far.recvCq, true);
        const wr = near.send(inline ? { inline: BYTES, ...flags } : { bytes: BYTES, ...flags });
        if (flags.signaled) near.sent();
        else near.sends();
        if (flags.solicited) events++;
        far.guest.events(far.recvCq, events, [far.receiveOutcome(BYTES)]);
        far.guest.holds(IN, BYTES, inline ? wr : 5);
      }
      near.send();
      far.recv();
      near.sent();
    },
  ),
  ...(['UC', 'UD', 'GSI'] as const).map(type =>
    scenario(
      `DATA/flags/${type.toLowerCase()}-fence`,
      `On ${type}, which has no reads, a fenced send goes like any other.`,
      { requirements: ['DATA-10', 'DATA-08'] },
      script => {
        const [near, far] = script.pair(type);
        near.guest.fill(OUT, BYTES, 6);
        far.recv({ bytes: BYTES, times: 3 });
        near.post([
          near.sendOf({ bytes: BYTES }),
          near.sendOf({ bytes: BYTES, fence: true }),
          near.sendOf({ bytes: BYTES, fence: true, imm: 7 }),
        ]);
        near.sent(3);
        far.receives(BYTES, BYTES, { bytes: BYTES, imm: 7 });
      },
    ),
  ),
  scenario(
    'DATA/read/without-depth',
    'A read that waits in SQD while max_rd_atomic becomes 0 completes with an error at its turn, and what is behind it is flushed.',
    { requirements: ['DATA-19', 'DATA-20', 'CQ-20', 'QP-48'] },
    script => {
      const [near, far] = script.pair('RC');
      near.modify({ state: 'SQD' });
      near.send({ bytes: BYTES });
      near.read({ bytes: BYTES });
      near.send({ bytes: BYTES });
      far.recv({ bytes: BYTES, times: 2 });
      near.modify({ state: 'SQD', maxRdAtomic: 0 });
      near.modify({ state: 'RTS' });
      near.sends('SUCCESS', 'LOC_QP_OP_ERR', 'WR_FLUSH_ERR');
      near.is('ERR');
      far.received(BYTES);
    },
  ),
];
