import { clusterFederatedTrustDomainSpecSchema } from "../api/cluster-federated-trust-domain.ts";
import type { ClusterFederatedTrustDomainSpec } from "../api/cluster-federated-trust-domain.ts";
import { parseBundleDocument } from "../spiffe/bundle-document.ts";
import { parseSpiffeId } from "../spiffe/id.ts";
import { parseTrustDomain } from "../spiffe/trust-domain.ts";
import type { TrustDomain } from "../spiffe/trust-domain.ts";
import { SpecCheck } from "./spec-check.ts";
import type { SpecProblem } from "./types.ts";

/** Larger than any real bundle; etcd would take half as much again. */
const MOST_BUNDLE_CHARS = 1_000_000;

/** Says what is wrong with the spec of a ClusterFederatedTrustDomain; empty when nothing is. */
export function checkFederatedTrustDomain(spec: unknown, own: TrustDomain): SpecProblem[] {
  const check = new SpecCheck();
  const parsed = check.parse(clusterFederatedTrustDomainSpecSchema, spec);
  if (parsed) checkSpec(parsed, own, check);
  return check.problems;
}

function checkSpec(
  spec: ClusterFederatedTrustDomainSpec,
  own: TrustDomain,
  check: SpecCheck,
): void {
  const field = "spec.trustDomain";
  const trustDomain = check.attempt("InvalidTrustDomain", field, () =>
    parseTrustDomain(spec.trustDomain),
  );
  if (trustDomain === own) {
    const problem = `${JSON.stringify(own)} is the operator's own trust domain, which federates with others only`;
    check.refuse("InvalidTrustDomain", field, problem);
  }
  checkUrl(spec.bundleEndpointURL, check);
  checkProfile(spec.bundleEndpointProfile, check);
  const { trustDomainBundle: bundle = "" } = spec;
  if (bundle === "" || trustDomain === undefined) return;
  if (bundle.length > MOST_BUNDLE_CHARS) {
    const problem = `longer than ${MOST_BUNDLE_CHARS} characters`;
    check.refuse("InvalidBundle", "spec.trustDomainBundle", problem);
    return;
  }
  check.attempt("InvalidBundle", "spec.trustDomainBundle", () =>
    parseBundleDocument(bundle, trustDomain),
  );
}

function checkUrl(text: string, check: SpecCheck): void {
  const problem = urlProblem(text);
  if (problem !== undefined) check.refuse("InvalidUrl", "spec.bundleEndpointURL", problem);
}

/** In the order and words of SPIRE's webhook. */
function urlProblem(text: string): string | undefined {
  if (text === "") return "bundle endpoint URL is missing";
  const url = URL.parse(text);
  if (!/^https:/i.test(text)) return `bundle endpoint URL scheme must be https: ${quote(text)}`;
  // "https:host" and "https:///path" are URLs to browsers, with another host than they seem to have.
  if (!/^https:\/\/[^/?#]/i.test(text) || url === null || url.hostname === "") {
    return `bundle endpoint URL host must be specified: ${quote(text)}`;
  }
  const authority = text.slice("https://".length).split(/[/?#]/, 1)[0] ?? "";
  return authority.includes("@") ? "bundle endpoint URL cannot contain userinfo" : undefined;
}

type Profile = ClusterFederatedTrustDomainSpec["bundleEndpointProfile"];

function checkProfile({ type, endpointSPIFFEID }: Profile, check: SpecCheck): void {
  const field = "spec.bundleEndpointProfile.endpointSPIFFEID";
  if (type === "https_web") {
    if (endpointSPIFFEID === undefined || endpointSPIFFEID === "") return;
    check.refuse("InvalidSpec", field, "is for type https_spiffe only; leave it out for https_web");
    return;
  }
  if (endpointSPIFFEID === undefined || endpointSPIFFEID === "") {
    const problem = "is needed for type https_spiffe: the SPIFFE ID that the endpoint shows";
    check.refuse("InvalidSpec", field, problem);
    return;
  }
  check.attempt("InvalidSpiffeId", field, () => parseSpiffeId(endpointSPIFFEID));
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 200));
}
