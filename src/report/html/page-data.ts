/**
 * What the page's script reads besides the matrix itself: the details of each cell, every text, program and chart once.
 * Numbers called `…At` are places in the lists below.
 */
export interface PageData {
  readonly runs: readonly string[];
  readonly rows: readonly RowData[];
  /** Sentences of the requirements, by id. */
  readonly requirements: Readonly<Record<string, string>>;
  readonly requirementLists: readonly (readonly string[])[];
  readonly texts: readonly string[];
  readonly actions: readonly ActionData[];
  readonly programs: readonly ProgramData[];
  readonly charts: readonly ChartData[];
}

export interface RowData {
  readonly judges: string;
  /** How the case is run. */
  readonly kind: string;
  /** One for each run; null where a run has no such case. */
  readonly cells: readonly (CellData | null)[];
}

export interface CellData {
  readonly requirementsAt: number;
  readonly runs: number;
  readonly actions: number;
  /** Milliseconds. */
  readonly ms: number;
  readonly messageAt?: number;
  readonly lawAt?: number;
  readonly knownAt?: number;
  readonly programAt?: number;
  readonly chartAt?: number;
  /** Lines of what the rings held, as one text. */
  readonly ringsAt?: number;
  /** Program, chart and rings were left out: the page has a limit, the JSON report does not. */
  readonly cut?: true;
}

export interface ActionData {
  readonly line: string;
  /** The action itself, so that the program can be saved and replayed. */
  readonly action: unknown;
}

export interface ProgramData {
  readonly worldAt: number;
  /** The program's members but its actions. */
  readonly head: unknown;
  readonly actionsAt: readonly number[];
}

export interface ChartData {
  readonly lanes: readonly string[];
  /** Time, from, to (places in `lanes`), text (place in `texts`); four numbers an event, oldest first. */
  readonly events: readonly number[];
}
