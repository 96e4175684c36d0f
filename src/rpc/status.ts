import { status as grpcStatus } from "@grpc/grpc-js";
import type { ServiceError, StatusObject } from "@grpc/grpc-js";
import { Metadata } from "@grpc/grpc-js";
import { ERROR_CODES, SignetError, toSignetError } from "../core/errors.ts";
import type { ErrorCode } from "../core/errors.ts";

/** Metadata key that carries our own code beside the coarser gRPC status. */
const CODE_KEY = "signet-code";

/** A message longer than this is cut: it travels in an HTTP/2 trailer. */
const MAX_MESSAGE_CHARS = 1024;

/** The gRPC status of any thrown value; the internals of an unexpected one stay in our log. */
export function toStatus(error: unknown): StatusObject {
  const { code, message } = toSignetError(error);
  const metadata = new Metadata();
  metadata.set(CODE_KEY, code);
  const told = code === "INTERNAL" ? "internal error; see the log" : message;
  // grpc-js throws for half of a character that takes two, such as a cut leaves.
  const details = told.slice(0, MAX_MESSAGE_CHARS).toWellFormed();
  return { code: ERROR_CODES[code].grpc, details, metadata };
}

/** The error of a failed call, with the code that the other side threw where it is one of ours. */
export function fromServiceError(error: ServiceError): SignetError {
  const sent = error.metadata?.get(CODE_KEY)[0];
  const code =
    typeof sent === "string" && sent in ERROR_CODES ? (sent as ErrorCode) : codeOf(error.code);
  return new SignetError(code, error.details || error.message, {
    details: { grpc: grpcStatus[error.code] },
  });
}

function codeOf(status: number): ErrorCode {
  switch (status) {
    case grpcStatus.CANCELLED:
      return "CANCELLED";
    case grpcStatus.DEADLINE_EXCEEDED:
      return "DEADLINE_EXCEEDED";
    case grpcStatus.PERMISSION_DENIED:
      return "PERMISSION_DENIED";
    case grpcStatus.UNAUTHENTICATED:
      return "UNAUTHENTICATED";
    case grpcStatus.INVALID_ARGUMENT:
      return "INVALID_ARGUMENT";
    case grpcStatus.NOT_FOUND:
      return "NOT_FOUND";
    case grpcStatus.RESOURCE_EXHAUSTED:
      return "RESOURCE_EXHAUSTED";
    case grpcStatus.UNIMPLEMENTED:
      return "UNIMPLEMENTED";
    default:
      return "UNAVAILABLE";
  }
}
