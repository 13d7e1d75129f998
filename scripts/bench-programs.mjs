/** The program of steady traffic: one pair of RC queue pairs on two hosts, sends, writes and reads of a few hundred bytes. */

const cap = { sendWr: 16, recvWr: 16, sendSge: 2, recvSge: 2, inline: 64 };

export function trafficProgram(mode, seed, calls) {
  const ends = [0, 1];
  const actions = [
    ...ends.flatMap(vm => objects(vm)),
    ...ends.flatMap(vm => connect(vm)),
    ...Array.from({ length: Math.ceil(calls / 12) }, (_, i) => exchange(i % 2)).flat(),
  ];
  return {
    version: 1,
    mode,
    hosts: [0, 1],
    arenaBytes: 16_384,
    indirect: true,
    eventIdx: true,
    faults: { drop: 0, duplicate: 0, reorder: 0 },
    seed: 4 * seed + 1,
    choices: { list: [], only: mode === 'settled' },
    actions,
  };
}

function objects(vm) {
  return [
    { op: 'addGid', vm, index: 0, gid: 0 },
    { op: 'createPd', vm, as: 'pd0' },
    { op: 'createCq', vm, as: 'cq0', cqe: 64 },
    { op: 'regMr', vm, as: 'mr0', pd: 'pd0', at: 0, length: 16_384, access: 7 },
    { op: 'createQp', vm, as: 'qp0', pd: 'pd0', type: 'RC', sendCq: 'cq0', recvCq: 'cq0', cap },
  ];
}

function connect(vm) {
  const peer = 1 - vm;
  const rtr = { pathMtu: 1, dest: { vm: peer, qp: 'qp0' }, rqPsn: 5, to: { vm: peer, gid: 0 } };
  const rts = { sqPsn: 5, timeout: 8, retryCnt: 3, rnrRetry: 7, maxRdAtomic: 3 };
  return [
    { op: 'modifyQp', vm, qp: 'qp0', set: { state: 'INIT', access: 7 } },
    { op: 'modifyQp', vm, qp: 'qp0', set: { state: 'RTR', ...rtr, maxDestRdAtomic: 4, minRnrTimer: 1 } },
    { op: 'modifyQp', vm, qp: 'qp0', set: { state: 'RTS', ...rts } },
  ];
}

/** Twelve calls: two receives posted, a send, a send with immediate, a write and a read, polls on both sides. */
function exchange(vm) {
  const peer = 1 - vm;
  const sges = (at, length) => [{ at, length, mr: 'mr0' }];
  const remote = { vm: peer, at: 4096, mr: 'mr0' };
  const poll = of => ({ op: 'pollCq', vm: of, cq: 'cq0' });
  return [
    { op: 'postRecv', vm: peer, qp: 'qp0', requests: [{ sges: sges(0, 512) }, { sges: sges(512, 512) }] },
    { op: 'postSend', vm, qp: 'qp0', requests: [{ opcode: 'SEND', sges: sges(1024, 100) }] },
    { op: 'postSend', vm, qp: 'qp0', requests: [{ opcode: 'RDMA_WRITE', sges: sges(2048, 300), remote }] },
    poll(vm),
    poll(peer),
    { op: 'postSend', vm, qp: 'qp0', requests: [{ opcode: 'SEND_WITH_IMM', sges: sges(1024, 64), imm: 7 }] },
    { op: 'postSend', vm, qp: 'qp0', requests: [{ opcode: 'RDMA_READ', sges: sges(8192, 256), remote }] },
    poll(vm),
    poll(peer),
    poll(vm),
    poll(peer),
  ];
}

/** Control commands and nothing else: protection domains that come and go, in threes, on one machine. */
export function commandProgram(mode, calls) {
  const names = ['pd0', 'pd1', 'pd2'];
  const round = [
    ...names.map(as => ({ op: 'createPd', vm: 0, as })),
    ...names.map(pd => ({ op: 'destroyPd', vm: 0, pd })),
  ];
  return {
    ...trafficProgram(mode, 0, 0),
    actions: Array.from({ length: Math.ceil(calls / 6) }, () => round).flat(),
  };
}
