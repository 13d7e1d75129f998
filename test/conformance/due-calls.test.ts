/** Whether a driver is told as it asks to be, by looks from time to time: nothing is held against a device that may be right. */
import { describe, expect, it } from 'vitest';
import { DueCalls } from '../../src/conformance/ring-watch/outside/due-calls.js';

const wanted = (): boolean => true;
const unwanted = (): boolean => false;

function calls(): { readonly due: DueCalls; readonly broken: string[]; readonly looks: string[] } {
  const broken: string[] = [];
  const looks: string[] = [];
  const due = new DueCalls(0xfffe, {
    looked: what => void looks.push(what),
    broke: what => void broken.push(what),
  });
  return { due, broken, looks };
}

describe('calls that are due', () => {
  it('are missing when a return was asked to be told of, and nothing has come at rest', () => {
    const { due, broken } = calls();
    due.found(1, true, wanted);
    expect(broken).toEqual([]);
    due.atRest();
    expect(broken).toEqual(['missing']);
    due.atRest();
    expect(broken).toEqual(['missing']);
  });

  it('say where what is due began, and where it ended', () => {
    const says: string[] = [];
    const due = new DueCalls(5, {
      looked: () => undefined,
      broke: (_what, message) => void says.push(message),
    });
    due.found(6, true, wanted);
    due.called();
    due.found(7, true, wanted);
    due.found(9, true, wanted);
    due.atRest();
    expect(says).toEqual(['the index went from 6 to 9, the driver wants to be told, and nothing came']);
  });

  it('are no more than the returns that a change of the wish may be older than', () => {
    const { due, broken } = calls();
    due.wished();
    due.found(0xffff, true, wanted);
    due.called();
    expect(broken).toEqual([]);
    due.called();
    expect(broken).toEqual(['needless']);
  });

  it('are there when one call has come for any number of returns', () => {
    const { due, broken, looks } = calls();
    due.found(0xffff, true, wanted);
    due.found(2, true, wanted);
    due.called();
    due.atRest();
    expect(broken).toEqual([]);
    expect(looks).toEqual(['missing', 'missing', 'needless']);
  });

  it('are asked about the entries that have come since the last look', () => {
    const { due } = calls();
    const asked: number[][] = [];
    for (const count of [0xffff, 0xffff, 3])
      due.found(count, true, (from, to) => {
        asked.push([from, to]);
        return false;
      });
    expect(asked).toEqual([
      [0xfffe, 0xffff],
      [0xffff, 3],
    ]);
  });

  it('are not missed where the return may be older than the wish, nor needless there', () => {
    const { due, broken } = calls();
    due.wished();
    due.found(0, true, wanted);
    due.atRest();
    due.wished();
    due.found(1, true, unwanted);
    due.called();
    expect(broken).toEqual([]);
  });

  it('are missed once a look has found nothing behind the wish', () => {
    const { due, broken } = calls();
    due.wished();
    due.found(0xfffe, true, wanted);
    due.found(0xffff, true, wanted);
    due.atRest();
    expect(broken).toEqual(['missing']);
  });

  it('are needless when nobody asked, and when there are more of them than returns', () => {
    const { due, broken } = calls();
    due.found(0xffff, true, unwanted);
    due.called();
    expect(broken).toEqual(['needless']);
    due.found(0, true, wanted);
    due.called();
    due.called();
    expect(broken).toEqual(['needless', 'needless']);
  });

  it('are not judged of a device that is not live', () => {
    const { due, broken } = calls();
    due.found(5, false, wanted);
    due.atRest();
    expect(broken).toEqual([]);
  });
});
