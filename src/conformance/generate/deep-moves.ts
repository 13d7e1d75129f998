/** Moves that go for one rare situation each, in a few actions: what chance alone would hardly ever put together. */
import { AccessFlag } from '../../abi/index.js';
import type { SendRequestSpec } from '../program.js';
import type { ModelPd, ModelQp, ModelVm } from './model.js';
import type { Move } from './moves.js';
import type { Writer } from './writer.js';

type Wanted = (qp: ModelQp) => boolean;

const ready: Wanted = qp => qp.state === 'RTS' && qp.peer?.state === 'RTS';
const isDatagram: Wanted = qp => qp.type === 'UD' || qp.type === 'GSI';
const isConnected: Wanted = qp => !isDatagram(qp);

function find(writer: Writer, vms: readonly ModelVm[], wanted: Wanted): ModelQp | undefined {
  const fit: ModelQp[] = [];
  for (const vm of vms) for (const qp of vm.qps) if (wanted(qp)) fit.push(qp);
  return fit.length === 0 ? undefined : writer.random.of(fit);
}

/** A queue pair that is wanted and ready, or nothing. */
function move(
  kind: string,
  weight: number,
  wanted: Wanted,
  make: (writer: Writer, qp: ModelQp) => void,
): Move {
  return {
    kind,
    weight,
    make(writer, vms) {
      const qp = find(writer, vms, wanted);
      if (qp !== undefined) make(writer, qp);
    },
  };
}

/** A sound send of that opcode with all that it needs. */
function send(writer: Writer, qp: ModelQp, opcode: SendRequestSpec['opcode']): SendRequestSpec {
  const request = writer.plainSend(qp, opcode);
  if (request.opcode !== 'RDMA_READ' && qp.inline > 0 && writer.random.chance(2)) {
    request.inline = writer.random.between(1, qp.inline);
    request.sges = [];
  }
  return request;
}

function post(writer: Writer, qp: ModelQp, requests: SendRequestSpec[]): void {
  writer.putSends(qp, requests);
}

function pollBoth(writer: Writer, qp: ModelQp): void {
  writer.poll(qp.sendCq, qp.vm);
  if (qp.peer !== undefined) writer.poll(qp.peer.recvCq, qp.peer.vm);
}

function fill(
  writer: Writer,
  qp: ModelQp,
  count: number,
  opcode: SendRequestSpec['opcode'],
): SendRequestSpec[] {
  return Array.from({ length: count }, () => send(writer, qp, opcode));
}

export const deepMoves: readonly Move[] = [
  move('exchange', 8, ready, (writer, qp) => {
    const { random } = writer;
    const { peer } = qp;
    if (peer === undefined) return;
    const count = random.between(1, 3);
    writer.roomyRecv(peer, count);
    const opcode = isDatagram(qp)
      ? random.of(['SEND', 'SEND_WITH_IMM'] as const)
      : random.of(['SEND', 'SEND_WITH_IMM', 'RDMA_WRITE', 'RDMA_WRITE_WITH_IMM'] as const);
    post(writer, qp, fill(writer, qp, count, opcode));
    pollBoth(writer, qp);
  }),
  move('solicited', 3, ready, (writer, qp) => {
    const { peer } = qp;
    if (peer === undefined) return;
    writer.roomyRecv(peer, 1);
    writer.poll(peer.recvCq, peer.vm);
    writer.put({ op: 'waitCq', vm: peer.vm.vm, cq: peer.recvCq.name, solicitedOnly: true });
    post(writer, qp, [{ ...send(writer, qp, 'SEND'), solicited: true }]);
  }),
  move(
    'reads',
    3,
    qp => ready(qp) && qp.type === 'RC',
    (writer, qp) => {
      const requests = fill(writer, qp, writer.random.between(1, 4), 'RDMA_READ');
      // What is read goes out again: without the fence it would be the bytes from before.
      const [first] = requests;
      if (writer.random.chance(2))
        requests.splice(1, 0, { ...writer.plainSend(qp, 'RDMA_WRITE'), sges: first.sges, fence: true });
      post(writer, qp, requests);
      writer.poll(qp.sendCq, qp.vm);
    },
  ),
  {
    kind: 'overflow',
    weight: 1,
    make(writer, vms) {
      const { random } = writer;
      const vm = random.of(vms);
      const pd = vm.pds.find(each => vm.mrs.some(mr => mr.pd === each));
      if (pd === undefined) return;
      const cq = writer.createCq(vm, random.between(1, 4));
      const type = random.of(['RC', 'UC', 'UD'] as const);
      if (type === 'UD' && !vm.ahs.some(ah => ah.pd === pd)) writer.createAh(vm, pd, vm);
      const qp = writer.createQp(vm, pd, cq, random.chance(2) ? cq : (vm.cqs[0] ?? cq), type);
      qp.peer = qp;
      const raised = random.chance(4) ? 'part' : 'all';
      if (raised === 'all') writer.raise(qp);
      else writer.toInit(qp);
      const opcode = type === 'UD' ? 'SEND' : 'RDMA_WRITE';
      writer.roomyRecv(qp, 2);
      for (let left = cq.cqe + 1; left > 0; left -= 2)
        post(writer, qp, fill(writer, qp, Math.min(2, left), opcode));
      if (random.chance(3)) writer.poll(cq, vm);
      if (raised === 'part') writer.modify(qp, { state: 'ERR' });
      else post(writer, qp, fill(writer, qp, 1, opcode));
      writer.put({ op: 'reqNotifyCq', vm: vm.vm, cq: cq.name });
      qp.state = 'ERR';
    },
  },
  move('tooSmall', 2, ready, (writer, qp) => {
    const { peer } = qp;
    if (peer === undefined) return;
    const sges = writer.plainSges(peer, 1, 8, 8);
    writer.put({ op: 'postRecv', vm: peer.vm.vm, qp: peer.name, requests: [{ sges }] });
    post(writer, qp, [send(writer, qp, isConnected(qp) ? 'SEND' : 'SEND_WITH_IMM')]);
    writer.spoil(qp);
    writer.spoil(peer);
    pollBoth(writer, qp);
  }),
  move('hold', 2, ready, (writer, qp) => {
    const opcode = isDatagram(qp) ? 'SEND' : 'RDMA_WRITE';
    if (writer.random.chance(2)) post(writer, qp, fill(writer, qp, 2, opcode));
    writer.modify(qp, { state: 'SQD' });
    post(writer, qp, fill(writer, qp, writer.random.between(1, 3), opcode));
    writer.put({ op: 'queryQp', vm: qp.vm.vm, qp: qp.name });
    const next = writer.random.below(6);
    if (next === 0) writer.modify(qp, { state: 'ERR' });
    else if (next === 1) writer.modify(qp, { state: 'SQD' });
    else if (next === 2 && isConnected(qp)) writer.modify(qp, { state: 'SQD', access: 7 });
    else writer.modify(qp, { state: 'RTS' });
  }),
  move(
    'sqe',
    3,
    qp => ready(qp) && qp.type !== 'RC',
    (writer, qp) => {
      const opcode = isDatagram(qp) ? 'SEND' : 'RDMA_WRITE';
      const bad = writer.plainSend(qp, opcode);
      bad.sges = [{ at: 0, length: 16, mr: { raw: 0xdead } }];
      post(writer, qp, [bad, send(writer, qp, opcode)]);
      writer.put({ op: 'queryQp', vm: qp.vm.vm, qp: qp.name });
      const curState = writer.random.of(['SQE', 'RTS', undefined] as const);
      writer.modify(qp, curState === undefined ? { state: 'RTS' } : { state: 'RTS', curState });
      post(writer, qp, [send(writer, qp, opcode)]);
      writer.poll(qp.sendCq, qp.vm);
    },
  ),
  move(
    'notReady',
    2,
    qp => ready(qp) && qp.type === 'RC',
    (writer, qp) => {
      post(writer, qp, fill(writer, qp, Math.max(1, (qp.peer?.receives ?? 0) + 1), 'SEND').slice(0, 4));
      if (qp.peer !== undefined && writer.random.chance(2)) writer.roomyRecv(qp.peer, 4);
      writer.spoil(qp);
      pollBoth(writer, qp);
    },
  ),
  move(
    'lostPeer',
    1,
    qp => ready(qp) && qp.peer !== qp,
    (writer, qp) => {
      const { peer } = qp;
      if (peer === undefined || !peer.vm.qps.includes(peer)) return;
      if (writer.random.chance(2))
        post(writer, qp, fill(writer, qp, 2, isDatagram(qp) ? 'SEND' : 'RDMA_WRITE'));
      destroyQp(writer, peer);
      post(writer, qp, [send(writer, qp, isDatagram(qp) ? 'SEND' : 'RDMA_WRITE')]);
      writer.spoil(qp);
      writer.poll(qp.sendCq, qp.vm);
    },
  ),
  move(
    'rights',
    2,
    qp => ready(qp) && isConnected(qp),
    (writer, qp) => {
      const { random } = writer;
      const { peer } = qp;
      if (peer === undefined) return;
      const opcode = qp.type === 'RC' && random.chance(2) ? 'RDMA_READ' : 'RDMA_WRITE';
      const request = writer.plainSend(qp, opcode);
      const wrong = random.below(3);
      if (wrong === 0) {
        const access = opcode === 'RDMA_READ' ? 3 : AccessFlag.LOCAL_WRITE | AccessFlag.REMOTE_READ;
        const mr = writer.regMr(peer.vm, peer.pd, 0, 4096, access);
        request.remote = { vm: peer.vm.vm, at: 16, mr: mr.name };
      } else if (wrong === 1 && request.remote !== undefined) {
        request.remote = { ...request.remote, at: writer.arenaBytes - 1 };
      } else writer.put({ op: 'modifyQp', vm: peer.vm.vm, qp: peer.name, set: { state: 'RTS', access: 1 } });
      post(writer, qp, [request, send(writer, qp, 'RDMA_WRITE')]);
      writer.spoil(qp);
      writer.spoil(peer);
      pollBoth(writer, qp);
    },
  ),
  move('gidInUse', 1, ready, (writer, qp) => {
    const { vm } = writer.random.chance(2) ? qp.vm : (qp.peer?.vm ?? qp.vm);
    writer.put({ op: 'delGid', vm, index: 0 });
    post(writer, qp, [send(writer, qp, isDatagram(qp) ? 'SEND' : 'RDMA_WRITE')]);
    if (writer.random.chance(2)) {
      writer.put({ op: 'createAh', vm, as: writer.name(qp.vm, 'ah'), pd: qp.pd.name, to: { vm, gid: 0 } });
    }
    writer.put({ op: 'addGid', vm, index: 0, gid: 0 });
    writer.spoil(qp);
    writer.poll(qp.sendCq, qp.vm);
  }),
  move('dma', 1, ready, (writer, qp) => {
    const mr = writer.getDmaMr(qp.vm, qp.pd);
    const request = writer.plainSend(qp, isDatagram(qp) ? 'SEND' : 'RDMA_WRITE');
    request.sges = [{ at: 4096 * writer.random.below(4), length: 64, mr: mr.name }];
    post(writer, qp, [request]);
    writer.poll(qp.sendCq, qp.vm);
  }),
  move('underLoad', 2, ready, (writer, qp) => {
    const { peer } = qp;
    if (peer !== undefined) writer.roomyRecv(peer, 3);
    post(writer, qp, fill(writer, qp, 3, isDatagram(qp) ? 'SEND' : 'RDMA_WRITE'));
    if (writer.random.chance(2)) destroyQp(writer, qp);
    else writer.modify(qp, { state: writer.random.of(['RESET', 'ERR'] as const) });
    writer.poll(qp.sendCq, qp.vm);
  }),
  move('stale', 3, ready, (writer, qp) => {
    const { peer } = qp;
    const far = isConnected(qp) && peer !== undefined && writer.random.chance(2);
    const owner = far ? peer : qp;
    const mr = writer.regMr(owner.vm, owner.pd, 0, 4096, 7);
    const request = writer.plainSend(qp, isDatagram(qp) ? 'SEND' : 'RDMA_WRITE');
    if (far) request.remote = { vm: owner.vm.vm, at: 64, mr: mr.name };
    else request.sges = [{ at: 64, length: 32, mr: mr.name }];
    if (writer.random.chance(2)) post(writer, qp, [request]);
    owner.vm.mrs.splice(owner.vm.mrs.indexOf(mr), 1);
    writer.put({ op: 'deregMr', vm: owner.vm.vm, mr: mr.name });
    post(writer, qp, [request]);
    writer.spoil(qp);
    if (far) writer.spoil(peer);
    writer.poll(qp.sendCq, qp.vm);
  }),
  move(
    'handleGone',
    2,
    qp => ready(qp) && isDatagram(qp),
    (writer, qp) => {
      const request = writer.plainSend(qp, 'SEND');
      const ah = writer.createAh(qp.vm, qp.pd, qp.peer?.vm ?? qp.vm);
      request.ah = ah.name;
      qp.vm.ahs.splice(qp.vm.ahs.indexOf(ah), 1);
      post(writer, qp, [request]);
      writer.put({ op: 'destroyAh', vm: qp.vm.vm, ah: ah.name });
      if (writer.random.chance(2)) post(writer, qp, [request]);
      writer.poll(qp.sendCq, qp.vm);
    },
  ),
  move(
    'halfWay',
    2,
    qp => qp.state !== 'RESET',
    (writer, qp) => {
      const { random } = writer;
      if (qp.state !== 'INIT') writer.modify(qp, { state: 'RESET' });
      writer.toInit(qp);
      if (random.chance(2)) writer.postRecv(qp);
      if (random.chance(3)) writer.toInit(qp);
      else if (random.chance(2)) {
        writer.toRtr(qp);
        if (random.chance(2)) writer.roomyRecv(qp, 1);
      }
      const next = random.below(5);
      if (next === 0) writer.modify(qp, { state: 'ERR' });
      else if (next === 1) writer.modify(qp, { state: 'RESET' });
      else if (next === 2) destroyQp(writer, qp);
      else if (next === 3 && qp.state === 'RTR') writer.toRts(qp);
    },
  ),
  move(
    'retune',
    2,
    qp => qp.state === 'RTS' || qp.state === 'SQD',
    (writer, qp) => {
      const { random } = writer;
      if (isConnected(qp)) writer.modify(qp, { state: qp.state, access: random.chance(4) ? 0 : 7 });
      else writer.modify(qp, { state: qp.state, qkey: 0x11111111 });
      if (qp.type === 'RC')
        writer.put({ op: 'modifyQp', vm: qp.vm.vm, qp: qp.name, set: { minRnrTimer: 3 } });
    },
  ),
  {
    kind: 'tidy',
    weight: 2,
    make(writer, vms) {
      const vm = writer.random.of(vms);
      if (vm.pds.length < 2 && !writer.random.chance(3)) writer.createAh(vm, writer.createPd(vm), vm);
      tidy(writer, vm);
    },
  },
];

function destroyQp(writer: Writer, qp: ModelQp): void {
  const { vm } = qp;
  const at = vm.qps.indexOf(qp);
  if (at < 0) return;
  vm.qps.splice(at, 1);
  vm.gone.push(qp.name);
  writer.put({ op: 'destroyQp', vm: vm.vm, qp: qp.name });
}

/** Destroys the newest protection domain with all that is in it, and completion queues that nothing uses any more. */
function tidy(writer: Writer, vm: ModelVm): void {
  const pd = vm.pds.at(-1);
  if (pd === undefined) return;
  for (const qp of inside(vm.qps, pd)) destroyQp(writer, qp);
  for (const mr of inside(vm.mrs, pd)) {
    vm.mrs.splice(vm.mrs.indexOf(mr), 1);
    writer.put({ op: 'deregMr', vm: vm.vm, mr: mr.name });
  }
  for (const ah of inside(vm.ahs, pd)) {
    vm.ahs.splice(vm.ahs.indexOf(ah), 1);
    writer.put({ op: 'destroyAh', vm: vm.vm, ah: ah.name });
  }
  vm.pds.pop();
  writer.put({ op: 'destroyPd', vm: vm.vm, pd: pd.name });
  for (const cq of vm.cqs.filter(each => !vm.qps.some(qp => qp.sendCq === each || qp.recvCq === each))) {
    vm.cqs.splice(vm.cqs.indexOf(cq), 1);
    writer.put({ op: 'destroyCq', vm: vm.vm, cq: cq.name });
  }
}

function inside<T extends { readonly pd: ModelPd }>(list: readonly T[], pd: ModelPd): T[] {
  return list.filter(each => each.pd === pd);
}
