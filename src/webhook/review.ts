import { z } from "zod";
import { ERROR_CODES, SignetError } from "../core/errors.ts";
import type { PatchOperation } from "./patch.ts";

const API_VERSION = "admission.k8s.io/v1";

const reviewShape = z.looseObject({
  apiVersion: z.literal(API_VERSION),
  kind: z.literal("AdmissionReview"),
  request: z.looseObject({
    uid: z.string().min(1).max(256),
    kind: z.looseObject({ group: z.string(), version: z.string(), kind: z.string() }),
    operation: z.enum(["CREATE", "UPDATE", "DELETE", "CONNECT"]),
    subResource: z.string().default(""),
    name: z.string().default(""),
    namespace: z.string().default(""),
    object: z.unknown(),
  }),
});

/** The part of an AdmissionReview request that decisions are made of. */
export type AdmissionRequest = Readonly<z.infer<typeof reviewShape>["request"]>;

/** What is done with an admitted object. */
interface Verdict {
  readonly patch: readonly PatchOperation[];
  /** For the log: what was done or why nothing was. */
  readonly outcome: string;
}

/** Decides on a request; a thrown SignetError refuses the object. */
export type Admitter = (request: AdmissionRequest) => Verdict;

/** admission.k8s.io/v1 AdmissionReview with a response. */
export interface ReviewResponse {
  readonly apiVersion: typeof API_VERSION;
  readonly kind: "AdmissionReview";
  readonly response: {
    readonly uid: string;
    readonly allowed: boolean;
    readonly status?: { readonly code: number; readonly message: string };
    readonly patchType?: "JSONPatch";
    /** Base64 of the patch in JSON. */
    readonly patch?: string;
  };
}

/** Reads an AdmissionReview request (admission.k8s.io/v1); throws INVALID_ARGUMENT for anything else. */
export function parseReview(body: string): AdmissionRequest {
  const parsed = reviewShape.safeParse(parseJson(body));
  if (parsed.success) return parsed.data.request;
  const issue = parsed.error.issues[0];
  const field = issue?.path.join(".") || "(root)";
  throw new SignetError(
    "INVALID_ARGUMENT",
    `not an AdmissionReview of ${API_VERSION}: ${field}: ${issue?.message ?? "invalid"}`,
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new SignetError("INVALID_ARGUMENT", "body is not JSON", { cause: error });
  }
}

/** Admits the object of request `uid`, changed by `patch` when that holds anything. */
export function allow(uid: string, patch: readonly PatchOperation[]): ReviewResponse {
  if (patch.length === 0) return review({ uid, allowed: true });
  const encoded = Buffer.from(JSON.stringify(patch)).toString("base64");
  return review({ uid, allowed: true, patchType: "JSONPatch", patch: encoded });
}

/** Refuses the object of request `uid` with the error's sentence, which the client of the API server reads. */
export function refuse(uid: string, error: SignetError): ReviewResponse {
  const status = { code: ERROR_CODES[error.code].http, message: error.message };
  return review({ uid, allowed: false, status });
}

function review(response: ReviewResponse["response"]): ReviewResponse {
  return { apiVersion: API_VERSION, kind: "AdmissionReview", response };
}
