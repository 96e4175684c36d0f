import { SPIRE_API_VERSION } from "../api/resources.ts";
import { SignetError } from "../core/errors.ts";
import { checkFederatedTrustDomain } from "../registration/federation.ts";
import type { TrustDomain } from "../spiffe/trust-domain.ts";
import { entryLines } from "./entry-lines.ts";
import { RENDERED_KINDS } from "./ports.ts";
import type { RenderedKind, RenderView } from "./ports.ts";
import type { Route } from "./route.ts";
import { podView, previewView, ruleView } from "./views.ts";
import type { ViewSource } from "./views.ts";

/** What answers are made from. */
export interface AnswerSource extends ViewSource {
  /** Of this operator. */
  readonly version: string;
  readonly trustDomain: TrustDomain;
}

/** One JSON value, or text that comes in pieces. */
export type Answer = { readonly json: unknown } | { readonly lines: AsyncIterable<string> };

/** A request behind its head. */
export interface RequestBody {
  /** Throws RESOURCE_EXHAUSTED when it is too long. */
  read(): Promise<string>;
  /** Aborts when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
}

/** Answers a request. Throws NOT_FOUND for what the operator does not know, INVALID_ARGUMENT for a body it cannot read. */
export async function answer(
  route: Exclude<Route, { readonly to: "refuse" }>,
  body: RequestBody,
  source: AnswerSource,
): Promise<Answer> {
  switch (route.to) {
    case "about":
      return { json: { version: source.version, trustDomain: source.trustDomain } };
    case "entries":
      return { lines: entryLines(route.filter, source) };
    case "pod":
      return { json: explainPod(route.namespace, route.name, source) };
    case "rule":
      return { json: explainRule(route, source) };
    case "render":
    default:
      return { json: await render(parseRendered(await body.read()), source, body.signal) };
  }
}

function explainPod(namespace: string, name: string, source: AnswerSource): unknown {
  const pod = source.registry.podNamed(namespace, name);
  if (pod) return podView(pod, source);
  throw new SignetError("NOT_FOUND", `the operator knows no pod "${namespace}/${name}"`);
}

function explainRule(
  { kind, name, maxPods }: Extract<Route, { readonly to: "rule" }>,
  source: AnswerSource,
): unknown {
  const rule = source.registry.explainRule(kind, name, maxPods);
  if (rule) return ruleView(rule, source);
  throw new SignetError("NOT_FOUND", `the operator knows no ${kind} "${name}"`);
}

interface Rendered {
  readonly kind: RenderedKind;
  readonly metadata: { readonly name: string };
  readonly spec: unknown;
}

function parseRendered(body: string): Rendered {
  const object = parseObject(body);
  const kind = RENDERED_KINDS.find((known) => known === object.kind);
  if (object.apiVersion !== SPIRE_API_VERSION || kind === undefined) {
    throw new SignetError(
      "INVALID_ARGUMENT",
      `only ${RENDERED_KINDS.join(", ")} of ${SPIRE_API_VERSION} can be rendered`,
    );
  }
  const name = object.metadata?.name;
  if (typeof name !== "string" || name === "") {
    throw new SignetError("INVALID_ARGUMENT", `${kind}: metadata.name is missing`);
  }
  return { kind, metadata: { name }, spec: object.spec };
}

interface Unchecked {
  readonly apiVersion?: unknown;
  readonly kind?: unknown;
  readonly metadata?: { readonly name?: unknown } | null;
  readonly spec?: unknown;
}

function parseObject(body: string): Unchecked {
  let object: unknown;
  try {
    object = JSON.parse(body);
  } catch (error) {
    throw new SignetError("INVALID_ARGUMENT", "the body is not JSON", { cause: error });
  }
  if (typeof object === "object" && object !== null) return object;
  throw new SignetError("INVALID_ARGUMENT", "the body is not an object");
}

async function render(
  { kind, metadata, spec }: Rendered,
  source: AnswerSource,
  signal: AbortSignal,
): Promise<RenderView> {
  if (kind === "ClusterFederatedTrustDomain") {
    const problems = checkFederatedTrustDomain(spec, source.trustDomain);
    return { kind, name: metadata.name, problems };
  }
  return previewView(await source.registry.preview(kind, { metadata, spec }, signal), source);
}
