import { isSignetError, SignetError, type ErrorCode } from "../core/errors.ts";
import type { Status } from "./types.ts";

const CODE_BY_STATUS: Readonly<Record<number, ErrorCode>> = {
  400: "INVALID_ARGUMENT",
  401: "UNAUTHENTICATED",
  403: "PERMISSION_DENIED",
  404: "NOT_FOUND",
  405: "UNIMPLEMENTED",
  406: "UNIMPLEMENTED",
  408: "UNAVAILABLE",
  409: "CONFLICT",
  410: "FAILED_PRECONDITION",
  412: "FAILED_PRECONDITION",
  413: "INVALID_ARGUMENT",
  415: "UNIMPLEMENTED",
  422: "INVALID_SPEC",
  429: "UNAVAILABLE",
};

const LONGEST_TEXT = 512;

/** The API server's answer as an error: `what` (verb, resource, object) and the server's own words. */
export function statusError(
  what: string,
  status: Status,
  extra: { readonly retryAfterSeconds?: number | undefined } = {},
): SignetError {
  const http = status.code ?? 500;
  const reason = status.reason ?? "";
  const retryAfterSeconds = status.details?.retryAfterSeconds ?? extra.retryAfterSeconds;
  const said = status.message ?? "no message";
  return new SignetError(
    codeOf(http, reason),
    `cannot ${what}: ${said} (${[http, reason].filter(Boolean).join(" ")})`,
    {
      details: {
        status: http,
        reason,
        ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
      },
    },
  );
}

function codeOf(http: number, reason: string): ErrorCode {
  if (http === 409 && reason === "AlreadyExists") return "ALREADY_EXISTS";
  return CODE_BY_STATUS[http] ?? (http >= 500 ? "UNAVAILABLE" : "INVALID_ARGUMENT");
}

/** Reads the body of a refusal; a proxy's HTML or an empty body is kept as a short text. */
export function parseStatus(httpStatus: number, body: string): Status {
  try {
    const parsed: unknown = JSON.parse(body);
    if (
      typeof parsed === "object" &&
      parsed !== null &&
      "kind" in parsed &&
      parsed.kind === "Status"
    ) {
      return { ...(parsed as Status), code: httpStatus };
    }
  } catch {
    // Not the API server's own answer: the text below says what came instead.
  }
  const text = body.trim().slice(0, LONGEST_TEXT);
  return { code: httpStatus, message: text === "" ? "the answer has no body" : text };
}

/** Whether the API server no longer knows the resourceVersion or continue token: a new list is needed. */
export function isExpired(error: unknown): boolean {
  if (!isSignetError(error)) return false;
  const { status, reason } = error.details;
  return status === 410 || reason === "Expired" || reason === "Gone";
}

/** How long the API server asked to be left alone, in milliseconds; 0 when it did not. */
export function retryAfterMs(error: unknown): number {
  const seconds = isSignetError(error) ? error.details["retryAfterSeconds"] : undefined;
  return typeof seconds === "number" && seconds > 0 ? Math.min(seconds, 60) * 1000 : 0;
}
