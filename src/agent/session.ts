import { errorMessage } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { NodeUpdate } from "../rpc/gen/signet/agent/v1/agent_pb.js";
import type { BundleReader } from "./bundle-message.ts";
import type { PodAddresses } from "./pod-addresses.ts";
import type { TrustAnchors } from "./trust-anchors.ts";
import type { SessionHandler } from "./watch-loop.ts";
import type { Workloads } from "./workloads.ts";

/** How far the session with the operator has come. */
export interface SessionState {
  connected: boolean;
  synced: boolean;
}

export interface SessionOptions {
  readonly bundles: BundleReader;
  readonly anchors: TrustAnchors;
  readonly addresses: PodAddresses;
  readonly tracked: Workloads;
  readonly session: SessionState;
  readonly log: Log;
}

/** Makes what carries the operator's updates to the workloads. */
export function sessionHandler(options: SessionOptions): SessionHandler {
  const { tracked, session, log } = options;
  return {
    begin() {
      session.connected = true;
      tracked.beginSession();
      log.info({}, "session with the operator began");
    },
    update: ({ update }) => accept(update, options),
    end() {
      session.connected = false;
      session.synced = false;
    },
  };
}

type Update = NodeUpdate["update"];
type BundleMessage = Extract<Update, { case: "bundle" }>["value"];

function accept(update: Update, options: SessionOptions): void {
  const { tracked, session, addresses } = options;
  if (update.case === "bundle") acceptBundle(update.value, options);
  else if (update.case === "federatedBundle") acceptForeign(update.value, options);
  else if (update.case === "federatedBundleGone") tracked.dropForeignBundle(update.value);
  else if (update.case === "pod") {
    addresses.set(update.value.podUid, update.value.podIp);
    tracked.setEntries(update.value.podUid, update.value.entries);
  } else if (update.case === "synced") {
    session.synced = true;
    tracked.synced();
  }
}

function acceptBundle(message: BundleMessage, options: SessionOptions): void {
  const { bundles, anchors, tracked, log } = options;
  try {
    const bundle = bundles.own(message);
    anchors.push(bundle);
    tracked.setBundle(bundle);
  } catch (error) {
    log.error(
      { error: errorMessage(error) },
      "pushed trust bundle was refused; the last one stays",
    );
  }
}

/** One that cannot be used leaves the last one: an operator's fault must not end a federation. */
function acceptForeign(message: BundleMessage, { bundles, tracked, log }: SessionOptions): void {
  try {
    tracked.setForeignBundle(bundles.foreign(message));
  } catch (error) {
    log.error({ error: errorMessage(error) }, "foreign bundle was refused; the last one stays");
    tracked.keepForeignBundle(message.trustDomain);
  }
}
