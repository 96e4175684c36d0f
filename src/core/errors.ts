/**
 * Every way Signet can refuse or fail, with the status it has at each edge.
 * A code is stable: it appears in logs, conditions, events and metrics.
 */
export const ERROR_CODES = {
  /** The caller sent something that can never work as it is. */
  INVALID_ARGUMENT: { grpc: 3, http: 400 },
  /** An SPIFFE ID or trust domain breaks SPIFFE-ID §2. */
  INVALID_SPIFFE_ID: { grpc: 3, http: 400 },
  /** A template does not parse. */
  TEMPLATE_PARSE: { grpc: 3, http: 400 },
  /** A template parsed but failed on this data. */
  TEMPLATE_EXEC: { grpc: 9, http: 422 },
  /** A spec field of a custom resource is invalid. */
  INVALID_SPEC: { grpc: 3, http: 422 },
  /** No valid credential came with the call. */
  UNAUTHENTICATED: { grpc: 16, http: 401 },
  /** The credential is valid, and does not allow this. */
  PERMISSION_DENIED: { grpc: 7, http: 403 },
  /** Nothing selects this pod (yet). */
  NO_IDENTITY: { grpc: 14, http: 404 },
  /** The pod is gone or on its way out. */
  POD_GONE: { grpc: 5, http: 404 },
  NOT_FOUND: { grpc: 5, http: 404 },
  ALREADY_EXISTS: { grpc: 6, http: 409 },
  /** Someone else changed the object first. */
  CONFLICT: { grpc: 10, http: 409 },
  /** Another operation on the same object is running. */
  ABORTED: { grpc: 10, http: 409 },
  FAILED_PRECONDITION: { grpc: 9, http: 412 },
  RESOURCE_EXHAUSTED: { grpc: 8, http: 429 },
  DEADLINE_EXCEEDED: { grpc: 4, http: 504 },
  CANCELLED: { grpc: 1, http: 499 },
  UNAVAILABLE: { grpc: 14, http: 503 },
  UNIMPLEMENTED: { grpc: 12, http: 501 },
  /** The bytes are not the DER, PEM or JSON they should be. */
  MALFORMED: { grpc: 3, http: 400 },
  /** The system refused a mount, a file or a socket. */
  SYSTEM: { grpc: 13, http: 500 },
  INTERNAL: { grpc: 13, http: 500 },
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

export interface ErrorOptionsWithDetails {
  readonly cause?: unknown;
  /** Plain facts for logs: names, fields, positions; never a secret. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** The one error class of Signet: a stable code and a sentence that names the object, the field and the way out. */
export class SignetError extends Error {
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: ErrorOptionsWithDetails = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "SignetError";
    this.code = code;
    this.details = options.details ?? {};
  }
}

/** Tells whether `error` is a SignetError, of one of `codes` when any are given. */
export function isSignetError(error: unknown, ...codes: ErrorCode[]): error is SignetError {
  return error instanceof SignetError && (codes.length === 0 || codes.includes(error.code));
}

/** Gives any thrown value a code: a SignetError stays, everything else becomes INTERNAL. */
export function toSignetError(error: unknown): SignetError {
  if (error instanceof SignetError) return error;
  return new SignetError("INTERNAL", errorMessage(error), { cause: error });
}

/** The message of any thrown value. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
