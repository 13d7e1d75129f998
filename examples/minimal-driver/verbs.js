/** The verbs. `dev` is the device as the driver knows it. */
import { RequestQueue } from './queues.js';
import { ERR, GSI, RC, RESET, RTS, Struct, UC, decode, encode, fieldsOf } from './wire.js';
import { lengthsOf, maskOf, mayModify, refuseIf, sum } from './wire.js';

const [WRITE_WITH_IMM, SEND, SEND_WITH_IMM, READ, LAST_CONNECTED] = [1, 2, 3, 4, 3];
const [SIGNALED, INLINE, ALL_FLAGS] = [2, 8, 15];
const [RECV, LAST_WC_OPCODE, LAST_WC_STATUS, ALL_WC_FLAGS] = [3, 4, 15, 3];
const COMPLETION = lengthsOf(fieldsOf(Struct.completion));
const COMPLETION_BYTES = sum(COMPLETION);
const [NUMBER, PAGE, INLINE_MAX, REMOTE_RIGHTS] = ['4:number', 4096, 512, 6];
const UNSET = { state: RESET, maxRdAtomic: 0, hasVector: false }; // a queue pair in RESET

/**
 * The control verbs, one generator each: it checks the arguments, yields its command, and goes on with the answer. If the command
 * is refused, `dev.refused` is called instead. No other verb is under way, so what `dev` has on record is what the device has.
 */
export const controlVerbs = {
  *queryDevice({ config: { maxQp, maxCq } }) {
    return { ...(yield { code: 0, answer: Struct.device }), maxQp, maxCq };
  },
  *queryPort({ activeMtu }) {
    return { ...(yield { code: 1, answer: '4:gidTableLength 4:maxMsgSizeBytes 8 8 8' }), activeMtu };
  },
  *createPd(dev) {
    const { number } = yield { code: 4, answer: NUMBER, full: dev.full('pd', 'maxPd') };
    return dev.adopt({ kind: 'pd', number });
  },
  *destroyPd(dev, pd) {
    const number = dev.use('pd', pd);
    dev.refuseUsed('mr qp ah', each => each.pd === pd);
    yield { code: 5, fields: [[4, number]] };
    dev.objects.pd.delete(pd.number);
  },
  *createAh(dev, pd, attributes) {
    const fields = fieldsOf(Struct.createAh, { ...attributes, pd: dev.use('pd', pd) });
    const { number } = yield { code: 13, fields, answer: NUMBER, full: dev.full('ah', 'maxAh') };
    return dev.adopt({ kind: 'ah', number, pd });
  },
  *destroyAh(dev, ah) {
    const number = dev.use('ah', ah);
    yield { code: 14, fields: fieldsOf('4:pd 4:ah', { pd: ah.pd.number, ah: number }) };
    dev.objects.ah.delete(ah.number);
  },
  *addGid(_, index, gid) {
    yield { code: 15, fields: fieldsOf('2:index 6 16:gid', { index, gid: gid ?? '' }) };
  },
  *delGid(_, index) {
    yield { code: 16, fields: [[2, index]] };
  },
  *getDmaMr(dev, pd, access) {
    const fields = fieldsOf('4:pd 4:access', { pd: dev.use('pd', pd), access });
    return yield* newRegion(dev, { code: 6, fields }, { pd, access, pages: [] });
  },
  *regMr(dev, pd, init) {
    const { addr, length, access } = init;
    const number = dev.use('pd', pd);
    const fits = length >= 1 && length <= dev.limits.maxMrSizeBytes && Number.isSafeInteger(addr + length);
    refuseIf(!fits || addr < 0, `${length} bytes at ${addr}`);
    const [pages, addresses] = [[], []];
    dev.refused = () => pages.forEach(page => dev.os.releasePage(page));
    for (let page = addr - (addr % PAGE); page < addr + length; page += PAGE) {
      addresses.push([8, dev.os.translate(page)]);
      pages.push(page);
    }
    const fields = [...fieldsOf(Struct.region, { ...init, pd: number, npages: pages.length }), ...addresses];
    return yield* newRegion(dev, { code: 7, fields }, { pd, access, pages });
  },
  *deregMr(dev, mr) {
    yield { code: 8, fields: [[4, dev.use('mr', mr)]] };
    dev.objects.mr.delete(mr.number);
    for (const page of mr.pages) dev.os.releasePage(page);
  },
  *createCq(dev, cqe, onEvent) {
    refuseIf(!(Number.isSafeInteger(cqe) && cqe >= 1 && cqe <= dev.limits.maxCqe), `${cqe} entries`);
    const buffers = dev.allocate(cqe, COMPLETION_BYTES);
    const { number } = yield { code: 2, fields: [[4, cqe]], answer: NUMBER, full: dev.full('cq', 'maxCq') };
    const queue = dev.cqs[number];
    dev.insist(queue !== undefined, `cqn ${number} [HOST-14]`);
    // `ready`: completed and not polled. `kept`: free buffers, while the queue is being destroyed.
    const cq = dev.adopt({ kind: 'cq', number, cqe, queue, buffers, onEvent, armed: 0, ready: [] });
    refill(cq, buffers);
    return cq;
  },
  *destroyCq(dev, cq) {
    const fields = [[4, dev.use('cq', cq)]];
    dev.refuseUsed('qp', qp => qp.sendCq === cq || qp.recvCq === cq);
    const kept = (cq.kept = []);
    dev.refused = () => refill(Object.assign(cq, { kept: undefined }), kept);
    yield { code: 3, fields };
    collect(dev, cq);
    dev.insist(cq.queue.chains.size === 0, 'a buffer did not come back [HOST-27]');
    dev.objects.cq.delete(cq.number);
    dev.free(cq.buffers);
  },
  *reqNotifyCq(dev, cq, solicitedOnly) {
    const fields = fieldsOf('4:cq 4:flags', { cq: dev.use('cq', cq), flags: solicitedOnly ? 1 : 2 });
    dev.refused = () => (cq.armed = Math.max(cq.armed - 1, 0));
    cq.armed++;
    yield { code: 17, fields };
    cq.armed = Math.max(cq.armed, 1);
  },
  *createQp(dev, pd, init) {
    const { type, sqSigAll, sendCq, recvCq, cap } = init;
    const { maxQpWr, maxSendSge, maxRecvSge } = dev.limits;
    const cqns = { sendCq: dev.use('cq', sendCq), recvCq: dev.use('cq', recvCq) };
    const values = { ...cap, ...cqns, pd: dev.use('pd', pd), type, sqSigAll: sqSigAll ? 1 : 0 };
    const fields = fieldsOf(Struct.createQp, values);
    encode(fields);
    const most = {
      maxSendWr: maxQpWr,
      maxRecvWr: maxQpWr,
      maxSendSge,
      maxRecvSge,
      maxInlineData: INLINE_MAX,
    };
    for (const [name, max] of Object.entries(most)) refuseIf(cap[name] > max, `${name} above ${max}`);
    const buffers = dev.allocate(cap.maxSendWr, 576 + 16 * cap.maxSendSge);
    dev.allocate(cap.maxRecvWr, 24 + 16 * cap.maxRecvSge, buffers);
    const gsi = dev.objects.qp.has(GSI) ? 1 : 0;
    const full = type === GSI ? gsi === 1 : dev.full('qp', 'maxQp', 2 - gsi);
    const { number } = yield { code: 9, fields, answer: NUMBER, full };
    const fits = type === GSI ? number === 1 : number > 1 && number < dev.config.maxQp;
    dev.insist(fits, `qpn ${number} [HOST-15]`);
    const sq = new RequestQueue(dev.requests[2 * number], buffers.slice(0, cap.maxSendWr));
    const rq = new RequestQueue(dev.requests[2 * number + 1], buffers.slice(cap.maxSendWr));
    return dev.adopt({ kind: 'qp', number, qpNum: number, ...init, pd, buffers, sq, rq, ...UNSET });
  },
  *modifyQp(dev, qp, attributes) {
    const { qpState, maxRdAtomic, ahAttr } = attributes;
    const values = { ...attributes, ...ahAttr, qp: dev.use('qp', qp), mask: maskOf(attributes) };
    refuseIf(!mayModify(qp, attributes), 'no such change from this state [QP-34]');
    const command = { code: 10, fields: fieldsOf(Struct.modifyQp, values) };
    if (qpState === RESET) return yield* discard(dev, qp, command);
    yield command;
    qp.state = qpState ?? qp.state;
    qp.maxRdAtomic = maxRdAtomic ?? qp.maxRdAtomic;
    qp.hasVector ||= ahAttr !== undefined;
  },
  *queryQp(dev, qp) {
    const fields = fieldsOf('4:qp 4:mask', { qp: dev.use('qp', qp), mask: 2 ** 17 - 1 });
    const answer = yield { code: 11, fields, answer: Struct.queryQp };
    const { padding: _, dgid, flowLabel, sgidIndex, hopLimit, trafficClass, ...attributes } = answer;
    dev.insist(attributes.qpState <= ERR, `state ${attributes.qpState} [HOST-18]`);
    qp.state = attributes.qpState;
    // Zero bytes may be a vector or none: only the driver's record tells.
    const ahAttr = qp.hasVector ? { dgid, flowLabel, sgidIndex, hopLimit, trafficClass } : undefined;
    const cap = Object.fromEntries(Object.keys(qp.cap).map(name => [name, attributes[name]]));
    return { ...attributes, sqDraining: attributes.sqDraining === 1, cap, ahAttr };
  },
  *destroyQp(dev, qp) {
    yield* discard(dev, qp, { code: 12, fields: [[4, dev.use('qp', qp)]] });
    dev.objects.qp.delete(qp.number);
    dev.free(qp.buffers);
  },
};

function* newRegion(dev, command, { pd, access, pages }) {
  const answer = '4:number 4:lkey 4:rkey';
  const { number, lkey, rkey } = yield { ...command, answer, full: dev.full('mr', 'maxMr') };
  const known = [...dev.objects.mr.values()].some(mr => mr.lkey === lkey);
  dev.insist(lkey !== 0 && !known, `lkey ${lkey} [HOST-16]`);
  dev.insist((rkey === 0) === ((access & REMOTE_RIGHTS) === 0), `rkey ${rkey} [HOST-17]`);
  return dev.adopt({ kind: 'mr', number, lkey, rkey, pd, pages });
}

/** A command that throws away what is posted. Posts meanwhile are kept back: they could miss the moment and stay in the ring. */
function* discard(dev, qp, command) {
  const both = [qp.sq, qp.rq];
  for (const each of both) each.held = [];
  dev.refused = () => both.forEach(each => each.release());
  yield command;
  // What completed by now is of this queue pair, and of no later one with its number [CQ-55].
  for (const cq of [qp.sendCq, qp.recvCq]) collect(dev, cq);
  for (const each of both) {
    each.reclaim();
    dev.insist(each.queue.chains.size === 0, 'a request did not come back [HOST-26]');
    each.clear();
  }
  Object.assign(qp, UNSET);
}

const bytesIn = sges => sum(sges.map(({ length }) => length));
const elements = sges => sges.flatMap(sge => fieldsOf('8:addr 4:length 4:lkey', sge));

export function postSend(dev, qp, request) {
  dev.use('qp', qp);
  const { sq, type, state, cap, maxRdAtomic, sqSigAll } = qp;
  const { wrId, opcode, sendFlags, inlineData = new Uint8Array(0), ah, immData = 0 } = request;
  const [datagram, read, inline] = [type !== RC && type !== UC, opcode === READ, (sendFlags & INLINE) !== 0];
  const sges = inline ? [] : request.sges;
  const bytes = inline ? inlineData.length : bytesIn(sges);
  const plain = opcode === SEND || opcode === SEND_WITH_IMM;
  const known = plain || (opcode >= 0 && opcode <= LAST_CONNECTED && !datagram) || (read && type === RC);
  refuseIf(state < RTS, `no sends in state ${state}`);
  refuseIf(!known, `opcode ${opcode}`);
  refuseIf((sendFlags & ~ALL_FLAGS) !== 0 || (inline && read), `flags ${sendFlags}`);
  refuseIf(sges.length > cap.maxSendSge || (read && sges.length > dev.limits.maxSgeRd), 'elements');
  refuseIf(datagram && ah === undefined, 'no address handle');
  refuseIf(inline && bytes > cap.maxInlineData, `${bytes} inline bytes`);
  refuseIf(datagram && bytes > 128 << dev.activeMtu, `a datagram of ${bytes} bytes`);
  refuseIf(read && maxRdAtomic === 0, 'no reads');
  refuseIf(sq.reclaim() === 0, 'no room', 'ENOMEM');
  const withImm = opcode === SEND_WITH_IMM || opcode === WRITE_WITH_IMM;
  // A handle that is gone, or another device's, is written as a number that none has: spec/10-errors.md, 10.2.
  const handle = dev.exists(ah) ? ah.number : 2 ** 32 - 1;
  const overlay = datagram ? '4:remoteQpn 4:remoteQkey 4:handle 20' : '8:remoteAddr 4:rkey 20';
  const fields = [
    ...fieldsOf(Struct.send, { wrId, opcode, sendFlags, immData: withImm ? swapped(immData) : 0 }),
    ...fieldsOf(overlay, plain && !datagram ? {} : { ...request, handle }),
    [INLINE_MAX, inline ? inlineData : 0],
    ...fieldsOf('2:count 2 12', { count: inline ? bytes : sges.length }),
    ...elements(sges),
  ];
  sq.post(fields, { wrId, signaled: sqSigAll || (sendFlags & SIGNALED) !== 0 });
}

export function postRecv(dev, qp, { wrId, sges }) {
  dev.use('qp', qp);
  refuseIf(qp.state === RESET, 'no receives in RESET');
  refuseIf(sges.length > qp.cap.maxRecvSge, `${sges.length} elements`);
  refuseIf(qp.rq.reclaim() === 0, 'no room', 'ENOMEM');
  const head = fieldsOf('8:wrId 4:count 12', { wrId, count: sges.length });
  qp.rq.post([...head, ...elements(sges)], { wrId, signaled: true, room: bytesIn(sges) });
}

/** Immediate data is a string of four bytes: the first one is the highest of the program's number. */
const swapped = word => new DataView(Uint32Array.of(word).buffer).getUint32(0);

export function pollCq(dev, cq, completions, max) {
  dev.use('cq', cq);
  collect(dev, cq);
  const polled = cq.ready.splice(0, max);
  for (const [i, { completion }] of polled.entries()) Object.assign(completions[i], completion);
  const taken = polled.map(({ dma }) => dma);
  refill(cq, taken);
  return taken.length;
}

/** Gives the device empty buffers, cut as finely as the ring allows if all of the queue's are cut so. */
function refill({ queue, cqe, kept }, buffers) {
  if (kept !== undefined) return void kept.push(...buffers);
  for (const dma of buffers) queue.add(dma, [], COMPLETION, Math.floor(queue.size / cqe));
  if (buffers.length > 0) queue.publish();
}

/** Takes every completion out of the ring, checks it and learns from it. The program gets it when it polls. */
function collect(dev, cq) {
  for (let back = cq.queue.take(); back !== undefined; back = cq.queue.take()) {
    const { dma, length } = back;
    dev.insist(length === COMPLETION_BYTES || (length === 0 && cq.kept), `${length} bytes [HOST-19]`);
    if (length === 0) cq.kept.push(dma);
    else cq.ready.push({ dma, completion: completionOf(dev, cq, dma.bytes.slice()) });
  }
}

function completionOf(dev, cq, bytes) {
  const entry = decode(Struct.completion, bytes);
  const { wrId, status, vendorErr, qpNum } = entry;
  const failed = { opcode: 0, byteLen: 0, immData: 0, srcQp: 0, wcFlags: 0 };
  const { opcode, byteLen, immData, srcQp, wcFlags } = status === 0 ? entry : failed;
  const known = status <= LAST_WC_STATUS && opcode <= LAST_WC_OPCODE && wcFlags <= ALL_WC_FLAGS;
  dev.insist(known, `status ${status}, opcode ${opcode}, flags ${wcFlags} [HOST-20] [HOST-21]`);
  const qp = dev.objects.qp.get(qpNum);
  const queues = [];
  if (qp?.sendCq === cq && (status !== 0 || opcode < RECV)) queues.push(qp.sq);
  if (qp?.recvCq === cq && (status !== 0 || opcode >= RECV)) queues.push(qp.rq);
  dev.insist(queues.length > 0, `completion of queue pair ${qpNum} [HOST-22]`);
  const [posted] = queues.flatMap(queue => queue.completed(wrId, status));
  dev.insist(posted !== undefined, `completion of request ${wrId} [HOST-23]`);
  dev.insist(opcode !== RECV || !(byteLen > posted.room), `${byteLen} bytes for ${posted.room} [HOST-24]`);
  // An error may be of either direction, so both logs end with it. In RTS and SQD it can mean SQE, which allows what ERR does.
  if (status !== 0) for (const queue of [qp.sq, qp.rq]) queue.log = undefined;
  if (status !== 0 && (qp.type === RC || qp.state < RTS)) qp.state = ERR;
  return { wrId, status, opcode, vendorErr, byteLen, immData: swapped(immData), qpNum, srcQp, wcFlags };
}
