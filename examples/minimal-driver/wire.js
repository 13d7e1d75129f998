/**
 * Structs (docs/abi.md) and refusals. A struct is a row of fields: `4:lkey` is four bytes for the member `lkey`, `4` is four bytes
 * of zero. Numbers are little-endian; sixteen bytes are a GID.
 */
const CAPACITIES = '4:maxSendWr 4:maxRecvWr 4:maxSendSge 4:maxRecvSge 4:maxInlineData 4';
const VECTOR = '16:dgid 4:flowLabel 1:sgidIndex 1:hopLimit 1:trafficClass 1 6 10';
const TIMES = '1:maxRdAtomic 1:maxDestRdAtomic 1:minRnrTimer 1:timeout 1:retryCnt 1:rnrRetry 7';
const WORDS = '4:qkey 4:rqPsn 4:sqPsn 4:destQpNum 4:qpAccessFlags 4:rateLimit';
const SGES = '4:maxSendSge 4:maxRecvSge 4:maxSgeRd';
const COUNTS = '4:maxCqe 4:maxMr 4:maxPd 4:maxQpRdAtom 4:maxQpInitRdAtom 4:maxAh';
export const Struct = {
  device: `8 8:maxMrSizeBytes 8:pageSizeCap 4 4:maxQpWr ${SGES} ${COUNTS} 4 14 14 14 14`,
  createQp: `4:pd 1:type 1:sqSigAll 2 4:sendCq 4:recvCq ${CAPACITIES} 16`,
  modifyQp: `4:qp 4:mask 1:qpState 1:curQpState 1:pathMtu ${TIMES} ${WORDS} 24 ${VECTOR} 16`,
  queryQp: `1:qpState 1:pathMtu 1:sqDraining ${TIMES} ${WORDS} ${CAPACITIES} ${VECTOR} 16`,
  createAh: `4:pd 4 ${VECTOR}`,
  region: '4:pd 4:access 8:addr 8:length 4:npages 4',
  send: '8:wrId 1:opcode 1:sendFlags 2 4:immData',
  completion: '8:wrId 1:status 1:opcode 2 4:vendorErr 4:byteLen 4:immData 4:qpNum 4:srcQp 4:wcFlags 12',
};

export const refusal = (errno, detail) => Object.assign(new Error(`${errno}: ${detail}`), { errno });
export function refuseIf(wrong, detail, errno = 'EINVAL') {
  if (wrong) throw refusal(errno, detail);
}
export const sum = numbers => numbers.reduce((total, number) => total + number, 0);
export const lengthsOf = fields => fields.map(([bytes]) => bytes);

const rows = new Map([['', []]]);
function rowOf(struct) {
  const parsed = field => [parseInt(field, 10), field.split(':')[1]];
  if (!rows.has(struct)) rows.set(struct, struct.split(' ').map(parsed));
  return rows.get(struct);
}

/** The fields of a struct, [bytes, value]: zero for what is not there. A value may be a Uint8Array, with zeros behind it. */
export const fieldsOf = (struct, from = {}) => rowOf(struct).map(([bytes, name]) => [bytes, from[name] ?? 0]);

export function encode(fields) {
  const target = new Uint8Array(sum(lengthsOf(fields)));
  let at = 0;
  for (const [bytes, value] of fields) {
    const gid = bytes === 16 && /^[0-9a-f]{32}$/.test(value);
    const own = gid ? value.match(/../g).map(pair => parseInt(pair, 16)) : value;
    const fits = Number.isSafeInteger(own) && own >= 0 && own < 256 ** bytes;
    refuseIf(!fits && !gid && !(own instanceof Uint8Array), `${value} in ${bytes} bytes [ERR-01]`);
    if (!fits) target.set(own, at);
    else for (let to = at, rest = own; rest > 0; to++, rest = Math.floor(rest / 256)) target[to] = rest % 256;
    at += bytes;
  }
  return target;
}

export function decode(struct, bytes) {
  const values = {};
  let at = 0;
  for (const [length, name = 'padding'] of rowOf(struct)) {
    const field = bytes.subarray(at, at + length);
    const hex = () => Array.from(field, byte => byte.toString(16).padStart(2, '0')).join('');
    values[name] = length === 16 ? hex() : field.reduceRight((number, byte) => 256 * number + byte, 0);
    at += length;
  }
  return values;
}

const MASK =
  'qpState curQpState qpAccessFlags qkey ahAttr pathMtu timeout retryCnt rnrRetry rqPsn ' +
  'maxRdAtomic minRnrTimer sqPsn maxDestRdAtomic cap destQpNum rateLimit';
export const maskOf = attributes =>
  sum(MASK.split(' ').map((name, bit) => (attributes[name] === undefined ? 0 : 2 ** bit)));

export const [GSI, RC, UC] = [1, 2, 3];
export const [RESET, INIT, RTS, ERR] = [0, 1, 3, 6];
const [MASK_ACCESS, MASK_QKEY] = [4, 8];
/** Whether the table has a change. From all states but RESET and ERR a queue pair can have gone to ERR unseen [QP-34] [QP-52]. */
export function mayModify({ type, state }, attributes) {
  if (state !== RESET && state !== ERR) return true;
  const [to, named] = [attributes.qpState ?? state, maskOf(attributes) & ~1];
  if (to === RESET || to === state) return named === 0;
  return state === RESET && to === INIT && named === (type === RC || type === UC ? MASK_ACCESS : MASK_QKEY);
}
