import { isIP } from "node:net";

/** More pods than a node can have. */
const MAX_PODS = 4096;

/** The IP addresses of pods, as the operator said them. */
export interface PodAddresses {
  /** Undefined when none is known. */
  of(podUid: string): string | undefined;
  /** Notes an address; what is none leaves the last one. */
  set(podUid: string, address: string): void;
}

/** No address yet. Pods that were not heard of for longest are forgotten when there are too many. */
export function podAddresses(): PodAddresses {
  const known = new Map<string, string>();
  return {
    of: (podUid) => known.get(podUid),
    set(podUid, address) {
      if (isIP(address) === 0) return;
      known.delete(podUid);
      known.set(podUid, address);
      const [oldest] = known.keys();
      if (known.size > MAX_PODS && oldest !== undefined) known.delete(oldest);
    },
  };
}
