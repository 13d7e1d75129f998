/** Devices that do not hand an attribute on or do not show it, one mutant for each. */
import { AccessFlag, Command, queryQpAck } from '../../../abi/index.js';
import { mutant } from '../mutant.js';
import type { Mutant } from '../mutant.js';
import { answersWith, useOfAdapter } from '../seams/device.js';
import { states } from './queue-pair-support.js';
import type { Name } from './queue-pair-support.js';

const ALL_ACCESS = AccessFlag.LOCAL_WRITE | AccessFlag.REMOTE_WRITE | AccessFlag.REMOTE_READ;

/** Attributes of MODIFY_QP, with the value that the mutant takes for whatever it is told. */
const attributes: readonly (readonly [Name, number, string])[] = [
  ['pathMtu', 1, 'DATA-73'],
  ['maxRdAtomic', 1, 'DATA-63'],
  ['maxDestRdAtomic', 1, 'DATA-64'],
  ['minRnrTimer', 1, 'DATA-69'],
  ['timeout', 1, 'DATA-67'],
  ['retryCnt', 1, 'DATA-81'],
  ['rnrRetry', 1, 'DATA-70'],
  ['qkey', 0x1111, 'ISO-13'],
  ['qpAccessFlags', ALL_ACCESS, 'MEM-18'],
];

const notHandedOn = attributes.map(([name, value, breaks]) =>
  mutant(
    'device',
    `modify-${name.replaceAll(/[A-Z]/g, upper => `-${upper.toLowerCase()}`)}-not-handed-on`,
    states(`QP-33 QP-39 ${breaks}`),
    `MODIFY_QP takes ${value} for every ${name}.`,
    useOfAdapter(hca => ({
      modifyQp: (qp, asked) =>
        hca.modifyQp(qp, asked[name] === undefined ? asked : { ...asked, [name]: value }),
    })),
  ),
);

/** Fields of QUERY_QP that are answered with zero. */
const queried = [
  ['qp_state', 'QP-23'],
  ['path_mtu', ''],
  ['max_rd_atomic', ''],
  ['max_dest_rd_atomic', ''],
  ['min_rnr_timer', ''],
  ['timeout', ''],
  ['retry_cnt', ''],
  ['rnr_retry', ''],
  ['qkey', ''],
  ['qp_access_flags', ''],
  ['dest_qp_num', ''],
] as const;

const notShown = queried.map(([field, breaks]) =>
  mutant(
    'device',
    `query-${field.replaceAll('_', '-')}-zero`,
    states(`CTRL-90 ${field === 'qp_state' ? breaks : 'QP-39'}`),
    `QUERY_QP answers ${field} with zero.`,
    answersWith(Command.QUERY_QP, queryQpAck, () => ({ [field]: 0 })),
  ),
);

export const attributeMutants: readonly Mutant[] = [...notHandedOn, ...notShown];
