/** A value that changes while the process runs, and tells those who ask. */
export interface Live<T> {
  get(): T;
  /** Calls `listener` after each change from now on; the result ends it. */
  subscribe(listener: (value: T) => void): () => void;
}

/** The side of a live value that its owner keeps. */
export interface LiveSource<T> extends Live<T> {
  set(value: T): void;
}

/** Makes a live value that begins as `initial`; setting the same value again tells nobody. */
export function liveValue<T>(initial: T): LiveSource<T> {
  const listeners = new Set<(value: T) => void>();
  let value = initial;
  return {
    get: () => value,
    set(next) {
      if (Object.is(next, value)) return;
      value = next;
      for (const listener of listeners) listener(next);
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** Key and certificate chain of a server, both PEM. */
export interface TlsMaterial {
  readonly key: string;
  readonly cert: string;
  /** Milliseconds since the epoch. */
  readonly notAfter: number;
}
