/** Devices that are wrong about the order of requests and about when they are done. */
import { WrOpcode, sqReq } from '../../../abi/index.js';
import type { HcaQp } from '../../../reference/index.js';
import { VerbsError } from '../../../verbs/index.js';
import { mutant } from '../mutant.js';
import type { Mutant } from '../mutant.js';
import { deviceBytes, queuePairOwners, useOfAdapter } from '../seams/device.js';
import { every } from '../seams/overlay.js';

const inOrder: readonly Mutant[] = [
  mutant(
    'device',
    'sends-reordered',
    { chapter: 'ordering', breaks: 'ORD-01 QP-22 ORD-03 VQ-31 ORD-06', needs: 'race' },
    'Of two sends that are there together the second goes first.',
    useOfAdapter((hca, context) => {
      const kept = new Map<HcaQp, () => void>();
      return {
        postSend(qp, request, cookie) {
          const copy = {
            ...request,
            sges: request.sges.map(sge => ({ ...sge })),
            inlineData: request.inlineData?.slice(),
          };
          const post = (): void => {
            try {
              hca.postSend(qp, copy, cookie);
            } catch (error) {
              if (!(error instanceof VerbsError)) throw error;
            }
          };
          const before = kept.get(qp);
          if (before !== undefined) {
            kept.delete(qp);
            post();
            return before();
          }
          kept.set(qp, post);
          const give = (): void => {
            if (kept.delete(qp)) post();
          };
          context.scheduler.post({ run: give });
        },
      };
    }),
  ),
  mutant(
    'device',
    'receives-reordered',
    { chapter: 'ordering', breaks: 'ORD-02', needs: 'race' },
    'Of two receives that are there together the second is used first.',
    useOfAdapter((hca, context) => {
      const kept = new Map<HcaQp, () => void>();
      return {
        postRecv(qp, request, cookie) {
          const copy = { ...request, sges: request.sges.map(sge => ({ ...sge })) };
          const post = (): void => {
            try {
              hca.postRecv(qp, copy, cookie);
            } catch (error) {
              if (!(error instanceof VerbsError)) throw error;
            }
          };
          const before = kept.get(qp);
          if (before !== undefined) {
            kept.delete(qp);
            post();
            return before();
          }
          kept.set(qp, post);
          context.scheduler.post({
            run: () => {
              if (kept.delete(qp)) post();
            },
          });
        },
      };
    }),
  ),
  mutant(
    'device',
    'chain-back-too-soon',
    { chapter: 'data path', breaks: 'DATA-27 DATA-34 ORD-11', needs: 'race' },
    'The chain of a send comes back as soon as it was posted.',
    useOfAdapter(hca => {
      const early = new Set<string>();
      const tell = new Map<HcaQp, (cookie: number) => void>();
      return {
        createQp(pd, init, owner, qpNum) {
          const late = {
            recvRetired: (qp: HcaQp, cookie: number) => owner.recvRetired(qp, cookie),
            sendRetired(qp: HcaQp, cookie: number) {
              if (!early.delete(`${qp.qpNum} ${cookie}`)) owner.sendRetired(qp, cookie);
            },
          };
          const qp = hca.createQp(pd, init, late, qpNum);
          tell.set(qp, cookie => owner.sendRetired(qp, cookie));
          return qp;
        },
        postSend(qp, request, cookie) {
          hca.postSend(qp, request, cookie);
          if (request.opcode === WrOpcode.RDMA_READ) return;
          early.add(`${qp.qpNum} ${cookie}`);
          tell.get(qp)?.(cookie);
        },
      };
    }),
  ),
  mutant(
    'device',
    'chain-back-after-its-completion',
    { chapter: 'ordering', breaks: 'ORD-15', needs: 'race' },
    'The chain of a send comes back one microsecond after its completion.',
    useOfAdapter((hca, { scheduler }) => ({
      createQp: (pd, init, owner, qpNum) =>
        hca.createQp(
          pd,
          init,
          {
            recvRetired: (qp, cookie) => owner.recvRetired(qp, cookie),
            sendRetired: (qp, cookie) =>
              void scheduler.schedule(1000, { run: () => owner.sendRetired(qp, cookie) }, 'timer'),
          },
          qpNum,
        ),
    })),
  ),
  mutant(
    'device',
    'waiting-request-forgotten',
    { chapter: 'data path', breaks: 'DATA-30 DATA-29', needs: 'history' },
    'Of more than eight sends that are under way the ninth is never sent.',
    useOfAdapter(hca => {
      const under = new Map<HcaQp, number>();
      return {
        createQp(pd, init, owner, qpNum) {
          return hca.createQp(
            pd,
            init,
            {
              recvRetired: (qp, cookie) => owner.recvRetired(qp, cookie),
              sendRetired(qp, cookie) {
                under.set(qp, (under.get(qp) ?? 1) - 1);
                owner.sendRetired(qp, cookie);
              },
            },
            qpNum,
          );
        },
        postSend(qp, request, cookie) {
          const count = under.get(qp) ?? 0;
          if (count >= 8) return;
          under.set(qp, count + 1);
          hca.postSend(qp, request, cookie);
        },
      };
    }),
  ),
  mutant(
    'device',
    'every-third-send-dropped',
    { chapter: 'data path', breaks: 'CQ-01 DATA-28 DATA-33', needs: 'history' },
    'Every third send is read and goes nowhere.',
    useOfAdapter(hca => {
      const due = every(3);
      return {
        postSend(qp, request, cookie) {
          if (!due()) hca.postSend(qp, request, cookie);
        },
      };
    }),
  ),
  mutant(
    'device',
    'receives-used-twice',
    { chapter: 'data path', breaks: 'DATA-46 CQ-01', needs: 'history' },
    'Every fifth receive is posted to the adapter twice.',
    useOfAdapter(hca => {
      const due = every(5);
      return {
        postRecv(qp, request, cookie) {
          hca.postRecv(qp, request, cookie);
          if (due()) hca.postRecv(qp, request, cookie);
        },
      };
    }),
  ),
  mutant(
    'device',
    'writes-to-its-requests',
    { chapter: 'rings', breaks: 'DATA-23 VQ-33 ISO-08' },
    'The device clears the first byte of a send request when it has read it.',
    deviceBytes(() => ({
      accessed(kind, address, length, memory) {
        if (kind === 'read' && length >= sqReq.size) memory.write(address, new Uint8Array(1), 0, 1);
      },
    })),
  ),
  mutant(
    'device',
    'retired-behind-the-next',
    { chapter: 'ordering', breaks: 'ORD-14', needs: 'history' },
    'Every third send comes back behind the one after it.',
    queuePairOwners(owner => {
      const due = every(3);
      let kept: number | undefined;
      return {
        sendRetired(qp, cookie) {
          const late = kept;
          kept = undefined;
          if (late === undefined && due()) {
            kept = cookie;
            return;
          }
          owner.sendRetired(qp, cookie);
          if (late !== undefined) owner.sendRetired(qp, late);
        },
      };
    }),
  ),
];

export const requestOrderMutants: readonly Mutant[] = [...inOrder];
