import type { KubeObject } from "./types.ts";

/** What the reflector does next. */
export type ReflectorState<T> = ListingState<T> | WatchingState;

export interface ListingState<T> {
  readonly phase: "list";
  /** Failures in a row; waits before the next try when above 0. */
  readonly attempt: number;
  /** Lists in a row whose watch expired before it brought anything. */
  readonly fruitless: number;
  /** Continue token of the next page; undefined for the first page. */
  readonly next: string | undefined;
  readonly pages: readonly (readonly T[])[];
}

export interface WatchingState {
  readonly phase: "watch";
  readonly attempt: number;
  readonly fruitless: number;
  /** Failures in a row for which the resourceVersion may be to blame. */
  readonly doubts: number;
  /** From the list, or from the last event or bookmark. */
  readonly resourceVersion: string;
  /** Whether this watch has brought anything yet. */
  readonly heard: boolean;
}

/** What the API server said. */
export type ReflectorInput<T> =
  | {
      readonly type: "page";
      readonly items: readonly T[];
      readonly next: string | undefined;
      readonly resourceVersion: string;
    }
  | { readonly type: "applied" | "removed"; readonly object: T; readonly resourceVersion: string }
  | { readonly type: "bookmark"; readonly resourceVersion: string }
  /** The watch ended in the regular way. */
  | { readonly type: "ended"; readonly lastedMs: number }
  | { readonly type: "failed"; readonly blame: Blame };

/**
 * Why a list or watch failed: its resourceVersion or continue token is too old (`expired`), may be what the server
 * does not like (`version`), or has nothing to do with it (`server`: network, overload, permissions).
 */
export type Blame = "expired" | "version" | "server";

/** What the handler hears. */
export type ReflectorOutput<T> =
  | { readonly type: "replace"; readonly objects: readonly T[] }
  | { readonly type: "apply" | "remove"; readonly object: T };

export interface ReflectorStep<T> {
  readonly state: ReflectorState<T>;
  readonly output?: ReflectorOutput<T>;
}

/** A watch the server keeps refusing is given up for a new list: it may have been restored from a backup. */
const MOST_DOUBTS = 5;
/** A server that ends watches faster than this is not to be asked again at once. */
const SHORT_WATCH_MS = 1000;
/** Bookmarks come every minute: a watch this long without one waits for a resourceVersion that never comes. */
const MUTE_WATCH_MS = 240_000;

/** Where every reflector starts: at the first page of a list. */
export function startListing<T>(attempt = 0, fruitless = 0): ListingState<T> {
  return { phase: "list", attempt, fruitless, next: undefined, pages: [] };
}

/**
 * One step of the list-and-watch protocol. What was handed out stays until a complete list replaces it: a failed or
 * half-read list never removes anything. Throws TypeError for an input that cannot come in this state.
 */
export function stepReflector<T extends KubeObject>(
  state: ReflectorState<T>,
  input: ReflectorInput<T>,
): ReflectorStep<T> {
  return state.phase === "list" ? stepListing(state, input) : stepWatching(state, input);
}

function stepListing<T>(state: ListingState<T>, input: ReflectorInput<T>): ReflectorStep<T> {
  switch (input.type) {
    case "page": {
      const pages = [...state.pages, input.items];
      if (input.next !== undefined) {
        return { state: { ...state, attempt: 0, next: input.next, pages } };
      }
      return {
        state: watchFrom(input.resourceVersion, state.fruitless),
        output: { type: "replace", objects: pages.flat() },
      };
    }
    case "failed":
      // Pages of one list share a resourceVersion: a token that expired makes the ones before it useless.
      if (input.blame === "expired") {
        return { state: startListing(state.attempt + 1, state.fruitless) };
      }
      return { state: { ...state, attempt: state.attempt + 1 } };
    default:
      throw new TypeError(`${input.type} cannot happen while listing`);
  }
}

function stepWatching<T>(state: WatchingState, input: ReflectorInput<T>): ReflectorStep<T> {
  switch (input.type) {
    case "applied":
    case "removed": {
      const type = input.type === "applied" ? "apply" : "remove";
      return { state: heard(input.resourceVersion), output: { type, object: input.object } };
    }
    case "bookmark":
      return { state: heard(input.resourceVersion) };
    case "ended":
      return { state: afterEnd(state, input.lastedMs) };
    case "failed":
      return { state: input.blame === "expired" ? relist(state) : retryWatch(state, input.blame) };
    default:
      throw new TypeError(`${input.type} cannot happen while watching`);
  }
}

function afterEnd<T>(state: WatchingState, lastedMs: number): ReflectorState<T> {
  if (!state.heard && lastedMs < SHORT_WATCH_MS) return reopen(state, state.attempt + 1);
  if (!state.heard && lastedMs > MUTE_WATCH_MS) return startListing();
  return { ...reopen(state, 0), fruitless: 0 };
}

function relist<T>(state: WatchingState): ReflectorState<T> {
  const fruitless = state.heard ? 0 : state.fruitless + 1;
  return startListing(fruitless, fruitless);
}

function retryWatch<T>(state: WatchingState, blame: Blame): ReflectorState<T> {
  const doubts = blame === "version" ? state.doubts + 1 : state.doubts;
  if (doubts > MOST_DOUBTS) return startListing(state.attempt + 1);
  return { ...reopen(state, state.attempt + 1), doubts };
}

function watchFrom(resourceVersion: string, fruitless: number): WatchingState {
  return { phase: "watch", attempt: 0, fruitless, doubts: 0, resourceVersion, heard: false };
}

function heard(resourceVersion: string): WatchingState {
  return { ...watchFrom(resourceVersion, 0), heard: true };
}

function reopen(state: WatchingState, attempt: number): WatchingState {
  return { ...state, attempt, heard: false };
}
