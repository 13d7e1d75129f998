/**
 * A conversation with one agent: calls are gathered and sent a line at a time, answers are taken apart, and what they bring is
 * handed on in the order in which it happened.
 *
 * A control verb waits until a line goes out anyway: when a data verb needs its answer at once, or when the run waits. A
 * settled program has one line for each of its actions, a racing one as few as its data verbs allow.
 */
import { AgentLineError } from '../../transports/agent/index.js';
import { VerbsError } from '../../verbs/index.js';
import type { Errno } from '../../verbs/index.js';
import { LawBroken, laws } from '../laws.js';
import type { Expected } from '../outside.js';
import { BadAnswer, isFields, NATURAL, numberOf, shown } from './broken-line.js';
import type { Fields } from './broken-line.js';
import { errnoNames } from './protocol.js';
import type { AgentCall } from './protocol.js';

/** One line out, one line back. */
export interface AgentLine {
  /** @throws AgentLineError when the line is no use any more */
  exchange(line: string): string;
}

/** A control verb whose result is awaited. */
interface Waiting {
  readonly call: AgentCall['call'];
  settle(result: Fields): void;
  fail(error: unknown): void;
}

/** What an answer brought and nobody has taken note of yet. */
type News =
  | { readonly kind: 'result'; readonly waiting: Waiting; readonly result: Fields }
  | { readonly kind: 'event'; readonly vm: number; readonly cq: number };

/** Calls that a line holds at most, and characters after which it goes out. */
const CALLS_MAX = 256;
const LINE_CHARACTERS = 256 * 1024;

const errnos: ReadonlySet<string> = new Set(errnoNames);

/** Calls after which nothing can be in progress that was not before. */
const restful: ReadonlySet<string> = new Set(['queryDevice', 'queryPort', 'queryQp', 'pollCq', 'readMemory']);

export class AgentSession {
  readonly #line: AgentLine;
  /** Every action of a settled program is followed by a settle, which goes out with it. */
  readonly #settled: boolean;
  /** The agent settles by what happens on bare metal. */
  readonly #byExpected: boolean;
  readonly #onEvent: (vm: number, cq: number) => void;
  #id: number;
  /** Calls to be sent, as text, and who waits for each; undefined for one whose success nobody waits for. */
  #calls: string[] = [];
  #characters = 0;
  #waiting: (Waiting | undefined)[] = [];
  readonly #pending = new Map<number, Waiting>();
  #news: News[] = [];
  /** Something may be in progress. */
  #restless = false;
  /** Grows with every call that may change memory. */
  #changes = 0;
  #broken: LawBroken | undefined;

  /** @param firstId number of the first request */
  constructor(
    line: AgentLine,
    firstId: number,
    how: { readonly settled: boolean; readonly byExpected: boolean },
    onEvent: (vm: number, cq: number) => void,
  ) {
    this.#line = line;
    this.#id = firstId;
    this.#settled = how.settled;
    this.#byExpected = how.byExpected;
    this.#onEvent = onEvent;
  }

  /** Number of the next request. */
  get nextId(): number {
    return this.#id;
  }

  /** The conversation came to a bad end. */
  get broken(): boolean {
    return this.#broken !== undefined;
  }

  /** Another number after memory may have changed. */
  get changes(): number {
    return this.#changes;
  }

  /** Queues a control verb; the promise settles when its result is there. */
  control<T>(call: AgentCall, read: (result: Fields) => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#queue(call, {
        call: call.call,
        settle: result => {
          try {
            resolve(read(result));
          } catch (error) {
            reject(this.#lawOf(error));
          }
        },
        fail: reject,
      });
      if (this.#full) this.#send(undefined);
    });
  }

  /** Queues a call that nobody waits for; one that is refused breaks the conversation. */
  tell(call: AgentCall): void {
    this.#queue(call, undefined);
    if (this.#full) this.#send(undefined);
  }

  get #full(): boolean {
    return this.#calls.length >= CALLS_MAX || this.#characters >= LINE_CHARACTERS;
  }

  /**
   * Calls a data verb and returns its result, a refusal included.
   * @throws LawBroken when there is none
   */
  data<T>(call: AgentCall, read: (result: Fields) => T): T {
    this.#queue(call, undefined);
    const at = this.#calls.length - 1;
    const settling = this.#settled && !this.#byExpected && this.#restless && !restful.has(call.call);
    if (settling) this.#queue({ call: 'settle' }, undefined);
    const results = this.#send(at);
    if (settling) this.#restless = false;
    try {
      return read(results[at]);
    } catch (error) {
      throw error instanceof BadAnswer ? this.#lawOf(error) : error;
    }
  }

  /** Hands on what has come. An event that came behind a result waits until that result was heard of. True: something was. */
  poll(): boolean {
    const news = this.#news;
    if (news.length === 0) return false;
    let heard = false;
    let count = 0;
    for (; count < news.length; count++) {
      const each = news[count];
      if (each.kind === 'event') {
        if (heard) break;
        this.#onEvent(each.vm, each.cq);
      } else {
        heard = true;
        each.waiting.settle(each.result);
      }
    }
    news.splice(0, count);
    return true;
  }

  /** Sends what is queued. @throws LawBroken */
  flush(): void {
    if (this.#calls.length > 0) this.#send(undefined);
  }

  /** Lets the agent go on until it has news or is at rest. True: there was news. */
  rest(expected: Expected | undefined): boolean {
    if (this.poll()) return true;
    if (!this.#restless && this.#calls.length === 0 && this.#pending.size === 0) return false;
    if (this.#calls.length > 0 && !(this.#settled && this.#restless)) {
      this.#send(undefined);
      if (this.poll()) return true;
    }
    if (!this.#restless && this.#pending.size === 0) return false;
    this.#queue(settleCall(this.#byExpected ? expected : undefined), undefined);
    this.#send(undefined);
    this.#restless = false;
    return this.poll();
  }

  #queue(call: AgentCall, waiting: Waiting | undefined): void {
    if (!restful.has(call.call)) {
      this.#restless = true;
      this.#changes++;
    }
    const text = JSON.stringify(call);
    this.#characters += text.length;
    this.#calls.push(text);
    this.#waiting.push(waiting);
  }

  /**
   * Sends what is queued and takes the answer apart. The refusal of the call at place `own` is its caller's matter.
   * @throws LawBroken
   */
  #send(own: number | undefined): Fields[] {
    if (this.#broken !== undefined) throw this.#broken;
    const id = this.#id++;
    const waiting = this.#waiting;
    const line = `{"id":${id},"calls":[${this.#calls.join(',')}]}`;
    this.#calls = [];
    this.#waiting = [];
    this.#characters = 0;
    try {
      const answer = answerOf(this.#line.exchange(line), id);
      return this.#take(answer, waiting, own);
    } catch (error) {
      throw this.#lawOf(error);
    }
  }

  #take(answer: Fields, waiting: readonly (Waiting | undefined)[], own: number | undefined): Fields[] {
    const { results, events = [], done = [] } = answer;
    if (!Array.isArray(results) || results.length !== waiting.length) {
      const found = Array.isArray(results) ? `${results.length} results` : `results ${shown(results)}`;
      throw new BadAnswer(`it has ${found} for ${waiting.length} calls`);
    }
    if (!Array.isArray(events)) throw new BadAnswer(`events is ${shown(events)}; expected an array`);
    if (!Array.isArray(done)) throw new BadAnswer(`done is ${shown(done)}; expected an array`);
    const placed = events.map(event => placedEvent(event, waiting.length));
    let next = 0;
    const eventsUpTo = (at: number): void => {
      for (; next < placed.length && placed[next].at <= at; next++) this.#news.push(placed[next]);
    };
    const list = results as unknown[];
    const all = list.map((result, at): Fields => {
      if (!isFields(result)) throw new BadAnswer(`result ${at} is ${shown(result)}; expected an object`);
      eventsUpTo(at);
      const who = waiting[at];
      if (who !== undefined) this.#heard(who, result, at);
      else if (at !== own && 'errno' in result)
        throw new BadAnswer(`result ${at} refuses what cannot be refused: ${shown(result)}`);
      return result;
    });
    // A call of this very line may be done.
    for (const each of done) this.#late(each);
    eventsUpTo(Number.POSITIVE_INFINITY);
    return all;
  }

  /** The result of a control verb, or the number under which it will come. */
  #heard(waiting: Waiting, result: Fields, at: number): void {
    if (!('pending' in result)) {
      this.#news.push({ kind: 'result', waiting, result });
      return;
    }
    const pending = numberOf(result, 'pending', NATURAL, `result ${at}`);
    if (this.#pending.has(pending)) throw new BadAnswer(`two calls are pending under the number ${pending}`);
    this.#pending.set(pending, waiting);
  }

  /** A result that was pending. */
  #late(each: unknown): void {
    if (!isFields(each) || !isFields(each['result']))
      throw new BadAnswer(`done holds ${shown(each)}; expected a number pending and a result`);
    const pending = numberOf(each, 'pending', NATURAL, 'done');
    const waiting = this.#pending.get(pending);
    if (waiting === undefined) throw new BadAnswer(`no call is pending under the number ${pending}`);
    this.#pending.delete(pending);
    this.#news.push({ kind: 'result', waiting, result: each['result'] });
  }

  /** Ends the conversation: whoever waits is told. */
  #lawOf(error: unknown): unknown {
    if (error instanceof VerbsError) return error;
    this.#broken ??= lawOfLine(error);
    return this.#broken;
  }
}

/** What a line that ended, or an answer that cannot be understood, breaks; faults of the kit are thrown on. */
export function lawOfLine(error: unknown): LawBroken {
  if (error instanceof LawBroken) return error;
  if (error instanceof AgentLineError) {
    const law = error.trouble === 'silent' || error.trouble === 'line' ? laws.answers : laws.neverCrashes;
    return new LawBroken(law, `the agent: ${error.message}`);
  }
  if (error instanceof BadAnswer)
    return new LawBroken(laws.answers, `the agent breaks the protocol: ${error.message}`);
  throw error;
}

/** @throws BadAnswer for a line that does not answer the request `id` */
export function answerOf(line: string, id: number): Fields {
  let answer: unknown;
  try {
    answer = JSON.parse(line);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new BadAnswer(`request ${id} was answered by a line that is not JSON: ${shown(line)} (${reason})`);
  }
  if (!isFields(answer)) throw new BadAnswer(`request ${id} was answered by ${shown(answer)}`);
  if (answer['id'] !== id)
    throw new BadAnswer(`request ${id} was answered by a line with the id ${shown(answer['id'])}`);
  if ('error' in answer) throw new BadAnswer(`it gave up at request ${id}: ${shown(answer['error'])}`);
  return answer;
}

/** The refusal that a result holds; undefined when it holds none. */
export function refusalOf(result: Fields, verb: string): VerbsError | undefined {
  const { errno, text } = result;
  if (errno === undefined) return undefined;
  if (typeof errno !== 'string' || !isErrno(errno))
    throw new BadAnswer(`${verb} was refused with ${shown(errno)}; expected one of ${errnoNames.join(', ')}`);
  return new VerbsError(errno, verb, typeof text === 'string' ? text : 'refused by the agent');
}

function isErrno(name: string): name is Errno {
  return errnos.has(name);
}

function placedEvent(event: unknown, calls: number): Extract<News, { kind: 'event' }> & { at: number } {
  if (!isFields(event)) throw new BadAnswer(`an event is ${shown(event)}; expected an object`);
  const at = event['at'] === undefined ? calls : numberOf(event, 'at', calls, 'an event');
  const vm = numberOf(event, 'vm', 3, 'an event');
  return { kind: 'event', vm, cq: numberOf(event, 'cq', NATURAL, 'an event'), at };
}

function settleCall(expected: Expected | undefined): AgentCall {
  if (expected === undefined) return { call: 'settle' };
  return {
    call: 'settle',
    expected: { completions: [...expected.completions], events: [...expected.events] },
  };
}
