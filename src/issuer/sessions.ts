import type { MessageInitShape } from "@bufbuild/protobuf";
import { SignetError } from "../core/errors.ts";
import type { Live } from "../core/live.ts";
import { podIp } from "../registration/objects.ts";
import type { NodeUpdateSchema } from "../rpc/gen/signet/agent/v1/agent_pb.js";
import type { Bundle } from "../spiffe/bundle.ts";
import type { EncodeBundle } from "./encode.ts";
import type { EntryRegistry } from "./ports.ts";

type NodeUpdate = MessageInitShape<typeof NodeUpdateSchema>;
type SendUpdate = (update: NodeUpdate) => Promise<void>;

/** The open watches of agents: each learns what changes for the pods of its node. */
export interface Sessions {
  /**
   * Serves one agent until `signal` aborts: the bundle, foreign bundles, the node's pods, `synced`, then changes.
   * Changes that come faster than the agent reads are merged, so memory stays bounded by what there is to tell.
   * Throws UNAVAILABLE when the operator stops.
   */
  serve(nodeName: string, send: SendUpdate, signal: AbortSignal): Promise<void>;
  readonly size: number;
  close(): void;
}

/** What the updates are made of. */
export interface SessionDeps {
  readonly registry: EntryRegistry;
  readonly bundle: Live<Bundle>;
  readonly encodeBundle: EncodeBundle;
}

interface Session {
  readonly pods: Set<string>;
  /** Names of trust domains. */
  readonly foreign: Set<string>;
  bundle: boolean;
  readonly wake: () => void;
}

/** Opens the agents' sessions over the registry and the trust bundle. */
export function createSessions(deps: SessionDeps): Sessions {
  const byNode = new Map<string, Set<Session>>();
  const stopped = new AbortController();
  const tellAll = (note: (session: Session) => void): void => {
    for (const sessions of byNode.values()) {
      for (const session of sessions) {
        note(session);
        session.wake();
      }
    }
  };
  const unsubscribeRegistry = deps.registry.subscribe({
    entriesChanged(podUid, nodeName) {
      for (const session of byNode.get(nodeName) ?? []) {
        session.pods.add(podUid);
        session.wake();
      }
    },
    foreignBundleChanged: (name) => tellAll((session) => session.foreign.add(name)),
  });
  const unsubscribeBundle = deps.bundle.subscribe(() =>
    tellAll((session) => (session.bundle = true)),
  );

  return {
    get size() {
      return [...byNode.values()].reduce((sum, sessions) => sum + sessions.size, 0);
    },
    async serve(nodeName, send, signal) {
      const over = AbortSignal.any([signal, stopped.signal]);
      const { session, changed } = newSession();
      const sessions = byNode.get(nodeName) ?? new Set();
      byNode.set(nodeName, sessions.add(session));
      try {
        for (const update of allUpdates(deps, nodeName)) await send(update);
        while (!over.aborted) {
          await changed(over);
          for (const update of takeChanges(session, deps)) await send(update);
        }
      } finally {
        sessions.delete(session);
        if (sessions.size === 0) byNode.delete(nodeName);
      }
      if (stopped.signal.aborted) throw new SignetError("UNAVAILABLE", "the operator is stopping");
    },
    close() {
      unsubscribeRegistry();
      unsubscribeBundle();
      stopped.abort();
    },
  };
}

function* allUpdates(deps: SessionDeps, nodeName: string): Generator<NodeUpdate> {
  const { registry } = deps;
  yield bundleUpdate(deps);
  for (const name of registry.foreignBundles().keys()) yield foreignUpdate(name, deps);
  for (const { pod, entries } of registry.podsOfNode(nodeName)) {
    if (entries.length > 0) yield podUpdate(pod.metadata.uid, registry);
  }
  yield { update: { case: "synced", value: {} } };
}

/** Empties what a session has gathered; entries are read now, so the newest state is what is sent. */
function* takeChanges(session: Session, deps: SessionDeps): Generator<NodeUpdate> {
  if (session.bundle) {
    session.bundle = false;
    yield bundleUpdate(deps);
  }
  for (const name of session.foreign) {
    session.foreign.delete(name);
    yield foreignUpdate(name, deps);
  }
  for (const podUid of session.pods) {
    session.pods.delete(podUid);
    yield podUpdate(podUid, deps.registry);
  }
}

function newSession(): { session: Session; changed: (over: AbortSignal) => Promise<void> } {
  let signal = Promise.withResolvers<void>();
  const session: Session = {
    pods: new Set(),
    foreign: new Set(),
    bundle: false,
    wake: () => signal.resolve(),
  };
  const isIdle = (): boolean => !session.bundle && session.pods.size + session.foreign.size === 0;
  const changed = async (over: AbortSignal): Promise<void> => {
    over.addEventListener("abort", session.wake, { once: true });
    if (!over.aborted && isIdle()) await signal.promise;
    over.removeEventListener("abort", session.wake);
    signal = Promise.withResolvers();
  };
  return { session, changed };
}

function bundleUpdate({ bundle, encodeBundle }: SessionDeps): NodeUpdate {
  return { update: { case: "bundle", value: encodeBundle(bundle.get()) } };
}

function foreignUpdate(name: string, { registry, encodeBundle }: SessionDeps): NodeUpdate {
  const bundle = registry.foreignBundles().get(name);
  return bundle === undefined
    ? { update: { case: "federatedBundleGone", value: name } }
    : { update: { case: "federatedBundle", value: encodeBundle(bundle) } };
}

function podUpdate(podUid: string, registry: EntryRegistry): NodeUpdate {
  const pod = registry.pod(podUid);
  const entries = registry
    .entriesOfPod(podUid)
    .map((entry) => ({ entryId: entry.id, revision: entry.revision }));
  return {
    update: { case: "pod", value: { podUid, entries, podIp: pod ? podIp(pod) : "" } },
  };
}
