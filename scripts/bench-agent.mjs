/**
 * How fast the line to a verbs agent is: actions a second with an agent that only echoes, by the number of actions in a line.
 * Run after a build: `node scripts/bench-agent.mjs`. Figures are of this machine at this moment; a plain exchange of short
 * lines with `cat` stands beside them.
 */
import { AgentLauncher } from '../dist/transports/agent/index.js';
import { AgentSession } from '../dist/conformance/agent/session.js';
import { RemoteVerbs } from '../dist/conformance/agent/remote-verbs.js';

const SECONDS = 2;
const echo = `
const fs = require('node:fs');
const chunk = Buffer.alloc(1 << 20);
let held = '';
for (let count; (count = fs.readSync(0, chunk)) > 0;) {
  held += chunk.toString('utf8', 0, count);
  if (!held.endsWith('\\n')) continue;
  const { id, calls } = JSON.parse(held);
  held = '';
  const results = calls.map(({ call }) => (call === 'createCq' ? { cqe: 64 } : call === 'createQp'
    ? { qpNum: 2, cap: { maxSendWr: 1, maxRecvWr: 1, maxSendSge: 1, maxRecvSge: 1, maxInlineData: 1 } }
    : call === 'pollCq' ? { completions: [] } : {}));
  fs.writeSync(1, JSON.stringify({ id, results }) + '\\n');
}`;

const launcher = new AgentLauncher({
  command: `node -e '${echo.replaceAll("'", `'\\''`)}'`,
  limitMs: 30_000,
});
const plain = new AgentLauncher({ command: 'cat', limitMs: 30_000 });
try {
  const line = plain.start();
  console.log(`plain lines through cat: ${rate(() => (line.exchange('{"id":1}'), 1))} exchanges/s`);
  const session = new AgentSession(launcher.start(), 1, { settled: false, byExpected: false }, () => {});
  const verbs = new RemoteVerbs(session, 0);
  const made = Promise.all([verbs.createPd(), verbs.createCq(64)]);
  session.rest(undefined);
  const [pd, cq] = await made;
  const cap = { maxSendWr: 1, maxRecvWr: 1, maxSendSge: 1, maxRecvSge: 1, maxInlineData: 1 };
  const making = verbs.createQp(pd, { type: 2, sqSigAll: true, sendCq: cq, recvCq: cq, cap });
  session.rest(undefined);
  const qp = await making;
  for (const size of [1, 4, 16, 64]) {
    const requests = Array.from({ length: size }, (_, wrId) => ({
      wrId,
      opcode: 2,
      sendFlags: 2,
      sges: [{ addr: 0x7f00_0000_0000, length: 64, lkey: 257 }],
    }));
    console.log(`posts, ${size} in a line: ${rate(() => (verbs.postSends(qp, requests), size))} actions/s`);
  }
  for (const size of [1, 16, 64, 256]) {
    const arm = () => {
      for (let i = 1; i < size; i++) void verbs.reqNotifyCq(cq, false);
      verbs.pollCq(cq, [], 16);
      while (session.poll());
      return size;
    };
    console.log(`control verbs and a poll, ${size} in a line: ${rate(arm)} actions/s`);
  }
} finally {
  launcher.close();
  plain.close();
}

/** Actions a second of a step that returns how many it did; the first half second does not count. */
function rate(step) {
  for (const end = performance.now() + 500; performance.now() < end;) step();
  const start = performance.now();
  let actions = 0;
  while (performance.now() < start + SECONDS * 1000) actions += step();
  return Math.round((actions * 1000) / (performance.now() - start)).toLocaleString('en-US');
}
