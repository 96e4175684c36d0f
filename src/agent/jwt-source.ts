import type { Clock } from "../core/clock.ts";
import { SignetError } from "../core/errors.ts";
import type { WorkloadSource } from "../workload-api/ports.ts";
import type { JwtGrant } from "./jwt-answers.ts";
import type { JwtCache } from "./jwt-cache.ts";
import type { Workload } from "./workload.ts";

export interface JwtSourceOptions {
  readonly cache: JwtCache;
  /** A volume as it is looked after now. */
  readonly workloadOf: (volumeId: string) => Workload | undefined;
  /** The entries of a pod. */
  readonly wantedOf: (podUid: string) => JwtGrant["wanted"];
  readonly clock: Clock;
}

/** As `WorkloadSource.fetchJwtSvids`, for a volume. */
export type FetchJwtSvids = (
  volumeId: string,
  request: Parameters<WorkloadSource["fetchJwtSvids"]>[0],
) => ReturnType<WorkloadSource["fetchJwtSvids"]>;

/** Makes what fetches the tokens of volumes: only of the identities that their X509-SVIDs show. */
export function jwtSource({ cache, workloadOf, wantedOf, clock }: JwtSourceOptions): FetchJwtSvids {
  return async (volumeId, { audiences, spiffeId, signal }) => {
    const { volume } = entitledWorkload(workloadOf(volumeId), clock.now());
    const { uid } = volume.pod;
    const grant = (): JwtGrant | undefined => {
      const { held, gone } = workloadOf(volumeId) ?? {};
      return held && !gone ? { bundle: held.bundle, wanted: wantedOf(uid) } : undefined;
    };
    const tokens = await cache.fetch(uid, { audiences, spiffeId }, { grant, signal });
    // An entry may have come, or gone, while the call ran.
    const { svids } = entitledWorkload(workloadOf(volumeId), clock.now());
    const shown = tokens.filter((token) => svids.some((svid) => svid.spiffeId === token.spiffeId));
    if (shown.length > 0) return shown;
    throw new SignetError("UNAVAILABLE", "the identity of the JWT-SVID is not known here yet");
  };
}

function entitledWorkload(workload: Workload | undefined, now: number) {
  if (workload?.gone) throw new SignetError("NO_IDENTITY", "the pod has no identity");
  const svids = workload?.held?.svids.filter(({ notAfter }) => notAfter > now) ?? [];
  if (workload && svids.length > 0) return { volume: workload.volume, svids };
  throw new SignetError("UNAVAILABLE", "it is not known yet which identities there are");
}
