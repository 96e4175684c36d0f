import type { Clock } from "../../src/core/clock.ts";
import { SignetError } from "../../src/core/errors.ts";
import type { ErrorCode } from "../../src/core/errors.ts";
import type { FileToken, IssuedSvid, Volume, WorkloadIdentity } from "../../src/csi/ports.ts";
import type { Issuing } from "../../src/agent/issuing.ts";
import { isSignedWithin } from "../../src/agent/token-schedule.ts";
import type { EntryRef } from "../../src/agent/workload.ts";
import type { Bundle } from "../../src/spiffe/bundle.ts";
import { parseTrustDomain } from "../../src/spiffe/trust-domain.ts";
import type { TestAuthority } from "../fakes/authority.ts";
import { bundleOf, identityOf } from "./fixture.ts";
import { BACKDATING_MS } from "./simulation.ts";

/** An agent that asks more often asks without pause: it is not answered, so that a count ends the test. */
const ANSWERS = 20_000;

export interface ModelEntry extends EntryRef {
  readonly federatesWith: readonly string[];
}

interface Signer {
  readonly authority: TestAuthority;
  /** A certificate of the authority, in DER. */
  readonly leaf: Buffer;
}

export type Signers = readonly [Signer, Signer];

interface OperatorOptions {
  /** The time that is right. */
  readonly clock: Clock;
  readonly ttlMs: number;
  readonly signers: Signers;
}

/** How often the agent asked for something, by volume. */
export type Asked = Map<string, number>;

export interface ModelOperator extends Pick<Issuing, "renew" | "fileTokens"> {
  /** By pod, the default one first. */
  readonly entries: Map<string, readonly ModelEntry[]>;
  entriesOf(podUid: string): readonly ModelEntry[];
  /** By trust domain. */
  readonly foreign: Map<string, Bundle>;
  setForeign(name: string, isKnown: boolean): Bundle | undefined;
  /** When each foreign bundle went. */
  readonly dropped: Map<string, number>;
  bundle(): Bundle;
  /** From now on another authority signs, and the one before is not trusted any more. */
  rotate(): void;
  /** Makes an identity with its tokens, if the pod has entries. */
  issue(volume: Volume): WorkloadIdentity | undefined;
  /** What was issued last as a whole, by volume. */
  readonly last: Map<string, WorkloadIdentity>;
  /** Whether it is signed as the operator signs now. */
  isCurrent(identity: WorkloadIdentity): boolean;
  refusal: ErrorCode | undefined;
  tokenRefusal: { readonly code: ErrorCode; readonly audiences: readonly string[] };
  /** What passes before and after the moment of which an answer tells. */
  lag: { readonly beforeMs: number; readonly afterMs: number };
  readonly renewals: Asked;
  readonly tokens: Asked;
}

/** An operator that decides at once and answers after a lag; it knows the right time. */
export function modelOperator({ clock, ttlMs, signers }: OperatorOptions): ModelOperator {
  let generation = 0;
  let answers = 0;
  const signer = (): Signer => signers[generation % 2 === 0 ? 0 : 1];
  const lagging = async <T>(asked: Asked, volumeId: string, answer: () => T): Promise<T> => {
    asked.set(volumeId, (asked.get(volumeId) ?? 0) + 1);
    answers += 1;
    if (answers > ANSWERS) return await new Promise<never>(() => undefined);
    const { beforeMs, afterMs } = operator.lag;
    if (beforeMs > 0) await clock.sleep(beforeMs);
    const outcome = await Promise.allSettled([Promise.resolve().then(answer)]);
    if (afterMs > 0) await clock.sleep(afterMs);
    if (outcome[0].status === "rejected") throw outcome[0].reason;
    return outcome[0].value;
  };
  const tokensOf = (volume: Volume, { svids, bundle }: WorkloadIdentity) => {
    const spiffeId = svids[0]?.spiffeId ?? "";
    const isEntitled = operator.entriesOf(volume.pod.uid).some((entry) => idOf(entry) === spiffeId);
    const given = volume.jwtAudiences
      .filter((audience) => isEntitled && !operator.tokenRefusal.audiences.includes(audience))
      .map((audience) => tokenOf({ audience, spiffeId, kid: `${generation}`, now: clock.now() }))
      .filter((token) => isSignedWithin(token, bundle));
    const code = isEntitled ? operator.tokenRefusal.code : "PERMISSION_DENIED";
    const isWhole = given.length === volume.jwtAudiences.length;
    return { tokens: given, error: isWhole ? undefined : new SignetError(code, "refused") };
  };
  const tokenOf = ({ kid, now, ...names }: Signed): FileToken => {
    const header = Buffer.from(JSON.stringify({ kid })).toString("base64url");
    return { ...names, token: `${header}.e30.`, issuedAt: now, expiresAt: now + ttlMs / 2 };
  };
  const svidOf = (entry: ModelEntry): IssuedSvid => ({
    ...entry,
    spiffeId: idOf(entry),
    chain: [signer().leaf],
    notBefore: clock.now() - BACKDATING_MS,
    notAfter: clock.now() + ttlMs,
    hint: "",
  });
  const issued = (volume: Volume, withTokens: boolean): WorkloadIdentity | undefined => {
    const entries = operator.entriesOf(volume.pod.uid);
    if (entries.length === 0) return undefined;
    const names = new Set(entries.flatMap(({ federatesWith }) => federatesWith));
    const federatedBundles = [...names].toSorted().flatMap((name) => foreign.get(name) ?? []);
    const svids = entries.map((entry) => svidOf(entry));
    const bare = { ...identityOf(svids), bundle: operator.bundle(), federatedBundles };
    const { tokens, error } = tokensOf(volume, bare);
    // A pod does not start without its tokens.
    if (error === undefined) operator.last.set(volume.id, { ...bare, tokens });
    return withTokens ? { ...bare, tokens } : bare;
  };
  const foreign = new Map<string, Bundle>();
  const operator: ModelOperator = {
    entries: new Map(),
    entriesOf: (podUid) => operator.entries.get(podUid) ?? [],
    foreign,
    setForeign(name, isKnown) {
      if (foreign.delete(name)) operator.dropped.set(name, clock.now());
      if (!isKnown) return undefined;
      const bundle = { ...operator.bundle(), trustDomain: parseTrustDomain(name) };
      foreign.set(name, bundle);
      return bundle;
    },
    dropped: new Map(),
    bundle: () => ({
      ...bundleOf([signer().authority], generation),
      jwtAuthorities: [{ kid: `${generation}`, kty: "EC" }],
    }),
    rotate: () => void generation++,
    issue: (volume) => issued(volume, true),
    last: new Map(),
    isCurrent: ({ svids, tokens }) =>
      svids.every(({ chain }) => chain[0] === signer().leaf) &&
      tokens.every((token) => isSignedWithin(token, operator.bundle())),
    refusal: undefined,
    tokenRefusal: { code: "UNAVAILABLE", audiences: [] },
    lag: { beforeMs: 0, afterMs: 0 },
    renewals: new Map(),
    tokens: new Map(),
    renew: (volume, { withTokens }) =>
      lagging(operator.renewals, volume.id, () => {
        if (operator.refusal) throw new SignetError(operator.refusal, "refused");
        const identity = issued(volume, withTokens);
        if (!identity) throw new SignetError("NO_IDENTITY", "no entry");
        return identity;
      }),
    fileTokens: (volume, held) => lagging(operator.tokens, volume.id, () => tokensOf(volume, held)),
  };
  return operator;
}

interface Signed extends Pick<FileToken, "audience" | "spiffeId"> {
  readonly kid: string;
  readonly now: number;
}

function idOf({ entryId }: EntryRef): string {
  return `spiffe://test.local/${entryId}`;
}
