import type { Clock } from "../core/clock.ts";
import type { AgentConfig } from "../core/config.ts";
import type { Log } from "../core/log.ts";
import type { IdentitySink, IdentitySource } from "../csi/ports.ts";
import type { TrustDomain } from "../spiffe/trust-domain.ts";
import type { WorkloadSource } from "../workload-api/ports.ts";
import { bundleReader } from "./bundle-message.ts";
import type { AgentEvent } from "./events.ts";
import { issuing } from "./issuing.ts";
import type { Issuing, IssuingOptions } from "./issuing.ts";
import { jwtCache } from "./jwt-cache.ts";
import type { JwtCacheLimits } from "./jwt-answers.ts";
import type { JwtCache } from "./jwt-cache.ts";
import type { VerifyJwt } from "./jwt-response.ts";
import { jwtSource } from "./jwt-source.ts";
import { operatorLink } from "./operator-link.ts";
import { podAddresses } from "./pod-addresses.ts";
import { sessionHandler } from "./session.ts";
import type { SessionState } from "./session.ts";
import { workloadSources } from "./sources.ts";
import type { Sources } from "./sources.ts";
import { trustAnchors } from "./trust-anchors.ts";
import { watchLoop } from "./watch-loop.ts";
import type { WorkloadsSummary } from "./workload-summary.ts";
import { workloads } from "./workloads.ts";
import type { Workloads } from "./workloads.ts";

export interface AgentOptions {
  readonly config: Pick<AgentConfig, "operatorAddress" | "bundleDir" | "tokenFile">;
  readonly trustDomain: TrustDomain;
  readonly version: string;
  /** Asked at each write: the owner of the volumes may come later than the agent. */
  readonly sink: () => IdentitySink;
  readonly verifyJwt: VerifyJwt;
  /** Those of JWT_CACHE_LIMITS where left out. */
  readonly jwtLimits?: Partial<JwtCacheLimits>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
  readonly count: (event: AgentEvent) => void;
}

export interface AgentStatus extends WorkloadsSummary {
  /** A session with the operator runs. */
  readonly connected: boolean;
  /** The operator said all about this node in the session that runs. */
  readonly synced: boolean;
  /** There is a trust bundle to verify the operator with. */
  readonly bundleLoaded: boolean;
}

/** The node's side of issuing: gets, renews and follows the identities of its pods. */
export interface Agent {
  readonly identities: IdentitySource;
  /** What the Workload API of a volume serves; the volume may become known later, or come again. */
  source(volumeId: string): WorkloadSource;
  /** Begins to follow the operator; does not wait for it. `attest` works before this too. */
  start(): void;
  /** Ends the session and all calls; resolves when the last write is over. */
  stop(): Promise<void>;
  status(): AgentStatus;
}

/** Makes an agent of a node. */
export function createAgent(options: AgentOptions): Agent {
  const { config, clock, random, log } = options;
  const anchors = trustAnchors({ bundleDir: config.bundleDir, log });
  const { operatorAddress: address, tokenFile } = config;
  const link = operatorLink({ ...options, address, tokenFile, anchors });
  const bundles = bundleReader(options.trustDomain);
  const addresses = podAddresses();
  const stopping = new AbortController();
  const { issue, tracked, sources } = served(options, {
    ...{ link, bundles },
    onAddress: (podUid, ip) => addresses.set(podUid, ip),
    signal: stopping.signal,
  });
  const session: SessionState = { connected: false, synced: false };
  const handler = sessionHandler({ anchors, bundles, addresses, tracked, session, log });
  let running: Promise<unknown> = Promise.resolve();
  return {
    identities: {
      attest: (volume, podToken, limits) => issue.attest(volume, podToken, limits),
      adopt: (volume, current) => tracked.adopt(volume, current),
      forget: (volumeId) => tracked.forget(volumeId),
      addressOf: (podUid) => addresses.of(podUid),
    },
    source: (volumeId) => sources.of(volumeId),
    start() {
      const { signal } = stopping;
      const loop = { open: (until: AbortSignal) => link.watch(until), handler, clock, random, log };
      running = Promise.all([watchLoop(loop, signal), tracked.run(signal)]);
    },
    async stop() {
      stopping.abort();
      link.close();
      await running;
    },
    status: () => ({
      ...session,
      bundleLoaded: anchors.current().certificates.length > 0,
      ...tracked.summary(),
    }),
  };
}

interface Served {
  readonly issue: Issuing;
  readonly tracked: Workloads;
  readonly sources: Sources;
}

interface ServedOptions extends Pick<IssuingOptions, "link" | "bundles" | "onAddress"> {
  readonly signal: AbortSignal;
}

/** The workloads with what serves them. */
function served(
  options: AgentOptions,
  { link, bundles, onAddress, signal }: ServedOptions,
): Served {
  const { clock } = options;
  const pushed = (): ReturnType<Workloads["bundle"]> => tracked.bundle();
  const issue = issuing({ ...options, link, bundles, pushed, onAddress });
  const cache = tokenCache(options, issue, signal);
  const tracked = workloads({
    ...options,
    issuing: issue,
    onPodLeft: (podUid) => cache.drop(podUid),
    onChange: (volumeIds) => sources.changed(volumeIds),
  });
  const workloadOf: Workloads["get"] = (volumeId) => tracked.get(volumeId);
  const wantedOf: Workloads["wantedOf"] = (podUid) => tracked.wantedOf(podUid);
  const fetchJwtSvids = jwtSource({ cache, workloadOf, wantedOf, clock });
  const sources = workloadSources({ workloadOf, fetchJwtSvids, clock });
  return { issue, tracked, sources };
}

/** How long one call for tokens may take. */
const JWT_TIMEOUT_MS = 10_000;

function tokenCache(options: AgentOptions, issue: Issuing, signal: AbortSignal): JwtCache {
  const { clock, random, jwtLimits: limits = {}, count } = options;
  return jwtCache({
    ...{ limits, clock, random },
    issue: (podUid, question, bundle) =>
      issue.issueJwt(podUid, question, { bundle, deadline: clock.now() + JWT_TIMEOUT_MS, signal }),
    count: (event) => count(`jwt-${event}`),
  });
}
