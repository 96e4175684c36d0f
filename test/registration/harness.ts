import { RegistrationIndex } from "../../src/registration/index.ts";
import type {
  Change,
  FederationStatus,
  RegistrationOptions,
  RuleStatus,
} from "../../src/registration/index.ts";
import { OPTIONS, namespace, node } from "./universe.ts";

export const OLD = "2026-01-01T00:00:00Z";
export const NEW = "2026-02-01T00:00:00Z";

/** An index that knows the namespace shop and node-1, with its reports from here on and short ways to ask it. */
export function start(options: Partial<RegistrationOptions> = {}) {
  const changes: Change[] = [];
  const index = new RegistrationIndex({ ...OPTIONS, ...options }, (change) => changes.push(change));
  index.applyNamespace(namespace());
  index.applyNode(node());
  changes.length = 0;
  const ids = (uid = "uid-web"): string[] => index.entriesOfPod(uid).map((e) => e.spiffeId);
  const status = (name: string): RuleStatus | undefined => {
    const found = index.statusOf(`uid-${name}`);
    if (found?.kind === "ClusterFederatedTrustDomain") throw new Error(`${name} is no rule`);
    return found;
  };
  const federation = (name: string): FederationStatus | undefined => {
    const found = index.statusOf(`uid-${name}`);
    if (found && found.kind !== "ClusterFederatedTrustDomain") throw new Error(`${name} is a rule`);
    return found;
  };
  const stats = (name: string) => status(name)?.stats;
  const dnsNames = (uid = "uid-web") => index.entriesOfPod(uid)[0]?.dnsNames;
  return { index, changes, ids, status, federation, stats, dnsNames };
}
