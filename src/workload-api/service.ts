import type { Clock } from "../core/clock.ts";
import { SignetError } from "../core/errors.ts";
import type { SpiffeWorkloadAPI } from "../rpc/gen/spiffe/workload/workload_pb.js";
import type { CallContext, Handlers, Send } from "../rpc/server.ts";
import { parseSpiffeId } from "../spiffe/id.ts";
import { MAX_AUDIENCE_BYTES, MAX_AUDIENCES, MAX_AUDIENCES_BYTES } from "../spiffe/jwt-svid.ts";
import type { CallGate } from "./call-gate.ts";
import { entitled, noIdentity, toldFailure } from "./entitlement.ts";
import { responseHints } from "./hints.ts";
import { toldClaims } from "./jwt-claims.ts";
import type { ValidateJwtSvid } from "./jwt-validation.ts";
import { stateMessages } from "./messages.ts";
import type { Encode } from "./messages.ts";
import type { EntitledState, JwtSvid, WorkloadSource } from "./ports.ts";
import { streamStates } from "./state-stream.ts";

/** Workload Endpoint §3: without it a request may come from a program that was talked into sending it. */
const SECURITY_HEADER = "workload.spiffe.io";

export interface WorkloadApiDeps {
  readonly source: WorkloadSource;
  readonly gate: CallGate;
  readonly validate: ValidateJwtSvid;
  readonly clock: Clock;
}

type Api = Handlers<typeof SpiffeWorkloadAPI>;

/**
 * The SPIFFE Workload API for one workload. Codes are SPIRE's: INVALID_ARGUMENT for a request that is wrong by
 * itself, PERMISSION_DENIED without identity, UNAVAILABLE where trying again helps, UNIMPLEMENTED for WIT-SVIDs.
 */
export function workloadApi(deps: WorkloadApiDeps): Api {
  const messages = stateMessages();
  const stream =
    (encode: Encode) =>
    (_request: object, send: Send<never>, context: CallContext): Promise<void> =>
      admitted(deps, context, (signal) =>
        streamStates({ source: deps.source, encode, send, signal }),
      );
  const unsupported = (_request: object, _send: unknown, context: CallContext): Promise<void> =>
    admitted(deps, context, () =>
      Promise.reject(new SignetError("UNIMPLEMENTED", "WIT-SVIDs are not issued here")),
    );
  return {
    fetchX509SVID: stream(messages.x509Svids),
    fetchX509Bundles: stream(messages.x509Bundles),
    fetchJWTBundles: stream(messages.jwtBundles),
    fetchJWTSVID: (request, context) =>
      admitted(deps, context, (signal) => fetchJwtSvids(deps, request, signal)),
    validateJWTSVID: (request, context) => admitted(deps, context, () => validate(deps, request)),
    fetchWITSVID: unsupported,
    fetchWITBundles: unsupported,
  };
}

/** Runs a call that stays within the limits and carries the header; one without counts too, as it costs the same. */
async function admitted<T>(
  { gate }: WorkloadApiDeps,
  context: CallContext,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  await gate.admit(context);
  const values = context.headers(SECURITY_HEADER);
  if (values.length !== 1 || values[0] !== "true") {
    throw new SignetError(
      "INVALID_ARGUMENT",
      `security header missing from request: the metadata must hold "${SECURITY_HEADER}: true" once`,
    );
  }
  return gate.run(context, work);
}

interface JwtSvidsAsked {
  readonly audience: readonly string[];
  readonly spiffeId: string;
}

async function fetchJwtSvids(
  { source }: WorkloadApiDeps,
  { audience, spiffeId: asked }: JwtSvidsAsked,
  signal: AbortSignal,
) {
  const audiences = checkAudiences(audience);
  const spiffeId = asked === "" ? undefined : parseSpiffeId(asked).uri;
  if (spiffeId !== undefined) rankOf(entitled(source.current()), spiffeId);
  else entitled(source.current());
  let fetched: readonly JwtSvid[];
  try {
    fetched = await source.fetchJwtSvids({ audiences, spiffeId, signal });
  } catch (error) {
    throw toldFailure(error);
  }
  // The entitlement may have gone meanwhile.
  const state = entitled(source.current());
  const ranked = fetched.map((svid) => ({ svid, rank: rankOf(state, svid.spiffeId) }));
  const svids = ranked.toSorted((a, b) => a.rank - b.rank).map(({ svid }) => svid);
  if (svids.length === 0) throw noIdentity();
  const hints = responseHints(svids);
  return {
    svids: svids.map((svid, i) => ({
      spiffeId: svid.spiffeId,
      svid: svid.token,
      hint: hints[i] ?? "",
    })),
  };
}

/** The place of an identity among the workload's own, the default one first. Throws PERMISSION_DENIED for another's. */
function rankOf({ svids }: EntitledState, spiffeId: string): number {
  const rank = svids.findIndex((svid) => svid.spiffeId === spiffeId);
  if (rank === -1) throw noIdentity();
  return rank;
}

function checkAudiences(audience: readonly string[]): string[] {
  const audiences = [...new Set(audience)];
  if (audiences.length === 0 || audiences.includes("")) {
    throw new SignetError("INVALID_ARGUMENT", "audience must be specified");
  }
  const sizes = audiences.map((name) => Buffer.byteLength(name));
  const tooLong =
    sizes.some((bytes) => bytes > MAX_AUDIENCE_BYTES) ||
    sizes.reduce((sum, bytes) => sum + bytes, 0) > MAX_AUDIENCES_BYTES;
  if (audiences.length > MAX_AUDIENCES || tooLong) {
    throw new SignetError(
      "INVALID_ARGUMENT",
      `audience: at most ${MAX_AUDIENCES} names of at most ${MAX_AUDIENCE_BYTES} bytes, ${MAX_AUDIENCES_BYTES} together`,
    );
  }
  return audiences;
}

async function validate(
  { source, validate: check, clock }: WorkloadApiDeps,
  { audience, svid }: { readonly audience: string; readonly svid: string },
) {
  if (audience === "") throw new SignetError("INVALID_ARGUMENT", "audience must be specified");
  if (svid === "") throw new SignetError("INVALID_ARGUMENT", "svid must be specified");
  const { trustDomain, bundle, federatedBundles } = entitled(source.current());
  const bundles = new Map<string, typeof bundle>([...federatedBundles, [trustDomain, bundle]]);
  const { id, claims } = await check(svid, {
    audience,
    bundleOf: (name) => bundles.get(name),
    now: clock.now(),
  });
  const foreign = id.trustDomain !== trustDomain;
  return { spiffeId: id.uri, claims: toldClaims(claims, { foreign }) };
}
