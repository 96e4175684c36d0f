import { z } from "zod";
import { ERROR_CODES, SignetError } from "../core/errors.ts";
import type { PatchOperation } from "./patch.ts";
import { fitWarnings } from "./warnings.ts";

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
    dryRun: z.boolean().default(false),
    object: z.unknown(),
    /** What the object was before an update. */
    oldObject: z.unknown().optional(),
  }),
});

/** The part of an AdmissionReview request that decisions are made of. */
export type AdmissionRequest = Readonly<z.infer<typeof reviewShape>["request"]>;

/** What is done with an admitted object. */
export interface Admission {
  readonly patch: readonly PatchOperation[];
  /** For the log: what was done or why nothing was. */
  readonly outcome: string;
  /** What the client should know all the same; cut to what Kubernetes passes on. */
  readonly warnings?: readonly string[];
}

/** Why an object is refused, field by field. */
export interface Refusal {
  readonly refused: InvalidObject;
}

/** An object that the API server would call invalid, had its schema known. */
export interface InvalidObject {
  readonly group: string;
  readonly kind: string;
  readonly name: string;
  /** All of it in words. */
  readonly message: string;
  readonly causes: readonly FieldCause[];
}

export interface FieldCause {
  /** Path such as `spec.ttl`. */
  readonly field: string;
  /** What is wrong, without the field. */
  readonly message: string;
}

/** What becomes of an object. */
export type Verdict = Admission | Refusal;

/** Decides on a request; a thrown SignetError refuses the object as well. */
export type Admitter = (request: AdmissionRequest) => Verdict | Promise<Verdict>;

/** The part of meta/v1 Status that a refusal fills in. */
interface RefusalStatus {
  readonly code: number;
  readonly message: string;
  readonly reason?: "Invalid";
  readonly details?: {
    readonly group: string;
    readonly kind: string;
    readonly name: string;
    readonly causes: readonly (FieldCause & { readonly reason: "FieldValueInvalid" })[];
  };
}

/** admission.k8s.io/v1 AdmissionReview with a response. */
export interface ReviewResponse {
  readonly apiVersion: typeof API_VERSION;
  readonly kind: "AdmissionReview";
  readonly response: {
    readonly uid: string;
    readonly allowed: boolean;
    readonly status?: RefusalStatus;
    readonly warnings?: readonly string[];
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
export function allow(
  uid: string,
  { patch, warnings = [] }: Pick<Admission, "patch" | "warnings">,
): ReviewResponse {
  const fitting = fitWarnings(warnings);
  const heard = fitting.length === 0 ? {} : { warnings: fitting };
  if (patch.length === 0) return review({ uid, allowed: true, ...heard });
  const encoded = Buffer.from(JSON.stringify(patch)).toString("base64");
  return review({ uid, allowed: true, ...heard, patchType: "JSONPatch", patch: encoded });
}

/** Refuses the object of request `uid` with the error's sentence, which the client of the API server reads. */
export function refuse(uid: string, error: SignetError): ReviewResponse {
  const status = { code: ERROR_CODES[error.code].http, message: error.message };
  return review({ uid, allowed: false, status });
}

/** Refuses the object of request `uid` in the form of the API server's own validation, which kubectl shows field by field. */
export function refuseInvalid(uid: string, invalid: InvalidObject): ReviewResponse {
  const { group, kind, name, message, causes } = invalid;
  const details = {
    group,
    kind,
    name,
    causes: causes.map((cause) => ({ reason: "FieldValueInvalid" as const, ...cause })),
  };
  const { http: code } = ERROR_CODES.INVALID_SPEC;
  return review({ uid, allowed: false, status: { code, reason: "Invalid", message, details } });
}

function review(response: ReviewResponse["response"]): ReviewResponse {
  return { apiVersion: API_VERSION, kind: "AdmissionReview", response };
}
