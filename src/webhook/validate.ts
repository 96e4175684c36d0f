import { isDeepStrictEqual } from "node:util";
import type { Clock } from "../core/clock.ts";
import { errorMessage, isSignetError, SignetError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type {
  CustomResourceKind,
  Preview,
  SourceKind,
  SpecProblem,
} from "../registration/types.ts";
import { dryRunWarnings } from "./dry-run.ts";
import type { Previewer } from "./ports.ts";
import { refusalOf } from "./refusal.ts";
import {
  classNameOf,
  isNodeAlias,
  readKind,
  readResource,
  SUMMARY_ANNOTATION,
} from "./resource.ts";
import type { IncomingResource } from "./resource.ts";
import type { Admission, AdmissionRequest, Verdict } from "./review.ts";
import { shorten } from "./warnings.ts";

export interface ValidatorOptions {
  readonly previewer: Previewer;
  readonly clock: Clock;
  readonly log: Log;
}

/** Well below the webhook's timeoutSeconds: nobody waits for kubectl because a cluster is large. */
const DRY_RUN_MS = 2000;

/** Names may have 253 characters, of the 256 that a warning has. */
const LONGEST_NAME = 64;

/**
 * Makes the admitter of the validating webhook. A new or changed spec that can never work is refused with
 * everything that is wrong with it; one that works is tried against the pods there are, and what looks
 * unintended comes back as warnings. With a server-side dry run, or the annotation `signet.dev/dry-run-summary:
 * "true"`, so does what it would give.
 *
 * Never in the way of: objects of another operator's class, objects that are being deleted, and updates
 * that leave the spec as it was, however wrong that is.
 */
export function resourceValidator(
  options: ValidatorOptions,
): (request: AdmissionRequest) => Promise<Verdict> {
  return async (request) => {
    const kind = readKind(request);
    const { operation, subResource } = request;
    if ((operation !== "CREATE" && operation !== "UPDATE") || subResource !== "") {
      return admitted("not a new spec");
    }
    const object = readResource(request);
    const summary = request.dryRun || object.metadata.annotations?.[SUMMARY_ANNOTATION] === "true";
    const unchanged = operation === "UPDATE" && sameSpec(request);
    const exemption = exempt(object, { unchanged: unchanged && !summary, options });
    if (exemption !== undefined) return admitted(exemption);

    const { problems, warnings } = await examine(kind, object, { ...options, summary });
    const say = sayAbout(kind, object);
    if (problems.length === 0) return admitted("valid", warnings.map(say));
    if (!unchanged) return { refused: refusalOf(kind, object.metadata.name, problems) };
    const known = problems.map(({ message }) => say(message));
    return admitted("spec unchanged", known);
  };
}

function admitted(outcome: string, warnings: readonly string[] = []): Admission {
  return { patch: [], outcome, warnings };
}

/** Key order means nothing in JSON. */
function sameSpec({ object, oldObject }: AdmissionRequest): boolean {
  return isDeepStrictEqual(specOf(object), specOf(oldObject));
}

function specOf(object: unknown): unknown {
  return (object as { spec?: unknown } | null | undefined)?.spec;
}

function exempt(
  object: IncomingResource,
  { unchanged, options }: { unchanged: boolean; options: ValidatorOptions },
): string | undefined {
  if (object.metadata.deletionTimestamp !== undefined) return "being deleted";
  if (unchanged) return "spec unchanged";
  if (!options.previewer.ownsClass(classNameOf(object))) return "of another class";
  return undefined;
}

interface Findings {
  /** Why the object can never work. */
  readonly problems: readonly SpecProblem[];
  readonly warnings: readonly string[];
}

async function examine(
  kind: CustomResourceKind,
  object: IncomingResource,
  options: ValidatorOptions & { readonly summary: boolean },
): Promise<Findings> {
  const problems = check(kind, object, options.previewer);
  if (problems.length > 0 || kind === "ClusterFederatedTrustDomain") {
    return { problems, warnings: [] };
  }
  const preview = await dryRun(kind, object, options);
  if (typeof preview === "string") return { problems, warnings: [preview] };
  const told = { summary: options.summary, alias: isNodeAlias(object) };
  return { problems: preview.problems, warnings: dryRunWarnings(preview, told) };
}

function check(
  kind: CustomResourceKind,
  object: IncomingResource,
  previewer: Previewer,
): readonly SpecProblem[] {
  return kind === "ClusterFederatedTrustDomain"
    ? previewer.checkFederatedTrustDomain(object.spec)
    : previewer.check(kind, object);
}

/** Many files may be applied at once: each warning says which object it is about. */
function sayAbout(
  kind: CustomResourceKind,
  { metadata }: IncomingResource,
): (text: string) => string {
  const subject = `${kind} ${shorten(metadata.name, LONGEST_NAME)}`.trimEnd();
  return (text) => `${subject}: ${text}`;
}

/** What the object would give, or why that is not known. */
async function dryRun(
  kind: SourceKind,
  object: IncomingResource,
  { previewer, clock, log }: ValidatorOptions,
): Promise<Preview | string> {
  const ending = new AbortController();
  const late = clock.sleep(DRY_RUN_MS, ending.signal).then(() => {
    const what = `it took longer than ${DRY_RUN_MS / 1000} s`;
    throw new SignetError("DEADLINE_EXCEEDED", what);
  });
  try {
    // Called within a promise, so that nothing it throws leaves the timer alone.
    const preview = async (): Promise<Preview> =>
      await previewer.preview(kind, object, ending.signal);
    return await Promise.race([preview(), late]);
  } catch (error) {
    const { name } = object.metadata;
    log.warn({ kind, name, error: errorMessage(error) }, "dry run not finished");
    const why = isSignetError(error) ? ` (${error.message})` : "";
    return `the dry run against live pods was not finished${why}; the status will tell what it gives`;
  } finally {
    ending.abort();
  }
}
