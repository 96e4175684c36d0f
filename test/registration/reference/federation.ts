import { federatedUid, objectName } from "./model.ts";
import type { Model, ModelFederated } from "./model.ts";
import { preferred } from "./preference.ts";
import type { ExpectedStatus } from "./words.ts";

/** The object that counts for a trust domain. */
function winner(model: Model, trustDomain: string): ModelFederated | undefined {
  const aged = (f: ModelFederated) => ({ ...f, uid: federatedUid(f.id) });
  const valid = [...model.federated.values()].filter(
    (f) => !f.foreign && !f.invalid && f.trustDomain === trustDomain,
  );
  return valid.find((f) => !valid.some((other) => preferred(aged(other), aged(f))));
}

export function missingBundles(model: Model, federatesWith: readonly string[]): string[] {
  return federatesWith.filter((name) => winner(model, name)?.bundle !== true);
}

export function computeFederation(model: Model, f: ModelFederated): ExpectedStatus {
  const status = (reason: string, detail = ""): ExpectedStatus => ({
    generation: f.generation,
    reason,
    detail,
  });
  if (f.invalid) return status("InvalidUrl");
  const first = winner(model, f.trustDomain);
  if (first && first.id !== f.id)
    return status("Duplicate", `${objectName(first.id)} ${f.trustDomain}`);
  return status(f.bundle ? "BundleFromSpec" : "BundleNotFetched");
}
