import type { Clock } from "../core/clock.ts";
import type { AgentConfig } from "../core/config.ts";
import { errorMessage } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { IdentitySink, IdentitySource } from "../csi/ports.ts";
import type { NodeUpdate } from "../rpc/gen/signet/agent/v1/agent_pb.js";
import type { TrustDomain } from "../spiffe/trust-domain.ts";
import { issuing } from "./issuing.ts";
import { operatorLink } from "./operator-link.ts";
import { bundleFrom } from "./response.ts";
import { trustAnchors } from "./trust-anchors.ts";
import type { TrustAnchors } from "./trust-anchors.ts";
import { watchLoop } from "./watch-loop.ts";
import type { SessionHandler } from "./watch-loop.ts";
import { workloads } from "./workloads.ts";
import type { Workloads, WorkloadsSummary } from "./workloads.ts";

export interface AgentOptions {
  readonly config: Pick<AgentConfig, "operatorAddress" | "bundleDir" | "tokenFile">;
  readonly trustDomain: TrustDomain;
  readonly version: string;
  /** Asked at each write: the owner of the volumes may come later than the agent. */
  readonly sink: () => IdentitySink;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
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
  /** Begins to follow the operator; does not wait for it. `attest` works before this too. */
  start(): void;
  /** Ends the session and all calls; resolves when the last write is over. */
  stop(): Promise<void>;
  status(): AgentStatus;
}

interface SessionState {
  connected: boolean;
  synced: boolean;
}

/** Makes an agent of a node. */
export function createAgent(options: AgentOptions): Agent {
  const { config, clock, random, log } = options;
  const anchors = trustAnchors({ bundleDir: config.bundleDir, log });
  const { operatorAddress: address, tokenFile } = config;
  const link = operatorLink({ ...options, address, tokenFile, anchors });
  const pushed = (): ReturnType<Workloads["bundle"]> => tracked.bundle();
  const issue = issuing({ ...options, link, pushed });
  const tracked = workloads({ ...options, issuing: issue });
  const session: SessionState = { connected: false, synced: false };
  const handler = sessionHandler({ ...options, anchors, tracked, session });
  const stopping = new AbortController();
  let running: Promise<unknown> = Promise.resolve();
  return {
    identities: {
      attest: ({ pod }, podToken, limits) => issue.attest(pod, podToken, limits),
      adopt: (volume, current) => tracked.adopt(volume, current),
      forget: (volumeId) => tracked.forget(volumeId),
      addressOf: () => undefined,
    },
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

interface HandlerOptions extends Pick<AgentOptions, "trustDomain" | "log"> {
  readonly anchors: TrustAnchors;
  readonly tracked: Workloads;
  readonly session: SessionState;
}

function sessionHandler(options: HandlerOptions): SessionHandler {
  const { tracked, session, log } = options;
  return {
    begin() {
      session.connected = true;
      tracked.beginSession();
      log.info({}, "session with the operator began");
    },
    update({ update }) {
      if (update.case === "bundle") acceptBundle(update.value, options);
      else if (update.case === "pod") tracked.setEntries(update.value.podUid, update.value.entries);
      else if (update.case === "synced") {
        session.synced = true;
        tracked.synced();
      }
    },
    end() {
      session.connected = false;
      session.synced = false;
    },
  };
}

type BundleMessage = Extract<NodeUpdate["update"], { case: "bundle" }>["value"];

function acceptBundle(message: BundleMessage, options: HandlerOptions): void {
  const { trustDomain, anchors, tracked, log } = options;
  try {
    const bundle = bundleFrom(message, trustDomain);
    anchors.push(bundle);
    tracked.setBundle(bundle);
  } catch (error) {
    log.error(
      { error: errorMessage(error) },
      "pushed trust bundle was refused; the last one stays",
    );
  }
}
