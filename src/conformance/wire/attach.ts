/** Puts a wire judge where a world can be watched: at the fabric, and between devices and their HCA functions. */
import { QpState } from '../../abi/index.js';
import type { DropReason, Packet, WireObserver } from '../../fabric/index.js';
import type { HcaFunction } from '../../reference/index.js';
import { WireJudge } from './wire-judge.js';
import type { MonitorOf } from './tables.js';

export interface AttachedWire {
  readonly judge: WireJudge;
  readonly wire: WireObserver;
  /** Watches a function for queue pairs that are reset or destroyed. */
  function(inner: HcaFunction): HcaFunction;
}

export function attachWire(monitorOf?: MonitorOf): AttachedWire {
  const judge = new WireJudge({ sourceKnown: true, ...(monitorOf === undefined ? {} : { monitorOf }) });
  const wire: WireObserver = {
    sent: packet => judge.take(packet),
    delivered: () => undefined,
    dropped: (packet: Packet, why: DropReason) => {
      // It never was on the wire, and has a number all the same.
      if (why === 'the source GID table entry is empty') judge.forget(packet.sourceQpn);
    },
  };
  return { judge, wire, function: inner => forgetting(inner, judge) };
}

function forgetting(inner: HcaFunction, judge: WireJudge): HcaFunction {
  const changes: Partial<HcaFunction> = {
    modifyQp: (qp, attributes) => {
      inner.modifyQp(qp, attributes);
      if (attributes.qpState === QpState.RESET || attributes.qpState === QpState.RTR) judge.forget(qp.qpNum);
    },
    destroyQp: qp => {
      inner.destroyQp(qp);
      judge.forget(qp.qpNum);
    },
    reset: () => {
      inner.reset();
      judge.forgetAll();
    },
    createQp: (pd, init, owner, qpNum) => {
      const qp = inner.createQp(pd, init, owner, qpNum);
      judge.forget(qp.qpNum);
      return qp;
    },
  };
  return new Proxy(inner, {
    get(target, key): unknown {
      if (Object.hasOwn(changes, key)) return Reflect.get(changes, key);
      const value: unknown = Reflect.get(target, key);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
