/** Two observations of one program held against each other: what an adapter of somebody else's may see otherwise. */
import { describe, expect, it } from 'vitest';
import { Observation } from '../../src/conformance/observation.js';

function shown(attributes: Readonly<Record<string, number>>): Observation {
  const observation = new Observation();
  for (const [name, value] of Object.entries(attributes)) observation.note(7, name, value);
  return observation;
}

describe('what QUERY_QP shows', () => {
  const bare = shown({ qpState: 3, rqPsn: 10, sqPsn: 20, timeout: 14 });

  it('[QP-39] is compared without sequence numbers where the adapter is somebody else’s', () => {
    const theirs = shown({ qpState: 3, rqPsn: 11, sqPsn: 22, timeout: 14 });
    expect(theirs.difference(bare, 'theirs')).toBeUndefined();
    expect(theirs.difference(bare)).toBe(
      'action 7 rqPsn came to 11; on bare metal action 7 rqPsn came to 10',
    );
  });

  it('[QP-39] is compared in all else, behind sequence numbers that differ too', () => {
    const theirs = shown({ qpState: 3, rqPsn: 11, sqPsn: 22, timeout: 15 });
    const why = 'action 7 timeout came to 15; on bare metal action 7 timeout came to 14';
    expect(theirs.difference(bare, 'theirs')).toBe(why);
  });

  it('has to be there, sequence numbers too', () => {
    const theirs = shown({ qpState: 3, rqPsn: 10, timeout: 14 });
    expect(theirs.difference(bare, 'theirs')).toContain('on bare metal action 7 sqPsn');
  });
});
