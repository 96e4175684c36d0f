import { SignetError } from "../core/errors.ts";
import type { Bundle } from "../spiffe/bundle.ts";
import type { Foreign } from "./workload.ts";

/** More foreign trust domains than this are refused. */
const MAX_FOREIGN = 1000;

/** The bundles that were pushed to this node. */
export interface NodeTrust {
  /** The own trust domain's. */
  own: Bundle | undefined;
  readonly foreign: Foreign;
  /** Notes a foreign bundle. Throws RESOURCE_EXHAUSTED when there are too many. */
  setForeign(bundle: Bundle): void;
  /** Lets a foreign bundle stay over the end of the session's first part. */
  keepForeign(trustDomain: string): void;
  /** Forgets a foreign bundle. */
  dropForeign(trustDomain: string): void;
  /** From here to `synced` the operator names every foreign bundle. */
  beginSession(): void;
  /** Forgets the foreign bundles that were not named since the session began. */
  synced(): void;
}

/** No bundle yet. */
export function nodeTrust(): NodeTrust {
  const bundles = new Map<string, Bundle>();
  let named = new Set<string>();
  let isComplete = false;
  return {
    own: undefined,
    foreign: {
      bundles,
      get isComplete() {
        return isComplete;
      },
    },
    setForeign(bundle) {
      const { trustDomain } = bundle;
      if (!bundles.has(trustDomain) && bundles.size >= MAX_FOREIGN) {
        throw new SignetError("RESOURCE_EXHAUSTED", `more than ${MAX_FOREIGN} foreign bundles`);
      }
      bundles.set(trustDomain, bundle);
      named.add(trustDomain);
    },
    keepForeign(trustDomain) {
      if (bundles.has(trustDomain)) named.add(trustDomain);
    },
    dropForeign(trustDomain) {
      bundles.delete(trustDomain);
      named.delete(trustDomain);
    },
    beginSession() {
      named = new Set();
      isComplete = false;
    },
    synced() {
      for (const name of [...bundles.keys()]) if (!named.has(name)) bundles.delete(name);
      named = new Set();
      isComplete = true;
    },
  };
}
