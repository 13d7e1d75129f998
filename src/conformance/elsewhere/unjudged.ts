/** What of a trace was read and not judged, and why: a verdict says it beside what it found. */

export const unjudgedReasons = {
  form: 'checked for their form only: no machine follows them',
  older: 'about objects older than the trace',
  gone: 'completions that queue pairs left behind when they were destroyed',
  overlapping: 'about queue pairs while calls overlapped, so that several states were possible',
  spoilt: 'about objects that had broken a machine before',
} as const;
export type UnjudgedReason = keyof typeof unjudgedReasons;

export class Unjudged {
  readonly counts: Record<UnjudgedReason, number> = { form: 0, older: 0, gone: 0, overlapping: 0, spoilt: 0 };

  count(reason: UnjudgedReason): void {
    this.counts[reason]++;
  }
}
