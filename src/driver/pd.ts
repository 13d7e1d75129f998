/** Protection domains. */
import { Command, createPdAck, destroyPdCommand } from '../abi/index.js';
import { VerbsError } from '../verbs/index.js';
import type { ProtectionDomain } from '../verbs/index.js';
import { refuse } from './checks.js';
import { structData } from './command-engine.js';
import type { DriverContext } from './context.js';
import { DriverPd, claimPd } from './objects.js';

export function createPd(context: DriverContext): Promise<DriverPd> {
  const verb = 'createPd';
  const { session, engine, pds, limits } = context;
  pds.creating();
  return engine.run({
    verb,
    code: Command.CREATE_PD,
    resultBytes: createPdAck.size,
    refused: () => pds.refused(verb, limits.maxPd),
    accept: result => {
      const { pdn } = createPdAck.decode(result, 0);
      const fault = pds.fault(pdn);
      if (fault !== undefined) throw session.fault(verb, fault);
      const pd = new DriverPd(session, pdn);
      pds.created(pdn, pd);
      return pd;
    },
  });
}

export async function destroyPd(context: DriverContext, handle: ProtectionDomain): Promise<void> {
  const verb = 'destroyPd';
  const pd = claimPd(context.session, verb, handle);
  if (pd.users > 0) throw new VerbsError('EBUSY', verb, `${pd.users} objects use it`);
  pd.alive = false;
  return context.engine.run({
    verb,
    code: Command.DESTROY_PD,
    data: structData(destroyPdCommand, { pdn: pd.number }),
    resultBytes: 0,
    refused: () => {
      pd.alive = true;
      return refuse(verb, 'the device refused');
    },
    accept: () => context.pds.destroyed(pd.number),
  });
}
