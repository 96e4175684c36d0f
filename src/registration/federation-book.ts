import { isDeepStrictEqual } from "node:util";
import { clusterFederatedTrustDomainSpecSchema } from "../api/cluster-federated-trust-domain.ts";
import type { ClusterFederatedTrustDomainSpec } from "../api/cluster-federated-trust-domain.ts";
import { parseBundleDocument } from "../spiffe/bundle-document.ts";
import type { BundleDocument } from "../spiffe/bundle-document.ts";
import { parseTrustDomain } from "../spiffe/trust-domain.ts";
import { checkFederatedTrustDomain } from "./federation.ts";
import type { CustomResource } from "./objects.ts";
import { comparePreference, originOf, sourceName } from "./rule.ts";
import type { RuleOrigin } from "./rule.ts";
import type { Settings } from "./settings.ts";
import { summarize } from "./spec-problems.ts";
import type { FederationStatus, SpecProblem } from "./types.ts";

interface Relationship {
  readonly origin: RuleOrigin<"ClusterFederatedTrustDomain">;
  readonly generation: number;
  readonly object: CustomResource;
  readonly foreign: boolean;
  readonly problems: readonly SpecProblem[];
  /** Undefined when the spec has another form than its schema. */
  readonly spec: ClusterFederatedTrustDomainSpec | undefined;
  /** What is in `trustDomainBundle`; undefined when that is nothing, or there are problems. */
  readonly bundle: BundleDocument | undefined;
}

/** The ClusterFederatedTrustDomains: which trust domains there is a bundle of, and the status of each object. */
export class FederationBook {
  readonly #settings: Settings;
  readonly #relationships = new Map<string, Relationship>();
  readonly #reported = new Map<string, FederationStatus>();

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  apply(object: CustomResource): void {
    const { metadata } = object;
    this.#relationships.set(metadata.uid, this.#read(object));
  }

  remove(uid: string): void {
    this.#relationships.delete(uid);
  }

  uids(): string[] {
    return [...this.#relationships.keys()];
  }

  /** The bundles that are known, by trust domain. */
  bundles(): ReadonlyMap<string, BundleDocument> {
    const known = new Map<string, BundleDocument>();
    for (const [trustDomain, { bundle }] of this.#winners()) {
      if (bundle) known.set(trustDomain, bundle);
    }
    return known;
  }

  /** What the object's status should say; undefined when it is unknown or of another class. */
  statusOf(uid: string): FederationStatus | undefined {
    const relationship = this.#relationships.get(uid);
    if (relationship === undefined || relationship.foreign) return undefined;
    return {
      kind: "ClusterFederatedTrustDomain",
      name: relationship.origin.source.name,
      observedGeneration: relationship.generation,
      ...this.#readiness(uid, relationship),
    };
  }

  /** UIDs of the objects whose status differs from what it was at the last call; removed ones are among them. */
  takeChanged(): Set<string> {
    const changed = new Set<string>();
    for (const uid of new Set([...this.#reported.keys(), ...this.#relationships.keys()])) {
      const status = this.statusOf(uid);
      if (isDeepStrictEqual(status, this.#reported.get(uid))) continue;
      changed.add(uid);
      if (status) this.#reported.set(uid, status);
      else this.#reported.delete(uid);
    }
    return changed;
  }

  #read(object: CustomResource): Relationship {
    const parsed = clusterFederatedTrustDomainSpecSchema.safeParse(object.spec);
    const spec = parsed.success ? parsed.data : undefined;
    const problems = checkFederatedTrustDomain(object.spec, this.#settings.trustDomain);
    return {
      origin: originOf("ClusterFederatedTrustDomain", object),
      generation: object.metadata.generation ?? 0,
      object,
      foreign: spec !== undefined && !this.#settings.ownsClass(spec.className ?? ""),
      problems,
      spec,
      bundle: spec && problems.length === 0 ? readBundle(spec) : undefined,
    };
  }

  /** Of several objects for one trust domain the oldest counts. */
  #winners(): Map<string, Relationship> {
    const winners = new Map<string, Relationship>();
    for (const relationship of this.#relationships.values()) {
      const { spec, foreign, problems } = relationship;
      if (!spec || foreign || problems.length > 0) continue;
      const other = winners.get(spec.trustDomain);
      if (!other || comparePreference(relationship.origin, other.origin) < 0) {
        winners.set(spec.trustDomain, relationship);
      }
    }
    return winners;
  }

  #readiness(
    uid: string,
    { spec, problems }: Relationship,
  ): Pick<FederationStatus, "ready" | "reason" | "message"> {
    const [first] = problems;
    if (first) return { ready: false, reason: first.reason, message: summarize(problems) };
    const winner = this.#winners().get(spec?.trustDomain ?? "");
    if (winner && winner.origin.source.uid !== uid) {
      const message =
        `${sourceName(winner.origin.source)} is older and already federates with ` +
        `${JSON.stringify(spec?.trustDomain)}; delete one of them`;
      return { ready: false, reason: "Duplicate", message };
    }
    if ((spec?.trustDomainBundle ?? "") !== "") {
      const message =
        "The bundle is the one in spec.trustDomainBundle; the endpoint is not asked yet.";
      return { ready: true, reason: "BundleFromSpec", message };
    }
    const message =
      "There is no bundle: this version does not ask bundle endpoints; put the bundle into spec.trustDomainBundle.";
    return { ready: false, reason: "BundleNotFetched", message };
  }
}

/** Of a spec without problems. */
function readBundle(spec: ClusterFederatedTrustDomainSpec): BundleDocument | undefined {
  const { trustDomain, trustDomainBundle = "" } = spec;
  if (trustDomainBundle === "") return undefined;
  return parseBundleDocument(trustDomainBundle, parseTrustDomain(trustDomain));
}
