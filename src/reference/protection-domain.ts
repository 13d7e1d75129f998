/** A protection domain: what its queue pairs may reach are its memory regions and address handles. */
import type { HcaPd } from './hca.js';

export class ProtectionDomain implements HcaPd {
  readonly kind = 'hca-pd';
  /** Memory regions, queue pairs and address handles that use it. */
  users = 0;
}
