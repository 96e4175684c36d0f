/**
 * Resolves or rejects as `answer` does, or rejects with what `reason` gives as soon as the signal aborts, also when
 * whoever works on the answer is slow to notice.
 */
export async function unlessAborted<T>(
  answer: Promise<T>,
  signal: AbortSignal,
  reason: () => Error,
): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = (): void => aborted.reject(reason());
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([answer, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
