/** What both ends of an RC connection come to when the responder has found a fault. */
import type { Endpoint } from './endpoint.js';

/** Both ends are in ERR, and what they hold is flushed. */
export function bothFailed(near: Endpoint, far: Endpoint): void {
  near.is('ERR');
  far.is('ERR');
  near.send();
  near.sends('WR_FLUSH_ERR');
  far.recv();
  far.receives('WR_FLUSH_ERR');
}
