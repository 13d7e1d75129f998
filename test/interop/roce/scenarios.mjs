/**
 * What two soft-RoCE guests are made to do, what the cable does to their frames, and what must come of it. A scenario is a program that runs
 * in both guests; `fault` names the frame that something happens to.
 */

const PINGPONG_PORT = 18515;

const isRequest = frame => frame.operation <= 0x0c || frame.operation === 0x13 || frame.operation === 0x14;
const isAck = frame => frame.operation === 0x11 && frame.syndrome === 0x1f;
const isGapNak = frame => frame.operation === 0x11 && frame.syndrome === 0x60;
const isNotReady = frame => frame.operation === 0x11 && frame.syndrome >>> 5 === 1;
const SEND_MIDDLE = 0x01;
const SEND_LAST = 0x02;
const WRITE_MIDDLE = 0x07;
const READ_REQUEST = 0x0c;
const READ_RESPONSE_MIDDLE = 0x0e;
const UC = 0x20;

/** @typedef {{ side: number, operation: number, transport: number, psn: number, syndrome: number, msn: number, dmaLength: number, virtualAddress: number, fate: string }} Seen */

function must(holds, what) {
  if (!holds) throw new Error(what);
}

/** The frames behind the one that the fault struck, and that one. */
function struck(seen) {
  const at = seen.findIndex(frame => frame.fate !== 'pass');
  must(at >= 0, 'the fault struck no frame');
  return { hit: seen[at], after: seen.slice(at + 1) };
}

/** [DATA-75] A packet that is missing is asked for once, and [DATA-61] comes again. */
function askedForAndSentAgain(seen) {
  const { hit, after } = struck(seen);
  const naks = after.filter(frame => isGapNak(frame) && frame.side !== hit.side && frame.psn === hit.psn);
  must(naks.length === 1, `${naks.length} sequence errors for psn ${hit.psn}, expected 1`);
  // A requester whose time has run out goes back before it is asked.
  const again = after.some(frame => frame.side === hit.side && isRequest(frame) && frame.psn === hit.psn);
  must(again, `psn ${hit.psn} was not sent again`);
}

/** [DATA-77, DATA-60] What was carried out is acknowledged again, and counted once. */
function acknowledgedAgain(seen) {
  const { hit, after } = struck(seen);
  const acks = after.filter(frame => isAck(frame) && frame.side !== hit.side && frame.psn === hit.psn);
  must(acks.length >= 2, `${acks.length} acknowledgements of psn ${hit.psn}, expected 2 or more`);
  must(new Set(acks.map(({ msn }) => msn)).size === 1, 'the same message was counted twice');
}

/** A lost acknowledgement: the requester sends again, the responder acknowledges again. */
function sentAndAcknowledgedAgain(seen) {
  const { hit, after } = struck(seen);
  must(isAck(hit), 'the fault struck no acknowledgement');
  const again = after.findIndex(
    frame => frame.side !== hit.side && isRequest(frame) && frame.psn === hit.psn,
  );
  const later = after.findIndex(frame => isAck(frame) && frame.side === hit.side && frame.psn !== hit.psn);
  // The next acknowledgement vouches for this packet too, if it comes before the time-out.
  must(again >= 0 || later >= 0, `psn ${hit.psn} was neither sent again nor acknowledged with a later one`);
  const acks = after.filter(frame => isAck(frame) && frame.side === hit.side && frame.psn === hit.psn);
  must(
    acks.every(({ msn }) => msn === hit.msn),
    'the same message was counted twice',
  );
}

/** [DATA-80] A READ of which a response is missing is asked for from there on. */
function readFromTheMissingOneOn(seen) {
  const { hit, after } = struck(seen);
  const first = seen.find(
    frame => frame.operation === READ_REQUEST && ((hit.psn - frame.psn) & 0xff_ffff) < 64,
  );
  must(first !== undefined, 'no READ belongs to the response');
  const again = after.find(
    frame => frame.side !== hit.side && frame.operation === READ_REQUEST && frame.psn === hit.psn,
  );
  const response = after.findIndex(frame => frame.side === hit.side && frame.psn === hit.psn);
  must(response >= 0, `the response with psn ${hit.psn} was not sent again`);
  // A READ that had gone again as a whole before, for want of time, brings the response too.
  if (again === undefined) return;
  const skipped = again.virtualAddress - first.virtualAddress;
  must(
    skipped > 0 && again.dmaLength === first.dmaLength - skipped,
    'the READ does not ask for the rest alone',
  );
}

/**
 * The n-th matching frame whose number is new. A busy machine makes the guests' timers run out and packets go again; what happens to
 * such a repetition has no consequence.
 */
const nth = (count, matches) => {
  let left = count;
  const known = new Set();
  return frame => {
    if (!matches(frame)) return false;
    const name = `${frame.side} ${frame.psn}`;
    if (known.has(name)) return false;
    known.add(name);
    return --left === 0;
  };
};
const fromClient = matches => frame => frame.side === 1 && matches(frame);
const rcPingpong = 'ibv_rc_pingpong -d rxe0 -g 1 -n 6 -s 3000 -c';
/**
 * `-u 20`: a time-out of 4.3 s. With the usual 67 ms a busy machine makes packets go again that nobody has lost, and then rxe may
 * break a message: docs/findings.md, RXE-6.
 */
const perftest = (program, options) => `${program} -d rxe0 -x 1 -F -u 20 ${options}`;

/**
 * @typedef {object} Scenario
 * @property {string} id
 * @property {string} doc
 * @property {string} command
 * @property {number} port
 * @property {'drop' | 'corrupt' | 'duplicate' | 'hold'} [action] what is done to the frame
 * @property {() => (frame: Seen) => boolean} [fault] picks the frame, once a run
 * @property {(seen: Seen[]) => void} [expect] throws when something else came of it
 * @property {string[]} [known] events of findings that are known, docs/findings.md
 */

/** @type {Scenario[]} */
export const scenarios = [
  ...[
    ['rc-pingpong', 'ibv_rc_pingpong -d rxe0 -g 1 -n 10 -s 3000 -c'],
    ['rc-pingpong-ipv6', 'ibv_rc_pingpong -d rxe0 -g 0 -n 5 -s 3000 -c'],
    ['rc-pingpong-mtu-256', 'ibv_rc_pingpong -d rxe0 -g 1 -n 5 -s 2000 -m 256 -c'],
    ['uc-pingpong', 'ibv_uc_pingpong -d rxe0 -g 1 -n 10 -s 3000'],
    ['ud-pingpong', 'ibv_ud_pingpong -d rxe0 -g 1 -n 10 -s 700'],
    ['send-bw', perftest('ib_send_bw', '-n 10 -s 5000 -m 512')],
    ['send-bw-uc', perftest('ib_send_bw', '-c UC -n 10 -s 3000 -m 512')],
    ['write-bw', perftest('ib_write_bw', '-n 10 -s 5000 -m 512')],
    ['read-bw', perftest('ib_read_bw', '-n 10 -s 5000 -m 512')],
    ['atomic-bw', perftest('ib_atomic_bw', '-n 10')],
    ['write-lat', perftest('ib_write_lat', '-n 10 -s 2000')],
  ].map(([id, command]) => ({ id, doc: 'nothing is done to the frames', command, port: PINGPONG_PORT })),
  {
    id: 'not-ready',
    doc: 'a receiver with one receive is not ready now and then, and gets every message [DATA-70]',
    command: perftest('ib_send_bw', '-n 20 -s 100 -r 1 -t 16'),
    port: PINGPONG_PORT,
    expect: seen => must(seen.some(isNotReady), 'the receiver was always ready'),
  },
  {
    id: 'request-lost',
    doc: 'a lost packet is asked for once and comes again [DATA-75]',
    command: rcPingpong,
    port: PINGPONG_PORT,
    action: 'drop',
    fault: () =>
      nth(
        2,
        fromClient(frame => frame.operation === SEND_MIDDLE),
      ),
    expect: askedForAndSentAgain,
  },
  {
    id: 'request-corrupted',
    doc: 'a packet with a wrong ICRC is as good as lost [DATA-86]',
    command: rcPingpong,
    port: PINGPONG_PORT,
    action: 'corrupt',
    fault: () =>
      nth(
        2,
        fromClient(frame => frame.operation === SEND_MIDDLE),
      ),
    expect: askedForAndSentAgain,
  },
  {
    id: 'requests-reordered',
    doc: 'a packet that is overtaken is asked for [DATA-75]',
    command: rcPingpong,
    port: PINGPONG_PORT,
    action: 'hold',
    fault: () =>
      nth(
        2,
        fromClient(frame => frame.operation === SEND_MIDDLE),
      ),
    expect: askedForAndSentAgain,
  },
  {
    id: 'request-doubled',
    doc: 'a packet that comes twice is acknowledged twice and carried out once [DATA-77]',
    command: rcPingpong,
    port: PINGPONG_PORT,
    action: 'duplicate',
    fault: () =>
      nth(
        2,
        fromClient(frame => frame.operation === SEND_LAST),
      ),
    expect: acknowledgedAgain,
  },
  {
    id: 'acknowledgement-lost',
    doc: 'a message whose acknowledgement is lost is sent again and carried out once [DATA-60]',
    command: rcPingpong,
    port: PINGPONG_PORT,
    action: 'drop',
    fault: () => nth(2, frame => frame.side === 0 && isAck(frame)),
    expect: sentAndAcknowledgedAgain,
  },
  {
    id: 'acknowledgement-corrupted',
    doc: 'the same for one with a wrong ICRC [DATA-86]',
    command: rcPingpong,
    port: PINGPONG_PORT,
    action: 'corrupt',
    fault: () => nth(2, frame => frame.side === 0 && isAck(frame)),
    expect: sentAndAcknowledgedAgain,
  },
  {
    id: 'read-response-lost',
    doc: 'a READ goes again from the first response that is missing [DATA-80]',
    command: perftest('ib_read_bw', '-n 5 -s 5000 -m 512'),
    port: PINGPONG_PORT,
    action: 'drop',
    fault: () => nth(3, frame => frame.operation === READ_RESPONSE_MIDDLE),
    expect: readFromTheMissingOneOn,
  },
  {
    id: 'uc-packet-doubled',
    doc: 'a UC packet that comes twice is dropped in silence, and the rest goes on [DATA-58]',
    command: 'ibv_uc_pingpong -d rxe0 -g 1 -n 6 -s 3000',
    port: PINGPONG_PORT,
    action: 'duplicate',
    fault: () =>
      nth(
        2,
        fromClient(frame => frame.operation === SEND_LAST),
      ),
    expect: seen => must(struck(seen).after.length > 0, 'nothing came behind the doubled packet'),
  },
  {
    id: 'uc-write-lost',
    doc: 'a UC write of which a packet is lost completes all the same, and nobody asks for it [DATA-56, DATA-57]',
    command: perftest('ib_write_bw', '-c UC -n 10 -s 3000 -m 512'),
    port: PINGPONG_PORT,
    action: 'drop',
    fault: () =>
      nth(
        3,
        fromClient(frame => frame.operation === WRITE_MIDDLE),
      ),
    expect(seen) {
      const { after } = struck(seen);
      must(after.length > 0, 'nothing came behind the lost packet');
      must(
        seen.every(frame => frame.transport === UC),
        'somebody answered',
      );
    },
  },
  {
    id: 'cable-cut',
    doc: 'a requester whose packets are lost twelve times over has spent every retry_cnt [DATA-81]',
    command: rcPingpong,
    port: PINGPONG_PORT,
    action: 'drop',
    fault: () => {
      let left = 36;
      let begun = 0;
      return frame => {
        if (frame.side !== 1 || !isRequest(frame)) return false;
        if (begun++ < 3) return false;
        return left-- > 0;
      };
    },
    known: ['TOO_OFTEN'],
  },
];
