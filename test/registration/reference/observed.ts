import type {
  FederationStatus,
  RegistrationEntry,
  RegistrationIndex,
  RuleStatus,
} from "../../../src/registration/index.ts";
import { textOf } from "./expected.ts";
import type { Expected } from "./expected.ts";
import { podUid } from "./model.ts";
import type { Model } from "./model.ts";
import type { ExpectedStatus } from "./words.ts";

const KINDS = ["ClusterSPIFFEID", "ClusterStaticEntry", "ClusterFederatedTrustDomain"] as const;

/** What the index says, in the words of the reference. */
export function observe(index: RegistrationIndex, model: Model): Expected {
  const entries = new Map<string, string[]>();
  for (const id of model.pods.keys()) {
    entries.set(podUid(id), index.entriesOfPod(podUid(id)).map(textOfEntry));
  }
  const statuses = new Map<string, ExpectedStatus>();
  for (const uid of KINDS.flatMap((kind) => index.resourceUids(kind))) {
    const status = index.statusOf(uid);
    if (status) statuses.set(uid, wordsOf(status));
  }
  return { entries, statuses };
}

function textOfEntry(entry: RegistrationEntry): string {
  const { source, spiffeId, parentId, hint, dnsNames, federatesWith } = entry;
  const selectors = entry.selectors.map(({ type, value }) => `${type}:${value}`);
  return textOf({
    uid: source.uid,
    id: spiffeId,
    parent: parentId,
    hint,
    dnsNames,
    selectors,
    federatesWith,
  });
}

function wordsOf(status: RuleStatus | FederationStatus): ExpectedStatus {
  const { observedGeneration: generation, reason, message } = status;
  const words = { generation, reason, detail: detailOf(reason, message) };
  if (status.kind === "ClusterFederatedTrustDomain") return words;
  const { stats, entry, missingBundles, failures } = status;
  return {
    ...words,
    stats,
    ...(entry === undefined ? {} : { entry }),
    ...(missingBundles === undefined ? {} : { missing: missingBundles }),
    failures: failures.map((failure) => `${failure.pod} ${failureWord(failure.message)}`),
  };
}

/** What is captured belongs to the word. */
const FAILURES: readonly [word: string, message: RegExp][] = [
  ["node", /^node "node-\d" is not known yet$/],
  ["refused", /^spec\.workloadSelectorTemplates\[0\]: .* cannot be decided/],
  ["outside", /^spec\.spiffeIDTemplate: .* is not in the trust domain/],
  ["slash", /^spec\.spiffeIDTemplate: path cannot have a trailing slash: "(.*)"$/],
];

function failureWord(message: string): string {
  for (const [word, pattern] of FAILURES) {
    const match = pattern.exec(message);
    if (match) return [word, ...match.slice(1)].join(" ");
  }
  return message;
}

function detailOf(reason: string, message: string): string {
  if (reason === "Masked") return message.split(" declares", 1)[0] ?? "";
  if (reason === "Duplicate") {
    return (
      /^ClusterFederatedTrustDomain (.+) is older .* with "(.+)";/
        .exec(message)
        ?.slice(1)
        .join(" ") ?? ""
    );
  }
  if (reason === "UnknownParent") return /has the ID "([^"]+)"/.exec(message)?.[1] ?? "";
  if (reason !== "NothingSelected") return "";
  if (message.includes("selects no namespace")) return "no namespace";
  return /no pod has|no node has|no node matches/.exec(message)?.[0] ?? "no pod";
}
