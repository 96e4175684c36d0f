import type { MessageInitShape } from "@bufbuild/protobuf";
import { SignetError } from "../core/errors.ts";
import type { Live } from "../core/live.ts";
import type { RegistrationEntry } from "../registration/entry.ts";
import type { NodeUpdateSchema } from "../rpc/gen/signet/agent/v1/agent_pb.js";
import type { Bundle } from "../spiffe/bundle.ts";
import { encodeBundle } from "./encode.ts";
import type { EntryRegistry } from "./ports.ts";

type NodeUpdate = MessageInitShape<typeof NodeUpdateSchema>;
type SendUpdate = (update: NodeUpdate) => Promise<void>;

/** The open watches of agents: each learns what changes for the pods of its node. */
export interface Sessions {
  /**
   * Serves one agent until `signal` aborts: the bundle, the node's pods, `synced`, then changes.
   * Changes that come faster than the agent reads are merged, so memory stays bounded by the node's pods.
   * Throws UNAVAILABLE when the operator stops.
   */
  serve(nodeName: string, send: SendUpdate, signal: AbortSignal): Promise<void>;
  readonly size: number;
  close(): void;
}

interface Session {
  readonly pods: Set<string>;
  bundle: boolean;
  readonly wake: () => void;
}

/** Opens the agents' sessions over the registry and the trust bundle. */
export function createSessions(registry: EntryRegistry, bundle: Live<Bundle>): Sessions {
  const byNode = new Map<string, Set<Session>>();
  const stopped = new AbortController();
  const unsubscribeRegistry = registry.subscribe({
    entriesChanged(podUid, nodeName) {
      for (const session of byNode.get(nodeName) ?? []) {
        session.pods.add(podUid);
        session.wake();
      }
    },
    podEnding: () => undefined,
  });
  const unsubscribeBundle = bundle.subscribe(() => {
    for (const session of [...byNode.values()].flatMap((sessions) => [...sessions])) {
      session.bundle = true;
      session.wake();
    }
  });

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
        await sendAll(registry, bundle.get(), { nodeName, send });
        while (!over.aborted) {
          await changed(over);
          for (const update of takeChanges(session, registry, bundle)) await send(update);
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

async function sendAll(
  registry: EntryRegistry,
  bundle: Bundle,
  to: { readonly nodeName: string; readonly send: SendUpdate },
): Promise<void> {
  await to.send(bundleUpdate(bundle));
  for (const { pod, entries } of registry.podsOfNode(to.nodeName)) {
    if (entries.length > 0) await to.send(podUpdate(pod.metadata.uid, entries));
  }
  await to.send({ update: { case: "synced", value: {} } });
}

/** Empties what a session has gathered; entries are read now, so the newest state is what is sent. */
function* takeChanges(
  session: Session,
  registry: EntryRegistry,
  bundle: Live<Bundle>,
): Generator<NodeUpdate> {
  if (session.bundle) {
    session.bundle = false;
    yield bundleUpdate(bundle.get());
  }
  for (const podUid of session.pods) {
    session.pods.delete(podUid);
    yield podUpdate(podUid, registry.entriesOfPod(podUid));
  }
}

function newSession(): { session: Session; changed: (over: AbortSignal) => Promise<void> } {
  let signal = Promise.withResolvers<void>();
  const session: Session = { pods: new Set(), bundle: false, wake: () => signal.resolve() };
  const changed = async (over: AbortSignal): Promise<void> => {
    over.addEventListener("abort", session.wake, { once: true });
    if (!over.aborted && !session.bundle && session.pods.size === 0) await signal.promise;
    over.removeEventListener("abort", session.wake);
    signal = Promise.withResolvers();
  };
  return { session, changed };
}

function bundleUpdate(bundle: Bundle): NodeUpdate {
  return { update: { case: "bundle", value: encodeBundle(bundle) } };
}

function podUpdate(podUid: string, entries: readonly RegistrationEntry[]): NodeUpdate {
  return {
    update: {
      case: "pod",
      value: {
        podUid,
        entries: entries.map((entry) => ({ entryId: entry.id, revision: entry.revision })),
      },
    },
  };
}
