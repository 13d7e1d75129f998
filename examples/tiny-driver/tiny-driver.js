/**
 * A whole virtio-rdma guest driver, written from the specification alone and not after the bundled one: direct chains, a
 * command in two descriptors, one command at a time. What is in brackets names an obligation of `spec/`.
 */
import * as abi from 'vrdma/abi';
import { VerbsError, emptyCompletion } from 'vrdma/verbs';
import { Commands } from './commands.js';
import { camel, encodeAddress, encodeChange, encodeGid, need, snake } from './fields.js';
import { forget, giveBuffer, learn, letGo, rememberReceive, rememberSend, settle } from './record.js';
import { encodeReceive, encodeSend, total } from './requests.js';
import { RequestRing, Ring, honest } from './ring.js';
import { Status, negotiate, setStatus } from './startup.js';

const { Command, QpAttrMask, QpState, QpType, SendFlag, WcStatus } = abi;
const PAGE = 4096;
const CQE = abi.cqReq.size;
/** What `vrdma check --driver` calls for each virtual machine. */
export async function createDriver(context) {
  const driver = new TinyDriver(context);
  await driver.start();
  return driver;
}

/** Implements `Verbs`. Handles are the driver's own records of the objects; those in `#living` exist. */
export class TinyDriver {
  #context;
  #commands;
  #port;
  #limits;
  /** By number of the completion queue: its virtqueue, and `cq` while one exists. */
  #cqSlots = [];
  /** By number of the queue pair: its virtqueues `sq` and `rq`, and `qp` while one exists. */
  #qpSlots = [];
  #living = new Set();

  constructor(context) {
    this.#context = context;
    this.#commands = new Commands(context);
  }

  async start() {
    const { transport, profile } = this.#context;
    this.#port = negotiate(this.#context);
    this.#commands.guard(() => this.#enableQueues(profile.queues(this.#port.qps, this.#port.cqs)));
    this.#commands.alive('createDriver');
    setStatus(transport, Status.DRIVER_OK);
    this.#limits = await this.queryDevice();
  }

  #enableQueues(queues) {
    const { transport, os } = this.#context;
    this.#commands.begin(new Ring(this.#context, queues.control, { interrupts: true }));
    for (let n = 0; n < this.#port.cqs; n++)
      this.#cqSlots[n] = { ring: new Ring(this.#context, queues.cq(n)) };
    for (let n = 1; n < this.#port.qps; n++) {
      const [sq, rq] = [queues.sq(n), queues.rq(n)].map(index => new RequestRing(this.#context, index));
      this.#qpSlots[n] = { sq, rq };
    }
    const answers = { run: () => this.#commands.guard(() => this.#commands.takeAnswers()) };
    const status = { run: () => this.#commands.lookAtStatus() };
    transport.onInterrupt(source => {
      if (source === 'config') os.defer(status);
      else if (source === queues.control) os.defer(answers);
      else this.#event(this.#cqSlots[source - queues.cq(0)]?.cq);
    });
  }

  queryDevice() {
    const done = ({ max_mr_size: maxMrSizeBytes, ...limits }) => {
      const { qps, cqs } = this.#port;
      return { ...camel(limits), maxMrSizeBytes, maxQp: qps, maxCq: cqs };
    };
    return this.#commands.verb('queryDevice', () => ({
      command: Command.QUERY_DEVICE,
      answer: abi.queryDeviceAck,
      done,
    }));
  }

  queryPort() {
    const { activeMtu } = this.#port;
    const done = ({ gid_tbl_len: gidTableLength, max_msg_sz: maxMsgSizeBytes }) => {
      return { gidTableLength, maxMsgSizeBytes, activeMtu };
    };
    return this.#commands.verb('queryPort', () => ({
      command: Command.QUERY_PORT,
      answer: abi.queryPortAck,
      done,
    }));
  }

  createPd() {
    return this.#commands.verb('createPd', () => ({
      command: Command.CREATE_PD,
      answer: abi.createPdAck,
      full: this.#count('pd') >= this.#limits.maxPd,
      done: ({ pdn }) => this.#add({ kind: 'pd', number: pdn }),
    }));
  }

  destroyPd(pd) {
    return this.#destroy('destroyPd', pd, 'pd', Command.DESTROY_PD, abi.destroyPdCommand, { pdn: pd.number });
  }

  createCq(cqe, onEvent) {
    return this.#commands.verb('createCq', verb => {
      need(
        Number.isInteger(cqe) && cqe >= 0 && cqe <= this.#limits.maxCqe,
        verb,
        `${cqe} entries, at most ${this.#limits.maxCqe}`,
      );
      const buffers = this.#context.os.allocDma(Math.max(cqe, 1) * CQE, 8);
      return {
        command: Command.CREATE_CQ,
        data: [abi.createCqCommand, { cqe }],
        answer: abi.createCqAck,
        full: this.#count('cq') >= this.#port.cqs,
        memory: buffers,
        done: ({ cqn }) => {
          const slot = this.#cqSlots[cqn];
          honest(slot !== undefined && cqe <= slot.ring.size, 'a completion queue that cannot be [HOST-14]');
          const cq = this.#add({ kind: 'cq', number: cqn, cqe, buffers, onEvent, ring: slot.ring });
          slot.cq = Object.assign(cq, { armed: 0, ready: [], closing: false });
          for (let buffer = 0; buffer < cqe; buffer++) giveBuffer(cq, buffer);
          cq.ring.publish();
          return cq;
        },
      };
    });
  }

  destroyCq(cq) {
    return this.#destroy(
      'destroyCq',
      cq,
      'cq',
      Command.DESTROY_CQ,
      abi.destroyCqCommand,
      { cqn: cq.number },
      {
        // A buffer that is given from now on may come too late to be returned.
        sent: () => (cq.closing = true),
        done: () => {
          cq.ring.retract();
          while (cq.ring.take() !== undefined);
          honest(
            cq.ring.outstanding === 0,
            'buffers are out after the end of their completion queue [HOST-27]',
          );
          this.#context.os.freeDma(cq.buffers);
          this.#cqSlots[cq.number].cq = undefined;
        },
        refused: () => {
          cq.closing = false;
          cq.ring.publish();
        },
      },
    );
  }

  reqNotifyCq(cq, solicitedOnly) {
    return this.#commands.verb('reqNotifyCq', verb => {
      this.#need(cq, 'cq', verb);
      const flags = solicitedOnly ? abi.NotifyFlag.SOLICITED : abi.NotifyFlag.NEXT_COMPLETION;
      return {
        command: Command.REQ_NOTIFY_CQ,
        data: [abi.reqNotifyCommand, { cqn: cq.number, flags }],
        // Section 8.6: an event may come before the OK, and a stray notification too.
        sent: () => cq.armed++,
        done: () => void (cq.armed = Math.max(cq.armed, 1)),
        refused: () => (cq.armed = Math.max(cq.armed - 1, 0)),
      };
    });
  }

  regMr(pd, { addr, length, access }) {
    return this.#commands.verb('regMr', verb => {
      this.#need(pd, 'pd', verb);
      const end = addr + length;
      need(
        addr >= 0 && length > 0 && length <= this.#limits.maxMrSizeBytes,
        verb,
        `${length} bytes at ${addr}`,
      );
      need(
        Number.isInteger(addr) && Number.isInteger(length) && end <= 2 ** 53,
        verb,
        `a region up to ${end}`,
      );
      const pages = [];
      for (let at = addr; at < end; at += PAGE - (at % PAGE)) {
        pages.push(this.#context.os.translate(at) - (at % PAGE));
      }
      const fields = { pdn: pd.number, access_flags: access, virt_addr: addr, length, npages: pages.length };
      const data = [abi.regUserMrCommand, fields, pages];
      return { command: Command.REG_USER_MR, data, ...this.#newRegion(pd, access, abi.regUserMrAck) };
    });
  }

  getDmaMr(pd, access) {
    return this.#commands.verb('getDmaMr', verb => {
      this.#need(pd, 'pd', verb);
      const data = [abi.getDmaMrCommand, { pdn: pd.number, access_flags: access }];
      return { command: Command.GET_DMA_MR, data, ...this.#newRegion(pd, access, abi.getDmaMrAck) };
    });
  }

  #newRegion(pd, access, answer) {
    const remote = (access & (abi.AccessFlag.REMOTE_READ | abi.AccessFlag.REMOTE_WRITE)) !== 0;
    const done = ({ mrn, lkey, rkey }) => {
      const taken = [...this.#living].some(mr => mr.kind === 'mr' && mr.lkey === lkey);
      honest(lkey !== 0 && !taken && (rkey !== 0) === remote, 'keys that cannot be [HOST-16, HOST-17]');
      return this.#add({ kind: 'mr', number: mrn, lkey, rkey }, pd);
    };
    return { answer, full: this.#count('mr') >= this.#limits.maxMr, done };
  }

  deregMr(mr) {
    return this.#destroy('deregMr', mr, 'mr', Command.DEREG_MR, abi.deregMrCommand, { mrn: mr.number });
  }

  createQp(pd, { type, sqSigAll, sendCq, recvCq, cap }) {
    return this.#commands.verb('createQp', verb => {
      this.#need(pd, 'pd', verb);
      for (const cq of [sendCq, recvCq]) this.#need(cq, 'cq', verb);
      const numbers = { pdn: pd.number, send_cqn: sendCq.number, recv_cqn: recvCq.number };
      const fields = { ...numbers, qp_type: type, sq_sig_all: sqSigAll ? 1 : 0, cap: snake(cap) };
      const gsi = type === QpType.GSI;
      const alike = [...this.#living].filter(
        qp => qp.kind === 'qp' && (qp.type === QpType.GSI) === gsi,
      ).length;
      return {
        command: Command.CREATE_QP,
        data: [abi.createQpCommand, fields],
        answer: abi.createQpAck,
        full: alike >= (gsi ? 1 : this.#port.qps - 2),
        done: ({ qpn }) => {
          const slot = this.#qpSlots[qpn];
          honest(slot !== undefined && (qpn === 1) === gsi, 'a queue pair that cannot be [HOST-15]');
          const qp = { kind: 'qp', number: qpn, qpNum: qpn, type, sqSigAll, sendCq, recvCq, cap: { ...cap } };
          slot.qp = this.#add(Object.assign(qp, { sq: slot.sq, rq: slot.rq, life: 0 }), pd, sendCq, recvCq);
          qp.sq.begin(abi.sqReq.size + cap.maxSendSge * abi.sge.size, cap.maxSendWr);
          qp.rq.begin(abi.rqReq.size + cap.maxRecvSge * abi.sge.size, cap.maxRecvWr);
          forget(qp);
          return qp;
        },
      };
    });
  }

  modifyQp(qp, attributes) {
    return this.#commands.verb('modifyQp', verb => {
      this.#need(qp, 'qp', verb);
      const fields = encodeChange(verb, qp, attributes);
      const resets = attributes.qpState === QpState.RESET;
      return {
        command: Command.MODIFY_QP,
        data: [abi.modifyQpCommand, fields],
        sent: () => (qp.holding = resets),
        done: () => {
          qp.state = attributes.qpState ?? qp.state;
          qp.maxRdAtomic = attributes.maxRdAtomic ?? qp.maxRdAtomic;
          qp.hasAddress ||= attributes.ahAttr !== undefined;
          if (resets) this.#endLife(qp);
        },
        refused: () => letGo(qp),
      };
    });
  }

  queryQp(qp) {
    return this.#commands.verb('queryQp', verb => {
      this.#need(qp, 'qp', verb);
      const mask = Object.values(QpAttrMask).reduce((bits, bit) => bits | bit);
      return {
        command: Command.QUERY_QP,
        data: [abi.queryQpCommand, { qpn: qp.number, attr_mask: mask }],
        answer: abi.queryQpAck,
        done: answer => {
          honest(abi.qpStates.nameOf(answer.qp_state) !== undefined, 'a state that cannot be [HOST-18]');
          qp.state = answer.qp_state;
          const { cap, ah_attr: av, sq_draining: draining, ...fields } = answer;
          const address = { ...camel(av.grh), dgid: Buffer.from(av.grh.dgid).toString('hex') };
          const ahAttr = qp.hasAddress ? address : undefined;
          return { ...camel(fields), sqDraining: draining === 1, cap: camel(cap), ahAttr };
        },
      };
    });
  }

  destroyQp(qp) {
    return this.#destroy(
      'destroyQp',
      qp,
      'qp',
      Command.DESTROY_QP,
      abi.destroyQpCommand,
      { qpn: qp.number },
      {
        sent: () => (qp.holding = true),
        done: () => {
          this.#endLife(qp);
          this.#qpSlots[qp.number].qp = undefined;
        },
        refused: () => letGo(qp),
      },
    );
  }

  createAh(pd, attributes) {
    return this.#commands.verb('createAh', verb => {
      this.#need(pd, 'pd', verb);
      return {
        command: Command.CREATE_AH,
        data: [abi.createAhCommand, { pdn: pd.number, ah_attr: encodeAddress(verb, attributes) }],
        answer: abi.createAhAck,
        full: this.#count('ah') >= this.#limits.maxAh,
        done: ({ ah }) => this.#add({ kind: 'ah', number: ah, pdn: pd.number }, pd),
      };
    });
  }

  destroyAh(ah) {
    const fields = { pdn: ah.pdn, ah: ah.number };
    return this.#destroy('destroyAh', ah, 'ah', Command.DESTROY_AH, abi.destroyAhCommand, fields);
  }

  addGid(index, gid) {
    return this.#commands.verb('addGid', verb => {
      return { command: Command.ADD_GID, data: [abi.addGidCommand, { index, gid: encodeGid(verb, gid) }] };
    });
  }

  delGid(index) {
    return this.#commands.verb('delGid', () => ({
      command: Command.DEL_GID,
      data: [abi.delGidCommand, { index }],
    }));
  }

  postSend(qp, request) {
    this.#post('postSend', qp, verb => {
      const exists = ah => this.#living.has(ah);
      const limits = { activeMtu: this.#port.activeMtu, maxSgeRd: this.#limits.maxSgeRd };
      const { length, write } = encodeSend(verb, qp, request, limits, exists);
      if (!qp.sq.hasRoom()) throw new VerbsError('ENOMEM', verb, 'the send queue is full');
      qp.sq.post(length, write);
      const signaled = qp.sqSigAll || (request.sendFlags & SendFlag.SIGNALED) !== 0;
      rememberSend(qp, { wrId: request.wrId, signaled });
      if (!qp.holding) qp.sq.publish();
    });
  }

  postRecv(qp, request) {
    this.#post('postRecv', qp, verb => {
      const { length, write } = encodeReceive(verb, qp, request);
      if (!qp.rq.hasRoom()) throw new VerbsError('ENOMEM', verb, 'the receive queue is full');
      qp.rq.post(length, write);
      rememberReceive(qp, { wrId: request.wrId, room: total(request.sges) });
      if (!qp.holding) qp.rq.publish();
    });
  }

  #post(verb, qp, run) {
    this.#commands.alive(verb);
    this.#need(qp, 'qp', verb);
    this.#commands.guard(() => run(verb));
    this.#commands.alive(verb);
  }

  pollCq(cq, completions, max) {
    this.#commands.alive('pollCq');
    this.#need(cq, 'cq', 'pollCq');
    let count = 0;
    this.#commands.guard(() => {
      for (; count < max; count++) {
        const entry = cq.ready.shift() ?? this.#nextCompletion(cq);
        if (entry === undefined) break;
        const { qp, life, buffer, completion } = entry;
        if (life === qp.life) learn(qp, completion.status);
        completions[count] = Object.assign(completions[count] ?? {}, completion);
        giveBuffer(cq, buffer);
      }
      if (!cq.closing) cq.ring.publish();
    });
    if (count === 0) this.#commands.alive('pollCq');
    return count;
  }

  /** Takes one completion out of the virtqueue; checks it against what was posted [HOST-19 to HOST-24]. */
  #nextCompletion(cq) {
    let back = cq.ring.take();
    while (cq.closing && back?.written === 0) back = cq.ring.take();
    if (back === undefined) return undefined;
    honest(back.written === CQE, 'a completion of another length');
    const copy = new DataView(cq.buffers.bytes.slice(back.token * CQE, (back.token + 1) * CQE).buffer);
    const entry = abi.cqReq.decode(copy, 0);
    const qp = this.#qpSlots[entry.qp_num]?.qp;
    honest(qp !== undefined, 'a completion of a queue pair that is not there');
    settle(cq, qp, entry);
    const completion = { ...camel(entry), immData: copy.getUint32(abi.cqReq.offsets.imm_data, false) };
    const { wrId, status, vendorErr, qpNum } = completion;
    const failure = { ...emptyCompletion(), wrId, status, vendorErr, qpNum };
    return {
      qp,
      life: qp.life,
      buffer: back.token,
      completion: status === WcStatus.SUCCESS ? completion : failure,
    };
  }

  /** After the OK of DESTROY_QP or of a move to RESET: what is left of this life must not pass for the next [CQ-55]. */
  #endLife(qp) {
    qp.sq.clear();
    qp.rq.clear();
    for (const cq of new Set([qp.sendCq, qp.recvCq])) {
      for (let entry = this.#nextCompletion(cq); entry !== undefined; entry = this.#nextCompletion(cq)) {
        cq.ready.push(entry);
      }
    }
    forget(qp);
  }

  /** A used-buffer notification of a completion virtqueue [CQ-46 to CQ-50]. */
  #event(cq) {
    if (cq === undefined || cq.armed === 0) return;
    cq.armed--;
    const run = () => {
      if (!this.#commands.isDead && this.#living.has(cq)) cq.onEvent?.(cq);
    };
    this.#context.os.defer({ run });
  }

  #need(object, kind, verb) {
    need(this.#living.has(object) && object.kind === kind, verb, `no such ${kind} here`);
  }

  #count(kind) {
    return [...this.#living].filter(object => object.kind === kind).length;
  }

  #add(object, ...parents) {
    const taken = [...this.#living].some(
      ({ kind, number }) => kind === object.kind && number === object.number,
    );
    honest(!taken, 'a number that a living object has [HOST-13]');
    for (const parent of parents) parent.users++;
    this.#living.add(Object.assign(object, { parents, users: 0 }));
    return object;
  }

  #destroy(verb, object, kind, command, codec, fields, { sent, done, refused } = {}) {
    return this.#commands.verb(verb, () => {
      this.#need(object, kind, verb);
      if (object.users > 0) throw new VerbsError('EBUSY', verb, `${object.users} objects use the ${kind}`);
      const finish = () => {
        done?.();
        this.#living.delete(object);
        for (const parent of object.parents) parent.users--;
      };
      return { command, data: [codec, fields], sent, done: finish, refused };
    });
  }
}
