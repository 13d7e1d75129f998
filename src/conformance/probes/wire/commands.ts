/** A case about the order of commands and requests: what is posted right behind the OK of a command meets its effect. */
import { QpState, SendFlag } from '../../../abi/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import { WireBench } from './bench.js';
import { pairOf, successes } from './end.js';
import { isRequest, textOf } from './packets.js';
import { wireCase } from './wire-case.js';

const behindCommands = wireCase(
  {
    id: 'ORD/wire/requests-behind-a-command',
    doc: 'A send posted at once behind a move to RTS goes, one behind a move to ERR is flushed, and one by a region that is gone fails.',
    requirements: ['ORD-18', 'QP-33', 'RST-16'],
  },
  async context => {
    const bench = await WireBench.of(context);
    const [a, b] = await pairOf(bench);
    b.recv(1);
    // The last command of the way up was answered just now.
    a.send(2);
    await bench.rest();
    bench.same(
      ['ORD-18', 'QP-33'],
      'a send behind a move to RTS',
      [a.sends(), b.receives()],
      [successes(2), successes(1)],
    );
    bench.heard();
    await a.modify({ qpState: QpState.ERR });
    a.send(3);
    a.recv(4);
    await bench.rest();
    const flushed = [a.sends(), a.receives()];
    const expected = [['3 WR_FLUSH_ERR'], ['4 WR_FLUSH_ERR']];
    bench.same(['ORD-18', 'QP-33'], 'a send and a receive behind a move to ERR', flushed, expected);
    bench.same(['ORD-18'], 'packets of it', bench.heard(isRequest).map(textOf), []);
    const [c, d] = await pairOf(bench);
    d.recv(5, d.sges(0, 64));
    await bench.call('deregMr', c.machine.verbs.deregMr(c.belongings.mr));
    c.send(6, { sges: c.sges(0, 64), sendFlags: SendFlag.SIGNALED });
    await bench.rest();
    const gone = [c.sends(), d.receives()];
    bench.same(['ORD-18', 'RST-16'], 'a send by a region behind its DEREG_MR', gone, [
      ['6 LOC_PROT_ERR'],
      [],
    ]);
    return bench;
  },
);

export const commandCases: readonly ConformanceCase[] = [behindCommands];
