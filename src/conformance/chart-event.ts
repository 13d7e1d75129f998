/** One arrow or note of a sequence chart: how a step of a run is told, in a finding as in the result of a case. */
export interface ChartEvent {
  readonly timeNs: number;
  readonly from: string;
  readonly to: string;
  readonly text: string;
}
