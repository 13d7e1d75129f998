/** Requests that fail: wrong keys, ranges and rights on either side, receivers that are not ready or gone, posts that are refused. */
import { AccessFlag } from '../../abi/index.js';
import type { Endpoint, EndpointOptions } from './endpoint.js';
import { IN } from './guest.js';
import { scenario } from './scenario.js';
import type { Scenario } from './scenario.js';

const { LOCAL_WRITE, REMOTE_WRITE, REMOTE_READ } = AccessFlag;
type Fault = (end: Endpoint) => { mr: Parameters<Endpoint['send']>[0] extends infer S ? NonNullable<S>['mr' & keyof S] : never; at?: number };

/** Local keys that must not work, each made on the machine that uses it. */
const badKeys: readonly [string, string, (end: Endpoint) => { mr: Key; at?: number }][] = [
  ['wrong-key', 'a key that nobody has', ({ mr }) => ({ mr: { of: mr, delta: 1 } })],
  ['key-zero', 'the key 0', () => ({ mr: { raw: 0 } })],
  ['outside-region', 'a place that is only half in its region', ({ guest, pd }) => ({ mr: guest.mr(pd, { length: IN + 512 }), at: IN })],
  ['other-domain', 'a region of another protection domain', ({ guest }) => ({ mr: guest.mr(guest.pd()) })],
];
type Key = NonNullable<NonNullable<Parameters<Endpoint['recvOf']>[0]>['mr']>;
