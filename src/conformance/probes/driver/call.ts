/** A verb that was called: how it stands, without waiting for it. */

export class Call<T> {
  readonly what: string;
  #outcome: { readonly state: 'pending' } | { readonly state: 'resolved'; readonly value: T } | Rejected = {
    state: 'pending',
  };

  constructor(what: string, promise: Promise<T>) {
    this.what = what;
    promise.then(
      value => {
        this.#outcome = { state: 'resolved', value };
      },
      (error: unknown) => {
        this.#outcome = { state: 'rejected', error };
      },
    );
  }

  get state(): 'pending' | 'resolved' | 'rejected' {
    return this.#outcome.state;
  }
  /** Throws Error unless it is resolved. */
  get value(): T {
    if (this.#outcome.state !== 'resolved') throw new Error(`${this.what} is ${this.#outcome.state}`);
    return this.#outcome.value;
  }
  get error(): unknown {
    return this.#outcome.state === 'rejected' ? this.#outcome.error : undefined;
  }
}

interface Rejected {
  readonly state: 'rejected';
  readonly error: unknown;
}

/** The errno of a refusal, whichever copy of the verbs it was made with; undefined for every other error. */
export function errnoOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('errno' in error)) return undefined;
  return typeof error.errno === 'string' ? error.errno : undefined;
}

/** How a call stands, in words that follow its name. */
export function describe(call: Call<unknown>): string {
  if (call.state === 'pending') return 'is pending';
  if (call.state === 'resolved') return 'succeeded';
  const errno = errnoOf(call.error);
  return errno === undefined
    ? `threw ${String(call.error)}`
    : `failed with ${errno} (${messageOf(call.error)})`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
