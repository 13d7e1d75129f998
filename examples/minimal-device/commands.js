/**
 * The 18 commands, chapter 5 of the specification: functions of the device, a view of the struct and the chain, which answer
 * with a view of the result, or refuse by throwing before anything has changed. What the adapter refuses, it refuses so too.
 */
import { halves } from './data-path.js';
import { gather, u32, u64, words } from './ring.js';

const [PAGE_BYTES, PAGES_OF_ALL_REGIONS] = [4096, 2 ** 20];
const [GSI, UD, RC_RNR_NAK_GEN] = [1, 4, 1];
const [LOCAL_WRITE, REMOTE_WRITE, ALL_ACCESS] = [1, 2, 7];

/** Refuses as the adapter does; the answer is ERR [CTRL-03]. */
function need(condition, why) {
  if (!condition) throw Object.assign(new Error(why), { errno: 'EINVAL' });
}

/** The object of that number, of one kind. */
function find(objects, number) {
  need(objects.has(number), 'no such object');
  return objects.get(number);
}

/** The lowest number from `first` on, below `end`, that no object has [CTRL-19] [QP-03]. */
function lowest(objects, first, end) {
  let number = first;
  while (objects.has(number)) number++;
  need(number < end, 'no number is free');
  return number;
}

/** Keeps an object under a number without meaning that was not in use for long. */
function enter(device, objects, object) {
  do device.lastNumber = (device.lastNumber + 1) % 0xffff_ffff;
  while (objects.has(device.lastNumber));
  objects.set(device.lastNumber, object);
  return device.lastNumber;
}

/** Members of an object, as numbers. */
const pick = (object, names) => names.split(' ').map(name => Number(object[name]));

const gidAt = ({ buffer, byteOffset }, at) => Buffer.from(buffer, byteOffset + at, 16).toString('hex');

function addressVector(view, at) {
  const [flowLabel, routing] = [u32(view, at + 16), u32(view, at + 20)];
  need(flowLabel < 2 ** 20, 'CTRL-96, QP-35');
  const [sgidIndex, hopLimit, trafficClass] = [0, 8, 16].map(bits => (routing >>> bits) & 0xff);
  return { dgid: gidAt(view, at), flowLabel, sgidIndex, hopLimit, trafficClass };
}

/** Both registrations; `where` says which addresses and pages. */
function register(device, view, where) {
  const pd = find(device.pds, u32(view, 0));
  const access = u32(view, 4);
  need(access <= ALL_ACCESS, 'CTRL-49, CTRL-54');
  need((access & REMOTE_WRITE) === 0 || (access & LOCAL_WRITE) !== 0, 'CTRL-50, CTRL-55');
  const init = { access, memory: device.memory, pageBytes: PAGE_BYTES, ...where };
  const hca = device.adapter.registerMr(pd.hca, init);
  const pages = where.pages?.length ?? 0;
  device.pagesListed += pages;
  return words(12, 0, [enter(device, device.mrs, { hca, pages }), hca.lkey, hca.rkey]);
}

/** The region of a REG_USER_MR. */
function region({ adapter, memory, pagesListed }, view, { readable, readableBytes }) {
  const [iova, length, npages] = [u64(view, 8), u64(view, 16), u32(view, 24)];
  need(length > 0 && length <= adapter.attributes.maxMrSizeBytes, 'CTRL-56, CTRL-57');
  need(iova + length <= Number.MAX_SAFE_INTEGER, 'CTRL-58, CTRL-59');
  const touched = Math.floor((iova + length - 1) / PAGE_BYTES) - Math.floor(iova / PAGE_BYTES) + 1;
  need(npages === touched && readableBytes >= 2 + 32 + 8 * npages, 'CTRL-60, CTRL-61, CTRL-62');
  need(pagesListed + npages <= PAGES_OF_ALL_REGIONS, 'CTRL-66');
  const list = gather(memory, readable, 2 + 32, 8 * npages);
  const pages = Float64Array.from({ length: npages }, (_, i) => u64(list, 8 * i));
  const sound = pages.every(page => page % PAGE_BYTES === 0 && memory.contains(page, PAGE_BYTES));
  need(sound, 'CTRL-63, CTRL-64');
  return { iova, length, pages };
}

/** Behind a move to RESET or a destroy: no chain and no completion stays here [RST-07] [CQ-54]. */
function finish({ path }, { send, recv, cqs }) {
  send.ring.putAll();
  recv.ring.putAll();
  for (const cq of cqs) path.deliver(cq);
}

/** By bit of the mask: the member's name, place and bits. CAP, RATE_LIMIT and the bits behind are refused. */
const attributesByBit = `qpState:8:8 curQpState:9:8 qpAccessFlags:40:32 qkey:24:32 ahAttr:72:320 pathMtu:10:8
  timeout:14:8 retryCnt:15:8 rnrRetry:16:8 rqPsn:28:24 maxRdAtomic:11:8 minRnrTimer:13:8 sqPsn:32:24
  maxDestRdAtomic:12:8 cap:48:0 destQpNum:36:24`.split(/\s+/u);

function attributesOf(view) {
  const attributes = {};
  for (let bit = 0, mask = u32(view, 4); mask !== 0; bit++, mask >>>= 1) {
    if ((mask & 1) === 0) continue;
    const [name, at, bits] = attributesByBit[bit]?.split(':') ?? ['', 0, 0];
    need(bits > 0, 'CTRL-85, CTRL-86, CTRL-87');
    attributes[name] = bits > 32 ? addressVector(view, 72) : u32(view, Number(at)) % 2 ** bits;
  }
  need((attributes.qpState ?? 0) <= 6 && (attributes.curQpState ?? 0) <= 6, 'QP-29');
  return attributes;
}

/** By command code: bytes of the struct, bytes of the result. */
export const structBytes = [0, 0, 4, 4, 0, 4, 8, 32, 4, 56, 128, 8, 4, 48, 8, 24, 2, 8];
export const resultBytes = [128, 32, 4, 0, 4, 0, 12, 12, 0, 4, 0, 120, 0, 4, 0, 0, 0, 0];

/** What they do, in the order of their codes. */
export const commands = Object.values({
  queryDevice({ adapter: { attributes }, maxQpWr, maxCqe }) {
    const [sizeLow, sizeHigh] = [attributes.maxMrSizeBytes % 2 ** 32, attributes.maxMrSizeBytes / 2 ** 32];
    const limits = { ...attributes, maxQpWr, maxCqe };
    const names =
      'maxQpWr maxSendSge maxRecvSge maxSgeRd maxCqe maxMr maxPd maxQpRdAtom maxQpInitRdAtom maxAh';
    return words(128, 0, [RC_RNR_NAK_GEN, 0, sizeLow, sizeHigh, PAGE_BYTES, 0, 0, ...pick(limits, names)]);
  },
  queryPort({ adapter: { port } }) {
    return words(32, 0, [port.gidTableLength, port.maxMsgSizeBytes]);
  },
  createCq({ cqs, limits, rings, queues, maxCqe, path }, view) {
    const cqe = u32(view, 0);
    const cqn = lowest(cqs, 0, limits.maxCqs);
    const ring = rings[queues.cq(cqn)];
    need(cqe > 0 && cqe <= Math.min(maxCqe, ring?.size ?? 0), 'CTRL-22, CTRL-33, CTRL-34, CTRL-35');
    cqs.set(cqn, path.openCq(cqe, ring));
    return words(4, 0, [cqn]);
  },
  destroyCq({ adapter, cqs }, view) {
    const { hca, ring } = find(cqs, u32(view, 0));
    adapter.destroyCq(hca); // which refuses while a queue pair uses it
    cqs.delete(u32(view, 0));
    ring.putAll();
  },
  createPd(device) {
    return words(4, 0, [enter(device, device.pds, { hca: device.adapter.createPd() })]);
  },
  destroyPd({ adapter, pds }, view) {
    adapter.destroyPd(find(pds, u32(view, 0)).hca); // which refuses while something belongs to it
    pds.delete(u32(view, 0));
  },
  getDmaMr(device, view) {
    return register(device, view, { iova: 0, length: Number.MAX_SAFE_INTEGER, pages: undefined });
  },
  regUserMr(device, view, chain) {
    return register(device, view, region(device, view, chain));
  },
  deregMr(device, view) {
    const { hca, pages } = find(device.mrs, u32(view, 0));
    device.adapter.deregisterMr(hca);
    device.mrs.delete(u32(view, 0));
    device.pagesListed -= pages;
  },
  createQp(device, view) {
    const { adapter, path, queues, rings, qps } = device;
    const pd = find(device.pds, u32(view, 0));
    const [type, sigAll] = [view.getUint8(4), view.getUint8(5)];
    const cqs = [8, 12].map(at => find(device.cqs, u32(view, at)));
    need(type >= GSI && type <= UD && sigAll <= 1, 'CTRL-73, CTRL-74, CTRL-75');
    const qpn = type === GSI ? lowest(qps, 1, 2) : lowest(qps, 2, device.limits.maxQps);
    const [send, recv] = [rings[queues.sq(qpn)], rings[queues.rq(qpn)]];
    const [maxSendWr, maxRecvWr, maxSendSge, maxRecvSge] = [16, 20, 24, 28].map(at => u32(view, at));
    const cap = { maxSendWr, maxRecvWr, maxSendSge, maxRecvSge, maxInlineData: u32(view, 32) };
    need(maxSendWr <= Math.min(device.maxQpWr, send?.size ?? -1), 'CTRL-23, CTRL-76, CTRL-77');
    need(maxRecvWr <= Math.min(device.maxQpWr, recv?.size ?? -1), 'CTRL-23, CTRL-76, CTRL-77');
    need(maxSendSge <= adapter.attributes.maxSendSge && cap.maxInlineData <= 512, 'CTRL-78, CTRL-80');
    need(maxRecvSge <= adapter.attributes.maxRecvSge, 'CTRL-79');
    const init = { type, sqSigAll: sigAll === 1, sendCq: cqs[0].hca, recvCq: cqs[1].hca, cap };
    const retired = (_, cookie) => path.retire(cookie);
    const hca = adapter.createQp(pd.hca, init, { sendRetired: retired, recvRetired: retired }, qpn);
    qps.set(qpn, { hca, pd, cap, cqs, datagrams: type === GSI || type === UD, ...halves(cap, send, recv) });
    return words(4, 0, [qpn]);
  },
  modifyQp(device, view) {
    const qp = find(device.qps, u32(view, 0));
    const attributes = attributesOf(view);
    for (const half of [qp.recv, qp.send]) while (device.path.take(qp, half)); // [CTRL-88]
    device.adapter.modifyQp(qp.hca, attributes);
    if (attributes.qpState === 0) finish(device, qp);
  },
  queryQp({ adapter, qps }, view) {
    const { hca, cap } = find(qps, u32(view, 0));
    const state = adapter.queryQp(hca);
    const numbers = pick(state, 'qkey rqPsn sqPsn destQpNum qpAccessFlags rateLimit');
    const answer = words(120, 16, [...numbers, ...Object.values(cap)]);
    const bytes = new Uint8Array(answer.buffer);
    bytes.set(pick(state, 'qpState pathMtu sqDraining maxRdAtomic maxDestRdAtomic minRnrTimer'), 0);
    bytes.set(pick(state, 'timeout retryCnt rnrRetry'), 6);
    if (state.ahAttr === undefined) return answer;
    bytes.set(Buffer.from(state.ahAttr.dgid, 'hex'), 64);
    answer.setUint32(80, state.ahAttr.flowLabel, true);
    bytes.set(pick(state.ahAttr, 'sgidIndex hopLimit trafficClass'), 84);
    return answer;
  },
  destroyQp(device, view) {
    const qp = find(device.qps, u32(view, 0));
    device.adapter.destroyQp(qp.hca);
    device.qps.delete(u32(view, 0));
    finish(device, qp);
  },
  createAh(device, view) {
    const pd = find(device.pds, u32(view, 0));
    const hca = device.adapter.createAh(pd.hca, addressVector(view, 8));
    return words(4, 0, [enter(device, device.ahs, { hca, pd })]);
  },
  destroyAh({ adapter, ahs, pds }, view) {
    const { hca, pd } = find(ahs, u32(view, 4));
    need(pd === pds.get(u32(view, 0)), 'CTRL-100');
    adapter.destroyAh(hca);
    ahs.delete(u32(view, 4));
  },
  addGid({ adapter }, view) {
    const gid = gidAt(view, 8);
    need(/[^0]/u.test(gid), 'CTRL-104');
    adapter.addGid(view.getUint16(0, true), gid);
  },
  delGid({ adapter }, view) {
    adapter.delGid(view.getUint16(0, true));
  },
  reqNotifyCq({ cqs, path }, view) {
    const cq = find(cqs, u32(view, 0));
    const flags = u32(view, 4);
    need(flags > 0 && flags <= 3, 'CTRL-40, CTRL-41');
    path.deliver(cq); // what comes now raises nothing on account of this [CTRL-43]
    cq.armed |= flags;
  },
});
